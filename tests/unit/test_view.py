"""`rung view`: what is found, the documents made of it, the bundle, and what stays out of reach."""

import json
import os
from pathlib import Path
from typing import Any

import msgspec
import pytest
from fastapi.testclient import TestClient
from pydantic import TypeAdapter

from rung.cli.main import main
from rung.core import AGGREGATIONS, InputError, RungError, Verdict, read_records, write_records
from rung.core.progress import Silent
from rung.search import EarlyAbort, SearchLog, Setting, rule, run_searches
from rung.serve import openapi
from rung.serve.app import create_app
from rung.serve.view.bundle import write_bundle
from rung.serve.view.charts import training_charts
from rung.serve.view.finding import find_runs
from rung.serve.view.library import Library, NotHereError, documents
from rung.serve.view.routes import view_routes
from tree_policy import PROBLEM, Reader, WordPolicy
from view_runs import VALIDATION, judged_record, made_records, write_rows, write_runs


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_runs(tmp_path_factory.mktemp("runs"))


@pytest.fixture(scope="module")
def library(runs: Path) -> Library:
    return Library(runs)


def kinds(root: Path) -> dict[str, dict[str, str]]:
    return {
        run.entry.name: {file.name: file.kind for file in run.entry.files}
        for run in find_runs(root)
    }


def test_each_folder_with_files_is_a_run_and_trainings_belong_to_the_run_above(runs: Path) -> None:
    assert kinds(runs) == {
        "scored": {
            "best_of_n.json": "curves",
            "first.json": "first-errors",
            "steps.json": "steps",
            "test.jsonl.gz": "chains",
            "prm/metrics.jsonl": "training",
        },
        "searches": {
            **dict.fromkeys(("beam.jsonl.events", "mcts.jsonl.events"), "search"),
            **dict.fromkeys(("beam.jsonl", "mcts.jsonl"), "chains"),
            **dict.fromkeys(("beam.chains.jsonl", "mcts.chains.jsonl"), "chains"),
        },
        "rl": {"metrics.jsonl": "rl"},
    }  # fmt: skip


def test_a_file_alone_is_a_run(runs: Path) -> None:
    [run] = find_runs(runs / "scored" / "test.jsonl.gz")
    assert [file.kind for file in run.entry.files] == ["chains"]


def test_models_hidden_folders_and_links_that_lead_out_are_passed_over(tmp_path: Path) -> None:
    outside = tmp_path / "outside.jsonl"
    write_records(outside, made_records(1, 1))
    run = tmp_path / "run"
    for folder in (run / "model", run / ".hidden"):
        folder.mkdir(parents=True)
        (folder / "tokenizer.json").write_text('{"curves": {}}')
    (run / "model" / "config.json").write_text("{}")
    write_records(run / ".hidden" / "chains.jsonl", made_records(1, 1))
    (run / "link.jsonl").symlink_to(outside)
    (run / "notes.json").write_text("[1, 2]")
    (run / "broken.jsonl").write_text("{not json")
    with pytest.raises(InputError, match="nothing here can be shown"):
        find_runs(run)
    write_records(run / "in.jsonl", made_records(1, 1))
    (run / "inside.jsonl").symlink_to(run / "in.jsonl")
    assert kinds(run) == {"run": {"in.jsonl": "chains", "inside.jsonl": "chains"}}
    write_records(run / "model" / "held_out.jsonl", made_records(1, 1))  # of rung rl
    assert kinds(run)["model"] == {"held_out.jsonl": "chains"}


@pytest.mark.parametrize(
    ("name", "said"), [("no", "there is no such file"), ("x.txt", "this is no file of chains")]
)
def test_what_can_not_be_shown_is_one_sentence(tmp_path: Path, name: str, said: str) -> None:
    (tmp_path / "x.txt").write_text("text")
    with pytest.raises(InputError, match=said):
        Library(tmp_path / name)


