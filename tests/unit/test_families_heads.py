"""Published reward models with heads of their own: equal to a slow, literal reading of each.

Every reading below is written out from its authors' description and shares no code with the
families: one string or list of ids a chain, one plain forward pass, scores by position.
"""

import json
import random
import shutil
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import MappingProxyType
from typing import Any, NamedTuple

import pytest
import torch
from torch import Tensor

from published import (
    WIDTH,
    Small,
    llama_tokenizer,
    qwen_tokenizer,
    random_heads,
    save,
    two_layer_heads,
)
from rung import Chain, Problem, RungError
from rung.model.families import FAMILIES, recognize
from rung.score import load_scorer

WORDS = ["we", "add", "one", "and", "two", "to", "get", "so", "12", "+", "30", "=", "42", "\n"]
FP32 = 2e-5
ROOT = Path(__file__).resolve().parents[2]
BOXED = "Please reason step by step, and put your final answer within \\boxed{}."


class Read(NamedTuple):
    """Where a step is read: all ids up to there, and the score."""

    ids: list[int]
    score: float


Literal = Callable[[Small, Chain], list[Read | None]]


class Case(NamedTuple):
    """One published model."""

    family: str
    folder: str
    build: Callable[[Path], Small]
    literal: Literal
    aggregation: str | None
    reads_unfinished_steps: bool = True
    kind: str = "prm"
    load: Mapping[str, Any] = MappingProxyType({})


def at(small: Small, ids: list[int], places: Sequence[int], score: Callable[[Tensor], Tensor]):
    states = small.states(ids)
    return [Read(ids[: place + 1], float(score(states[place]))) for place in places]


def right(logits: Tensor) -> Tensor:
    return logits.softmax(-1)[1]


def squash(logits: Tensor) -> Tensor:
    return logits.squeeze(-1).sigmoid()


def turn(role: str, text: str) -> str:
    return f"<|im_start|>{role}\n{text}<|im_end|>\n"


# --- Qwen2.5-Math-PRM, ReasonFlux-PRM-7B, Qwen2.5-Math-RM ---------------------------------------


def qwen_prm(folder: Path) -> Small:
    config = {
        "architectures": ["Qwen2ForProcessRewardModel"],
        "auto_map": {
            "AutoConfig": "configuration_qwen2_rm.Qwen2RMConfig",
            "AutoModel": "modeling_qwen2_rm.Qwen2ForProcessRewardModel",
        },
        "model_type": "qwen2",
    }
    heads = two_layer_heads(2) | {"lm_head.weight": torch.zeros(3, WIDTH)}
    return save(folder, qwen_tokenizer("<extra_0>"), heads, config)


def read_extra_0(system: str) -> Literal:
    def literal(small: Small, chain: Chain) -> list[Read | None]:
        answer = "<extra_0>".join(chain.texts) + "<extra_0>"
        text = turn("system", system) + turn("user", chain.problem.question)
        ids = small.tokenizer.encode(text + turn("assistant", answer))
        marker = small.tokenizer.encode("<extra_0>")[0]
        places = [place for place, token in enumerate(ids) if token == marker]
        return at(small, ids, places, lambda h: right(small.two_layers(h)))

    return literal


def qwen_rm(folder: Path) -> Small:
    config = {
        "architectures": ["Qwen2ForRewardModel"],
        "auto_map": {"AutoModel": "modeling_qwen2_rm.Qwen2ForRewardModel"},
        "model_type": "qwen2",
    }
    return save(folder, qwen_tokenizer(), two_layer_heads(1), config)


def read_qwen_rm(small: Small, chain: Chain) -> list[Read | None]:
    text = turn("system", BOXED) + turn("user", chain.problem.question)
    text += turn("assistant", "\n\n".join(chain.texts))
    ids = small.tokenizer.encode(text, add_special_tokens=False)
    last = at(small, ids, [len(ids) - 1], lambda h: squash(small.two_layers(h)))
    return [None] * (len(chain.steps) - 1) + last


def reasonflux_orm(folder: Path) -> Small:
    head = random_heads(weight=(1, WIDTH), bias=(1,))
    small = save(folder, qwen_tokenizer(), {"lm_head.weight": torch.zeros(3, WIDTH)})
    torch.save(head, folder / "reward_head.pt")
    return Small(folder, small.trunk, small.tokenizer, {f"head.{n}": w for n, w in head.items()})


