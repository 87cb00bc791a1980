"""A run of reinforcement learning in its folder: begun or taken up, and ended."""

from __future__ import annotations

import copy
import hashlib
import os
from collections.abc import Callable, Sequence
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import torch
from torch import nn

from rung.core.codec import encode_problem
from rung.core.errors import RungError
from rung.core.progress import Silent
from rung.core.protocols import Progress, Scorer, Verifier
from rung.core.types import Chain, Problem
from rung.generate import TransformersGenerator
from rung.model.checkpoint import publish, trunk_hash, weights_hash
from rung.model.device import pick_device
from rung.model.implicit import REFERENCE, ImplicitReading, save_implicit_reading
from rung.model.tree_attention import use_tree_attention
from rung.model.trunk import LoadedModel, load_causal_lm, quiet_transformers
from rung.rl.learner import POLICY, PRM, VALUE_HEAD, Learner
from rung.rl.loop import Game, Position, run_rl
from rung.rl.rounds import Players
from rung.rl.settings import RlReport, RlTraining
from rung.rl.writers import open_writer
from rung.train.distributed import World, join_world, launch_notes
from rung.train.folder import (
    REPORT_FILE,
    Fingerprint,
    begin,
    claim,
    pretty,
    report_in,
    run_id,
)
from rung.train.run import within_context
from rung.train.state import delete_state
from rung.train.trackers import TrackerName, load_tracker, tracked
from rung.train.trainable import add_adapters
from rung.verify import extract_answer

PRM_FOLDER = "prm"
LOOKS_BACK = (
    "min pays a step by what comes behind it, which {} doesn't see (PURE takes it so): the gradient"
    " is not quite that of what is paid; that of group is"
)
Extract = Callable[[str], str | None]


def train_rl(
    settings: RlTraining,
    problems: Sequence[Problem],
    held_out: Sequence[Problem],
    out: str | Path,
    *,
    verifier: Verifier | None,
    scorer: Scorer | None = None,
    progress: Progress | None = None,
    tracker: TrackerName = "none",
    extract: Extract = extract_answer,
) -> RlReport:
    """Train a policy on what verifier and scorer pay, into `out`, a causal LM folder.

    ``metrics.jsonl`` has a row a round and a row a look; ``held_out.jsonl.gz`` the chains of the
    last look. Run again, the same call goes on from the last saved state.

    Args:
        settings: The run's.
        problems: To train on.
        held_out: To look at; the weights of the look with the highest accuracy are kept.
        out: The folder.
        verifier: Judges final answers; None where only steps are paid for.
        scorer: Scores steps; None where only outcomes are paid for, or an online PRM pays.
        progress: Told what happens.
        tracker: A second place for the numbers.
        extract: Finds the final answer in a chain's text.

    Raises:
        RungError: The settings want what is not there, or `out` holds something else.
    """
    out = Path(out)
    _check(settings, held_out, verifier, scorer)
    world = join_world("ddp")
    _check_processes(settings, world)
    told = (world.leads and progress) or Silent()
    wanted = _fingerprint(settings, problems, held_out, verifier, scorer)
    if report := claim(out, wanted, RlReport):
        told.log(f"{out}: this run has ended before; nothing is left to do")
        return report
    for note in launch_notes(world, settings.updating.precision, os.environ):
        told.log(note)
    if settings.paying.looks_back:
        told.log(LOOKS_BACK.format(settings.paying.baseline))
    told.start("opening the policy")
    device = pick_device(settings.device)
    loaded = load_causal_lm(settings.policy, trust_pickle=settings.trust_pickle)
    most = within_context(settings.updating.max_tokens, loaded.model)
    settings = replace(settings, updating=replace(settings.updating, max_tokens=most))
    learner, merge = _learner(settings, loaded, device, world)
    generator = _generator(settings, learner, loaded, extract)
    fitting, looked_at = (_fitting(some, generator, told) for some in (problems, held_out))
    _check_problems(settings.updating.problems, len(fitting), world.size)
    writer = open_writer(settings, generator, [*fitting, *looked_at])
    players = Players(writer=writer, verifier=verifier, scorer=scorer)
    game = Game(settings, players, learner, fitting, looked_at)
    begin(out, wanted, world)
    tracking = load_tracker(tracker if world.leads else "none")
    with tracked(tracking, out.resolve().name, run_id(wanted), wanted):
        position = run_rl(game, out, told, tracking)
    merge()
    if world.leads:
        publish(out, lambda aside: _write(aside, game, position, loaded), last=REPORT_FILE)
        delete_state(out)
    world.wait()
    return report_in(out, RlReport)


def _check(
    settings: RlTraining,
    held_out: Sequence[Problem],
    verifier: Verifier | None,
    scorer: Scorer | None,
) -> None:
    paying = settings.paying
    if paying.needs_scores and scorer is None and settings.online is None:
        raise RungError(f"paying for steps ({paying.form}) needs a scorer")
    if not paying.needs_scores and scorer is not None:
        raise RungError("a scorer is given, but steps are not paid for")
    if settings.online is not None and scorer is not None:
        raise RungError("an online PRM pays; a scorer beside it has nothing to do")
    if verifier is None and (paying.outcome_weight or settings.online is not None):
        raise RungError("paying for outcomes needs a verifier, or an outcome weight of 0")
    if verifier is None and held_out:
        raise RungError("held-out problems need a verifier, which says what is right")


