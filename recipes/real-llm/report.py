"""The README's tables, made from results.json, so that no number in them is typed by hand."""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from measure import RULE, SHOWN
from pages import IMAGES, RESULTS_PAGE, interval, made, percent, points, put, table, write_results

HERE = Path(__file__).resolve().parent
PICTURE = IMAGES / "real-llm.svg"
SAMPLES = HERE / "samples.jsonl.gz"
_VIEWS = {"all": "all problems", "with_a_right_chain": "problems with a right chain"}
_SHOWN_NS = (1, 4, 16, 64)


def publish(results: Mapping[str, Any], out: Path) -> None:
    """Keep the results and the scored chains here, the tables in the pages, and the picture."""
    write_results(results, HERE / "results.json")
    put(HERE / "README.md", "results", tables(results))
    put(RESULTS_PAGE, "real-llm", short(results))
    shutil.copyfile(out / SAMPLES.name, SAMPLES)
    shutil.copyfile(out / "curves.svg", PICTURE)


def publish_second_run(results: Mapping[str, Any]) -> None:
    """Keep what a second run of the first try gave here, and its tables in the README."""
    write_results(results, HERE / "results-second-run.json")
    put(HERE / "README.md", "second-run", tables(results))


def publish_again(results: Mapping[str, Any]) -> None:
    """Keep what the second try gave here, and its tables in the README."""
    write_results(results, HERE / "results-again.json")
    put(HERE / "README.md", "again", tables_again(results))


def tables_again(results: Mapping[str, Any]) -> str:
    """The second try's curves, differences and trainings."""
    views = results["views"]
    parts = [made(results), _curves(views["all"]), _differences(views)]
    return "\n\n".join([*parts, table(_WORK, list(_rewards(results)))])


def tables(results: Mapping[str, Any]) -> str:
    """What was run, the curves of both views, and the paired differences."""
    views = results["views"]
    parts = [_about(results), _curves(views["all"])]
    return "\n\n".join([*parts, _differences(views), _work(results)])


def short(results: Mapping[str, Any]) -> str:
    """What docs/results.md shows: the paired differences first, then the curves."""
    views = results["views"]
    return "\n\n".join([_about(results), _differences(views), _curves(views["all"])])


def _about(results: Mapping[str, Any]) -> str:
    found = results["views"]["all"]
    won = results["views"].get("with_a_right_chain", {"num_problems": 0})
    said = f"{found['num_problems']} test problems x {found['ns'][-1]} chains, of which "
    said += f"{percent(found['pass_at_1'])} % are right; {won['num_problems']} problems have a "
    said += "right chain. A random pick is wrong at all of them with a probability of "
    said += f"{percent(found['random_fails_everywhere'])} %. "
    return said + made(results)


def _curves(found: Mapping[str, Any]) -> str:
    places = [k for k, n in enumerate(found["ns"]) if n in _SHOWN_NS]
    rows = [
        [name, *(interval(found["curves"][name][k], of="accuracy") for k in places)]
        for name in SHOWN
    ]
    return table(["right, %", *(f"N = {found['ns'][k]}" for k in places)], rows)


def _differences(views: Mapping[str, Any]) -> str:
    rows: list[list[str]] = []
    for view, about in _VIEWS.items():
        if view in views:
            found = views[view]
            rows += [
                [about, f"{found['num_problems']}", name, *_compared(gap)]
                for name, gap in _gaps(found).items()
            ]
    n = views["all"]["ns"][-1]
    return table(["over", "problems", f"points at N = {n}", "difference", "p", "won, lost"], rows)


def _gaps(found: Mapping[str, Any]) -> dict[str, Any]:
    prm = f"prm_{RULE}"
    paired = {f"{prm} - {other}": found["gaps"][f"{prm}_minus_{other}"][-1] for other in _OTHERS}
    return paired | {f"{name} - random": gap for name, gap in found["over_random"].items()}


_OTHERS = ("orm", "majority")


def _compared(gap: Mapping[str, Any]) -> list[str]:
    difference = points(gap)
    return [difference, f"{gap['p_value']:.3f}", f"{gap['wins']}, {gap['losses']}"]


_WORK = ("trained", "chains", "targets", "tokens", "steps", "minutes", "loss", "chain AUROC")


def _work(results: Mapping[str, Any]) -> str:
    """What each training read, and how the chains are ranked by what came of it."""
    policy = ["policy", *_training(results["policy_training"]), ""]
    decided = ", ".join(f"{count} {by}" for by, count in results["labels"].items())
    shown = table(_WORK, [policy, *_rewards(results)])
    return f"{shown}\n\nThe PRM's step labels, by who gave them: {decided}."


def _rewards(results: Mapping[str, Any]) -> Iterator[list[str]]:
    """A row for the PRM and one for the ORM."""
    auroc = results["views"]["all"]["chain_auroc"]
    for kind, name in (("prm", f"prm_{RULE}"), ("orm", "orm")):
        training = _training(results["reward_training"][kind])
        yield [kind.upper(), *training, _share(auroc[name])]


def _training(report: Mapping[str, Any]) -> list[str]:
    counts = report["train"]
    numbers = (counts["chains_used"], counts["targets"], report["tokens"], report["steps"])
    minutes = f"{report['seconds'] / 60:.0f}"
    return [*map(str, numbers), minutes, f"{report['train_loss']:.3f}"]


def _share(value: float | None) -> str:
    return "" if value is None else f"{value:.3f}"
