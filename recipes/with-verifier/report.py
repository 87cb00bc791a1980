"""The tables and the picture, made from results.json: no number in them is typed by hand."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import msgspec
from pages import (
    IMAGES,
    RESULTS_PAGE,
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
from rung.eval import CurvePoint
from rung.eval.curves_picture import curves_svg
from rung.eval.expected import VERIFIED

HERE = Path(__file__).resolve().parent
PICTURE = "with-verifier"
FEW = 4
"""The smaller N that is shown; the other one is a pool's largest."""
_SAID = {
    "random": "random pick",
    "majority": "majority vote",
    "orm": "ORM",
    "weighted_orm": "ORM-weighted vote",
    "prm_min": "PRM (min)",
    "weighted_prm_min": "PRM-weighted vote",
    "oracle": "oracle (pass@N)",
}


def show(results: Mapping[str, Any]) -> str:
    """What the calculator refutes, then each pool's rules with and without it."""
    pools = results["pools"]
    return "\n\n".join([short(results), *map(_rules, pools)])


def short(results: Mapping[str, Any]) -> str:
    """What docs/results.md shows of it."""
    pools = results["pools"]
    parts = [made(results), _refuted(pools), table(_HEAD, [_at_most(p) for p in pools])]
    return "\n\n".join([*parts, table(_LEADS, [row for p in pools for row in _leads(p)])])


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results, draw the first pool's curves, and put the tables into the pages."""
    write_results(results, HERE / "results.json")
    with replacing(IMAGES / f"{PICTURE}.svg") as aside:
        aside.write_text(picture(results), encoding="utf-8")
    for page, name, shown in (
        (HERE / "README.md", "results", show(results)),
        (RESULTS_PAGE, PICTURE, short(results)),
    ):
        put(page, name, f"{image(PICTURE, ALT, page)}\n\n{shown}")


ALT = "Lab problems answered right when one of N chains is picked, with and without a calculator"


def picture(results: Mapping[str, Any]) -> str:
    """The curves of the first pool."""
    rules = results["pools"][0]["rules"]
    alone = {rule: found["alone"] for rule, found in rules.items()}
    verified = {VERIFIED + rule: found["verified"] for rule, found in rules.items()}
    return curves_svg(msgspec.convert(alone | verified, dict[str, list[CurvePoint]]))


def _refuted(pools: Any) -> str:
    head = ["chains of", "problems", "chains", "right, %", "refuted, %"]
    head += ["of the wrong ones", "of the right ones"]
    return table(head, [[p["pool"], *_counts(p)] for p in pools])


def _counts(pool: Mapping[str, Any]) -> list[str]:
    chains = pool["chains"]
    right = round(pool["pass_at_1"] * chains["used"])
    refuted, refuted_right = chains["refuted"], chains["right_but_refuted"]
    return [
        f"{pool['problems']:,}",
        f"{chains['used']:,}",
        percent(pool["pass_at_1"]),
        percent(refuted / chains["used"]),
        _share(refuted - refuted_right, chains["used"] - right),
        _share(refuted_right, right),
    ]


def _share(part: int, of: int) -> str:
    return percent(part / of) if of else ""


_HEAD = ["right, %", "N", "random pick", "verified", "majority vote", "verified"]
_HEAD += ["PRM (min)", "verified", "ORM", "verified"]
_LEADS = ["PRM minus ORM, points", "N", "alone", "both verified"]


def _at_most(pool: Mapping[str, Any]) -> list[str]:
    cells = [pool["pool"], str(pool["ns"][-1])]
    for rule in ("random", "majority", "prm_min", "orm"):
        found = pool["rules"].get(rule)
        cells += ["", ""] if found is None else [_last(found[way]) for way in ("alone", "verified")]
    return cells


def _last(curve: Any) -> str:
    return interval(curve[-1], of="accuracy")


def _leads(pool: Mapping[str, Any]) -> list[list[str]]:
    leads = pool["prm_minus_orm"]
    if leads is None:
        return []
    ways = ("alone", "verified")
    return [
        [pool["pool"], str(pool["ns"][k]), *(points(leads[way][k]) for way in ways)]
        for k in _places(pool)
    ]


def _places(pool: Mapping[str, Any]) -> list[int]:
    ns = pool["ns"]
    return [k for k, n in enumerate(ns) if n in (FEW, ns[-1])]


def _rules(pool: Mapping[str, Any]) -> str:
    places = _places(pool)
    head = [pool["pool"]]
    for k in places:
        head += [f"N = {pool['ns'][k]}", "verified", "added, points", "p (Holm)"]
    rows = [
        [_SAID[rule], *(cell for k in places for cell in _cells(found, k))]
        for rule, found in pool["rules"].items()
    ]
    return table(head, rows)


def _cells(found: Mapping[str, Any], k: int) -> list[str]:
    gain = found["gain"][k]
    both = [interval(found[way][k], of="accuracy") for way in ("alone", "verified")]
    return [*both, points(gain), f"{gain['p_holm']:.3f}"]
