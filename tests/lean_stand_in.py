"""A process that answers as Lean's REPL does, by the exchanges of a session in lean_recorded.json.

NOT LEAN: it replays what the REPL's own tests say that Lean answers. The tactics "hang", "die",
"flood", "garble", "old", "slow" and "kernel" are ours, for what no recording can show.

    python lean_stand_in.py SESSION
"""

import json
import sys
import time
from pathlib import Path
from typing import Any

RECORDED = json.loads(Path(__file__).with_name("lean_recorded.json").read_text("utf-8"))


def main(session: str) -> None:
    exchanges = RECORDED["sessions"][session]
    lines: list[str] = []
    for line in sys.stdin:
        if line.strip():
            lines.append(line.rstrip())
        else:
            say(reply_to(json.loads("".join(lines)), exchanges))
            lines = []


def reply_to(request: dict[str, Any], exchanges: list[dict[str, Any]]) -> dict[str, Any]:
    match request.get("tactic"):
        case "hang":
            time.sleep(60)
        case "die":
            sys.exit(1)
        case "flood":
            while True:
                sys.stdout.write("x" * 2**16)
        case "garble":
            print("IO of a tactic's own")
        case "old":
            return {"proofState": 9, "goals": []}
        case "slow":
            return {"message": "Lean error:\n(deterministic) timeout at `whnf`"}
        case "kernel":
            said = "Error: kernel type check failed: (kernel) declaration type mismatch"
            return {"proofState": 9, "goals": [], "proofStatus": said}
    for exchange in exchanges:
        if exchange["sent"] == request:
            return exchange["reply"]
    return {"message": "Lean error:\nnot in the recording"}


def say(reply: dict[str, Any]) -> None:
    print(json.dumps(reply, indent=1, ensure_ascii=False), end="\n\n", flush=True)


if __name__ == "__main__":
    main(sys.argv[1])
