"""A policy in vLLM: the same steps, ends and counts as in transformers, without and with vLLM.

RUNG_VLLM_PYTHON names the Python of an environment with vLLM and rung's own few packages.
"""

import json
import os
import subprocess
import sys
from collections.abc import Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from openai_stand_in import END, Script
from rung import Chain, ChainRecord, Generator, Problem, RungError, Sampling, Step
from rung.cli.main import main
from rung.core import MissingExtraError, read_records, write_records
from rung.core.codec import write_problems
from rung.data.lab import Lab, demonstrations, make_demonstrator, make_problems
from rung.generate import TransformersGenerator, VllmGenerator, open_vllm
from rung.model import load_causal_lm
from rung.model.tiny import make_tiny
from rung.verify import extract_answer
from vllm_module import logprob_of, stand_in_for_vllm
from vllm_stand_in import ENGINE

TESTS = Path(__file__).resolve().parents[1]
PREFIX = Chain(Problem("p", "How many?"), ())
STEP = Sampling(until="step", max_tokens=20)
TEXT = ["\n", "one", " two", "\n", "The answer is", " 12", END]
"""A blank piece, a step, and a last step with the answer."""


def script(prompt: str, seed: int) -> Sequence[str | None]:
    """Go on with `TEXT` where the prompt leaves off."""
    return TEXT[4:] if "two" in prompt else TEXT[1:] if prompt.endswith("\n\n") else TEXT


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("vllm") / "tiny"
    texts = ["How many? one two three zero", "The answer is 12", "What is 3 + 4?"]
    make_tiny(folder, texts, seed=0, width=16, num_layers=1)
    return folder


class Made:
    """Generators on the stand-in."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder, self.monkeypatch = folder, monkeypatch

    def __call__(self, script: Script, **options: Any) -> VllmGenerator:
        self.monkeypatch.setitem(sys.modules, "vllm", stand_in_for_vllm(script))
        return VllmGenerator(open_vllm(self.folder), "m", extract_answer=extract_answer, **options)


@pytest.fixture
def made(folder: Path, monkeypatch: pytest.MonkeyPatch) -> Made:
    return Made(folder, monkeypatch)


def facts(chain: Chain) -> tuple[Any, ...]:
    assert chain.source is not None
    return chain.texts, chain.answer, chain.source.finish_reason, chain.source.num_tokens


def ids_of(generator: VllmGenerator, texts: Sequence[str | None]) -> list[int]:
    tokenizer = generator.llm.get_tokenizer()
    ends = [tokenizer.eos_token_id]
    return [t for text in texts for t in (ends if text is END else tokenizer(text)["input_ids"])]


def test_steps_ends_counts_and_log_probabilities_are_read_as_everywhere(made: Made):
    generator = made(script)
    assert isinstance(generator, Generator) and generator.writes_inside_steps
    [[first]] = generator.sample([PREFIX], 1, replace(STEP, logprobs=True))
    [[last]] = generator.sample([first], 1, replace(STEP, logprobs=True))
    [[whole]] = generator.sample([PREFIX], 1, Sampling(logprobs=True, max_tokens=40))
    begin, end = ids_of(generator, TEXT[:4]), ids_of(generator, TEXT[4:])
    assert facts(first) == (("one two",), None, None, len(begin))
    assert facts(last) == (("one two", "The answer is 12"), "12", "stop", len(end))
    assert facts(whole) == (("one two", "The answer is 12"), "12", "stop", len(begin + end))
    sums = [sum(map(logprob_of, ids)) for ids in (begin, end)]
    for chain in (first, last, whole):
        assert chain.source is not None
        assert chain.source.step_logprobs == pytest.approx(sums[: len(chain.steps)])
    [[cut]] = generator.sample([PREFIX], 1, Sampling(until="step", max_tokens=3))
    assert facts(cut)[2:] == ("length", 3) and cut.source and cut.source.step_logprobs is None


def test_a_blank_step_is_gone_on_with_in_another_turn_with_another_seed(made: Made):
    generator = made(script)
    generator.sample([PREFIX], 1, STEP)
    (first, how), (second, then) = generator.llm.asked
    assert (first, second) == ("How many?\n", "How many?\n\n")
    assert how.seed != then.seed and then.max_tokens == how.max_tokens - 1
    assert how.stop == ["\n"] and how.logprobs is None


def test_every_continuation_has_a_seed_of_its_own_and_gets_it_again(made: Made):
    generator = made(lambda prompt, seed: [str(seed), END])
    once = generator.sample([PREFIX, PREFIX], 2, Sampling(until="step", seed=5))
    again = generator.sample([PREFIX], 4, Sampling(until="step", seed=5))
    texts = [chain.texts for group in once for chain in group]
    assert texts == [chain.texts for chain in again[0]] and len(set(texts)) == 4


@pytest.mark.parametrize("token", ["\n", " and"])
def test_a_policy_that_never_ends_its_text_or_its_blank_is_cut_off(made: Made, token: str):
    generator = made(lambda *_: repeat(token, 100))  # type: ignore[arg-type]
    [[chain]] = generator.sample([PREFIX], 1, STEP)
    assert facts(chain)[2:] == ("length", 20)
    assert len(chain.texts) == (token != "\n")


def test_a_policy_that_writes_nothing_ends_its_chain_without_a_step(made: Made):
    [[chain]] = made(lambda *_: [END]).sample([PREFIX], 1, STEP)
    assert facts(chain) == ((), None, "stop", 1)


def test_a_step_that_is_begun_is_gone_on_with_and_ends_at_the_first_separator(made: Made):
    begun = Chain(PREFIX.problem, (Step("zero"), Step("one")))
    generator = made(lambda *_: [" two", "\n", "three", END])
    [[chain]] = generator.sample([begun], 1, Sampling(until="step", inside_step=True))
    assert facts(chain)[:3] == (("zero", "one two"), None, None)
    assert generator.llm.asked[0][0] == "How many?\nzero\none"


def test_a_prompt_that_leaves_little_room_or_none_is_cut_off_there(made: Made):
    generator = made(lambda *_: repeat(" and", 100))  # type: ignore[arg-type]
    long, longer = (Chain(Problem("l", "two " * k), ()) for k in (50, 70))
    [[cut], [empty]] = generator.sample([long, longer], 1, STEP)
    assert facts(cut)[2] == "length" and 0 < facts(cut)[3] < 20
    assert facts(empty) == ((), None, "length", 0) and len(generator.llm.asked) == 1


def test_shared_prefixes_are_kept_and_what_vllm_says_is_one_sentence(
    made: Made, folder: Path, monkeypatch: pytest.MonkeyPatch
):
    generator = made(script)
    assert generator.llm.options == {"enable_prefix_caching": True}
    assert open_vllm(folder, dtype="half").options["dtype"] == "half"
    with pytest.raises(RungError, match="vLLM can't open nowhere: no model in nowhere"):
        open_vllm("nowhere")
    monkeypatch.setitem(sys.modules, "vllm", None)
    with pytest.raises(MissingExtraError, match=r"pip install 'rung\[vllm\]'"):
        open_vllm(folder)


def test_the_command_line_samples_from_it(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    module = stand_in_for_vllm(script)
    monkeypatch.setitem(sys.modules, "vllm", module)
    problems, out = tmp_path / "problems.jsonl", tmp_path / "out.jsonl"
    write_problems(problems, [Problem("a", "How many?", "12"), Problem("b", "Why?", "7")])
    words = ["--n", "2", "--max-tokens", "40", "--max-batch-chains", "8", "--logprobs"]
    command = ["sample", str(problems), "--policy", f"vllm:{folder}", *words, "--out", str(out)]
    assert main(command) == 0
    [llm] = module.LLM.made
    assert llm.options["max_num_seqs"] == 8
    chains = [record.chain for record in read_records(out)]
    assert [chain.answer for chain in chains] == ["12"] * 4
    assert {chain.source.policy for chain in chains if chain.source} == {"tiny"}
    assert all(c.source and len(c.source.step_logprobs or ()) == 2 for c in chains)


@pytest.fixture
def trained(tmp_path: Path) -> Path:
    """A policy that ends steps and chains; vLLM's attention has no heads narrower than 32."""
    lab = Lab(num_steps=2)
    shown = list(make_problems(lab, 400, seed=0))
    chains = list(demonstrations(make_demonstrator(lab, seed=0), shown, seed=0))
    write_records(tmp_path / "shown.jsonl", map(ChainRecord, chains))
    texts = [text for chain in chains for text in (chain.problem.question, *chain.texts)]
    make_tiny(tmp_path / "tiny", texts, seed=0, width=128, num_layers=1)
    where = [str(tmp_path / "shown.jsonl"), "--trunk", str(tmp_path / "tiny")]
    how = ["--lr", "0.01", "--batch-tokens", "1024", "--out", str(tmp_path / "policy")]
    assert main(["train", "policy", *where, *how]) == 0
    return tmp_path / "policy"


