"""Judges: what they say becomes labels, whatever they and their servers do."""

import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from chat_stand_in import said
from rung import (
    Chain,
    ChainRecord,
    Completion,
    InputError,
    Problem,
    RungError,
    StepLabels,
    StepScores,
    Verdict,
    read_records,
    write_records,
)
from rung.cli.main import main
from rung.core import http
from rung.core.http import Patience
from rung.label import next_to_label
from rung.label.chat import Asked, ChatServer, LocalChat, Message
from rung.label.judge import JudgeLabeler, combine
from rung.label.judge_forms import UnreadableError, make_form
from rung.label.next import First
from rung.label.reply_log import ReplyLog
from rung.label.rubric import read_rubric
from vllm_stand_in import Reply, stand_in

CHAIN = Chain.of(Problem("a", "What is 2 + 3 + 4?"), ["2 + 3 = 5", "5 + 4 = 8", "So 8."])
FAST = Patience(attempts=3, first_wait_s=0.01)
HASTY = replace(FAST, timeout_s=0.3)


def judge(url: str, form: Any = None, patience: Patience = FAST, **changes: Any) -> JudgeLabeler:
    model = ChatServer(url=f"{url}/v1", name="m", patience=patience)
    return JudgeLabeler(model, form or make_form("first-error"), "judge:m", **changes)


def chains(count: int) -> list[Chain]:
    return [
        Chain.of(Problem(str(k), f"What is {k} + 1?"), [f"It is {k + 1}."]) for k in range(count)
    ]


def test_the_first_error_is_read_from_the_last_box():
    with stand_in(lambda *_: said(r"Is it \boxed{0}? No: \boxed{1}.")) as server:
        labeler = judge(server.url)
        assert labeler.label([CHAIN]) == [StepLabels((1.0, 0.0, None), "judge:m")]
    [asked] = server.asked
    assert asked.path == "/v1/chat/completions"
    [message] = asked.body["messages"]
    assert "<paragraph_1>\n5 + 4 = 8\n</paragraph_1>" in message["content"]
    assert (labeler.spent.prompt_tokens, labeler.spent.completion_tokens) == (100, 10)
    assert labeler.spent.cost(1.0, 10.0) == pytest.approx(2e-4)


def test_a_chain_is_judged_in_one_pass_and_steps_one_by_one():
    words = ["right", "wrong", "unsure"]

    def reply(body: Any, _: int) -> Reply:
        text = body["messages"][0]["content"]
        if "last paragraph alone" not in text:
            return said("Let me see {x}.\n```json\n" + json.dumps({"verdicts": words}) + "\n```")
        return said(json.dumps({"verdict": words[text.count("</paragraph_") - 1]}))

    for name, requests in (("chain", 1), ("step", 3)):
        with stand_in(reply) as server:
            [labels] = judge(server.url, make_form(name)).label([CHAIN])  # type: ignore[arg-type]
        assert labels.labels == (1.0, 0.0, None)
        assert len(server.asked) == requests


def test_steps_that_chains_share_and_equal_chains_are_asked_once():
    other = CHAIN.prefix(2).extend("So 9.")
    with stand_in(lambda *_: said('{"verdict": "right"}')) as server:
        judge(server.url, make_form("step")).label([CHAIN, other, CHAIN])
    assert len(server.asked) == 4


def test_the_majority_of_votes_decides_and_ties_give_none():
    def readings(*indexes: int) -> list[tuple[float | str | None, ...]]:
        form = make_form("first-error")
        return [form.read(rf"\boxed{{{k}}}", CHAIN) for k in indexes]

    assert combine(readings(1, 1, -1), 3, is_whole=True, soft=False) == (1.0, 0.0, None)
    assert combine(readings(1, 0), 3, is_whole=True, soft=False) == (None,) * 3
    assert combine(readings(1, -1), 3, is_whole=True, soft=True) == (1.0, 0.5, 1.0)
    by_slot = combine([(1.0, 0.0), (1.0, None), (0.0, None)], 2, is_whole=False, soft=False)
    assert by_slot == (1.0, 0.0)
    assert combine([], 2, is_whole=False, soft=False) == (None, None)