def _check_processes(settings: RlTraining, world: World) -> None:
    if world.size > 1 and settings.writing.generator == "vllm":
        raise RungError(
            f"generator vllm writes for one process, and there are {world.size}; several processes"
            " write with generator transformers"
        )


def _generator(
    settings: RlTraining, learner: Learner, loaded: LoadedModel, extract: Extract
) -> TransformersGenerator:
    """The learning model, as a generator."""
    return TransformersGenerator(
        learner.policy,
        loaded.tokenizer,
        loaded.name,
        extract_answer=extract,
        question_separator=settings.question_separator,
        step_separator=settings.step_separator,
        max_batch_chains=settings.updating.max_batch_chains,
        max_kept_mib=0,
    )


def _fitting(
    problems: Sequence[Problem], generator: TransformersGenerator, progress: Progress
) -> list[Problem]:
    """The problems whose question leaves room to write."""
    kept = [problem for problem in problems if generator.room(Chain(problem, ())) > 0]
    if len(kept) < len(problems):
        left_out = len(problems) - len(kept)
        progress.log(f"{left_out} questions fill the policy's context and are left out")
    return kept


def _check_problems(in_round: int, there: int, processes: int) -> None:
    if there < in_round:
        raise RungError(f"a round takes {in_round} problems, but there are only {there}")
    if in_round < processes:
        raise RungError(f"a round of {in_round} problems is too small for {processes} processes")


def _learner(
    settings: RlTraining, loaded: LoadedModel, device: torch.device, world: World
) -> tuple[Learner, Callable[[], None]]:
    """The learner on its device, and what merges its adapters when all is over."""
    policy: Any = loaded.model
    use_tree_attention(policy)
    reference = copy.deepcopy(policy).requires_grad_(False).eval().to(device)
    parts: dict[str, Any] = {POLICY: policy}
    merge: Callable[[], None] = lambda: None  # noqa: E731
    if settings.paying.baseline == "gae":
        parts[VALUE_HEAD] = nn.Linear(policy.config.get_text_config().hidden_size, 1)
        nn.init.zeros_(parts[VALUE_HEAD].weight)
        nn.init.zeros_(parts[VALUE_HEAD].bias)
    if settings.online is not None:
        parts[PRM] = copy.deepcopy(policy)
    if settings.updating.lora is not None:
        policy.requires_grad_(False)
        merge = add_adapters(policy.base_model, settings.updating.lora, settings.seed)
    for part in parts.values():
        part.to(device)
    return Learner.of(settings, parts, reference, world), merge


def _write(aside: Path, game: Game, position: Position, loaded: LoadedModel) -> None:
    with quiet_transformers():
        game.learner.policy.save_pretrained(aside)
        loaded.tokenizer.save_pretrained(aside)
        if game.settings.online is not None:
            _write_prm(aside / PRM_FOLDER, game, loaded)
    has_looks = bool(game.held_out)
    report = RlReport(
        steps=position.step,
        best_step=position.best_step if has_looks else position.step,
        ended=position.ended,
        first=position.first,
        best=position.best,
        last=position.last,
        tokens_sampled=position.tokens_sampled,
        tokens_scored=position.tokens_scored if game.players.are_counted else None,
        seconds=position.seconds,
        weights_hash=weights_hash(aside),
    )
    (aside / REPORT_FILE).write_bytes(pretty(report))


def _write_prm(folder: Path, game: Game, loaded: LoadedModel) -> None:
    """The online PRM as it was at the best look, as `rung train implicit` would write it."""
    settings = game.settings
    assert settings.online is not None
    prm: Any = game.learner.weights[PRM]
    prm.save_pretrained(folder)
    game.learner.reference.save_pretrained(folder / REFERENCE)
    for place in (folder, folder / REFERENCE):
        loaded.tokenizer.save_pretrained(place)
    reading = ImplicitReading(
        question_separator=settings.question_separator,
        step_separator=settings.step_separator,
        max_tokens=int(loaded.model.config.get_text_config().max_position_embeddings),
        coefficient=settings.online.coefficient,
        loss="ce",
        trunk=loaded.name,
    )
    save_implicit_reading(reading, folder)


def _fingerprint(
    settings: RlTraining,
    problems: Sequence[Problem],
    held_out: Sequence[Problem],
    verifier: Verifier | None,
    scorer: Scorer | None,
) -> Fingerprint:
    """All that a run's result depends on, as JSON."""
    told = msgspec.json.decode(msgspec.json.encode(settings, enc_hook=str))
    del told["save_every_s"], told["trust_pickle"]  # they change nothing
    if told.pop("writing")["generator"] != "transformers":  # nor does the share of the memory
        told["generator"] = settings.writing.generator
    told["device"] = pick_device(settings.device).type
    told["policy"] = trunk_hash(settings.policy, trust_pickle=settings.trust_pickle)
    told["verifier"] = None if verifier is None else type(verifier).__name__
    told["scorer"] = None if scorer is None else getattr(scorer, "fingerprint", scorer.name)
    told |= {"problems": _hash(problems), "held-out problems": _hash(held_out)}
    return {"rung": version("rung"), **msgspec.json.decode(msgspec.json.encode(told))}


def _hash(problems: Sequence[Problem]) -> str:
    digest = hashlib.blake2b(digest_size=12)
    for problem in problems:
        digest.update(encode_problem(problem))
    return digest.hexdigest()
