"""A side of a benchmark: a process that does one job again and again when it is told to.

Standard library only, since each side has the Python of its own program. The parent (`common.Side`)
sends one line of JSON a job and reads one line of JSON back, through a pipe of their own, since
many libraries print.
"""

from __future__ import annotations

import json
import os
import resource
import sys
import time
from collections.abc import Callable
from typing import Any, TextIO

Job = dict[str, Any]


def settings() -> Job:
    """What the parent says on the command line: one JSON object."""
    return json.loads(sys.argv[1])


def serve(do: Callable[[Job], Job]) -> None:
    """Answer jobs until standard input ends: `do`'s answer and what it cost."""
    answers = os.fdopen(settings()["answers"], "w", encoding="utf-8")
    _answer(answers, {"is_ready": True})
    for line in sys.stdin:
        began_s, began_cpu_s = time.perf_counter(), time.process_time()
        answer = do(json.loads(line))
        cost = {
            "seconds": time.perf_counter() - began_s,
            "cpu_seconds": time.process_time() - began_cpu_s,
            "peak_bytes": 1024 * resource.getrusage(resource.RUSAGE_SELF).ru_maxrss,
        }
        _answer(answers, cost | answer)


def _answer(answers: TextIO, answer: Job) -> None:
    answers.write(json.dumps(answer) + "\n")
    answers.flush()
