"""A scorer behind a server: the local one's scores, patience where it helps, else one sentence."""

import json
import time
from pathlib import Path
from types import SimpleNamespace
from typing import Any, Literal

import pytest
from transformers import LlamaConfig, MistralConfig, Qwen2Config

from conftest import TinyReward
from published import WIDTH, qwen_tokenizer, random_heads, save, two_layer_heads
from rung import Chain, Problem, RungError, Scorer
from rung.cli.scorers import Opening
from rung.core.http import Patience
from rung.model.serving import Serving, serving
from rung.score import RemoteScorer, load_scorer, remote_scorer
from rung.score.server import PoolingServer, connect
from tiny_lms import (
    CHATML_SPECIALS,
    CHATML_TEMPLATE,
    LLAMA3_SPECIALS,
    LLAMA3_TEMPLATE,
    byte_tokenizer,
    logits_of,
    save_lm,
    sentencepiece_tokenizer,
)
from vllm_stand_in import RECORDED, Reply, StandIn, logits_by, models, pooling, stand_in

WORDS = ["We add one .", "two\nlines", "so three", "", "and two to get three ."]


def chains(count: int = 30) -> list[Chain]:
    problems = [Problem("a", "How many?"), Problem("b", "We add\none and two .")]
    return [
        Chain.of(problems[k % 2], [WORDS[(k * j + k) % 5] for j in range(1 + k % 4)])
        for k in range(count)
    ]


def fast(scorer: RemoteScorer, **changes: Any) -> RemoteScorer:
    """The scorer with waits that a test can bear."""
    patience = Patience(**{"attempts": 3, "first_wait_s": 0.01, **changes})
    server = PoolingServer(scorer.server.url, scorer.server.model, patience)
    return RemoteScorer(scorer.name, scorer.serving, server)


@pytest.mark.parametrize("kind", ["prm", "orm"])
@pytest.mark.parametrize("is_step_pooler", [True, False])
def test_scores_equal_the_local_scorers(
    tiny_reward: TinyReward, kind: Literal["prm", "orm"], is_step_pooler: bool
):
    folder = tiny_reward(kind, 24)  # so that some steps are lost
    tag = serving(folder).step_tag_id if is_step_pooler else None
    with stand_in(logits_by(folder, tag=tag)) as server:
        scorer = remote_scorer(folder, server.url)
        found = scorer.score(chains())
    assert isinstance(scorer, Scorer)
    expected = load_scorer(folder).score(chains())
    assert any(None in one.scores[-1:] for one in expected)
    for one, other in zip(found, expected, strict=True):
        assert other.scores == pytest.approx(one.scores, abs=1e-5)
        assert (one.scorer, one.weights_hash) == (other.scorer, None)


@pytest.mark.parametrize("head", ["2-class", "3-class"])
def test_heads_with_classes_are_read_as_here(
    tiny_reward: TinyReward, tmp_path: Path, head: Literal["2-class", "3-class"]
):
    from rung.model import Reading, new_reward_model, save_reward_model

    model, loaded = new_reward_model(tiny_reward().parent / "trunk", seed=1, head=head)
    model.score.weight.data *= 20
    save_reward_model(model, loaded.tokenizer, Reading(kind="prm", head=head), tmp_path / "prm")
    with stand_in(logits_by(tmp_path / "prm", tag=None)) as server:
        found = remote_scorer(tmp_path / "prm", server.url).score(chains(8))
    for one, other in zip(load_scorer(tmp_path / "prm").score(chains(8)), found, strict=True):
        assert other.scores == pytest.approx(one.scores, abs=1e-5)


QWEN_PRM = {"architectures": ["Qwen2ForProcessRewardModel"], "model_type": "qwen2"}
TRL = {"architectures": ["Qwen2ForTokenClassification"], "model_type": "qwen2", "num_labels": 2}
PUBLISHED: dict[str, tuple[str, dict[str, Any], dict[str, str]]] = {
    "qwen-prm": ("Qwen2.5-Math-PRM-7B", QWEN_PRM, {}),
    "reasonflux-prm": ("ReasonFlux-PRM-7B", QWEN_PRM, {}),
    "trl": ("trl-lib", TRL, {"mode": "published"}),
    "trl in training": ("PRM-0.2", TRL, {"mode": "training", "separator": "\n\n"}),
    "pure": ("PURE-PRM-7B", TRL, {}),
}


