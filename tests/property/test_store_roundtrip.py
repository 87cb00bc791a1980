from collections.abc import Iterator
from contextlib import suppress

import pytest
from hypothesis import given, settings
from strategies import records

from rung import ChainRecord
from rung.store.chains import add_chains, all_chains
from rung.store.opening import Store, open_store


class _TakenBackError(Exception): ...


@pytest.fixture(scope="module")
def empty(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Store]:
    with open_store(tmp_path_factory.mktemp("store") / "ratings.db") as store:
        yield store


@settings(max_examples=50, deadline=None)
@given(record=records())
def test_a_chain_comes_back_from_the_store_as_it_was(empty: Store, record: ChainRecord):
    with suppress(_TakenBackError), empty.writing() as connection:
        add_chains(connection, [record])
        assert [one.record for one in all_chains(connection)] == [record]
        raise _TakenBackError
