"""Where problems and labeled chains come from and go to: one file a format."""

from rung.data.formats import FORMATS, Format
from rung.data.loading import format_of, load, load_problems, write
from rung.data.merge import merge_records
from rung.data.partition import (
    Split,
    problem_key,
    problem_keys,
    split_by_problem,
    without_problems,
)
from rung.data.prmbench_results import prmbench_key
from rung.data.published_scores import join_scores
from rung.data.rows import Neutral
from rung.data.split import Span, gaps, join_steps, split_steps, step_texts
from rung.data.stats import Stats, count

__all__ = [
    "FORMATS",
    "Format",
    "Neutral",
    "Span",
    "Split",
    "Stats",
    "count",
    "format_of",
    "gaps",
    "join_scores",
    "join_steps",
    "load",
    "load_problems",
    "merge_records",
    "prmbench_key",
    "problem_key",
    "problem_keys",
    "split_by_problem",
    "split_steps",
    "step_texts",
    "without_problems",
    "write",
]
