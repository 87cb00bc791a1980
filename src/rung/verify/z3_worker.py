"""The process that asks Z3: a script of SMT-LIB a line (as JSON), an answer a line.

It runs apart so that it can be killed: Z3 does not always keep to the time it is given.
"""

from __future__ import annotations

import sys

import msgspec

from rung.verify.serving import serve

MAX_MODEL_CHARS = 500


class Answer(msgspec.Struct):
    """What Z3 says of a script."""

    said: str
    """"unsat", "sat", "unknown", or "error" for a script that it can't read."""
    detail: str = ""
    """Of sat the model; of unknown the reason, of error the message."""


def solve(script: str, timeout_s: float) -> Answer:
    """Whether what a script asserts can be satisfied. Never raises."""
    import z3

    try:
        # of its own, so that a counterexample does not depend on what was asked before
        context = z3.Context()
        solver = z3.Solver(ctx=context)
        solver.set("timeout", max(1, int(1000 * timeout_s)))
        solver.add(z3.parse_smt2_string(script, ctx=context))
        said = solver.check()
        if said == z3.sat:
            return Answer("sat", _model(solver.model()))
        return Answer(str(said), solver.reason_unknown() if said == z3.unknown else "")
    except z3.Z3Exception as error:
        return Answer("error", _message(error))
    except (MemoryError, RecursionError) as error:
        return Answer("unknown", type(error).__name__)


def _model(model: object) -> str:
    """The model in one line: ``p = true, x = 7/2``."""
    found = {str(name): str(model[name]) for name in model}  # pyright: ignore
    lines = [f"{name} = {found[name]}" for name in sorted(found) if "!" not in name]
    text = ", ".join(lines).replace("True", "true").replace("False", "false")
    text = " ".join(text.split())
    return text if len(text) <= MAX_MODEL_CHARS else f"{text[:MAX_MODEL_CHARS]}..."


def _message(error: Exception) -> str:
    value = error.args[0] if error.args else ""
    text = value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value)
    lines = text.replace('(error "', "").strip().splitlines()
    return lines[0].rstrip('")') if lines else "Z3 can't read it"


def main() -> None:
    """Answer scripts; Z3's own time limit is the second argument."""
    timeout_s = float(sys.argv[2])
    encode = msgspec.json.encode

    def answer(request: bytes) -> bytes:
        return encode(solve(msgspec.json.decode(request, type=str), timeout_s))

    serve(answer, warm_up=lambda: solve("(declare-const p Bool)(assert p)", 1.0))


if __name__ == "__main__":
    main()
