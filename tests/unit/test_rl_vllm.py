"""`rung rl` written by vLLM: on a stand-in that has a model of its own, and on the real engine.

RUNG_VLLM_PYTHON names the Python of an environment with vLLM and rung's own few packages.
"""

import json
import os
import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import pytest
import torch

from rung.cli.main import main
from rung.core import Chain, MissingExtraError, Problem, RungError, Sampling
from rung.core.codec import decode_problem, encode_problem
from rung.generate import TransformersGenerator, VllmGenerator, open_vllm
from rung.label import LabLabeler
from rung.model import load_causal_lm
from rung.rl import Guards, Looking, Online, Paying, RlTraining, Updating, Writing, train_rl
from rung.rl.update import experience, gap
from rung.train.state import METRICS_FILE
from rung.train.trainable import saved_weights
from small_lab import make_rl_lab
from toy_scorers import EndsInNine, Gone
from vllm_model import model_for_vllm
from vllm_stand_in import ENGINE

TESTS = Path(__file__).resolve().parents[1]
PLAYERS: Any = {"verifier": LabLabeler(), "scorer": EndsInNine()}


@pytest.fixture
def vllm(monkeypatch: pytest.MonkeyPatch) -> Callable[..., Any]:
    """Puts a stand-in in vLLM's place, and gives its module."""

    def put(**changed: Any) -> Any:
        module = model_for_vllm(**changed)
        monkeypatch.setitem(sys.modules, "vllm", module)
        monkeypatch.delenv("VLLM_ENABLE_V1_MULTIPROCESSING", raising=False)
        return module

    return put


@pytest.fixture
def problems(rl_lab: Path) -> list[Problem]:
    return [decode_problem(line) for line in (rl_lab / "problems.jsonl").read_bytes().splitlines()]


def settings(rl_lab: Path, *, iterations: int = 2, lora: int | None = None, **more: Any) -> Any:
    updating = Updating(
        iterations=iterations, problems=4, chains=4, max_tokens=24, lr=1e-3, warmup=2, lora=lora
    )
    told: dict[str, Any] = {"paying": Paying(outcome_weight=0.0), "guards": Guards(alarm="off")}
    told |= {"looking": Looking(look_every=10, look_chains=1), **more}
    writing = Writing(generator="vllm", memory_share=0.25)
    return RlTraining(policy=rl_lab / "policy", updating=updating, writing=writing, **told)


def rows(out: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (out / METRICS_FILE).read_text().splitlines()]


def curve(out: Path) -> list[dict[str, Any]]:
    """All that does not depend on the clock, and is known."""
    known = [{k: v for k, v in row.items() if v is not None} for row in rows(out)]
    return [{k: v for k, v in row.items() if not k.startswith("seconds")} for row in known]


def test_the_weights_are_handed_over_before_each_round_and_look(rl_lab, problems, tmp_path, vllm):
    module = vllm()
    told = settings(rl_lab, looking=Looking(look_every=1, look_chains=1))
    report = train_rl(told, problems[:8], problems[60:64], tmp_path / "out", **PLAYERS)
    [llm] = module.LLM.made
    assert llm.calls == ["weights", "write"] * 5  # a look, then twice a round and a look
    assert llm.options["gpu_memory_utilization"] == 0.25 and llm.options["dtype"] == "float32"
    assert llm.options["max_num_seqs"] == 256 and llm.options["max_model_len"] < 64
    assert {(p.temperature, p.top_p) for p in llm.asked} == {(1.0, 1.0)}
    gaps = [row["generator_gap"] for row in rows(tmp_path / "out") if "reward" in row]
    assert len(gaps) == 2 and max(gaps) < 1e-5
    assert rows(tmp_path / "out")[1]["kl"] < 1e-5  # both are the learner's own
    assert report.steps == 2


def test_the_curve_is_that_of_the_learning_model_where_both_draw_alike(
    rl_lab, problems, tmp_path, vllm, monkeypatch
):
    vllm()
    monkeypatch.setattr("rung.generate.vllm.seed_of", lambda stream: stream)
    told = settings(rl_lab, iterations=3, looking=Looking(look_every=2, look_chains=1))
    for out, writing in (("own", Writing()), ("vllm", told.writing)):
        how = replace(told, writing=writing)
        train_rl(how, problems[:8], problems[60:64], tmp_path / out, **PLAYERS)
    own, other = curve(tmp_path / "own"), curve(tmp_path / "vllm")
    for row, found in zip(own, other, strict=True):
        found.pop("generator_gap", None)
        assert found == pytest.approx(row, rel=1e-4, abs=1e-6)
    assert max(row["kl"] for row in own if "kl" in row) > 0.01


