"""`rung rl` as a user runs it, on a tiny policy."""

import json
import shutil
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from processes import end_well, kill, start_rung, start_two
from rung import read_records
from rung.cli.main import main
from rung.core import RungError
from rung.score import load_scorer

GUIDE = (Path(__file__).parents[2] / "docs/guides/rl.md").read_text()
MEASURED = {
    *("step", "reward", "outcome", "kl", "entropy", "chain_tokens", "chain_steps"),
    *("tokens_sampled", "tokens_scored", "seconds", "seconds_by_part"),
}
"""What each round tells; the held-out problems' accuracy has rows of its own."""


def command(rl_lab, out, *more):
    sizes = ["--problems", "4", "--chains", "4", "--max-tokens", "40", "--look-chains", "1"]
    return [
        *(
            "rl",
            str(rl_lab / "problems.jsonl"),
            "--policy",
            str(rl_lab / "policy"),
            "--out",
            str(out),
        ),
        *("--labels", "lab", "--verifier", "lab", "--lr", "1e-3", *sizes, *more),
    ]


def without_labels(words):
    at = words.index("--labels")
    return words[:at] + words[at + 2 :]


def rows(out: Path):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def told_in_the_guide(row):
    return all(f"`{name}`" in GUIDE for name in [*row, *row.get("seconds_by_part", ())])


def curve(out: Path):
    """All that does not depend on the clock."""
    timed = ("seconds", "seconds_by_part")
    return [{k: v for k, v in row.items() if k not in timed} for row in rows(out)]


def test_a_run_tells_how_it_went(rl_lab, tmp_path, capsys):
    out = tmp_path / "policy"
    told = ["--iterations", "4", "--look-every", "2", "--json"]
    assert main(command(rl_lab, out, *told)) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == 4 and found["ended"] == "all rounds are done"
    assert found["tokens_sampled"] == rows(out)[-1]["tokens_sampled"] > 0
    looks = [row for row in rows(out) if "held_out_accuracy" in row]
    assert [row["step"] for row in looks] == [0, 2, 4]
    assert all(row.keys() >= MEASURED for row in rows(out) if "reward" in row)
    assert all(map(told_in_the_guide, rows(out)))
    last = rows(out)[-2]
    assert last["tokens_scored"] is None and found["tokens_scored"] is None  # labels read none
    assert sum(last["seconds_by_part"].values()) <= last["seconds"]
    assert set(last["seconds_by_part"]) == {"sampling", "verifying", "scoring", "learning"}
    assert found["best"]["accuracy"] == max(row["held_out_accuracy"] for row in looks)
    assert "<svg" in (out / "reward.svg").read_text()

    from rung.model import load_causal_lm

    load_causal_lm(out)  # an ordinary causal LM
    assert main(["sample", str(rl_lab / "problems.jsonl"), "--policy", str(out),
                 "--out", str(tmp_path / "chains.jsonl"), "--n", "1"]) == 0  # fmt: skip


def test_one_seed_gives_one_curve_also_when_killed(rl_lab, tmp_path):
    told = ["--iterations", "6", "--look-every", "2", "--save-every-s", "0"]
    assert main(command(rl_lab, tmp_path / "whole", *told)) == 0
    out = tmp_path / "killed"
    killed = start_rung(command(rl_lab, out, *told))
    while not (out / "metrics.jsonl").exists() or len(rows_so_far(out)) < 4:
        assert killed.is_alive()
        time.sleep(0.02)
    kill(killed)
    assert not (out / "training.json").exists()
    assert main(command(rl_lab, out, *told)) == 0
    assert curve(out) == curve(tmp_path / "whole")
    weights = [f / "model.safetensors" for f in (out, tmp_path / "whole")]
    assert weights[0].read_bytes() == weights[1].read_bytes()


def rows_so_far(out: Path):
    return (out / "metrics.jsonl").read_bytes().splitlines()


