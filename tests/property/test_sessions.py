"""Sessions of every family: on any tree, whatever is dropped or forgotten, full passes' scores."""

from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import published_heads
import published_lms
from conftest import TinyReward
from rung import Chain, Problem, RungError
from rung.model.families import FAMILIES
from rung.score import load_implicit, load_scorer
from rung.score.others import OTHERS
from tiny_lms import save_implicit

TOLERANCE = 1e-4
PROBLEM = Problem("p", "How many apples and how many pears are there?")
TEXTS = [
    "we add one and two",
    "",
    "so 12 + 30 = 42 ки",
    "one\n\nand",
    " two<|im_end|>",
    "Step 3: 42",
]
CAPS_MIB = [None, 0.0, 0.01]
"""Of keys and values: all of them, none, and 40 or 80 tokens', less than a tree's."""
MOVES = st.lists(
    st.tuples(st.integers(0, 20), st.integers(0, len(TEXTS) - 1), st.booleans()),
    min_size=1,
    max_size=6,
)
Load = Callable[[Path], Any]


def head(case: published_heads.Case, folder: Path) -> Any:
    small = case.build(folder / case.folder)
    return load_scorer(small.folder, family=case.family, **case.load)


def lm(name: str, folder: Path) -> Any:
    family = published_lms.CASES[name].family
    return load_scorer(published_lms.build(name, folder), family=family)


PUBLISHED: dict[str, Load] = {
    **{case.folder: partial(head, case) for case in published_heads.CASES},
    **{name: partial(lm, name) for name in published_lms.CASES},
    "implicit of rung": lambda folder: load_implicit(save_implicit(folder)),
}
NAMES = ["rung prm", "rung orm", *PUBLISHED]


@pytest.fixture(scope="module")
def scorers(tmp_path_factory: pytest.TempPathFactory, tiny_reward: TinyReward) -> Mapping[str, Any]:
    found = {name: load(tmp_path_factory.mktemp("m") / "m") for name, load in PUBLISHED.items()}
    return found | {f"rung {kind}": load_scorer(tiny_reward(kind)) for kind in ("prm", "orm")}


@pytest.fixture(scope="module")
def full_passes() -> dict[tuple[str, str], float | None]:
    """What was scored whole already: trees of a few texts meet again and again."""
    return {}


def test_every_family_is_tried(scorers: Mapping[str, Any]):
    assert {scorer.family for scorer in scorers.values()} == {*FAMILIES, "implicit"}
    assert {*OTHERS} == {"implicit", "genprm", "thinkprm"}  # the last two refuse: test_generative


@pytest.mark.parametrize("name", NAMES)
@given(moves=MOVES, cap_mib=st.sampled_from(CAPS_MIB))
@settings(max_examples=6, deadline=None)
def test_any_tree_scores_as_full_passes_do(
    scorers: Mapping[str, Any],
    full_passes: dict[tuple[str, str], float | None],
    name: str,
    moves: list[tuple[int, int, bool]],
    cap_mib: float | None,
):
    scorer = scorers[name]

    def full(chain: Chain) -> float | None:
        key = (name, chain.prefix_id)
        if key not in full_passes:
            full_passes[key] = scorer.score([chain])[0].scores[-1]
        return full_passes[key]

    session = scorer.open(PROBLEM, max_kept_mib=cap_mib)
    live = [PROBLEM.root_id]
    for where, what, is_dropped in moves:
        parent = live[where % len(live)]
        texts = [TEXTS[what], TEXTS[(what + 1) % len(TEXTS)]]
        found = session.extend([parent, parent], texts)
        for step in found:
            assert_equal(step.score, full(session.chain(step.id)))
        if cap_mib == 0:
            assert session.kept_tokens == 0
        assert_peeks_are_full_passes_or_refused(scorer, session, found[0].id, full)
        live += [step.id for step in found if step.id not in live]
        if is_dropped and len(live) > 1:
            gone = live.pop(1 + where % (len(live) - 1))
            session.drop([gone])
    session.drop(live)
    assert session.kept_tokens == 0


def assert_peeks_are_full_passes_or_refused(
    scorer: Any, session: Any, prefix_id: str, full: Callable[[Chain], float | None]
) -> None:
    part = "so 12 +"
    if scorer.reads_unfinished_steps:
        [look] = session.peek([prefix_id], [part])
        assert_equal(look.score, full(session.chain(prefix_id).extend(part)))
        return
    with pytest.raises(RungError, match="can't score a step before it ends"):
        session.peek([prefix_id], [part])


def assert_equal(score: float | None, expected: float | None) -> None:
    assert score == (None if expected is None else pytest.approx(expected, abs=TOLERANCE))


@pytest.mark.parametrize("name", NAMES)
def test_scores_of_a_tree_differ(scorers: Mapping[str, Any], name: str):
    """Or the property above would show nothing."""
    chains = [Chain.of(PROBLEM, [one, other]) for one in TEXTS for other in TEXTS]
    found = [scores.scores[-1] for scores in scorers[name].score(chains)]
    known = [score for score in found if score is not None]
    assert len({round(score, 3) for score in known}) > 5
