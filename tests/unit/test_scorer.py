"""A reward model's scores: equal to a slow literal reading, whatever they are batched with."""

import math
import random
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

import pytest
import torch
from safetensors.torch import load_file

from conftest import TinyReward
from rung import Chain, ChainRecord, InputError, Problem, RungError, Scorer, StepLabels
from rung.model import load_trunk
from rung.model.reading import load_reading
from rung.score import (
    LabelScorer,
    RandomScorer,
    load_scorer,
    score_records,
    score_windows,
)

WORDS = ["we", "add", "one", "and", "two", "to", "get", "so", "12", "+", "30", "=", "42"]
FP32, BF16 = 1e-5, 2e-2


def chain(*texts: str, question: str = "How many?") -> Chain:
    return Chain.of(Problem("p", question), texts)


def random_chains(count: int, seed: int = 0) -> list[Chain]:
    draw = random.Random(seed)

    def text() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(1, 12)))

    questions = [text() for _ in range(3)]
    return [
        chain(*(text() for _ in range(draw.randint(1, 6))), question=draw.choice(questions))
        for _ in range(count)
    ]


def literal_scores(folder: Path, one: Chain) -> list[float | None]:
    """The slow reading: one chain, one pass, every piece tokenized by itself."""
    trunk, tokenizer, _ = load_trunk(folder)
    head, reading = load_file(folder / "model.safetensors"), load_reading(folder)

    def encode(text: str) -> list[int]:
        return tokenizer.encode(text, add_special_tokens=False)

    bos = [] if tokenizer.bos_token_id is None else [tokenizer.bos_token_id]
    ids = bos + encode(one.problem.question) + encode(reading.question_separator)
    scores: list[float | None] = []
    for k, step in enumerate(one.steps):
        ids += encode(step.text) + encode(reading.step_separator)
        is_read = reading.kind == "prm" or k == len(one.steps) - 1
        if not is_read or len(ids) > reading.max_tokens:
            scores.append(None)
            continue
        with torch.no_grad():
            state_D: Any = trunk(torch.tensor([ids])).last_hidden_state[0, -1]
            logit = head["score.weight"][0] @ state_D + head["score.bias"][0]
            scores.append(float(torch.sigmoid(logit)))
    return scores


def assert_close(found: Sequence[float | None], expected: Sequence[float | None], by: float):
    assert [f is None for f in found] == [e is None for e in expected]
    for f, e in zip(found, expected, strict=True):
        assert f is None or e is None or f == pytest.approx(e, abs=by)


@pytest.mark.parametrize("kind", ["prm", "orm"])
@pytest.mark.parametrize("max_tokens", [512, 60])
def test_scores_equal_a_literal_reading(
    tiny_reward: TinyReward, kind: Literal["prm", "orm"], max_tokens: int
):
    folder = tiny_reward(kind, max_tokens)
    chains = random_chains(12)
    found = load_scorer(folder).score(chains)
    for one, scores in zip(chains, found, strict=True):
        assert_close(scores.scores, literal_scores(folder, one), FP32)
    assert len({s for scores in found for s in scores.known}) > 5
    if max_tokens == 60:
        assert any(None in scores.scores[-1:] for scores in found)
        assert any(scores.scores[-1] is not None for scores in found)


@pytest.mark.parametrize(("precision", "tolerance"), [("fp32", FP32), ("bf16", BF16)])
def test_a_score_does_not_depend_on_its_batch(
    tiny_reward: TinyReward, precision: Literal["fp32", "bf16"], tolerance: float
):
    chains = random_chains(6, seed=1)
    folder = tiny_reward()
    together = load_scorer(folder, precision=precision).score(chains)
    for budget in (1, 100):
        scorer = load_scorer(folder, precision=precision, batch_tokens=budget)
        for one, scores in zip(chains, together, strict=True):
            assert_close(scorer.score([one])[0].scores, scores.scores, tolerance)


def test_bf16_is_near_fp32(tiny_reward: TinyReward):
    chains = random_chains(12, seed=2)
    exact = load_scorer(tiny_reward(), precision="fp32").score(chains)
    rounded = load_scorer(tiny_reward(), precision="bf16").score(chains)
    assert any(a.scores != b.scores for a, b in zip(exact, rounded, strict=True))
    for a, b in zip(exact, rounded, strict=True):
        assert_close(b.scores, a.scores, 0.1)


def test_far_positions_keep_their_precision_in_bf16(tiny_reward: TinyReward):
    exact = load_scorer(tiny_reward(), precision="fp32").reader.trunk.rotary_emb.inv_freq
    rounded = load_scorer(tiny_reward(), precision="bf16").reader.trunk.rotary_emb.inv_freq
    assert rounded.dtype == torch.float32
    assert torch.equal(exact, rounded)


def test_a_large_model_is_read_in_bf16_with_equal_scores(
    tiny_reward: TinyReward, monkeypatch: pytest.MonkeyPatch
):
    from rung.score import reward

    chains = random_chains(12, seed=3)
    cast = load_scorer(tiny_reward(), precision="bf16")
    monkeypatch.setattr(reward, "LARGE_BYTES", 0)
    read = load_scorer(tiny_reward(), precision="bf16")
    assert read.reader.trunk.dtype == torch.bfloat16
    assert read.score(chains) == cast.score(chains)
    assert load_scorer(tiny_reward(), precision="fp32").reader.trunk.dtype == torch.float32


def test_small_models_run_in_fp32(tiny_reward: TinyReward):
    assert load_scorer(tiny_reward()).reader.trunk.dtype == torch.float32


