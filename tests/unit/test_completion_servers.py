"""Completers behind servers: what is asked, how answers are read, and what judges make of them.

Where RUNG_LLAMA_PYTHON names the Python of an environment with xllamacpp, which carries llama.cpp's
server, and RUNG_VLLM_PYTHON one with vLLM, the real servers are asked too.
"""

import json
import math
import os
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
from test_vllm_engine import arguments_for, served

from rung import Chain, Completer, Completing, Completion, Problem, RungError
from rung.core.http import Patience
from rung.generate import TransformersCompleter
from rung.model import load_causal_lm
from rung.model.gguf import _packaged_smollm2
from rung.score import GenPRM, ServerCompleter, ThinkPRM, server_completer
from rung.score.completion_apis import LLAMA_CPP, VLLM, Request
from tiny_lms import CHATML_SPECIALS, CHATML_TEMPLATE, byte_tokenizer, save_lm
from vllm_stand_in import Reply, StandIn, stand_in

LLAMA = json.loads(Path(__file__).parents[1].joinpath("llama_recorded.json").read_text())
ASKED = "Ann has 3 eggs. Is it correct? "
GREEDY = Completing(max_tokens=40, temperature=0, num_logprobs=2)
"""How the recorded server was asked, but for what a test says."""
EIGHT_BITS = 0.05
"""How far probabilities may lie apart: llama.cpp computes with 8 bits, transformers in fp32."""
CHOICE = {
    "text": "so",
    "token_ids": [5, 6, 2],
    "logprobs": {"top_logprobs": [{"token_id:5": -0.5, "token_id:7": -1.5}] * 3},
    "finish_reason": "stop",
    "stop_reason": None,
}
"""What vLLM answers where the end token ended it."""


