"""What the verbs that sample from a policy share."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from rung.core import Problem, RungError
from rung.verify import extract_answer

if TYPE_CHECKING:
    from rung.generate import TransformersGenerator


def open_policy(
    policy: str, *, chat: bool, question_separator: str, step_separator: str, max_batch_chains: int
) -> tuple[TransformersGenerator, str]:
    """The policy of a folder, a GGUF file or a name, and the hash of its weights.

    The hash tells weights of the same name apart, so that what others wrote is not gone on with.

    Raises:
        RungError: There is no such policy, or it has no chat template where `chat` needs one.
    """
    from rung.generate import TransformersGenerator
    from rung.model import load_causal_lm, weights_hash
    from rung.model.gguf import causal_lm_folder
    from rung.score.reward import dtype_for
    from rung.train.loop import pick_device

    loaded, device = load_causal_lm(policy), pick_device("auto")
    loaded.model.to(device, dtype_for("auto", loaded.model, device))
    generator = TransformersGenerator(
        *loaded,
        extract_answer=extract_answer,
        show=_chat(loaded.tokenizer, policy) if chat else None,
        question_separator=question_separator,
        step_separator=step_separator,
        max_batch_chains=max_batch_chains,
    )
    return generator, weights_hash(causal_lm_folder(policy))


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