def read_reasonflux_orm(small: Small, chain: Chain) -> list[Read | None]:
    ids = small.tokenizer.encode(chain.problem.question + "\n\n".join(chain.texts))
    last = at(small, ids, [len(ids) - 1], lambda h: squash(small.linear("head", h)))
    return [None] * (len(chain.steps) - 1) + last


# --- Skywork, PQM: TRL's value head -------------------------------------------------------------

VALUE_HEAD = {"v_head__summary__weight": (1, WIDTH), "v_head__summary__bias": (1,)}


def skywork(folder: Path) -> Small:
    tokenizer = qwen_tokenizer(bos="<|bos|>")
    return save(folder, tokenizer, random_heads(**VALUE_HEAD), prefix="pretrained_model.model.")


def read_skywork(small: Small, chain: Chain) -> list[Read | None]:
    encode, bos = small.tokenizer.encode, small.tokenizer.bos_token
    ids = encode(bos + chain.problem.question + "\n")
    newline = encode("\n")[-1]
    lines = [(k, line) for k, step in enumerate(chain.texts) for line in step.split("\n")]
    flagged: dict[int, int] = {}
    for k, line in lines:  # every line is a step to them; ours ends with its last
        ids = ids + (encode(line) if line != "" else []) + [newline]
        flagged[k] = len(ids) - 1
    return at(
        small, ids, list(flagged.values()), lambda h: squash(small.linear("v_head.summary", h))
    )


def pqm(folder: Path) -> Small:
    tokenizer = qwen_tokenizer()
    return save(
        folder,
        tokenizer,
        random_heads(**VALUE_HEAD),
        {"architectures": ["LlamaForCausalLM"], "model_type": "llama", "vocab_size": 7},
        kind="llama",
        file="pqm-zeta-4.bin",
        vocab=len(tokenizer) + 1,
    )


def read_pqm(query: str) -> Literal:
    def literal(small: Small, chain: Chain) -> list[Read | None]:
        tokenizer = small.tokenizer
        tokenizer.add_tokens(["[PRM]"], special_tokens=True)  # the folder's lacks it
        steps = [f"Step {k + 1}: {text.strip()}" for k, text in enumerate(chain.texts)]
        answer = " [PRM]\n".join(steps) + " [PRM]"
        text = f"{query.format(chain.problem.question)}\n{answer}"
        ids = tokenizer.encode(text, add_special_tokens=False)
        marker = tokenizer.encode("[PRM]", add_special_tokens=False)[-1]
        places = [place for place, token in enumerate(ids) if token == marker]
        return at(small, ids, places, lambda h: squash(small.linear("v_head.summary", h)))

    return literal


ALPACA = (
    "Below is an instruction that describes a task.\nWrite a response that appropriately completes"
    " the request.\n\n### Instruction:\n{}\n\n### Response: Let's think step by step"
)

# --- token classifiers --------------------------------------------------------------------------


def classifier(num_labels: int, *, bos: str | None = None, kind: str = "qwen2"):
    name = {"qwen2": "Qwen2", "mistral": "Mistral"}[kind]
    config: dict[str, Any] = {"architectures": [f"{name}ForTokenClassification"]}
    config["model_type"] = kind
    if num_labels != 2:  # transformers leaves its default out
        config["id2label"] = {str(k): f"LABEL_{k}" for k in range(num_labels)}
        config["label2id"] = {f"LABEL_{k}": k for k in range(num_labels)}

    def build(folder: Path) -> Small:
        tokenizer = qwen_tokenizer(bos=bos)
        heads = random_heads(score__weight=(num_labels, WIDTH), score__bias=(num_labels,))
        return save(folder, tokenizer, heads, config, kind=kind)

    return build


def read_pieces(separator: str) -> Literal:
    def literal(small: Small, chain: Chain) -> list[Read | None]:
        def encode(text: str) -> list[int]:
            return small.tokenizer.encode(text, add_special_tokens=False)

        bos = small.tokenizer.bos_token_id
        ids = ([] if bos is None else [bos]) + encode(chain.problem.question)
        places: list[int] = []
        for step in chain.texts:
            ids = ids + encode(step) + encode(separator)
            places.append(len(ids) - 1)
        return at(small, ids, places, lambda h: right(small.linear("score", h)))

    return literal


def read_strings(separator: str) -> Literal:
    def literal(small: Small, chain: Chain) -> list[Read | None]:
        found: list[Read | None] = []
        for k in range(1, len(chain.steps) + 1):
            text = separator.join((chain.problem.question, *chain.texts[:k])) + separator
            ids = small.tokenizer.encode(text)
            found += at(small, ids, [len(ids) - 1], lambda h: right(small.linear("score", h)))
        return found

    return literal