@pytest.mark.parametrize(
    "more",
    [
        {"lora": 2},
        {"paying": Paying(form="implicit"), "online": Online()},
        {"paying": Paying(form="difference", baseline="gae")},
    ],
)
def test_adapters_an_online_prm_and_a_value_head_go_with_it(rl_lab, problems, tmp_path, vllm, more):
    vllm()
    told, players = settings(rl_lab, **more), PLAYERS
    if told.online is not None:
        players = {"verifier": LabLabeler()}
    told = replace(told, updating=replace(told.updating, lr=1e-2))
    train_rl(told, problems[:8], [], tmp_path / "out", **players)
    assert [row["generator_gap"] < 1e-5 for row in rows(tmp_path / "out")] == [True, True]


def test_a_stopped_run_goes_on_where_it_was(rl_lab, problems, tmp_path, vllm):
    vllm()
    told = settings(rl_lab, iterations=4, save_every_s=0.0)
    whole = train_rl(told, problems[:8], [], tmp_path / "a", **PLAYERS)
    with pytest.raises(RungError, match="the server is gone"):
        train_rl(told, problems[:8], [], tmp_path / "b", verifier=LabLabeler(), scorer=Gone())
    less = replace(told, writing=replace(told.writing, memory_share=0.2))
    again = train_rl(less, problems[:8], [], tmp_path / "b", **PLAYERS)
    assert curve(tmp_path / "b") == curve(tmp_path / "a")
    assert again.weights_hash == whole.weights_hash
    other = replace(told, writing=Writing())
    with pytest.raises(RungError, match="generator"):
        train_rl(other, problems[:8], [], tmp_path / "b", **PLAYERS)


def test_weights_that_do_not_arrive_are_noticed(rl_lab, problems, tmp_path, vllm):
    vllm(loads=False)
    told = settings(rl_lab)
    with pytest.raises(RungError, match="nats a token from the learner's: it did not take"):
        train_rl(told, problems[:8], [], tmp_path / "out", **PLAYERS)


@pytest.fixture
def both(rl_lab: Path, vllm: Callable[..., Any]) -> tuple[TransformersGenerator, VllmGenerator]:
    """The policy in transformers, and vLLM without its weights."""
    vllm()
    options = {"load_format": "dummy", "max_model_len": 64}
    engine = VllmGenerator(open_vllm(rl_lab / "policy", in_process=True, **options), "policy")
    return TransformersGenerator(*load_causal_lm(rl_lab / "policy")), engine


def test_tokens_steps_and_ends_are_those_of_the_learning_model(both, problems):
    own, engine = both
    prefixes = [Chain(problem, ()) for problem in problems[:6]]
    engine.load_weights(saved_weights(own.model))
    for most in (24, 4):  # to the end, and cut off
        how = Sampling(temperature=0, max_tokens=most, logprobs=True)
        pairs = zip(
            own.sample_tokens(prefixes, 1, how), engine.sample_tokens(prefixes, 1, how), strict=True
        )
        for [one], [other] in pairs:
            assert other.ids == one.ids and other.prompt == one.prompt
            assert other.steps == one.steps and other.chain.texts == one.chain.texts
            assert other.logprobs == pytest.approx(one.logprobs, abs=1e-5)
            ended = one.ids[-1] == own.tokenizer.eos_token_id
            assert ended == (most == 24), "the token that ended a chain is learned, too"


def test_weights_that_vllm_refuses_or_can_t_take_now_are_one_sentence(both):
    own, engine = both
    with pytest.raises(RungError, match="vLLM doesn't take the weights: There is no module or"):
        engine.load_weights([("strange", torch.zeros(1))])
    engine.llm.resets = False
    with pytest.raises(RungError, match="since it is still writing"):
        engine.load_weights(saved_weights(own.model))


def test_a_token_that_the_engine_draws_too_often_counts_less(both, problems):
    own, _ = both
    [[written]] = own.sample_tokens([Chain(problems[0], ())], 1, Sampling(logprobs=True))
    drawn = experience(written)
    assert drawn.weights_K.tolist() == [1.0] * len(written.ids) and gap([drawn]) == 0.0
    other = replace(drawn, old_K=drawn.drawn_K + torch.log(torch.tensor(0.5)))
    assert other.weights_K.tolist() == pytest.approx([0.5] * len(written.ids))
    assert gap([other]) == pytest.approx(0.6931, abs=1e-4)
    rare = replace(drawn, old_K=drawn.drawn_K + 3.0)
    assert rare.weights_K.tolist() == [2.0] * len(written.ids)