def test_names_become_addresses_that_differ(tmp_path: Path) -> None:
    for name in ("a b.jsonl", "a+b.jsonl", "ä/../b.jsonl".replace("/", "_")):
        write_records(tmp_path / name, made_records(1, 1))
    [run] = find_runs(tmp_path)
    ids = [file.id for file in run.entry.files]
    assert len(set(ids)) == 3
    assert all(id.isascii() and "/" not in id and not id.startswith(".") for id in ids)


def test_every_document_is_what_its_type_says(library: Library) -> None:
    told = dict(documents(library))
    assert told
    for name, document in told.items():
        encoded = msgspec.json.encode(document)
        assert TypeAdapter[Any](type(document)).validate_json(encoded) == document, name


def test_the_index_tells_of_every_chain_what_the_file_does(runs: Path, library: Library) -> None:
    records = list(read_records(runs / "scored" / "test.jsonl.gz"))
    index = library.index("scored", "test.jsonl.gz")
    prm = [scorer.name for scorer in index.scorers].index("prm")
    assert [scorer.reads_every_step for scorer in index.scorers] == [True, True, False]
    assert len(index.rows) == len(records)
    for row, record in zip(index.rows, records, strict=True):
        scores = record.scores_by("prm")
        assert scores is not None
        assert row.values[prm] == AGGREGATIONS["min"](scores.known)
        assert row.scores[prm] == tuple(round(s, 3) for s in scores.known)
        assert row.outcome == record.outcome
        problem = index.problems[row.problem]
        assert record.chain.problem.question.startswith(problem.question.rstrip("…"))


def test_opinions_of_labels_and_prms_make_the_spread_and_an_orm_does_not(library: Library) -> None:
    judged, *_ = library.index("scored", "test.jsonl.gz").rows
    assert judged.spread == 1.0  # the judge says 1 of step 1, the person and the calculator 0
    assert judged.labels[0] == (1.0, 0.0, None, None)


def test_pages_hold_all_chains_once_with_everything_known(runs: Path, library: Library) -> None:
    records = list(read_records(runs / "scored" / "test.jsonl.gz"))
    pages = [library.page("scored", "test.jsonl.gz", page) for page in range(2)]
    chains = [chain for page in pages for chain in page.chains]
    assert [chain.steps for chain in chains] == [record.chain.steps for record in records]
    judged = chains[0]
    notes = {labeled.source: labeled.notes for labeled in judged.labels}
    assert notes["arithmetic"] == (None, "2 + 2 is 4, not 5", None, None)
    assert judged.meta is not None and json.loads(judged.meta) == {"subset": "made"}
    assert judged.scores[0].values["min"] == 0.85
    with pytest.raises(NotHereError):
        library.page("scored", "test.jsonl.gz", 2)


def test_rows_that_can_not_be_read_are_counted(tmp_path: Path) -> None:
    path = tmp_path / "chains.jsonl"
    write_records(path, made_records(1, 2))
    path.write_bytes(path.read_bytes() + b'{"rung":1,"record":{"chain"')
    index = Library(path).index(tmp_path.name, "chains.jsonl")
    assert (len(index.rows), index.skipped) == (3, 1)
    assert "line 4" in index.reasons[0]


def test_a_file_that_grows_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "chains.jsonl"
    write_records(path, made_records(1, 1))
    library = Library(tmp_path)
    run = library.runs().runs[0].id
    assert len(library.index(run, path.name).rows) == 2
    write_records(path, [*made_records(1, 1), judged_record()])
    assert len(library.index(run, path.name).rows) == 3
    path.unlink()
    with pytest.raises(NotHereError, match="is gone"):
        library.index(run, path.name)