@pytest.mark.parametrize("what", PUBLISHED)
def test_published_models_are_read_as_here(tmp_path: Path, what: str):
    name, config, options = PUBLISHED[what]
    is_qwen = config is QWEN_PRM
    heads = two_layer_heads(2) if is_qwen else random_heads(score__weight=(2, WIDTH))
    small = save(tmp_path / name, qwen_tokenizer("<extra_0>"), heads, config, max_tokens=90)

    def reply(body: Any, _: int) -> Reply:
        states = map(small.states, body["input"])
        logits = [small.two_layers(x) if is_qwen else small.linear("score", x) for x in states]
        return Reply(pooling([one.tolist() for one in logits]))

    local = load_scorer(small.folder, options=options)
    with stand_in(reply) as server:
        found = remote_scorer(small.folder, server.url, options=options)
        scores = found.score(chains(12))
    assert found.family == local.family == what.split()[0]
    assert (found.aggregation, found.kind) == (local.aggregation, local.kind)
    for one, other in zip(local.score(chains(12)), scores, strict=True):
        assert other.scores == pytest.approx(one.scores, abs=1e-5)


WORDS_OF: dict[str, tuple[Any, dict[str, Any]]] = {
    "math-shepherd": (MistralConfig, {}),
    "er-prm": (LlamaConfig, {"bos": "<s>"}),
    "math-psa": (Qwen2Config, {}),
    "rlhflow": (LlamaConfig, {"specials": LLAMA3_SPECIALS, "template": LLAMA3_TEMPLATE}),
    "fover": (Qwen2Config, {"specials": CHATML_SPECIALS, "template": CHATML_TEMPLATE}),
}


@pytest.mark.parametrize("family", WORDS_OF)
def test_models_that_judge_by_words_are_read_as_here(tmp_path: Path, family: str):
    kind, how = WORDS_OF[family]
    is_metaspace = family == "math-shepherd"
    tokenizer = (
        sentencepiece_tokenizer() if is_metaspace else byte_tokenizer(**{"bos": "<s>"} | how)
    )
    folder = save_lm(tmp_path / "lm", tokenizer, kind)
    overrides = json.loads(serving(folder, family).engine[1])
    assert overrides["architectures"] == [
        kind.__name__.replace("Config", "ForSequenceClassification")
    ]
    wrong, right = tokenizer.convert_tokens_to_ids(overrides["classifier_from_token"])

    def reply(body: Any, _: int) -> Reply:  # what vLLM makes of these overrides
        logits = [logits_of(folder, ids) for ids in body["input"]]
        return Reply(pooling([(one[:, [right]] - one[:, [wrong]]).tolist() for one in logits]))

    local = load_scorer(folder, family=family)
    with stand_in(reply, model="lm") as server:
        remote = remote_scorer(folder, server.url, family=family)
        found = remote.score(chains(12))
    assert (remote.aggregation, remote.kind) == (local.aggregation, local.kind)
    for one, other in zip(local.score(chains(12)), found, strict=True):
        assert other.scores == pytest.approx(one.scores, abs=1e-4)


def test_a_family_that_vllm_cannot_serve_is_said(tiny_reward: TinyReward):
    words = "family skywork can't be scored by a vLLM server, only rung, qwen-prm, reasonflux-prm"
    with pytest.raises(RungError, match=words):
        serving(tiny_reward(), "skywork")


def test_no_weights_are_needed_here(tiny_reward: TinyReward, tmp_path: Path):
    for name in ("rung.json", "config.json", "tokenizer.json", "tokenizer_config.json"):
        (tmp_path / name).write_bytes((tiny_reward() / name).read_bytes())
    assert serving(tmp_path).step_tag_id == serving(tiny_reward()).step_tag_id


def test_equal_chains_are_asked_once_and_empty_ones_never(tiny_reward: TinyReward):
    folder = tiny_reward()
    one = chains(1)[0]
    with stand_in(logits_by(folder, tag=None)) as server:
        found = remote_scorer(folder, server.url).score([one, one, one.prefix(0), one])
        assert [len(asked.body["input"]) for asked in server.asked] == [1]
    assert found[0] == found[1] == found[3]
    assert found[2].scores == ()


