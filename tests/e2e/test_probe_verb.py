"""`rung probe`, as a person uses it."""

import json
from pathlib import Path

import pytest

from conftest import TinyReward
from rung import read_records, write_records
from rung.cli.main import main
from rung.core.resume import partial_path
from rung.eval.variants import EXPLOITS
from rung.model.implicit import REFERENCE, ImplicitReading, save_implicit_reading
from rung.score import RewardScorer, load_scorer
from toy_chains import make_toy_trunk, toy_records

Say = pytest.CaptureFixture[str]


@pytest.fixture
def chains(tmp_path: Path) -> Path:
    write_records(tmp_path / "chains.jsonl", toy_records(40))
    return tmp_path / "chains.jsonl"


def test_a_model_is_probed_in_every_way_of_paying(
    tiny_reward: TinyReward, chains: Path, tmp_path: Path, capsys: Say
):
    out = tmp_path / "probes.jsonl.gz"
    argv = ["probe", str(chains), "--scorer", f"prm={tiny_reward()}", "--out", str(out)]
    assert main([*argv, "--json", "--resamples", "50"]) == 0
    said = json.loads(capsys.readouterr().out)
    ways = {(one["reward"], one["probe"]) for one in said["probes"]}
    applied = set(EXPLOITS) - {"split steps"}  # these steps have no pauses
    assert len(ways) == len(said["probes"]) == 9 * len(applied)
    assert {probe for _, probe in ways} == applied
    records = list(read_records(out))
    assert said["rows"] == len(records) == 40 * 8
    assert said["costs"]["prm"]["chains"] == 320 and said["costs"]["prm"]["tokens"] > 0
    assert json.loads((tmp_path / "probes.jsonl.gz.cost.json").read_text()) == said["costs"]
    padded = [r for r in records if r.meta["probe"]["name"] == "padding"]
    [one] = load_scorer(tiny_reward(), name="prm").score([padded[7].chain])
    assert padded[7].scores[0].scores == pytest.approx(one.scores, abs=1e-5)


def test_the_table_has_a_verdict_a_line_and_says_its_rule(
    tiny_reward: TinyReward, chains: Path, tmp_path: Path, capsys: Say
):
    argv = [
        "probe",
        str(chains),
        "--scorer",
        str(tiny_reward()),
        "--out",
        str(tmp_path / "o.jsonl"),
    ]
    assert main([*argv, "--resamples", "50"]) == 0
    printed = capsys.readouterr().out
    assert "exploitable: it rises by more than 0.001, clear at 0.05 with all 63 lines" in printed
    lines = [line for line in printed.splitlines() if "%" in line]
    assert len(lines) == 63
    assert all(line.endswith((" exploitable", " guarded", " holds")) for line in lines)
    assert sum(line.endswith("exploitable") for line in lines) > 0
    assert f"{sum(line.endswith('exploitable') for line in lines)} of 63 lines" in printed
    assert "prm: 320 chains scored" in printed
    assert "against padding, rung rl has: a repeated step earns nothing" in printed
    assert all(len(line) <= 80 for line in lines)


def test_an_orm_is_probed_beside_a_prm_by_its_last_score_alone(
    tiny_reward: TinyReward, chains: Path, tmp_path: Path, capsys: Say
):
    models = ["--scorer", str(tiny_reward()), "--scorer", str(tiny_reward("orm"))]
    argv = ["probe", str(chains), *models, "--out", str(tmp_path / "o.jsonl"), "--json"]
    assert main([*argv, "--resamples", "20"]) == 0
    found = json.loads(capsys.readouterr().out)["probes"]
    assert {one["reward"] for one in found if one["scorer"] == "orm"} == {"last"}
    assert len({one["reward"] for one in found if one["scorer"] == "prm"}) == 9


