"""How large each version of the recipe is."""

from __future__ import annotations

from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """Numbers of problems and chains, and the options of each training."""

    seeds: int
    num_steps: int
    demonstrations: int
    prm_problems: int
    prm_chains: int
    """Chains a problem that the PRM learns from."""
    rl_problems: int
    rl_rounds: int
    validation_problems: int
    test_problems: int
    max_tokens: int
    sft: tuple[str, ...]
    prm: tuple[str, ...]
    rl_how: tuple[str, ...]

    @property
    def problems(self) -> dict[str, int]:
        """How many each split has."""
        return {
            "demonstrations": self.demonstrations,
            "prm": self.prm_problems,
            "rl": self.rl_problems,
            "validation": self.validation_problems,
            "test": self.test_problems,
        }

    @property
    def rl(self) -> tuple[str, ...]:
        """Options of `rung rl`."""
        return (*self.rl_how, "--iterations", str(self.rl_rounds))

    def scaled(self, scale: float) -> Size:
        """The same with fewer problems and rounds."""
        counts = ("demonstrations", "prm_problems", "rl_problems", "validation_problems")
        fewer = {name: _scaled(getattr(self, name), scale, 20) for name in counts}
        rounds = _scaled(self.rl_rounds, scale, 2)
        tests = _scaled(self.test_problems, scale, 10)
        return replace(self, **fewer, rl_rounds=rounds, test_problems=tests)


def _scaled(count: int, scale: float, least: int) -> int:
    return max(least, round(count * scale))


SFT_HELD_OUT = ("--validation-fraction", "0.02")
LAB = Size(
    seeds=5,
    num_steps=6,
    demonstrations=24_000,
    prm_problems=4_000,
    prm_chains=2,
    rl_problems=4_000,
    rl_rounds=60,
    validation_problems=200,
    test_problems=200,
    max_tokens=84,
    sft=(
        *SFT_HELD_OUT,
        *("--lr", "3e-3", "--beta2", "0.98", "--batch-tokens", "2048", "--evaluate-every", "300"),
    ),
    prm=(
        *("--lr", "1.4e-3", "--beta2", "0.98", "--epochs", "4"),
        *("--batch-tokens", "1100", "--patience", "0"),
    ),
    rl_how=(
        *("--lr", "3e-4", "--problems", "16", "--chains", "16"),
        *("--look-every", "10", "--look-chains", "1"),
    ),
)
SMOLLM2 = replace(
    LAB,
    seeds=1,
    num_steps=4,
    demonstrations=1_000,
    prm_problems=600,
    prm_chains=4,
    rl_problems=300,
    rl_rounds=20,
    validation_problems=60,
    test_problems=100,
    max_tokens=84,
    sft=(*SFT_HELD_OUT, *("--lr", "2e-4", "--batch-tokens", "2048", "--patience", "0")),
    prm=("--lr", "2e-4", "--batch-tokens", "1024", "--epochs", "4", "--patience", "0"),
    rl_how=(  # its chains are dear, so that four updates come of each round
        *("--lr", "1e-5", "--problems", "8", "--chains", "8"),
        *("--minibatches", "4"),
        *("--look-every", "10", "--look-chains", "1"),
    ),
)
"""About an hour and a half of one core that multiplies in bf16."""
