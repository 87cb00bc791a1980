"""With the published models' tokenizers: marker ids, and the ids of whole chains."""

import functools
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from test_families_heads import some_chains

import published_heads
from published import CHAT, Small
from published_heads import ALPACA, BY_FOLDER, Read
from real_tokenizers import DEEPSEEK, LLAMA, MISTRAL, QWEN, real_tokenizer
from rung import Chain
from rung.model.families import actprm, math_minos, pqm, qwen_prm, reasoneval, skywork, trl
from rung.model.families import universal as universal_prm
from rung.model.rendering import Rendered

MANY = 100_000


@functools.cache
def as_published(name: str, bos: str | None = None) -> Any:
    """A tokenizer with what the models' own have beyond that of the package."""
    tokenizer = real_tokenizer(name)
    if bos is not None:
        tokenizer.bos_token = bos
    if name == QWEN:
        tokenizer.chat_template = CHAT
        tokenizer.add_tokens(["<extra_0>"], special_tokens=True)
    if name == MISTRAL:
        tokenizer.pad_token = tokenizer.bos_token  # as in ReasonEval-7B
    return tokenizer


@pytest.mark.parametrize(
    ("package", "text", "ids"),
    [
        (QWEN, "<|quad_end|>", [151651]),
        (QWEN, "<|im_end|>", [151645]),
        (QWEN, "\n", [198]),
        (QWEN, "\n\n", [271]),
        (QWEN, " \n\n\n\n\n", [76325]),
        (QWEN, " +", [488]),
        (QWEN, " -", [481]),
        (MISTRAL, "+ -", [648, 387]),
        (MISTRAL, "ки", [12902]),
        (LLAMA, "+", [10]),
        (LLAMA, "-", [12]),
        (LLAMA, "<|reserved_special_token_0|>", [128002]),
    ],
)
def test_marker_ids_are_those_of_the_authors(package: str, text: str, ids: list[int]):
    assert as_published(package).encode(text, add_special_tokens=False) == ids


class Real(NamedTuple):
    """A published model, its tokenizer's package, and the rendering under test."""

    folder: str
    package: str
    render: Callable[[Any, Sequence[Chain]], list[Rendered]]


REAL = [
    Real(
        "Qwen2.5-Math-PRM-7B",
        QWEN,
        lambda t, chains: qwen_prm.marked(t, qwen_prm.SYSTEM, MANY)(chains),
    ),
    Real(
        "Skywork-o1-Open-PRM-Qwen-2.5-7B",
        QWEN,
        lambda t, chains: skywork.render_lines(chains, t, MANY),
    ),
    Real(
        "Qwen2-0.5B-Reward-Math-Sheperd",
        QWEN,
        lambda t, chains: trl.whole_strings(t, "\n", MANY)(chains),
    ),
    Real(
        "Qwen2.5-Math-7B-Instruct-PRM-0.2",
        QWEN,
        lambda t, chains: trl.whole_strings(t, "\n\n", MANY)(chains),
    ),
    Real("PURE-PRM-7B", QWEN, lambda t, chains: trl.pieces(t, "\n", MANY)(chains)),
    Real(
        "ActPRM",
        QWEN,
        lambda t, chains: actprm.render_answer(chains, t, actprm.SYSTEM, "<extra_0>", MANY),
    ),
    Real(
        "ActPRM-X",
        QWEN,
        lambda t, chains: actprm.render_answer(chains, t, actprm.SYSTEM, " \n\n", MANY),
    ),
    Real("Universal-PRM-7B", QWEN, lambda t, chains: universal_prm.render_probed(chains, t, MANY)),
    Real(
        "ReasonEval-7B",
        MISTRAL,
        lambda t, chains: reasoneval.render_separated(chains, t, MANY, is_small=True),
    ),
    Real(
        "minos_mistral",
        MISTRAL,
        lambda t, chains: [math_minos.render_letters(one, t, MANY) for one in chains],
    ),
    Real("PQM-alpaca", DEEPSEEK, lambda t, chains: pqm.render_numbered(chains, t, ALPACA, MANY)),
]


@pytest.mark.parametrize("real", REAL, ids=[real.folder for real in REAL])
def test_ids_and_positions_equal_the_literal_reading_with_the_real_tokenizer(
    real: Real, monkeypatch: pytest.MonkeyPatch
):
    def at(_: Small, ids: list[int], places: Sequence[int], __: Any) -> list[Read]:
        return [Read(ids[: place + 1], 0.0) for place in places]  # no model, no scores

    monkeypatch.setattr(published_heads, "at", at)
    is_begun = real.folder.startswith("Skywork")
    tokenizer = as_published(real.package, "<|endoftext|>" if is_begun else None)
    small = Small(Path(), None, tokenizer, {})
    literal = BY_FOLDER[real.folder].literal
    chains = some_chains()
    if real.package == DEEPSEEK:
        literal(small, chains[0])  # adds [PRM] to the tokenizer, as opening the model does
    for one, rendered in zip(chains, real.render(tokenizer, chains), strict=True):
        for k, read in enumerate(literal(small, one)):
            found = rendered.read_of(k)
            assert found is not None and read is not None
            assert list(found[0][: found[1] + 1]) == read.ids