def test_the_server_is_asked_for_raw_logits_by_token_ids(tiny_reward: TinyReward):
    folder = tiny_reward()
    one = chains(1)[0]
    with stand_in(logits_by(folder, tag=None), model="renamed") as server:
        remote_scorer(folder, server.url).score([one])
        [asked] = server.asked
    assert asked.path == "/pooling"
    assert asked.body == {
        "model": "renamed",
        "input": [list(serving(folder).render([one])[0].ids)],
        "task": "token_classify",
        "use_activation": False,
        "encoding_format": "float",
    }


def test_recorded_answers_of_the_engine_are_read():
    with stand_in(lambda body, number: Reply(RECORDED[body["model"]]), model="step") as server:
        [one, two] = connect(server.url, "step").rows([[5, 6], [7]])
    assert [one, two] == [part["data"] for part in RECORDED["step"]["data"]]
    assert all(len(row) == 1 for row in one + two)


FAILURES = {
    "too many requests": Reply(RECORDED["error"], 429),
    "server error": Reply(b"Internal Server Error", 500),
    "bad gateway": Reply(b"<html>", 502),
    "truncated JSON": Reply(pooling([[[0.5]]]), cut=9, says_whole_length=False),
    "a line that broke": Reply(pooling([[[0.5]]]), cut=9),
    "no answer in time": Reply(pooling([[[0.5]]]), delay_s=0.4),
}


def waits(what: str) -> dict[str, float]:
    return {"timeout_s": 0.2} if FAILURES[what].delay_s else {}


@pytest.mark.parametrize("what", FAILURES)
def test_what_may_pass_is_tried_again(tiny_reward: TinyReward, what: str):
    folder = tiny_reward()
    good = logits_by(folder, tag=None)
    with stand_in(lambda body, n: FAILURES[what] if n < 3 else good(body, n)) as server:
        scorer = fast(remote_scorer(folder, server.url), **waits(what))
        found = scorer.score(chains(1))
        assert len(server.asked) == 3
    assert found[0].scores == pytest.approx(
        load_scorer(folder).score(chains(1))[0].scores, abs=1e-5
    )


@pytest.mark.parametrize(
    ("what", "words"),
    {
        "too many requests": "the server fails with 429",
        "server error": "the server fails with 500: Internal Server Error",
        "truncated JSON": "the answer is not whole JSON",
        "a line that broke": "the answer broke off",
        "no answer in time": r"no answer within 0\.2 s",
    }.items(),
)
def test_what_does_not_pass_is_one_sentence(tiny_reward: TinyReward, what: str, words: str):
    with stand_in(lambda *_: FAILURES[what]) as server:
        scorer = fast(remote_scorer(tiny_reward(), server.url), **waits(what))
        with pytest.raises(RungError, match=rf"^{server.url}: {words}.*\(3 attempts\)$"):
            scorer.score(chains(1))
        assert len(server.asked) == 3


def test_a_server_that_says_how_long_to_wait_is_believed(
    tiny_reward: TinyReward, monkeypatch: pytest.MonkeyPatch
):
    folder, waited = tiny_reward(), list[float]()
    clock = SimpleNamespace(sleep=waited.append, monotonic=time.monotonic)
    monkeypatch.setattr("rung.core.http.time", clock)
    busy = Reply(RECORDED["error"], 429, headers=(("Retry-After", "7"),))
    good = logits_by(folder, tag=None)
    with stand_in(lambda body, n: busy if n < 2 else good(body, n)) as server:
        remote_scorer(folder, server.url).score(chains(1))
    assert waited == [7.0]


def test_a_refusal_is_not_tried_again_and_repeats_the_servers_words(tiny_reward: TinyReward):
    with stand_in(lambda *_: Reply(RECORDED["error"], 400)) as server:
        scorer = fast(remote_scorer(tiny_reward(), server.url))
        with pytest.raises(RungError, match="refuses with 400: This model's maximum context"):
            scorer.score(chains(1))
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    ("rows", "words"),
    [
        ([], "gave 0 rows for .* 'rung serve-config' says"),
        ([[0.5]] * 3, "gave 3 rows for"),
        (None, "gave 2 logits a token, expected 1"),
    ],
)
def test_rows_that_are_not_this_models_are_refused(
    tiny_reward: TinyReward, rows: list[list[float]] | None, words: str
):
    def reply(body: Any, _: int) -> Reply:
        return Reply(pooling([rows if rows is not None else [[0, 1]] * len(body["input"][0])]))

    with stand_in(reply) as server:
        scorer = remote_scorer(tiny_reward(), server.url)
        with pytest.raises(RungError, match=words):
            scorer.score(chains(1))


