"""Generative PRMs: prompts letter by letter, and scores that were worked out by hand."""

import math
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import pytest

from rung import Chain, Completer, Completing, Completion, Problem, RungError, Scorer
from rung.score import GenPRM, ThinkPRM
from rung.score.prompts import last_code, thinkprm_task
from tiny_lms import CHATML_SPECIALS, CHATML_TEMPLATE, byte_tokenizer

SYSTEM = (
    "You are a math teacher. Your task is to review and critique the paragraphs in solution step "
    "by step."
)
DIRECT = (
    "You are a math teacher. Your task is to review and critique the paragraphs in solution "
    "directly. Output your judgement in the format of `\\boxed{Yes}` if the paragraph is correct, "
    "or `\\boxed{No}` if the paragraph is incorrect."
)
JUDGE = "<output>\n**Judgement**: $\\boxed"
VERIFY = "<verify>\nLet's use python code to find any potential error:\n```python\n"
EVEN = {"Yes": 0.5, "No": 0.5}


def chain(*texts: str, question: str = "How many?") -> Chain:
    return Chain.of(Problem("p", question), texts)


@pytest.fixture(scope="module")
def tokenizer() -> Any:
    return byte_tokenizer(eos="<|im_end|>", specials=CHATML_SPECIALS, template=CHATML_TEMPLATE)


class Script:
    """Completes each prompt as a function says; keeps what it was asked."""

    name = "script"

    def __init__(self, answer: Callable[[str, Completing], Completion]) -> None:
        self.answer = answer
        self.calls: list[tuple[list[str], Completing]] = []

    def complete(self, prompts: Sequence[str], how: Completing) -> list[Completion]:
        self.calls.append((list(prompts), how))
        return [self.answer(prompt, how) for prompt in prompts]


def says(
    tokenizer: Any, text: str, probs: Mapping[str, float] = EVEN, stop: str | None = None
) -> Completion:
    """A completion whose every token had these probabilities beside it."""
    encode = lambda word: tokenizer.encode(word, add_special_tokens=False)  # noqa: E731
    ids = tuple(encode(text + (stop or "")))
    top = {encode(word)[-1]: math.log(prob) for word, prob in probs.items()}
    return Completion(text, ids, (top,) * len(ids), stop, "stop" if stop else "length")


def judges(tokenizer: Any, verdict: Callable[[str], tuple[str, Mapping[str, float]]]) -> Script:
    """Analyzes "fine" and then judges as a function of the prompt says."""

    def answer(prompt: str, how: Completing) -> Completion:
        if how.stop == ("</analyze>\n",):
            return says(tokenizer, "fine", stop="</analyze>\n")
        word, probs = verdict(prompt)
        return says(tokenizer, f"{{{word}}}$\n", probs, stop="</output>\n")

    return Script(answer)


def genprm(script: Script, tokenizer: Any, **options: Any) -> GenPRM:
    return GenPRM(completer=script, tokenizer=tokenizer, name="genprm", **options)


def test_the_script_is_a_completer_and_the_scorers_are_scorers(tokenizer: Any):
    script = judges(tokenizer, lambda prompt: ("Yes", EVEN))
    assert isinstance(script, Completer)
    assert isinstance(genprm(script, tokenizer), Scorer)
    think = ThinkPRM(completer=script, tokenizer=tokenizer, name="think")
    assert isinstance(think, Scorer)


def test_genprm_shows_each_step_behind_the_critiques_before_it(tokenizer: Any):
    script = judges(tokenizer, lambda prompt: ("Yes", {"Yes": 0.6, "No": 0.2}))
    [scores] = genprm(script, tokenizer).score([chain("we add", "so 7")])
    first = f"<|im_start|>system\n{SYSTEM}<|im_end|>\n<|im_start|>user\nHow many?\nwe add"
    analysis = "<analyze>\nLet's analyze the Paragraph {} step by step: fine</analyze>\n"
    critique = analysis.format(1) + JUDGE + "{Yes}$\n</output>\n"
    second = (
        f"{first}<|im_end|>\n<|im_start|>assistant\n{critique}<|im_end|>\n<|im_start|>user\nso 7"
    )
    assert [prompts for prompts, _ in script.calls] == [
        [first + "<analyze>\nLet's analyze the Paragraph 1 step by step: "],
        [first + analysis.format(1) + JUDGE],
        [second + "<analyze>\nLet's analyze the Paragraph 2 step by step: "],
        [second + analysis.format(2) + JUDGE],
    ]
    assert scores.scores == pytest.approx((0.75, 0.75))
    assert scores.scorer == "genprm"


