"""`rung rl` as a user runs it, on a tiny policy."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from rung.cli.main import main
from rung.core import ChainRecord, write_records
from rung.core.codec import encode_problem
from rung.data.lab import Lab, demonstrations, make_demonstrator, make_problems

LAB = Lab(num_steps=1, misconceived_share=0.0)


@pytest.fixture(scope="module")
def lab(tmp_path_factory):
    """Problems of one step, and a policy that has seen a few chains."""
    from rung.model.tiny import make_tiny
    from rung.train import Optimization, PolicyTraining, train_policy

    folder = tmp_path_factory.mktemp("rl")
    problems = list(make_problems(LAB, 500, seed=0))
    chains = demonstrations(make_demonstrator(LAB, seed=0), problems[:400], seed=0)
    records = [ChainRecord(chain) for chain in chains]
    texts = [text for r in records for text in (r.chain.problem.question, *r.chain.texts)]
    make_tiny(folder / "tiny", texts, seed=0, width=32, num_layers=1, max_tokens=64)
    learning = Optimization(lr=1e-2, beta2=0.98, batch_tokens=1024, epochs=2, patience=0)
    train_policy(
        PolicyTraining(trunk=folder / "tiny", optimization=learning), records, [], folder / "policy"
    )
    (folder / "problems.jsonl").write_bytes(b"".join(map(encode_problem, problems[400:])))
    write_records(folder / "chains.jsonl", records)
    return folder


def command(lab, out, *more):
    sizes = ["--problems", "4", "--n", "4", "--max-tokens", "40", "--look-chains", "1"]
    return [
        *("rl", str(lab / "problems.jsonl"), "--policy", str(lab / "policy"), "--out", str(out)),
        *("--labels", "lab", "--verifier", "lab", "--lr", "1e-3", *sizes, *more),
    ]


def rows(out: Path):
    return [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]


def curve(out: Path):
    """All that does not depend on the clock."""
    timed = ("seconds", "seconds_by_part")
    return [{k: v for k, v in row.items() if k not in timed} for row in rows(out)]


def test_a_run_tells_how_it_went(lab, tmp_path, capsys):
    out = tmp_path / "policy"
    told = ["--iterations", "4", "--look-every", "2", "--json"]
    assert main(command(lab, out, *told)) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["steps"] == 4 and found["ended"] == "all rounds are done"
    assert found["tokens_sampled"] == rows(out)[-1]["tokens_sampled"] > 0
    looks = [row for row in rows(out) if "held_out_accuracy" in row]
    assert [row["step"] for row in looks] == [0, 2, 4]
    assert found["best"]["accuracy"] == max(row["held_out_accuracy"] for row in looks)
    assert "<svg" in (out / "reward.svg").read_text()

    from rung.model import load_causal_lm

    load_causal_lm(out)  # an ordinary causal LM
    assert main(["sample", str(lab / "problems.jsonl"), "--policy", str(out),
                 "--out", str(tmp_path / "chains.jsonl"), "--n", "1"]) == 0  # fmt: skip


def test_one_seed_gives_one_curve_also_when_killed(lab, tmp_path):
    told = ["--iterations", "8", "--look-every", "3", "--save-every-s", "0"]
    assert main(command(lab, tmp_path / "whole", *told)) == 0
    out = tmp_path / "killed"
    program = [sys.executable, "-m", "rung.cli.main", *command(lab, out, *told)]
    killed = subprocess.Popen(program, stderr=subprocess.DEVNULL, env=os.environ)
    while not (out / "metrics.jsonl").exists() or len(rows_so_far(out)) < 5:
        assert killed.poll() is None
        time.sleep(0.02)
    killed.send_signal(signal.SIGKILL)
    killed.wait()
    assert not (out / "training.json").exists()
    assert main(command(lab, out, *told)) == 0
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
def test_every_way_of_paying_runs(lab, tmp_path, told):
    out = tmp_path / "policy"
    assert main(command(lab, out, "--iterations", "2", *told)) == 0
    assert all(row["gradient_norm"] >= 0 for row in rows(out) if "gradient_norm" in row)


def test_an_online_prm_learns_outcomes_and_pays(lab, tmp_path):
    out = tmp_path / "policy"
    told = command(lab, out, "--iterations", "3", "--form", "implicit", "--online")
    told = [word for word in told if word != "--labels"]
    told.remove("lab")
    assert main([*told, "--prm-lr", "1e-2"]) == 0
    losses = [row["prm_loss"] for row in rows(out) if "prm_loss" in row]
    assert len(losses) == 3
    scored = tmp_path / "scored.jsonl"
    prm = str(out / "prm")
    assert main(["score", str(lab / "chains.jsonl"), "--scorer", prm, "--out", str(scored)]) == 0


@pytest.mark.parametrize(
    ("told", "said"),
    [
        (["--n", "1"], "n is 1, expected at least 2"),
        (["--problems", "400"], "a round takes 400 problems"),
        (["--form", "outcome"], "steps are not paid for"),
        (["--verifier", "none"], "paying for outcomes needs a verifier"),
        (["--policy", "nowhere"], "nowhere"),
        (["--baseline", "group", "--discount", "0.5"], "discount has no meaning"),
    ],
)
def test_what_makes_no_sense_is_refused(lab, tmp_path, capsys, told, said):
    assert main(command(lab, tmp_path / "out", *told)) == 2
    assert said in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
