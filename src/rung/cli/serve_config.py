"""`rung serve-config`: how a vLLM server for a checkpoint is started."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

import msgspec
import tyro

from rung.cli.output import JsonFlag, Output
from rung.cli.places import FamilyOptions, Place, options_by_name
from rung.cli.scorers import family_of

DTYPES = {"fp32": "float32", "bf16": "bfloat16"}


@dataclass(frozen=True, slots=True)
class ServeConfig:
    """Print the command line that lets vLLM serve a checkpoint for 'rung score'.

    'rung score CHAINS --scorer FOLDER@URL --out FILE' then asks that server.
    """

    folder: Annotated[str, tyro.conf.Positional, tyro.conf.arg(metavar="FOLDER")]
    """A checkpoint of a family that vLLM can serve."""
    family: str = "auto"
    """How the model is read; auto tells it from the files."""
    family_option: FamilyOptions = ()
    """An option of the family (docs/guides/published-models.md); give it again for another."""
    precision: Literal["fp32", "bf16"] = "bf16"
    """The number type that the server computes in."""
    json: JsonFlag = False

    def run(self, out: Output) -> None:
        """Print it."""
        from rung.score.others import WRITING

        name = Path(self.folder).resolve().name
        family = family_of(Place(name, self.folder, None), self.family, out.progress)
        found = _writer(family) if family in WRITING else self._classifier(family)
        arguments = ["--served-model-name", name, *found.pop("arguments")]
        arguments += ["--dtype", DTYPES[self.precision]]
        line = shlex.join(["vllm", "serve", self.folder, *arguments])
        result = {"command": line, "model": self.folder, "arguments": arguments, **found}
        out.result(result, lambda console: console.print(line, soft_wrap=True, markup=False))

    def _classifier(self, family: str) -> dict[str, Any]:
        """What a model is served with whose head is read."""
        from rung.model.serving import serving

        found = serving(self.folder, family, options_by_name(self.family_option))
        pooler = msgspec.json.encode(found.pooler).decode()
        return {
            "arguments": ["--runner", "pooling", *found.engine, "--pooler-config", pooler],
            "family": found.family,
            "kind": found.kind,
            "step_tag_id": found.step_tag_id,
            "num_labels": found.num_labels,
        }


def _writer(family: str) -> dict[str, Any]:
    """What a model is served with that writes before it judges: as any language model."""
    from rung.score.generative import NUM_LOGPROBS

    arguments = ["--max-logprobs", str(NUM_LOGPROBS)]
    return {"arguments": arguments, "family": family, "kind": "prm"}


COMMAND = ServeConfig
