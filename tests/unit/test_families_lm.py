"""Reward models that are plain causal LMs: ids, places and scores as a slow, literal reading."""

import functools
import random
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from safetensors.torch import load_file
from transformers import LlamaConfig, MistralConfig, Qwen2Config

from published_lms import CASES, PRMS, build, llama3_tokenizer
from real_tokenizers import LLAMA, MISTRAL, QWEN, real_tokenizer
from rung import Chain, InputError, Problem, RungError
from rung.model import load_tokenizer
from rung.model.families import FAMILIES, open_reader, recognize
from rung.score import load_scorer
from tiny_lms import (
    CHATML_TEMPLATE,
    byte_tokenizer,
    logits_of,
    save_lm,
)

FP32 = 1e-4
TURNS = ("rlhflow", "fover", "granite")
"""Families that are read where a turn's answer begins; the others at a marker."""
WORDS = ["we", "add", "3", "and", "4", "to", "get", "7.", "so", "it", "is", "42", "=", "+"]


def chain(*texts: str, question: str = "How many?") -> Chain:
    return Chain.of(Problem("p", question), texts)


def random_chains(count: int, seed: int = 0) -> list[Chain]:
    draw = random.Random(seed)

    def text() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(1, 8)))

    def steps() -> Iterator[str]:
        for k in range(1, draw.randint(2, 5)):
            yield f"Step {k}: {text()}"

    return [
        chain(*steps(), question=draw.choice(["How many?", "What is 3 + 4?"])) for _ in range(count)
    ]


Folders = Callable[..., Path]


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> Folders:
    """Makes a case's model once: `folders("er-prm", max_tokens=60)` is a folder."""
    made: dict[tuple[str, int], Path] = {}

    def make(name: str, max_tokens: int = 512) -> Path:
        if (name, max_tokens) not in made:
            folder = tmp_path_factory.mktemp("models") / "model"
            made[name, max_tokens] = build(name, folder, max_tokens)
        return made[name, max_tokens]

    return make


@pytest.mark.parametrize("name", CASES)
def test_ids_places_and_scores_are_those_of_the_authors_code(folders: Folders, name: str):
    folder, case = folders(name), CASES[name]
    scorer, tokenizer = load_scorer(folder, family=case.family), load_tokenizer(folder)
    chains = random_chains(8)
    rendered = scorer.reader.render(chains)
    for one, shown, scores in zip(chains, rendered, scorer.score(chains), strict=True):
        ids, places, expected = case.literal(folder, tokenizer, one)
        assert shown.ids == tuple(ids[: places[-1] + 1])
        if scorer.kind == "orm":
            assert shown.step_ends == (*[None] * (len(one.steps) - 1), places[0])
            assert scores.scores[:-1] == (None,) * (len(one.steps) - 1)
            assert scores.scores[-1] == pytest.approx(expected[0], abs=FP32)
        else:
            assert list(shown.step_ends) == places
            assert list(scores.scores) == pytest.approx(expected, abs=FP32)
    known = {round(s, 3) for scores in scorer.score(chains) for s in scores.known}
    assert len(known) > 3, "a test in which all scores are equal shows nothing"


@pytest.mark.parametrize("name", PRMS)
def test_a_further_step_only_adds_ids(folders: Folders, name: str):
    render = open_reader(folders(name), CASES[name].family).render
    one = chain("Step 1: we add 3", "", "  so it is 42.\n", "= 7", "Step 5: we\n\nadd")
    whole = render([one])[0]
    for count in range(1, 5):
        shown = render([one.prefix(count)])[0]
        assert shown.ids == whole.ids[: len(shown.ids)]
        assert shown.step_ends == whole.step_ends[:count]
        assert shown.step_ends[-1] == len(shown.ids) - 1


@pytest.mark.parametrize("name", CASES)
def test_a_session_gives_the_scores_of_whole_chains(folders: Folders, name: str):
    scorer = load_scorer(folders(name), family=CASES[name].family)
    one = random_chains(1, seed=4)[0].extend("so it is 42.", "= 7")
    session, at_end = scorer.open(one.problem), one.problem.root_id
    for count, step in enumerate(one.texts, 1):
        (scored,) = session.extend([at_end], [step])
        (whole,) = scorer.score([one.prefix(count)])
        assert scored.score == pytest.approx(whole.scores[-1], abs=FP32)
        at_end = scored.id
    if scorer.kind == "prm":
        assert session.usage.computed == len(scorer.reader.render([one])[0].ids)


