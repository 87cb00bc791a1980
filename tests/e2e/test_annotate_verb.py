"""`rung annotate` on the command line, but for the page."""

import json
import socket
from pathlib import Path

import pytest

from rating import rated_chain, with_labels
from rung import read_records, write_records
from rung.cli.main import main


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    write_records(tmp_path / "rated.jsonl", [with_labels(rated_chain(1), 1, 0, None)])
    return tmp_path


def run(capsys: pytest.CaptureFixture[str], *words: str, code: int = 0):
    assert main(["annotate", *words]) == code
    out, err = capsys.readouterr()
    return json.loads(out) if "--json" in words and code == 0 else (err if code else out)


def test_ratings_go_in_and_out_and_are_counted(capsys: pytest.CaptureFixture[str]):
    found = run(capsys, "import", "rated.jsonl", "--json")
    assert (found["chains"], found["ratings"], found["store"]) == (1, 2, "ratings.db")
    again = run(capsys, "import", "rated.jsonl", "--json")
    assert (again["chains"], again["ratings"], again["known_ratings"]) == (0, 0, 2)
    assert run(capsys, "export", "--out", "out.jsonl.gz", "--json")["rows"] == 1
    [record] = read_records("out.jsonl.gz")
    assert record.labels_from("human").labels == (1.0, 0.0, None)
    status = run(capsys, "status", "--json")
    assert (status["done"], status["ratings"]) == (1, 2)
    assert [person["name"] for person in status["people"]] == ["human"]


def test_a_row_that_cannot_be_read_stops_an_import_before_anything_is_kept(
    folder: Path, capsys: pytest.CaptureFixture[str]
):
    whole = (folder / "rated.jsonl").read_text()
    (folder / "torn.jsonl").write_text(whole + whole[:40])
    assert "torn.jsonl, line 2" in run(capsys, "import", "torn.jsonl", code=2)
    assert run(capsys, "status", "--json")["chains"] == 0
    found = run(capsys, "import", "torn.jsonl", "--skip-bad", "--json")
    assert (found["chains"], found["skipped_rows"]) == (1, 1)


def test_people_are_added_with_a_link_each(capsys: pytest.CaptureFixture[str]):
    [ann] = run(capsys, "people", "add", "ann", "--json")
    assert ann["link"].startswith("http://localhost:8000/annotate#token=")
    [again] = run(capsys, "people", "link", "ann", "--address", "https://x.example/", "--json")
    assert again["link"].startswith("https://x.example/annotate#token=")
    assert again["link"].split("=")[1] != ann["link"].split("=")[1]
    [listed] = run(capsys, "people", "--json")
    assert listed == {"name": "ann", "role": "rater", "active": True, "link": None}
    assert b"token=" not in Path("ratings.db").read_bytes()


def test_a_queue_is_filled_assigned_and_shown(capsys: pytest.CaptureFixture[str]):
    assert run(capsys, "import", "rated.jsonl", "--queue", "old", "--json")["chains"] == 1
    run(capsys, "people", "add", "ann", "--json")
    [old] = run(capsys, "queues", "assign", "old", "ann", "--json")
    assert (old["name"], old["chains"], old["done"], old["people"]) == ("old", 1, 1, ["ann"])
    [free] = run(capsys, "queues", "unassign", "old", "ann", "--json")
    assert free["people"] == []


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        (["status"], "ratings.db: there are no ratings; 'rung annotate serve' begins some"),
        (["export", "--out", "x.jsonl"], "there are no ratings"),
        (["people", "link", "ann"], "there are no ratings"),
        (["people", "add"], "name the people"),
        (["people", "list", "ann"], "name the people"),
        (["queues"], "there are no ratings"),
        (["queues", "list", "old"], "a list takes no names"),
        (["queues", "assign", "old"], "assign takes a queue and the people"),
        (["rated.jsonl", "--most", "0"], "--most is at least 1"),
        (["rated.jsonl", "--port", "0", "--queue", " "], "1 to 80 printable characters"),
        (["serve"], "there are no ratings"),
        (["rated.jsonl", "--overlap", "0"], "--overlap is at least 1"),
        (["nosuch"], "there is no verb 'nosuch'"),
        (["rated.jsonl", "--host", "0.0.0.0"], "lets other machines in"),
        (["rated.jsonl", "--port", "0", "--scorer", "prm"], "no chain has scores by 'prm'"),
        (["rated.jsonl", "--store", "rated.jsonl"], "this is not a file of ratings"),
    ],
)
def test_a_mistake_is_one_sentence(
    words: list[str], reason: str, capsys: pytest.CaptureFixture[str]
):
    said = run(capsys, *words, code=2)
    assert reason in said
    assert len(said.strip().splitlines()[-1]) < 300


def test_a_taken_port_is_a_sentence(capsys: pytest.CaptureFixture[str]):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = str(taken.getsockname()[1])
        assert f"port {port}" in run(capsys, "rated.jsonl", "--port", port, code=2)