def test_answers_of_another_kind_are_refused(tiny_reward: TinyReward):
    for body, words in [
        ({"data": [{"embedding": [1]}]}, "not what such a server answers"),
        (pooling([[[0.5]], [[0.5]]]), "gave 2 answers to 1 sequences"),
    ]:
        with stand_in(lambda *_, body=body: Reply(body)) as server:
            scorer = remote_scorer(tiny_reward(), server.url)
            with pytest.raises(RungError, match=words):
                scorer.score(chains(1))


def test_logits_that_are_not_numbers_are_refused(tiny_reward: TinyReward):
    big = b"1e999"

    def reply(body: Any, _: int) -> Reply:
        rows = b",".join([b"[%s]" % big] * len(body["input"][0]))
        return Reply(b'{"data":[{"index":0,"data":[%s]}]}' % rows)

    with stand_in(reply) as server, pytest.raises(RungError):
        remote_scorer(tiny_reward(), server.url).score(chains(1))


def test_a_server_that_is_not_there_is_said(tiny_reward: TinyReward):
    with stand_in(lambda *_: Reply({})) as server:
        url = server.url
    with pytest.raises(RungError, match=rf"^{url}: no server answers"):
        remote_scorer(tiny_reward(), url)
    with pytest.raises(RungError, match="is no address of a server"):
        remote_scorer(tiny_reward(), "http://[")
    with pytest.raises(RungError, match="is no address of a server"):
        remote_scorer(tiny_reward(), "http://localhost:port")


def test_the_model_on_the_server_is_the_one_of_the_folders_name_or_the_only_one():
    def named(state: StandIn, *names: str) -> None:
        state.answer = lambda *_: Reply(models(*names))  # type: ignore[method-assign]

    with stand_in(lambda *_: Reply({})) as server:
        named(server, "a", "b")
        assert connect(server.url, "b").model == "b"
        with pytest.raises(RungError, match="has no model 'c', only a, b"):
            connect(server.url, "c")
        named(server, "a")
        assert connect(f"{server.url}/", "c").model == "a"


def test_the_token_is_sent_to_the_server_and_shown_nowhere(tiny_reward: TinyReward):
    folder = tiny_reward()
    with stand_in(logits_by(folder, tag=None)) as server:
        scorer = remote_scorer(folder, server.url, key="secret")
        scorer.score(chains(2))
        without = remote_scorer(folder, server.url)
    assert (server.keys, server.keys_of_gets) == (["Bearer secret"], ["Bearer secret", None])
    assert scorer.fingerprint == without.fingerprint
    assert "secret" not in repr(scorer)


def test_a_token_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch):
    how = Opening(family="auto", options={}, key_env="RUNG_NO_SUCH_TOKEN")
    monkeypatch.delenv("RUNG_NO_SUCH_TOKEN", raising=False)
    with pytest.raises(RungError, match="--scorer-key-env RUNG_NO_SUCH_TOKEN: there is no such"):
        _ = how.key
    monkeypatch.setenv("RUNG_NO_SUCH_TOKEN", " token ")
    assert how.key == "token"
    assert Opening(family="auto", options={}).key is None


def test_fingerprints_differ_with_server_and_reading(tiny_reward: TinyReward):
    def of(found: Serving, url: str) -> Any:
        return RemoteScorer("prm", found, PoolingServer(url, "prm")).fingerprint

    one, other = serving(tiny_reward("prm", 40)), serving(tiny_reward("prm", 512))
    assert len({str(of(found, url)) for found in (one, other) for url in ("u", "v")}) == 4


def test_a_server_keeps_nothing_so_there_are_no_sessions(tiny_reward: TinyReward):
    scorer = RemoteScorer("far", serving(tiny_reward()), PoolingServer("u", "prm"))
    assert not scorer.has_sessions
    with pytest.raises(RungError, match="far has no sessions: its server keeps nothing"):
        scorer.open(Problem("p", "How many?"))


def test_what_vllm_cannot_serve_is_refused(tiny_reward: TinyReward, tmp_path: Path):
    import shutil

    folder = Path(shutil.copytree(tiny_reward(), tmp_path / "copy"))
    config = (folder / "config.json").read_text()
    (folder / "config.json").write_text(config.replace("LlamaForTokenClassification", "GPT2Model"))
    with pytest.raises(RungError, match="GPT2Model, and vLLM serves only token classifiers"):
        serving(folder)
