"""TRL's own trainers, really training, paid by rung's scorers."""

import importlib
import re
import sys
import types
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
import torch
from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers

from rung import rl
from rung.core import Chain, MissingExtraError, RungError, StepScores
from rung.rl import Guards, Paying
from rung.rl.written import Completion, Earned, StepPay, earned

ROOT = Path(__file__).resolve().parents[2]
# trl 1.16 uses names that transformers 5.23 calls deprecated
pytestmark = pytest.mark.filterwarnings("ignore:.*will be removed in v6:FutureWarning")
NEEDS = "the package trl is not installed"
VOCAB = ["<pad>", "<eos>", *"0123456789+=;", "\n", ";\n1", "\n\n", "2\n"]
"""Some tokens end a step and begin the next one."""
TEXT = dict(enumerate(VOCAB)) | {0: "", 1: ""}
PROMPTS = ["1+2=", "3+4=", "5+3=", "9+9="]
N, LENGTH = 4, 12
OPEN = Guards(blank_steps_pay=True)
"""An untrained policy's chains are cut off, or say a thing twice."""


@dataclass
class Planted:
    """Scores that depend on all the text so far."""

    name: str = "planted"

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        return [StepScores(tuple(scores_of(chain.texts)), self.name) for chain in chains]


def scores_of(texts: Sequence[str]) -> list[float]:
    return [sum(map(ord, "".join(texts[: k + 1]))) % 17 / 16 for k in range(len(texts))]


def outcome(completions: Sequence[str], **_: Any) -> list[float]:
    return [sum(map(ord, text)) % 5 / 4 for text in completions]


def no_outcome(completions: Sequence[str], **_: Any) -> list[float]:
    return [0.0] * len(completions)


def tokenizer() -> Any:
    import transformers

    core = Tokenizer(models.WordLevel({text: k for k, text in enumerate(VOCAB)}, unk_token="0"))
    core.pre_tokenizer = pre_tokenizers.Split(Regex("."), "isolated")
    core.decoder = decoders.Fuse()
    return transformers.PreTrainedTokenizerFast(
        tokenizer_object=core, pad_token="<pad>", eos_token="<eos>"
    )


def policy() -> Any:
    import transformers

    config = transformers.LlamaConfig(
        vocab_size=len(VOCAB),
        hidden_size=16,
        intermediate_size=32,
        num_hidden_layers=1,
        num_attention_heads=2,
        num_key_value_heads=2,
        max_position_embeddings=64,
        initializer_range=0.3,
        pad_token_id=0,
        bos_token_id=None,
        eos_token_id=1,
    )
    torch.manual_seed(0)
    return transformers.LlamaForCausalLM(config)


def trained(
    kind: Any,
    folder: Path,
    *,
    reward: Any = outcome,
    changed: dict[str, Any] | None = None,
    **options: Any,
) -> Any:
    """A trainer after two optimizer steps, and what it made for them in `made`."""
    import trl
    from datasets import Dataset

    class Watched(kind):
        def _generate_and_score_completions(self, inputs: Any) -> Any:
            output = super()._generate_and_score_completions(inputs)
            self.made.append(dict(output))
            self.own.append(list(self._logs["advantages"])[-len(inputs) :])
            return output

        def _compute_loss(self, model: Any, inputs: Any) -> Any:
            loss = super()._compute_loss(model, inputs)
            self.losses.append((dict(inputs), loss.item()))
            return loss

    config = trl.GRPOConfig if issubclass(kind, trl.GRPOTrainer) else trl.RLOOConfig
    usual: dict[str, Any] = {
        "per_device_train_batch_size": 2 * N,
        "num_generations": N,
        "max_completion_length": LENGTH,
        "max_steps": 2,
        "learning_rate": 0.05,
        "beta": 0.0,
        "use_cpu": True,
        "bf16": False,
        "save_strategy": "no",
        "logging_steps": 1,
        "report_to": [],
        "disable_tqdm": True,
        "seed": 3,
    }
    args = config(output_dir=str(folder), **{**usual, **(changed or {})})
    data = Dataset.from_dict({"prompt": PROMPTS})
    trainer = Watched(
        model=policy(),
        processing_class=tokenizer(),
        reward_funcs=reward,
        args=args,
        train_dataset=data,
        **options,
    )
    trainer.made, trainer.own, trainer.losses = [], [], []
    trainer.train()
    return trainer


