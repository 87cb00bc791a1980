"""Two processes train what one trains, with all weights in each or a share, and go on alike."""

import contextlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from processes import end_well, kill, start_two
from rung import RungError, write_records
from rung.cli.main import main
from rung.train.distributed import World, launch_notes, launched_strategy
from rung.train.state import Position, RunState
from toy_chains import make_toy_trunk, solved, toy_records

TOLD = ["--num_processes", "2", "--num_machines", "1", "--mixed_precision", "no"]
TOLD += ["--dynamo_backend", "no", "--main_process_port", "0"]
LAUNCH = [Path(sys.executable).parent / "accelerate", "launch", *TOLD]
"""With --cpu, accelerate starts one process, whatever their number is to be."""
LAUNCHED = {
    "ddp": (["--multi_gpu"], "2 processes train, each with all weights"),
    "fsdp": (["--use_fsdp", "--fsdp_version", "2"], "2 processes train, each with a share of the"),
}
OPTIONS = ["--validation-fraction", "0.2", "--batch-tokens", "128", "--accumulation", "2"]
OPTIONS += ["--epochs", "2", "--lr", "3e-3", "--evaluate-every", "4", "--patience", "0"]
OPTIONS += ["--save-every", "2", "--json"]


@pytest.fixture(scope="module")
def inputs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("inputs")
    make_toy_trunk(folder / "trunk")
    write_records(folder / "chains.jsonl", toy_records(60))
    return folder


def verb(inputs: Path, out: Path, *options: str) -> list[str]:
    words = ["train", "prm", str(inputs / "chains.jsonl"), "--trunk", str(inputs / "trunk")]
    return [*words, "--out", str(out), *OPTIONS, *options]


def rows(out: Path) -> list[dict]:
    found = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [{name: value for name, value in row.items() if name != "seconds"} for row in found]


def losses(out: Path) -> list[float]:
    return [row.get("loss", row.get("validation_loss")) for row in rows(out)]


@pytest.fixture(scope="module")
def alone(inputs: Path) -> tuple[Path, dict]:
    out, printed = inputs / "alone", io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(verb(inputs, out)) == 0
    return out, json.loads(printed.getvalue())


@pytest.fixture(scope="module", params=LAUNCHED)
def launched(inputs: Path, request: pytest.FixtureRequest) -> tuple[Path, dict]:
    """What two processes made that accelerate has started, told of the strategy by it alone."""
    out, (how, said) = inputs / request.param, LAUNCHED[request.param]
    env = {**os.environ, "OMP_NUM_THREADS": "1", "CUDA_VISIBLE_DEVICES": ""}
    words = [*map(str, LAUNCH), *how, "-m", "rung.cli.main", *verb(inputs, out)]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=1800)
    assert done.returncode == 0, done.stderr[-3000:]
    assert said in done.stderr
    return out, json.loads(done.stdout)


def test_two_processes_give_the_losses_of_one(alone, launched):
    (out, report), (there, found) = alone, launched
    assert losses(there) == pytest.approx(losses(out), rel=1e-4)
    assert found["best_step"] == report["best_step"]
    assert {p.name for p in there.iterdir()} == {p.name for p in out.iterdir()}
    for name in ("config.json", "rung.json"):
        assert (there / name).read_text() == (out / name).read_text()


@pytest.mark.parametrize("launched", ["fsdp"], indirect=True)
def test_a_killed_sharded_run_goes_on_exactly_in_as_many_processes_and_in_one_and_in_two_again(
    inputs, alone, launched, tmp_path, monkeypatch
):
    here, again = tmp_path / "prm", verb(inputs, tmp_path / "prm", "--strategy", "fsdp")
    processes = start_two(again)
    deadline_s = time.monotonic() + 1800
    while not (here / "state" / "latest.safetensors").exists():
        assert all(one.is_alive() for one in processes) and time.monotonic() < deadline_s
        time.sleep(0.02)
    kill(*processes)
    assert not (here / "rung.json").exists()
    resharded = shutil.copytree(here, tmp_path / "one")
    end_well(*start_two(again))
    whole, _ = launched
    assert rows(here) == rows(whole)
    ours, theirs = (load_file(out / "model.safetensors") for out in (here, whole))
    assert all(torch.equal(ours[name], theirs[name]) for name in theirs)

    with monkeypatch.context() as stopping:
        stopping.setattr(RunState, "save", save_and_stop)
        assert main(verb(inputs, resharded)) == 130
    assert len(losses(here)) > len(losses(resharded)) > 0
    end_well(*start_two(verb(inputs, resharded, "--strategy", "fsdp")))
    assert losses(resharded) == pytest.approx(losses(alone[0]), rel=1e-4)
    assert not (resharded / "state").exists()