@pytest.mark.parametrize("name", ["beam", "mcts"])
def test_a_replayed_search_ends_where_the_search_did(
    runs: Path, library: Library, name: str
) -> None:
    chosen = {r.chain.problem.id: r for r in read_records(runs / "searches" / f"{name}.jsonl")}
    finished = {
        (record.chain.problem.id, record.chain.texts): record.outcome
        for record in read_records(runs / "searches" / f"{name}.chains.jsonl")
    }
    listed = library.searches("searches", f"{name}.jsonl.events")
    assert listed.algorithm == name
    assert len(listed.searches) == len(chosen) == 2
    for entry in listed.searches:
        tree = library.search("searches", f"{name}.jsonl.events", entry.problem)

        def path(place: int | None, nodes: Any = tree.nodes) -> list[Any]:
            return [] if place is None else [*path(nodes[place].parent), nodes[place]]

        record = chosen[tree.problem.id]
        assert [node.text for node in path(tree.chosen)] == list(record.chain.texts)
        assert tree.reason == "done"
        ends = {
            (tree.problem.id, tuple(step.text for step in path(place))): node.outcome
            for place, node in enumerate(tree.nodes)
            if node.finished is not None
        }
        assert ends == {key: v for key, v in finished.items() if key[0] == tree.problem.id}
        for node in tree.nodes:
            assert node.score == int(node.text) / 6
            above = [n.score for n in path(tree.nodes.index(node))]
            assert node.value == min(above)
        last = tree.events[-1]
        raw = (runs / "searches" / f"{name}.jsonl.events").read_bytes().splitlines()
        [ended] = [
            row
            for row in map(msgspec.json.decode, raw)
            if row["event"] == "ended" and row["problem"] == tree.problem.id
        ]
        spent = (last.tokens_sampled, last.tokens_scored, last.calls)
        assert spent == (ended["tokens_sampled"], ended["tokens_scored"], ended["calls"])


def test_a_log_alone_has_trees_without_questions(runs: Path, tmp_path: Path) -> None:
    path = tmp_path / "x.events"
    whole = (runs / "searches" / "beam.jsonl.events").read_bytes()
    path.write_bytes(whole + b'{"event":"sampl')  # a kill, or a run that is writing
    library = Library(path)
    run = library.runs().runs[0].id
    for entry in library.searches(run, "x.events").searches:
        assert entry.question is None
        assert library.search(run, "x.events", entry.problem).nodes


@pytest.mark.parametrize("separator_tokens", [0, 1])
def test_a_search_that_looked_inside_steps_is_replayed(
    tmp_path: Path, separator_tokens: int
) -> None:
    spelled = {"": ["we lose it here at once", "we keep it"], "we keep it": ["and are done"]}
    looks = {"we lose": 0.1, "we lose it": 0.3, "we keep": 0.8, "we keep it": 0.9}
    setting = Setting(
        generator=WordPolicy(spelled, separator_tokens=separator_tokens),
        scorer=Reader({**looks, "and are done": 0.9}),
        pick=rule("min", scorer=None, answer_key=lambda chain: chain.answer),
    )
    search = EarlyAbort(below=0.5, n=2, in_flight=2, look_every=3, below_inside=0.05)
    with SearchLog.open(tmp_path / "x.events", "words") as log:
        [result] = run_searches(search, [PROBLEM], setting, log=log)
    library = Library(tmp_path / "x.events")
    [entry] = library.searches(library.runs().runs[0].id, "x.events").searches
    tree = library.search(library.runs().runs[0].id, "x.events", entry.problem)
    wholes = {node.text for node in tree.nodes if not node.is_part}
    assert wholes == {"we lose it here at once", "we keep it", "and are done"}
    assert {node.text for node in tree.nodes if node.is_part} == {"we lose it"}
    assert result.chosen is not None and tree.chosen is not None
    assert tree.nodes[tree.chosen].text == result.chosen.chain.texts[-1]
    assert all(node.parent is None for node in tree.nodes if node.text != "and are done")
    last = tree.events[-1]
    assert (last.tokens_sampled, last.calls) == (result.spent.tokens_sampled, result.spent.calls)


