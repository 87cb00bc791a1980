"""What can be drawn of a run: from the files of `rung eval` and trainings, else from its chains."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from statistics import fmean
from typing import Any

import msgspec
import numpy as np

from rung.core import ChainRecord, RungError
from rung.core.errors import InputError
from rung.eval import Calibration, CurvePoint, best_of_n
from rung.eval.calibration import calibration
from rung.eval.choose import label_sources_of, reads_every_step, scorers_of
from rung.eval.judged import judge_steps
from rung.eval.pick_measures import has_choices
from rung.eval.reward_chart import accuracy_interval, reward_interval
from rung.eval.statistics import resample_weights
from rung.label.intervals import Interval
from rung.serve.view.documents import Chart, HeatMap, Point, Series

RESAMPLES = 500
"""Of the problems, where the view measures by itself; `rung eval` takes more."""
POSITIONS = 12
BINS = 10
MEASURED = f"95% intervals over problems ({RESAMPLES} bootstrap resamples)"
CURVE_NOTE = "the bands are 95% intervals over problems, by bootstrap"


def curves_in(path: Path, name: str) -> Chart:
    """Best-of-N curves in a file of `rung eval best-of-n --out` or of `rung quickstart`.

    Raises:
        InputError: It holds no such curves.
    """
    try:
        found: dict[str, Any] = msgspec.json.decode(path.read_bytes())
        curves = msgspec.convert(found["curves"], dict[str, tuple[CurvePoint, ...]])
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise InputError(f"this holds no best-of-n curves ({error})", file=name) from error
    count = found.get("num_problems")
    note = CURVE_NOTE if count is None else f"{count} problems; {CURVE_NOTE}"
    return Chart(name, "best-of-n", f"Best of n, {name}", name, _curves(curves), note)


def steps_in(path: Path, name: str) -> Iterator[Chart]:
    """Reliability diagrams in what `rung eval steps --json` printed.

    Raises:
        InputError: It holds none.
    """
    try:
        rows: list[dict[str, Any]] = msgspec.json.decode(path.read_bytes())["metrics"]
        for row in rows:
            found = msgspec.convert(row["calibration"], Calibration)
            whose = f"{row['scorer']} against {row['label_source']}"
            note = f"{row['num_steps']} steps; 95% intervals over problems"
            yield _reliability(name, whose, found, note)
    except (msgspec.DecodeError, KeyError, TypeError) as error:
        raise InputError(f"this holds no step metrics ({error})", file=name) from error


def measured_curves(records: Sequence[ChainRecord], name: str) -> Iterator[Chart]:
    """Best-of-N curves of a file's chains, one chart a PRM, or one for the ORM."""
    checked = [record for record in records if record.outcome is not None]
    if not has_choices(checked):
        return
    kinds = {scorer: reads_every_step(checked, scorer) for scorer in scorers_of(checked)}
    orm = next((scorer for scorer, is_prm in kinds.items() if not is_prm), None)
    tokens = [r.chain.source.num_tokens for r in checked if r.chain.source is not None]
    known = [count for count in tokens if count]
    for prm in [scorer for scorer, is_prm in kinds.items() if is_prm] or [None]:
        found = best_of_n(checked, prm=prm, orm=orm, resamples=RESAMPLES)
        yield Chart(
            id=f"best-of-n-{name}-{prm or orm or 'votes'}",
            kind="best-of-n",
            title=f"Best of n, {prm or orm or 'votes'} on {name}",
            file=name,
            series=_curves(dict(found.curves)),
            note=f"{found.num_problems} problems, {found.chains.used:,} chains; {MEASURED}",
            tokens_a_chain=fmean(known) if known else None,
        )


def measured_reliability(records: Sequence[ChainRecord], name: str) -> Iterator[Chart]:
    """Reliability diagrams of every PRM against every source of labels."""
    for scorer in scorers_of(records):
        if not reads_every_step(records, scorer):
            continue
        for source in label_sources_of(records):
            try:
                judged = judge_steps(records, scorer, source)
            except RungError:  # no step has both
                continue
            weights_RP = resample_weights(judged.num_problems, resamples=RESAMPLES)
            found = calibration(judged.scores_J, judged.right_J, judged.problem_J, weights_RP)
            count = f"{len(judged.scores_J):,} steps of {judged.num_problems} problems"
            yield _reliability(name, f"{scorer} against {source}", found, f"{count}; {MEASURED}")


def heat_maps(records: Sequence[ChainRecord], name: str) -> Iterator[HeatMap]:
    """Scores by the step's place, one map a PRM."""
    for scorer in scorers_of(records):
        if reads_every_step(records, scorer):
            yield _heat_map(records, scorer, name)


