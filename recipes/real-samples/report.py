"""The tables and the pictures, made from results.json."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import Any

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
POOLS = {
    "gsm8k-12": "GSM8K, 12 models",
    "gsm8k-4": "GSM8K, 4 systems of 2021",
    "math-8": "MATH, Qwen2.5-Math",
}
CALLED = {
    "random": "a random chain",
    "majority": "majority vote",
    "orm": "ORM",
    "weighted_orm": "vote weighted by the ORM",
    "prm_min": "PRM, min",
    "prm_product": "PRM, product",
    "prm_mean": "PRM, mean",
    "prm_last": "PRM, last",
    "weighted_prm_min": "vote weighted by the PRM, min",
    "weighted_prm_product": "vote weighted by the PRM, product",
    "published": "published reward model",
    "weighted_published": "vote weighted by the published reward model",
    "oracle": "oracle (pass@N)",
}
GAPS = {
    "random": "a random chain",
    "majority": "majority vote",
    "orm": "ORM",
    "published": "published reward model",
}
DRAWN = {
    "oracle": ("oracle", "2 5"),
    "published": ("weighted", "8 3 2 3"),
    "majority": ("majority", "4 3"),
    "prm_min": ("prm", "none"),
    "orm": ("orm", "10 4"),
    "random": ("random", "1 4"),
}


def show(results: Mapping[str, Any]) -> str:
    """What was claimed, every way to pick, the PRM's lead, and whom it picks."""
    writers = [_writers(name, pool) for name, pool in results["pools"].items()]
    return "\n\n".join([short(results), _gaps(results), *filter(None, writers)])


def short(results: Mapping[str, Any]) -> str:
    """What docs/results.md shows of it."""
    problems = ", ".join(
        f"{POOLS[name]}: {pool['num_problems']} problems" for name, pool in results["pools"].items()
    )
    rows = [
        [
            claim["claim"],
            POOLS[claim["pool"]],
            holds(claim),
            points(claim["gap"]),
        ]
        for claim in results["claims"]
    ]
    claimed = table(["the PRM (min) is", "pool", "holds", "points"], rows)
    return "\n\n".join([f"{problems}. {made(results)}", claimed, _curves(results)])


def _curves(results: Mapping[str, Any]) -> str:
    """With all chains of each pool."""
    pools = results["pools"]
    head = ["picked by", *(f"{POOLS[name]}, N = {pool['n']}" for name, pool in pools.items())]
    rows = [
        [said, *(_at_n(pool, name) for pool in pools.values())] for name, said in CALLED.items()
    ]
    return table(head, rows)


def _at_n(pool: Mapping[str, Any], name: str) -> str:
    curve = pool["curves"].get(name)
    return "" if curve is None else interval(curve[-1], of="accuracy")


def _gaps(results: Mapping[str, Any]) -> str:
    pools = results["pools"]
    head = ["PRM (min) minus", *(f"{POOLS[name]}, points" for name in pools)]
    rows = [[said, *(_gap(pool, name) for pool in pools.values())] for name, said in GAPS.items()]
    return table(head, rows)


def _gap(pool: Mapping[str, Any], other: str) -> str:
    gap = pool["gaps"].get(other)
    if gap is None:
        return ""
    return f"{points(gap)}, p {gap['p_value']:.4f}"


def _writers(name: str, pool: Mapping[str, Any]) -> str:
    """Whose solutions the PRM picks; empty for a pool of one policy."""
    head = [f"{POOLS[name]}: solutions of", "right, %", "steps", "picked by the PRM (min), %"]
    head += ["lowest score of the right ones", "of the wrong ones"]
    rows = [
        [
            row["policy"],
            f"{100 * row['right']:.0f}",
            f"{row['num_steps']:.1f}",
            f"{100 * row['picked']:.0f}",
            *(_mean(row[f"value_of_{which}"]) for which in ("right", "wrong")),
        ]
        for row in pool["by_writer"]
    ]
    return table(head, rows) if rows else ""


def _mean(value: float | None) -> str:
    return "" if value is None else f"{value:.2f}"


def publish(results: Mapping[str, Any]) -> None:
    """Keep the results, put the tables into the pages, and draw the curves."""
    write_results(results, HERE / "results.json")
    for name, draw in PICTURES.items():
        with replacing(IMAGES / f"{name}.svg") as aside:
            aside.write_text(draw(results), encoding="utf-8")
    for page, name, shown in (
        (HERE / "README.md", "results", show(results)),
        (RESULTS_PAGE, "real-samples", short(results)),
    ):
        put(page, name, "\n\n".join([*_images(page), shown]))


def _images(page: Path) -> list[str]:
    return [
        image(name, f"{said}: problems answered right over N, with 95% intervals", page)
        for name, said in zip(PICTURES, POOLS.values(), strict=True)
    ]


def picture(results: Mapping[str, Any], pool: str) -> str:
    """A pool's curves over N, with intervals."""
    curves = results["pools"][pool]["curves"]
    series = [
        Series(
            CALLED[name],
            [Share(p["n"], p["accuracy"], p["low"], p["high"]) for p in curves[name]],
            color,
            dash,
        )
        for name, (color, dash) in DRAWN.items()
        if name in curves
    ]
    return share_chart(
        f"{POOLS[pool]}: problems answered right when one of N solutions is picked",
        series,
        across="N, solutions a problem",
        about=("Bars: 95% intervals.",),
        high=1.0,
    )


PICTURES = {f"real-samples-{pool}": partial(picture, pool=pool) for pool in POOLS}
