"""Proofs whose every step is known to follow or not, without asking Z3.

Each family has a hidden world in which all premises hold. A right step is made by a rule that
cannot fail. A wrong one is false in the hidden world, so it cannot follow. Wrong steps are
inserted between right ones, which never rest on them.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from random import Random

from rung import Chain, Problem

NAMES = "pqrstuvw"
NUM_STEPS = 6
WRONG_RATE = 0.25


@dataclass(frozen=True)
class Made:
    """A chain and whether each of its steps follows."""

    chain: Chain
    truth: tuple[bool, ...]

    @property
    def kinds(self) -> tuple[str, ...]:
        """Each step's kind: "right", "first wrong" (of its chain) or "later wrong"."""
        first = self.truth.index(False) if False in self.truth else len(self.truth)
        return tuple(
            "right" if is_right else "first wrong" if k == first else "later wrong"
            for k, is_right in enumerate(self.truth)
        )


@dataclass
class World:
    """What a family needs to go on: premises, and two ways to make the next step."""

    premises: list[str]
    right: Callable[[], str]
    wrong: Callable[[], str]


def make(family: str, number: int, seed: int = 0) -> Made:
    """One proof."""
    random = Random(f"{family}-{number}-{seed}")
    world = FAMILIES[family](random)
    steps: list[tuple[str, bool]] = []
    for _ in range(NUM_STEPS):
        is_right = random.random() >= WRONG_RATE
        steps.append(((world.right if is_right else world.wrong)(), is_right))
    question = "Given: " + "; ".join(world.premises)
    problem = Problem(f"{family}-{number}", question, premises=tuple(world.premises))
    chain = Chain.of(problem, [text for text, _ in steps], id=problem.id)
    return Made(chain, tuple(is_right for _, is_right in steps))


def propositions(random: Random) -> World:
    """Implications along a path, with modus ponens, modus tollens and rules for and, or, not."""
    path = random.sample(NAMES, len(NAMES))
    signs = {name: random.random() < 0.5 for name in NAMES}

    def literal(name: str, *, holds: bool = True) -> str:
        return name if signs[name] == holds else f"not {name}"

    links = list(pairwise(path))
    premises = [literal(path[0])]
    for before, after in links:
        a, b = literal(before), literal(after)
        not_a, not_b = literal(before, holds=False), literal(after, holds=False)
        forms = [f"{a} -> {b}", f"{not_b} -> {not_a}", f"{not_a} or {b}", f"not ({a} and {not_b})"]
        premises.append(random.choice(forms))
    random.shuffle(premises)
    known = path[:1]

    def right() -> str:
        if len(known) < len(path):
            known.append(path[len(known)])
        new, old = literal(known[-1]), literal(random.choice(known))
        other = random.choice(NAMES)
        return random.choice(
            [new, new, f"{new} and {old}", f"{new} or {other}", f"{other} -> {new}"]
        )

    def wrong() -> str:
        name, other = random.sample(NAMES, 2)
        bad, good = literal(name, holds=False), literal(other)
        return random.choice([bad, f"{good} -> {bad}", f"{bad} and {good}", f"{good} <-> {bad}"])

    return World(premises, right, wrong)


def inequalities(random: Random) -> World:
    """Bounds of sums of reals, and sums of such bounds with factors that are not negative."""
    values = {name: random.randint(-9, 9) for name in "xyz"}
    bounds: list[tuple[dict[str, int], int]] = []

    def total(factors: dict[str, int]) -> int:
        return sum(factor * values[name] for name, factor in factors.items())

    for _ in range(4):
        factors = {name: random.choice([-2, -1, 1, 2, 3]) for name in random.sample("xyz", 2)}
        bounds.append((factors, total(factors) + random.randint(0, 3)))

    def written(factors: dict[str, int]) -> str:
        terms = [f"{factor}*{name}" for name, factor in sorted(factors.items()) if factor]
        return " + ".join(terms) or "0"

    premises = [f"{written(factors)} <= {bound}" for factors, bound in bounds]

    def combined() -> tuple[dict[str, int], int]:
        factors, bound = dict.fromkeys("xyz", 0), 0
        for some, limit in random.sample(bounds, 2):
            times = random.randint(1, 3)
            bound += times * limit
            for name, factor in some.items():
                factors[name] += times * factor
        return factors, bound

    def right() -> str:
        factors, bound = combined()
        return f"{written(factors)} <= {bound + random.randint(0, 2)}"

    def wrong() -> str:
        factors, _ = combined()
        return f"{written(factors)} <= {total(factors) - random.randint(1, 4)}"

    return World(premises, right, wrong)


def remainders(random: Random) -> World:
    """What the remainder of an integer says of its multiples and its square."""
    base = random.choice([3, 4, 5, 6, 7, 8, 9])
    rest = random.randrange(base)

    def stated(add: int) -> str:
        factor, shift = random.randint(2, 9), random.randint(1, 9)
        if random.random() < 0.5:
            return f"n*n mod {base} = {(rest * rest + add) % base}"
        return f"({factor}*n + {shift}) mod {base} = {(factor * rest + shift + add) % base}"

    return World(
        ["n: int", f"n mod {base} = {rest}"],
        lambda: stated(0),
        lambda: stated(random.randint(1, base - 1)),
    )


FAMILIES: dict[str, Callable[[Random], World]] = {
    "propositions": propositions,
    "inequalities": inequalities,
    "remainders": remainders,
}
