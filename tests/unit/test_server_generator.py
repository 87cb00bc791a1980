"""A policy behind a server: the same steps, ends and counts, whatever the server tells."""

import json
from collections.abc import Iterator, Sequence
from dataclasses import replace
from itertools import repeat
from pathlib import Path
from typing import Any

import pytest

from openai_stand_in import END, event, logprob, policy
from rung import Chain, Generator, InputError, Problem, RungError, Sampling, Step, UnavailableError
from rung.core.http import Patience
from rung.generate import ServerGenerator, WrittenLog
from rung.generate.prompting import seed_of, wanted
from rung.verify import extract_answer
from vllm_stand_in import Reply, StandIn, stand_in

PREFIX = Chain(Problem("p", "How many?"), ())
STEP = Sampling(until="step", max_tokens=20)
LLAMA = json.loads(Path(__file__).parents[1].joinpath("llama_recorded.json").read_text())
TEXT = ["\n", "one", " two", "\n", "The answer is", " 12", END]
"""A blank piece, a step, and a last step with the answer."""


def script(prompt: str, seed: int) -> Sequence[str | None]:
    """Go on with `TEXT` where the prompt leaves off."""
    return TEXT[4:] if "two" in prompt else TEXT[1:] if prompt.endswith("\n\n") else TEXT


def at(server: StandIn, name: str = "m", timeout_s: float = 60, **options: Any) -> ServerGenerator:
    patience = Patience(attempts=3, first_wait_s=0.001, timeout_s=timeout_s)
    url = f"{server.url}/v1"
    return ServerGenerator(
        url=url, name=name, extract_answer=extract_answer, patience=patience, **options
    )


def facts(chain: Chain) -> tuple[Any, ...]:
    assert chain.source is not None
    return chain.texts, chain.answer, chain.source.finish_reason, chain.source.num_tokens


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("chat", [True, False])
def test_steps_ends_and_counts_are_the_same_whatever_the_server_tells(tells: bool, chat: bool):
    with stand_in(policy(script, tells=tells)) as server:
        generator = at(server, chat=chat)
        assert isinstance(generator, Generator)
        [[first]] = generator.sample([PREFIX], 1, STEP)
        [[last]] = generator.sample([first], 1, STEP)
        [[whole]] = generator.sample([PREFIX], 1, Sampling())
        [[short]] = generator.sample([PREFIX], 1, Sampling(until="step", max_tokens=3))
    # a stream that is left is counted by its pieces, a token each
    assert facts(first) == (("one two",), None, None, 4)
    assert facts(last) == (("one two", "The answer is 12"), "12", "stop", 3)
    assert facts(whole) == (("one two", "The answer is 12"), "12", "stop", 7)
    assert facts(short) == (("one two",), None, "length", 3)


@pytest.mark.parametrize("tells", [True, False])
@pytest.mark.parametrize("chat", [True, False])
def test_the_servers_log_probabilities_are_summed_by_step(tells: bool, chat: bool):
    with stand_in(policy(script, tells=tells)) as server:
        generator, step = at(server, chat=chat), replace(STEP, logprobs=True)
        [[first]] = generator.sample([PREFIX], 1, step)
        [[last]] = generator.sample([first], 1, step)
        [[whole]] = generator.sample([PREFIX], 1, Sampling(logprobs=True))
    sums = [sum(map(logprob, tokens)) for tokens in (TEXT[:4], TEXT[4:])]
    for chain in (first, last, whole):
        assert chain.source is not None
        assert chain.source.step_logprobs == pytest.approx(sums[: len(chain.steps)])


def llama_server(body: Any, _: int) -> Reply:
    """A character of several tokens as llama.cpp's own server tells it, restated from its source.

    The first bytes of the character come without text.
    """
    tokens = [("It is", -0.5), ("", -0.25), ("é", -0.125), ("\n", -1.0), ("The end", -2.0)]
    told = [{"id": k, "token": t, "bytes": [], "logprob": p} for k, (t, p) in enumerate(tokens)]
    assert body["logprobs"] == 1
    if not body.get("stream"):
        choice = {"text": "It isé", "logprobs": {"content": told[:4]}, "finish_reason": "stop"}
        return Reply({"choices": [choice], "usage": {"completion_tokens": 4}})
    pieces = [
        {"choices": [{"text": t, "logprobs": {"content": [one]}, "finish_reason": None}]}
        for (t, _), one in zip(tokens, told, strict=True)
    ]
    end = {"choices": [{"text": "", "logprobs": None, "finish_reason": "stop"}]}
    usage = {"choices": [], "usage": {"completion_tokens": 6}}
    events = [*map(event, [*pieces, end, usage]), b"data: [DONE]\n\n"]
    return Reply(iter(events))


