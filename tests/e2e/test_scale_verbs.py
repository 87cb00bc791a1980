"""Every verb that takes `--ray`, with one worker in this process in the place of Ray's."""

import json
from collections.abc import Iterator, Sequence
from pathlib import Path

import cloudpickle
import pytest

from chat_stand_in import said
from rung.cli.main import main
from rung.core import Chain, ChainRecord, Problem, RungError, write_records
from rung.label import scale
from rung.label.scale import Cluster, Open, _Actor, _table, unpack
from vllm_stand_in import stand_in

BLOCKS_SENT: list[int] = []


@pytest.fixture(autouse=True)
def one_worker_here(monkeypatch: pytest.MonkeyPatch) -> None:
    BLOCKS_SENT.clear()

    def finished(open: Open, packed: Sequence[bytes], _: Cluster) -> Iterator[tuple[int, bytes]]:
        actor = _Actor(cloudpickle.loads(cloudpickle.dumps(open)))
        BLOCKS_SENT.append(len(packed))
        for index in reversed(range(len(packed))):  # the last one is finished first
            [row] = actor(_table(index=index, block=packed[index])).to_pylist()
            if row["failure"]:
                raise RungError(row["failure"])
            yield index, unpack(row["made"])

    monkeypatch.setattr(scale, "_finished", finished)


@pytest.fixture
def chains(tmp_path: Path) -> Path:
    """Chains of many problems, three of each, scattered over the file."""
    rows = [
        ChainRecord(Chain.of(Problem(f"{p}", f"What is 3 + {p}?", f"{3 + p}"), texts))
        for texts in (["We add.", "#### 9"], ["3 + 4 = 7", "#### 4"], ["3 + 4 = 8"])
        for p in range(100)
    ]
    write_records(tmp_path / "chains.jsonl", rows)
    return tmp_path / "chains.jsonl"


def run(out: Path, *words: object) -> bytes:
    assert main([*map(str, words), "--out", str(out)]) == 0
    return out.read_bytes()


@pytest.mark.parametrize("verb", ["verify", "score", "sample"])
def test_the_output_is_that_of_one_machine(
    verb: str,
    chains: Path,
    tiny_prm: Path,
    tiny_lm: Path,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    short = ["--max-tokens", 4, "--max-batch-chains", 64]
    words = {
        "verify": ["label", "verify", chains, "--verifier", "arithmetic", "--verifier", "answer"],
        "score": ["score", chains, "--scorer", tiny_prm],
        "sample": ["sample", chains, "--policy", tiny_lm, "--n", 2, *short],
    }[verb]
    here = run(tmp_path / "here.jsonl", *words)
    assert run(tmp_path / "ray.jsonl", *words, "--ray") == here
    assert BLOCKS_SENT[0] > 1
    costs = {"here.jsonl.cost.json"} if verb == "score" else set[str]()
    left = {path.name for path in tmp_path.iterdir() if path.suffix != ".made"} - costs
    assert left == {"chains.jsonl", "here.jsonl", "ray.jsonl"}
    assert "is there, made from the same" not in capsys.readouterr().err
    assert run(tmp_path / "here.jsonl", *words) == here
    assert "is there, made from the same" in capsys.readouterr().err


@pytest.mark.parametrize("verb", ["rollout", "omega"])
def test_rollouts_are_those_of_one_machine_and_are_logged(
    verb: str, chains: Path, tiny_lm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["label", verb, chains, "--policy", tiny_lm, "--k", 2, "--max-tokens", 3]
    words += ["--max-batch-chains", 48, "--json"]
    here = run(tmp_path / "here.jsonl", *words)
    first = json.loads(capsys.readouterr().out)
    on_ray = [*words, "--ray"]
    assert run(tmp_path / "ray.jsonl", *on_ray) == here
    second = json.loads(capsys.readouterr().out)
    assert {**second, "out": ""} == {**first, "out": ""}
    assert second["new_rollouts"] == second["rollouts"] > 0
    run(tmp_path / "ray.jsonl", *on_ray)
    assert json.loads(capsys.readouterr().out)["new_rollouts"] == 0
    assert len(BLOCKS_SENT) == 2 and BLOCKS_SENT[0] > 1 and BLOCKS_SENT[1] == 0


def test_a_judge_answers_as_on_one_machine(chains: Path, tmp_path: Path) -> None:
    words = ["label", "judge", chains, "--model", "m", "--at-once", 4]
    with stand_in(lambda *_: said(r"\boxed{-1}")) as server:
        words += ["--url", f"{server.url}/v1"]
        here = run(tmp_path / "here.jsonl", *words)
        asked = len(server.asked)
        assert run(tmp_path / "ray.jsonl", *words, "--ray") == here
        assert len(server.asked) == 2 * asked


def test_what_ray_can_not_do_is_said(
    chains: Path, tiny_lm: Path, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    out = ["--out", str(tmp_path / "o.jsonl")]
    verify = ["label", "verify", str(chains), *out]
    assert main([*verify, "--ray", str(chains)]) == 2
    assert "files go before --ray" in capsys.readouterr().err
    assert main([*verify, "--ray-workers", "2"]) == 2
    assert "need --ray" in capsys.readouterr().err
    assert main([*verify, "--ray", "--ray-workers", "0"]) == 2
    assert "expected at least 1" in capsys.readouterr().err
    rollout = ["label", "rollout", str(chains), "--policy", str(tiny_lm), *out]
    assert main([*rollout, "--ray", "--max-rollouts", "3"]) == 2
    assert "--max-rollouts" in capsys.readouterr().err
