"""Which scorer and which labels are meant: named ones, or the only ones there are."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from rung.core import ChainRecord, RungError


def scorers_of(records: Iterable[ChainRecord]) -> list[str]:
    """The scorers whose scores the records carry, in order of appearance."""
    return list(dict.fromkeys(scores.scorer for record in records for scores in record.scores))


def label_sources_of(records: Iterable[ChainRecord]) -> list[str]:
    """The sources of the records' labels, in order of appearance."""
    return list(dict.fromkeys(labels.source for record in records for labels in record.labels))


def reads_every_step(records: Iterable[ChainRecord], scorer: str) -> bool:
    """Whether the scorer has scores before the last step: a PRM has, an ORM has none."""
    read = (scores for record in records if (scores := record.scores_by(scorer)) is not None)
    return any(score is not None for scores in read for score in scores.scores[:-1])


def choose_scorer(records: Sequence[ChainRecord], name: str | None) -> str:
    """The scorer called `name`, or the only one.

    Raises:
        RungError: There is none of that name, none at all, or several to choose from.
    """
    return _choose(scorers_of(records), name, "scores by", "rung score", "--scorer")


def choose_label_source(records: Sequence[ChainRecord], name: str | None) -> str:
    """The label source called `name`, or the only one.

    Raises:
        RungError: There is none of that name, none at all, or several to choose from.
    """
    return _choose(label_sources_of(records), name, "labels from", "rung label", "--label-source")


def choose_verifier(records: Sequence[ChainRecord], name: str | None) -> str | None:
    """The label source that refutes chains; None where none is named.

    Raises:
        RungError: There is none of that name.
    """
    if name is None:
        return None
    return _choose(label_sources_of(records), name, "labels from", "rung label", "--verifier")


def _choose(present: list[str], name: str | None, kind: str, maker: str, option: str) -> str:
    listed = ", ".join(map(repr, present))
    if not present:
        raise RungError(f"the chains have no {kind.split()[0]}; '{maker}' makes them")
    if name is not None and name not in present:
        raise RungError(f"there are no {kind} {name!r}; there are {kind} {listed}")
    if name is None and len(present) > 1:
        raise RungError(f"there are {kind} {listed}; name one of them with {option}")
    return name if name is not None else present[0]


def choose_prm_and_orm(
    records: Sequence[ChainRecord], prm: str | None, orm: str | None
) -> tuple[str | None, str | None]:
    """The scorers to compare: named ones, or the only one of each kind; None where there is none.

    Raises:
        RungError: There is no scorer of that name, or several that could be meant.
    """
    for name in (prm, orm):
        if name is not None:
            choose_scorer(records, name)
    others = [name for name in scorers_of(records) if name not in (prm, orm)]
    kinds = {name: reads_every_step(records, name) for name in others}
    return (
        prm or _only([name for name in others if kinds[name]], "every step", "--prm"),
        orm or _only([name for name in others if not kinds[name]], "only the last step", "--orm"),
    )


def _only(names: list[str], what: str, option: str) -> str | None:
    if len(names) > 1:
        listed = ", ".join(map(repr, names))
        raise RungError(f"{listed} score {what}; name one of them with {option}")
    return names[0] if names else None
