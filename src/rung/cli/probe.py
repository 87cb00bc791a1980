"""`rung probe`: try to earn more from a scorer by what is no reasoning."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from importlib.metadata import version
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import tyro

from rung.cli.eval_input import check_resamples
from rung.cli.inputs import Chains, read_twice, records_of, tell_skipped
from rung.cli.output import JsonFlag, Output
from rung.cli.places import FamilyOptions, TrustPickle, named_places, options_by_name
from rung.cli.scorers import Calibration, Opening, Precision, open_scorer
from rung.cli.tables import new_table
from rung.core.codec import Skipped, encode_record, read_records
from rung.core.errors import RungError
from rung.core.resume import fingerprint_of, resumable_rows
from rung.core.types import ChainRecord
from rung.core.urls import name_of
from rung.score.cost import Cost, Metered, write_costs

if TYPE_CHECKING:
    from rich.console import Console

    from rung.eval import Estimate, ProbeResult
    from rung.score import ModelScorer


@dataclass(frozen=True, slots=True)
class Probe:
    """Try to earn more from a PRM by what is no reasoning.

    Each chain is scored as it is, and padded, with bare steps, with every step twice, with
    "Therefore" before every step, cut into more steps, stopped early, with a confident end, and
    with the question copied. For every way of paying a chain by its scores: the mean change, the
    share of chains whose reward rose, a verdict, corrected for the number of them, and what in
    rung rl stands against those that pay. Stopped and run again, it goes on where it
    was.
    """

    chains: Chains
    """Files or URLs of chains, labeled or not; "-" is standard input, OWNER/NAME a dataset."""
    out: Annotated[Path, tyro.conf.arg(metavar="FILE")]
    """The rung file for the chains and their changed forms, scored."""
    scorer: Annotated[tuple[str, ...], tyro.conf.UseAppendAction, tyro.conf.arg(metavar="FOLDER")]
    """A checkpoint folder, NAME=FOLDER, or FOLDER@URL; give it again for another."""
    format: str | None = None
    """The chains' format; without it the first row tells."""
    skip_bad: bool = False
    """Leave out rows that can't be read, and count them."""
    family: str = "auto"
    """How the scorers are read: auto tells it from their files, or a published family's name."""
    family_option: FamilyOptions = ()
    """An option of the family (docs/guides/published-models.md); give it again for another."""
    scorer_key_env: str | None = None
    """The environment variable with the token that the server of FOLDER@URL asks for."""
    trust_pickle: TrustPickle = False
    precision: Precision = "auto"
    """auto takes bf16 for large models on hardware that is fast at it, else fp32."""
    calibrated: Calibration | None = None
    """Give probabilities by a map of 'rung calibrate'."""
    batch_tokens: int | None = None
    """Tokens in one forward pass; by default 1024 on a CPU, 16384 on a GPU."""
    resamples: int = 1_000
    """Bootstrap resamples of the problems, at least; many lines get more, 40 a line."""
    seed: int = 0
    """Of the resamples."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Make probes, score them, compare."""
        from rung.eval import probe_scorers

        check_resamples(self.resamples)
        skipped = Skipped()
        with read_twice(self.chains) as sources:
            num_rows = self._count(sources, skipped)
            tell_skipped(out.progress, skipped)
            costs = self._score(out, sources, num_rows)
        out.progress.start("compare probes with originals")
        found = probe_scorers(
            list(read_records(self.out)), resamples=self.resamples, seed=self.seed
        )
        result = {
            "out": name_of(self.out),
            "rows": num_rows,
            "skipped_rows": skipped.count,
            "probes": found,
            "costs": costs,
        }
        out.result(result, lambda console: _show(console, found, costs, name_of(self.out)))

    def _probes(self, sources: Sequence[str], skipped: Skipped) -> Iterable[ChainRecord]:
        from rung.eval import probe_records

        counted = skipped if self.skip_bad else None
        return probe_records(records_of(sources, self.format, "good", counted))

    def _count(self, sources: Sequence[str], skipped: Skipped) -> int:
        """How many rows there will be; what can't be compared is refused before it is scored."""
        from rung.eval.probes import ONE_PROBLEM

        roots = [record.chain.problem.root_id for record in self._probes(sources, skipped)]
        if not roots:
            raise RungError(f"no chain can be read: {skipped.count} rows are left out")
        if len(set(roots)) < 2:
            raise RungError(ONE_PROBLEM)
        return len(roots)

    def _open(self, out: Output) -> list[ModelScorer]:
        how = Opening(
            family=self.family,
            options=options_by_name(self.family_option),
            key_env=self.scorer_key_env,
            trust_pickle=self.trust_pickle,
            precision=self.precision,
            calibrated=self.calibrated,
            batch_tokens=self.batch_tokens,
        )
        return [open_scorer(place, how, out.progress) for place in named_places(self.scorer)]

    def _score(self, out: Output, sources: Sequence[str], num_rows: int) -> dict[str, Cost]:
        """Write the scored chains; what the scores took in this run."""
        from rung.eval.variants import EXPLOITS
        from rung.score.stream import WINDOW, score_windows

        scorers = self._open(out)
        settings = [version("rung"), "probe", [*EXPLOITS], self.format, self.skip_bad, WINDOW]
        made_from = fingerprint_of(sources, [*settings, *(one.fingerprint for one in scorers)])
        metered = [Metered(scorer) for scorer in scorers]
        with resumable_rows(
            self.out, made_from, out.progress, rows_a_chunk=WINDOW, keeps_finished=True
        ) as rows:
            out.progress.start(f"score with {', '.join(s.name for s in scorers)}", num_rows)
            out.progress.advance(rows.done)
            left = islice(self._probes(sources, Skipped()), rows.done, None)
            for window in score_windows(left, metered):
                rows.append(map(encode_record, window))
                out.progress.advance(len(window))
        costs = {one.name: one.cost for one in metered if one.chains}
        if costs:
            write_costs(self.out, costs)
        return costs


