"""The vocabulary, the protocols, the aggregations and the codec. No torch here."""

from rung.core.aggregate import AGGREGATIONS, Aggregation
from rung.core.codec import (
    Skipped,
    read_problems,
    read_records,
    write_problems,
    write_records,
)
from rung.core.errors import InputError, MissingExtraError, RungError, UnavailableError
from rung.core.protocols import (
    Completer,
    Completing,
    Completion,
    Generator,
    Labeler,
    Progress,
    Sampling,
    Scorer,
    Verifier,
)
from rung.core.types import (
    Chain,
    ChainRecord,
    Problem,
    Provenance,
    RolloutCount,
    Step,
    StepLabels,
    StepScores,
    Verdict,
)

__all__ = [
    "AGGREGATIONS",
    "Aggregation",
    "Chain",
    "ChainRecord",
    "Completer",
    "Completing",
    "Completion",
    "Generator",
    "InputError",
    "Labeler",
    "MissingExtraError",
    "Problem",
    "Progress",
    "Provenance",
    "RolloutCount",
    "RungError",
    "Sampling",
    "Scorer",
    "Skipped",
    "Step",
    "StepLabels",
    "StepScores",
    "UnavailableError",
    "Verdict",
    "Verifier",
    "read_problems",
    "read_records",
    "write_problems",
    "write_records",
]
