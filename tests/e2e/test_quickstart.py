"""The loop at toy size: the schema of its results, the same numbers twice, and going on."""

import signal
import subprocess
import sys
import textwrap
from dataclasses import replace
from pathlib import Path
from typing import Any

import msgspec
import pytest

from rung.core import InputError, read_records
from rung.loop import quickstart, run_quickstart
from toy_quickstart import TOY, one_after_the_other


def numbers(folder: Path) -> dict[str, Any]:
    """results.json without what the clock says."""
    results = msgspec.json.decode((folder / "results.json").read_bytes())
    stages = [(stage["name"], stage["tokens"]) for stage in results.pop("stages")]
    results.pop("seconds")
    return {**results, "stages": stages}


@pytest.fixture(scope="module")
def unbroken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("quickstart") / "out"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(quickstart, "run_side_by_side", one_after_the_other)
        run_quickstart(TOY, folder)
    return folder


def test_results_have_the_promised_schema(unbroken: Path) -> None:
    results = msgspec.json.decode((unbroken / "results.json").read_bytes())
    assert results["seed"] == 5
    assert results["seconds"] > 0
    assert 0 <= results["pass_at_1"] <= 1
    assert {"prm_min", "prm_product", "orm", "majority", "oracle"} <= set(results["curves"])
    for points in results["curves"].values():
        assert [point["n"] for point in points] == [1, 2, 4]
        assert all(0 <= p["low"] <= p["accuracy"] <= p["high"] <= 1 for p in points)
    html = (unbroken / "report.html").read_text()
    assert "rung quickstart --seed 5" in html


def test_every_chain_is_labeled_and_scored_and_no_problem_stands_in_two_splits(
    unbroken: Path,
) -> None:
    scored = list(read_records(unbroken / "scored.jsonl.gz"))
    assert len(scored) == 40
    for record in scored:
        assert record.outcome is not None and record.labels[0].labels[0] is not None
        assert {s.scorer for s in record.scores} == {"prm", "orm"}
    splits = [
        {r.chain.problem.question for r in read_records(unbroken / f"{name}.jsonl.gz")}
        for name in ("demonstrations", "train", "validation", "test")
    ]
    assert sum(map(len, splits)) == len(set().union(*splits)) == 230


def test_a_killed_run_goes_on_and_ends_with_the_same_numbers(
    unbroken: Path, tmp_path: Path
) -> None:
    """Also: one seed gives the same numbers twice, whether jobs have processes of their own or not.

    The killed run does all in its own process; the last one trains side by side.
    """
    code = textwrap.dedent(
        """
        import os, signal, sys
        from pathlib import Path
        sys.path.insert(0, sys.argv[2])
        from toy_quickstart import TOY, one_after_the_other
        from rung.loop import quickstart, run_quickstart

        class Kills:
            def start(self, what, total=None):
                pass
            def advance(self, units=1, note=""):
                os.kill(os.getpid(), signal.SIGKILL)
            def log(self, message):
                pass

        def run(what, jobs, progress):
            progress = Kills() if what == quickstart.TRAIN else progress
            return one_after_the_other(what, jobs, progress)

        quickstart.run_side_by_side = run
        run_quickstart(TOY, Path(sys.argv[1]))
        """
    )
    here = str(Path(__file__).parents[1])
    done = subprocess.run([sys.executable, "-c", code, str(tmp_path / "out"), here])
    assert done.returncode == -signal.SIGKILL
    assert (tmp_path / "out" / "test.jsonl.gz").exists()
    assert not (tmp_path / "out" / "results.json").exists()
    run_quickstart(TOY, tmp_path / "out")
    assert numbers(tmp_path / "out") == numbers(unbroken)


def test_a_folder_with_another_run_is_refused(unbroken: Path) -> None:
    with pytest.raises(InputError, match="other settings"):
        run_quickstart(replace(TOY, seed=6), unbroken)