def read_minos(small: Small, chain: Chain) -> list[Read | None]:
    text = f"Human: {chain.problem.question}\n\nAssistant:"
    text += "".join(f"Step {k + 1}: {step.strip()} и\n" for k, step in enumerate(chain.texts))
    ids = small.tokenizer.encode(text)
    letter = small.tokenizer.encode(" и")[-1]
    places = [place for place, token in enumerate(ids) if token == letter]
    return at(small, ids, places, lambda h: squash(small.linear("score", h)))


# --- ReasonEval ---------------------------------------------------------------------------------


def reasoneval(size: str) -> Callable[[Path], Small]:
    kind, dimension, bias = {
        "7B": ("mistral", "score_dimension", "use_bias"),
        "34B": ("llama", "score_dim", "bias"),
    }[size]
    config = {
        "architectures": [f"ReasonEval_{size}"],
        "model_type": kind,
        dimension: 3,
        bias: False,
    }

    def build(folder: Path) -> Small:
        tokenizer = llama_tokenizer(pad="<end>" if size == "7B" else "<pad>")
        return save(
            folder, tokenizer, random_heads(score_head__weight=(3, WIDTH)), config, kind=kind
        )

    return build


def read_reasoneval(size: str) -> Literal:
    def literal(small: Small, chain: Chain) -> list[Read | None]:
        sep = small.tokenizer.pad_token
        prompt = f"Question:\n{chain.problem.question}\nAnswer:\nLet's think step by step.\n"
        whole = small.tokenizer.encode(prompt + sep + "".join(s + sep for s in chain.texts))
        separator = small.tokenizer.encode(sep)[-1]
        places: list[int] = []
        ids: list[int] = []
        for place, token in enumerate(whole):
            if token == separator:
                places.append(place - 1 - len(places))
            else:
                ids.append(token)
        if size == "7B":
            ids, places = [1, *ids], places[2:]
        else:
            places = places[1:]
        assert len(places) == len(chain.steps)
        return at(small, ids, places, lambda h: small.linear("score_head", h).softmax(-1)[1:].sum())

    return literal


# --- ActPRM, Universal-PRM ----------------------------------------------------------------------

NUM_HEADS = 3


def actprm(marker: str | None) -> Callable[[Path], Small]:
    config = {
        "architectures": ["Qwen2ForEnsemblePRM"],
        "auto_map": {"AutoModel": "modeling_qwen2.Qwen2ForEnsemblePRM"},
        "model_type": "qwen2",
        "num_ensemble": NUM_HEADS,
        "rr_token": marker,
        "rr_token_id": None,
    }

    def build(folder: Path) -> Small:
        shapes = {"nn1": (WIDTH, 8), "nn2": (8, 8), "nn_out": (8, 1)}
        heads = random_heads(
            **{f"score__model__{n}__weight": (NUM_HEADS, *s) for n, s in shapes.items()},
            **{f"score__model__{n}__bias": (NUM_HEADS, s[1]) for n, s in shapes.items()},
            **{f"score__reg_model__{n}__weight": (NUM_HEADS, *s) for n, s in shapes.items()},
        )
        return save(folder, qwen_tokenizer(marker or " \n\n"), heads, config)

    return build


def read_actprm(marker: str) -> Literal:
    system = (
        "You are a helpful and harmless assistant. You should think step-by-step and put your"
        " final answer within \\boxed{}."
    )

    def literal(small: Small, chain: Chain) -> list[Read | None]:
        def score(h: Tensor) -> Tensor:
            found: list[Tensor] = []
            for e in range(NUM_HEADS):
                x = h
                for layer in ("nn1", "nn2", "nn_out"):
                    name = f"score.model.{layer}"
                    x = x @ small.heads[f"{name}.weight"][e] + small.heads[f"{name}.bias"][e]
                    x = x if layer == "nn_out" else x.relu()
                found.append(squash(x))
            return torch.stack(found).mean()

        text = turn("system", system) + turn("user", chain.problem.question)
        steps = [step.strip() for step in chain.texts]
        text += "<|im_start|>assistant\n" + marker.join(steps) + marker
        ids = small.tokenizer.encode(text)
        token = small.tokenizer.encode(marker)[0]
        places = [place for place, id_ in enumerate(ids) if id_ == token]
        return at(small, ids, places, score)

    return literal