def training_charts(path: Path, name: str) -> Iterator[Chart]:
    """Reward beside truth of an RL training, or the losses of another one.

    Raises:
        InputError: A row is not JSON.
    """
    rows = list(_rows(path, name))
    whose = f" of {Path(name).parent}" if Path(name).parent.name else ""
    true = _series(rows, {"outcome": "right answers"})
    true += _looks(rows, "held_out_accuracy", "right, held out", accuracy_interval)
    paid = _series(rows, {"reward": "paid"})
    paid += _looks(rows, "held_out_reward", "paid, held out", reward_interval)
    if true or paid:
        yield Chart(
            id=f"rl-{name}",
            kind="rl",
            title=f"Reward and truth{whose}",
            file=name,
            series=(*true, *(replace(series, axis="right") for series in paid)),
            note="training: means of neighboring rounds (n), with their 95% intervals; held out:"
            " single looks at so many problems (n), with 95% intervals over problems",
        )
    losses = _series(rows, {"loss": "training"})
    losses += _series(rows, {"validation_loss": "validation"}, smooth=False)
    if losses:
        note = "training: means of neighboring steps (n), with their 95% intervals"
        yield Chart(f"losses-{name}", "losses", f"Losses{whose}", name, losses, note)


def _curves(curves: dict[str, tuple[CurvePoint, ...]]) -> tuple[Series, ...]:
    return tuple(
        Series(name, tuple(Point(p.n, p.accuracy, p.low, p.high) for p in points))
        for name, points in curves.items()
    )


def _reliability(name: str, whose: str, found: Calibration, note: str) -> Chart:
    points = tuple(
        Point(one.mean_score, one.share_right.value, one.share_right.low, one.share_right.high,
              one.num_steps)
        for one in found.bins
        if one.mean_score is not None and one.share_right is not None
    )  # fmt: skip
    ece = "" if found.ece is None else f"; expected calibration error {found.ece.value:.3f}"
    series = (Series(whose, points),)
    id = f"reliability-{name}-{whose}".replace(" ", "-")
    return Chart(id, "reliability", f"Reliability, {whose}", name, series, note + ece)


def _heat_map(records: Sequence[ChainRecord], scorer: str, name: str) -> HeatMap:
    counts = np.zeros((POSITIONS, BINS), dtype=np.int64)
    sums = np.zeros(POSITIONS)
    for record in records:
        scored = record.scores_by(scorer)
        for place, score in enumerate(() if scored is None else scored.scores):
            if score is not None:
                row = min(place, POSITIONS - 1)
                counts[row, min(int(score * BINS), BINS - 1)] += 1
                sums[row] += score
    totals = counts.sum(axis=1)
    num_rows = int(totals.nonzero()[0].max()) + 1 if totals.any() else 0
    return HeatMap(
        id=f"positions-{name}-{scorer}",
        title=f"Scores by the step's place, {scorer}",
        file=name,
        counts=tuple(tuple(map(int, row)) for row in counts[:num_rows]),
        means=tuple(float(s / n) if n else None for s, n in zip(sums, totals, strict=True))[
            :num_rows
        ],
        note=f"{int(totals.sum()):,} scores",
    )


def _rows(path: Path, name: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(path.read_bytes().splitlines(keepends=True), start=1):
        if not line.endswith(b"\n"):  # being written
            return
        try:
            row = msgspec.json.decode(line)
        except msgspec.DecodeError as error:
            raise InputError(f"this is not JSON ({error})", file=name, line=number) from error
        if isinstance(row, dict) and "step" in row:
            yield row


SMOOTH_POINTS = 60
"""A longer training is drawn by about so many points."""
LEAST_WINDOW = 5
"""Neighboring rows whose mean a point is, at the least; a shorter training is drawn as it is."""
WINDOWS = 20
"""A longer training's windows are this part of it."""


def _series(
    rows: Sequence[dict[str, Any]], names: dict[str, str], *, smooth: bool = True
) -> tuple[Series, ...]:
    found: list[Series] = []
    for key, name in names.items():
        pairs = [(float(row["step"]), float(row[key])) for row in rows if _is_number(row.get(key))]
        is_long = smooth and len(pairs) >= 2 * LEAST_WINDOW
        if pairs:
            points = _means(pairs) if is_long else (Point(*pair) for pair in pairs)
            found.append(Series(name, tuple(points)))
    return tuple(found)


def _looks(
    rows: Sequence[dict[str, Any]],
    key: str,
    name: str,
    interval_of: Callable[[dict[str, Any]], Interval | None],
) -> tuple[Series, ...]:
    """Looks at held-out problems."""
    points: list[Point] = []
    for row in rows:
        if _is_number(row.get(key)):
            point, found = Point(float(row["step"]), float(row[key])), interval_of(row)
            if found is not None:
                low, high = found
                point = replace(point, low=low, high=high, n=row["held_out_problems"])
            points.append(point)
    return (Series(name, tuple(points)),) if points else ()


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _means(pairs: Sequence[tuple[float, float]]) -> Iterator[Point]:
    """Means of the rows around a step, with the interval that their spread gives."""
    reach = max(LEAST_WINDOW, len(pairs) // WINDOWS) // 2
    for middle in range(0, len(pairs), max(1, len(pairs) // SMOOTH_POINTS)):
        part = np.array(pairs[max(0, middle - reach) : middle + reach + 1])
        value = float(part[:, 1].mean())
        half = 1.96 * float(part[:, 1].std(ddof=1)) / len(part) ** 0.5
        yield Point(pairs[middle][0], value, value - half, value + half, len(part))