@pytest.mark.parametrize(
    ("row", "said"),
    [
        ('{"event":"sampled","key":"../../x 0+1 step sampled 8","pieces":[]}', "names no prefix"),
        ('{"event":"danced"}', "this is no row"),
    ],
)
def test_a_log_with_a_strange_row_is_one_sentence(tmp_path: Path, row: str, said: str) -> None:
    path = tmp_path / "x.events"
    path.write_text(f'{{"event":"begun","search_of":"x"}}\n{row}\n')
    library = Library(path)
    with pytest.raises(InputError, match=said):
        library.searches(library.runs().runs[0].id, "x.events")


def test_charts_say_what_the_files_say(runs: Path, library: Library) -> None:
    found = library.charts("scored")
    by_kind: dict[str, list[Any]] = {}
    for chart in found.charts:
        by_kind.setdefault(chart.kind, []).append(chart)
    curves = json.loads((runs / "scored" / "best_of_n.json").read_text())["curves"]
    [drawn] = [chart for chart in by_kind["best-of-n"] if chart.file == "best_of_n.json"]
    for series in drawn.series:
        points = [(p["n"], p["accuracy"], p["low"], p["high"]) for p in curves[series.name]]
        assert [(p.x, p.y, p.low, p.high) for p in series.points] == points
    assert {chart.file for chart in by_kind["reliability"]} == {"steps.json", "test.jsonl.gz"}
    [losses] = by_kind["losses"]
    assert [series.name for series in losses.series] == ["training", "validation"]
    drawn = [point.y for point in losses.series[1].points]
    assert drawn == [row["validation_loss"] for row in VALIDATION]  # as they are, and not smoothed
    prm = next(map for map in found.heat_maps if map.title.endswith("prm"))
    assert sum(map(sum, prm.counts)) == 4 + 300 + sum(
        len(record.chain.steps) for record in made_records()[1:]
    )
    assert found.problems == ()
    [told, measured] = found.first_errors
    raw = json.loads((runs / "scored" / "first.json").read_text())["metrics"]
    assert json.loads(msgspec.json.encode(told.rows)) == raw
    labeled_alike = [r for r in measured.rows if (r.scorer, r.label_source) == ("prm", "human")]
    assert [r.num_correct for r in labeled_alike] == [r.num_correct for r in told.rows]


def test_reward_stands_beside_truth(library: Library) -> None:
    [chart] = library.charts("rl").charts
    names = [series.name for series in chart.series]
    assert names == ["right answers", "right, held out", "paid", "paid, held out"]
    assert [series.axis for series in chart.series] == ["left", "left", "right", "right"]
    assert all(p.low is not None for series in chart.series[::2] for p in series.points)
    assert [p.x for p in chart.series[1].points] == [0, 10, 20, 30]
    first, *_ = chart.series[1].points
    assert (first.y, first.low, first.n) == (0, 0, 50)
    assert first.high == pytest.approx(0.0713, abs=1e-4)  # Wilson's, of 0 in 50
    paid = chart.series[3].points[1]
    assert (paid.low, paid.high) == pytest.approx((paid.y - 0.098, paid.y + 0.098))


