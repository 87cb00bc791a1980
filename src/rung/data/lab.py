"""The lab: made word problems whose every step can be checked, and a demonstrator that errs.

A problem tells what happens to a pile month by month; a chain writes one equation a month and
then the answer:

    In January Mia has 7 apples. In February Mia buys 5 more. In March Mia doubles them.
    How many apples does Mia have in March?

    February: 7 + 5 = 12
    March: 12 * 2 = 24
    The answer is 24

A fact is a value, an operation and an operand. The demonstrator holds misconceptions: for a
fixed share of all facts it has one wrong result, which it gives most of the time. A policy that
learns from it errs as real policies do, systematically, so voting can't mend it. It may also
misread verbs, and write the right result of the wrong equation, which no calculator can see.
``docs/lab.md`` says how the numbers were chosen.
"""

from __future__ import annotations

import random
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Literal, NamedTuple

from rung.core.errors import RungError
from rung.core.types import Chain, Problem, Provenance

MONTHS = (
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
)
LONGEST = 24
"""Steps of the longest story."""
NAMES = ("Mia", "Tom", "Ana", "Ben", "Eva", "Leo", "Zoe", "Max")
ITEMS = ("apples", "books", "coins", "pears", "shells", "stamps", "cards", "eggs")
LARGEST_OPERAND = 9
FACTORS = {"doubles": 2, "triples": 3}
FACTOR_SHARE = 0.1
"""Of a story's events, the share that multiplies."""
LARGEST_MISTAKE = 1
"""A misconceived or slipped result is at most this far from the right one."""
DOMAIN = "lab"

Symbol = Literal["+", "-", "*"]
VERBS: dict[str, Symbol] = {
    "buys": "+",
    "finds": "+",
    "gets": "+",
    "sells": "-",
    "loses": "-",
    "gives away": "-",
    "doubles": "*",
    "triples": "*",
}
OPPOSITE: dict[Symbol, Symbol] = {"+": "-", "-": "+"}
"""What a misread verb is taken for; those that multiply are not misread."""
_START = re.compile(r"In (?:January|Week 1) \w+ has (\d+) ")
_EVENT = re.compile(r"In (\w+(?: \d+)?) \w+ (" + "|".join(VERBS) + r") (?:(\d+)|them)")


class Fact(NamedTuple):
    """One thing to know: what `value` becomes under an operation."""

    value: int
    symbol: Symbol
    operand: int

    @property
    def result(self) -> int:
        """The right result."""
        if self.symbol == "+":
            return self.value + self.operand
        return self.value - self.operand if self.symbol == "-" else self.value * self.operand


class Event(NamedTuple):
    """What happens in one month (or week)."""

    month: str
    symbol: Symbol
    operand: int
    verb: str

    def on(self, value: int) -> Fact:
        """The fact that this event asks for when the pile holds `value`."""
        return Fact(value, self.symbol, self.operand)


@dataclass(frozen=True, slots=True)
class Story:
    """A lab problem's content: the pile at the start, and what happens to it."""

    start: int
    events: tuple[Event, ...]

    @property
    def facts(self) -> tuple[Fact, ...]:
        """The facts that the right chain uses, in order."""
        facts: list[Fact] = []
        value = self.start
        for event in self.events:
            facts.append(event.on(value))
            value = facts[-1].result
        return tuple(facts)

    @property
    def answer(self) -> int:
        """What the pile holds at the end."""
        return self.facts[-1].result


