"""Best-of-n on real model solutions, against the numbers that their sources publish."""

import pytest

from rung.data import load
from rung.eval import best_of_n


@pytest.mark.shared_data
def test_qwen_best_of_8_equals_its_sources_own_evaluation(shared_data):
    # Qwen2.5-Math's example of 100 MATH problems: mean 91.0, rm@8 94.0, pass@8 96.0, maj@8 93.0
    records = load(shared_data / "bon_math100_qwen_rm8.jsonl.gz")
    found = best_of_n(records, prm=None, orm="source", resamples=200)
    assert (found.num_problems, found.chains.used) == (100, 800)
    assert found.pass_at_1 == pytest.approx(0.910, abs=5e-4)
    assert found.at("orm", 8).accuracy == pytest.approx(0.94)
    assert found.at("oracle", 8).accuracy == pytest.approx(0.96)
    # the source breaks a tied vote in favor of the first answer; here ties share
    assert found.at("majority", 8).accuracy == pytest.approx(0.93, abs=0.006)


@pytest.mark.shared_data
def test_pass_at_1_is_the_mean_accuracy_of_the_four_gsm8k_systems(shared_data):
    records = load(shared_data / "bon_gsm8k_openai_4.jsonl.gz")
    found = best_of_n(records, prm=None, orm=None, resamples=20)
    assert (found.num_problems, found.ns) == (1319, (1, 2, 4))
    assert found.pass_at_1 == pytest.approx((0.217 + 0.390 + 0.347 + 0.563) / 4, abs=5e-4)
