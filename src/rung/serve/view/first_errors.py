"""Tables of first-error metrics: from files of `rung eval processbench`, else from the chains."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from pathlib import Path

import msgspec

from rung.core import ChainRecord, RungError
from rung.core.errors import InputError
from rung.eval import FirstErrors, processbench
from rung.eval.choose import label_sources_of, reads_every_step, scorers_of
from rung.serve.view.charts import RESAMPLES
from rung.serve.view.documents import FirstErrorTable


class _Printed(msgspec.Struct):
    metrics: tuple[FirstErrors, ...]


def tables_in(path: Path, name: str) -> Iterator[FirstErrorTable]:
    """What `rung eval processbench --json` printed.

    Raises:
        InputError: The file holds something else.
    """
    try:
        found = msgspec.json.decode(path.read_bytes(), type=_Printed)
    except msgspec.DecodeError as error:
        raise InputError(f"this holds no first-error metrics ({error})", file=name) from error
    yield FirstErrorTable(f"first-errors-{name}", f"First errors, {name}", name, found.metrics)


def measured_tables(records: Sequence[ChainRecord], name: str) -> Iterator[FirstErrorTable]:
    """The same of a file's chains: every PRM against every source of labels."""
    rows: list[FirstErrors] = []
    for scorer in scorers_of(records):
        if not reads_every_step(records, scorer):
            continue
        for source in label_sources_of(records):
            try:
                found = processbench(
                    records, scorer=scorer, label_source=source, resamples=RESAMPLES
                )
            except RungError:  # no chain has both
                continue
            rows += [row for row in found if row.num_problems]
    if rows:
        title = f"First errors, measured on {name}"
        yield FirstErrorTable(f"measured-first-errors-{name}", title, name, tuple(rows))