def weights(trainer: Any) -> torch.Tensor:
    return torch.cat([w.detach().flatten() for w in trainer.model.parameters()])


def steps_by_hand(ids: Sequence[int]) -> tuple[list[str], list[int]]:
    """Steps of a completion and each token's, character by character."""
    owner, done, piece = list[int](), 0, ""
    for token in ids:
        owner.append(done)
        for letter in TEXT[token]:
            if letter == "\n":
                done += bool(piece.strip())
                piece = ""
            else:
                piece += letter
    texts = [p for p in "".join(TEXT[token] for token in ids).split("\n") if p.strip()]
    return texts, [min(step, max(0, len(texts) - 1)) for step in owner]


def expected(made: dict[str, Any]) -> dict[str, Any]:
    """What rung's functions take, from the ids alone."""
    rows = [
        ids[mask.bool()].tolist()
        for ids, mask in zip(made["completion_ids"], made["completion_mask"], strict=True)
    ]
    read = [steps_by_hand(row) for row in rows]
    count_B = torch.tensor([max(1, len(texts)) for texts, _ in read])
    scores_BS = torch.zeros(len(rows), int(count_B.max()))
    step_of_BT = torch.full(made["completion_ids"].shape, -1)
    for b, (texts, owner) in enumerate(read):
        scores_BS[b, : len(texts)] = torch.tensor(scores_of(texts))
        step_of_BT[b, : len(owner)] = torch.tensor(owner)
    group_B = torch.arange(len(rows)) // N
    return {"scores": scores_BS, "count": count_B, "step_of": step_of_BT, "group": group_B}


@pytest.fixture(scope="module")
def ours() -> Any:
    pytest.importorskip("trl", reason=NEEDS)
    return importlib.import_module("rung.rl.trl")


def by_min(e: dict[str, Any]) -> torch.Tensor:
    earned_BS = rl.min_form(e["scores"], e["count"])
    return rl.leave_one_out(rl.returns_to_go(earned_BS), e["group"], e["count"])


def by_sum(e: dict[str, Any]) -> torch.Tensor:
    return rl.process_group_relative(rl.score_sum(e["scores"], e["count"]), e["group"], e["count"])


def by_difference(e: dict[str, Any]) -> torch.Tensor:
    earned_BS = rl.difference(e["scores"], e["count"], discount=0.9)
    returns_BS = rl.returns_to_go(earned_BS, discount=0.9)
    return rl.leave_one_out(returns_BS, e["group"], e["count"])


def by_progress(e: dict[str, Any]) -> torch.Tensor:
    start_B = torch.zeros(len(e["count"]))
    total_B = rl.process_advantage(e["scores"], start_B, e["count"]).sum(1)
    return rl.group_relative(total_B, e["group"], e["count"], e["scores"].shape[1])


