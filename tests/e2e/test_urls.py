"""URLs wherever the command line takes a file."""

import builtins
import functools
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import pytest

from rung.cli.main import main
from rung.core import (
    Chain,
    ChainRecord,
    InputError,
    Problem,
    UnavailableError,
    read_records,
    write_records,
)
from rung.core.files import create_binary, open_binary, replacing
from rung.core.progress import Silent
from rung.core.resume import fingerprint_of, partial_path, resumable_rows
from rung.core.urls import growing, local_path, name_of, url_of, working_path
from rung.label import RolloutLog

MEMORY = fsspec.filesystem("memory")


@pytest.fixture(autouse=True)
def clean(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[None]:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    yield
    MEMORY.store.clear()


@pytest.fixture
def chains(tmp_path: Path) -> Path:
    rows = [
        ChainRecord(Chain.of(Problem(f"{p}", f"What is 3 + {p}?", f"{3 + p}"), [f"3 + {p} = 4"]))
        for p in range(5)
    ]
    write_records(tmp_path / "chains.jsonl", rows)
    return tmp_path / "chains.jsonl"


@pytest.fixture
def served(tmp_path: Path) -> Iterator[str]:
    """The address of a server of the files in `tmp_path`."""

    class Quiet(http.server.SimpleHTTPRequestHandler):
        def log_message(self, *_: Any) -> None: ...

    handler = functools.partial(Quiet, directory=str(tmp_path))
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}"
        server.shutdown()


@pytest.mark.parametrize(
    ("written", "url"),
    [
        ("s3://bucket/a/b.jsonl", "s3://bucket/a/b.jsonl"),
        ("memory://b.jsonl", "memory://b.jsonl"),
        ("HTTPS://host/b?x=1", "https://host/b?x=1"),
        ("file:///a/b", None),
        ("a/b.jsonl", None),
        ("C:/a/b", None),
        ("OWNER/NAME@config:split", None),
        ("-", None),
    ],
)
def test_a_url_is_told_from_a_path_also_after_pathlib_folded_it(
    written: str, url: str | None
) -> None:
    assert url_of(written) == url_of(Path(written)) == url


def test_a_file_url_is_the_file(tmp_path: Path) -> None:
    path = tmp_path / "x"
    assert local_path(Path(f"file://{path}")) == path
    assert name_of(Path(f"file://{path}")) == str(path)
    assert partial_path(Path(f"file://{path}")) == tmp_path / ".x.partial"
    with replacing(Path(f"file://{path}")) as aside:
        aside.write_text("hi")
    assert path.read_text() == "hi"


@pytest.mark.parametrize("suffix", [".jsonl", ".jsonl.gz", ".jsonl.zst", ".parquet"])
def test_chains_are_written_to_a_url_and_read_from_it(chains: Path, suffix: str) -> None:
    out = f"memory://data/out{suffix}"
    assert main(["label", "verify", str(chains), "--verifier", "arithmetic", "--out", out]) == 0
    assert MEMORY.ls("/data", detail=False) == [f"/data/out{suffix}"]
    assert len(list(read_records(out))) == 5
    again = f"memory://data/again{suffix}"
    assert main(["data", "convert", out, "--out", again]) == 0
    assert list(read_records(again)) == list(read_records(Path(out)))


def test_the_result_names_the_url(chains: Path, capsys: pytest.CaptureFixture[str]) -> None:
    words = ["label", "verify", f"file://{chains}", "--out", "memory://a/out.jsonl", "--json"]
    assert main(words) == 0
    assert '"out":"memory://a/out.jsonl"' in capsys.readouterr().out