@pytest.mark.parametrize("name", CASES)
def test_every_step_has_a_place_of_its_own_even_where_it_is_empty(folders: Folders, name: str):
    scorer = load_scorer(folders(name), family=CASES[name].family)
    [empty, none] = scorer.score([chain("", "", "7."), chain()])
    assert none.scores == ()
    assert empty.scores[-1] is not None
    if scorer.kind == "prm":
        ends = scorer.reader.render([chain("", "", "7.")])[0].step_ends
        assert len(set(ends)) == 3 and None not in ends


@pytest.mark.parametrize("name", CASES)
def test_text_that_spells_a_marker_makes_none(folders: Folders, name: str):
    reader = open_reader(folders(name), CASES[name].family)
    specials = set(reader.tokenizer.all_special_ids)
    spelled = [" ки", "ки\n", " \n\n\n\n\n", "\n\n", *reader.tokenizer.all_special_tokens, "\ufdd1"]
    plain = reader.render([chain("7.", "7.")])[0]
    for text in spelled:
        for one in (chain("7.", f"7{text}7."), chain("7.", "7.", question=f"7{text}7")):
            shown = reader.render([one])[0]
            found = [token for token in shown.ids if token in specials]
            assert found == [token for token in plain.ids if token in specials], text
            assert len(shown.step_ends) == 2
            if reader.kind == "prm" and reader.family not in (*TURNS, "llemma"):
                marker = shown.ids[shown.step_ends[0] or 0]
                assert [k for k, i in enumerate(shown.ids) if i == marker] == list(shown.step_ends)


@pytest.mark.parametrize("name", ["math-shepherd", "er-prm", "math-psa"])
def test_a_spelled_marker_stays_in_the_text(folders: Folders, name: str):
    reader = open_reader(folders(name), CASES[name].family)
    marker = {"math-psa": " \n\n\n\n\n"}.get(name, " ки")
    shown = reader.render([chain(f"a{marker} b", "c")])[0]
    text = reader.tokenizer.decode(shown.ids, skip_special_tokens=True)
    break_ = "\n" if name == "math-shepherd" else ""
    assert text.strip(" ") == f"How many? a{marker} b{marker}{break_}c{marker}".strip(" ")


@pytest.mark.parametrize("name", CASES)
def test_steps_beyond_the_context_have_no_score(folders: Folders, name: str):
    room = {"fover": 600, "granite": 100}.get(CASES[name].family, 60)
    folder, family = folders(name, room), CASES[name].family
    scorer = load_scorer(folder, family=family)
    steps = [f"Step {k}: we add 3 and 4" for k in range(1, 40)]
    short, long = scorer.score([chain(*steps[:1]), chain(*steps)])
    lost = scorer.score([chain(*steps[:2], question="How many? " * 300)])[0]
    assert short.scores[0] is not None and long.scores[-1] is None
    assert lost.scores == (None, None)
    assert all(len(r.ids) <= room for r in scorer.reader.render([chain(*steps)]))
    if scorer.kind == "prm":
        cut = long.scores.index(None)
        assert cut >= 1 and set(long.scores[cut:]) == {None}
        assert long.scores[0] == pytest.approx(short.scores[0], abs=FP32)


@pytest.mark.parametrize("name", ["math-shepherd", "er-prm"])
def test_a_tokenizer_without_bos_adds_none(tmp_path: Path, name: str):
    folder = save_lm(tmp_path / "model", byte_tokenizer(), LlamaConfig)
    reader = open_reader(folder, name)
    shown = reader.render([chain("Step 1: we add")])[0]
    assert reader.tokenizer.decode(shown.ids) == "How many? Step 1: we add ки"


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path):
    folder = save_lm(tmp_path / "model", byte_tokenizer(["a + b - c"]), LlamaConfig)
    with pytest.raises(RungError, match="tokens of ' ки', expected one"):
        load_scorer(folder, family="er-prm")


def test_a_conversation_needs_a_chat_template(tmp_path: Path):
    folder = save_lm(tmp_path / "model", byte_tokenizer(), LlamaConfig)
    scorer = load_scorer(folder, family="rlhflow")
    with pytest.raises(RungError, match="no chat template"):
        scorer.score([chain("one")])


def test_weights_without_an_lm_head_are_refused(tmp_path: Path):
    folder = save_lm(tmp_path / "model", llama3_tokenizer(), LlamaConfig)
    trunk = transformers.AutoModel.from_pretrained(folder)
    trunk.save_pretrained(folder)
    with pytest.raises(InputError, match=r"lack lm_head\.weight"):
        load_scorer(folder, family="er-prm")