class SmolLM2:
    """Its tokenizer, as far as it was asked."""

    bos_token = "<|im_start|>"

    def encode(self, text: str, add_special_tokens: bool) -> list[int]:
        return LLAMA["completions"][0]["asked"]["prompt"] * (len(text) // len(ASKED))


def recorded(body: Any, _: int) -> Reply:
    [one] = [one for one in LLAMA["completions"] if one["asked"] == body]
    return Reply(one["answered"])


@contextmanager
def llama() -> Iterator[tuple[StandIn, ServerCompleter]]:
    with stand_in(recorded, served=LLAMA["models"]) as server:
        yield server, server_completer(f"{server.url}/", "smollm2", SmolLM2())


@pytest.mark.parametrize(
    ("max_tokens", "stop", "text", "ended", "reason", "num_rows"),
    [
        (40, (), "\nThe answer is: \nNo.", None, "stop", 9),
        (4, (), "\nThe answer is", None, "length", 4),
        (40, ("never", ":"), "\nThe answer is", ":", "stop", 4),
    ],
)
def test_llama_cpp_is_asked_by_ids_and_its_tokens_and_ends_are_read(
    max_tokens: int, stop: Sequence[str], text: str, ended: str | None, reason: str, num_rows: int
):
    how = Completing(max_tokens=max_tokens, temperature=0, num_logprobs=2, stop=tuple(stop))
    with llama() as (server, completer):
        [found] = completer.complete([ASKED], how)
    assert (found.text, found.stop, found.finish_reason) == (text, ended, reason)
    assert found.token_ids[:4] == (198, 504, 2988, 314)
    assert len(found.top_logprobs) == len(found.token_ids) == num_rows + (ended is not None)
    for row, ours in zip(found.top_logprobs, LLAMA["completions"][0]["ours"], strict=False):
        for key, logprob in ours.items() if row else ():
            assert math.exp(row[int(key)]) == pytest.approx(math.exp(logprob), abs=EIGHT_BITS)
    assert len([row for row in found.top_logprobs if row]) == num_rows
    assert [asked.path for asked in server.asked] == ["/completion"]


def test_what_has_no_room_in_llama_cpps_context_is_not_asked_for():
    with llama() as (server, completer):
        [full] = completer.complete([ASKED * 200], GREEDY)
        [tight] = completer._requests([ASKED * 186], GREEDY)
    assert full == Completion("", finish_reason="length") and not server.asked
    assert tight.max_tokens == LLAMA["models"]["data"][0]["meta"]["n_ctx"] - 186 * 11 == 2


def test_tokens_that_only_together_make_a_character_keep_the_rows_of_the_others_in_place():
    """llama.cpp tells the last of them alone, as of SmolLM2's three tokens for a seedling."""
    row = LLAMA["completions"][0]["answered"]["completion_probabilities"][0]
    told = {**LLAMA["completions"][1]["answered"], "tokens": [198, 10813, 230, 126, 198]}
    told["completion_probabilities"] = [row, {**row, "id": 126}, row]
    with stand_in(lambda *_: Reply(told), served=LLAMA["models"]) as server:
        [found] = server_completer(server.url, "smollm2", SmolLM2()).complete([ASKED], GREEDY)
    assert [len(top) for top in found.top_logprobs] == [2, 0, 0, 2, 2]


def test_words_that_are_chosen_between_are_looked_for_among_many():
    request = Request("m", [1, 2], seed=0, max_tokens=1)
    how = Completing(max_tokens=1, num_logprobs=20, logprobs_of=(9805, 787))
    assert LLAMA_CPP.body(request, how)["n_probs"] == 1000
    assert VLLM.body(request, how)["logprob_token_ids"] == [9805, 787]


def at(server: StandIn) -> ServerCompleter:
    patience = Patience(attempts=2, first_wait_s=0.001, timeout_s=5)
    return ServerCompleter(server.url, "m", SmolLM2(), patience=patience)


def test_a_server_that_fails_is_asked_the_same_again():
    def answer(_: Any, number: int) -> Reply:
        return Reply({}, status=503) if number == 1 else Reply({"choices": [CHOICE]})

    with stand_in(answer) as server:
        [found] = at(server).complete([ASKED], GREEDY)
    rows = ({5: -0.5, 7: -1.5},) * 2
    assert found == Completion("so", (5, 6), rows)
    first, second = server.asked
    assert first == second and first.path == "/v1/completions"


@pytest.mark.parametrize(
    ("choice", "says"),
    [
        ({**CHOICE, "token_ids": None}, "it gives no token ids"),
        ({**CHOICE, "logprobs": {"top_logprobs": [{" yes": -1}]}}, "by their text"),
    ],
)
def test_a_server_that_speaks_of_tokens_by_their_text_is_refused(choice: Any, says: str):
    with (
        stand_in(lambda *_: Reply({"choices": [choice]})) as server,
        pytest.raises(RungError, match=f"{server.url}: .*{says}"),
    ):
        at(server).complete([ASKED], GREEDY)


def judged(completer: Completer, tokenizer: Any, max_tokens: int) -> list[float]:
    """GenPRM's scores and ThinkPRM's of two chains, without chance."""
    problem = Problem("eggs", "Ann has 3 eggs and finds 4 more. How many has she?")
    chains = [Chain.of(problem, ["She has 3 + 4 eggs.", f"3 + 4 = {k}"]) for k in (7, 8)]
    how: Any = {"completer": completer, "tokenizer": tokenizer, "name": "judge", "temperature": 0.0}
    genprm = GenPRM(**how, mode="direct", max_tokens=max_tokens, top_k=None, top_p=1.0)
    thinkprm = ThinkPRM(**how, max_tokens=max_tokens)
    return [x for scorer in (genprm, thinkprm) for one in scorer.score(chains) for x in one.known]


def check_seeds_stops_and_context(completer: ServerCompleter, prompt: str, context: int):
    drawn = Completing(max_tokens=12, seed=5, num_logprobs=3)
    first, other = completer.complete([prompt, prompt], drawn)
    [again] = completer.complete([prompt], drawn)
    assert first.token_ids == again.token_ids != other.token_ids
    assert len(first.top_logprobs) == len(first.token_ids)
    word = first.text[len(first.text) // 2]
    stopping = Completing(max_tokens=12, seed=5, num_logprobs=3, stop=("never so", word))
    [stopped] = completer.complete([prompt], stopping)
    assert (stopped.text, stopped.stop) == (first.text[: first.text.index(word)], word)
    [full] = completer.complete([prompt * context], drawn)
    assert full == Completion("", finish_reason="length")


START = """
import sys, xllamacpp
params = xllamacpp.CommonParams()
params.model.path = sys.argv[1]
params.n_ctx, params.n_parallel, params.port = 2048, 1, 0
server = xllamacpp.Server(params)
print(server.listening_address, flush=True)
sys.stdin.read()
"""


@contextmanager
def llama_server(log: Path) -> Iterator[str]:
    """The URL of a server that has SmolLM2's file; what it says goes into a log."""
    python = os.environ.get("RUNG_LLAMA_PYTHON")
    if python is None:
        pytest.skip("needs the package xllamacpp: RUNG_LLAMA_PYTHON names its Python")
    with open(log, "wb") as stream:
        process = subprocess.Popen(
            [python, "-c", START, str(_packaged_smollm2())],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )
        assert process.stdin is not None and process.stdout is not None
        with process.stdout, process:
            yield process.stdout.readline().strip()
            process.stdin.close()


def test_llama_cpps_server_judges_as_transformers_does(tmp_path: Path):
    with llama_server(tmp_path / "log") as url:
        lm = load_causal_lm("smollm2")
        far = server_completer(url, "smollm2", lm.tokenizer)
        scores = judged(far, lm.tokenizer, 32)
        check_seeds_stops_and_context(far, ASKED, 2048)
    assert scores == pytest.approx(
        judged(TransformersCompleter(*lm), lm.tokenizer, 32), abs=EIGHT_BITS
    )
    assert len({round(score, 2) for score in scores}) > 3


def test_vllms_server_judges_as_transformers_does(
    engine: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    tokenizer = byte_tokenizer(eos="<|im_end|>", specials=CHATML_SPECIALS, template=CHATML_TEMPLATE)
    # vLLM's attention on a CPU has no heads narrower than 32
    folder = save_lm(tmp_path / "lm", tokenizer, max_tokens=1500, head_dim=32)
    with served(engine, folder, arguments_for(folder, capsys, "genprm"), tmp_path / "log") as url:
        far = server_completer(url, folder.name, tokenizer)
        scores = judged(far, tokenizer, 32)
        check_seeds_stops_and_context(far, ASKED, 1500)
    local = TransformersCompleter(*load_causal_lm(folder))
    assert scores == pytest.approx(judged(local, tokenizer, 32), abs=1e-4)
    assert len({round(score, 3) for score in scores}) > 2