def test_a_character_of_several_tokens_counts_with_all_of_them():
    with stand_in(llama_server) as server:
        generator = at(server)
        [[first]] = generator.sample([PREFIX], 1, replace(STEP, logprobs=True))
    assert first.texts == ("It isé",) and first.source is not None
    assert first.source.step_logprobs == (-0.5 - 0.25 - 0.125 - 1.0,)


@pytest.mark.parametrize(("chat", "seed"), [(False, 11), (True, 0)])
def test_llama_cpps_server_is_understood_and_its_log_probabilities_are_the_models_own(
    chat: bool, seed: int
):
    """What it answered once, when SmolLM2 was asked; each token is known to transformers, too.

    llama.cpp computes with 8 bits, so a token's differ by some hundredths.
    """
    used = list[Any]()

    def answer(body: Any, _: int) -> Reply:
        used[:] = [one for one in LLAMA["exchanges"] if one["asked"] == body]
        [one] = used
        if "answered" in one:
            return Reply(one["answered"])
        done = b"data: [DONE]\n\n"
        return Reply(iter([done if e == "[DONE]" else event(e) for e in one["events"]]))

    prefix = Chain(Problem("eggs", "Ann has 3 eggs and finds 4 more. How many has she?"), ())
    whole = Sampling(max_tokens=32, logprobs=True, seed=seed)
    found = list[tuple[str, ...]]()
    with stand_in(answer) as server:
        policy = at(server, name="smollm2", chat=chat)
        chain = prefix
        for begun, how in ((0, replace(whole, until="step")), (1, whole), (0, whole)):
            [[chain]] = policy.sample([chain if begun else prefix], 1, how)
            assert chain.source is not None and chain.source.num_tokens is not None
            expected = used[0]["ours"][: chain.source.num_tokens]
            total = sum(chain.source.step_logprobs[begun:])
            assert total == pytest.approx(sum(expected), abs=0.02 * len(expected))
            assert all(logprob < 0 for logprob in chain.source.step_logprobs)
            found.append(chain.texts)
    first, rest, _ = found
    assert (len(first), len(rest)) == (1, 2), "a chat does not repeat what it goes on with"
    assert rest[:1] == first and server.asked[-1].path.endswith("/chat/completions") == chat


def test_a_server_that_gives_no_log_probabilities_leaves_them_unknown():
    with stand_in(lambda body, _: Reply({**GOOD, "usage": None})) as server:
        [[chain]] = at(server).sample([PREFIX], 1, Sampling(logprobs=True))
    assert chain.source is not None and chain.source.step_logprobs == (None,)


def test_a_policy_that_writes_nothing_ends_its_chain_without_a_step():
    for sampling in (STEP, Sampling()):
        with stand_in(policy(lambda *_: [END])) as server:
            [[chain]] = at(server).sample([PREFIX], 1, sampling)
        assert facts(chain) == ((), None, "stop", 1)


def test_a_server_that_does_not_tell_is_asked_for_a_stream_that_is_left_at_the_separator():
    with stand_in(policy(script, tells=False, pause_s=0.002)) as server:
        generator = at(server)
        for _ in range(2):
            generator.sample([PREFIX], 1, STEP)
        endless = at(server, step_separator="\n\n")
        endless.sample([PREFIX], 1, STEP)
    kinds = ["stop" in a.body for a in server.asked]
    assert kinds == [True, False, False, True, False], "the first answer tells, once a generator"
    assert server.left >= 1


@pytest.mark.parametrize("tells", [True, False])
def test_a_policy_that_never_ends_its_text_or_its_blank_is_cut_off(tells: bool):
    def forever(prompt: str, seed: int) -> Iterator[str]:
        is_blank = prompt.endswith("\n\n") or seed % 2 == 1
        return repeat("\n" if is_blank else " and")

    with stand_in(policy(forever, tells=tells)) as server:
        [written] = at(server).sample([PREFIX], 6, STEP)
    assert {chain.texts for chain in written} == {(), (" and" * 20,)}
    assert {facts(chain)[2:] for chain in written} == {("length", 20)}


