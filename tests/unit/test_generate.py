"""The sampler: deterministic, equal to transformers' own, and exact about steps and ends."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
import torch

from rung.core import Chain, Generator, Problem, Sampling
from rung.data.lab import Lab, make_problems, solve
from rung.generate import TransformersGenerator
from rung.generate.decoding import Writer
from rung.generate.prompting import Prompts
from rung.model import load_causal_lm
from rung.model.tiny import make_tiny
from rung.verify import extract_answer

PROBLEMS = list(make_problems(Lab(num_steps=3), 4, seed=7))
PREFIXES = [Chain(problem, ()) for problem in PROBLEMS]


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> TransformersGenerator:
    """An untrained policy whose logits are sharp enough that chains differ and often end."""
    folder = tmp_path_factory.mktemp("policy")
    texts = [text for p in PROBLEMS for text in (p.question, *solve(p).texts)]
    make_tiny(folder, texts, seed=0, width=32)
    loaded = load_causal_lm(folder)
    loaded.model.lm_head.weight.data *= 3
    loaded.model.requires_grad_(False)
    return TransformersGenerator(*loaded)


def texts_of(chains: list[list[Chain]]) -> list[list[tuple[str, ...]]]:
    return [[chain.texts for chain in group] for group in chains]


def test_it_satisfies_the_protocol(policy: TransformersGenerator) -> None:
    assert isinstance(policy, Generator)


def test_one_seed_gives_the_same_chains_and_another_gives_others(
    policy: TransformersGenerator,
) -> None:
    first, again, other = (
        texts_of(policy.sample(PREFIXES, 3, Sampling(max_tokens=30, seed=seed)))
        for seed in (1, 1, 2)
    )
    assert first == again
    assert first != other
    assert len({text for group in first for text in group}) > len(PREFIXES)


def test_a_chain_does_not_depend_on_what_else_is_sampled(policy: TransformersGenerator) -> None:
    sampling = Sampling(max_tokens=30, seed=3)
    together = texts_of(policy.sample(PREFIXES, 4, sampling))
    alone = [texts_of(policy.sample([prefix], 2, sampling))[0] for prefix in PREFIXES]
    small = texts_of(replace(policy, max_batch_chains=3).sample(PREFIXES, 4, sampling))
    assert [group[:2] for group in together] == alone
    assert together == small


def test_a_prefix_given_twice_is_continued_in_different_ways(
    policy: TransformersGenerator,
) -> None:
    first, second = policy.sample([PREFIXES[0]] * 2, 2, Sampling(max_tokens=30))
    assert len({chain.texts for chain in [*first, *second]}) == 4


@pytest.mark.parametrize("num_problems", [1, 4])
def test_greedy_equals_transformers_generate(
    policy: TransformersGenerator, num_problems: int
) -> None:
    sampling = Sampling(temperature=0, max_tokens=25)
    for prefix, (chain,) in zip(
        PREFIXES, policy.sample(PREFIXES[:num_problems], 1, sampling), strict=False
    ):
        encoded = policy.tokenizer(prefix.problem.question + "\n", return_tensors="pt")
        ids: Any = policy.model.generate(
            encoded["input_ids"],
            attention_mask=encoded["attention_mask"],
            do_sample=False,
            max_new_tokens=25,
        )
        new = ids[0, encoded["input_ids"].shape[1] :]
        text = policy.tokenizer.decode(new, skip_special_tokens=True)
        assert list(chain.texts) == [piece for piece in text.split("\n") if piece.strip()]
        assert chain.source is not None and chain.source.num_tokens == len(new)


@pytest.mark.parametrize(("temperature", "top_p"), [(1.0, 1.0), (2.0, 0.5)])
def test_draws_follow_the_temperature_and_top_p(
    policy: TransformersGenerator, temperature: float, top_p: float
) -> None:
    prompt = tuple(policy.tokenizer(PROBLEMS[0].question + "\n")["input_ids"])
    logits = policy.model(torch.tensor([prompt])).logits[0, -1]
    probs, order = torch.softmax(logits / temperature, -1).sort(descending=True)
    probs[probs.cumsum(-1) - probs >= top_p] = 0
    writer = Writer(policy.model, most_rows=500, max_kept_bytes=2**20)
    rows = writer.write(
        [prompt] * 2000,
        [str(k) for k in range(2000)],
        Sampling(temperature=temperature, top_p=top_p, max_tokens=1),
        context=512,
        ends=(),
        at_stop=lambda ids: False,
    )
    drawn = Counter(row.ids[0] for row in rows)
    for token, prob in zip(order[:5].tolist(), (probs / probs.sum())[:5].tolist(), strict=True):
        assert drawn[token] / 2000 == pytest.approx(prob, abs=0.03)
    assert set(drawn) <= set(order[probs > 0].tolist())


class Script:
    """A policy that writes a fixed text, one token after the other, then ends."""

    _supports_attention_backend = True

    def __init__(self, policy: TransformersGenerator, text: str) -> None:
        self.config, self.device = policy.model.config, policy.model.device
        self.generation_config = policy.model.generation_config
        end = policy.tokenizer.eos_token_id
        self.script = [*policy.tokenizer(text)["input_ids"], end]
        self.written = 0

    def eval(self) -> None:
        self.written = 0

    def set_attn_implementation(self, name: str) -> None:
        """It has no attention."""

    def parameters(self) -> list[torch.Tensor]:
        return []

    def modules(self) -> list[torch.nn.Module]:
        return []

    def __call__(self, logits_to_keep: torch.Tensor, **_: Any) -> Any:
        logits = torch.zeros(1, len(logits_to_keep), self.config.vocab_size)
        logits[..., self.script[self.written]] = 100.0
        self.written += 1
        return type("Out", (), {"logits": logits})()


def test_text_is_cut_into_steps_and_its_answer_is_found(policy: TransformersGenerator) -> None:
    script: Any = Script(policy, "a b\n\n c\nThe answer is 12")
    generator = replace(policy, model=script, extract_answer=extract_answer)
    ((chain,),) = generator.sample(PREFIXES[:1], 1, Sampling())
    assert chain.texts == ("a b", " c", "The answer is 12")
    assert chain.answer == "12"
    assert chain.source is not None
    assert (chain.source.finish_reason, chain.source.num_tokens) == ("stop", len(script.script))


def test_until_step_writes_one_step_and_says_whether_the_chain_ended(
    policy: TransformersGenerator,
) -> None:
    prefix = PREFIXES[0].extend("before")
    middle: Any = Script(policy, "\na b\nc")
    ((chain,),) = replace(policy, model=middle).sample([prefix], 1, Sampling(until="step"))
    assert chain.texts == ("before", "a b")
    assert chain.source is not None and chain.source.finish_reason is None
    last: Any = Script(policy, "The answer is 12")
    generator = replace(policy, model=last, extract_answer=extract_answer)
    ((chain,),) = generator.sample([prefix], 1, Sampling(until="step"))
    assert (chain.texts, chain.answer) == (("before", "The answer is 12"), "12")
    assert chain.source is not None and chain.source.finish_reason == "stop"


class Tape(Script):
    """Goes on where the last call ended."""

    def eval(self) -> None:
        """Nothing is wound back."""


def test_a_step_written_in_parts_is_the_step_written_at_once(
    policy: TransformersGenerator,
) -> None:
    tape: Any = Tape(policy, "a  b cd e\nf")
    generator, part = replace(policy, model=tape), Sampling(max_tokens=2, until="step")
    [[chain]] = generator.sample(PREFIXES[:1], 1, part)
    parts = [chain.texts[-1]]
    while chain.source is not None and chain.source.finish_reason == "length":
        [[chain]] = generator.sample([chain], 1, replace(part, inside_step=True))
        parts.append(chain.texts[-1])
    assert chain.texts == ("a  b cd e",) and len(parts) > 2
    assert all(later.startswith(text) for text, later in pairwise(parts))


def test_inside_a_step_an_end_of_it_is_an_end_and_spaces_are_kept(
    policy: TransformersGenerator,
) -> None:
    inside = Sampling(until="step", inside_step=True)
    begun = PREFIXES[0].extend("before", "a")
    for text, step in (("\nc", "a"), (" b\nc", "a b"), ("b", "ab")):
        script: Any = Script(policy, text)
        ((chain,),) = replace(policy, model=script).sample([begun], 1, inside)
        assert chain.texts == ("before", step)


def test_a_chain_cut_off_says_so(policy: TransformersGenerator) -> None:
    script: Any = Script(policy, "a b c d e f")
    ((chain,),) = replace(policy, model=script).sample(PREFIXES[:1], 1, Sampling(max_tokens=3))
    assert chain.source is not None
    assert (chain.source.finish_reason, chain.source.num_tokens) == ("length", 3)


class Wordy:
    """A policy with a liking for the lab's words and for ends of steps and of chains."""

    def __init__(self, policy: TransformersGenerator) -> None:
        self.model, encode = policy.model, policy.tokenizer
        self.bias_V = torch.full((self.model.config.vocab_size,), -12.0)
        self.bias_V[encode(" ".join(solve(PROBLEMS[0]).texts))["input_ids"]] = 0.0
        self.bias_V[encode("\n")["input_ids"]] = 2.0
        self.bias_V[encode.eos_token_id] = 1.0

    def __getattr__(self, name: str) -> Any:
        return getattr(self.model, name)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        out = self.model(*args, **kwargs)
        out.logits = 0.3 * out.logits + self.bias_V
        return out


