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
HELP = ("-h", "--help")
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
    "train": Verb("train a policy, a PRM, an ORM or an implicit PRM", "rung.cli.train"),
    "score": Verb("score the steps of chains", "rung.cli.score"),
    "calibrate": Verb("fit maps from scores to probabilities", "rung.cli.calibrate"),
    "probe": Verb("try to earn more from a PRM without reasoning", "rung.cli.probe"),
    "serve": Verb("score, search and answer over HTTP", "rung.cli.serve"),
    "serve-config": Verb("how a vLLM server for a checkpoint is started", "rung.cli.serve_config"),
    "search": Verb("search for good chains while they are written", "rung.cli.search"),
    "rl": Verb("train a policy that is paid step by step", "rung.cli.rl"),
    "rerank": Verb("pick the best of each problem's chains", "rung.cli.rerank"),
    "eval": Verb("measure: best-of-N curves, steps, ProcessBench, PRMBench", "rung.cli.eval"),
    "annotate": Verb("let people rate steps in a browser", "rung.cli.annotate"),
    "view": Verb("look at chains, searches and curves in a browser", "rung.cli.view"),
    "report": Verb("one HTML page from a run's folder", "rung.cli.report"),
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
    if not args or args[0] in HELP:
        return _show_help("rung", "rung judges reasoning step by step.", VERBS, asked=bool(args))
    if args[0] == "--version":
        from importlib.metadata import version

        print(version("rung"))
        return 0
    return _run_verb(args)


def _run_verb(args: list[str]) -> int:
    import tyro

    name, rest = args[0], args[1:]
    verb, program = _pick(name, VERBS), f"rung {name}"
    module = importlib.import_module(verb.module)
    kinds = cast("dict[str, type[Command]] | None", getattr(module, "COMMANDS", None))
    if kinds is None:
        kind = cast("type[Command]", module.COMMAND)
    elif not rest or rest[0] in HELP:
        about = f"{verb.help[0].upper()}{verb.help[1:]}."
        return _show_help(program, about, _summaries(kinds), asked=bool(rest))
    else:
        rest = _with_default(rest, kinds, getattr(module, "DEFAULT", None))
        kind, program, rest = _pick(rest[0], kinds), f"{program} {rest[0]}", rest[1:]
    try:
        plain = (tyro.conf.FlagCreatePairsOff, tyro.conf.DisallowNone)
        command = tyro.cli(kind, prog=program, args=rest, config=plain)
    except SystemExit as done:  # tyro has printed the help, or what is wrong with the options
        return int(done.code or 0)
    with Output(as_json=command.json) as out:
        command.run(out)
    return 0


def _with_default(rest: list[str], kinds: dict[str, type[Command]], name: str | None) -> list[str]:
    """The words, with the verb's default command before a file, a dataset or an option."""
    is_given = rest[0].startswith("-") or "/" in rest[0] or os.path.exists(rest[0])
    return [name, *rest] if name and rest[0] not in kinds and is_given else rest


def _summaries(kinds: dict[str, type[Command]]) -> dict[str, Verb]:
    return {
        name: Verb((kind.__doc__ or "").strip().splitlines()[0].rstrip("."), "")
        for name, kind in kinds.items()
    }


def _show_help(program: str, about: str, verbs: dict[str, Verb], *, asked: bool) -> int:
    width = max(map(len, verbs))
    lines = [f"  {name:<{width}}  {verb.help}" for name, verb in verbs.items()]
    usage = f"usage: {program} VERB [options]"
    more = f"'{program} VERB --help' says more."
    text = "\n".join([usage, "", about, "", *lines, "", more])
    print(text, file=sys.stdout if asked else sys.stderr)
    return 0 if asked else EXIT_BAD_INPUT


def _pick(name: str, known: dict[str, T]) -> T:
    if name in known:
        return known[name]
    from difflib import get_close_matches

    close = get_close_matches(name, known, n=1)
    hint = f"perhaps you meant {close[0]!r}" if close else f"expected one of {', '.join(known)}"
    raise RungError(f"there is no verb {name!r}; {hint}")


if __name__ == "__main__":
    sys.exit(main())
