"""The documentation is true: its code runs, its commands print what it says, its links lead on."""

import contextlib
import doctest
import io
import os
import re
import shlex
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import cast

import pytest
from make_docs import (
    CLI_PAGE,
    LAB_PAGE,
    PICTURE,
    README,
    ROOT,
    broken_links,
    cli_page,
    commands,
    lab_page,
    pages,
    picture,
    readme,
    results_table,
)
from sybil import Document, Example
from sybil.parsers.markdown import CodeBlockParser, PythonCodeBlockParser

import rung
from published import qwen_tokenizer, save, two_layer_heads
from rung import Chain, ChainRecord, Problem, write_records
from rung.cli.main import main
from rung.data.lab import Lab, make_problems
from rung.model.tiny import make_tiny

FLAGS = doctest.ELLIPSIS | doctest.NORMALIZE_WHITESPACE
COMMAND = re.compile(r"^\$ ((?:.*\\\n)*.*)\n?((?:(?!\$ ).*\n?)*)", re.MULTILINE)


def run_console(example: Example) -> str | None:
    """Run a block's `$ ` lines in order; what stands below a line is what it must print."""
    for command, expected in COMMAND.findall(example.parsed):
        code, out, err = run(command)
        printed = out if code == 0 else err + out
        if code not in (0, 2) or (code == 2 and not expected):
            return f"$ {command}\nended with code {code}:\n{out}{err}"
        if expected and not doctest.OutputChecker().check_output(expected, printed, FLAGS):
            return f"$ {command}\nexpected:\n{expected}\nprinted:\n{printed}"
    return None


def run(command: str) -> tuple[int, str, str]:
    """Exit code, stdout and stderr; our own command runs in this process, which has torch."""
    if re.fullmatch(r"rung [^|<>&;$`]*", command, re.DOTALL):
        out, err = io.TextIOWrapper(io.BytesIO()), io.StringIO()
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            code = main(shlex.split(command.replace("\\\n", " "))[1:])
        out.flush()
        return code, cast("io.BytesIO", out.buffer).getvalue().decode(), err.getvalue()
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        ["bash", "-c", command], env={**os.environ, "PATH": path}, capture_output=True, text=True
    )
    return done.returncode, done.stdout, done.stderr


@pytest.fixture(autouse=True)
def plain_terminal(monkeypatch: pytest.MonkeyPatch):
    for name, value in {"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"}.items():
        monkeypatch.setenv(name, value)


PARSERS = [PythonCodeBlockParser(), CodeBlockParser("console", run_console)]
EXECUTED = [page for page in pages() if "```python" in page.read_text() or "$ " in page.read_text()]


@pytest.fixture
def quickstart(tmp_path: Path, tiny_prm: Path) -> None:
    """What the README finds after `make quickstart`, in small."""
    shutil.copytree(tiny_prm, tmp_path / "quickstart" / "prm")
    questions = [problem.question for problem in make_problems(Lab(), 20, seed=0)]
    make_tiny(tmp_path / "quickstart" / "policy", questions, seed=0, width=16, num_layers=1)
    problem = Problem("p", "What is 3 + 4?", "7")
    chains = [Chain.of(problem, ["We add.", f"3 + 4 = {k}"], answer=str(k)) for k in range(64)]
    write_records(tmp_path / "quickstart" / "test.jsonl.gz", map(ChainRecord, chains))


@pytest.fixture
def models(tmp_path: Path) -> None:
    """A published model in small, and one whose files don't say how it is read."""
    marker, heads = qwen_tokenizer("<extra_0>"), two_layer_heads(2)
    known = {"architectures": ["Qwen2ForProcessRewardModel"], "model_type": "qwen2"}
    save(tmp_path / "models" / "Qwen2.5-Math-PRM-7B", marker, heads, known)
    save(tmp_path / "models" / "some-prm", marker, heads)


@pytest.fixture
def servers(tmp_path: Path) -> Iterator[None]:
    """A server that a page started is stopped with the page, whatever became of that."""
    yield
    for file in tmp_path.glob("*.pid"):
        with contextlib.suppress(ProcessLookupError):
            os.kill(int(file.read_text()), signal.SIGKILL)


