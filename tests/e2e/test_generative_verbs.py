"""Implicit and generative PRMs on the command line, as a person uses them."""

import json
import math
import shutil
from pathlib import Path
from typing import Any

import pytest

from rung import Chain, ChainRecord, Problem, RungError, read_records, write_records
from rung.cli.main import main
from rung.generate import TransformersCompleter
from rung.model import load_causal_lm, weights_hash
from rung.score import GenPRM, code_runner, load_implicit
from rung.score.calibration import load_maps
from rung.verify.sandbox import LocalSandbox
from tiny_lms import CHATML_SPECIALS, CHATML_TEMPLATE, byte_tokenizer, save_implicit, save_lm
from toy_chains import toy_records
from vllm_stand_in import Reply, stand_in

PROBLEM = Problem("p", "How many?", "7")
CHAINS = [Chain.of(PROBLEM, ["we add", f"so {k}"], answer=str(k)) for k in (7, 8)]


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a causal LM that is called GenPRM and one without a telling name."""
    folder = tmp_path_factory.mktemp("models")
    tokenizer = byte_tokenizer(eos="<|im_end|>", specials=CHATML_SPECIALS, template=CHATML_TEMPLATE)
    save_lm(folder / "GenPRM-tiny", tokenizer, max_tokens=1500)
    save_lm(folder / "other", tokenizer, seed=1, max_tokens=1500)
    return folder


@pytest.fixture
def source(tmp_path: Path) -> Path:
    write_records(tmp_path / "in.jsonl", map(ChainRecord, CHAINS))
    return tmp_path / "in.jsonl"


def test_genprm_is_told_from_its_name_and_its_scores_pick_a_chain(
    models: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder, scored, best = models / "GenPRM-tiny", tmp_path / "out.jsonl", tmp_path / "best.jsonl"
    argv = ["score", str(source), "--scorer", str(folder), "--out", str(scored), "--json"]
    assert main([*argv, "--family-option", "max_tokens=30"]) == 0
    out, err = capsys.readouterr()
    [said] = json.loads(out)["scorers"]
    assert (said["scorer"], said["kind"]) == ("GenPRM-tiny", "prm")
    assert "is read as genprm" in err and "the folder's name says GenPRM" in err
    completer = TransformersCompleter(*load_causal_lm(folder))
    judge = GenPRM(
        completer=completer, tokenizer=completer.tokenizer, name="GenPRM-tiny", max_tokens=30
    )
    records: list[ChainRecord] = list(read_records(scored))
    expected = [one.scores for one in judge.score(CHAINS)]
    assert [record.scores[0].scores for record in records] == expected
    assert None not in expected[0] and said["weights_hash"] == records[0].scores[0].weights_hash
    assert main(["rerank", str(scored), "--out", str(best)]) == 0


def test_an_implicit_prm_is_read_beside_its_reference(
    models: Path, source: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    prm, reference = (str(models / name) for name in ("other", "GenPRM-tiny"))
    out = tmp_path / "out.jsonl"
    argv = ["score", str(source), "--scorer", prm, "--family", "implicit", "--out", str(out)]
    assert main(argv) == 2
    assert "--family-option reference=FOLDER" in capsys.readouterr().err
    told = [f"reference={reference}", "coefficient=0.05"]
    assert main([*argv, *(word for one in told for word in ("--family-option", one))]) == 0
    expected = load_implicit(prm, reference, coefficient=0.05).score(CHAINS)
    assert [record.scores[0] for record in read_records(out)] == expected


def test_a_server_writes_for_genprm(models: Path, source: Path, tmp_path: Path):
    folder, out = models / "GenPRM-tiny", tmp_path / "out.jsonl"
    tokenizer: Any = load_causal_lm(folder).tokenizer
    yes, no = (tokenizer.encode(word, add_special_tokens=False)[-1] for word in ("Yes", "No"))
    text = "{Yes}$\n"
    ids = tokenizer.encode(text + "</output>\n", add_special_tokens=False)
    top = {f"token_id:{yes}": math.log(0.6), f"token_id:{no}": math.log(0.2)}
    choice = {
        "text": text,
        "token_ids": ids,
        "logprobs": {"top_logprobs": [top] * len(ids)},
        "finish_reason": "stop",
        "stop_reason": "</output>\n",
    }
    with stand_in(lambda body, _: Reply({"choices": [choice]}), "GenPRM-tiny") as server:
        argv = ["score", str(source), "--scorer", f"far={folder}@{server.url}", "--out", str(out)]
        assert main([*argv, "--family", "genprm", "--family-option", "mode=direct"]) == 0
    assert {asked.path for asked in server.asked} == {"/v1/completions"}
    assert all(asked.body["prompt"] and asked.body["return_token_ids"] for asked in server.asked)
    for record in read_records(out):
        assert record.scores[0].scores == pytest.approx((0.75, 0.75))


def test_a_server_for_genprm_is_started_as_for_any_language_model(
    models: Path, capsys: pytest.CaptureFixture[str]
):
    folder = str(models / "GenPRM-tiny")
    assert main(["serve-config", folder, "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    assert said["family"] == "genprm" and "--pooler-config" not in said["arguments"]
    assert said["command"].startswith(f"vllm serve {folder} --served-model-name GenPRM-tiny")


def test_the_codes_of_genprm_need_a_sandbox(
    models: Path,
    source: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
):
    def missing() -> None:
        raise RungError("it is not here")

    for kind in ("bubblewrap.BubblewrapSandbox", "sandlock_box.SandlockSandbox"):
        monkeypatch.setattr(f"rung.verify.{kind}.found", missing)
    options = ["--family-option", "run_code=true", "--family-option", "max_tokens=30"]
    argv = ["score", str(source), "--scorer", str(models / "GenPRM-tiny"), *options]
    argv += ["--out", str(tmp_path / "out.jsonl")]
    assert main(argv) == 2
    assert "or give --unsafe-local" in capsys.readouterr().err
    assert main([*argv, "--unsafe-local"]) == 0


def test_code_gives_back_what_it_printed():
    run = code_runner(LocalSandbox())
    assert run("print(3 + 4)") == "7"
    assert run("1 / 0").startswith("Code execute Error: ")


def calibrated_as_the_map_says(
    folder: Path, source: Path, out: Path, options: list[str], capsys: pytest.CaptureFixture[str]
) -> dict[str, Any]:
    """Calibrate, then score with the map and without; what `rung calibrate` said."""
    chains = [str(source), "--scorer", str(folder), *options]
    assert main(["calibrate", *chains, "--resamples", "20", "--json"]) == 0
    said = json.loads(capsys.readouterr().out)
    for name, more in (("raw", []), ("mapped", ["--calibrated", "temperature"])):
        assert main(["score", *chains, *more, "--out", str(out / f"{name}.jsonl")]) == 0
    temperature = load_maps(folder, weights_hash(folder)).temperature
    for raw, mapped in zip(
        read_records(out / "raw.jsonl"), read_records(out / "mapped.jsonl"), strict=True
    ):
        [one], [other] = raw.scores, mapped.scores
        assert other.scorer == f"{one.scorer}+temperature"
        assert list(other.known) == pytest.approx(temperature(one.known).tolist(), abs=1e-6)
        assert None not in one.scores and other.scores != one.scores
    return said


@pytest.fixture
def labeled(tmp_path: Path) -> Path:
    write_records(tmp_path / "labeled.jsonl", toy_records(6))
    return tmp_path / "labeled.jsonl"


def test_a_generative_prm_is_calibrated(
    models: Path, labeled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    folder = Path(shutil.copytree(models / "other", tmp_path / "ThinkPRM-tiny"))
    options = ["--family-option", "max_tokens=24"]  # its untrained yes or no is no even 0.5
    said = calibrated_as_the_map_says(folder, labeled, tmp_path, options, capsys)
    assert said["fitted"]["num_problems"] == said["measured"]["num_problems"] == 3


@pytest.mark.parametrize("is_own", [True, False])
def test_an_implicit_prm_is_calibrated(
    models: Path, labeled: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str], is_own: bool
):
    told = [f"reference={models / 'GenPRM-tiny'}", "coefficient=0.05"]
    options = [word for one in told for word in ("--family-option", one)]
    if is_own:
        folder = save_implicit(tmp_path / "prm")
    else:
        folder = Path(shutil.copytree(models / "other", tmp_path / "EurusPRM-Stage1"))
    said = calibrated_as_the_map_says(folder, labeled, tmp_path, [] if is_own else options, capsys)
    assert said["after"]["temperature"]["log_loss"]["value"] > 0