def test_each_vote_is_an_answer_of_its_own():
    with stand_in(lambda _, n: said(rf"\boxed{{{int(n > 1)}}}")) as server:
        [labels] = judge(server.url, votes=3).label([CHAIN])
    assert len(server.asked) == 3
    assert labels.first_error == 1


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("I see no mistake.", "no paragraph's number"),
        (r"\boxed{3}", "no paragraph 3, only -1 to 2"),
        (r"\boxed{-2}", "no paragraph -2"),
        (r"\boxed{1} or \boxed{" + "0" * 10_000 + "1}", "no paragraph 000000000"),
    ],
)
def test_boxes_that_name_no_step_are_unreadable(text: str, why: str):
    with pytest.raises(UnreadableError, match=why):
        make_form("first-error").read(text, CHAIN)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("right, right, wrong", "no JSON object"),
        ('{"verdicts": ["right"', "no JSON object"),
        ("{" * 10_000, "no JSON object"),
        ('{"steps": []}', 'no list "verdicts"'),
        ('{"verdicts": ["right", "wrong"]}', "2 verdicts for 3 paragraphs"),
        ('{"verdicts": ["right", "wrong", 1]}', "'1', expected one of"),
        ('{"verdicts": ["right", "wrong", ["right"]]}', "expected one of"),
    ],
)
def test_json_that_is_not_as_asked_is_unreadable(text: str, why: str):
    with pytest.raises(UnreadableError, match=why):
        make_form("chain").read(text, CHAIN)


def test_an_unreadable_answer_is_asked_for_again_with_the_reason():
    with stand_in(lambda _, n: said("Hm." if n == 1 else r"\boxed{-1}")) as server:
        labeler = judge(server.url)
        [labels] = labeler.label([CHAIN])
    assert labels.labels == (1.0, 1.0, 1.0)
    roles = [turn["role"] for turn in server.asked[1].body["messages"]]
    assert roles == ["user", "assistant", "user"]
    assert "no paragraph's number" in server.asked[1].body["messages"][2]["content"]
    assert (labeler.spent.repaired, labeler.spent.unreadable) == (1, 0)


def test_a_judge_that_talks_nonsense_leaves_none_and_is_counted():
    with stand_in(lambda *_: said("Lorem ipsum.")) as server:
        labeler = judge(server.url)
        [labels] = labeler.label([CHAIN])
    assert labels.labels == (None, None, None)
    assert labeler.spent.unreadable == 1
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    "refusal",
    [said(None, refusal="I can't help."), said("", finish_reason="content_filter")],
)
def test_a_judge_that_refuses_is_not_asked_again_and_counted(refusal: Reply):
    with stand_in(lambda *_: refusal) as server:
        labeler = judge(server.url)
        assert labeler.label([CHAIN])[0].labels == (None, None, None)
    assert len(server.asked) == labeler.spent.refused == 1


def test_a_chain_too_long_for_the_server_is_refused_alone():
    too_long = Reply({"error": {"message": "maximum context length"}}, 400)

    def reply(body: Any, _: int) -> Reply:
        is_long = "is 1 + 1" in body["messages"][0]["content"]
        return too_long if is_long else said(r"\boxed{-1}")

    with stand_in(reply) as server:
        labeler = judge(server.url)
        found = labeler.label(chains(3))
    assert [labels.labels for labels in found] == [(1.0,), (None,), (1.0,)]
    assert labeler.spent.refused == 1


def test_a_server_that_turns_everything_away_is_a_mistake_of_the_asking():
    for status, words in ((400, "no field max_tokens"), (401, "wrong key")):
        turned_away = Reply({"error": {"message": words}}, status)
        with (
            stand_in(lambda *_, reply=turned_away: reply) as server,
            pytest.raises(RungError, match=f"refuses with {status}: {words}"),
        ):
            judge(server.url).label(chains(2))


FAILURES = {
    "too many requests": Reply({"error": {"message": "slow down"}}, 429),
    "told to wait": Reply(b"busy", 429, headers=(("Retry-After", "0.01"),)),
    "server error": Reply(b"Internal Server Error", 500),
    "request timeout": Reply(b"", 408),
    "cut stream": said(r"\boxed{1}")._replace(cut=9),
    "no whole JSON": said(r"\boxed{1}")._replace(cut=9, says_whole_length=False),
    "not even text": Reply(b"\xff\xfe\x00"),
    "timeout": said(r"\boxed{1}")._replace(delay_s=0.6),
}


