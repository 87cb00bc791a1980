"""The reward manager for verl: against a restated DataProto, and verl's own where it is.

verl 0.9.1 wants older transformers than rung is tested with, so an environment of its own: verl
with uvicorn, fastapi, aiohttp, cachetools, pyzmq and TransferQueue, which it imports; rung; pytest.
"""

import asyncio
import importlib
import pickle
import re
from collections.abc import Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch

from rung import rl
from rung.core import Chain, StepScores
from rung.rl import Guards, Paying
from rung.rl.verl import StepPay, StepRewardManager, TokenRewards
from tiny_lms import byte_tokenizer

# what verl imports is called deprecated by what it imports it from
pytestmark = pytest.mark.filterwarnings("ignore:Ray state API:DeprecationWarning")
TOKENIZER = byte_tokenizer()
GUIDE = (Path(__file__).parents[2] / "docs/guides/rl.md").read_text()
TEXTS = ["3 + 4 = 7\nSo it is 7", "7"]
NEEDS = "the package verl is not installed"


class Halves:
    """Every step has score 0.5."""

    name = "halves"

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        return [StepScores((0.5,) * len(chain.steps), self.name) for chain in chains]


class Manager(StepRewardManager):
    def step_pay(self) -> StepPay:
        paying = Paying(form="sum", process_weight=0.1, outcome_weight=2.0)
        return StepPay(scorer=Halves(), paying=paying, guards=Guards())


class ProcessOnly(StepRewardManager):
    def step_pay(self) -> StepPay:
        return StepPay(scorer=Halves(), paying=Paying(form="min", outcome_weight=0.0))


class Rows:
    """What a manager asks of verl 0.9's DataProto: `batch`, `non_tensor_batch`, rows of it."""

    def __init__(self, batch: dict[str, Any], non_tensor_batch: dict[str, Any]) -> None:
        self.batch, self.non_tensor_batch = batch, non_tensor_batch

    def __len__(self) -> int:
        return len(self.batch["responses"])

    def __getitem__(self, item: Any) -> Any:
        return Rows(
            {name: value[item] for name, value in self.batch.items()},
            {name: value[item] for name, value in self.non_tensor_batch.items()},
        )


def columns() -> tuple[dict[str, torch.Tensor], dict[str, Any]]:
    """Two completions, padded on the right behind prompts padded on the left."""
    rows = [
        [*TOKENIZER(text, add_special_tokens=False)["input_ids"], TOKENIZER.eos_token_id]
        for text in TEXTS
    ]
    width = max(map(len, rows))
    responses = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    written = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    batch = {
        "prompts": torch.tensor([[0, 5, 6], [5, 6, 7]]),
        "responses": responses,
        "attention_mask": torch.cat([torch.tensor([[0, 1, 1], [1, 1, 1]]), written], 1),
    }
    chat = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "3 + 4?"}]
    raw = np.empty(2, dtype=object)
    raw[:] = [chat, chat]
    known = {
        "raw_prompt": raw,
        "data_source": np.array(["sums", "sums"]),
        "reward_model": np.array([{"ground_truth": "7"}, {"ground_truth": "8"}]),
    }
    return batch, known


def restated() -> Any:
    return Rows(*columns())


def verls_own() -> Any:
    verl = pytest.importorskip("verl", reason=NEEDS)
    return verl.DataProto.from_single_dict({**columns()[0], **columns()[1]})


def by_answer(data_source: str, solution_str: str, ground_truth: str, extra_info: Any) -> Any:
    return {"score": float(solution_str.endswith(ground_truth)), "source": data_source}


async def by_answer_later(**asked: Any) -> float:
    return by_answer(**asked)["score"]


@pytest.fixture(params=[restated, verls_own], ids=["restated", "verl"])
def data(request: pytest.FixtureRequest) -> Any:
    return request.param()


@pytest.mark.parametrize("compute_score", [by_answer, by_answer_later])
def test_steps_are_paid_at_their_ends_and_the_outcome_at_the_last_token(
    data: Any, compute_score: Any
):
    manager = Manager(None, TOKENIZER, compute_score, reward_router_address=None)
    said = [asyncio.run(manager.run_single(data[k : k + 1])) for k in range(2)]
    first, second = (one["reward_score"] for one in said)
    paid = [(place, value) for place, value in enumerate(first.tokens) if value]
    end = len(first.tokens) - 1
    line_end = TOKENIZER("3 + 4 = 7\n", add_special_tokens=False)["input_ids"]
    assert paid == [(len(line_end) - 1, pytest.approx(0.05)), (end, pytest.approx(2.05))]
    assert float(first) == pytest.approx(2.1) and float(second) == pytest.approx(0.05)
    assert said[0]["reward_extra_info"] == {
        "step_reward": pytest.approx(0.1),
        "steps": 2,
        "acc": 1.0,
    }
    assert said[1]["reward_extra_info"]["acc"] == 0.0
    rewards_BT = Manager.assemble_rm_scores(data, [first, second])
    assert rewards_BT.shape == data.batch["responses"].shape
    assert rewards_BT[0].tolist() == pytest.approx(list(first.tokens))
    assert rewards_BT[1].tolist() == pytest.approx([0.0, 0.05, *[0.0] * (end - 1)])
    plain_BT = Manager.assemble_rm_scores(data, [0.25, 0.75])
    assert (float(plain_BT[0, end]), float(plain_BT[1, 1])) == (0.25, 0.75)
    assert float(plain_BT.sum()) == 1.0


