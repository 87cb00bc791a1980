"""The second choice of a sandbox, with the package sandlock: what it holds, and that none stays."""

import os

import pytest

from rung import Chain, Problem, RungError
from rung.verify import CodeVerifier, Limits, Sandbox
from rung.verify.sandlock_box import SandlockSandbox, _apart
from sandboxes import QUICK, attack, tried


@pytest.fixture(scope="module")
def sandlock() -> Sandbox:
    try:
        return SandlockSandbox.found()
    except RungError as error:
        pytest.skip(f"needs the package sandlock and a kernel with Landlock: {error}")


def test_an_honest_program_runs_and_its_output_and_exit_code_come_back(sandlock: Sandbox):
    outcome = attack(sandlock, "import sys; print('out'); sys.exit(3)")
    assert (outcome.ended, outcome.exit_code, outcome.stdout) == ("exit", 3, b"out\n")


def test_bombs_memory_loops_and_output_end(sandlock: Sandbox):
    bomb = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n"
    if _apart():  # else its processes go on until their processor time is up
        assert attack(sandlock, bomb, Limits(wall_s=2.0)).ended == "timeout"
    assert b"got" not in attack(sandlock, tried("len(bytearray(10**10))")).stdout
    assert attack(sandlock, "while True: pass", Limits(wall_s=1.5)).ended == "timeout"
    outcome = attack(sandlock, "while True: print('x' * 10**6)")
    assert outcome.ended == "output" and len(outcome.stdout) <= QUICK.output_bytes


def test_nothing_is_written_elsewhere_or_read_of_homes_and_secrets(
    sandlock: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    for place in ("/x", "/usr/x", "/etc/x", "/var/tmp/x", "/dev/shm/x"):
        assert b"got" not in attack(sandlock, tried(f"open({place!r}, 'w')")).stdout, place
    monkeypatch.setenv("RUNG_SECRET", "hunter2")
    for read in (f"os.listdir({os.path.expanduser('~')!r})", "open('/etc/shadow').read()"):
        assert attack(sandlock, f"import os\n{tried(read)}").stdout == b"PermissionError\n", read
    source = "import glob\nfor p in glob.glob('/proc/*/environ'):\n"
    source += "    try: print(open(p, 'rb').read())\n    except OSError: pass\n"
    assert b"hunter2" not in attack(sandlock, source).stdout


def test_there_is_no_network_nobody_to_trace_and_no_daemon_stays(sandlock: Sandbox):
    source = "__import__('socket').create_connection(('127.0.0.1', 9), 2)"
    assert b"got" not in attack(sandlock, tried(source)).stdout
    source = "import ctypes, os\nprint(ctypes.CDLL(None).ptrace(16, os.getppid(), 0, 0))\n"
    assert attack(sandlock, source).stdout == b"-1\n"
    assert b"got" not in attack(sandlock, tried(f"__import__('os').kill({os.getpid()}, 9)")).stdout
    source = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
    source += "        for fd in (0, 1, 2): os.close(fd)\n        time.sleep(60)\n    os._exit(0)\n"
    assert attack(sandlock, source).ended == "exit"


def test_verdicts_are_those_of_the_tests(sandlock: Sandbox):
    problem = Problem("d", "Double it.", tests=("assert double(2) == 4",))
    programs = ["def double(x):\n    return 2 * x", "import os\nprint('1 passed')\nos._exit(0)"]
    verdicts = CodeVerifier(sandlock, workers=1).verify([Chain.of(problem, [p]) for p in programs])
    assert [str(verdict) for verdict in verdicts] == ["correct", "incorrect"]
