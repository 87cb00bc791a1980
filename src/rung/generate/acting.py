"""Policies whose steps act: a tool is called after each step, and what it gives joins the step."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from rung.core.errors import RungError
from rung.core.protocols import Generator, Sampling
from rung.core.types import Chain, Provenance, Step
from rung.generate.prompting import LENGTH

Act = Callable[[Chain], str | None]
"""Does what a chain's last step says and returns what came of it, the observation; None for a
step that calls no tool."""


@dataclass(frozen=True, slots=True)
class ActingGenerator:
    """A policy with tools: `ActingGenerator(policy, act)` goes wherever a `Generator` does.

    The policy is asked for one step at a time, also where whole chains are wanted, so that it
    reads each observation before it writes on, and a scorer sees the step with its observation.
    A step that has acted does not end its chain, though the policy may have ended its turn there
    to wait for the tool. A step that is cut off does not act.
    """

    policy: Generator
    act: Act
    max_steps: int = 64
    """A chain that is wanted whole is cut off after so many new steps."""

    @property
    def name(self) -> str:
        """The policy's name."""
        return self.policy.name

    @property
    def writes_inside_steps(self) -> bool:
        """Whether the policy can go on in the middle of a step."""
        return getattr(self.policy, "writes_inside_steps", False)

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        """Continue each of B prefixes `n` ways; `max_tokens` bounds each step.

        Raises:
            RungError: `act` raised something.
        """
        chains = [prefix for prefix in prefixes for _ in range(n)]
        tokens, going = [0] * len(chains), list(range(len(chains)))
        for turn in range(self.max_steps if sampling.until == "end" else 1):
            is_inside = sampling.inside_step and turn == 0
            one_step = replace(sampling, until="step", inside_step=is_inside)
            written = self.policy.sample([chains[k] for k in going], 1, one_step)
            is_new = dict[int, bool]()
            for k, [chain] in zip(going, written, strict=True):
                is_new[k] = chain.prefix_id != chains[k].prefix_id or is_inside
                tokens[k] += _source(chain).num_tokens or 0
                chains[k] = self._acted(chain) if is_new[k] else chain
            going = [k for k in going if is_new[k] and _source(chains[k]).finish_reason is None]
            if not going:
                break
        if sampling.until == "end":
            for k in going:
                chains[k] = _with_source(chains[k], finish_reason=LENGTH)
        counted = [_with_source(c, num_tokens=t) for c, t in zip(chains, tokens, strict=True)]
        return [counted[k * n : (k + 1) * n] for k in range(len(prefixes))]

    def _acted(self, chain: Chain) -> Chain:
        if _source(chain).finish_reason == LENGTH:
            return chain
        try:
            observation = self.act(chain)
        except Exception as error:
            said = f"{type(error).__name__}: {error}"
            raise RungError(f"the tool for step {chain.texts[-1]!r} failed ({said})") from error
        if observation is None:
            return chain
        *before, last = chain.steps
        step = Step(last.text, role=last.role, observation=observation)
        going_on = replace(_source(chain), finish_reason=None)
        return Chain(chain.problem, (*before, step), source=going_on)


def _source(chain: Chain) -> Provenance:
    return chain.source or Provenance()


def _with_source(chain: Chain, **changes: object) -> Chain:
    return replace(chain, source=replace(_source(chain), **changes))