def test_without_an_outcome_no_reward_function_is_asked(data: Any):
    [one] = [asyncio.run(ProcessOnly(None, TOKENIZER, None).run_single(data[:1]))]
    assert "acc" not in one["reward_extra_info"]
    assert float(one["reward_score"]) == pytest.approx(0.5)


def test_nothing_written_earns_nothing():
    batch, known = columns()
    batch["attention_mask"][:, 3:] = 0
    said = asyncio.run(Manager(None, TOKENIZER, by_answer).run_single(Rows(batch, known)[:1]))
    assert float(said["reward_score"]) == 0.0 and said["reward_score"].tokens == ()
    assert said["reward_extra_info"]["acc"] == 0.0  # verl wants the same keys of every row


def test_token_rewards_go_from_process_to_process():
    sent = pickle.loads(pickle.dumps(TokenRewards([0.25, 0.5])))
    assert (sent, sent.tokens) == (0.75, (0.25, 0.5))


def test_a_manager_must_say_who_pays():
    with pytest.raises(TypeError, match="step_pay"):
        StepRewardManager(None, TOKENIZER, None)  # pyright: ignore


MODULE = """
from rung.rl import Paying
from rung.rl.verl import StepPay, StepRewardManager
from rung.score import RandomScorer


class StepRewards(StepRewardManager):
    def step_pay(self):
        return StepPay(scorer=RandomScorer(), paying=Paying(form="min"))
"""


def test_verl_loads_it_by_the_guides_lines(tmp_path: Any):
    pytest.importorskip("verl", reason=NEEDS)
    omegaconf = importlib.import_module("omegaconf")
    reward = importlib.import_module("verl.trainer.ppo.reward")
    file = tmp_path / "step_rewards.py"
    file.write_text(MODULE)
    lines = [
        "reward.reward_manager.source=importlib",
        "reward.reward_manager.name=StepRewards",
        f"reward.reward_manager.module.path={file}",
    ]
    config = omegaconf.OmegaConf.from_dotlist([*lines, "reward.custom_reward_function.path=null"])
    manager = reward.load_reward_manager(config, TOKENIZER, reward_router_address=None)
    assert isinstance(manager, StepRewardManager) and callable(manager.compute_score)


def test_verls_own_configuration_takes_the_guides_lines():
    pytest.importorskip("verl", reason=NEEDS)
    hydra = importlib.import_module("hydra")
    lines = re.findall(r"^  ((?:reward|actor_rollout_ref|algorithm)\S+=\S+)", GUIDE, re.MULTILINE)
    assert len(lines) == 6
    with hydra.initialize_config_module("verl.trainer.config", version_base=None):
        config = hydra.compose("ppo_trainer", overrides=lines)  # what verl doesn't know is refused
    agent = config.actor_rollout_ref.rollout.agent
    found = (agent.default_agent_loop, agent.agent_loop_config_path, config.trainer.use_v1)
    assert found == ("rung_steps", "step_loop.yaml", True)


def test_verls_trainer_gets_every_tokens_reward_and_its_estimator_uses_them():
    pytest.importorskip("verl", reason=NEEDS)
    loops = importlib.import_module("verl.experimental.agent_loop.agent_loop")
    ours = importlib.import_module("rung.rl.verl_loop")
    ids = columns()[0]["responses"][0].tolist()

    async def run(self: Any, sampling_params: Any, **known: Any) -> Any:
        mask, metrics = [1] * len(ids), loops.AgentLoopMetrics()
        return loops.AgentLoopOutput(
            prompt_ids=[5, 6], response_ids=ids, response_mask=mask, metrics=metrics
        )

    manager = Manager(None, TOKENIZER, by_answer)
    handle = SimpleNamespace(compute_score=SimpleNamespace(remote=manager.run_single))
    worker = SimpleNamespace(
        reward_loop_worker_handles=[handle],
        _compute_multi_modal_inputs=lambda output, ids: {},
        _compute_position_ids=lambda ids, mask, *more: mask,
        _get_mm_processor_kwargs=lambda audios: {},
    )
    known = {name: value[0] for name, value in columns()[1].items()}

    async def write() -> Any:
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(ours.SingleTurnAgentLoop, "run", run)
            output = await object.__new__(ours.StepAgentLoop).run({})
        await loops.AgentLoopWorker._compute_score(worker, [output], known)
        return output.as_dict()

    fields = asyncio.run(write())
    rewards_T = fields["rm_scores"]
    assert (rewards_T != 0).sum() == 2 and float(rewards_T.sum()) == pytest.approx(2.1)
    assert fields["responses"].tolist() == ids
    estimator = importlib.import_module("verl.trainer.ppo.core_algos")
    _, returns_BT = estimator.compute_reinforce_plus_plus_outcome_advantage(
        token_level_rewards=rewards_T[None],
        response_mask=torch.ones(1, len(ids)),
        config=SimpleNamespace(gamma=1.0),
    )
    torch.testing.assert_close(returns_BT, rl.returns_to_go(rewards_T[None]))
