"""`--ray` on a real Ray cluster of two workers at most, in which processes are killed.

A worker takes seconds to start, more with torch in it: there are no more of them than a test needs.
"""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from chat_stand_in import said
from ray_blocks import killed_once, pids, shouting
from rung.cli.main import main
from rung.core import Chain, ChainRecord, Problem, UnavailableError, write_records
from rung.label import scale
from rung.label.chat import BATCH
from rung.label.scale import Cluster, Open, finished, in_order
from vllm_stand_in import stand_in

pytest.importorskip("ray", reason="needs the package ray")
# Ray's own warnings and the sockets that it leaves open at the end are not ours to mend.
pytestmark = pytest.mark.filterwarnings("ignore")
# Ray starts its workers at niceness 15: beside other tests they would hardly be run at all.
os.environ.setdefault("RAY_worker_niceness", "0")
TWO = Cluster(workers=2)
WORKERS_PATH = os.pathsep.join([str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")])
"""Where Ray's workers find `ray_blocks`."""
BLOCKS = [f"block{k}".encode() for k in range(6)]


@pytest.fixture(scope="module")
def cluster() -> Iterator[None]:
    """One cluster for all tests; what rung starts itself is seen by the test of the driver."""
    from rung.label.scale import _how, _ray

    ray = _ray()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("PYTHONPATH", WORKERS_PATH)
        ray.init(**_how(TWO))
        yield
        ray.shutdown()


@pytest.mark.parametrize("address", ["127.0.0.1:1", "ray://127.0.0.1:1", "host:port"])
def test_a_cluster_that_is_not_there_is_said_at_once(address: str, tmp_path: Path) -> None:
    """Before any cluster is there: a process that is connected looks for no other."""
    with pytest.raises(UnavailableError, match=f"no Ray cluster at '{address}'"):
        list(finished(partial(shouting, str(tmp_path), 0.0), BLOCKS, Cluster(address=address)))


def test_a_killed_driver_goes_on(tmp_path: Path, request: pytest.FixtureRequest) -> None:
    """The killed one has started a cluster itself; the other is connected to one."""
    code = (
        "import sys; from functools import partial; from pathlib import Path;"
        "from ray_blocks import shouting; from rung.label.scale import Cluster, in_order;"
        "work = partial(shouting, sys.argv[1], 1.0);"
        "blocks = [f'block{k}'.encode() for k in range(6)];"
        "print(*in_order(work, blocks, Cluster(workers=2), Path(sys.argv[2]), 'f'))"
    )
    kept = tmp_path / "kept"
    command = [sys.executable, "-c", code, str(tmp_path), str(kept)]
    env = {**os.environ, "PYTHONPATH": WORKERS_PATH}
    process = subprocess.Popen(command, env=env, stderr=subprocess.DEVNULL)
    deadline_s = time.monotonic() + 240
    while not (kept.is_dir() and len(list(kept.iterdir())) >= 2):
        assert time.monotonic() < deadline_s and process.poll() is None
        time.sleep(0.1)
    process.kill()
    process.wait()
    names = {path.name for path in kept.iterdir() if not path.name.endswith(".tmp")}
    before = pids(tmp_path, "done")
    request.getfixturevalue("cluster")  # now, since two clusters at once slow each other down
    made = in_order(partial(shouting, str(tmp_path), 0.0), BLOCKS, TWO, kept, "f")
    assert list(made) == [block.upper() for block in BLOCKS]
    again = {
        b: who for b, who in pids(tmp_path, "done").items() if len(who) > len(before.get(b, []))
    }
    assert len(again) == len(BLOCKS) - len(names), "what the driver had is not made again"


@pytest.mark.usefixtures("cluster")
def test_a_killed_worker_costs_only_the_block_in_its_hands(tmp_path: Path) -> None:
    made: dict[int, bytes] = {}
    killed = None
    for index, shouted in finished(partial(shouting, str(tmp_path), 0.5), BLOCKS, TWO):
        made[index] = shouted
        if killed is None:
            begun, done = pids(tmp_path, "begun"), pids(tmp_path, "done")
            # where both workers are between two blocks just now, look again after the next one
            killed = next((block for block in begun if block not in done), None)
            if killed is not None:
                os.kill(begun[killed][0], signal.SIGKILL)
    assert made == {k: block.upper() for k, block in enumerate(BLOCKS)}
    begun, done = pids(tmp_path, "begun"), pids(tmp_path, "done")
    assert killed is not None
    assert sorted(block for block, who in begun.items() if len(who) > 1) == [killed]
    assert {len(who) for who in done.values()} == {1}, "what was done once is not done again"
    assert begun[killed] == [begun[killed][0], *done[killed]], "a new worker made it again"
    assert done[killed] != begun[killed][:1]


@pytest.mark.usefixtures("cluster")
def test_a_block_that_kills_its_workers_ends_the_work_and_what_is_finished_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(scale, "DEATHS", 1)
    kept, made = tmp_path / "kept", list[bytes]()
    work = partial(shouting, str(tmp_path), 0.0)
    with pytest.raises(UnavailableError, match="Ray can't go on"):
        for block in in_order(work, [*BLOCKS[:4], b"deadly"], Cluster(workers=1), kept, "f"):
            made.append(block)
    assert len(pids(tmp_path, "begun")["deadly"]) == 2, "it was tried again"
    assert b"".join(made) == b"".join(BLOCKS[: len(made)]).upper()
    assert {path.read_bytes() for path in kept.iterdir()} >= set(made) != set()


def written(tmp_path: Path, num_problems: int) -> Path:
    """Chains of many problems, three of each, scattered over the file."""
    rows = [
        ChainRecord(Chain.of(Problem(f"{p}", f"What is 3 + {p}?", f"{3 + p}"), texts))
        for texts in (["We add.", "#### 9"], ["3 + 4 = 7", "#### 4"], ["3 + 4 = 8"])
        for p in range(num_problems)
    ]
    write_records(tmp_path / "chains.jsonl", rows)
    return tmp_path / "chains.jsonl"


def run(out: Path, *words: object) -> bytes:
    assert main([*map(str, words), "--out", str(out)]) == 0
    return out.read_bytes()


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where workers tell what they do; one of them is killed on the way."""
    folder = tmp_path / "told"
    folder.mkdir()
    over_ray = scale._finished

    def finished(open: Open, packed: Sequence[bytes], cluster: Cluster) -> Iterator[Any]:
        return over_ray(partial(killed_once, str(folder), open), packed, cluster)

    monkeypatch.setattr(scale, "_finished", finished)
    return folder


def begun_again(folder: Path) -> int:
    """How often a block was begun again, and that none was that had been done.

    One worker is killed with a block in its hands. That no other ever dies is not ours to promise.
    """
    begun, done = pids(folder, "begun"), pids(folder, "done")
    assert begun.keys() == done.keys() and len(begun) > 1
    assert {len(who) for who in done.values()} == {1}, "what was done once is not done again"
    assert all(who[-1:] == done[block] for block, who in begun.items()), "the dead one finished it"
    return sum(len(who) - 1 for who in begun.values())


@pytest.mark.usefixtures("cluster")
@pytest.mark.parametrize("verb", ["verify", "score", "rollout"])
def test_with_a_killed_worker_the_output_is_that_of_one_machine(
    verb: str, tiny_lm: Path, tiny_prm: Path, folder: Path, tmp_path: Path
) -> None:
    chains = written(tmp_path, 20 if verb == "rollout" else 90)  # a block is 256 rows of others
    policy = ["--policy", tiny_lm, "--max-tokens", 3, "--max-batch-chains", 24]
    workers = 2 if verb == "verify" else 1
    words = {
        "verify": ["label", "verify", chains, "--verifier", "arithmetic", "--verifier", "answer"],
        "score": ["score", chains, "--scorer", tiny_prm],
        "rollout": ["label", "rollout", chains, "--k", 2, *policy],
    }[verb]
    here = run(tmp_path / "here.jsonl", *words)
    assert run(tmp_path / "ray.jsonl", *words, "--ray", "--ray-workers", workers) == here
    assert begun_again(folder) >= 1
    left = {path.name for path in tmp_path.iterdir() if path.suffix != ".made"}
    left -= {"told", "chains.jsonl"}
    logs = {f"{name}.jsonl.rollouts" for name in ("here", "ray") if verb == "rollout"}
    costs = {"here.jsonl.cost.json"} if verb == "score" else set[str]()
    assert left == {"here.jsonl", "ray.jsonl"} | logs | costs


@pytest.mark.usefixtures("cluster")
def test_with_a_killed_worker_a_judge_is_asked_again_for_its_block_alone(
    folder: Path, tmp_path: Path
) -> None:
    chains = written(tmp_path, 20)
    words = ["label", "judge", chains, "--model", "m", "--at-once", 4]
    with stand_in(lambda *_: said(r"\boxed{-1}")) as server:
        words += ["--url", f"{server.url}/v1"]
        here = run(tmp_path / "here.jsonl", *words)
        asked = len(server.asked)
        assert run(tmp_path / "ray.jsonl", *words, "--ray", "--ray-workers", 1) == here
        before, again = len(server.asked), begun_again(folder)
        assert asked < before - asked <= asked + again * BATCH
        run(tmp_path / "ray.jsonl", *words, "--ray", "--ray-workers", 1)
        assert len(server.asked) == before, "what is in the log is not asked again"