def test_a_server_that_does_not_keep_to_max_tokens_is_left():
    endless = policy(lambda *_: repeat(" and"), tells=False)
    silent = Reply({"choices": [{"text": "one", "finish_reason": "stop"}]})
    with stand_in(lambda body, k: endless(body, k) if "stream" in body else silent) as server:
        [[chain]] = at(server, extra={"max_tokens": None}).sample([PREFIX], 1, STEP)
    assert facts(chain)[2:] == ("length", 21)
    assert server.left == 1


def test_every_continuation_has_a_seed_of_its_own_and_gets_it_again():
    with stand_in(policy(lambda prompt, seed: [str(seed), END])) as server:
        sampling = Sampling(until="step", seed=5)
        once = at(server).sample([PREFIX, PREFIX], 2, sampling)
        again = at(server, at_once=1).sample([PREFIX], 4, sampling)
    texts = [chain.texts for group in once for chain in group]
    assert texts == [chain.texts for chain in again[0]]
    assert len(set(texts)) == 4


@pytest.mark.parametrize("tells", [True, False])
def test_a_step_that_is_begun_is_gone_on_with_and_ends_at_the_first_separator(tells: bool):
    begun = Chain(PREFIX.problem, (Step("zero"), Step("one tw")))
    with stand_in(policy(lambda *_: ["o", "\n", "three", END], tells=tells)) as server:
        generator = at(server)
        inside = Sampling(until="step", inside_step=True)
        [[chain]] = generator.sample([begun], 1, inside)
        assert generator.writes_inside_steps and not at(server, chat=True).writes_inside_steps
    assert facts(chain) == (("zero", "one two"), None, None, 2)
    assert server.asked[-1].body["prompt"] == "How many?\nzero\none tw"


def test_where_the_server_does_not_count_nothing_is_made_up():
    with stand_in(policy(script, counts=False)) as server:
        [[chain]] = at(server).sample([PREFIX], 1, Sampling())
    assert facts(chain)[2:] == ("stop", None)


def test_a_chat_goes_on_with_the_answer_or_asks_for_the_rest_of_it():
    step = Step("call add 1 2", observation="3")
    prefix = Chain(PREFIX.problem, (step, Step("so")))
    with stand_in(policy(lambda prompt, seed: ["four", END])) as server:
        at(server, chat=True, key="secret").sample([prefix], 1, STEP)
        at(server, chat=True, steps_in="question").sample([prefix], 1, STEP)
        at(server, extra={"top_k": 0, "top_p": None}).sample([prefix], 1, STEP)
    answer, question, plain = (asked.body for asked in server.asked)
    steps = "call add 1 2\n3\nso\n"
    assert answer["messages"][-1] == {"role": "assistant", "content": steps}
    assert answer["continue_final_message"] and not answer["add_generation_prompt"]
    [asked] = question["messages"]
    assert asked["content"].startswith("How many?\n") and asked["content"].endswith(f"\n{steps}")
    assert plain["prompt"] == f"How many?\n{steps}"
    assert plain["top_k"] == 0 and "top_p" not in plain
    assert server.keys == ["Bearer secret", None, None]


GOOD = {"choices": [{"text": "one", "finish_reason": "stop", "stop_reason": None}]}
PASSING = {
    "busy": Reply({}, 429, headers=(("Retry-After", "0"),)),
    "failing": Reply({}, 500),
    "cut off": Reply(GOOD, cut=9),
    "cut off, and short by its own word": Reply(GOOD, cut=9, says_whole_length=False),
    "silent": Reply(GOOD, delay_s=1.5),
    "no JSON": Reply(b"<html>"),
}
LASTING = {
    "no choice": (Reply({"choices": []}), "not what such a server answers"),
    "another shape": (Reply([1]), "not what such a server answers"),
    "a key is wanted": (Reply({"error": {"message": "no key"}}, 401), "refuses with 401: no key"),
}


@pytest.mark.parametrize("failure", PASSING)
def test_what_may_pass_is_asked_again_and_in_the_end_said(failure: str):
    bad = PASSING[failure]
    with stand_in(lambda _, number: bad if number == 1 else Reply(GOOD)) as server:
        timeout_s = 1 if bad.delay_s else 60
        [[chain]] = at(server, timeout_s=timeout_s).sample([PREFIX], 1, Sampling())
        assert chain.texts == ("one",)
        if not bad.delay_s:
            server.reply = lambda body, number: bad
            with pytest.raises(UnavailableError, match="3 attempts"):
                at(server).sample([PREFIX], 1, Sampling())


