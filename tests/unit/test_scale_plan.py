"""The plan for a million chains: the guide shows what the recipe computes."""

import importlib.util
import sys
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import Any

import msgspec
import pytest

RECIPE = Path(__file__).resolve().parents[2] / "recipes" / "scale"


@pytest.fixture(scope="module")
def recipe() -> Iterator[dict[str, ModuleType]]:
    """The recipe's modules, which import each other by their short names."""
    names, found = ("plan", "measure", "run"), dict[str, ModuleType]()
    before = {name: sys.modules.pop(name, None) for name in names}
    for name in names:
        spec = importlib.util.spec_from_file_location(name, RECIPE / f"{name}.py")
        assert spec and spec.loader
        found[name] = sys.modules[name] = importlib.util.module_from_spec(spec)
        spec.loader.exec_module(found[name])
    yield found
    for name, module in before.items():
        if module is None:
            del sys.modules[name]
        else:
            sys.modules[name] = module


def parts(recipe: dict[str, ModuleType]) -> tuple[Any, Any, Any]:
    plan, run = recipe["plan"], recipe["run"]
    measured = msgspec.json.decode(run.MEASURED.read_bytes(), type=plan.Measured)
    return measured, run.rollouts(), plan.Assumed()


def test_the_guide_shows_what_the_recipe_computes(recipe: dict[str, ModuleType]) -> None:
    plan, run = recipe["plan"], recipe["run"]
    measured, rollouts, assumed = parts(recipe)
    page = run.GUIDE.read_text("utf-8")
    for text in (plan.measured_table(measured), plan.table(measured, rollouts, assumed)):
        assert f"\n{text}\n" in page, "run recipes/scale/run.py --publish"


def test_hours_go_with_the_chains_and_money_with_the_prices(recipe: dict[str, ModuleType]) -> None:
    plan = recipe["plan"]
    measured, rollouts, assumed = parts(recipe)
    twice = replace(assumed, chains=2 * assumed.chains)
    for one, two in zip(
        plan.stages(measured, rollouts, assumed),
        plan.stages(measured, rollouts, twice),
        strict=True,
    ):
        assert two.hours(twice) == pytest.approx(2 * one.hours(assumed))
        dear = replace(assumed, gpu_price=2 * assumed.gpu_price, cpu_price=2 * assumed.cpu_price)
        assert one.money(dear) == pytest.approx(2 * one.money(assumed))


def test_rollouts_on_chains_of_the_lab_are_those_of_the_lab(recipe: dict[str, ModuleType]) -> None:
    plan = recipe["plan"]
    measured, rollouts, assumed = parts(recipe)
    lab = replace(
        measured, steps_a_chain=measured.lab_steps_a_chain, chain_tokens=measured.lab_chain_tokens
    )
    stages = {stage.name: stage for stage in plan.stages(lab, rollouts, assumed)}
    for way in rollouts:
        written = stages[way.name].tokens_out
        assert written == pytest.approx(way.tokens_a_chain * assumed.chains)


def test_it_is_measured_again(
    recipe: dict[str, ModuleType], shared_data: Path, tiny_lm: Path
) -> None:
    from rung.generate import TransformersGenerator
    from rung.model import load_causal_lm

    loaded = load_causal_lm(tiny_lm)
    policy = TransformersGenerator(*loaded)
    found = recipe["measure"].measure(shared_data, loaded.tokenizer, policy, num_chains=8)
    assert found.num_chains == 8
    assert found.packed_bytes_a_chain < found.bytes_a_chain
    assert min(found.arithmetic_cpu_s, found.answer_cpu_s, found.pack_cpu_s) > 0