@pytest.mark.parametrize("what", FAILURES)
def test_failures_that_pass_are_survived(what: str):
    patience = HASTY if FAILURES[what].delay_s else FAST
    with stand_in(lambda _, n: FAILURES[what] if n < 3 else said(r"\boxed{1}")) as server:
        [labels] = judge(server.url, patience=patience).label([CHAIN])
    assert labels.first_error == 1
    assert len(server.asked) == 3


def test_a_limit_by_the_minute_is_waited_for_and_a_broken_server_is_not(
    monkeypatch: pytest.MonkeyPatch,
):
    waited_s: list[float] = []
    monkeypatch.setattr(http.time, "sleep", waited_s.append)
    for status, least_s, most_s in ((429, 60, 80), (500, 15, 20)):
        waited_s.clear()
        with (
            stand_in(lambda *_, status=status: Reply(b"not now", status)) as server,
            pytest.raises(RungError, match=rf"fails with {status}: not now \(6 attempts\)"),
        ):
            model = ChatServer(url=server.url, name="m", at_once=1)
            list(model.replies([Asked((Message("user", "?"),))]))
        assert least_s < sum(waited_s) < most_s


def test_answers_of_another_kind_are_one_sentence():
    for body in ({"choices": 3}, [1], {"object": "list"}):
        with (
            stand_in(lambda *_, body=body: Reply(body)) as server,
            pytest.raises(RungError, match="not what such a server answers"),
        ):
            judge(server.url).label([CHAIN])


def test_a_failure_loses_no_reply_and_the_next_run_pays_for_none_twice(tmp_path: Path):
    is_broken = True

    def reply(body: Any, _: int) -> Reply:
        if is_broken and "is 7 + 1" in body["messages"][0]["content"]:
            return Reply(b"", 500)
        return said(r"\boxed{-1}")

    with stand_in(reply) as server:
        with ReplyLog.open(tmp_path / "log") as log, pytest.raises(RungError, match="500"):
            judge(server.url, log=log).label(chains(8))
        answered = (tmp_path / "log").read_bytes().count(b"\n")
        is_broken = False
        server.asked.clear()
        with ReplyLog.open(tmp_path / "log") as log:
            labeler = judge(server.url, log=log)
            assert all(labels.labels == (1.0,) for labels in labeler.label(chains(8)))
    assert labeler.spent.logged_replies == answered
    assert len(server.asked) == labeler.spent.new_replies == 8 - answered


def test_half_a_row_in_the_log_is_passed_over(tmp_path: Path):
    path = tmp_path / "log"
    with stand_in(lambda *_: said(r"\boxed{-1}")) as server:
        with ReplyLog.open(path) as log:
            judge(server.url, log=log).label(chains(3))
        path.write_bytes(path.read_bytes()[:-20])
        for expected in (4, 4):
            with ReplyLog.open(path) as log:
                judge(server.url, log=log).label(chains(3))
            assert len(server.asked) == expected
    path.write_text("name,score\n")
    with pytest.raises(InputError, match="no log of a judge's replies"), ReplyLog.open(path):
        pass


def test_other_models_sampling_and_prompts_are_asked_anew(tmp_path: Path):
    own = tmp_path / "prompt.txt"
    own.write_text("{question}\n{paragraphs}\nWhich is wrong? {k} \\boxed{k}")
    usual = make_form("first-error")
    with (
        stand_in(lambda *_: said(r"\boxed{-1}")) as server,
        ReplyLog.open(tmp_path / "log") as log,
    ):
        for form, temperature in [(usual, 0), (usual, 0.5), (make_form("first-error", own), 0)]:
            model = ChatServer(url=server.url, name="m", temperature=temperature)
            JudgeLabeler(model, form, "j", log=log).label([CHAIN])
    assert len(server.asked) == 3
    assert server.asked[2].body["messages"][0]["content"].endswith("{k} \\boxed{k}")


