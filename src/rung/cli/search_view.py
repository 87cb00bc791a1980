"""What `rung search` says at its end."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from rung.core.types import ChainRecord
from rung.label import with_outcomes
from rung.search import SearchResult
from rung.verify import AnswerVerifier

if TYPE_CHECKING:
    from rich.console import Console


def noted(result: SearchResult, algorithm: str) -> ChainRecord | None:
    """The chosen chain with what it took under meta.search."""
    if result.chosen is None:
        return None
    spent = result.spent
    note: dict[str, Any] = {
        "algorithm": algorithm,
        "value": result.value,
        "finished": result.is_finished,
        "reason": result.reason,
        "tokens_sampled": spent.tokens_sampled,
        "tokens_scored": spent.tokens_scored,
        "calls": spent.calls,
    }
    return replace(result.chosen, meta={**result.chosen.meta, "search": note})


def checked(records: Sequence[ChainRecord | None]) -> list[ChainRecord]:
    """Chains with their outcomes, where there is a reference answer; None is left out."""
    with AnswerVerifier() as verifier:
        return with_outcomes([r for r in records if r is not None], verifier)


def summarize(results: Sequence[SearchResult], chosen: Sequence[ChainRecord]) -> dict[str, Any]:
    """Count what was found and what it took."""
    spent = {id(result.spent): result.spent for result in results}.values()
    verdicts = [record.outcome for record in chosen if record.outcome is not None]
    return {
        "problems": len(results),
        "finished": sum(result.is_finished for result in results),
        "without_chain": sum(result.chosen is None for result in results),
        "checked": len(verdicts),
        "accuracy": sum(v.is_correct for v in verdicts) / len(verdicts) if verdicts else None,
        "reasons": dict(sorted(Counter(result.reason for result in results).items())),
        "tokens_sampled": sum(one.tokens_sampled for one in spent),
        "tokens_scored": sum(one.tokens_scored for one in spent),
        "calls": sum(one.calls for one in spent),
    }


def show(console: Console, result: dict[str, Any]) -> None:
    """Say it to a person."""
    r = result
    console.print(f"{r['problems']} problems by {r['algorithm']}: {r['finished']} chains finished")
    if r["accuracy"] is not None:
        console.print(f"  accuracy {r['accuracy']:.3f} on {r['checked']} with a reference answer")
    a_problem = (r["tokens_sampled"] + r["tokens_scored"]) / r["problems"]
    console.print(
        f"  {r['tokens_sampled']} tokens sampled, {r['tokens_scored']} scored:"
        f" {a_problem:.0f} a problem; {r['calls']} continuations"
    )
    console.print(
        f"  the policy was busy for {r['sampling_s']:.1f} s, the scorer for {r['scoring_s']:.1f} s,"
        f" of {r['total_s']:.1f} s"
    )
    ended = {reason: count for reason, count in r["reasons"].items() if reason != "done"}
    for reason, count in ended.items():
        how = "failed" if reason == "failed" else f"ended at their budget of {reason}"
        console.print(f"  {count} searches {how}")
    if r["without_chain"]:
        console.print(f"  {r['without_chain']} problems have no chain at all")
    console.print(f"written to {r['out']}", soft_wrap=True)