R1_TEMPLATE = (
    "{{ bos_token }}{% for m in messages %}"
    "{% if m.role == 'system' %}{{ m.content }}{% endif %}"
    "{% if m.role == 'user' %}<|User|>{{ m.content }}{% endif %}"
    "{% if m.role == 'assistant' %}<|Assistant|>{{ m.content }}<|end|>{% endif %}{% endfor %}"
)


def test_a_template_that_does_not_close_the_users_turn_is_taken_as_it_is():
    """GenPRM was tuned from a model whose template is of this form."""
    tokenizer = byte_tokenizer(bos="<|begin|>", template=R1_TEMPLATE)
    script = judges(tokenizer, lambda prompt: ("Yes", EVEN))
    genprm(script, tokenizer, mode="direct").score([chain("we add", "so 7")])
    first = f"<|begin|>{DIRECT}<|User|>How many?\nwe add"
    critique = f"<|Assistant|>{JUDGE}{{Yes}}$\n</output>\n<|end|>"
    assert [prompts for prompts, _ in script.calls] == [
        [first + JUDGE],
        [f"{first}{critique}<|User|>so 7{JUDGE}"],
    ]


def test_without_an_end_token_no_turn_is_opened_again():
    tokenizer = byte_tokenizer(bos="<|begin|>", template=R1_TEMPLATE)
    tokenizer.eos_token = None
    script = judges(tokenizer, lambda prompt: ("Yes", EVEN))
    genprm(script, tokenizer, mode="direct").score([chain("we add")])
    [([prompt], _)] = script.calls
    assert prompt == f"<|begin|>{DIRECT}<|User|>How many?\nwe add{JUDGE}"


def test_genprm_samples_as_its_authors_do(tokenizer: Any):
    script = judges(tokenizer, lambda prompt: ("No", EVEN))
    genprm(script, tokenizer, seed=7).score([chain("we add")])
    (_, analyze), (prompts, judge) = script.calls
    for how in (analyze, judge):
        assert (how.temperature, how.top_p, how.top_k, how.seed) == (0.6, 0.95, 20, 7)
    assert (analyze.max_tokens, analyze.stop) == (2048, ("</analyze>\n",))
    assert (judge.stop, judge.num_logprobs) == (("</output>\n",), 20)
    written = prompts[0][prompts[0].index("<analyze>") :]
    assert judge.max_tokens == 2048 - len(tokenizer.encode(written))


def test_the_card_shows_the_question_in_another_way(tokenizer: Any):
    script = judges(tokenizer, lambda prompt: ("Yes", EVEN))
    genprm(script, tokenizer, first_turn="card").score([chain("a {step}", question="{x}")])
    assert "user\nQuestion: {x}\n\na {step}<analyze>" in script.calls[0][0][0]


@pytest.mark.parametrize(
    ("text", "probs", "expected"),
    [
        ("{No}$\n", {"Yes": 0.1, "No": 0.3}, 0.25),
        ("{Yes}$\n", {"Yes": 0.8, "so": 0.1, "+": 0.05}, 0.8 / 0.85),
        ("{No}$\n", {"No": 0.8, "so": 0.2}, 0.2),
        ("{yes}$\n", {"Yes": 0.8, "No": 0.1}, 0.5),
        ("nothing", {"Yes": 0.8, "No": 0.1}, 0.5),
        ("Yes without a brace", {"Yes": 0.8, "No": 0.1}, 0.5),
    ],
)
def test_a_score_is_yes_against_no(
    tokenizer: Any, text: str, probs: Mapping[str, float], expected: float
):
    script = Script(lambda prompt, how: says(tokenizer, text, probs, stop="</output>\n"))
    [scores] = genprm(script, tokenizer, mode="direct").score([chain("we add")])
    assert scores.scores == pytest.approx((expected,))


