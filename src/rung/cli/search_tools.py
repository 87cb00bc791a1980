"""What `rung search` may spend, and the tools that its policy may call."""

from __future__ import annotations

import contextlib
from collections.abc import Generator as Yields
from collections.abc import Sequence
from dataclasses import dataclass

from rung.cli.label_checkers import tool_places
from rung.core.errors import RungError
from rung.core.protocols import Generator
from rung.search import Budget, Prices
from rung.verify import Sandbox, ToolVerifier


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """The most that the search for one problem's answer may take (allocate: for all)."""

    tokens: int | None = None
    """Tokens sampled and scored."""
    calls: int | None = None
    """Continuations that the policy writes."""
    seconds: float | None = None
    """Of the whole run."""
    money: float | None = None
    """By the prices below, in any currency."""
    price_sampled: float = 0.0
    """Of a million sampled tokens."""
    price_scored: float = 0.0
    """Of a million scored tokens."""

    @property
    def budget(self) -> Budget:
        """The limits."""
        if self.money is not None and not (self.price_sampled or self.price_scored):
            raise RungError("--budget.money needs --budget.price-sampled or --budget.price-scored")
        return Budget(tokens=self.tokens, calls=self.calls, seconds=self.seconds, money=self.money)

    @property
    def prices(self) -> Prices:
        """What a million tokens cost."""
        return Prices(sampled=self.price_sampled, scored=self.price_scored)


@contextlib.contextmanager
def with_tools(
    policy: Generator, tools: Sequence[str], max_steps: int, sandbox: Sandbox | None
) -> Yields[Generator]:
    """The policy, whose steps act where there are tools or a sandbox for Python."""
    from rung.generate import ActingGenerator

    if not tools and sandbox is None:
        yield policy
        return
    with ToolVerifier(tool_places(tools), sandbox=sandbox) as acting:
        yield ActingGenerator(policy, acting.act, max_steps)
