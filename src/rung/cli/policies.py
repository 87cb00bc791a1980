"""What the verbs that sample from a policy share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable
from collections.abc import Generator as Yields
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rung.cli.places import split_url
from rung.core import Generator, Problem, RungError
from rung.core.resume import fingerprint_of, partial_path
from rung.verify import extract_answer

if TYPE_CHECKING:
    from rung.generate.written_log import WrittenLog


VLLM = "vllm:"
"""Stands before a folder that vLLM is to run, in this process."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PolicyOptions:
    """How a policy is opened."""

    chat: bool
    question_separator: str
    step_separator: str
    max_batch_chains: int
    key_env: str
    """The environment variable with the server's key."""
    trust_pickle: bool = False


@contextlib.contextmanager
def open_policy(
    policy: str, how: PolicyOptions, out: Path | None = None
) -> Yields[tuple[Generator, str]]:
    """The policy that was named, and what tells it from others.

    A folder, a GGUF file or a name; the same behind "vllm:"; or NAME@URL. What tells it is the
    hash of the weights, or the name and the address. What another policy wrote is not gone on with.

    Args:
        policy: As it was named on the command line.
        how: The options.
        out: The run's output. Until the run ends well, what a server wrote is kept beside it.

    Raises:
        RungError: There is no such policy, or it has no chat template where `how.chat` needs one.
    """
    name, url = split_url(policy)
    if url is None:
        is_vllm = policy.startswith(VLLM)
        yield _in_vllm(policy.removeprefix(VLLM), how) if is_vllm else _here(policy, how)
        return
    with _kept_beside(out) as log:
        yield _on_server(name, url, how, log), fingerprint_of([], [name, url])


def _on_server(name: str, url: str, how: PolicyOptions, log: WrittenLog | None) -> Generator:
    from rung.generate.server import AT_ONCE, ServerGenerator

    if not name:
        raise RungError(f"--policy @{url} names no model, expected NAME@URL")
    return ServerGenerator(
        url=url,
        name=name,
        chat=how.chat,
        key=os.environ.get(how.key_env),
        extract_answer=extract_answer,
        question_separator=how.question_separator,
        step_separator=how.step_separator,
        at_once=min(how.max_batch_chains, AT_ONCE),
        log=log,
    )


@contextlib.contextmanager
def _kept_beside(out: Path | None) -> Yields[WrittenLog | None]:
    """The log of what a server writes; it goes when the block ends well, or if it is empty."""
    from rung.generate.written_log import WrittenLog

    if out is None:
        yield None
        return
    path, is_done = partial_path(out).with_suffix(".written"), False
    try:
        with WrittenLog.open(path) as log:
            yield log
        is_done = True
    finally:
        if path.exists() and (is_done or path.stat().st_size == 0):
            path.unlink()


def _here(policy: str, how: PolicyOptions) -> tuple[Generator, str]:
    from rung.generate import TransformersGenerator
    from rung.model import load_causal_lm, trunk_hash
    from rung.model.device import pick_device
    from rung.score.reward import dtype_for

    loaded = load_causal_lm(policy, trust_pickle=how.trust_pickle)
    device = pick_device()
    loaded.model.to(device, dtype_for("auto", loaded.model, device))
    generator = TransformersGenerator(
        *loaded,
        extract_answer=extract_answer,
        show=_chat(loaded.tokenizer, policy) if how.chat else None,
        question_separator=how.question_separator,
        step_separator=how.step_separator,
        max_batch_chains=how.max_batch_chains,
    )
    return generator, trunk_hash(policy, trust_pickle=how.trust_pickle)


def _in_vllm(policy: str, how: PolicyOptions) -> tuple[Generator, str]:
    """A chain of the same seed differs from that of `_here`, so the fingerprint does."""
    from rung.generate import VllmGenerator, open_vllm
    from rung.model import trunk_hash
    from rung.model.gguf import causal_lm_folder

    hashed = fingerprint_of([], [VLLM, trunk_hash(policy, trust_pickle=how.trust_pickle)])
    llm = open_vllm(causal_lm_folder(policy), max_num_seqs=how.max_batch_chains)
    generator = VllmGenerator(
        llm,
        Path(policy).name,
        extract_answer=extract_answer,
        show=_chat(llm.get_tokenizer(), policy) if how.chat else None,
        question_separator=how.question_separator,
        step_separator=how.step_separator,
    )
    return generator, hashed


def check_sampling(
    temperature: float, top_p: float, step_separator: str, **at_least_1: int
) -> None:
    """Refuse options that no policy can be sampled with.

    Raises:
        RungError: One is out of its range.
    """
    for name, value in at_least_1.items():
        if value < 1:
            option = "--" + name.replace("_", "-")
            raise RungError(f"{option} is {value}, expected at least 1")
    if temperature < 0:
        raise RungError(f"--temperature is {temperature}, expected at least 0")
    if not 0 < top_p <= 1:
        raise RungError(f"--top-p is {top_p}, expected above 0 and at most 1")
    if not step_separator:
        raise RungError("--step-separator is empty")


def _chat(tokenizer: Any, policy: str) -> Callable[[Problem], str]:
    if not tokenizer.chat_template:
        raise RungError(f"{policy} has no chat template; sample without --chat")

    def show(problem: Problem) -> str:
        message = {"role": "user", "content": problem.question}
        return tokenizer.apply_chat_template([message], tokenize=False, add_generation_prompt=True)

    return show
