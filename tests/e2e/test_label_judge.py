"""`rung label judge`, killed and run again."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

from chat_stand_in import said
from rung import Chain, ChainRecord, Problem, read_records, write_records
from vllm_stand_in import stand_in

AT_ONCE = 4


def test_killed_and_run_again_no_reply_is_paid_twice(tmp_path: Path):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    chains = [Chain.of(Problem(str(k), f"What is {k} + 1?"), [f"{k + 1}"]) for k in range(100)]
    write_records(source, map(ChainRecord, chains))
    command = [sys.executable, "-m", "rung.cli.main", "label", "judge", str(source), "--json"]
    command += ["--out", str(out), "--model", "m", "--at-once", str(AT_ONCE)]
    answer = said(r"\boxed{-1}")._replace(delay_s=0.02)
    with stand_in(lambda *_: answer) as server:
        command += ["--url", f"{server.url}/v1"]
        process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
        deadline_s = time.monotonic() + 60
        while len(server.asked) < 75 and time.monotonic() < deadline_s:
            time.sleep(0.01)
        os.kill(process.pid, signal.SIGKILL)
        process.wait()
        assert not out.exists()
        time.sleep(0.1)  # what was under way is still counted
        asked_before = len(server.asked)
        again = subprocess.run(command, check=True, capture_output=True, text=True)
        asked = [one.body["messages"][0]["content"] for one in server.asked]
    assert 75 <= asked_before < 100
    assert "going on after the 64 rows" in again.stderr
    assert len(asked) - len(set(asked)) <= AT_ONCE, "only what was under way is asked again"
    assert json.loads(again.stdout)["labels"] == {"right": 100}
    assert len(list(read_records(out))) == 100