def universal(folder: Path) -> Small:
    config = {
        "architectures": ["Qwen2ForRewardModel"],
        "auto_map": {"AutoModel": "modeling_qwen2_rm.Qwen2ForRewardModel"},
        "model_type": "qwen2",
    }
    return save(folder, qwen_tokenizer(), two_layer_heads(1), config)


def read_universal(small: Small, chain: Chain) -> list[Read | None]:
    question = chain.problem.question + (
        "\n\n###\n\nThe reference answer is: There is no reference answer for this question."
    )
    text = turn("system", "You are a helpful assistant.") + turn("user", question)
    prompt = small.tokenizer.encode(text + "<|im_start|>assistant\n")
    eos = small.tokenizer.eos_token_id
    found: list[Read | None] = []
    for k in range(1, len(chain.steps) + 1):
        answer = small.tokenizer.encode("\n\n".join(chain.texts[:k]) + "\n\n")
        ids = [*prompt, *answer, eos]
        found += at(small, ids, [len(ids) - 1], lambda h: squash(small.two_layers(h)))
    return found


TRUSTED = {"trust_pickle": True}
CASES = [
    Case("qwen-prm", "Qwen2.5-Math-PRM-7B", qwen_prm, read_extra_0(BOXED), "product"),
    Case("reasonflux-prm", "ReasonFlux-PRM-7B", qwen_prm, read_extra_0("Be brief."), None),
    Case("qwen-rm", "Qwen2.5-Math-RM-72B", qwen_rm, read_qwen_rm, "last", False, "orm"),
    Case(
        "reasonflux-orm",
        "ReasonFlux-PRM-1.5B",
        reasonflux_orm,
        read_reasonflux_orm,
        "last",
        False,
        "orm",
        TRUSTED,
    ),
    Case("skywork", "Skywork-o1-Open-PRM-Qwen-2.5-7B", skywork, read_skywork, None),
    Case("trl", "Qwen2-0.5B-Reward-Math-Sheperd", classifier(2), read_strings("\n"), None),
    Case("trl", "Qwen2.5-Math-7B-Instruct-PRM-0.2", classifier(2), read_strings("\n\n"), None),
    Case(
        "trl",
        "with-bos",
        classifier(2, bos="<|bos|>"),
        read_pieces(" ;"),
        None,
        load={"options": {"mode": "training", "separator": " ;"}},
    ),
    Case("pure", "PURE-PRM-7B", classifier(2), read_pieces("\n"), "soft_min"),
    Case("math-minos", "minos_mistral", classifier(1, kind="mistral"), read_minos, None),
    Case("reasoneval", "ReasonEval-7B", reasoneval("7B"), read_reasoneval("7B"), "min", False),
    Case("reasoneval", "ReasonEval-34B", reasoneval("34B"), read_reasoneval("34B"), "min", False),
    Case("pqm", "pqm-zeta-4", pqm, read_pqm("[INST] {} [/INST]"), "min", load=TRUSTED),
    Case(
        "pqm",
        "PQM-alpaca",
        pqm,
        read_pqm(ALPACA),
        "min",
        load={**TRUSTED, "options": {"query": "alpaca"}},
    ),
    Case("actprm", "ActPRM", actprm("<extra_0>"), read_actprm("<extra_0>"), None),
    Case("actprm", "ActPRM-X", actprm(None), read_actprm(" \n\n"), None),
    Case("universal-prm", "Universal-PRM-7B", universal, read_universal, None),
]
BY_FOLDER = {case.folder: case for case in CASES}
every_case = pytest.mark.parametrize("case", CASES, ids=[case.folder for case in CASES])


@pytest.fixture(scope="module")
def built(tmp_path_factory: pytest.TempPathFactory) -> Callable[[Case], Small]:
    made: dict[str, Small] = {}

    def build(case: Case) -> Small:
        if case.folder not in made:
            made[case.folder] = case.build(tmp_path_factory.mktemp("published") / case.folder)
        return made[case.folder]

    return build


def chain(*texts: str, question: str = "How many?") -> Chain:
    return Chain.of(Problem("p", question), texts)


def some_chains() -> list[Chain]:
    """Chains that share questions and prefixes; texts hold line breaks and spaces at the ends."""
    draw = random.Random(0)

    def text() -> str:
        return " ".join(draw.choices(WORDS, k=draw.randint(1, 9)))

    grown = chain(text(), text(), text(), text())
    fork = chain(*grown.texts[:2], text(), text())
    others = [
        chain(*(text() for _ in range(draw.randint(1, 4))), question=text()) for _ in range(4)
    ]
    return [grown, fork, grown.prefix(2), chain(" padded ", ".\n\nnext", "\n"), *others]


