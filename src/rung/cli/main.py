"""The entry point: finds the verb, loads only its module, turns mistakes into one sentence."""

from __future__ import annotations

import importlib
import os
import sys
from collections.abc import Sequence
from typing import NamedTuple, Protocol, TypeVar, cast

from rung.cli.output import Output
from rung.core.errors import RungError

T = TypeVar("T")
EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130
EXIT_BROKEN_PIPE = 141
"""What a shell reports for a program that SIGPIPE ended."""


class Command(Protocol):
    """A verb's options, a frozen dataclass that tyro fills, with what it does."""

    @property
    def json(self) -> bool:
        """Print the result as JSON on stdout."""
        ...

    def run(self, out: Output) -> None:
        """Do it."""
        ...


class Verb(NamedTuple):
    """A verb: its one-line help, and the module whose `COMMAND` or `COMMANDS` it is."""

    help: str
    module: str


VERBS = {
    "quickstart": Verb("the whole loop on made problems, with a picture", "rung.cli.quickstart"),
    "data": Verb("list formats, convert, count and split chains", "rung.cli.data"),
    "lab": Verb("make word problems whose every step can be checked", "rung.cli.lab"),
    "sample": Verb("let a policy write chains", "rung.cli.sample"),
    "label": Verb("label the steps of chains", "rung.cli.label"),
    "train": Verb("train a policy, a PRM or an ORM", "rung.cli.train"),
    "score": Verb("score the steps of chains", "rung.cli.score"),
    "rerank": Verb("pick the best of each problem's chains", "rung.cli.rerank"),
    "eval": Verb("measure: best-of-N curves, step metrics, ProcessBench", "rung.cli.eval"),
}


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command line; return its exit code."""
    args = list(sys.argv[1:] if argv is None else argv)
    try:
        code = _run(args)
        sys.stdout.flush()
        return code
    except RungError as error:
        print(f"rung: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except KeyboardInterrupt:
        print("rung: stopped; the same command goes on from here", file=sys.stderr)
        return EXIT_INTERRUPTED
    except BrokenPipeError:  # the reader of our stdout has left, as `| head` does
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return EXIT_BROKEN_PIPE


def _run(args: list[str]) -> int:
    if not args or args[0] in ("-h", "--help"):
        print(_help("rung", "rung judges reasoning step by step.", VERBS))
        return 0 if args else EXIT_BAD_INPUT
    if args[0] == "--version":
        from importlib.metadata import version

        print(version("rung"))
        return 0
    return _run_verb(args)


def _run_verb(args: list[str]) -> int:
    import tyro

    command_type, program, rest = _find(args)
    if command_type is None:
        return 0 if rest else EXIT_BAD_INPUT
    try:
        command = tyro.cli(command_type, prog=program, args=rest)
    except SystemExit as done:  # tyro has printed the help, or what is wrong with the options
        return int(done.code or 0)
    with Output(as_json=command.json) as out:
        command.run(out)
    return 0


def _find(args: list[str]) -> tuple[type[Command] | None, str, list[str]]:
    """The command that `args` name, its program name, and the arguments left for it.

    Without a command, a group's help has been printed.
    """
    name, rest = args[0], args[1:]
    verb = _pick(name, VERBS)
    module = importlib.import_module(verb.module)
    kinds = cast("dict[str, type[Command]] | None", getattr(module, "COMMANDS", None))
    if kinds is None:
        return cast("type[Command]", module.COMMAND), f"rung {name}", rest
    if not rest or rest[0] in ("-h", "--help"):
        print(_help(f"rung {name}", verb.help.capitalize() + ".", _summaries(kinds)))
        return None, "", rest
    return _pick(rest[0], kinds), f"rung {name} {rest[0]}", rest[1:]


def _summaries(kinds: dict[str, type[Command]]) -> dict[str, Verb]:
    return {
        name: Verb((kind.__doc__ or "").strip().splitlines()[0].rstrip("."), "")
        for name, kind in kinds.items()
    }


def _help(program: str, about: str, verbs: dict[str, Verb]) -> str:
    width = max(map(len, verbs))
    lines = [f"  {name:<{width}}  {verb.help}" for name, verb in verbs.items()]
    usage = f"usage: {program} VERB [options]"
    return "\n".join([usage, "", about, "", *lines, "", f"'{program} VERB --help' says more."])


def _pick(name: str, known: dict[str, T]) -> T:
    if name in known:
        return known[name]
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    hint = f"perhaps you meant {close[0]!r}" if close else f"expected one of {', '.join(known)}"
    raise RungError(f"there is no verb {name!r}; {hint}")


if __name__ == "__main__":
    sys.exit(main())