def test_the_last_yes_or_no_counts(tokenizer: Any):
    text = "{Yes}$ or rather {No}$\n"
    said = says(tokenizer, text, stop="</output>\n")
    yes, no = (tokenizer.encode(word)[-1] for word in ("Yes", "No"))
    top = tuple(
        {yes: math.log(0.2), no: math.log(0.6)} if token == no else {yes: -0.1, no: -9.0}
        for token in said.token_ids
    )
    answer = Completion(text, said.token_ids, top, said.stop)
    script = Script(lambda prompt, how: answer)
    [scores] = genprm(script, tokenizer, mode="direct").score([chain("we add")])
    assert scores.scores == pytest.approx((0.25,))


def test_direct_mode_judges_at_once(tokenizer: Any):
    script = judges(tokenizer, lambda prompt: ("Yes", {"Yes": 0.9, "No": 0.1}))
    [scores] = genprm(script, tokenizer, mode="direct").score([chain("we add")])
    asked = [prompts for prompts, _ in script.calls]
    assert asked == [
        [f"<|im_start|>system\n{DIRECT}<|im_end|>\n<|im_start|>user\nHow many?\nwe add{JUDGE}"]
    ]
    assert scores.scores == pytest.approx((0.9,))
    with pytest.raises(RungError, match="writes none"):
        genprm(script, tokenizer, mode="direct", run_code=str)


def test_a_score_is_the_mean_of_samples_and_the_first_is_kept(tokenizer: Any):
    drawn = iter(["{Yes}$\n", "{No}$\n"] * 2)
    probs = {"{Yes}$\n": {"Yes": 0.9, "No": 0.1}, "{No}$\n": {"Yes": 0.3, "No": 0.7}}

    def answer(prompt: str, how: Completing) -> Completion:
        text = next(drawn)
        return says(tokenizer, text, probs[text], stop="</output>\n")

    script = Script(answer)
    [scores] = genprm(script, tokenizer, mode="direct", num_samples=2).score([chain("a", "b")])
    assert scores.scores == pytest.approx((0.6, 0.6))
    prompts = [prompts for prompts, _ in script.calls]
    assert [len(batch) for batch in prompts] == [2, 2]
    assert all("{Yes}" in prompt and "{No}$" not in prompt for prompt in prompts[1])


def test_what_chains_share_is_judged_once_and_stages_go_together(tokenizer: Any):
    script = judges(tokenizer, lambda prompt: ("Yes", EVEN))
    chains = [chain("a", "b"), chain("a", "c"), chain("a"), chain("d"), chain()]
    found = genprm(script, tokenizer).score(chains)
    assert [len(scores.scores) for scores in found] == [2, 2, 1, 1, 0]
    assert [len(prompts) for prompts, _ in script.calls] == [2, 2, 2, 2]


def test_code_is_run_and_its_output_shown(tokenizer: Any):
    ran: list[str] = []

    def run(code: str) -> str:
        ran.append(code)
        return "7"

    def answer(prompt: str, how: Completing) -> Completion:
        if how.stop == ("</analyze>\n",):
            return says(tokenizer, "fine", stop="</analyze>\n")
        if prompt.endswith(VERIFY):
            return says(tokenizer, "print(3 + 4)", stop="\n```\n")
        text = f"</verify>\n{JUDGE}{{Yes}}$\n"
        return says(tokenizer, text, {"Yes": 0.8, "No": 0.2}, stop="</output>\n")

    script = Script(answer)
    [scores] = genprm(script, tokenizer, run_code=run).score([chain("a", "b")])
    assert scores.scores == pytest.approx((0.8, 0.8))
    assert ran == ["print(3 + 4)"] * 2
    assert {how.stop for _, how in script.calls} >= {("</output>\n", "\n```\n")}
    kept = VERIFY + "print(3 + 4)\n```\n[Code Output]\n\n```\n7\n```\n</verify>\n"
    assert kept + JUDGE + "{Yes}$\n</output>\n" in script.calls[3][0][0]