def test_looks_of_a_training_that_counts_no_problems_have_no_interval(tmp_path: Path) -> None:
    rows = [{"step": k, "held_out_accuracy": 0.5, "held_out_reward": 1.0} for k in range(3)]
    (tmp_path / "metrics.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    [chart] = training_charts(tmp_path / "metrics.jsonl", "metrics.jsonl")
    assert all(p.low is None and p.n is None for one in chart.series for p in one.points)


def test_a_broken_file_costs_its_chart_alone(tmp_path: Path) -> None:
    write_rows(tmp_path / "metrics.jsonl", [{"step": 1, "loss": 2.0}])
    (tmp_path / "curves.json").write_text('{"curves": {"prm_min": [{"n": "many"}]}}')
    library = Library(tmp_path)
    found = library.charts(library.runs().runs[0].id)
    assert [chart.kind for chart in found.charts] == ["losses"]
    assert "curves.json" in found.problems[0]


@pytest.fixture(scope="module")
def client(library: Library) -> TestClient:
    return TestClient(create_app(view_routes(library)), base_url="http://localhost")


def test_the_server_answers_with_the_documents_of_the_bundle(
    client: TestClient, library: Library
) -> None:
    for name, document in documents(library):
        answer = client.get(f"/v1/view/{name}")
        assert answer.status_code == 200
        assert answer.content == msgspec.json.encode(document)


@pytest.mark.parametrize(
    "path",
    [
        "runs/no",
        "runs/..%2f..%2fetc",
        "runs/scored/chains/..%2f..%2f..%2fetc%2fpasswd",
        "runs/scored/chains/best_of_n.json",
        "runs/scored/chains/test.jsonl.gz/pages/-1",
        "runs/scored/chains/test.jsonl.gz/pages/99",
        "runs/searches/searches/beam.jsonl",
        "runs/searches/searches/beam.jsonl.events/abc",
    ],
)
def test_what_is_not_there_is_404_and_nothing_outside_is_reached(
    client: TestClient, path: str
) -> None:
    answer = client.get(f"/v1/view/{path}")
    assert answer.status_code == 404
    assert answer.json()["error"]["message"]


def test_nothing_can_be_changed(client: TestClient) -> None:
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        assert client.request(method, "/v1/view/runs").status_code == 405


@pytest.fixture
def pages(tmp_path: Path) -> Path:
    """Stands in for what `make web` builds."""
    folder = tmp_path / "pages"
    folder.mkdir()
    (folder / "index.html").write_text(
        "<!doctype html><head><title>rung</title><script defer src='a.js'></script></head>"
    )
    return folder


def test_a_bundle_holds_every_document_and_a_strict_policy(
    library: Library, pages: Path, tmp_path: Path
) -> None:
    out = tmp_path / "site"
    made = write_bundle(library, pages, out, Silent())
    assert (made.runs, made.searches) == (3, 4)
    index = (out / "index.html").read_text()
    policy = index.index("script-src 'self'")
    assert policy < index.index("<script")
    assert "unsafe" not in index
    for name, document in documents(library):
        script = (out / "data" / f"{name}.js").read_bytes()
        assert script == b'rungData("%s",%s)\n' % (name.encode(), msgspec.json.encode(document))


def test_a_bundle_takes_the_place_of_a_bundle_and_of_nothing_else(
    library: Library, pages: Path, tmp_path: Path
) -> None:
    out = tmp_path / "site"
    write_bundle(library, pages, out, Silent())
    (out / "data" / "old.js").write_text("")
    write_bundle(library, pages, out, Silent())
    assert not (out / "data" / "old.js").exists()
    mine = tmp_path / "mine"
    mine.mkdir()
    (mine / "thesis.txt").write_text("all of it")
    with pytest.raises(RungError, match="holds something else"):
        write_bundle(library, pages, mine, Silent())
    assert os.listdir(mine) == ["thesis.txt"]
    with pytest.raises(RungError, match="make web"):
        write_bundle(library, tmp_path / "unbuilt", tmp_path / "new", Silent())


def test_the_verb_says_what_is_wrong(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["view", str(tmp_path / "no")]) == 2
    assert "there is no such file or folder" in capsys.readouterr().err
    write_records(tmp_path / "c.jsonl", made_records(1, 1))
    assert main(["view", str(tmp_path), "--port", "99999"]) == 2
    assert "--port is 99999" in capsys.readouterr().err


def test_verdicts_come_from_chains_with_the_same_answer(library: Library) -> None:
    listed = library.searches("searches", "beam.jsonl.events")
    tree = library.search("searches", "beam.jsonl.events", listed.searches[0].problem)
    verdicts = {node.answer: node.outcome for node in tree.nodes if node.finished is not None}
    assert verdicts
    for answer, verdict in verdicts.items():
        assert verdict is (Verdict.CORRECT if answer == "6" else Verdict.INCORRECT)


def test_no_two_parts_give_their_values_one_name() -> None:
    """OpenAPI would lengthen both names, and the pages' types would no longer be found."""
    names = openapi.document()["components"]["schemas"]
    assert [name for name in names if "__" in name] == []