def test_a_prompt_without_the_names_it_needs_is_refused(tmp_path: Path):
    own = tmp_path / "prompt.txt"
    own.write_text("Judge this: {paragraphs}")
    with pytest.raises(InputError, match=r"lacks \{question\}"):
        make_form("chain", own)
    with pytest.raises(InputError, match="can't be read"):
        make_form("chain", tmp_path / "nothing")


RUBRIC = """
name = "essay"
combine = "{combine}"
[[criteria]]
name = "supports"
ask = "Does it support the thesis?"
weight = 3.0
[[criteria]]
name = "clear"
ask = "Is it clear?"
"""


@pytest.mark.parametrize(
    ("combine_by", "expected"),
    [("all", (1.0, 0.0, None)), ("mean", (1.0, 0.75, 1.0))],
)
def test_a_rubric_gives_a_label_a_criterion_and_one_for_all(
    tmp_path: Path, combine_by: str, expected: tuple[float | None, ...]
):
    path = tmp_path / "essay.toml"
    path.write_text(RUBRIC.replace("{combine}", combine_by))
    form = make_form("first-error", rubric=read_rubric(path))
    verdicts = {"supports": ["pass", "pass", "unsure"], "clear": ["none", "fail", "pass"]}
    with stand_in(lambda *_: said(json.dumps(verdicts))) as server:
        [(labels, supports, clear)] = judge(server.url, form, soft=combine_by == "mean").label_all(
            [CHAIN]
        )
    assert "- clear: Is it clear?" in server.asked[0].body["messages"][0]["content"]
    assert labels.labels == expected
    assert (supports.source, supports.labels) == ("judge:m/supports", (1.0, 1.0, None))
    assert clear.labels == (None, 0.0, 1.0)


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("name = 'x'\ncriteria = []", "needs criteria"),
        ("name = 'x'\n[[criteria]]\nname='a'\nask='?'\nweight=0", "above 0"),
        ("name = 'x'\n[[criteria]]\nname='a'\nasks='?'", "no rubric"),
        ("= 3", "no rubric"),
    ],
)
def test_what_is_no_rubric_is_said(tmp_path: Path, text: str, why: str):
    path = tmp_path / "r.toml"
    path.write_text(text)
    with pytest.raises(InputError, match=why):
        read_rubric(path)


def test_any_completer_can_judge():
    class Echo:
        name = "echo"

        def complete(self, prompts: Any, how: Any) -> list[Completion]:
            return [Completion(rf"\boxed{{{how.seed}}}", (1, 2)) for _ in prompts]

    model = LocalChat(completer=Echo(), show=lambda turns: turns[0].content, weights_hash="w")
    labeler = JudgeLabeler(model, make_form("first-error"), "j", votes=2, soft=True)
    assert labeler.label([CHAIN])[0].labels == (0.5, 0.0, None)
    assert labeler.spent.completion_tokens == 4


def test_the_verb_labels_counts_and_is_free_the_second_time(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
):
    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    write_records(source, map(ChainRecord, [CHAIN, *chains(3)]))
    monkeypatch.setenv("MY_KEY", "secret")

    def reply(body: Any, _: int) -> Reply:
        return said(r"\boxed{1}" if "2 + 3" in body["messages"][0]["content"] else r"\boxed{-1}")

    with stand_in(reply) as server:
        command = ["label", "judge", str(source), "--out", str(out), "--model", "m", "--json"]
        command += ["--url", f"{server.url}/v1", "--key-env", "MY_KEY", "--price", "1", "10"]
        command += ["--extra-body", '{"max_tokens": null, "max_completion_tokens": 9}']
        results = []
        for _ in range(2):
            assert main(command) == 0
            results.append(json.loads(capsys.readouterr().out))
    first, second = results
    assert first["labels"] == {"right": 4, "unjudged": 1, "wrong": 1}
    assert (first["new_replies"], first["cost"]) == (4, pytest.approx(8e-4))
    assert (second["new_replies"], second["logged_replies"], second["cost"]) == (0, 4, 0)
    assert len(server.asked) == 4
    assert "max_tokens" not in server.asked[0].body
    assert next(read_records(out)).labels_from("judge:m").first_error == 1  # type: ignore[union-attr]
    assert b"secret" not in b"".join(path.read_bytes() for path in tmp_path.iterdir())


