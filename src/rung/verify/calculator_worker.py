"""The process that runs the calculator: a list of steps in, a list of verdicts out."""

from __future__ import annotations

import msgspec

from rung.verify.calculator import are_right
from rung.verify.serving import serve


def _answer(line: bytes) -> bytes:
    return msgspec.json.encode(are_right(msgspec.json.decode(line, type=list[str])))


if __name__ == "__main__":
    serve(_answer, warm_up=lambda: None)
