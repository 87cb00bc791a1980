"""The quickstart at toy size, in the test's own process."""

import pickle
from collections.abc import Mapping

from rung.core.protocols import Progress
from rung.data.lab import Lab
from rung.loop import Quickstart
from rung.loop.side_by_side import Job
from rung.train import Optimization

TOY_OPTIMIZATION = Optimization(lr=3e-3, batch_tokens=1024)
TOY = Quickstart(
    seed=5,
    lab=Lab(num_steps=2, largest=9),
    num_demonstrations=200,
    train_problems=12,
    train_chains=2,
    validation_problems=8,
    test_problems=10,
    test_chains=4,
    width=16,
    num_layers=1,
    policy=TOY_OPTIMIZATION,
    prm=TOY_OPTIMIZATION,
    orm=TOY_OPTIMIZATION,
)


def one_after_the_other(what: str, jobs: Mapping[str, Job], progress: Progress) -> int:
    """In this process, in the place of `run_side_by_side`."""
    return sum(pickle.loads(pickle.dumps(job))(progress) for job in jobs.values())