@dataclass(frozen=True, slots=True, kw_only=True)
class Lab:
    """How hard the lab is: the problems' size and the demonstrator's errors.

    Raises:
        RungError: A number is out of its range.
    """

    num_steps: int = 6
    """Events in a story, 1 to 24; a right chain has one step more, the answer. Beyond 11, the story
    goes by weeks."""
    shortest: int | None = None
    """Stories have from so many events up to `num_steps`, each number as often; None: all have
    `num_steps`."""
    largest: int = 9
    """No pile on the right path holds more than this."""
    misconceived_share: float = 0.2
    """Share of all facts that the demonstrator has a misconception about."""
    misconceived_rate: float = 0.55
    """How often it gives the misconceived result for such a fact."""
    slip_rate: float = 0.02
    """How often it slips on any other step, to a random near result."""
    misread_share: float = 0.0
    """Share of the verbs of adding and taking away that the demonstrator misreads."""
    misread_rate: float = 0.5
    """How often it takes such a verb for its opposite, where a pile on the right path may be what
    comes of that."""

    def __post_init__(self) -> None:
        if not 1 <= self.num_steps <= LONGEST:
            raise RungError(f"a lab story has 1 to {LONGEST} steps, not {self.num_steps}")
        if self.shortest is not None and not 1 <= self.shortest <= self.num_steps:
            raise RungError(
                f"the shortest story has 1 to {self.num_steps} steps, not {self.shortest}"
            )
        if self.largest < LARGEST_OPERAND:
            raise RungError(f"the largest pile is at least {LARGEST_OPERAND}, not {self.largest}")
        shares = ("misconceived_share", "misconceived_rate", "slip_rate")
        for name in (*shares, "misread_share", "misread_rate"):
            if not 0 <= getattr(self, name) <= 1:
                raise RungError(f"{name} is {getattr(self, name)}, expected a share from 0 to 1")

    @property
    def facts(self) -> tuple[Fact, ...]:
        """All facts that a right chain can use."""
        candidates = [
            *(
                Fact(value, symbol, operand)
                for value in range(self.largest + 1)
                for symbol in ("+", "-")
                for operand in range(1, LARGEST_OPERAND + 1)
            ),
            *(Fact(v, "*", f) for v in range(1, self.largest + 1) for f in FACTORS.values()),
        ]
        return tuple(fact for fact in candidates if self.allows(fact))

    def allows(self, fact: Fact) -> bool:
        """Whether the pile stays in range (and a multiplication changes it)."""
        return 0 <= fact.result <= self.largest and (fact.symbol != "*" or fact.value > 0)


@dataclass(frozen=True, slots=True)
class Demonstrator:
    """Writes chains with errors: misconceptions and misread verbs, always the same, and slips."""

    lab: Lab
    misconceptions: Mapping[Fact, int] = field(default_factory=dict[Fact, int])
    misread: frozenset[str] = frozenset()
    """Verbs."""

    def demonstrate(self, problem: Problem, rng: random.Random) -> Chain:
        """Write one chain for a lab problem; after an error it goes on from the wrong value.

        Raises:
            RungError: The problem is none of the lab's.
        """
        story = read_story(problem)
        value, texts = story.start, list[str]()
        for event in story.events:
            fact = self._read(event, value, rng)
            value = self._result(fact, rng)
            texts.append(step_text(event.month, fact, value))
        texts.append(answer_text(value))
        source = Provenance(policy="demonstrator", finish_reason="stop")
        return Chain.of(problem, texts, answer=str(value), source=source)

    def _read(self, event: Event, value: int, rng: random.Random) -> Fact:
        """What the event is taken to ask for."""
        if event.verb in self.misread and rng.random() < self.lab.misread_rate:
            opposite = Fact(value, OPPOSITE[event.symbol], event.operand)
            if self.lab.allows(opposite):
                return opposite
        return event.on(value)

    def _result(self, fact: Fact, rng: random.Random) -> int:
        if fact in self.misconceptions and rng.random() < self.lab.misconceived_rate:
            return self.misconceptions[fact]
        return _near(fact, rng) if rng.random() < self.lab.slip_rate else fact.result


def make_demonstrator(lab: Lab, *, seed: int) -> Demonstrator:
    """A demonstrator with the lab's shares of misconceived facts and misread verbs."""
    rng = random.Random(f"misconceptions {seed}")
    facts = lab.facts
    chosen = rng.sample(facts, round(lab.misconceived_share * len(facts)))
    misconceptions = {fact: _near(fact, rng) for fact in chosen}
    verbs = [verb for verb, symbol in VERBS.items() if symbol in OPPOSITE]
    misread = rng.sample(verbs, round(lab.misread_share * len(verbs)))
    return Demonstrator(lab, misconceptions, frozenset(misread))