def test_chains_and_prompts_come_over_http(
    chains: Path, served: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out.jsonl"
    assert main(["label", "verify", f"{served}/chains.jsonl?x=1", "--out", str(out)]) == 0
    assert len(list(read_records(out))) == 5
    assert main(["data", "stats", f"{served}/none.jsonl"]) == 2
    assert f"{served}/none.jsonl: there is no such file" in capsys.readouterr().err
    (tmp_path / "bad.jsonl").write_text('{"rung": 1}\n')
    for verb in (["label", "verify", "--out", str(out)], ["data", "stats"]):
        assert main([*verb, f"{served}/bad.jsonl"]) == 2
        assert f"{served}/bad.jsonl, line 1" in capsys.readouterr().err
    assert main(["label", "verify", str(chains), "--out", f"{served}/x.jsonl"]) == 2
    assert "does not write there" in capsys.readouterr().err


def test_a_broken_download_is_said_to_pass(served: str) -> None:
    address = served.rsplit(":", 1)[0] + ":1"
    with pytest.raises(UnavailableError, match="can't be fetched"), open_binary(f"{address}/x"):
        pass


def test_nothing_appears_at_the_url_before_it_is_whole() -> None:
    path = Path("memory://a/out.txt")
    with pytest.raises(RuntimeError), create_binary(path) as stream:
        stream.write(b"half")
        raise RuntimeError
    assert not MEMORY.exists("/a/out.txt")


def test_a_stopped_run_to_a_url_goes_on_on_this_machine(tmp_path: Path) -> None:
    out = Path("memory://a/out.jsonl")
    with pytest.raises(KeyboardInterrupt), resumable_rows(out, "f", Silent()) as rows:
        rows.append([b"1\n"])
        raise KeyboardInterrupt
    assert not MEMORY.exists("/a/out.jsonl")
    assert partial_path(out).is_relative_to(tmp_path / "cache")
    with resumable_rows(out, "f", Silent()) as rows:
        assert rows.done == 1
        rows.append([b"2\n"])
    assert MEMORY.cat("/a/out.jsonl") == b"1\n2\n"
    assert not partial_path(out).exists()


def test_a_log_at_a_url_is_sent_at_the_end_of_every_run() -> None:
    path = Path("memory://a/out.rollouts")
    with pytest.raises(KeyboardInterrupt), RolloutLog.open(path, "policy"):
        raise KeyboardInterrupt
    assert b"policy" in MEMORY.cat("/a/out.rollouts")
    with growing(path) as here:
        here.write_bytes(here.read_bytes() + b"more")
    assert MEMORY.cat("/a/out.rollouts").endswith(b"more")
    assert not working_path(path).exists()
    with pytest.raises(InputError), RolloutLog.open(path, "another policy"):
        pass


def test_a_fingerprint_is_of_the_content() -> None:
    MEMORY.pipe("/a/x", b"1")
    first = fingerprint_of(["memory://a/x"], 0)
    MEMORY.pipe("/a/x", b"2")
    assert fingerprint_of(["memory://a/x"], 0) != first


def test_a_file_at_a_url_that_is_not_ours_is_not_replaced(
    chains: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    MEMORY.pipe("/a/notes.jsonl", b"my notes")
    words = ["data", "convert", str(chains), "--out", "memory://a/notes.jsonl"]
    assert main(words) == 2
    assert "--force" in capsys.readouterr().err
    assert main([*words, "--force"]) == 0


def test_without_the_package_the_command_that_installs_it_is_said(
    chains: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    real = builtins.__import__

    def missing(name: str, *args: Any) -> Any:
        if name == "fsspec":
            raise ImportError
        return real(name, *args)

    monkeypatch.setattr(builtins, "__import__", missing)
    assert main(["label", "verify", str(chains), "--out", "s3://bucket/x.jsonl"]) == 2
    assert "pip install 'rung[remote]'" in capsys.readouterr().err
    out = chains.with_name("out.jsonl")
    assert main(["label", "verify", str(chains), "--out", f"file://{out}"]) == 0


def test_a_file_system_that_is_not_installed_is_named(
    chains: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["label", "verify", str(chains), "--out", "nowhere://bucket/x.jsonl"]) == 2
    assert "nowhere://bucket/x.jsonl: " in capsys.readouterr().err


def test_a_training_run_wants_a_folder_of_this_machine(
    tiny_lm: Path, chains: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    words = ["train", "prm", str(chains), "--trunk", str(tiny_lm), "--out", "s3://bucket/run"]
    assert main(words) == 2
    assert "a folder on this machine" in capsys.readouterr().err
    assert not Path("s3:").exists()
