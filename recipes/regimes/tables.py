"""The tables and the pictures, made from results.json."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

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

HERE = Path(__file__).resolve().parent
CALLED = {
    "lab": "verifier",
    "judge-10": "judge, 10 % error",
    "judge-20": "judge, 20 % error",
    "judge-30": "judge, 30 % error",
    "rollouts": "rollouts, hard",
}
RULES = {
    "oracle": ("oracle (pass@N)", "oracle", "2 5"),
    "prm_min": ("PRM (min)", "prm", "none"),
    "orm": ("ORM", "orm", "10 4"),
    "majority": ("majority vote", "majority", "4 3"),
    "random": ("one chain", "random", "1 4"),
}


def show(results: Mapping[str, Any]) -> str:
    """How it was made, where the two meet, and a table for each study."""
    seeds = results["seeds"]
    said = (
        f"Lengths: {seeds['lengths']} seeds; labels: {seeds['labels']} seeds, {results['chains']}"
        f" chains, {results['epochs']} epochs. {made(results)}"
    )
    lengths = _lengths(results["lengths"])
    alone = f"Trained and tested on such problems alone:\n\n{_lengths([results['one_step']])}"
    return "\n\n".join([said, _claims(results), lengths, alone, _labels(results)])


def _claims(results: Mapping[str, Any]) -> str:
    """What was claimed; what does not hold stands first."""
    first, last = results["lengths"][0], results["lengths"][-1]
    one_step = results["one_step"]
    claims = [
        {
            "claim": f"with {_steps(first)} step they can't be told apart, trained on all lengths",
            "holds": _meet(first),
            "at": first,
        },
        {
            "claim": f"with {_steps(first)} step they can't be told apart, trained on these alone",
            "holds": _meet(one_step),
            "at": one_step,
        },
        {
            "claim": f"with {_steps(last)} steps the PRM is ahead, trained on all lengths",
            "holds": last["gaps"]["orm"][-1]["low"] > 0,
            "at": last,
        },
    ]
    head = ["claim", "holds", f"PRM minus ORM at N = {first['n']}"]
    rows = [
        [claim["claim"], holds(claim), _gap(claim["at"], "orm")]
        for claim in sorted(claims, key=lambda claim: claim["holds"])
    ]
    return table(head, rows)


def _meet(row: Mapping[str, Any]) -> bool:
    gap = row["gaps"]["orm"][-1]
    return gap["low"] <= 0 <= gap["high"]


def _lengths(rows: Sequence[Mapping[str, Any]]) -> str:
    n = rows[0]["n"]
    head = ["steps", "problems", *(said for said, _, _ in RULES.values())]
    head += _gap_head(n)
    return table(
        head,
        [
            [
                _steps(row),
                str(row["num_problems"]),
                *(percent(row["accuracy"][rule]["accuracy"]) for rule in RULES),
                *_gaps(row),
            ]
            for row in rows
        ],
    )


def _labels(results: Mapping[str, Any]) -> str:
    rows = results["labels"]
    n = rows[0]["n"]
    head = ["labels of the PRM", "wrong labels, %", f"PRM, N = {n}", f"ORM, N = {n}"]
    head += _gap_head(n)
    return table(
        head,
        [
            [
                CALLED[row["labels"]],
                percent(row["wrong_labels"]),
                *(interval(row["accuracy"][rule], of="accuracy") for rule in ("prm_min", "orm")),
                *_gaps(row),
            ]
            for row in rows
        ],
    )


def _steps(row: Mapping[str, Any]) -> str:
    return str(row["from"]) if row["from"] == row["to"] else f"{row['from']} to {row['to']}"


def _gap_head(n: int) -> list[str]:
    return [f"PRM minus ORM, N = {n}", "each seed", "N = 4", "PRM minus majority"]


def _gaps(row: Mapping[str, Any]) -> list[str]:
    each = ", ".join(f"{100 * lead:+.0f}" for lead in row["by_seed"])
    return [_gap(row, "orm"), each, _gap(row, "orm", n=4), _gap(row, "majority")]


def _gap(row: Mapping[str, Any], other: str, n: int | None = None) -> str:
    """The PRM's lead with so many chains, or with the most."""
    found = next(p for p in row["gaps"][other] if p["n"] == (n or row["n"]))
    return points(found)


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results, put the tables into the pages, and draw the lengths."""
    write_results(results, HERE / "results.json")
    for page in (HERE / "README.md", RESULTS_PAGE):
        put(page, "regimes", show(results))
    with replacing(IMAGES / "regimes.svg") as aside:
        aside.write_text(picture(results["lengths"]), encoding="utf-8")


def picture(rows: Sequence[Mapping[str, Any]]) -> str:
    """Each rule over the length of the problems."""
    series = [
        Series(
            said,
            [
                Share((row["from"] * row["to"]) ** 0.5, *_ends(row["accuracy"][rule]))
                for row in rows
            ],
            color,
            dash,
        )
        for rule, (said, color, dash) in RULES.items()
    ]
    return share_chart(
        f"Problems answered right with {rows[0]['n']} chains, by the steps they need",
        series,
        across="steps",
        about=("Bars: 95% intervals.",),
        high=1.0,
    )


def _ends(point: Mapping[str, float]) -> tuple[float, float, float]:
    return point["accuracy"], point["low"], point["high"]
