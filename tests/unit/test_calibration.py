"""Calibration maps: equal to scikit-learn's, never turning an order round, refused when wrong."""

from pathlib import Path

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from sklearn.isotonic import IsotonicRegression
from sklearn.metrics import log_loss

from rung import Chain, InputError, Problem, RungError, Scorer, StepScores
from rung.score import CalibratedScorer, Isotonic, Temperature, fit_isotonic, fit_temperature
from rung.score.calibration import FittedMaps, load_maps, save_maps

GRID = np.linspace(0, 1, 1001)


def overconfident(count: int, seed: int = 0, *, sharpness: float = 3.0):
    """Scores whose logits are `sharpness` times the true ones, with labels drawn from the truth."""
    rng = np.random.default_rng(seed)
    logits = rng.normal(0.3, 1.5, count)
    labels = (rng.random(count) < 1 / (1 + np.exp(-logits))).astype(float)
    return 1 / (1 + np.exp(-sharpness * logits)), labels


def test_the_temperature_is_the_one_with_the_least_log_loss():
    scores, labels = overconfident(500)
    logits = np.log(scores / (1 - scores))

    def loss(slope: float) -> float:
        return log_loss(labels, 1 / (1 + np.exp(-slope * logits)))

    best = minimize_scalar(loss, bounds=(0.01, 10), method="bounded", options={"xatol": 1e-10})
    assert 1 / fit_temperature(scores, labels).temperature == pytest.approx(best.x, rel=1e-5)


def test_the_temperature_that_spoiled_the_scores_is_found_again():
    scores, labels = overconfident(200_000)
    assert fit_temperature(scores, labels).temperature == pytest.approx(3.0, rel=0.03)


def test_calibrated_scores_stay_as_they_are():
    scores, labels = overconfident(200_000, sharpness=1.0)
    temperature, isotonic = fit_temperature(scores, labels), fit_isotonic(scores, labels)
    assert temperature.temperature == pytest.approx(1.0, rel=0.03)
    middle = GRID[50:951]
    assert np.abs(isotonic(middle) - middle).max() < 0.05
    assert Temperature(1.0)(GRID) == pytest.approx(GRID, abs=1e-8)


@pytest.mark.parametrize("decimals", [2, 12])
@pytest.mark.parametrize("is_soft", [False, True])
def test_the_isotonic_map_equals_scikit_learns(decimals: int, is_soft: bool):
    for seed in range(20):
        scores, labels = overconfident(150, seed)
        scores = scores.round(decimals)  # with 2 decimals most scores are tied
        labels = np.random.default_rng(seed).beta(1 + labels, 2 - labels) if is_soft else labels
        theirs = IsotonicRegression(y_min=0, y_max=1, out_of_bounds="clip").fit(scores, labels)
        assert fit_isotonic(scores, labels)(GRID) == pytest.approx(theirs.predict(GRID), abs=1e-9)


def test_no_map_turns_the_order_of_two_scores_round():
    for seed in range(5):
        scores, labels = overconfident(100, seed)
        for fitted in (fit_temperature(scores, labels), fit_isotonic(scores, labels)):
            assert (np.diff(fitted(GRID)) >= 0).all()
            assert fitted(GRID).min() >= 0 and fitted(GRID).max() <= 1


def test_labels_against_the_scores_give_maps_that_say_little():
    scores = np.array([0.1, 0.2, 0.8, 0.9])
    labels = np.array([1.0, 1.0, 0.0, 0.0])
    assert fit_temperature(scores, labels)(scores) == pytest.approx(0.5, abs=0.01)
    assert fit_isotonic(scores, labels)(scores) == pytest.approx(0.5)


def test_steps_that_are_told_apart_give_a_sharp_map():
    scores, labels = np.array([0.4, 0.45, 0.55, 0.6]), np.array([0.0, 0.0, 1.0, 1.0])
    assert fit_temperature(scores, labels)(scores) == pytest.approx(labels, abs=1e-6)
    assert fit_isotonic(scores, labels)(scores) == pytest.approx(labels)


def test_scores_of_zero_and_one_have_probabilities():
    scores, labels = np.array([0.0, 0.0, 1.0, 1.0]), np.array([0.0, 1.0, 1.0, 1.0])
    assert np.isfinite(fit_temperature(scores, labels)(scores)).all()
    assert fit_isotonic(scores, labels)(scores).tolist() == [0.5, 0.5, 1.0, 1.0]


@pytest.mark.parametrize("fit", [fit_temperature, fit_isotonic])
@pytest.mark.parametrize("label", [0.0, 1.0])
def test_labels_of_one_kind_are_refused(fit, label: float):
    with pytest.raises(RungError, match="needs right and wrong ones"):
        fit(np.array([0.2, 0.7]), np.full(2, label))
    with pytest.raises(RungError, match="the 0 labeled steps"):
        fit(np.array([]), np.array([]))


class Fixed:
    name, kind, weights_hash, fingerprint = "prm", "prm", "abc", ("prm", "abc")

    def score(self, chains):
        return [StepScores((0.5, None, 0.9)[: len(c.steps)], "prm", "abc") for c in chains]


def test_a_calibrated_scorer_says_so_and_leaves_none_alone():
    scorer = CalibratedScorer(Fixed(), "temperature", Temperature(2.0))
    assert isinstance(scorer, Scorer)
    [found] = scorer.score([Chain.of(Problem("p", "q"), ["a", "b", "c"])])
    assert found.scores == (pytest.approx(0.5), None, pytest.approx(0.75))
    assert (found.scorer, found.weights_hash) == ("prm+temperature", "abc")
    other = CalibratedScorer(Fixed(), "temperature", Temperature(2.5))
    assert scorer.fingerprint != other.fingerprint
    [none] = scorer.score([Chain.of(Problem("p", "q"), [])])
    assert none.scores == ()
    with pytest.raises(RungError, match=r"prm\+temperature has no sessions: open one of"):
        scorer.open(Problem("p", "q"))


def maps() -> FittedMaps:
    return FittedMaps(
        weights_hash="abc",
        label_source="human",
        num_steps=4,
        temperature=Temperature(1.5),
        isotonic=Isotonic((0.1, 0.9), (0.25, 0.75)),
    )


def test_maps_come_back_as_they_were_saved(tmp_path: Path):
    save_maps(maps(), tmp_path)
    assert load_maps(tmp_path, "abc") == maps() == load_maps(tmp_path, None)


def test_maps_of_other_weights_are_refused(tmp_path: Path):
    save_maps(maps(), tmp_path)
    with pytest.raises(InputError, match="fitted to the weights abc, those here are xyz"):
        load_maps(tmp_path, "xyz")


def test_missing_maps_say_what_makes_them(tmp_path: Path):
    with pytest.raises(InputError, match="'rung calibrate' makes it"):
        load_maps(tmp_path, "abc")


@pytest.mark.parametrize(
    ("old", "new", "words"),
    [
        ('"temperature": 1.5', '"temperature": 0', "expected a number above 0"),
        ('"temperature": 1.5', '"temperature": "hot"', "this is no calibration"),
        ("0.75", "1.75", "outside"),
        ("0.75", "0.05", "the values fall"),
        ('"version": 1', '"version": 7', "version 7"),
        ("{", "", "this is no calibration"),
    ],
)
def test_damaged_maps_are_refused(tmp_path: Path, old: str, new: str, words: str):
    save_maps(maps(), tmp_path)
    file = tmp_path / "calibration.json"
    file.write_text(file.read_text().replace(old, new, 1))
    with pytest.raises(InputError, match=words):
        load_maps(tmp_path, "abc")