@pytest.mark.parametrize(
    "told",
    [
        ["--form", "min", "--baseline", "group-scaled", "--kl", "0.1"],
        ["--form", "difference", "--baseline", "gae"],
        ["--form", "progress", "--baseline", "process-group", "--lora", "2"],
        ["--form", "sum", "--discount", "0", "--passes", "2", "--minibatches", "2"],
    ],
)
def test_every_way_of_paying_runs(rl_lab, tmp_path, told):
    out = tmp_path / "policy"
    assert main(command(rl_lab, out, "--iterations", "2", *told)) == 0
    assert all(row["gradient_norm"] >= 0 for row in rows(out) if "gradient_norm" in row)


def test_the_strictest_of_several_scorers_pays(rl_lab, tiny_reward, tmp_path, capsys):
    out, words = tmp_path / "policy", without_labels(command(rl_lab, tmp_path / "policy"))
    one, two = tiny_reward(), tiny_reward("orm")
    told = ["--iterations", "1", "--look-every", "1", "--scorer", str(one), "--scorer", str(two)]
    assert main([*words, *told, "--form", "min"]) == 0
    assert "not quite that of what is paid; that of group is" in capsys.readouterr().err
    assert rows(out)[-2]["tokens_scored"] > 0
    records = list(read_records(out / "held_out.jsonl.gz"))
    chains = [record.chain for record in records]
    by_each = [load_scorer(folder).score(chains) for folder in (one, two)]
    for record, *scored in zip(records, *by_each, strict=True):
        (found,) = record.scores
        assert found.scorer == "least of prm, orm"
        for score, each in zip(
            found.scores, zip(*(s.scores for s in scored), strict=True), strict=True
        ):
            said = [one for one in each if one is not None]  # the ORM speaks at the end alone
            assert score == (pytest.approx(min(said), abs=1e-5) if said else None)
    inner = [score for record in records for score in record.scores[0].scores[:-1]]
    assert inner and None not in inner


def test_scorers_are_opened_as_was_asked(rl_lab, tmp_path, monkeypatch, capsys):
    asked = []

    def opened(place, how, progress):
        asked.append((place.folder, how.trust_pickle, how.calibrated))
        raise RungError("it was asked for")

    monkeypatch.setattr("rung.cli.rl.open_scorer", opened)
    words = without_labels(command(rl_lab, tmp_path / "policy"))
    assert main([*words, "--scorer", "prm", "--trust-pickle", "--calibrated", "isotonic"]) == 2
    assert asked == [("prm", True, "isotonic")] and "it was asked for" in capsys.readouterr().err


def test_an_online_prm_learns_outcomes_and_pays(rl_lab, tmp_path, capsys):
    out, pickled = tmp_path / "policy", shutil.copytree(rl_lab / "policy", tmp_path / "pickled")
    torch.save(load_file(pickled / "model.safetensors"), pickled / "pytorch_model.bin")
    (pickled / "model.safetensors").unlink()
    told = command(rl_lab, out, "--iterations", "3", "--form", "implicit", "--online")
    told = [*without_labels(told), "--prm-lr", "1e-2", "--policy", str(pickled)]
    assert main(told) == 2
    assert "pickled weights such as pytorch_model.bin are refused" in capsys.readouterr().err
    assert main([*told, "--trust-pickle"]) == 0
    losses = [row["prm_loss"] for row in rows(out) if "prm_loss" in row]
    assert len(losses) == 3 and all(map(told_in_the_guide, rows(out)))
    scored = tmp_path / "scored.jsonl"
    prm = str(out / "prm")
    assert main(["score", str(rl_lab / "chains.jsonl"), "--scorer", prm, "--out", str(scored)]) == 0