@pytest.mark.usefixtures("two_processes")
def test_several_processes_are_refused(rl_lab, problems, tmp_path):
    with pytest.raises(RungError, match="writes for one process, and there are 2"):
        train_rl(settings(rl_lab), problems, [], tmp_path / "out", **PLAYERS)


def test_a_missing_vllm_and_a_policy_that_it_can_t_open_are_one_sentence(
    rl_lab, problems, tmp_path, vllm, monkeypatch
):
    told, out = settings(rl_lab), tmp_path / "out"
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rung\[vllm\]'"):
        train_rl(told, problems, [], out, **PLAYERS)

    def unknown(self, folder, **options):
        raise ValueError("Model architectures ['Strange'] are not supported for now.")

    vllm(__init__=unknown)
    with pytest.raises(RungError, match=r"vLLM can't open .*: Model architectures \['Strange'\]"):
        train_rl(told, problems, [], out, **PLAYERS)
    assert not out.exists()


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["--policy", "vllm:policy"], "here this is said as --policy policy --generator vllm"),
        (["--policy", "m@http://h/v1"], "a server can't be handed the weights that are learned"),
        (["--generator", "vllm", "--memory-share", "0"], "memory_share is 0.0, expected above 0"),
    ],
)
def test_what_makes_no_sense_is_said(rl_lab, tmp_path, capsys, told, said):
    (tmp_path / "problems.jsonl").write_bytes(encode_problem(Problem("p", "Why?", "1")))
    words = ["rl", str(tmp_path / "problems.jsonl"), "--policy", str(rl_lab / "policy")]
    assert main([*words, "--out", str(tmp_path / "out"), *told]) == 2
    assert said in capsys.readouterr().err


def test_the_command_line_lets_vllm_write(rl_lab, tmp_path, vllm, capsys):
    module = vllm()
    words = ["rl", str(rl_lab / "problems.jsonl"), "--policy", str(rl_lab / "policy")]
    words += ["--labels", "lab", "--verifier", "lab", "--iterations", "1", "--problems", "4"]
    words += ["--chains", "2", "--max-tokens", "24", "--look-chains", "1"]
    assert main([*words, "--generator", "vllm", "--out", str(tmp_path / "out"), "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["steps"] == 1
    assert len(module.LLM.made) == 1 and rows(tmp_path / "out")[1]["generator_gap"] < 1e-5


@pytest.fixture(scope="session")
def wide_lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """As `rl_lab`, with heads of a width that vLLM's attention takes."""
    return make_rl_lab(tmp_path_factory.mktemp("wide"), width=128, lr=3e-3)


def has_learned(out: Path) -> bool:
    rewards = [row["reward"] for row in rows(out) if "reward" in row]
    return fmean(rewards[-4:]) > fmean(rewards[:4]) + 0.3


def test_the_real_engine_has_the_learners_weights_and_a_policy_learns_with_it(
    engine: str, wide_lab: Path, tmp_path: Path
):
    known = tmp_path / "rung-0.dist-info" / "METADATA"  # a run writes down rung's version
    known.parent.mkdir()
    known.write_text("Metadata-Version: 2.1\nName: rung\nVersion: 0\n")
    paths = [str(TESTS.parent / "src"), str(TESTS), str(tmp_path)]
    environment = {**os.environ, **ENGINE, "PYTHONPATH": os.pathsep.join(paths)}
    places = [str(wide_lab / "policy"), str(wide_lab / "problems.jsonl"), str(tmp_path)]
    command = [engine, str(TESTS / "vllm_rl.py"), *places]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    for both in told.values():
        for (ids, steps, logprobs), own in zip(both["engine"], both["own"], strict=True):
            assert (ids, steps) == (own[0], own[1])
            assert logprobs == pytest.approx(own[2], abs=1e-3)
    assert told["first"] != told["last"], "the update moved the greedy chains"
    for name in ("transformers", "vllm"):
        assert has_learned(tmp_path / name)
    gaps = [row["generator_gap"] for row in rows(tmp_path / "vllm") if "reward" in row]
    assert max(gaps) < 1e-4