def make_problems(lab: Lab, count: int, *, seed: int) -> Iterator[Problem]:
    """Make `count` problems, no two with the same question.

    The first problems of a seed are the same whatever the count.

    Raises:
        RungError: The lab is too small to hold so many different problems.
    """
    rng = random.Random(f"problems {seed}")
    seen: set[str] = set()
    misses = 0
    while len(seen) < count:
        question, answer = _make_question(lab, rng)
        misses = misses + 1 if question in seen else 0
        if misses > 1000:
            raise RungError(f"{count} different problems are more than so small a lab holds")
        if misses == 0:
            yield Problem(f"lab-{seed}-{len(seen)}", question, str(answer), domain=DOMAIN)
            seen.add(question)


def demonstrations(
    demonstrator: Demonstrator, problems: Iterable[Problem], *, seed: int
) -> Iterator[Chain]:
    """One chain by the demonstrator for each problem; the policy's training chains."""
    rng = random.Random(f"demonstrations {seed}")
    for problem in problems:
        yield demonstrator.demonstrate(problem, rng)


def solve(problem: Problem) -> Chain:
    """The right chain.

    Raises:
        RungError: The problem is none of the lab's.
    """
    return Demonstrator(Lab(slip_rate=0)).demonstrate(problem, random.Random(0))


def read_story(problem: Problem) -> Story:
    """Read a lab problem's question.

    Raises:
        RungError: It is not a question that the lab makes.
    """
    start = _START.match(problem.question)
    found = [_event(*match.groups()) for match in _EVENT.finditer(problem.question)]
    months = tuple(event.month for event in found)
    if start is None or not found or months != times(len(found))[1:]:
        raise RungError(f"problem {problem.id!r} is not a story that 'rung lab' makes")
    return Story(int(start[1]), tuple(found))


def times(num_steps: int) -> tuple[str, ...]:
    """When a story of so many steps begins, and when each of its events happens."""
    if num_steps < len(MONTHS):
        return MONTHS[: num_steps + 1]
    return tuple(f"Week {k + 1}" for k in range(num_steps + 1))


def step_text(month: str, fact: Fact, result: int) -> str:
    """The step of one month."""
    return f"{month}: {fact.value} {fact.symbol} {fact.operand} = {result}"


def answer_text(value: int | str) -> str:
    """The last step."""
    return f"The answer is {value}"


def _event(month: str, verb: str, operand: str | None) -> Event:
    return Event(month, VERBS[verb], FACTORS.get(verb) or int(operand or 0), verb)


def _make_question(lab: Lab, rng: random.Random) -> tuple[str, int]:
    name, items = rng.choice(NAMES), rng.choice(ITEMS)
    value = rng.randint(2, lab.largest)
    begin, *months = times(_num_steps(lab, rng))
    told = [f"In {begin} {name} has {value} {items}."]
    for month in months:
        fact, happening = _happening(lab, value, rng)
        told.append(f"In {month} {name} {happening}.")
        value = fact.result
    told.append(f"How many {items} does {name} have in {months[-1]}?")
    return " ".join(told), value


def _num_steps(lab: Lab, rng: random.Random) -> int:
    return lab.num_steps if lab.shortest is None else rng.randint(lab.shortest, lab.num_steps)


def _happening(lab: Lab, value: int, rng: random.Random) -> tuple[Fact, str]:
    """Something that can happen to a pile of `value`, and how it is told."""
    while True:
        symbol: Symbol = "*" if rng.random() < FACTOR_SHARE else rng.choice(("+", "-"))
        verb = rng.choice([verb for verb, meant in VERBS.items() if meant == symbol])
        operand = FACTORS.get(verb) or rng.randint(1, LARGEST_OPERAND)
        fact = Fact(value, symbol, operand)
        if lab.allows(fact):
            amount = {"+": f"{operand} more", "-": str(operand), "*": "them"}[symbol]
            return fact, f"{verb} {amount}"


def _near(fact: Fact, rng: random.Random) -> int:
    """A wrong result near the right one; below 0 only where the right one is, too."""
    right = fact.result
    near = (right + off for off in range(-LARGEST_MISTAKE, LARGEST_MISTAKE + 1) if off != 0)
    return rng.choice([result for result in near if result >= min(0, right)])
