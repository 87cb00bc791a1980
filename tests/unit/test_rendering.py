import pytest
import transformers

from rung import Chain, Problem, RungError, Step
from rung.model import Reading, load_tokenizer, render, render_all
from toy_chains import make_toy_trunk

READING = Reading(kind="prm")
CHAIN = Chain.of(Problem("p", "Add 3 and 4."), ["step 0 is good 1", "step 1 is bad 2"])


@pytest.fixture(scope="module")
def tokenizer(tmp_path_factory):
    return load_tokenizer(make_toy_trunk(tmp_path_factory.mktemp("trunk")))


def with_bos(tokenizer):
    tokenizer = transformers.PreTrainedTokenizerFast(tokenizer_object=tokenizer.backend_tokenizer)
    tokenizer.add_special_tokens({"bos_token": "<begin>"})
    return tokenizer


def encode(tokenizer, text):
    return tokenizer.encode(text, add_special_tokens=False)


def test_pieces_are_tokenized_alone_and_scores_stand_at_the_separators(tokenizer):
    shown = render(CHAIN, tokenizer, READING)
    pieces = [CHAIN.problem.question, "\n", CHAIN.texts[0], "\n", CHAIN.texts[1], "\n"]
    assert list(shown.ids) == [i for piece in pieces for i in encode(tokenizer, piece)]
    lengths = [len(encode(tokenizer, piece)) for piece in pieces]
    assert shown.step_ends == (sum(lengths[:4]) - 1, sum(lengths) - 1)
    assert shown.num_question_tokens == sum(lengths[:2])
    assert [shown.ids[end] for end in shown.step_ends] == encode(tokenizer, "\n") * 2


def test_text_comes_back_from_the_ids(tokenizer):
    shown = render(CHAIN, tokenizer, READING)
    assert tokenizer.decode(shown.ids) == "\n".join([CHAIN.problem.question, *CHAIN.texts, ""])


def test_a_further_step_changes_no_id_before_it(tokenizer):
    before = render(CHAIN, tokenizer, READING)
    after = render(CHAIN.extend("step 2 is good 3"), tokenizer, READING)
    assert after.ids[: len(before.ids)] == before.ids
    assert after.step_ends[:2] == before.step_ends


def test_bos_stands_first_where_the_tokenizer_has_one(tokenizer):
    without, begun = render(CHAIN, tokenizer, READING), with_bos(tokenizer)
    shown = render(CHAIN, begun, READING)
    assert shown.ids == (begun.bos_token_id, *without.ids)
    assert shown.step_ends == tuple(end + 1 for end in without.step_ends)


def test_a_special_tokens_name_in_a_text_stays_text(tokenizer):
    end = tokenizer.eos_token
    chain = Chain.of(Problem("p", f"What is {end}?"), [f"It is {end}", end])
    shown = render(chain, tokenizer, READING)
    assert tokenizer.eos_token_id not in shown.ids
    assert tokenizer.decode(shown.ids) == f"What is {end}?\nIt is {end}\n{end}\n"


def test_a_special_token_can_be_the_separator(tokenizer):
    end = tokenizer.eos_token
    shown = render(CHAIN, tokenizer, Reading(kind="prm", step_separator=end))
    assert [shown.ids[k] for k in shown.step_ends] == [tokenizer.eos_token_id] * 2


def test_a_step_that_holds_the_separator_is_read_behind_its_end(tokenizer):
    chain = Chain.of(Problem("p", "q"), ["first line\nsecond line\n", "", "last"])
    shown = render(chain, tokenizer, READING)
    assert shown.step_ends[-1] == len(shown.ids) - 1
    assert len(set(shown.step_ends)) == 3
    first = tokenizer.decode(shown.ids[shown.num_question_tokens : shown.step_ends[0] + 1])
    assert first == "first line\nsecond line\n\n"


def test_steps_beyond_the_context_are_lost_whole(tokenizer):
    whole = render(CHAIN, tokenizer, READING)
    room = len(whole.ids) - 1
    shown = render(CHAIN, tokenizer, Reading(kind="prm", max_tokens=room))
    assert shown.step_ends == (whole.step_ends[0], None)
    assert shown.ids == whole.ids[: whole.step_ends[0] + 1]
    assert shown.num_lost == 1


def test_no_step_is_read_behind_one_that_was_lost(tokenizer):
    chain = Chain.of(Problem("p", "q"), ["a very long step that goes on", "b"])
    shown = render(chain, tokenizer, Reading(kind="prm", max_tokens=6))
    assert shown.step_ends == (None, None)


def test_a_question_longer_than_the_context_loses_every_step(tokenizer):
    shown = render(CHAIN, tokenizer, Reading(kind="prm", max_tokens=3))
    assert shown.step_ends == (None, None)
    assert len(shown.ids) == shown.num_question_tokens == 3


def test_what_a_tool_said_belongs_to_its_step(tokenizer):
    chain = Chain(Problem("p", "q"), (Step("run", observation="42"),))
    assert tokenizer.decode(render(chain, tokenizer, READING).ids) == "q\nrun\n42\n"


def test_many_chains_are_rendered_as_each_alone(tokenizer):
    chains = [CHAIN.prefix(1), CHAIN, Chain.of(Problem("r", "Other?"), ["x"])]
    alone = [render(chain, tokenizer, READING) for chain in chains]
    assert render_all(chains, tokenizer, READING) == alone
    assert render_all([], tokenizer, READING) == []


def test_a_separator_without_tokens_is_refused(tokenizer):
    with pytest.raises(RungError, match="no token for the separator ''"):
        render(CHAIN, tokenizer, Reading(kind="prm", step_separator=""))