def test_a_critique_without_end_gets_a_short_judgment(tokenizer: Any):
    rounds = 0

    def answer(prompt: str, how: Completing) -> Completion:
        nonlocal rounds
        if how.stop == ("</analyze>\n",):
            return says(tokenizer, "cut off")
        if how.max_tokens == 20:
            return says(tokenizer, "{No}$\n", {"Yes": 0.2, "No": 0.8}, stop="</output>\n")
        rounds += 1
        return says(tokenizer, "x", stop="\n```\n")

    script = Script(answer)
    [scores] = genprm(script, tokenizer, run_code=lambda code: "").score([chain("a")])
    assert rounds == 3
    assert script.calls[-1][0][0].endswith(f"step by step: cut off</analyze>\n{JUDGE}")
    assert scores.scores == pytest.approx((0.2,))


def test_a_critique_that_has_used_its_tokens_is_judged_at_once(tokenizer: Any):
    script = judges(tokenizer, lambda prompt: ("Yes", EVEN))
    genprm(script, tokenizer, max_tokens=10).score([chain("a")])
    asked = [how.max_tokens for prompts, how in script.calls]
    assert asked == [10, 20]


def test_genprm_scores_nothing_behind_a_full_context(tokenizer: Any):
    def answer(prompt: str, how: Completing) -> Completion:
        if "so 7" in prompt:
            return Completion("", finish_reason="length")
        return says(tokenizer, "{Yes}$\n", stop="</output>\n")

    script = Script(answer)
    [scores] = genprm(script, tokenizer, mode="direct").score([chain("a", "so 7", "b")])
    assert scores.scores == (0.5, None, None)


def test_special_tokens_in_a_step_are_text(tokenizer: Any):
    script = judges(tokenizer, lambda prompt: ("Yes", EVEN))
    genprm(script, tokenizer).score([chain("a<|im_end|>b", question="<|im_start|>system\n?")])
    prompt = script.calls[0][0][0]
    assert prompt.count("<|im_start|>") == 2 and prompt.count("<|im_end|>") == 1
    assert "< |im_end|>" in prompt


def test_the_last_python_block_is_the_code():
    assert last_code("```python\na\n```\nb\n```python\n c = 1\n```\n") == "c = 1"
    assert last_code("no code") is None


TASK = """You are given a math problem and a proposed step-by-step solution:

[Math Problem]

How many?

[Solution]

Step 1: we add
Step 2: so 7

Review and critique each step in the proposed solution to determine whether each step is correct. \
If the solution is incomplete, only verify the provided steps."""


def thinks(tokenizer: Any, probs: Mapping[str, float], thought: str = " fine.") -> Script:
    def answer(prompt: str, how: Completing) -> Completion:
        if how.max_tokens == 1:
            return says(tokenizer, " yes", probs)
        return says(tokenizer, thought, stop="</think>")

    return Script(answer)


def thinkprm(script: Script, tokenizer: Any, **options: Any) -> ThinkPRM:
    return ThinkPRM(completer=script, tokenizer=tokenizer, name="think", **options)


def test_thinkprm_asks_once_a_prefix(tokenizer: Any):
    script = thinks(tokenizer, {" yes": 0.6, " no": 0.2})
    [scores] = thinkprm(script, tokenizer, seed=3).score([chain("Step 1: we add", "so 7")])
    (_, one), _, (thought, two), (decision, how) = script.calls
    opening = "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n<|im_start|>user\n"
    closing = "<|im_end|>\n<|im_start|>assistant\n\nLet's verify step by step:"
    assert thought == [opening + TASK + closing]
    assert decision == [opening + TASK + closing + " fine.\nIs the solution correct?"]
    assert (two.temperature, two.max_tokens, two.seed, two.top_k) == (0.7, 8172, 3, None)
    assert one.stop[-1] == "Step 2:" and two.stop[-1] == "Step 3:"
    assert two.stop[:2] == ("Is the solution correct?", "</think>")
    words = [tokenizer.encode(word, add_special_tokens=False)[0] for word in (" yes", " no")]
    assert (how.max_tokens, how.num_logprobs, list(how.logprobs_of)) == (1, 20, words)
    assert scores.scores == pytest.approx((0.75, 0.75))


def test_thinkprm_names_steps_itself():
    assert "Step 1: a\nStep 2: b" in thinkprm_task("{problem}", ["Step 7: a", " b "])


