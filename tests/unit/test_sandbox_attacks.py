"""Programs that try to get out, to take everything or to stay: each is held, and none stays."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from rung import RungError
from rung.verify import Limits, LocalSandbox, Sandbox, find_sandbox
from rung.verify.bubblewrap import BubblewrapSandbox
from rung.verify.sandlock_box import SandlockSandbox
from sandboxes import QUICK, attack, tried


def test_an_honest_program_runs_and_its_output_and_exit_code_come_back(sandbox: Sandbox):
    outcome = attack(
        sandbox, "import sys; print('out'); print('err', file=sys.stderr); sys.exit(3)"
    )
    assert (outcome.ended, outcome.exit_code) == ("exit", 3)
    assert (outcome.stdout, outcome.stderr) == (b"out\n", b"err\n")


def test_a_fork_bomb_stops_at_the_process_limit(sandbox: Sandbox):
    source = "import os\nn = 0\ntry:\n    while True:\n        if os.fork() == 0:\n"
    source += "            import time; time.sleep(600)\n        n += 1\n"
    source += "except OSError:\n    print(n)\n"
    outcome = attack(sandbox, source)
    assert outcome.exit_code == 0
    assert int(outcome.stdout) < QUICK.processes


def test_a_bomb_that_never_gives_up_ends_with_the_time(sandbox: Sandbox):
    source = "import os\nwhile True:\n    try: os.fork()\n    except OSError: pass\n"
    assert attack(sandbox, source, Limits(wall_s=2.0)).ended == "timeout"


def test_ten_gigabytes_of_memory_are_not_to_be_had(sandbox: Sandbox):
    assert attack(sandbox, tried("len(bytearray(10**10))")).stdout == b"MemoryError\n"
    hidden = "__import__('os').memfd_create('x')"
    assert attack(sandbox, tried(hidden)).stdout == b"PermissionError\n"


def test_an_endless_loop_ends_with_the_time(sandbox: Sandbox):
    outcome = attack(sandbox, "while True: pass", Limits(wall_s=1.5))
    assert outcome.ended == "timeout"
    assert outcome.wall_s < 10


def test_ten_gigabytes_of_output_are_cut_and_the_program_ended(sandbox: Sandbox):
    outcome = attack(sandbox, "while True: print('x' * 10**6)")
    assert outcome.ended == "output"
    assert len(outcome.stdout) <= QUICK.output_bytes


def test_files_can_be_written_in_one_place_alone_and_not_big(sandbox: Sandbox):
    for place in ("/x", "/usr/x", "/dev/x", "/dev/shm/x", "/etc/x", "/var/tmp/x"):
        got = attack(sandbox, tried(f"open({place!r}, 'w')")).stdout
        assert got in (b"OSError\n", b"PermissionError\n", b"FileNotFoundError\n"), place
    source = "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
    source += tried("[open(f'{k}', 'wb').write(b'x' * 2**20) for k in range(100)]")
    assert attack(sandbox, source).stdout == b"OSError\n"
    assert attack(sandbox, tried("open('mine', 'w').write('x')")).stdout == b"got 1\n"


def test_homes_secrets_and_the_callers_environment_are_not_there(
    sandbox: Sandbox, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv("RUNG_SECRET", "hunter2")
    home = os.path.expanduser("~")
    for path in (f"{home}/.ssh", f"{home}/.bashrc", "/etc/shadow", "/etc/passwd", "/sys"):
        got = attack(sandbox, tried(f"__import__('os').stat({path!r})")).stdout
        assert got in (b"FileNotFoundError\n", b"PermissionError\n"), path
    source = "import glob, os\nprint(dict(os.environ))\nfor p in glob.glob('/proc/*/environ'):\n"
    source += "    try: print(open(p, 'rb').read())\n    except OSError: pass\n"
    assert b"hunter2" not in attack(sandbox, source).stdout


def test_there_is_no_network(sandbox: Sandbox):
    source = "__import__('socket').create_connection(('127.0.0.1', 9), 2)"
    assert attack(sandbox, tried(source)).stdout == b"PermissionError\n"


def test_the_program_is_nobody_and_can_trace_or_kill_no_one(sandbox: Sandbox):
    assert attack(sandbox, tried("__import__('os').getuid() > 1000")).stdout == b"got True\n"
    source = "import ctypes, os\nlibc = ctypes.CDLL(None, use_errno=True)\n"
    source += "print(libc.ptrace(16, os.getppid(), 0, 0), ctypes.get_errno())\n"
    assert attack(sandbox, source).stdout == b"-1 1\n"
    source = "import ctypes\nprint(ctypes.CDLL(None).unshare(0x10000000))\n"
    assert attack(sandbox, source).stdout == b"-1\n"
    source = "import os\nfor pid in (os.getppid(), 1, -1):\n    try: os.kill(pid, 9)\n"
    source += "    except OSError: pass\nprint('here')\n"
    assert attack(sandbox, source).exit_code in (0, 137, -9)
    mine = os.getpid()
    source = tried(f"__import__('os').kill({mine}, 9)")
    assert attack(sandbox, source).stdout == b"ProcessLookupError\n"


def test_a_daemon_dies_with_its_program(sandbox: Sandbox):
    source = "import os, time\nif os.fork() == 0:\n    os.setsid()\n    if os.fork() == 0:\n"
    source += (
        "        for fd in (0, 1, 2): os.close(fd)\n        time.sleep(600)\n    os._exit(0)\n"
    )
    outcome = attack(sandbox, source)
    assert outcome.ended == "exit"
    assert outcome.wall_s < 15


def test_runs_in_a_row_do_not_count_as_one_users(sandbox: Sandbox):
    source = "import os\nfor _ in range(5):\n    if os.fork() == 0:\n        while True: pass\n"
    source += "print('five')\n"
    for _ in range(4):
        assert attack(sandbox, source).stdout == b"five\n"


def test_without_a_sandbox_programs_are_refused_in_one_sentence(monkeypatch: pytest.MonkeyPatch):
    def missing() -> Sandbox:
        raise RungError("it is not there")

    monkeypatch.setattr(BubblewrapSandbox, "found", missing)
    monkeypatch.setattr(SandlockSandbox, "found", missing)
    with pytest.raises(RungError, match=r"apt-get install bubblewrap.*--unsafe-local"):
        find_sandbox()
    assert find_sandbox(unsafe_local=True) == LocalSandbox()


def test_the_unsafe_run_keeps_to_time_memory_and_output_all_the_same():
    local = LocalSandbox()
    assert attack(local, tried("len(bytearray(10**10))")).stdout == b"MemoryError\n"
    assert attack(local, "while True: pass", Limits(wall_s=1.5)).ended == "timeout"
    assert attack(local, "while True: print('x' * 10**6)").ended == "output"


def test_a_missing_tool_is_named(tmp_path: Path):
    source = "from rung.verify.bubblewrap import BubblewrapSandbox as B\nB.found()\n"
    done = subprocess.run(
        [sys.executable, "-c", source],
        env={**os.environ, "PATH": str(tmp_path)},
        capture_output=True,
        text=True,
    )
    assert "bwrap, prlimit, setpriv" in done.stderr