def test_math_shepherd_is_published_as_a_pickle(folders: Folders, tmp_path: Path):
    folder = tmp_path / "math-shepherd-mistral-7b-prm"
    shutil.copytree(folders("math-shepherd"), folder)
    torch.save(load_file(folder / "model.safetensors"), folder / "pytorch_model.bin")
    (folder / "model.safetensors").unlink()
    with pytest.raises(InputError, match="trust"):
        load_scorer(folder)
    chains = random_chains(3)
    found = load_scorer(folder, trust_pickle=True).score(chains)
    plain = load_scorer(folders("math-shepherd"), family="math-shepherd").score(chains)
    assert [scores.scores for scores in found] == [scores.scores for scores in plain]


@pytest.mark.parametrize("name", CASES)
def test_a_folder_is_recognized_by_its_published_name_alone(
    folders: Folders, tmp_path: Path, name: str
):
    case = CASES[name]
    folder = Path(shutil.copytree(folders(name), tmp_path / case.published))
    assert recognize(folder).family.name == case.family
    assert load_scorer(folder).reader.family == case.family
    with pytest.raises(InputError, match="name its family"):
        recognize(folders(name))


def test_the_published_policy_of_math_shepherd_is_not_taken_for_its_prm(
    folders: Folders, tmp_path: Path
):
    folder = tmp_path / "math-shepherd-mistral-7b-rl"
    shutil.copytree(folders("math-shepherd"), folder)
    with pytest.raises(InputError, match="name its family"):
        recognize(folder)


@pytest.mark.parametrize(
    ("family", "aggregation"),
    [
        ("math-shepherd", "min"),
        ("rlhflow", "mean"),
        ("fover", "min"),
        ("granite", "mean"),
        ("rlhflow-orm-mistral", "last"),
    ],
)
def test_the_authors_aggregation_is_known(folders: Folders, family: str, aggregation: str):
    name = "fover-qwen" if family == "fover" else family
    assert open_reader(folders(name), family).aggregation == aggregation


def test_granite_weighs_yes_against_all_words_as_its_card_does(folders: Folders):
    """So its scores of two steps are no two words' odds: the right one alone is asked for."""
    folder = folders("granite")
    one = chain("we add 3", "so 7.")
    [scores] = load_scorer(folder, family="granite").score([one])
    ids, places, _ = CASES["granite"].literal(folder, load_tokenizer(folder), one)
    probabilities = logits_of(folder, ids)[places].softmax(-1)
    yes = load_tokenizer(folder).encode("Y", add_special_tokens=False)[0]
    assert scores.scores == pytest.approx(probabilities[:, yes].tolist(), abs=FP32)


def test_every_family_says_whose_models_it_reads():
    assert all(family.about for family in FAMILIES.values())


# The published tokenizers (`make tokenizers`).

REAL = {
    "math-shepherd": (MISTRAL, MistralConfig),
    "llemma": (MISTRAL, LlamaConfig),
    "er-prm": (LLAMA, LlamaConfig),
    "rlhflow": (LLAMA, LlamaConfig),
    "fover-llama": (LLAMA, LlamaConfig),
    "math-psa": (QWEN, Qwen2Config),
    "fover-qwen": (QWEN, Qwen2Config),
}
HARD = [
    chain("Step 1: Janet's ducks lay 16 eggs.", "Step 2: 16 - 3 = 13 (see $x^2$).", "So 18"),
    chain("## Step 1:\nWe know\n  that f(x) = 2", "}\\]", "1/2", question="Find $f(x)$ if:\n(a) x"),
    chain("é → naïve 😀", "Then 漢字.", "x\ty", question="¿Cuánto?"),
]


@pytest.fixture(scope="module")
def real_folders(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Makes a model with a published tokenizer, once."""

    @functools.cache
    def make(tokenizer: str, config: type[Any]) -> Path:
        folder = tmp_path_factory.mktemp("real") / "model"
        save_lm(folder, real_tokenizer(tokenizer), config)
        if tokenizer == QWEN:  # Qwen3's template thinks
            (folder / "chat_template.jinja").write_text(CHATML_TEMPLATE)
        return folder

    return make


@pytest.mark.parametrize("name", REAL)
def test_published_tokenizers_give_the_ids_of_the_whole_text(
    real_folders: Callable[..., Path], name: str
):
    folder = real_folders(*REAL[name])
    reader = open_reader(folder, CASES[name].family)
    for one in [*random_chains(2), *HARD]:
        shown = reader.render([one])[0]
        ids, places, _ = CASES[name].literal(folder, reader.tokenizer, one)
        assert shown.ids == tuple(ids[: places[-1] + 1])
        assert list(shown.step_ends) == places
