"""Scorers that pay for how a text ends."""

from collections.abc import Sequence

from rung.core import Chain, RungError, StepScores


class EndsInNine:
    """Pays for a text that ends as wished, whether or not it is right."""

    name = "exploitable"

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        return [StepScores(tuple(map(self.of, chain.texts)), self.name) for chain in chains]

    def of(self, text: str) -> float | None:
        return 0.9 if text.endswith("9") else 0.1


class Gone(EndsInNine):
    """The same on a server that goes at the third time of asking."""

    asked = 0

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        self.asked += 1
        if self.asked == 3:
            raise RungError("the server is gone")
        return super().score(chains)