@pytest.mark.parametrize(
    ("paying", "by_hand"),
    [
        (Paying(form="min", process_weight=0.5), by_min),
        (Paying(form="sum", baseline="process-group", outcome_weight=0.0), by_sum),
        (Paying(form="difference", discount=0.9, process_weight=2.0), by_difference),
        (Paying(form="progress", baseline="group-scaled", outcome_weight=0.3), by_progress),
    ],
    ids=lambda value: value.form if isinstance(value, Paying) else "",
)
def test_grpo_learns_from_our_advantages_token_by_token(
    ours: Any, tmp_path: Path, paying: Paying, by_hand: Any
):
    pay = StepPay(scorer=Planted(), paying=paying, guards=OPEN)
    trainer = trained(ours.StepGRPOTrainer, tmp_path, step_pay=pay)
    assert len(trainer.made) == 2
    for made, own in zip(trainer.made, trainer.own, strict=True):
        e = expected(made)
        process_BT = rl.spread_over_tokens(by_hand(e), e["step_of"])
        own_BT = paying.outcome_weight * torch.tensor(own)[:, None]
        whole_BT = rl.mixed(own_BT, process_BT, weight=paying.process_weight)
        assert made["advantages"].shape == (2 * N, made["completion_ids"].shape[1])
        torch.testing.assert_close(made["advantages"], whole_BT, rtol=1e-5, atol=1e-6)
        assert (e["count"] > 1).sum() > N and process_BT.abs().max() > 0.1
    used = {float(a) for inputs, _ in trainer.losses for a in inputs["advantages"].flatten()}
    assert used == {float(a) for made in trainer.made for a in made["advantages"].flatten()}
    logged = [line for line in trainer.state.log_history if "steps/reward" in line]
    assert len(logged) == 2 and logged[0]["steps/count"] > 1 and logged[0]["steps/unscored"] == 0


class Silent(Planted):
    """Every step is worth 0."""

    def score(self, chains: Sequence[Chain]) -> list[StepScores]:
        return [StepScores((0.0,) * len(chain.steps), self.name) for chain in chains]


@pytest.mark.parametrize(("name", "plain"), [("StepGRPO", "GRPO"), ("StepRLOO", "RLOO")])
def test_without_process_reward_it_is_plain_trl_bit_for_bit(
    ours: Any, tmp_path: Path, name: str, plain: str
):
    import trl

    kind = getattr(ours, f"{name}Trainer")
    alone = trained(getattr(trl, f"{plain}Trainer"), tmp_path / "alone")
    unweighted = StepPay(scorer=Planted(), paying=Paying(form="min", process_weight=0.0))
    unpaid = StepPay(scorer=Silent(), paying=Paying(form="sum"), guards=OPEN)
    for pay in (unweighted, unpaid):
        one = trained(kind, tmp_path / "ours", step_pay=pay)
        for made, other in zip(one.made, alone.made, strict=True):
            assert torch.equal(made["completion_ids"], other["completion_ids"])
            own_BT = other["advantages"][:, None] if made["advantages"].dim() == 2 else None
            expected_B = other["advantages"] if own_BT is None else own_BT
            assert torch.equal(made["advantages"], expected_B.expand_as(made["advantages"]))
        assert torch.equal(weights(one), weights(alone))
    paid = StepPay(scorer=Planted(), paying=Paying(form="min"), guards=OPEN)
    other = trained(kind, tmp_path / "paid", step_pay=paid)
    assert not torch.equal(weights(other), weights(alone))


LOSSES = ["grpo", "bnpo", "dr_grpo", "luspo", "cispo", "sapo", "vespo"]  # and the default, dapo
SETTINGS = [
    *({"loss_type": name} for name in LOSSES),
    {"importance_sampling_level": "sequence"},
    {"off_policy_mask_threshold": 0.1},
    {"per_device_train_batch_size": N, "gradient_accumulation_steps": 2},
]


@pytest.mark.parametrize("changed", SETTINGS, ids=str)
def test_every_loss_of_grpo_takes_advantages_by_token(
    ours: Any, tmp_path: Path, changed: dict[str, Any]
):
    pay = StepPay(scorer=Planted(), paying=Paying(form="min", outcome_weight=0.0), guards=OPEN)
    once = {**changed, "max_steps": 1}
    found = trained(ours.StepGRPOTrainer, tmp_path, changed=once, step_pay=pay)
    assert found.losses[0][0]["advantages"].shape[1] > 1
    assert weights(found).isfinite().all()
    assert not torch.equal(weights(found), weights_at_start())