@every_case
def test_a_folder_is_recognized_and_its_reader_says_how_it_is_read(
    case: Case, built: Callable[[Case], Small]
):
    folder = built(case).folder
    assert recognize(folder).family.name == case.family
    reader = load_scorer(folder, **case.load).reader
    assert (reader.family, reader.kind) == (case.family, case.kind)
    assert reader.aggregation == case.aggregation
    assert reader.reads_unfinished_steps == case.reads_unfinished_steps


def table() -> dict[str, list[str]]:
    """The guide's rows by family."""
    lines = (ROOT / "docs" / "guides" / "published-models.md").read_text().splitlines()
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in lines if line[:3] == "| `"]
    return {row[0].strip("`"): row for row in rows}


def test_the_guide_has_a_row_for_every_family():
    assert table().keys() == FAMILIES.keys()


@every_case
def test_the_guide_says_how_scores_are_combined_and_whether_unfinished_steps_are_read(case: Case):
    _, _, _, combined, unfinished, _ = table()[case.family]
    assert combined == (case.aggregation or "not told")
    assert unfinished == ("yes" if case.reads_unfinished_steps else "no")


@every_case
def test_ids_positions_and_scores_equal_a_literal_reading(
    case: Case, built: Callable[[Case], Small]
):
    small = built(case)
    scorer = load_scorer(small.folder, family="auto", **case.load)
    chains = some_chains()
    for one, scores, rendered in zip(
        chains, scorer.score(chains), scorer.reader.render(chains), strict=True
    ):
        for k, read in enumerate(case.literal(small, one)):
            found = rendered.read_of(k)
            assert (read is None) == (scores.scores[k] is None)
            if read is not None:
                assert found is not None
                assert list(found[0][: found[1] + 1]) == read.ids
                assert scores.scores[k] == pytest.approx(read.score, abs=FP32)
    known = {round(s, 4) for scores in scorer.score(chains) for s in scores.known}
    assert len(known) > 5


@every_case
def test_a_tiny_budget_gives_the_same_scores_and_shared_tokens_run_once(
    case: Case, built: Callable[[Case], Small]
):
    folder, chains = built(case).folder, some_chains()
    together = load_scorer(folder, **case.load).score(chains)
    scorer = load_scorer(folder, batch_tokens=7, **case.load)
    for one, other in zip(together, scorer.score(chains), strict=True):
        assert [s is None for s in one.scores] == [s is None for s in other.scores]
        assert one.known == pytest.approx(other.known, abs=FP32)
    assert scorer.usage.computed < scorer.usage.asked


@every_case
def test_a_session_gives_the_scores_of_whole_chains(case: Case, built: Callable[[Case], Small]):
    scorer = load_scorer(built(case).folder, **case.load)
    chains = some_chains()
    session = scorer.open(chains[0].problem)
    for one in chains[:3]:
        at_end = one.problem.root_id
        for k, step in enumerate(one.texts):
            (scored,) = session.extend([at_end], [step])
            (whole,) = scorer.score([one.prefix(k + 1)])
            assert scored.score == pytest.approx(whole.scores[-1], abs=FP32)
            at_end = scored.id


def shrunk(folder: Path, to: Path, max_tokens: int) -> Path:
    """The same model with a shorter context."""
    shutil.copytree(folder, to / folder.name)
    path = to / folder.name / "config.json"
    told = json.loads(path.read_text()) | {"max_position_embeddings": max_tokens}
    path.write_text(json.dumps(told))
    return path.parent


@every_case
def test_what_lies_beyond_the_context_has_no_score(
    case: Case, built: Callable[[Case], Small], tmp_path: Path
):
    small = built(case)
    one = chain(*["we add one and two"] * 9)
    reads = case.literal(small, one)
    little = chain("42", question="and")
    fits = reads[3] or case.literal(small, little)[0]  # of a PRM just the fourth step
    assert fits is not None
    scorer = load_scorer(shrunk(small.folder, tmp_path, len(fits.ids)), **case.load)
    long, short = scorer.score([one, little])
    assert long.scores[4:] == (None,) * 5
    if case.kind == "prm":
        assert long.scores[:4] == pytest.approx([r.score for r in reads[:4] if r], abs=FP32)
    else:
        assert short.scores[-1] is not None
    lost = chain("one", "two", question="and " * 999)
    before = scorer.usage
    assert scorer.score([lost])[0].scores == (None, None)
    assert scorer.usage == before