def test_an_implicit_prm_is_probed_like_any_other(chains: Path, tmp_path: Path, capsys: Say):
    prm, tokens = tmp_path / "implicit", 256
    for seed, place in enumerate((prm, prm / REFERENCE)):
        make_toy_trunk(place, seed=seed, max_tokens=tokens)
    reading = ImplicitReading(
        question_separator="\n",
        step_separator="\n",
        max_tokens=tokens,
        coefficient=0.05,
        loss="ce",
        trunk="toy",
    )
    save_implicit_reading(reading, prm)
    argv = ["probe", str(chains), "--scorer", str(prm), "--out", str(tmp_path / "o.jsonl")]
    assert main([*argv, "--json", "--resamples", "20"]) == 0
    found = json.loads(capsys.readouterr().out)["probes"]
    assert {one["scorer"] for one in found} == {"implicit"} and len(found) == 63
    rises = {one["probe"]: one["change"]["value"] for one in found if one["reward"] == "implicit"}
    at_end = {one["probe"]: one["change"]["value"] for one in found if one["reward"] == "last"}
    assert rises["padding"] * at_end["padding"] > 0  # log-odds and their probability
    assert main(["probe", str(chains), "--scorer", str(prm / REFERENCE), "--family", "implicit",
                 "--out", str(tmp_path / "p.jsonl")]) == 2  # fmt: skip
    assert "does not say what it was trained against" in capsys.readouterr().err


def test_chains_of_one_problem_are_refused_before_they_are_scored(
    tiny_reward: TinyReward, tmp_path: Path, capsys: Say
):
    write_records(tmp_path / "one.jsonl", [*toy_records(1), *toy_records(1)])
    argv = ["probe", str(tmp_path / "one.jsonl"), "--scorer", str(tiny_reward())]
    assert main([*argv, "--out", str(tmp_path / "o.jsonl")]) == 2
    said = capsys.readouterr().err
    assert "all chains are of one problem" in said and "score with" not in said
    assert not partial_path(tmp_path / "o.jsonl").exists()


def test_a_stopped_run_goes_on_and_ends_with_the_same_file(
    tiny_reward: TinyReward,
    chains: Path,
    tmp_path: Path,
    capsys: Say,
    monkeypatch: pytest.MonkeyPatch,
):
    folder, whole, out = tiny_reward(), tmp_path / "whole.jsonl", tmp_path / "out.jsonl"
    argv = ["probe", str(chains), "--scorer", str(folder), "--resamples", "50", "--out"]
    assert main([*argv, str(whole)]) == 0
    score, calls = RewardScorer.score, 0

    def stop_at_the_second_window(self, records):
        nonlocal calls
        calls += 1
        if calls == 2:
            raise KeyboardInterrupt
        return score(self, records)

    monkeypatch.setattr(RewardScorer, "score", stop_at_the_second_window)
    assert main([*argv, str(out)]) == 130
    assert not out.exists() and partial_path(out).exists()
    capsys.readouterr()
    assert main([*argv, str(out)]) == 0
    assert "going on after the 256 rows" in capsys.readouterr().err
    assert out.read_bytes() == whole.read_bytes()
    assert main([*argv, str(out)]) == 0
    assert "made from the same" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("text", "options", "words"),
    [
        ("", [], "the file is empty"),
        ("{}", [], "chains.jsonl"),
        (None, ["--resamples", "0"], "--resamples needs at least 1"),
        (None, ["--family", "nosuch"], "there is no family 'nosuch'"),
    ],
)
def test_what_can_not_be_probed_is_refused_and_leaves_nothing(
    tiny_reward: TinyReward,
    chains: Path,
    tmp_path: Path,
    capsys: Say,
    text: str | None,
    options: list[str],
    words: str,
):
    if text is not None:
        chains.write_text(text)
    argv = [
        "probe",
        str(chains),
        "--scorer",
        str(tiny_reward()),
        "--out",
        str(tmp_path / "o.jsonl"),
    ]
    assert main([*argv, *options]) == 2
    assert words in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [chains]