def test_the_real_engine_writes_steps_and_gives_the_log_probabilities_of_transformers(
    engine: str, trained: Path
):
    questions = [problem.question for problem in make_problems(Lab(num_steps=2), 3, seed=1)]
    environment = {**os.environ, **ENGINE, "PYTHONPATH": str(TESTS.parent / "src")}
    command = [engine, str(TESTS / "vllm_in_process.py"), str(trained), *questions]
    done = subprocess.run(command, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    told = json.loads(done.stdout)
    policy = TransformersGenerator(*load_causal_lm(trained))
    prefixes = [Chain(Problem("p", question), ()) for question in questions]
    greedy = policy.sample(prefixes, 1, Sampling(temperature=0, max_tokens=24, logprobs=True))
    assert [texts for texts, _ in told["greedy"]] == [list(c.texts) for [c] in greedy]
    for [chain], (_, source) in zip(greedy, told["greedy"], strict=True):
        assert chain.source is not None
        assert source["finish_reason"] == chain.source.finish_reason
        assert source["num_tokens"] == chain.source.num_tokens
        assert source["step_logprobs"] == pytest.approx(chain.source.step_logprobs, abs=1e-3)
    assert told["drawn"] == told["again"], "one seed gives the same chains"
    assert [texts for texts, _ in told["alone"]] == [texts for texts, _ in told["drawn"][:3]]
    assert len({tuple(texts) for texts, _ in told["drawn"]}) > 4
    assert {len(texts) for texts, _ in told["steps"]} == {1}
    assert {source["finish_reason"] for _, source in told["steps"]} >= {None}
    assert {len(texts) for texts, _ in told["longer"]} <= {1, 2}
    assert all(texts[0].startswith("In") for texts, _ in told["inside"])
    assert told["full"][0][0] == [] and told["full"][0][1]["finish_reason"] == "length"