SHORT = ["--validation-fraction", "0.2", "--batch-tokens", "128", "--accumulation", "2"]
SHORT += ["--epochs", "1", "--lr", "3e-3", "--patience", "0"]
SHARED = {
    "prm": ["--lora", "2", "--checkpointing", "--precision", "bf16", "--head", "tokens"],
    "implicit": ["--loss", "dpo"],
}
SHARED["prm"] += ["--label-words", " good", " bad"]


@pytest.mark.parametrize("what", SHARED)
def test_two_processes_with_shares_give_the_weights_of_one_whatever_learns(
    inputs: Path, tmp_path: Path, what: str
):
    records = toy_records(16) if what == "prm" else [solved(p, k) for p in range(8) for k in (0, 1)]
    write_records(tmp_path / "chains.jsonl", records)
    words = ["train", what, str(tmp_path / "chains.jsonl"), "--trunk", str(inputs / "trunk")]
    words += [*SHORT, *SHARED[what], "--out"]
    processes = start_two([*words, str(tmp_path / "two"), "--strategy", "fsdp"])
    assert main([*words, str(tmp_path / "one")]) == 0
    end_well(*processes)
    assert losses(tmp_path / "two") == pytest.approx(losses(tmp_path / "one"), rel=1e-4)
    one, two = (load_file(tmp_path / out / "model.safetensors") for out in ("one", "two"))
    assert one.keys() == two.keys()
    for name, weight in one.items():
        torch.testing.assert_close(two[name], weight, rtol=1e-3, atol=1e-5)


SAVE = RunState.save


def save_and_stop(state, position):
    SAVE(state, position)
    raise KeyboardInterrupt


def test_every_process_goes_on_with_its_own_random_numbers(tmp_path, monkeypatch):
    drawn = [torch.Generator().manual_seed(seed).get_state() for seed in (1, 2)]
    monkeypatch.setattr(World, "gathered", lambda self, tensor: drawn)
    monkeypatch.setattr(World, "wait", lambda self: None)
    model = torch.nn.Linear(2, 1)

    def state(rank: int) -> RunState:
        optimizer = torch.optim.AdamW(model.parameters())
        return RunState(tmp_path, model, optimizer, World(rank=rank, size=2))

    state(0).save(Position(step=1))
    with torch.random.fork_rng(devices=[]):
        for rank, expected in enumerate([*drawn, drawn[0]]):  # of three, the last one is new
            assert state(rank).restore(Position()).step == 1
            assert torch.equal(torch.get_rng_state(), expected)


def test_what_accelerate_was_told_is_heard():
    assert launched_strategy({}) == "ddp"
    assert launched_strategy({"ACCELERATE_USE_FSDP": "true"}) == "fsdp"
    with pytest.raises(RungError, match="told to use DeepSpeed, which rung does not"):
        launched_strategy({"ACCELERATE_USE_DEEPSPEED": "true"})
    bf16 = {"ACCELERATE_MIXED_PRECISION": "bf16"}
    assert launch_notes(World(), "bf16", bf16) == launch_notes(World(), "fp32", {}) == []
    [note] = launch_notes(World(), "fp32", bf16)
    assert "accelerate launch says mixed precision bf16, this run is in fp32" in note


@pytest.mark.usefixtures("two_processes")
def test_fewer_batches_a_step_than_processes_is_refused(inputs, tmp_path, capsys):
    assert main(verb(inputs, tmp_path / "prm", "--accumulation", "1")) == 2
    assert "accumulation is 1, expected at least 2" in capsys.readouterr().err
