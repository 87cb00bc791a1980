"""What is written is read back, in every container, for any record."""

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from strategies import chains, records

from rung import Chain, Step
from rung.core.codec import decode_record, encode_record, read_records, write_records
from rung.core.types import step_id


@settings(deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(record=records())
def test_a_row_read_back_is_the_record(record):
    assert decode_record(encode_record(record)) == record


@pytest.mark.parametrize("suffix", ["jsonl", "jsonl.gz", "jsonl.zst", "parquet"])
def test_a_file_read_back_is_the_records(suffix):
    @settings(deadline=None, max_examples=25, suppress_health_check=[HealthCheck.too_slow])
    @given(rows=st.lists(records(), min_size=1, max_size=4))
    def check(rows):
        with tempfile.TemporaryDirectory() as folder:
            path = Path(folder) / f"rows.{suffix}"
            assert write_records(path, rows) == len(rows)
            assert list(read_records(path)) == rows

    check()


@given(chain=chains(min_steps=0), further=st.lists(st.text(max_size=5), max_size=4))
def test_extending_never_changes_the_ids_before(chain, further):
    longer = chain.extend(*further)
    assert longer.steps[: len(chain.steps)] == chain.steps
    assert len({step.id for step in longer.steps}) == len(longer.steps)


@given(chain=chains())
def test_ids_are_the_hashes_of_the_prefixes(chain):
    parent = chain.problem.root_id
    for step in chain.steps:
        assert step.id == step_id(parent, Step(step.text, "", step.role, step.observation))
        parent = step.id


@given(chain=chains(), at=st.integers(0, 4))
def test_changing_a_step_changes_its_id_and_all_after_it_and_none_before(chain, at):
    at %= len(chain.steps)
    texts = list(chain.texts)
    before = Chain.of(chain.problem, texts).steps
    texts[at] += "!"
    after = Chain.of(chain.problem, texts).steps
    same = [old.id == new.id for old, new in zip(before, after, strict=True)]
    assert same == [k < at for k in range(len(texts))]
