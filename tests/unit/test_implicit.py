"""Implicit PRMs: cumulative log ratios of two models, as a slow, literal reading gives them."""

import math
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, Qwen2Config

from rung import Chain, Problem, RungError, Scorer
from rung.score import ImplicitScorer, load_implicit
from rung.search.scoring import growing
from tiny_lms import (
    CHATML_SPECIALS,
    CHATML_TEMPLATE,
    LLAMA3_SPECIALS,
    LLAMA3_TEMPLATE,
    byte_tokenizer,
    logits_of,
    save_implicit,
    save_lm,
)

COEFFICIENT = 0.05
TOLERANCE = 1e-5


def chain(*texts: str, question: str = "How many?") -> Chain:
    return Chain.of(Problem("p", question), texts)


CHAINS = [
    chain("we add 3 and 4.", "so it is 7"),
    chain("we add 3 and 4.", "so it is 42.", "= 42"),
    chain("we add", question="What is 3 + 4?"),
    chain("", "so", ""),
    chain("a\n\nb", "c\n"),
]


@pytest.fixture(scope="module", params=["llama", "qwen"])
def pair(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory):
    """A PRM and its reference: folders."""
    root = tmp_path_factory.mktemp("implicit")
    if request.param == "llama":
        config, options = LlamaConfig, {"bos": "<|begin_of_text|>", "eos": "<|eot_id|>"}
        tokenizer = byte_tokenizer(
            **options, specials=LLAMA3_SPECIALS[:2], template=LLAMA3_TEMPLATE
        )
    else:
        config = Qwen2Config
        tokenizer = byte_tokenizer(
            eos="<|im_end|>", specials=CHATML_SPECIALS, template=CHATML_TEMPLATE
        )
    return [save_lm(root / f"m{seed}", tokenizer, config, seed=seed) for seed in range(2)]


def literal(policy: Path, reference: Path, tokenizer: Any, one: Chain) -> list[float]:
    """The repository's way: rewards of all tokens, masked before the answer, summed, looked up."""
    steps = [f"Step {k + 1}: {text}" for k, text in enumerate(one.texts)]

    def conversation(count: int) -> str:
        messages = [
            {"role": "user", "content": one.problem.question},
            {"role": "assistant", "content": "\n\n".join(steps[:count])},
        ]
        return tokenizer.apply_chat_template(messages, tokenize=False)

    ids = torch.tensor(tokenizer.encode(conversation(len(steps)), add_special_tokens=False))
    ends: list[int] = []
    for count in range(len(steps) + 1):
        text = conversation(count).strip()
        if count not in (0, len(steps)):
            text += "\n\n"
        ends.append(len(tokenizer.encode(text, add_special_tokens=False)) - 2)
    lp = [
        logits_of(folder, ids.tolist())[:-1].log_softmax(-1).gather(-1, ids[1:, None])[:, 0]
        for folder in (policy, reference)
    ]
    rewards = COEFFICIENT * (lp[0] - lp[1])
    rewards[: ends[0]] = 0
    sums = rewards.cumsum(0)
    return [float(torch.sigmoid(sums[min(end, len(ids) - 2)])) for end in ends[1:]]


def opened(pair: list[Path], **options: Any) -> ImplicitScorer:
    return load_implicit(*pair, coefficient=COEFFICIENT, **options)


def test_scores_are_those_of_the_repositorys_code(pair: list[Path]):
    scorer = opened(pair)
    assert isinstance(scorer, Scorer)
    for one, scores in zip(CHAINS, scorer.score(CHAINS), strict=True):
        expected = literal(*pair, scorer.tokenizer, one)
        assert list(scores.scores) == pytest.approx(expected, abs=TOLERANCE)
        assert (scores.scorer, scores.weights_hash) == ("m0", scorer.weights_hash)
    assert max(abs(s - 0.5) for scores in scorer.score(CHAINS) for s in scores.known) > 0.05


@pytest.mark.parametrize("pair", ["qwen"], indirect=True)
@pytest.mark.parametrize(("name", "combined"), [("Stage1", "min"), ("Stage2", "sum")])
def test_how_the_authors_of_eurusprm_combine_steps_is_told(
    pair: list[Path], tmp_path: Path, name: str, combined: str
):
    folder = shutil.copytree(pair[0], tmp_path / f"EurusPRM-{name}")
    assert load_implicit(folder, pair[1], coefficient=COEFFICIENT).aggregation == combined


def test_bf16_is_near_fp32(pair: list[Path]):
    exact, rounded = opened(pair), opened(pair, precision="bf16")
    assert rounded.policy.head_VD.dtype == torch.bfloat16
    for one, other in zip(exact.score(CHAINS), rounded.score(CHAINS), strict=True):
        assert other.scores == pytest.approx(one.scores, abs=0.05)
        assert other.scores != one.scores