class OneOfTwo:
    """What accelerate does in one of two processes."""

    device = torch.device("cpu")

    def __init__(self, index: int, halves: Sequence[Earned]) -> None:
        self.process_index, self.halves = index, halves
        self.width = max(half.paid.rewards_BS.shape[1] for half in halves)

    def pad_across_processes(self, tensor: torch.Tensor, dim: int) -> torch.Tensor:
        return torch.nn.functional.pad(tensor, (0, self.width - tensor.shape[dim]))

    def gather(self, tensor: torch.Tensor) -> torch.Tensor:
        if tensor.dim() == 1:
            return torch.cat([half.found.num_steps_B for half in self.halves])
        return torch.cat([self.pad_across_processes(h.paid.rewards_BS, 1) for h in self.halves])


def test_a_group_may_be_spread_over_two_processes(ours: Any):
    texts = ["1+2\n3", "4", "5=5\n6\n7", "8\n9"]
    rows = [[VOCAB.index(letter) for letter in text] for text in texts]
    pay = StepPay(scorer=Planted(), paying=Paying(form="min"), guards=OPEN)
    whole = [Completion(ours.problem_of({"prompt": "?"}), row, True) for row in rows]
    halves = [earned(half, pay, tokenizer()) for half in (whole[:2], whole[2:])]
    width = max(map(len, rows))
    ids = torch.tensor([row + [0] * (width - len(row)) for row in rows])
    mask = torch.tensor([[1] * len(row) + [0] * (width - len(row)) for row in rows])
    expected_BS = by_min(expected({"completion_ids": ids, "completion_mask": mask}))
    for index, half in enumerate(halves):
        trainer = SimpleNamespace(
            accelerator=OneOfTwo(index, halves),
            model=SimpleNamespace(training=True),
            num_generations=4,
            step_pay=pay,
            _metrics={"train": defaultdict(list)},
        )
        trainer._of_all = partial(ours._StepPaid._of_all, trainer)
        found_BS = ours._StepPaid._step_advantages(trainer, half)
        own_BS = expected_BS[2 * index : 2 * index + 2, : found_BS.shape[1]]
        torch.testing.assert_close(found_BS, own_BS)
        assert trainer._metrics["train"]["steps/count"] == [2.0]


def test_rloo_gets_the_steps_loss_on_top_of_its_own(ours: Any, tmp_path: Path):
    paying = Paying(form="min", process_weight=0.5, outcome_weight=2.0)
    pay = StepPay(scorer=Planted(), paying=paying, guards=OPEN)
    trainer = trained(ours.StepRLOOTrainer, tmp_path, step_pay=pay)
    for made, own in zip(trainer.made, trainer.own, strict=True):
        e = expected(made)
        torch.testing.assert_close(made["step_advantages"], 0.5 * by_min(e))
        assert torch.equal(made["step_of"], e["step_of"])
        torch.testing.assert_close(made["advantages"], 2.0 * torch.tensor(own))
    # the first optimizer step is on policy: every ratio is 1
    inputs, loss = trainer.losses[0]
    on_policy = -(inputs["advantages"] + inputs["step_advantages"].sum(1)).mean()
    assert loss == pytest.approx(float(on_policy), abs=1e-5)


def test_rloo_with_chains_of_one_step_is_trls_rloo_with_the_score_for_a_reward(
    ours: Any, tmp_path: Path
):
    import trl

    def score(completions: Sequence[str], **_: Any) -> list[float]:
        return [scores_of([text])[0] if text.strip() else 0.0 for text in completions]

    alone = trained(trl.RLOOTrainer, tmp_path / "alone", reward=score)
    pay = StepPay(scorer=Planted(), paying=Paying(form="sum"), guards=OPEN, step_separator="~")
    one = trained(ours.StepRLOOTrainer, tmp_path / "ours", reward=no_outcome, step_pay=pay)
    assert not torch.equal(weights(one), weights_at_start())
    torch.testing.assert_close(weights(one), weights(alone), rtol=1e-4, atol=1e-5)


def weights_at_start() -> torch.Tensor:
    return torch.cat([w.detach().flatten() for w in policy().parameters()])


