import re

import pytest

from rung import Chain, Problem
from rung.score import load_implicit, load_scorer
from rung.train import (
    ImplicitTraining,
    Method,
    Optimization,
    RewardTraining,
    train_implicit,
    train_reward,
)
from toy_chains import make_toy_trunk, toy_records

FAST = Optimization(lr=3e-3, batch_tokens=512, patience=0)
EXAMPLE = Chain.of(Problem("p", "What is 3 * 4?"), ["3 * 4 = 12", "The answer is 12."])


@pytest.fixture(scope="module")
def trunk(tmp_path_factory):
    return make_toy_trunk(tmp_path_factory.mktemp("trunk") / "base")


def card(settings: RewardTraining, out) -> str:
    train_reward(settings, toy_records(20), toy_records(5, 100), out)
    return (out / "README.md").read_text()


def says(block: str, folder, monkeypatch, capsys) -> str:
    monkeypatch.chdir(folder)
    exec(compile(block, "card", "exec"), {})
    return capsys.readouterr().out.strip()


@pytest.mark.parametrize(
    ("kind", "method"),
    [
        ("prm", Method()),
        ("prm", Method(head="3-class")),
        ("orm", Method(head="tokens")),
        ("orm", Method()),
    ],
)
def test_the_cards_examples_run_and_say_what_the_scorer_says(
    trunk, tmp_path, kind, method, monkeypatch, capsys
):
    settings = RewardTraining(kind=kind, trunk=trunk, method=method, optimization=FAST)
    text = card(settings, tmp_path / "model")
    ours, plain = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    expected = load_scorer(tmp_path / "model").score([EXAMPLE])[0].scores
    expected = expected[-1] if kind == "orm" else expected
    for block in (ours, plain):
        printed = eval(says(block, tmp_path / "model", monkeypatch, capsys))
        printed = tuple(printed) if isinstance(printed, list) else printed
        assert printed == pytest.approx(expected, abs=1e-5)


def test_an_implicit_prms_card_says_what_its_scorer_says(trunk, tmp_path, monkeypatch, capsys):
    settings = ImplicitTraining(trunk=trunk, coefficient=0.3, optimization=FAST)
    train_implicit(settings, toy_records(20), [], tmp_path / "model")
    text = (tmp_path / "model" / "README.md").read_text()
    [ours] = re.findall(r"```python\n(.*?)```", text, re.DOTALL)
    expected = load_implicit(tmp_path / "model").score([EXAMPLE])[0].scores
    printed = eval(says(ours, tmp_path / "model", monkeypatch, capsys))
    assert printed == pytest.approx(expected, abs=1e-5)
    assert "| labels | outcomes of final answers |" in text
    assert str(tmp_path) not in text


def test_the_card_says_how_the_model_was_made_and_names_no_path(trunk, tmp_path):
    method = Method(lora=4, head="2-class")
    settings = RewardTraining(kind="prm", trunk=trunk, method=method, optimization=FAST)
    text = card(settings, tmp_path / "my-prm")
    assert text.startswith("---\nlibrary_name: rung\npipeline_tag: token-classification\n")
    assert "# my-prm" in text
    assert "| trunk | base |" in text
    assert "| labels | toy |" in text
    assert "| trained | adapters of rank 4 (alpha 8), merged, and the head |" in text
    assert "| chains | 20 | 5 |" in text
    assert "| targets | 80 | 20 |" in text
    assert str(tmp_path) not in text
    assert "a policy" not in text.split("## Limits")[0]
    assert "128 tokens" in text.split("## Limits")[1]