@pytest.mark.parametrize("failure", LASTING)
def test_what_does_not_pass_is_one_sentence_and_nothing_more_is_asked(failure: str):
    bad, words = LASTING[failure]
    with stand_in(lambda *_: bad) as server, pytest.raises(RungError, match=words):
        at(server, at_once=2).sample([PREFIX], 8, Sampling())
    assert len(server.asked) <= 2


START = event({"choices": [{"text": "one\n two"}]})
BROKEN = {
    "without its end": [START],
    "without a reason": [START, b"data: [DONE]\n\n"],
    "with an error": [START, event({"error": {"message": "out of memory"}})],
    "in the midst of a piece": [START, START[:20]],
}


@pytest.mark.parametrize("sampling", [STEP, Sampling()])
def test_what_a_failed_call_had_written_is_kept_and_not_asked_for_again(
    sampling: Sampling, tmp_path: Path
):
    good = policy(lambda prompt, seed: [f"step {seed}", "\n", END])
    bad = [one.stream for one in wanted([PREFIX], 6, sampling.seed)][3]
    is_down, path = [True], tmp_path / "log"

    def reply(body: Any, number: int) -> Reply:
        fails = is_down[0] and body["seed"] == seed_of(bad)
        return Reply({}, 500) if fails else good(body, number)

    with stand_in(reply) as server:
        with WrittenLog.open(path) as log, pytest.raises(UnavailableError):
            at(server, log=log, at_once=2).sample([PREFIX], 6, sampling)
        kept = len(path.read_bytes().splitlines())
        path.write_bytes(path.read_bytes() + b'{"key":"half')
        is_down[0], before = False, len(server.asked)
        with WrittenLog.open(path) as log:
            [chains] = at(server, log=log).sample([PREFIX], 6, sampling)
        assert 3 <= kept < 6 and len(server.asked) - before == 6 - kept
        assert chains == at(server).sample([PREFIX], 6, sampling)[0]
        other = replace(sampling, temperature=0.5)
        with WrittenLog.open(path) as log:
            at(server, log=log).sample([PREFIX], 1, other)
        assert server.asked[-1].body["temperature"] == 0.5, "another request is another key"


def test_a_file_that_is_no_such_log_is_refused(tmp_path: Path):
    (tmp_path / "log").write_text("{}\n")
    with (
        pytest.raises(InputError, match="line 1: this is no log of what a policy has written"),
        WrittenLog.open(tmp_path / "log"),
    ):
        pass


@pytest.mark.parametrize("failure", BROKEN)
def test_a_stream_that_breaks_is_begun_anew(failure: str):
    good = [START, event({"choices": [{"text": ".", "finish_reason": "stop"}]}), b"data: [DONE]"]

    def reply(body: Any, number: int) -> Reply:
        if not body.get("stream"):
            return Reply({"choices": [{"text": "one", "finish_reason": "stop"}]})
        return Reply(iter(BROKEN[failure] if number == 2 else good))

    with stand_in(reply) as server:
        generator = at(server, step_separator="\n\n")
        [[chain]] = generator.sample([PREFIX], 1, STEP)
        assert facts(chain)[0] == ("one\n two.",)
        silent = {"choices": [{"text": "one", "finish_reason": "stop"}]}
        broken = BROKEN[failure]
        server.reply = lambda body, _: Reply(iter(broken) if body.get("stream") else silent)
        with pytest.raises(UnavailableError):
            generator.sample([PREFIX], 1, STEP)
        server.reply = lambda body, _: Reply(silent)
        with pytest.raises(RungError, match="does not stream"):
            generator.sample([PREFIX], 1, STEP)


def test_a_prompt_that_leaves_little_room_is_cut_off_there():
    def reply(body: Any, number: int) -> Reply:
        if "full" in body["prompt"] or body["max_tokens"] > 6:
            words = "This model's maximum context length is 10 tokens. However, ..."
            return Reply({"error": {"message": words}}, 400)
        return policy(script)(body, number)

    full = Chain(Problem("q", "full"), ())
    with stand_in(reply) as server:
        [some], [none] = at(server).sample([PREFIX, full], 1, Sampling(max_tokens=20))
    assert facts(some) == (("one two", "The answer is"), None, "length", 5)
    assert facts(none) == ((), None, "length", 0)
