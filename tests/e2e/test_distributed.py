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
import torch.distributed as dist
from torch.testing._internal.distributed.fake_pg import FakeStore

from processes import kill, start_two
from rung import write_records
from rung.cli.main import main
from toy_chains import make_toy_trunk, toy_records

BIN = Path(sys.executable).parent
TWO = {
    "torchrun": [BIN / "torchrun", "--standalone", "--nproc-per-node", "2"],
    "accelerate": [BIN / "accelerate", "launch", "--cpu", "--num_processes", "2"],
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


def train(inputs: Path, out: Path, launcher: str, *options: str) -> dict:
    env = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    words = [*map(str, TWO[launcher]), "-m", "rung.cli.main", *verb(inputs, out, *options)]
    done = subprocess.run(words, env=env, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-3000:]
    return json.loads(done.stdout)


def losses(out: Path) -> list[float]:
    rows = [json.loads(line) for line in (out / "metrics.jsonl").read_text().splitlines()]
    return [row.get("loss", row.get("validation_loss")) for row in rows]


@pytest.fixture(scope="module")
def alone(inputs: Path) -> tuple[Path, dict]:
    out, printed = inputs / "alone", io.StringIO()
    with contextlib.redirect_stdout(printed):
        assert main(verb(inputs, out)) == 0
    return out, json.loads(printed.getvalue())


@pytest.mark.parametrize(("launcher", "strategy"), [("torchrun", "fsdp"), ("accelerate", "ddp")])
def test_two_processes_give_the_losses_of_one(inputs, alone, tmp_path, launcher, strategy):
    out, report = alone
    found = train(inputs, tmp_path / "prm", launcher, "--strategy", strategy)
    assert losses(tmp_path / "prm") == pytest.approx(losses(out), rel=1e-4)
    assert found["best_step"] == report["best_step"]
    assert {p.name for p in (tmp_path / "prm").iterdir()} == {p.name for p in out.iterdir()}
    for name in ("config.json", "rung.json"):
        assert (tmp_path / "prm" / name).read_text() == (out / name).read_text()


def test_a_killed_sharded_run_goes_on_in_one_process(inputs, alone, tmp_path):
    out, _ = alone
    here = tmp_path / "prm"
    processes = start_two(verb(inputs, here, "--strategy", "fsdp"))
    deadline_s = time.monotonic() + 200
    while not (here / "state" / "latest.safetensors").exists():
        assert all(one.is_alive() for one in processes) and time.monotonic() < deadline_s
        time.sleep(0.02)
    kill(*processes)
    assert not (here / "rung.json").exists()
    assert main(verb(inputs, here)) == 0
    assert losses(here) == pytest.approx(losses(out), rel=1e-4)
    assert not (here / "state").exists()
    shutil.rmtree(here)


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch):
    """This process is the first of two, of which the other does nothing."""
    monkeypatch.setenv("WORLD_SIZE", "2")
    dist.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    yield
    dist.destroy_process_group()


@pytest.mark.usefixtures("two_processes")
def test_fewer_batches_a_step_than_processes_is_refused(inputs, tmp_path, capsys):
    assert main(verb(inputs, tmp_path / "prm", "--accumulation", "1")) == 2
    assert "accumulation is 1, expected at least 2" in capsys.readouterr().err