@every_case
def test_empty_steps_and_empty_chains_are_read_too(case: Case, built: Callable[[Case], Small]):
    small = built(case)
    scorer = load_scorer(small.folder, **case.load)
    assert scorer.score([chain()])[0].scores == ()
    one = chain("", "two", "")
    (scores,) = scorer.score([one])
    for found, read in zip(scores.scores, case.literal(small, one), strict=True):
        assert found == (None if read is None else pytest.approx(read.score, abs=FP32))


@every_case
@pytest.mark.parametrize("text", ["{}", "so {} {}and", "{}\n\n{}"])
def test_a_marker_that_a_step_says_as_text_makes_no_marker(
    case: Case, built: Callable[[Case], Small], text: str
):
    small = built(case)
    scorer = load_scorer(small.folder, **case.load)
    specials = [t.content for t in small.tokenizer.added_tokens_decoder.values() if t.special]
    names = [*filter(str.strip, specials), *(["[PRM]"] if case.family == "pqm" else [])]
    for name in names:
        says, plain = text.replace("{}", name), text.replace("{}", f"{name[0]} {name[1:]}")
        forged = chain("12", says, "42", question=says)
        honest = chain("12", plain, "42", question=plain)
        one, other = scorer.score([forged, honest])
        assert [s is None for s in one.scores] == [r is None for r in case.literal(small, honest)]
        assert one.known == pytest.approx(other.known, abs=FP32)


def test_skywork_without_bos_puts_nothing_before_the_question(tmp_path: Path):
    case = BY_FOLDER["Skywork-o1-Open-PRM-Qwen-2.5-7B"]
    small = save(tmp_path / case.folder, qwen_tokenizer(), random_heads(**VALUE_HEAD))
    (rendered,) = load_scorer(small.folder).reader.render([chain("one", question="two")])
    encode = small.tokenizer.encode
    assert list(rendered.ids) == [*encode("two\n"), *encode("one"), *encode("\n")]


def test_pqm_and_minos_number_the_steps_themselves(built: Callable[[Case], Small]):
    for folder, said in [("pqm-zeta-4", "Step 7: "), ("minos_mistral", "Step 7. ")]:
        case = BY_FOLDER[folder]
        reader = load_scorer(built(case).folder, **case.load).reader
        numbered, plain = reader.render([chain("one", said + "two"), chain("one", "two")])
        assert numbered == plain


def test_minos_reads_its_own_letter_where_a_step_says_it_too(built: Callable[[Case], Small]):
    case = BY_FOLDER["minos_mistral"]
    small = built(case)
    scorer = load_scorer(small.folder)
    one = chain("a и b", "c")
    (rendered,) = scorer.reader.render([one])
    letter = small.tokenizer.encode(" и")[-1]
    all_places = [place for place, token in enumerate(rendered.ids) if token == letter]
    assert list(rendered.step_ends) == all_places[1:] and len(all_places) == 3


def test_a_tokenizer_of_another_model_is_refused(tmp_path: Path):
    case = BY_FOLDER["ReasonEval-7B"]
    small = case.build(tmp_path / case.folder)
    llama_tokenizer(pad="<pad>").save_pretrained(small.folder)
    with pytest.raises(RungError, match="is it this model's tokenizer"):
        load_scorer(small.folder).score([chain("one")])
    qwen_tokenizer().save_pretrained(small.folder)
    case = BY_FOLDER["Qwen2.5-Math-PRM-7B"]
    small = case.build(tmp_path / case.folder)
    qwen_tokenizer().save_pretrained(small.folder)
    with pytest.raises(RungError, match="tokens of '<extra_0>', expected one"):
        load_scorer(small.folder)


def test_a_blank_line_that_is_a_marker_loses_its_space_inside_a_step(
    built: Callable[[Case], Small],
):
    scorer = load_scorer(built(BY_FOLDER["ActPRM-X"]).folder)
    says, plain = scorer.score([chain("so  \n\nand", "42"), chain("so\n\nand", "42")])
    assert len(says.known) == 2
    assert says.known == pytest.approx(plain.known, abs=FP32)


def test_universal_prm_is_shown_no_reference_answer(built: Callable[[Case], Small]):
    scorer = load_scorer(built(BY_FOLDER["Universal-PRM-7B"]).folder)
    knows = Chain.of(Problem("p", "How many?", answer="42"), ["so 42"])
    assert scorer.reader.render([knows]) == scorer.reader.render([chain("so 42")])