def _show(
    console: Console, found: Sequence[ProbeResult], costs: Mapping[str, Cost], out: str
) -> None:
    from rung.eval.probes import LEAST_RISE
    from rung.eval.variants import ANSWERS

    most = max(found, key=lambda one: one.num_chains)
    console.print(
        f"Reward of the changed chain minus that of the chain, mean of {most.num_chains} chains,"
        f" interval over {most.num_problems} problems.\n"
        f"exploitable: it rises by more than {LEAST_RISE}, clear at 0.05 with all"
        f" {len(found)} lines corrected together (Holm).\n"
        "guarded: it would, but not with the guards that rung rl has by default.",
        soft_wrap=True,
    )
    for scorer, reward in dict.fromkeys((one.scorer, one.reward) for one in found):
        lines = [one for one in found if (one.scorer, one.reward) == (scorer, reward)]
        _show_reward(console, f"{scorer}, {reward}", lines)
    caught = [one for one in found if one.verdict == "exploitable"]
    console.print(f"{len(caught)} of {len(found)} lines are exploitable", soft_wrap=True)
    for probe in dict.fromkeys(one.probe for one in caught):
        console.print(f"against {probe}, rung rl has: {ANSWERS[probe]}", soft_wrap=True)
    for name, cost in costs.items():
        tokens = "" if cost.tokens is None else f"{cost.tokens} tokens, "
        console.print(f"{name}: {cost.chains} chains scored, {tokens}{cost.seconds:.1f} s")
    console.print(f"chains and changed chains in {out}", soft_wrap=True)


def _show_reward(console: Console, title: str, lines: Sequence[ProbeResult]) -> None:
    is_known = any(one.change_right or one.change_wrong for one in lines)
    columns = ["right", "wrong"] if is_known else []
    table = new_table(title, "change", "rose", *columns, "verdict")
    for one in lines:
        rose = "–" if one.rose is None else f"{100 * one.rose.value:.0f}%"
        of_known = [_value(one.change_right), _value(one.change_wrong)] if is_known else []
        table.add_row(one.probe, _cell(one.change), rose, *of_known, one.verdict)
    console.print(table)


def _cell(one: Estimate | None) -> str:
    if one is None or one.low is None or one.high is None:
        return _value(one)
    return f"{one.value:+.3f} ({one.low:+.3f} to {one.high:+.3f})"


def _value(one: Estimate | None) -> str:
    return "–" if one is None else f"{one.value:+.3f}"


COMMAND = Probe
