"""Formulas are read as people mean them, and nothing that is no formula gets through."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from rung.verify.claims import claim_of
from rung.verify.formula import MAX_FORMULA_CHARS, parse_formula
from rung.verify.theory import read_premises


def written(text: str, *premises: str) -> str:
    return read_premises(premises).read(text).term


@pytest.mark.parametrize(
    ("text", "term"),
    [
        ("p -> q -> r", "(=> |p| (=> |q| |r|))"),
        ("not p and q or r", "(or (and (not |p|) |q|) |r|)"),
        ("p <-> q implies r", "(= |p| (=> |q| |r|))"),
        ("¬p ∧ (q → ⊥)", "(and (not |p|) (=> |q| false))"),
        ("0 < x <= y + 1", "(and (< 0 |x|) (<= |x| (+ |y| 1)))"),
        ("-x^2 + 2*x/3 - 1 = 0", "(= (- (+ (- (* |x| |x|)) (/ (* 2 |x|) 3)) 1) 0)"),
        ("a - b - c != 0.5", "(distinct (- (- |a| |b|) |c|) 0.5)"),
        ("forall x. P(x) -> exists y. R(x, y)",
         "(forall ((|x| Thing)) (=> (|P| |x|) (exists ((|y| Thing)) (|R| |x| |y|))))"),
        ("∀ n: int. n >= 0 or n < 0", "(forall ((|n| Int)) (or (>= |n| 0) (< |n| 0)))"),
        ("abs(x) >= 0", "(>= (abs |x|) 0)"),
        ("(=> p q)", "( => p q )"),
    ],
)  # fmt: skip
def test_infix_is_read_with_the_usual_precedence(text: str, term: str):
    assert written(text) == term


def test_sorts_are_told_by_use_and_by_declarations():
    names = read_premises(["n, m: int", "f: thing -> real", "n > x", "P(a)", "b = a", "p"]).names
    assert {name: names[name].result for name in "nmxPabp"} == {
        "n": "Int", "m": "Int", "x": "Real", "P": "Bool", "a": "Thing", "b": "Thing", "p": "Bool",
    }  # fmt: skip
    assert names["f"] == (("Thing",), "Real")
    assert read_premises(["(declare-fun g (Int) Bool)"]).names["g"] == (("Int",), "Bool")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("p and", "at character 6"),
        ("p q", "at character 3"),
        ("x + 1", "puts together a number and a proposition"),
        ("p + 1 = 2", "p puts together a proposition and a number"),
        ("P(a, a)", "P takes 1 arguments, not 2"),
        ("x mod 2 = 0", "mod is for integers"),
        ("x ^ 99 = 1", "an exponent of 1 to 8"),
        ("((((x^8)^8)^8)^8)^8 = 1", "terms"),
        ("(and p", "expected a formula at character 2"),
        ("p) (assert false", "at character 2"),
        ("p ? q", "'?' at character 3"),
        ("", "the end"),
        ("(" * 100_000 + "p" + ")" * 100_000, "200001 characters"),
        ("(" * 4000 + "p" + ")" * 4000, "nested"),
        ("(not " * 1500 + "p" + ")" * 1500, "nested"),
        ("not " * 2000 + "p", "nested"),
        ("p -> " * 1500 + "p", "nested"),
        ("x" * (MAX_FORMULA_CHARS + 1), "characters"),
    ],
)
def test_what_is_no_formula_is_refused_in_one_clause(text: str, said: str):
    theory = read_premises(["p", "P(a)"])
    with pytest.raises(ValueError) as caught:
        theory.read(text)
    assert said in str(caught.value)
    assert len(str(caught.value)) < 200


def test_a_long_flat_formula_is_no_deep_one():
    assert written(" and ".join(["p"] * 1500)).count("p") == 1500


@given(st.text(alphabet="pqx()+-*/^<>=!&|~,.:¬∧→∀ 0123 andornotforall", max_size=60))
@settings(max_examples=300, deadline=None)
def test_any_text_is_read_or_refused(text: str):
    try:
        parse_formula(text)
        read_premises([]).read(text)
    except ValueError as error:
        assert str(error)


@pytest.mark.parametrize(
    ("text", "claim"),
    [
        ("p -> q", "p -> q"),
        ("1. p -> q", "p -> q"),
        ("Step 2: q [modus ponens, 1]", "q"),
        ("From 1 and 2 we get: therefore, x >= 3.", "x >= 3"),
        ("As `p` holds and `p -> q`, we have `q`.", "q"),
        ("q, by modus ponens", "q"),
        ("0.5 < x", "0.5 < x"),
        ("p, p -> q ⊢ q", "q"),
    ],
)
def test_the_claim_is_found_in_a_step(text: str, claim: str):
    assert claim_of(text) == claim