def test_what_is_told_names_the_source_as_it_is_and_each_fact_in_a_line(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source = tmp_path / "in.jsonl"
    write_records(source, [ChainRecord(CHAIN)])
    with stand_in(lambda *_: said("Hm.")) as server:  # ":m:" is an emoji's name
        command = ["label", "judge", str(source), "--out", str(tmp_path / "o"), "--model", "m"]
        assert main([*command, "--url", f"{server.url}/v1", "--name", "judge:m:"]) == 0
    _, labels, _, unread = capsys.readouterr().out.splitlines()
    assert labels == "  steps by judge:m:: 3 unjudged"
    assert unread.endswith("were asked again; 1 never could, 0 were refused")


@pytest.mark.parametrize("first", ["doubt", "convincing"])
def test_only_the_chains_first_in_line_are_asked_about(first: First, tmp_path: Path):
    def scored(k: int, score: float) -> ChainRecord:
        chain = Chain.of(Problem(f"p{k}", f"What is {k} + 1?"), [f"It is {k}."])
        scores = StepScores((score,), "prm")
        return ChainRecord(chain, scores=(scores,), outcome=Verdict.INCORRECT)

    source, out = tmp_path / "in.jsonl", tmp_path / "out.jsonl"
    rows = [scored(k, (k * 37 % 100) / 100) for k in range(100)]
    write_records(source, rows)
    best = {choice.index for choice in next_to_label(rows, 3, first=first)}
    with stand_in(lambda *_: said(r"\boxed{0}")) as server:
        command = ["label", "judge", str(source), "--out", str(out), "--model", "m"]
        command += ["--url", f"{server.url}/v1", "--only", "3", "--first", first]
        assert main(command) == 0
        assert len(server.asked) == 3
    found = list(read_records(out))
    assert [record.chain for record in found] == [record.chain for record in rows]
    assert {k for k, record in enumerate(found) if record.labels_from("judge:m")} == best
    other = "convincing" if first == "doubt" else "doubt"
    assert main([*command[:-1], other]) == 2  # not a file that is half of one, half of the other
    assert main(command[:-2]) == (0 if first == "doubt" else 2)  # that is what goes untold


@pytest.mark.parametrize(
    ("options", "why"),
    [
        (["--only", "0"], "--only is 0"),
        (["--only", "1"], "no chain has scores to tell which come first"),
        (["--first", "doubt"], "give --only N too"),
        (["--votes", "0"], "--votes is 0"),
        (["--votes", "3", "--temperature", "0"], "3 votes that are alike"),
        (["--extra-body", "[1]"], "no JSON object"),
        (["--attempts", "0"], "0 attempts"),
        (["--rubric", "r.toml", "--form", "step"], "form of its own"),
    ],
)
def test_options_that_make_no_sense_are_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], options: list[str], why: str
):
    source = tmp_path / "in.jsonl"
    write_records(source, [ChainRecord(CHAIN)])
    command = ["label", "judge", str(source), "--out", str(tmp_path / "o.jsonl"), "--model", "m"]
    assert main([*command, "--url", "http://localhost:1/v1", *options]) == 2
    assert why in capsys.readouterr().err
    assert list(tmp_path.iterdir()) == [source]


def test_a_local_model_is_asked_through_its_chat_template(
    tiny_lm: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    source, folder = tmp_path / "in.jsonl", Path(shutil.copytree(tiny_lm, tmp_path / "lm"))
    write_records(source, [ChainRecord(CHAIN)])
    command = ["label", "judge", str(source), "--out", str(tmp_path / "out.jsonl"), "--json"]
    command += ["--model", str(folder), "--max-tokens", "4", "--repairs", "0"]
    assert main(command) == 2
    assert "has no chat template" in capsys.readouterr().err
    config = json.loads((folder / "tokenizer_config.json").read_text())
    config["chat_template"] = "{% for m in messages %}{{ m['content'][:40] }}{% endfor %}"
    (folder / "tokenizer_config.json").write_text(json.dumps(config))
    for new_replies in (1, 0):
        assert main(command) == 0
        result = json.loads(capsys.readouterr().out)
        assert (result["new_replies"], result["unreadable"]) == (new_replies, 1)
        assert result["source"] == "judge:lm"
        assert result["labels"] == {"unjudged": 3}
    assert result["logged_replies"] == 1
