"""What people's events come to: ratings by step, whose they are, and what is settled.

Nothing here touches the store: events go in, values come out.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from rung.core import RungError, StepLabels
from rung.data.rows import Neutral, label_of_rating
from rung.store.values import Event, Finish, Saved

SOURCE = "human"
"""The labels' source; a person's own are `human:NAME`."""
UNDOABLE = ("rate", "write")


@dataclass(frozen=True, slots=True)
class StepRating:
    """What one person said of a step."""

    rating: int | None
    """-1, 0 or +1; None when the person was unsure."""
    is_unsure: bool
    scores_shown: bool
    took_ms: int | None
    saved_ms: int


@dataclass(frozen=True, slots=True)
class Work:
    """What one person did to one chain."""

    rated: Mapping[str, StepRating] = field(default_factory=dict[str, StepRating])
    """By step id, alternatives too."""
    written: tuple[str, ...] = ()
    """Steps that the person wrote."""
    finish: Finish | None = None
    """None until it is submitted."""
    reason: str | None = None
    took_ms: int | None = None
    """All that was timed."""
    changes: tuple[Event, ...] = ()
    """The ratings and written steps that stand, in order; the last can be taken back first."""
    scores_shown: bool = False
    finished_ms: int | None = None


def work_of(saved: Iterable[Saved]) -> Work:
    """What a person's events on a chain come to, in the order in which they were saved."""
    events = list(saved)
    undone = {one.event.undoes for one in events if one.event.kind == "undo"}
    standing = [one for one in events if one.event.key not in undone]
    rated: dict[str, StepRating] = {}
    for one in standing:
        if one.event.kind == "rate" and one.event.step is not None:
            rated[one.event.step] = _rating(one)
    changes = [one.event for one in standing if one.event.kind in UNDOABLE]
    ends = [one for one in standing if one.event.kind in ("submit", "reopen")]
    end = ends[-1] if ends and ends[-1].event.kind == "submit" else None
    took = [one.event.took_ms for one in events if one.event.took_ms is not None]
    return Work(
        rated,
        tuple(e.step for e in changes if e.kind == "write" and e.step is not None),
        end.event.finish if end else None,
        end.event.text if end else None,
        sum(took) if took else None,
        tuple(changes),
        any(e.scores_shown or e.kind == "show_scores" for e in (one.event for one in standing)),
        end.saved_ms if end else None,
    )


def works_of(saved: Iterable[Saved]) -> dict[tuple[int, str], Work]:
    """Everybody's work, by person and chain."""
    parts: dict[tuple[int, str], list[Saved]] = {}
    for one in saved:
        parts.setdefault((one.person, one.event.chain), []).append(one)
    return {key: work_of(events) for key, events in parts.items()}


def ratings_by_step(
    works: Mapping[tuple[int, str], Work],
) -> dict[str, dict[int, StepRating]]:
    """Each step's ratings by person, from all chains that hold the step; the latest counts."""
    found: dict[str, dict[int, StepRating]] = {}
    for (person, _), work in works.items():
        for step, rating in work.rated.items():
            by_person = found.setdefault(step, {})
            earlier = by_person.get(person)
            if earlier is None or earlier.saved_ms <= rating.saved_ms:
                by_person[person] = rating
    return found


def finish_of(
    steps: Sequence[str], rated: Mapping[str, StepRating], *, rate_all: bool
) -> Finish | None:
    """How a chain ends that is rated so far; None while there is more to rate.

    Without `rate_all` it ends at the first bad step, when all before it are rated.
    """
    has_error = False
    for step in steps:
        found = rated.get(step)
        if found is None:
            return None
        if found.rating == -1:
            has_error = True
            if not rate_all:
                break
    return "found_error" if has_error else "solution"


def settled(ratings: Mapping[int, StepRating], judges: Iterable[int] = ()) -> int | None:
    """One rating out of several people's: an adjudicator's, else what most say; None in a tie."""
    for judge in judges:
        if judge in ratings:
            return ratings[judge].rating
    counts = Counter(one.rating for one in ratings.values() if one.rating is not None)
    ranked = counts.most_common(2)
    if not ranked or (len(ranked) == 2 and ranked[0][1] == ranked[1][1]):
        return None
    return ranked[0][0]


def is_disputed(ratings: Iterable[StepRating]) -> bool:
    """True when one says bad and another does not."""
    said = {one.rating == -1 for one in ratings if one.rating is not None}
    return len(said) > 1


def labels_of(ratings: Sequence[int | None], source: str, neutral: Neutral = "good") -> StepLabels:
    """Labels from one rating a step."""
    labels = tuple(label_of_rating(rating, neutral) for rating in ratings)
    return StepLabels(labels, source, ratings=tuple(ratings))


def person_source(name: str) -> str:
    """The source of one person's labels."""
    return f"{SOURCE}:{name}"


def check_event(event: Event) -> None:
    """See that an event says what its kind must say.

    Raises:
        RungError: It does not.
    """
    if event.kind == "rate" and event.step is None:
        raise RungError("a rating names its step")
    if event.kind == "rate" and (event.rating is None) != event.is_unsure:
        raise RungError("a rating is -1, 0 or 1, or the person is unsure")
    if event.kind == "write" and not (event.text or "").strip():
        raise RungError("the written step is empty")
    if event.kind == "write" and event.parent is None:
        raise RungError("a written step names the step that it follows")
    if event.kind == "undo" and event.undoes is None:
        raise RungError("an undo names the event that it takes back")
    if event.finish in ("bad_problem", "give_up") and not (event.text or "").strip():
        raise RungError("giving up and a bad problem need a reason")


def _rating(one: Saved) -> StepRating:
    event = one.event
    return StepRating(
        event.rating, event.is_unsure, event.scores_shown, event.took_ms, one.saved_ms
    )