def test_scores_carry_their_scorer(tiny_reward: TinyReward):
    scorer = load_scorer(tiny_reward("orm"))
    assert isinstance(scorer, Scorer)
    (scores,) = scorer.score([chain("one")])
    assert (scores.scorer, scores.weights_hash) == ("orm", scorer.weights_hash)
    assert load_scorer(tiny_reward("orm"), name="mine").score([chain("one")])[0].scorer == "mine"


def test_an_orm_scores_the_last_step_alone(tiny_reward: TinyReward):
    scorer = load_scorer(tiny_reward("orm"))
    long, short = scorer.score([chain("one", "two", "three"), chain("one", "two")])
    assert long.scores[:2] == (None, None) and long.scores[2] is not None
    assert short.scores[0] is None and short.scores[1] is not None


def test_equal_chains_and_prefixes_run_once(tiny_reward: TinyReward):
    whole, fork = chain("a", "b", "c"), chain("a", "d")
    chains = [whole.prefix(1), whole, whole, fork, whole.prefix(2)]
    scorer = load_scorer(tiny_reward())
    found = scorer.score(chains)
    lengths = [len(r.ids) for r in scorer.reader.render(chains)]
    assert scorer.usage.asked == sum(lengths)
    assert scorer.usage.computed == lengths[1] + lengths[3] - lengths[0]
    assert found[1] == found[2]
    assert found[0].scores == found[1].scores[:1]
    assert found[4].scores == found[1].scores[:2]


def test_what_is_lost_costs_no_pass(tiny_reward: TinyReward):
    scorer = load_scorer(tiny_reward("prm", 40))
    lost = chain("one", question="and " * 60)
    assert scorer.score([lost])[0].scores == (None,)
    assert scorer.score([]) == []
    assert scorer.score([chain()])[0].scores == ()
    assert scorer.usage == (0, 0)


def test_a_huge_step_is_cut_and_the_steps_before_it_are_scored(tiny_reward: TinyReward):
    scorer = load_scorer(tiny_reward("prm", 40))
    short, long = scorer.score([chain("one", "two"), chain("one", "x" * 100_000, "three")])
    assert long.scores[1:] == (None, None)
    assert long.scores[0] == pytest.approx(short.scores[0], abs=FP32)


def test_equal_questions_of_two_problems_share_their_steps(tiny_reward: TinyReward):
    scorer = load_scorer(tiny_reward())
    one = Chain.of(Problem("p1", "q"), ["a"])
    two = Chain.of(Problem("p2", "q"), ["a"])
    first, second = scorer.score([one, two])
    assert first == second
    assert scorer.usage.asked == 2 * scorer.usage.computed


def test_a_budget_below_one_token_is_refused(tiny_reward: TinyReward):
    with pytest.raises(RungError, match="batch_tokens is 0"):
        load_scorer(tiny_reward(), batch_tokens=0)


@pytest.mark.parametrize(
    "gone", ["rung.json", "config.json", "model.safetensors", "tokenizer.json"]
)
def test_a_checkpoint_that_lacks_a_file_is_refused(
    tiny_reward: TinyReward, tmp_path: Path, gone: str
):
    folder = copy(tiny_reward(), tmp_path)
    (folder / gone).unlink()
    with pytest.raises(InputError, match=gone.replace(".", r"\.")):
        load_scorer(folder)


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "rung.json"])
def test_a_damaged_checkpoint_is_refused(tiny_reward: TinyReward, tmp_path: Path, name: str):
    folder = copy(tiny_reward(), tmp_path)
    content = (folder / name).read_bytes()
    (folder / name).write_bytes(content[: len(content) // 2])
    with pytest.raises(InputError):
        load_scorer(folder)


def test_a_model_that_gives_nan_is_refused(tiny_reward: TinyReward):
    scorer = load_scorer(tiny_reward(), name="broken")
    scorer.reader.head.layers.bias.data[0] = math.nan
    with pytest.raises(RungError, match="broken gives scores that are not numbers"):
        scorer.score([chain("one")])


def test_streams_are_scored_in_order_by_every_scorer():
    records = [ChainRecord(one) for one in random_chains(11)]
    scorers = [RandomScorer(0, "a"), RandomScorer(1, "b")]
    windows = list(score_windows(iter(records), scorers, window=4))
    assert [len(window) for window in windows] == [4, 4, 3]
    scored = [record for window in windows for record in window]
    assert scored == list(score_records(records, scorers, window=100))
    assert [r.chain for r in scored] == [r.chain for r in records]
    assert all([s.scorer for s in r.scores] == ["a", "b"] for r in scored)


def test_random_scores_depend_on_seed_and_step_alone():
    one = chain("a", "b")
    first, again = RandomScorer(3).score([one])[0], RandomScorer(3).score([one, one])[1]
    assert first == again
    assert first.scores[0] == RandomScorer(3).score([one.prefix(1)])[0].scores[0]
    assert first.scores != RandomScorer(4).score([one])[0].scores


def test_labels_serve_as_scores_by_step():
    record = ChainRecord(chain("a", "b", "c"), labels=(StepLabels((1.0, 0.0, None), "human"),))
    oracle = LabelScorer([record])
    assert isinstance(oracle, Scorer)
    found = oracle.score([record.chain, chain("a", "z")])
    assert found[0].scores == (1.0, 0.0, None)
    assert found[1].scores == (1.0, None)


def copy(folder: Path, to: Path) -> Path:
    import shutil

    return Path(shutil.copytree(folder, to / "copy"))