def test_the_steps_loss_by_hand(ours: Any):
    logps_BT = torch.tensor([[-1.0, -2.0, -1.0, -9.0]], requires_grad=True)
    old_BT = torch.tensor([[-1.5, -2.0, -1.1, 0.0]])
    step_of_BT = torch.tensor([[0, 0, 1, -1]])
    advantages_BS = torch.tensor([[2.0, -1.0]])
    loss = ours.step_loss(logps_BT, old_BT, advantages_BS, step_of_BT, clip=(0.2, 0.2))
    first, second = 1.2 * 2.0, float(torch.tensor(0.1).exp()) * -1.0  # e^0.5 is clipped
    assert loss.item() == pytest.approx(-(first + second))
    loss.backward()
    assert logps_BT.grad[0].tolist() == pytest.approx([0.0, 0.0, -second, 0.0])


def test_rows_of_any_kind_have_a_problem(ours: Any):
    assert ours.problem_of({"prompt": "1+1?", "answer": 2}).answer == "2"
    said = [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "1+1?"}]
    assert ours.problem_of({"prompt": said}).question == "1+1?"
    blocks = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "1+1?"}]}]
    found = ours.problem_of({"prompt": blocks})
    assert (found.question, found.answer) == ("1+1?", None)


def test_what_trl_gives_that_can_not_be_paid_is_refused(ours: Any):
    output = {"completion_ids": 0, "completion_mask": 0, "advantages": torch.zeros(2)}
    ours._check(output)
    with pytest.raises(RungError, match="tool calls are not paid for"):
        ours._check({**output, "tool_mask": 0})
    with pytest.raises(RungError, match="gives no completion_mask, as trl 1"):
        ours._check({"completion_ids": 0, "advantages": torch.zeros(2)})
    with pytest.raises(RungError, match="gives no advantages by chain"):
        ours._check({**output, "advantages": torch.zeros(2, 3)})


def test_a_trainer_that_keeps_other_things_is_refused(ours: Any):
    class Other(ours._StepPaid, SimpleNamespace): ...

    with pytest.raises(RungError, match="keeps no _tokenizer; trl 1"):
        Other(step_pay=StepPay(scorer=Planted()))


def test_the_guides_example_runs(ours: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    page = (ROOT / "docs" / "guides" / "rl.md").read_text()
    [example] = [code for code in re.findall(r"```py\n(.*?)```", page, re.S) if "trl" in code]
    monkeypatch.chdir(tmp_path)
    policy().save_pretrained("policy")
    tokenizer().save_pretrained("policy")
    here = {"use_cpu": True, "bf16": False, "report_to": [], "max_completion_length": LENGTH}
    trl = importlib.import_module("trl")
    monkeypatch.setattr(trl, "GRPOConfig", partial(trl.GRPOConfig, **here))
    monkeypatch.setattr("rung.score.load_scorer", lambda folder: Planted())
    names: dict[str, Any] = {}
    exec(compile(example, "rl.md", "exec"), names)
    assert names["trainer"].state.global_step == 2


def test_without_trl_the_command_that_installs_it_is_said(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setitem(sys.modules, "trl", None)
    monkeypatch.delitem(sys.modules, "rung.rl.trl", raising=False)
    with pytest.raises(MissingExtraError, match=r"pip install 'rung\[trl\]'"):
        importlib.import_module("rung.rl.trl")


def test_a_trl_of_another_shape_is_refused(monkeypatch: pytest.MonkeyPatch):
    class GRPOTrainer:
        def _generate_and_score_completions(self) -> None: ...

    other = types.ModuleType("trl")
    other.GRPOTrainer = GRPOTrainer
    monkeypatch.setitem(sys.modules, "trl", other)
    monkeypatch.delitem(sys.modules, "rung.rl.trl", raising=False)
    monkeypatch.setattr("importlib.metadata.version", lambda name: "0.9")
    with pytest.raises(RungError, match=r"trl 0.9: GRPOTrainer has no _compute_loss"):
        importlib.import_module("rung.rl.trl")