def test_scores_depend_neither_on_the_batch_nor_on_the_chunks(
    pair: list[Path], monkeypatch: pytest.MonkeyPatch
):
    together = opened(pair).score(CHAINS)
    monkeypatch.setattr("rung.score.logprobs.HEAD_ROWS", 3)
    monkeypatch.setattr("rung.score.implicit.READS_A_CALL", 40)
    scorer = opened(pair, batch_tokens=5)
    for one, scores in zip(CHAINS, together, strict=True):
        assert scorer.score([one])[0].scores == pytest.approx(scores.scores, abs=TOLERANCE)
    for found, scores in zip(scorer.score(CHAINS), together, strict=True):
        assert found.scores == pytest.approx(scores.scores, abs=TOLERANCE)


def test_tokens_that_chains_share_are_run_once(pair: list[Path]):
    scorer, alone = opened(pair), opened(pair)
    first, _, third = scorer.score(CHAINS[:1] * 3)
    alone.score(CHAINS[:1])
    assert first == third
    for one, other in ((scorer.policy, alone.policy), (scorer.reference, alone.reference)):
        assert one.engine.usage.computed == other.engine.usage.computed
    scorer.score(CHAINS[:2])
    both = scorer.policy.engine.usage.computed - alone.policy.engine.usage.computed
    alone.score(CHAINS[1:2])
    assert both < alone.policy.engine.usage.computed


def test_a_model_beside_itself_is_undecided(pair: list[Path]):
    scorer = load_implicit(pair[0], pair[0], coefficient=1.0)
    assert [s.scores for s in scorer.score(CHAINS[:2])] == [(0.5,) * 2, (0.5,) * 3]


def test_the_coefficient_changes_the_distance_from_a_half_alone(pair: list[Path]):
    small = load_implicit(*pair, coefficient=0.01).score(CHAINS)
    large = load_implicit(*pair, coefficient=0.02).score(CHAINS)
    for one, two in zip(small, large, strict=True):
        for a, b in zip(one.known, two.known, strict=True):
            assert math.log(b / (1 - b)) == pytest.approx(2 * math.log(a / (1 - a)), abs=1e-6)


def test_the_last_step_of_a_chain_takes_in_the_end_of_the_turn(pair: list[Path]):
    """So its score changes when a step is written behind it; those of earlier steps do not."""
    scorer = opened(pair)
    one = chain("we add 3 and 4.", "so it is 7", "= 7")
    cut, whole = scorer.score([one.prefix(2), one])
    assert cut.scores[0] == pytest.approx(whole.scores[0], abs=TOLERANCE)
    assert cut.scores[1] != pytest.approx(whole.scores[1], abs=TOLERANCE)


def test_steps_beyond_the_context_have_no_score(pair: list[Path], tmp_path: Path):
    scorer = opened(pair)
    steps = [f"we add 3 and {k}" for k in range(80)]
    long = scorer.score([chain(*steps)])[0]
    cut = long.scores.index(None)
    assert 1 <= cut < 80 and set(long.scores[cut:]) == {None}
    assert long.scores[0] == pytest.approx(scorer.score([chain(*steps[:2])])[0].scores[0], abs=1e-5)
    assert scorer.score([chain("a", "b", question="How many? " * 300)])[0].scores == (None, None)


def test_chains_without_steps_and_special_tokens_in_text(pair: list[Path]):
    scorer = opened(pair)
    special = scorer.tokenizer.eos_token
    none, odd = scorer.score([chain(), chain(f"we {special} add", special)])
    assert none.scores == ()
    assert None not in odd.scores
    from rung.score.implicit import boundaries

    told, plain = (boundaries(one, scorer.tokenizer, 512) for one in (chain(special), chain("add")))
    number = scorer.tokenizer.eos_token_id
    assert told.ids.count(number) == plain.ids.count(number)


def test_a_reference_of_another_vocabulary_is_refused(pair: list[Path], tmp_path: Path):
    other = save_lm(tmp_path / "other", byte_tokenizer(["a"]), LlamaConfig)
    with pytest.raises(RungError, match="can't be the model that the PRM was trained against"):
        load_implicit(pair[0], other, coefficient=1.0)


def test_the_fingerprint_names_both_models_and_the_coefficient(pair: list[Path]):
    first, again = opened(pair).fingerprint, opened(pair).fingerprint
    assert first == again
    assert load_implicit(*pair[::-1], coefficient=COEFFICIENT).fingerprint != first
    assert load_implicit(*pair, coefficient=1.0).fingerprint != first


def test_a_published_one_has_no_sessions_as_its_scores_do_not_stay(pair: list[Path]):
    scorer = opened(pair)
    assert not scorer.has_sessions
    with pytest.raises(RungError, match=r"m0 has no sessions: .* changes when a step is written"):
        scorer.open(Problem("p", "How many?"))


def test_a_search_scores_growing_chains_as_whole_ones(pair: list[Path], tmp_path: Path):
    own = load_implicit(save_implicit(tmp_path / "prm"))
    one = chain("we add 3 and 4.", "so it is 7", "= 7")
    for scorer in (own, opened(pair)):  # the first in a session, the second from the beginning
        search = growing(scorer)
        for count in range(1, 4):
            [whole] = scorer.score([one.prefix(count)])
            [found] = search.score([one.prefix(count)])
            assert found.scores == pytest.approx(whole.scores, abs=TOLERANCE)
        search.forget(one.problem)
