"""Generative and implicit PRMs are told from what their authors published, and the reason is said.

The names are those of the hubs' repositories (GenPRM/GenPRM-7B, launch/ThinkPRM-14B,
PRIME-RL/EurusPRM-Stage1, Windy0822/ImplicitPRM_DPO), the architectures those of their configs.
"""

import json
import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from rung import InputError, RungError
from rung.cli.places import Place
from rung.cli.scorers import family_of
from rung.core.progress import Silent
from rung.model.families import recognize
from rung.score import load_scorer
from rung.score.others import OTHERS
from tiny_lms import byte_tokenizer, save_implicit, save_lm

QWEN, LLAMA = "Qwen2ForCausalLM", "LlamaForCausalLM"
PUBLISHED = {
    "GenPRM-1.5B": ("genprm", "GenPRM", QWEN),
    "GenPRM-7B": ("genprm", "GenPRM", QWEN),
    "GenPRM-32B": ("genprm", "GenPRM", QWEN),
    "ThinkPRM-1.5B": ("thinkprm", "ThinkPRM", QWEN),
    "ThinkPRM-7B": ("thinkprm", "ThinkPRM", QWEN),
    "ThinkPRM-14B": ("thinkprm", "ThinkPRM", QWEN),
    "EurusPRM-Stage1": ("implicit", "EurusPRM", QWEN),
    "EurusPRM-Stage2": ("implicit", "EurusPRM", QWEN),
    "ImplicitPRM_DPO": ("implicit", "ImplicitPRM", LLAMA),
    "ImplicitPRM_CE": ("implicit", "ImplicitPRM", LLAMA),
}
Copied = Callable[..., Path]


@pytest.fixture(scope="module")
def lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_lm(tmp_path_factory.mktemp("models") / "lm", byte_tokenizer())


@pytest.fixture
def copied(lm: Path, tmp_path: Path) -> Copied:
    """The causal LM under another name, with another config."""

    def copy(name: str, **config: Any) -> Path:
        folder = Path(shutil.copytree(lm, tmp_path / name))
        told = json.loads((folder / "config.json").read_text())
        (folder / "config.json").write_text(json.dumps(told | config))
        return folder

    return copy


class Heard(Silent):
    """Keeps what was said."""

    def __init__(self) -> None:
        self.said: list[str] = []

    def log(self, message: str) -> None:
        self.said.append(message)


@pytest.mark.parametrize("name", PUBLISHED)
def test_auto_says_what_it_recognized_and_by_what(copied: Copied, name: str):
    family, says, architecture = PUBLISHED[name]
    heard = Heard()
    folder = copied(name, architectures=[architecture])
    assert family_of(Place(name, str(folder), None), "auto", heard) == family
    assert heard.said == [
        f"{name} is read as {family} ({OTHERS[family].about}): the folder's name says {says}"
    ]


@pytest.mark.parametrize("name", PUBLISHED)
def test_a_renamed_folder_is_told_from_its_config_or_the_title_of_its_card(
    copied: Copied, name: str
):
    family, says, architecture = PUBLISHED[name]
    by_config = copied("one", architectures=[architecture], _name_or_path=f"models/{name}")
    found, why = recognize(by_config, OTHERS.values())
    assert (found.name, why) == (family, f"config.json's _name_or_path says {says}")
    by_card = copied("two", architectures=[architecture])
    (by_card / "README.md").write_text(f"---\nlicense: mit\n---\n# {name}\n\nBetter than others.\n")
    found, why = recognize(by_card, OTHERS.values())
    assert (found.name, why) == (family, f"the title of README.md says {says}")


def test_a_card_that_only_compares_tells_nothing(copied: Copied):
    folder = copied("mine")
    (folder / "README.md").write_text("# A model of ours\n\nBetter than GenPRM and EurusPRM.\n")
    with pytest.raises(InputError, match="name its family") as refused:
        recognize(folder, OTHERS.values())
    assert all(name in str(refused.value) for name in OTHERS)


def test_a_name_of_two_kinds_is_refused_with_both(copied: Copied):
    with pytest.raises(InputError, match=r"\(genprm, as .* GenPRM; thinkprm, as .* ThinkPRM\)"):
        recognize(copied("ThinkPRM-after-GenPRM"), OTHERS.values())


def test_a_classifier_is_no_generative_model_whatever_it_is_called(copied: Copied):
    folder = copied("GenPRM-head", architectures=["Qwen2ForTokenClassification"])
    assert recognize(folder, OTHERS.values()).family.name == "trl"


def test_an_implicit_prm_of_rung_is_told_from_its_file(tmp_path: Path):
    folder, heard = save_implicit(tmp_path / "mine"), Heard()
    assert family_of(Place("mine", str(folder), None), "auto", heard) == "implicit"
    assert heard.said == []  # as with every checkpoint of rung's own
    assert recognize(folder, OTHERS.values()).why == "it has implicit.json"


@pytest.mark.parametrize("name", ["GenPRM-7B", "ThinkPRM-1.5B", "EurusPRM-Stage1"])
def test_load_scorer_says_what_opens_them(copied: Copied, name: str):
    family, _, _ = PUBLISHED[name]
    opens = {"genprm": "GenPRM(", "thinkprm": "ThinkPRM(", "implicit": "load_implicit("}[family]
    folder = copied(name)
    for told in ("auto", family):
        with pytest.raises(RungError, match=re.escape(f"rung.score.{opens}")) as caught:
            load_scorer(folder, family=told)
        assert OTHERS[family].about in str(caught.value)