def test_two_processes_go_where_one_goes_and_go_on_exactly_when_killed(rl_lab, tmp_path):
    """They share out a round's problems; gradients are sums, so it is the same but for rounding."""
    problems = tmp_path / "problems.jsonl"  # too few to hold one out: the last weights are kept
    problems.write_bytes(b"".join((rl_lab / "problems.jsonl").read_bytes().splitlines(True)[:9]))
    told = ["--problems", "5", "--minibatches", "4"]  # one process has none of some minibatches
    told += ["--chains", "2", "--max-tokens", "24"]
    told += ["--passes", "2", "--clip", "0.01", "--iterations", "4", "--save-every-s", "0"]
    told += ["--form", "implicit", "--online", "--baseline", "gae"]
    told += ["--prm-lr", "1e-2"]  # with less, what is paid is as small as rounding

    def words(out: Path) -> list[str]:
        verb, _, *rest = without_labels(command(rl_lab, out, *told))
        return [verb, str(problems), *rest]

    alone, whole, out = (tmp_path / name for name in ("one", "two", "killed"))
    assert main(words(alone)) == 0
    end_well(*start_two(words(whole)))
    for found, expected in zip(curve(whole), curve(alone), strict=True):
        assert found == pytest.approx(expected, rel=1e-4, abs=1e-6)
        assert found["clipped"] > 0 < found["tokens_scored"]

    processes = start_two(words(out))
    while not (out / "metrics.jsonl").exists() or len(rows_so_far(out)) < 2:
        assert all(one.is_alive() for one in processes)
        time.sleep(0.02)
    kill(*processes)
    state = load_file(out / "state" / "latest.safetensors")
    assert "random.cpu.1" in state and not (out / "training.json").exists()
    end_well(*start_two(words(out)))
    assert curve(out) == curve(whole)
    for name in ("model.safetensors", "prm/model.safetensors"):
        assert (out / name).read_bytes() == (whole / name).read_bytes()


@pytest.mark.usefixtures("two_processes")
def test_a_round_of_fewer_problems_than_processes_is_refused(rl_lab, tmp_path, capsys):
    assert main(command(rl_lab, tmp_path / "out", "--problems", "1")) == 2
    assert "a round of 1 problems is too small for 2 processes" in capsys.readouterr().err


def test_without_a_verifier_no_problem_is_held_out_and_this_is_said(rl_lab, tmp_path, capsys):
    out = tmp_path / "policy"
    told = ["--verifier", "none", "--outcome-weight", "0", "--iterations", "1", "--chains", "2"]
    assert main(command(rl_lab, out, *told, "--problems", "100")) == 0  # all that there are
    assert "no problem is held out" in capsys.readouterr().err
    assert [row["step"] for row in rows(out)] == [1]
    chains = str(rl_lab / "chains.jsonl")  # of other problems
    assert main(command(rl_lab, tmp_path / "none", *told, "--held-out", chains)) == 2
    assert "held-out problems need a verifier" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["--chains", "1"], "chains is 1, expected at least 2"),
        (["--problems", "400"], "a round takes 400 problems"),
        (["--form", "outcome"], "steps are not paid for"),
        (["--verifier", "none"], "paying for outcomes needs a verifier"),
        (["--policy", "nowhere"], "nowhere"),
        (["--baseline", "group", "--discount", "0.5"], "which has no meaning with group"),
        (["--baseline", "process-group", "--discount", "0.5"], "no meaning with process-group"),
        (["--process-weight", "nan"], "process_weight is nan, expected a number"),
        (["--save-every-s", "nan"], "save_every_s is nan, expected at least 0"),
        (["--lr", "inf"], "lr is inf, expected above 0"),
        (["--kl", "nan"], "kl is nan, expected at least 0"),
        (["--weight-decay", "-1"], "weight_decay is -1.0, expected at least 0"),
        (["--beta2", "1"], "beta2 is 1.0, expected at least 0 and below 1"),
        (["--max-batch-chains", "0"], "max_batch_chains is 0, expected at least 1"),
        (
            ["--form", "implicit", "--online", "--prm-lr", "-1"],
            "the online PRM's lr is -1.0, expected above 0",
        ),
    ],
)
def test_what_makes_no_sense_is_refused(rl_lab, tmp_path, capsys, told, said):
    assert main(command(rl_lab, tmp_path / "out", *told)) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
