"""`rung eval compare`: one table over many scorers, with tests."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import msgspec
import tyro

from rung.cli.compare_view import show_comparison
from rung.cli.eval_input import InputOptions, check_resamples
from rung.cli.output import JsonFlag, Output
from rung.core.errors import RungError
from rung.core.files import replacing
from rung.core.types import ChainRecord

if TYPE_CHECKING:
    from collections.abc import Mapping

    from rung.eval import Beside, Comparison

Kind = Literal["processbench", "prmbench", "steps", "best-of-n"]


@dataclass(frozen=True, slots=True)
class CompareCommand:
    """One table over many scorers, with every difference tested.

    A file for each scorer, or one with all. What is measured is what the chains allow: first errors
    and step metrics with labels, PRMScore on PRMBench's chains, best-of-N with verdicts.
    """

    input: InputOptions
    scorer: Annotated[tuple[str, ...], tyro.conf.UseAppendAction] = ()
    """Whose scores; give it again for another; without it all."""
    only: Annotated[tuple[Kind, ...], tyro.conf.UseAppendAction] = ()
    """Only this measure; give it again for another. Fewer measures are fewer tests."""
    against: str | None = None
    """Test only differences from this scorer ("majority vote" is one), and not all pairs."""
    label_source: str | None = None
    """Whose labels; without it the only ones there are."""
    tune_on: str | None = None
    """Find first errors by each scorer's best threshold on this subset (the paper: gsm8k)."""
    rule: str = "min"
    """The aggregation with which PRMs pick among chains."""
    n: int | None = None
    """Chains to pick among; without it the most that nine problems in ten have."""
    resamples: int | None = None
    """Bootstrap resamples of the problems; without it enough for the correction of the tests."""
    seed: int = 0
    """Of the resamples and of the subsets that vote."""
    published: bool = False
    """Add published results, for the measures that have them."""
    out: Path | None = None
    """A folder for comparison.json, comparison.md and comparison.html."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Compare."""
        from rung.core import AGGREGATIONS
        from rung.eval import compare, measures_of, published_beside
        from rung.eval.applicable import KINDS
        from rung.score.cost import read_costs

        if self.rule not in AGGREGATIONS:
            raise RungError(f"there is no rule {self.rule!r}, only {', '.join(AGGREGATIONS)}")
        if self.n is not None and self.n < 1:
            raise RungError("--n needs at least 1")
        if self.resamples is not None:
            check_resamples(self.resamples)
        records, skips = self.input.read(out.progress)
        scorers = self._scorers(records)
        out.progress.start(f"compare {len(scorers)} scorers")
        measures = measures_of(
            records,
            scorers,
            kinds=self.only or KINDS,
            label_source=self.label_source,
            tune_on=self.tune_on,
            rule=self.rule,
            n=self.n,
            seed=self.seed,
        )
        costs = {k: v for k, v in read_costs(self.input.scored).items() if k in scorers}
        found = compare(
            measures, against=self.against, costs=costs, resamples=self.resamples, seed=self.seed
        )
        beside = published_beside(found) if self.published else None
        result = {**msgspec.to_builtins(found), **skips}
        if beside is not None:
            result["published"] = msgspec.to_builtins(beside)
        if self.out is not None:
            _write(self.out, result, found, beside, self._command())
        out.result(result, lambda console: show_comparison(console, found, beside, skips))

    def _command(self) -> str:
        """What a person types to get the same table, without the options of the input's format."""
        words = ["rung", "eval", "compare", *self.input.scored]
        words += ["--scores", *self.input.scores] if self.input.scores else []
        words += [word for name in self.scorer for word in ("--scorer", name)]
        words += [word for name in self.only for word in ("--only", name)]
        for option in ("against", "label_source", "tune_on", "n", "resamples"):
            if (value := getattr(self, option)) is not None:
                words += [f"--{option.replace('_', '-')}", str(value)]
        words += ["--rule", self.rule, "--seed", str(self.seed)]
        return shlex.join([*words, *(["--published"] if self.published else [])])

    def _scorers(self, records: Sequence[ChainRecord]) -> list[str]:
        from rung.eval.choose import choose_scorer, scorers_of

        if self.scorer:
            return [choose_scorer(records, name) for name in self.scorer]
        return scorers_of(records) or [choose_scorer(records, None)]


def _write(
    folder: Path,
    result: Mapping[str, Any],
    found: Comparison,
    beside: Beside | None,
    command: str,
) -> None:
    from rung.eval.compare_page import as_markdown, render_comparison

    page = render_comparison(found, beside, command=command)
    for name, text in [
        ("comparison.json", msgspec.json.format(msgspec.json.encode(result)).decode() + "\n"),
        ("comparison.md", as_markdown(found, beside)),
        ("comparison.html", page),
    ]:
        with replacing(folder / name) as path:
            path.write_text(text, encoding="utf-8")