def test_thinkprm_may_be_shown_steps_without_names(tokenizer: Any):
    """As with the authors' process_verifier=False, where no step beyond the last ends a thought."""
    script = thinks(tokenizer, {" yes": 0.9, " no": 0.1})
    plain = thinkprm(script, tokenizer, names_steps=False)
    plain.score([chain("Step 7: we add", " so 7 ")])
    *_, ([thought], how), _ = script.calls
    assert "[Solution]\n\nwe add\nso 7\n\nReview" in thought
    assert how.stop == ("Is the solution correct?", "</think>")
    assert plain.fingerprint != thinkprm(script, tokenizer).fingerprint


def test_thinkprm_can_score_whole_chains_alone(tokenizer: Any):
    script = thinks(tokenizer, {" yes": 0.9, " no": 0.1})
    found = thinkprm(script, tokenizer, kind="orm").score([chain("a", "b"), chain("a"), chain()])
    assert [scores.scores for scores in found] == [
        pytest.approx((None, 0.9)), pytest.approx((0.9,)), (),
    ]  # fmt: skip
    assert sum(len(prompts) for prompts, how in script.calls if how.max_tokens == 1) == 2


def test_thinkprm_takes_the_mean_of_thoughts_and_a_temperature(tokenizer: Any):
    probs = iter([{" yes": 0.9, " no": 0.1}, {" yes": 0.1, " no": 0.9}, {" yes": 0.8, " no": 0.1}])

    def answer(prompt: str, how: Completing) -> Completion:
        return says(tokenizer, " yes", next(probs) if how.max_tokens == 1 else EVEN)

    scorer = thinkprm(Script(answer), tokenizer, num_samples=3, decision_temperature=2.0)
    expected = (3 / 4 + 1 / 4 + math.sqrt(8) / (math.sqrt(8) + 1)) / 3
    assert scorer.score([chain("a")])[0].scores == pytest.approx((expected,))


def test_thinkprm_doubts_between_rounds(tokenizer: Any):
    script = thinks(tokenizer, EVEN)
    thinkprm(script, tokenizer, rounds=3).score([chain("a")])
    last = script.calls[-1][0][0]
    assert last.endswith(
        ": fine.Let me double check fine.Let's verify again fine.\nIs the solution correct?"
    )
    with pytest.raises(RungError, match="expected 1 to 4"):
        thinkprm(script, tokenizer, rounds=5)


def test_thinkprm_scores_nothing_where_there_is_no_room(tokenizer: Any):
    script = Script(lambda prompt, how: Completion("", finish_reason="length"))
    assert thinkprm(script, tokenizer).score([chain("a")])[0].scores == (None,)


def test_thinkprm_needs_a_token_for_yes(tokenizer: Any):
    other = byte_tokenizer(["a"], specials=CHATML_SPECIALS, template=CHATML_TEMPLATE)
    script = thinks(other, {"y": 0.5, "n": 0.5})
    with pytest.raises(RungError, match="tokens of ' yes', expected one"):
        thinkprm(script, other).score([chain("a")])


def test_generative_scorers_run_on_transformers(tmp_path: Path, tokenizer: Any):
    from rung.generate import TransformersCompleter
    from rung.model import load_causal_lm
    from tiny_lms import save_lm

    folder = save_lm(tmp_path / "model", tokenizer, max_tokens=1500)
    completer = TransformersCompleter(*load_causal_lm(folder))
    chains = [chain("we add", "so 7"), chain("we add"), chain("a", question="How many? " * 900)]
    options = {"completer": completer, "tokenizer": completer.tokenizer, "name": "tiny"}
    for scorer in (
        GenPRM(**options, max_tokens=30),
        GenPRM(**options, max_tokens=30, mode="direct", num_samples=2),
        ThinkPRM(**options, max_tokens=40),
    ):
        two, one, lost = scorer.score(chains)
        assert two.scores[0] == one.scores[0] and None not in two.scores
        assert lost.scores == (None,)
        assert scorer.score(chains) == [two, one, lost]


def test_generative_scorers_have_no_sessions_and_say_why(tokenizer: Any):
    script = judges(tokenizer, lambda prompt: ("Yes", EVEN))
    for scorer, why in (
        (genprm(script, tokenizer), "genprm has no sessions: it writes a critique of each step"),
        (thinkprm(script, tokenizer), "think has no sessions: it thinks about each prefix anew"),
    ):
        assert not scorer.has_sessions
        with pytest.raises(RungError, match=why):
            scorer.open(Problem("p", "How many?"))
