"""Published reward models with heads of their own: equal to a slow, literal reading of each."""

import json
import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from published import Small, llama_tokenizer, qwen_tokenizer, random_heads, save
from published_heads import BY_FOLDER, CASES, VALUE_HEAD, Case, read_reasoneval
from rung import Chain, Problem, RungError
from rung.model.families import FAMILIES, recognize
from rung.score import load_scorer

WORDS = ["we", "add", "one", "and", "two", "to", "get", "so", "12", "+", "30", "=", "42", "\n"]
FP32 = 2e-5
ROOT = Path(__file__).resolve().parents[2]

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


def test_reasoneval_s_redundancy_is_low_where_a_step_is_needless(built: Callable[[Case], Small]):
    small = built(BY_FOLDER["ReasonEval-7B"])
    literal = read_reasoneval("7B", score=lambda probabilities: 1 - probabilities[1])
    valid, needed = (
        load_scorer(small.folder, options={"score": score}) for score in ("validity", "redundancy")
    )
    assert valid.fingerprint != needed.fingerprint and needed.aggregation == "min"
    chains = some_chains()
    for one, scores in zip(chains, needed.score(chains), strict=True):
        expected = [read and read.score for read in literal(small, one)]
        assert list(scores.scores) == pytest.approx(expected, abs=FP32)
    assert [x.scores for x in valid.score(chains)] != [x.scores for x in needed.score(chains)]


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
