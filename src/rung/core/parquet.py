"""Rung rows as Parquet: the columns of `ChainRecord`, nested as they are; `meta` as JSON text."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import Any

import msgspec

from rung.core.errors import InputError, MissingExtraError
from rung.core.files import replacing

ROWS_A_GROUP = 4096


def read_rows(path: str | Path) -> Iterator[bytes]:
    """Each row as the JSON line that the codec reads.

    Raises:
        InputError: The file is missing, is not Parquet, or is not rung's.
    """
    pa, pq = _pyarrow()
    try:
        file = pq.ParquetFile(str(path))
    except FileNotFoundError:
        raise InputError("there is no such file", file=str(path)) from None
    except (pa.ArrowInvalid, OSError) as error:
        raise InputError(f"this is not a Parquet file ({error})", file=str(path)) from error
    version = (file.schema_arrow.metadata or {}).get(b"rung")
    if version is None:
        raise InputError("this Parquet file was not written by rung", file=str(path))
    return _lines(file, int(version), damage=(pa.ArrowException, OSError), name=str(path))


def write_rows(path: Path, rows: Iterable[dict[str, Any]], version: int) -> int:
    """Write rows (builtins of `ChainRecord`) in one piece; return their number."""
    pa, pq = _pyarrow()
    schema = _schema(pa).with_metadata({"rung": str(version)})
    count = 0
    remaining = iter(rows)
    with replacing(path) as aside, pq.ParquetWriter(str(aside), schema) as writer:
        while group := [_flatten(row) for row in islice(remaining, ROWS_A_GROUP)]:
            writer.write_table(pa.Table.from_pylist(group, schema=schema))
            count += len(group)
    return count


def _lines(
    file: Any, version: int, *, damage: tuple[type[Exception], ...], name: str
) -> Iterator[bytes]:
    batches = file.iter_batches(batch_size=ROWS_A_GROUP)
    while True:
        try:
            batch = next(batches, None)
        except damage as error:
            raise InputError(f"the Parquet data is damaged ({error})", file=name) from error
        if batch is None:
            return
        for row in batch.to_pylist():
            row["meta"] = msgspec.json.decode(row["meta"])
            yield msgspec.json.encode({"rung": version, "record": row})


def _flatten(row: dict[str, Any]) -> dict[str, Any]:
    return {**row, "meta": msgspec.json.encode(row["meta"]).decode()}


def _schema(pa: Any) -> Any:
    text, texts = pa.string(), pa.list_(pa.string())
    problem = pa.struct(
        [
            ("id", text),
            ("question", text),
            ("answer", text),
            ("tests", texts),
            ("domain", text),
            ("premises", texts),
        ]
    )
    step = pa.struct([("text", text), ("id", text), ("role", text), ("observation", text)])
    source = pa.struct(
        [
            ("policy", text),
            ("temperature", pa.float64()),
            ("top_p", pa.float64()),
            ("seed", pa.int64()),
            ("finish_reason", text),
            ("num_tokens", pa.int64()),
            ("step_logprobs", pa.list_(pa.float64())),
        ]
    )
    chain = pa.struct(
        [
            ("problem", problem),
            ("steps", pa.list_(step)),
            ("answer", text),
            ("id", text),
            ("source", source),
        ]
    )
    labels = pa.struct(
        [
            ("labels", pa.list_(pa.float64())),
            ("source", text),
            ("ratings", pa.list_(pa.int8())),
            ("counts", pa.list_(pa.list_(pa.int64()))),
        ]
    )
    scores = pa.struct(
        [("scores", pa.list_(pa.float64())), ("scorer", text), ("weights_hash", text)]
    )
    return pa.schema(
        [
            ("chain", chain),
            ("labels", pa.list_(labels)),
            ("scores", pa.list_(scores)),
            ("outcome", text),
            ("meta", text),
        ]
    )


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("pyarrow", "train") from None
    return pa, pq
