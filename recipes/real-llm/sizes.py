"""How large the study is."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Size:
    """What is trained, sampled and tested."""

    demonstrations: int
    """Solutions that the policy learns from."""
    policy_epochs: int
    reward_problems: int
    """Other training problems, for whose chains PRM and ORM learn labels and outcomes."""
    chains: int
    """Sampled chains for each of them; the reference solution is one more."""
    reward_epochs: int
    policy_trainable: str
    """What learns of the policy."""
    reward_trainable: str
    """What learns of the PRM and the ORM, alike."""
    test_problems: int
    n: int
    """Chains for a test problem."""


SIZES = {
    "smoke": Size(
        demonstrations=24,
        policy_epochs=1,
        reward_problems=6,
        chains=3,
        reward_epochs=1,
        policy_trainable="all",
        reward_trainable="all",
        test_problems=4,
        n=4,
    ),
    "small": Size(
        demonstrations=4000,
        policy_epochs=1,
        reward_problems=400,
        chains=16,
        reward_epochs=1,
        policy_trainable="all",
        reward_trainable="all",
        test_problems=200,
        n=64,
    ),
    "full": Size(
        demonstrations=5000,
        policy_epochs=3,
        reward_problems=960,
        chains=16,
        reward_epochs=2,
        policy_trainable="all",
        reward_trainable="all",
        test_problems=1319,
        n=64,
    ),
}
"""smoke tries the commands out, small is what README.md has, full wants a GPU and has not been
run."""
