"""The front door: help, mistakes, results, progress, and no torch before it is needed."""

import json
import os
import subprocess
import sys
import types
from dataclasses import dataclass, fields, is_dataclass

import pytest
from make_docs import commands

from rung import InputError
from rung.cli.main import VERBS, Verb, main
from rung.cli.output import JsonFlag, Output

COMMANDS = commands()
HEAVY = ("torch", "transformers", "datasets", "pyarrow", "matplotlib", "sklearn", "pandas")


@dataclass(frozen=True)
class Count:
    """Count to a number."""

    to: int = 3
    """Where to stop."""
    fail: bool = False
    """Fail at the end."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        out.progress.start("counting", self.to)
        for k in range(self.to):
            out.progress.advance(note=f"at {k}")
        if self.fail:
            raise InputError("this can't be counted", file="numbers.jsonl", line=7)
        out.result({"count": self.to}, lambda console: console.print(f"counted to {self.to}"))


@pytest.fixture(autouse=True)
def verbs(monkeypatch: pytest.MonkeyPatch):
    """Two verbs of our own beside the real ones: `count`, and `numbers` with a verb under it."""
    single, group = types.ModuleType("count_verb"), types.ModuleType("numbers_verb")
    single.COMMAND, group.COMMANDS = Count, {"count": Count}  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "count_verb", single)
    monkeypatch.setitem(sys.modules, "numbers_verb", group)
    monkeypatch.setitem(VERBS, "count", Verb("count to a number", "count_verb"))
    monkeypatch.setitem(VERBS, "numbers", Verb("work with numbers", "numbers_verb"))


def test_help_lists_every_verb_with_what_it_does(capsys):
    assert main(["--help"]) == 0
    shown = capsys.readouterr().out
    assert all(f"  {name}" in shown and verb.help in shown for name, verb in VERBS.items())


def test_no_verb_shows_the_help_and_fails(capsys):
    assert main([]) == 2
    assert "usage: rung VERB" in capsys.readouterr().err


def test_the_version_is_the_packages(capsys):
    from importlib.metadata import version

    assert main(["--version"]) == 0
    assert capsys.readouterr().out.strip() == version("rung")


def test_a_typo_is_answered_with_the_nearest_verb(capsys):
    assert main(["qickstart"]) == 2
    assert capsys.readouterr().err == (
        "rung: there is no verb 'qickstart'; perhaps you meant 'quickstart'\n"
    )
    assert main(["numbers", "cuont"]) == 2
    assert "perhaps you meant 'count'" in capsys.readouterr().err
    assert main(["xyz"]) == 2
    assert "expected one of quickstart, data" in capsys.readouterr().err


def test_a_group_without_a_verb_lists_its_verbs(capsys):
    assert main(["numbers", "--help"]) == 0
    captured = capsys.readouterr()
    assert "usage: rung numbers VERB" in captured.out
    assert "  count  Count to a number\n" in captured.out
    assert main(["numbers"]) == 2
    assert "usage: rung numbers VERB" in capsys.readouterr().err


def test_a_verbs_help_documents_its_options(capsys):
    assert main(["count", "--help"]) == 0
    shown = capsys.readouterr().out
    assert "Count to a number." in shown
    assert "Where to stop." in shown
    assert "--json" in shown


@pytest.mark.parametrize("bad", [["--too", "3"], ["--to", "three"], ["5"]])
def test_wrong_options_end_with_code_2_and_no_traceback(capsys, bad):
    assert main(["count", *bad]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert bad[-1] in captured.err
    assert "Traceback" not in captured.err


def test_the_result_alone_is_on_stdout_and_progress_on_stderr(capsys):
    assert main(["count", "--to", "4", "--json"]) == 0
    captured = capsys.readouterr()
    assert json.loads(captured.out) == {"count": 4}
    assert captured.err.splitlines()[0] == "counting: 4 to do"
    assert captured.err.splitlines()[1].startswith("counting: done in ")


def test_without_json_the_result_is_text(capsys):
    assert main(["numbers", "count"]) == 0
    assert capsys.readouterr().out == "counted to 3\n"


def test_a_users_mistake_is_one_sentence_and_code_2(capsys):
    assert main(["count", "--fail", "--json"]) == 2
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.splitlines()[-1] == "rung: numbers.jsonl, line 7: this can't be counted"
    assert "counting: stopped at 3 after" in captured.err


def test_our_own_mistakes_are_not_hidden(monkeypatch):
    def broken(self, out):
        raise AssertionError("a bug")

    monkeypatch.setattr(Count, "run", broken)
    with pytest.raises(AssertionError, match="a bug"):
        main(["count"])


def test_control_c_says_how_to_go_on(capsys, monkeypatch):
    def stop(self, out):
        raise KeyboardInterrupt

    monkeypatch.setattr(Count, "run", stop)
    assert main(["count"]) == 130
    assert capsys.readouterr().err == "rung: stopped; the same command goes on from here\n"


def test_long_work_says_how_far_it_is_every_so_often(capsys, monkeypatch):
    now_s = iter(range(0, 10_000, 4))
    monkeypatch.setattr("rung.cli.output.time.monotonic", lambda: float(next(now_s)))
    assert main(["count", "--to", "6"]) == 0
    lines = capsys.readouterr().err.splitlines()
    assert any(line.startswith("counting: 3/6, about ") and line.endswith("at 2") for line in lines)


def test_a_terminal_gets_bars(capsys, monkeypatch):
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    assert main(["count", "--to", "2"]) == 0
    captured = capsys.readouterr()
    assert captured.out == "counted to 2\n"
    assert "counting" in captured.err
    assert "2/2" in captured.err


def test_a_reader_that_has_left_is_not_an_error_message():
    reader, writer = os.pipe()
    os.close(reader)
    done = run_python("import sys; from rung.cli.main import main; sys.exit(main(['-h']))", writer)
    os.close(writer)
    assert (done.returncode, done.stderr) == (141, "")


def run_python(code: str, stdout: int = subprocess.PIPE) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-c", code], stdout=stdout, stderr=subprocess.PIPE, text=True, timeout=60
    )


PROBE = f"""
import contextlib, io, json, sys
from rung.cli.main import main
def heavy():
    return [name for name in {HEAVY!r} if name in sys.modules]
found = {{"import rung": heavy()}}
with contextlib.redirect_stdout(io.StringIO()):
    main(["--help"])
    found["rung --help"] = heavy()
    for words in {list(COMMANDS)!r}:
        main([*words, "--help"])
        found[" ".join(["rung", *words, "--help"])] = heavy()
print(json.dumps(found))
"""


@pytest.mark.parametrize("words", COMMANDS, ids=" ".join)
def test_every_verb_says_what_it_does_and_takes_json(words):
    kind = COMMANDS[words]
    assert (kind.__doc__ or " ").splitlines()[0][-1] in ".?", "its summary is a sentence"
    assert is_dataclass(kind)
    assert any(field.name == "json" for field in fields(kind))


def test_no_help_loads_torch_or_another_heavy_package():
    done = run_python(PROBE)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert len(found) == 2 + len(COMMANDS)
    assert {words: heavy for words, heavy in found.items() if heavy} == {}
