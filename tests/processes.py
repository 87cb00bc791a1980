"""`rung` in processes of their own that can be killed, without a new interpreter for each.

To import torch and transformers takes a new interpreter several seconds. Here one process that has
imported them, and has done nothing else, is forked for every command.
"""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from multiprocessing import get_context
from multiprocessing.context import ForkServerProcess

LOADED = ["transformers.models.llama.modeling_llama", "rung.train.distributed"]
"""What takes long to import and a tiny model needs."""


def start_rung(words: Sequence[object], env: Mapping[str, str] | None = None) -> ForkServerProcess:
    """Start a command of rung, whose output nobody reads."""
    return start(partial(_command, list(map(str, words)), dict(env or {})))


def start(call: Callable[[], object]) -> ForkServerProcess:
    """Start a function of a module, with plain values bound to it; nobody reads what it prints."""
    context = get_context("forkserver")
    context.set_forkserver_preload(LOADED)
    process = context.Process(target=_silently, args=(call,))
    process.start()
    return process


def start_two(words: Sequence[object]) -> list[ForkServerProcess]:
    """Start a command in two processes that find each other, as a launcher would."""
    with socket.create_server(("127.0.0.1", 0)) as free:
        port = str(free.getsockname()[1])
    meeting = {"WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port}
    return [start_rung(words, {**meeting, "RANK": k, "LOCAL_RANK": k}) for k in ("0", "1")]


def kill(*processes: ForkServerProcess) -> None:
    """SIGKILL, and wait until they are gone."""
    for process in processes:
        process.kill()
    for process in processes:
        process.join()


def end_well(*processes: ForkServerProcess) -> None:
    """Wait until they have ended, all without an error."""
    for process in processes:
        process.join()
        assert process.exitcode == 0


def _silently(call: Callable[[], object]) -> None:
    with open(os.devnull, "wb") as nowhere:
        os.dup2(nowhere.fileno(), 1)
        os.dup2(nowhere.fileno(), 2)
    call()


def _command(words: list[str], env: Mapping[str, str]) -> None:
    os.environ.update(env)
    from rung.cli.main import main

    raise SystemExit(main(words))
