"""`rung serve-config`: how a vLLM server for a checkpoint is started."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import msgspec
import tyro

from rung.cli.output import JsonFlag, Output
from rung.cli.places import FamilyOptions, options_by_name

if TYPE_CHECKING:
    from rung.model.serving import Serving

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
        from rung.model.serving import serving

        found = serving(self.folder, self.family, options_by_name(self.family_option))
        arguments = self._arguments(found)
        line = shlex.join(["vllm", "serve", self.folder, *arguments])
        result = {
            "command": line,
            "model": self.folder,
            "arguments": arguments,
            "family": found.family,
            "kind": found.kind,
            "step_tag_id": found.step_tag_id,
            "num_labels": found.num_labels,
        }
        out.result(result, lambda console: console.print(line, soft_wrap=True, markup=False))

    def _arguments(self, found: Serving) -> list[str]:
        name = Path(self.folder).resolve().name
        pooler = msgspec.json.encode(found.pooler).decode()
        return [
            *("--served-model-name", name),
            *("--runner", "pooling"),
            *found.engine,
            *("--pooler-config", pooler),
            *("--dtype", DTYPES[self.precision]),
        ]


COMMAND = ServeConfig