@pytest.fixture(scope="module")
def wordy(policy: TransformersGenerator) -> TransformersGenerator:
    model: Any = Wordy(policy)
    return replace(policy, model=model)


def literal_logprobs(
    policy: TransformersGenerator, prefix: Chain, ids: Sequence[int], num_steps: int
) -> list[float]:
    """Of `num_steps` steps behind a prefix, by one pass over all tokens."""
    tokenizer = policy.tokenizer
    shown = [prefix.problem.question, *prefix.texts]
    prompt = [token for text in shown for token in tokenizer(f"{text}\n")["input_ids"]]
    logits_TV = policy.model(torch.tensor([[*prompt, *ids]])).logits[0]
    logprobs_TV = logits_TV.double().log_softmax(-1)[len(prompt) - 1 :]
    sums = [0.0] * num_steps
    for place, token in enumerate(ids):
        *whole, _ = tokenizer.decode(ids[:place]).split("\n")
        step = min(sum(bool(piece.strip()) for piece in whole), num_steps - 1)
        sums[step] += logprobs_TV[place, token].item()
    return sums


@pytest.mark.parametrize("until", ["end", "step"])
def test_the_steps_log_probabilities_are_those_of_a_whole_pass(
    wordy: TransformersGenerator, until: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """At temperature 1, whatever was drawn with; tokens of blanks, separators and ends count."""
    drawn, told = Prompts.drawn, list[Sequence[int]]()

    def tell(self: Any, ids: Sequence[int], *more: Any) -> Any:
        told.append(ids)
        return drawn(self, ids, *more)

    monkeypatch.setattr(Prompts, "drawn", tell)
    sampling, lengths = (
        Sampling(0.7, 0.95, max_tokens=40, until=until, logprobs=True),
        Counter[int](),
    )
    for seed in range(24):
        prefix = PREFIXES[seed % 4].extend("Then 3", "so 4")
        [[chain]] = wordy.sample([prefix], 1, replace(sampling, seed=seed))
        assert chain.source is not None and chain.source.step_logprobs is not None
        before, new = chain.source.step_logprobs[:2], chain.source.step_logprobs[2:]
        end = [wordy.tokenizer.eos_token_id] * (chain.source.finish_reason == "stop")
        ids = [*told.pop(), *end]
        assert before == (None, None) and len(ids) == chain.source.num_tokens
        if new:
            expected = literal_logprobs(wordy, prefix, ids, len(chain.steps) - 2)
            assert new == pytest.approx(expected, abs=1e-4)
        lengths[len(new)] += 1
    assert set(lengths) == {0, 1} if until == "step" else len(lengths) > 2


class Unsure(Tape):
    """Any token of its script is as likely as the next, by `each` in logarithms."""

    def __call__(self, logits_to_keep: torch.Tensor, **options: Any) -> Any:
        out = super().__call__(logits_to_keep, **options)
        out.logits /= 100
        self.each = float(out.logits.double().log_softmax(-1).max())
        return out


def test_a_prefix_keeps_its_log_probabilities_and_a_step_in_parts_adds_up(
    policy: TransformersGenerator,
) -> None:
    tape: Any = Unsure(policy, "a  b cd e\nf\n\n")
    generator = replace(policy, model=tape)
    part = Sampling(temperature=0, max_tokens=2, until="step", logprobs=True)
    [[chain]] = generator.sample(PREFIXES[:1], 1, part)
    while chain.source is not None and chain.source.finish_reason == "length":
        [[chain]] = generator.sample([chain], 1, replace(part, inside_step=True))
    assert chain.source is not None and chain.source.step_logprobs is not None
    num_tokens = len(policy.tokenizer("a  b cd e\n")["input_ids"])
    assert chain.source.step_logprobs == pytest.approx((num_tokens * tape.each,))
    [[longer]] = generator.sample([chain], 1, replace(part, until="end", max_tokens=9))
    assert longer.texts == ("a  b cd e", "f") and longer.source is not None
    expected = (*chain.source.step_logprobs, 4 * tape.each)  # f, two line ends, the end
    assert longer.source.step_logprobs == pytest.approx(expected)
    tape.written = 0
    [[unasked]] = generator.sample([chain], 1, replace(part, logprobs=False))
    assert unasked.source is not None and unasked.source.step_logprobs is None


def test_a_prompt_that_fills_the_context_leaves_no_room(policy: TransformersGenerator) -> None:
    long = Chain(Problem("long", "? " * 1000), ())
    empty, short = policy.sample([long, PREFIXES[0]], 1, Sampling(max_tokens=3))
    assert empty[0].texts == ()
    assert empty[0].source is not None and empty[0].source.finish_reason == "length"
    assert short[0].source is not None and short[0].source.num_tokens == 3


def test_tiny_tokenizer_gives_every_text_back(tmp_path: Path) -> None:
    make_tiny(tmp_path, [p.question for p in PROBLEMS], seed=0, width=16, num_layers=1)
    tokenizer = load_causal_lm(tmp_path).tokenizer
    for text in [PROBLEMS[0].question, "a  b \n\n c", "ки ñ 数 🙂", " .  , <end> 's"]:
        ids = tokenizer(text, split_special_tokens=True)["input_ids"]
        assert tokenizer.decode(ids) == text
    words = tokenizer.tokenize(PROBLEMS[0].question)
    assert len(words) == PROBLEMS[0].question.count(" ") + PROBLEMS[0].question.count(".") + 2


def test_tiny_is_the_same_for_the_same_seed(tmp_path: Path) -> None:
    torch.manual_seed(5)
    for name in ("a", "b"):
        make_tiny(tmp_path / name, ["one two"], seed=3, width=16, num_layers=1)
    first, second = (tmp_path / name / "model.safetensors" for name in ("a", "b"))
    assert first.read_bytes() == second.read_bytes()
