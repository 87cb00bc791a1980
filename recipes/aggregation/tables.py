"""The claims, the tables and the picture, made from results.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from bias import BASE, RULES
from pages import (
    IMAGES,
    RESULTS_PAGE,
    holds,
    image,
    interval,
    made,
    points,
    put,
    table,
    write_results,
)

from rung.core.files import replacing
from rung.eval.share_chart import Series, Share, share_chart

HERE = Path(__file__).resolve().parent
PARTS = {
    "quickstart": "verifier, chains of one length",
    "verifier": "verifier",
    "rollouts-hard": "rollouts, hard",
    "rollouts-soft": "rollouts, soft",
    "human, gsm8k-12": "people; GSM8K, 12 models",
    "human, gsm8k-4": "people; GSM8K, 4 systems of 2021",
    "human, math-8": "people; MATH, Qwen2.5-Math",
}
CALLED = {
    "min": "min",
    "product": "product",
    "soft_min": "soft-min",
    "mean": "mean",
    "last": "last",
    "sum": "sum",
}
COLORS = {
    "min": ("prm", "none"),
    "product": ("prm", "8 3 2 3"),
    "soft_min": ("weighted", "4 3"),
    "mean": ("orm", "10 4"),
    "last": ("majority", "4 3"),
    "sum": ("random", "2 5"),
}
ALT = "Problems answered right by rule, over the chains a problem, with 95% intervals"
LONGER = {"sum": "long", "product": "short", "min": "short"}
"""Where a rule leans by its form: more terms, more factors, more chances of a low one."""


def claims(parts: Sequence[Mapping[str, Any]]) -> list[dict[str, Any]]:
    """What is said of the rules, held against every source; what fails stands first."""
    found: list[dict[str, Any]] = []
    for part in parts:
        rivals = {rule: part["accuracy"][rule]["minus_base"][-1] for rule in RULES if rule != BASE}
        best = max(rivals, key=lambda rule: rivals[rule]["low"])
        found.append(
            {
                "claim": f"no rule picks better than {BASE}",
                "labels": part["labels"],
                "holds": rivals[best]["low"] <= 0,
                "said": f"{CALLED[best]} minus {BASE}: {points(rivals[best])}",
            }
        )
        for rule, way in LONGER.items():
            longer = part["leaning"] and part["leaning"][rule]["longer"]
            if longer:
                found.append(
                    {
                        "claim": f"{rule} leans to {way} chains",
                        "labels": part["labels"],
                        "holds": longer["low"] > 0 if way == "long" else longer["high"] < 0,
                        "said": f"{_signed(longer)} steps",
                    }
                )
    return sorted(found, key=lambda claim: bool(claim["holds"]))


def show(results: Mapping[str, Any]) -> str:
    """What was said of the rules, their accuracy, and where they lean."""
    parts = [_accuracy(part) for part in results["parts"]]
    return "\n\n".join([short(results), *parts])


def short(results: Mapping[str, Any]) -> str:
    """What docs/results.md shows of it."""
    said = (
        f"Verifier and rollouts: {len(results['seeds'])} seeds, {results['chains']:,} chains,"
        f" {results['epochs']} epochs a PRM. {made(results)}"
    )
    rows = [
        [
            claim["claim"],
            PARTS[claim["labels"]],
            holds(claim),
            claim["said"],
        ]
        for claim in results["claims"]
    ]
    claimed = table(["claim", "labels of the PRM", "holds", "measured"], rows)
    return "\n\n".join([said, claimed, _best(results), _leaning(results)])


def _best(results: Mapping[str, Any]) -> str:
    """Every rule with the most chains."""
    head = ["right, %", *(CALLED[rule] for rule in RULES)]
    rows = [
        [
            f"{PARTS[part['labels']]}, N = {part['ns'][-1]}",
            *(interval(part["accuracy"][rule]["accuracy"][-1]) for rule in RULES),
        ]
        for part in results["parts"]
    ]
    return table(head, rows)


def _leaning(results: Mapping[str, Any]) -> str:
    head = ["labels of the PRM", "rule", "steps of the pick minus those of right chains"]
    head += ["value with steps, right chains", "value with steps, wrong chains"]
    rows = [
        [PARTS[part["labels"]], CALLED[rule], *(_signed(part["leaning"][rule][k]) for k in KEYS)]
        for part in results["parts"]
        if part["leaning"]
        for rule in RULES
    ]
    return table(head, rows)


KEYS = ("longer", "right", "wrong")


def _accuracy(part: Mapping[str, Any]) -> str:
    """One source over N, with the difference from the base at the end."""
    head = [
        f"{PARTS[part['labels']]}: right, %",
        *(f"N = {n}" for n in part["ns"]),
        f"minus {BASE}, points",
    ]
    rows = [
        [
            CALLED[rule],
            *map(interval, part["accuracy"][rule]["accuracy"]),
            "" if rule == BASE else points(part["accuracy"][rule]["minus_base"][-1]),
        ]
        for rule in RULES
    ]
    return f"{part['num_problems']} problems.\n\n{table(head, rows)}"


def _signed(found: Mapping[str, float | None] | None) -> str:
    """A number with its interval; nothing where there is none."""
    if found is None or found["low"] is None:
        return ""
    return f"{found['value']:+.2f} [{found['low']:+.2f}, {found['high']:+.2f}]"


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results, put the tables into the pages, and draw the verifier's rules."""
    write_results(results, HERE / "results.json")
    with replacing(IMAGES / "aggregation.svg") as aside:
        aside.write_text(picture(results), encoding="utf-8")
    readme = HERE / "README.md"
    put(readme, "results", f"{image('aggregation', ALT, readme)}\n\n{show(results)}")
    put(
        RESULTS_PAGE,
        "aggregation",
        f"{image('aggregation', ALT, RESULTS_PAGE)}\n\n{short(results)}",
    )


def picture(results: Mapping[str, Any]) -> str:
    """Every rule over N, on the verifier's PRM and chains of several lengths."""
    part = next(part for part in results["parts"] if part["labels"] == "verifier")
    series = [
        Series(
            CALLED[rule],
            [
                Share(n, found["value"], found["low"], found["high"])
                for n, found in zip(part["ns"], part["accuracy"][rule]["accuracy"], strict=True)
            ],
            *COLORS[rule],
        )
        for rule in RULES
    ]
    return share_chart(
        "Problems answered right by the PRM of exact labels, by rule",
        series,
        across="N, chains a problem",
        about=("Chains say some steps twice.", "Bars: 95% intervals."),
        high=1.0,
    )