@pytest.mark.usefixtures("quickstart", "models", "servers")
@pytest.mark.parametrize("page", EXECUTED, ids=lambda page: str(page.relative_to(ROOT)))
def test_every_block_of_a_page_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    examples = list(Document.parse(str(page), *PARSERS).examples())
    assert examples, "a page listed as executed has no block to run"
    for example in examples:
        example.evaluate()


def test_the_runner_notices_output_that_differs_and_commands_that_fail(tmp_path: Path):
    def failure(block: str) -> str | None:
        (tmp_path / "page.md").write_text(f"```console\n{block}\n```\n")
        [example] = Document.parse(str(tmp_path / "page.md"), *PARSERS).examples()
        return run_console(example)

    assert failure("$ echo one\none\n$ echo two \\\n  three\ntwo three") is None
    assert failure("$ printf 'a\\nb\\nc\\n'\na\n...\nc") is None
    assert "expected:" in str(failure("$ echo one\ntwo"))
    assert "ended with code 1" in str(failure("$ false"))
    assert "ended with code 2" in str(failure("$ rung nosuch"))
    assert failure("$ rung nosuch\nrung: there is no verb 'nosuch'; ...") is None


def test_every_rung_command_in_the_guides_is_in_a_block_that_is_run():
    for page in [*(ROOT / "docs" / "guides").glob("*.md"), README]:
        for language, block in re.findall(r"^```(\w*)\n(.*?)^```", page.read_text(), re.M | re.S):
            assert language in ("console", "python") or not re.search(r"^(\$ )?rung ", block, re.M)


def test_the_command_line_page_is_what_the_program_prints():
    assert CLI_PAGE.read_text() == cli_page(), "run `make docs`"


def test_the_table_of_results_says_what_the_results_say():
    def point(accuracy: float) -> dict[str, float]:
        return {"n": 64, "accuracy": accuracy, "low": accuracy - 0.05, "high": accuracy + 0.05}

    names = {"prm_min": 0.9, "weighted_prm_min": 0.92, "orm": 0.7, "majority": 0.6, "oracle": 0.95}
    curves = {name: [{**point(0.5), "n": 1}, point(y)] for name, y in names.items()}
    gap = {"n": 64, "difference": 0.2, "low": 0.14, "high": 0.26}
    result = {"curves": curves, "gaps": {"prm_min_minus_orm": [gap]}}
    table = results_table([{**result, "pass_at_1": 0.5, "seconds": 312.0, "seed": 1}])
    assert "one of 64 chains picked" in table
    assert "| 1 | 50.0 | 90.0 (85.0 to 95.0) | 92.0 (87.0 to 97.0) | 70.0 (65.0 to 75.0) |" in table
    assert "| 20.0 (14.0 to 26.0) | 5.2 min |" in table


def test_the_quickstarts_numbers_and_picture_are_those_of_the_committed_results():
    assert README.read_text() == readme(), "run `make docs`"
    assert LAB_PAGE.read_text() == lab_page(), "run `make docs`"
    assert PICTURE.read_text() == picture(), "run `make docs`"


def test_every_verb_stands_in_the_readme():
    verbs = {words[0] for words in commands()}
    assert {verb for verb in verbs if f"| `rung {verb}` |" not in README.read_text()} == set()


@pytest.mark.parametrize("page", pages(), ids=lambda page: str(page.relative_to(ROOT)))
def test_no_link_is_broken(page: Path):
    assert broken_links(page) == []


def test_every_command_and_every_name_at_the_top_is_explained():
    text = "\n".join(page.read_text() for page in pages() if page != CLI_PAGE)
    unexplained = [name for name in rung.__all__ if not re.search(rf"\b{name}\b", text)]
    unexplained += [
        " ".join(words) for words in commands() if f"rung {' '.join(words)}" not in text
    ]
    assert unexplained == []


def test_the_readme_is_short_and_says_both_commands():
    text = README.read_text()
    assert len(text.splitlines()) <= 150
    assert "make quickstart" in text
    assert "make test" in text
