"""The tables and the pictures, made from results.json."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cells import CHOSEN, RANDOM
from measure import ARMS, FIRST, PRM
from pages import (
    IMAGES,
    RESULTS_PAGE,
    holds,
    image,
    interval,
    made,
    percent,
    points,
    put,
    table,
    write_results,
)

from rung.core.files import replacing
from rung.eval.share_chart import Series, Share, share_chart

HERE = Path(__file__).resolve().parent
DRAWN = {
    PRM: ("PRM (min)", "prm", "none"),
    "orm": ("ORM, last step", "orm", "10 4"),
    "majority": ("majority vote", "majority", "4 3"),
}
CALLED = {
    FIRST: "the first {start:,}",
    RANDOM: "+ as many random ones",
    "doubt": "+ as many chosen by doubt",
    "convincing": "+ as many convincing ones",
}


def show(results: Mapping[str, Any]) -> str:
    """What was claimed, the curve, each seed, and what choosing buys."""
    return "\n\n".join([short(results), _by_seed(results), _choices(results)])


def short(results: Mapping[str, Any]) -> str:
    """What docs/results.md shows of it."""
    said = (
        f"{len(results['seeds'])} seeds, {results['sizes'][0]['num_problems']} problems in all."
        f" {made(results)}"
    )
    rows = [[claim["claim"], holds(claim), claim["said"]] for claim in results["claims"]]
    return "\n\n".join([said, table(["claim", "holds", "points"], rows), _sizes(results)])


def _sizes(results: Mapping[str, Any]) -> str:
    ns = [point["n"] for point in results["sizes"][0]["gap"]]
    head = ["chains labeled", "steps labeled", "epochs"]
    for n in ns:
        head += [f"PRM, best of {n}", f"ORM, best of {n}", f"PRM minus ORM, N = {n}"]
    rows = [
        [
            f"{row['chains']:,}",
            f"{row['steps']:,.0f}",
            str(row["epochs"]),
            *(cell for k in range(len(ns)) for cell in _at(row, k)),
        ]
        for row in results["sizes"]
    ]
    return table(head, rows)


def _at(row: Mapping[str, Any], k: int) -> list[str]:
    prm, orm = (interval(row["curves"][name][k], of="accuracy") for name in (PRM, "orm"))
    return [prm, orm, points(row["gap"][k])]


def _by_seed(results: Mapping[str, Any]) -> str:
    ns = [point["n"] for point in results["sizes"][0]["gap"]]
    head = ["PRM minus ORM, points", "N", *(f"seed {seed}" for seed in results["seeds"])]
    rows = [
        [f"{row['chains']:,} chains", str(n), *(f"{100 * seed[k]:+.1f}" for seed in row["by_seed"])]
        for row in results["sizes"]
        for k, n in enumerate(ns)
    ]
    return table(head, rows)


def _choices(results: Mapping[str, Any]) -> str:
    n = results["choices"][0]["ns"][-1]
    accuracies = [f"best of {n}" for n in results["choices"][0]["ns"]]
    head = ["PRM of", *accuracies, f"minus random, N = {n}", "each seed"]
    head += ["added: wrong answers, %", "steps"]
    return table(head, [_choice(row, arm) for row in results["choices"] for arm in (FIRST, *ARMS)])


def _choice(row: Mapping[str, Any], arm: str) -> list[str]:
    accuracies = [interval(at_n) for at_n in row["accuracy"][arm]]
    gained = ["", ""]
    if arm in CHOSEN:
        seeds = (f"{100 * seed[-1]:+.0f}" for seed in row["by_seed"][arm])
        gained = [points(row["minus_random"][arm][-1]), ", ".join(seeds)]
    added = ["", ""]
    if labeled := row["labeled"].get(arm):
        added = [percent(labeled["wrong"]), f"{labeled['steps']:,.0f}"]
    return [CALLED[arm].format(**row), *accuracies, *gained, *added]


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results, put the tables into the pages, and draw the curves."""
    write_results(results, HERE / "results.json")
    for name, picture in PICTURES.items():
        with replacing(IMAGES / f"{name}.svg") as aside:
            aside.write_text(picture(results), encoding="utf-8")
    readme = HERE / "README.md"
    drawn = [image(name, ALT[name], readme) for name in PICTURES]
    put(readme, "results", "\n\n".join([*drawn, show(results)]))
    first = image("data-efficiency", ALT["data-efficiency"], RESULTS_PAGE)
    put(RESULTS_PAGE, "data-efficiency", f"{first}\n\n{short(results)}")


def over_chains(results: Mapping[str, Any]) -> str:
    """Accuracy over labeled chains."""
    return _picture(results, "chains labeled", lambda row, name: row["chains"])


def over_labels(results: Mapping[str, Any]) -> str:
    """Accuracy over the labels that each learned from: an ORM has one a chain."""
    return _picture(
        results,
        "labels: steps for the PRM, outcomes for the ORM",
        lambda row, name: row["steps" if name == PRM else "chains"],
        without=("majority",),
    )


ALT = {
    "data-efficiency": "Problems answered right by PRM, ORM and majority over the labeled chains,"
    " with 95% intervals",
    "data-efficiency-labels": "The same over the labels that PRM and ORM each learned from",
}
PICTURES = {"data-efficiency": over_chains, "data-efficiency-labels": over_labels}


def _picture(
    results: Mapping[str, Any],
    across: str,
    at: Callable[[Mapping[str, Any], str], float],
    without: tuple[str, ...] = (),
) -> str:
    n = results["sizes"][0]["gap"][-1]["n"]
    series = [
        Series(said, [_share(row, name, at) for row in results["sizes"]], color, dash)
        for name, (said, color, dash) in DRAWN.items()
        if name not in without
    ]
    title = f"Problems answered right when one of {n} chains is picked, over labels"
    return share_chart(title, series, across=across, about=("Bars: 95% intervals.",), high=1.0)


def _share(
    row: Mapping[str, Any], name: str, at: Callable[[Mapping[str, Any], str], float]
) -> Share:
    point = row["curves"][name][-1]
    return Share(at(row, name), point["accuracy"], point["low"], point["high"])
