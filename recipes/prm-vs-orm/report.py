"""The tables and the picture, made from results.json."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from measure import PRM
from pages import (
    IMAGES,
    RESULTS_PAGE,
    holds,
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
from rung.eval.statistics import holm

HERE = Path(__file__).resolve().parent
CALLED = {
    PRM: "PRM (min)",
    f"weighted_{PRM}": "PRM-weighted vote",
    "orm": "ORM, last step",
    "orm-tokens": "ORM, every token",
    "weighted_orm": "vote weighted by the ORM, last step",
    "weighted_orm-tokens": "vote weighted by the ORM, every token",
    "majority": "majority vote",
    "random": "random pick",
    "oracle": "oracle (pass@N)",
}
DRAWN = {
    "oracle": ("oracle", "2 5"),
    PRM: ("prm", "none"),
    f"weighted_{PRM}": ("weighted", "8 3 2 3"),
    "orm": ("orm", "10 4"),
    "orm-tokens": ("orm", "2 3"),
    "majority": ("majority", "4 3"),
}
SHOWN_NS = (1, 4, 16, 64, 256)


def show(results: Mapping[str, Any]) -> str:
    """What was claimed, the curves, the PRM's lead, and how the scorers were tuned."""
    return "\n\n".join([short(results), _leads(results), _by_seed(results), _trials(results)])


def short(results: Mapping[str, Any]) -> str:
    """What docs/results.md shows of it."""
    said = (
        f"{len(results['seeds'])} seeds, {results['num_problems']} problems in all, of whose chains"
        f" {percent(results['pass_at_1'])} % are right. {made(results)}"
    )
    rows = [[claim["claim"], holds(claim), claim["said"]] for claim in results["claims"]]
    return "\n\n".join([said, table(["the PRM is", "holds", "points"], rows), _curves(results)])


def _curves(results: Mapping[str, Any]) -> str:
    places = [k for k, n in enumerate(results["ns"]) if n in SHOWN_NS]
    head = ["right, %", *(f"N = {results['ns'][k]}" for k in places)]
    rows = [
        [said, *(interval(results["curves"][name][k], of="accuracy") for k in places)]
        for name, said in CALLED.items()
    ]
    return table(head, rows)


def _leads(results: Mapping[str, Any]) -> str:
    gaps = results["gaps"]
    head = ["N", *(f"PRM minus {CALLED[other]}" for other in gaps)]
    places = [k for k, n in enumerate(results["ns"]) if n > 1]
    tests = [gaps[other][k]["p_value"] for k in places for other in gaps]
    corrected = np.reshape(holm(tests), (len(places), len(gaps)))
    rows = [
        [
            str(results["ns"][k]),
            *(f"{points(gaps[o][k])}, p {p:.4f}" for o, p in zip(gaps, ps, strict=True)),
        ]
        for k, ps in zip(places, corrected, strict=True)
    ]
    return table(head, rows)


def _by_seed(results: Mapping[str, Any]) -> str:
    """The lead on each seed, for every N that is shown."""
    places = [k for k, n in enumerate(results["ns"]) if n in SHOWN_NS]
    head = ["PRM minus", "N", *(f"seed {seed}" for seed in results["seeds"])]
    rows = [
        [CALLED[other], str(results["ns"][k]), *(f"{100 * lead[k]:+z.1f}" for lead in of_other)]
        for other, of_other in results["by_seed"].items()
        for k in places
    ]
    return table(head, rows)


def _trials(results: Mapping[str, Any]) -> str:
    head = ["tuned on the first seed", "learning rate: loss on held-out problems"]
    names = {"prm": "PRM"} | CALLED
    rows = [[names[kind], _rates(dict(trials))] for kind, trials in results["trials"].items()]
    return table(head, rows)


def _rates(losses: Mapping[float, float]) -> str:
    best = min(losses, key=lambda rate: losses[rate])
    said = {rate: f"{rate:g}: {loss:.4f}" for rate, loss in losses.items()}
    return ", ".join(f"**{text}**" if rate == best else text for rate, text in said.items())


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results, put the tables into the pages, and draw the curves."""
    write_results(results, HERE / "results.json")
    put(HERE / "README.md", "results", show(results))
    put(RESULTS_PAGE, "prm-vs-orm", short(results))
    with replacing(IMAGES / "prm-vs-orm.svg") as aside:
        aside.write_text(picture(results), encoding="utf-8")


def picture(results: Mapping[str, Any]) -> str:
    """The curves over N, with intervals."""
    series = [
        Series(
            CALLED[name],
            [Share(p["n"], p["accuracy"], p["low"], p["high"]) for p in results["curves"][name]],
            color,
            dash,
        )
        for name, (color, dash) in DRAWN.items()
    ]
    return share_chart(
        "Problems answered right when one of N chains is picked",
        series,
        across="N, chains a problem",
        about=("Bars: 95% intervals.",),
        high=1.0,
    )
