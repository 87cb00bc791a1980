"""Any object with the right methods is a generator, scorer, verifier or labeler."""

from collections.abc import Sequence

from rung import (
    Chain,
    Generator,
    Labeler,
    Problem,
    Progress,
    Sampling,
    Scorer,
    StepLabels,
    StepScores,
    Verdict,
    Verifier,
)
from rung.core.progress import Silent


class Parrot:
    name = "parrot"
    source = "parrot"

    def sample(self, prefixes: Sequence[Chain], n: int, sampling: Sampling) -> list[list[Chain]]:
        return [[prefix.extend("polly") for _ in range(n)] for prefix in prefixes]

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        return [StepScores((0.5,) * len(chain.steps), self.name) for chain in chains]

    def verify(self, chains: Sequence[Chain]) -> list[Verdict]:
        return [Verdict.UNPARSED for _ in chains]

    def label(self, chains: Sequence[Chain]) -> list[StepLabels]:
        return [StepLabels((None,) * len(chain.steps), self.source) for chain in chains]


def test_an_object_needs_no_base_class():
    parrot = Parrot()
    assert isinstance(parrot, Generator)
    assert isinstance(parrot, Scorer)
    assert isinstance(parrot, Verifier)
    assert isinstance(parrot, Labeler)


def test_an_object_without_the_method_is_not_taken_for_one():
    assert not isinstance(object(), Scorer)
    assert not isinstance(Silent(), Generator)


def test_the_parts_fit_together():
    parrot = Parrot()
    start = Chain(Problem("p", "Who?"), ())
    [chains] = parrot.sample([start], 3, Sampling())
    assert [scores.scores for scores in parrot.score(chains)] == [(0.5,)] * 3


def test_silence_is_a_progress(capsys):
    progress: Progress = Silent()
    progress.start("work", total=3)
    progress.advance(note="one")
    progress.log("a line")
    assert capsys.readouterr() == ("", "")
