"""Where rows come from: a file, a folder, standard input, or a Hugging Face dataset."""

from __future__ import annotations

import json
import re
from collections.abc import Iterable, Iterator
from itertools import chain
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from rung.core import parquet
from rung.core.codec import read_lines
from rung.core.errors import InputError, MissingExtraError, RungError
from rung.core.files import STDIN
from rung.core.urls import local_copy, local_name, local_path, name_of, url_of
from rung.data.rows import Row

_JSON_SUFFIXES = (".json", ".jsonl", ".ndjson")
_PACKED = ("", ".gz", ".zst")
_HUB_NAME = re.compile(r"([\w.-]+/[\w.-]+)(?:@([\w.-]+))?(?::([\w.-]+))?")
_SAVED_DATASET = ("state.json", "dataset_dict.json")


class Item(NamedTuple):
    """One row as it was found: undecoded JSON, or fields that came decoded."""

    file: str
    line: int
    content: bytes | Row


def read_items(source: str | Path) -> Iterator[Item]:
    """All rows of a source, blank lines left out.

    Args:
        source: A JSONL or JSON file (an array of rows, or one object; plain, .gz, .zst), a
            Parquet file, the URL of such a file, a folder of such files or one that `datasets`
            saved, "-" for standard input, or a Hugging Face dataset as
            OWNER/NAME[@CONFIG][:SPLIT].

    Raises:
        InputError: The file can't be read.
        RungError: The dataset can't be reached, or its split must be named.
        MissingExtraError: Reading it needs the package `datasets` or `pyarrow`.
    """
    if url_of(source) is not None:
        with local_copy(source) as here:
            items = _file_items(str(here))
            yield from (item._replace(file=name_of(source)) for item in items)
        return
    path = local_path(source)
    if str(source) == STDIN or path.is_file():
        yield from _file_items(local_name(source))
    elif path.is_dir():
        yield from _folder_items(path)
    elif (name := _HUB_NAME.fullmatch(str(source))) and not str(source).endswith(_FILE_ENDS):
        yield from _hub_items(str(source), *name.groups())
    else:
        raise InputError(
            "there is no such file (a Hugging Face dataset is named OWNER/NAME)", file=str(source)
        )


_FILE_ENDS = (".parquet", *(kind + pack for kind in _JSON_SUFFIXES for pack in _PACKED))


def decode(content: bytes | Row) -> Any:
    """The row as JSON values. NaN, which JSON does not have, is read as a number to complain of.

    Raises:
        ValueError, msgspec.DecodeError: This is not JSON.
    """
    if not isinstance(content, bytes):
        return content
    try:
        return msgspec.json.decode(content)
    except UnicodeDecodeError as error:
        raise ValueError(f"this is not UTF-8 text ({error})") from error
    except msgspec.DecodeError:
        if b"NaN" in content or b"Infinity" in content:
            return json.loads(content)
        raise


def _file_items(name: str) -> Iterator[Item]:
    if name.endswith(".parquet"):
        yield from _number(name, _parquet_rows(name))
        return
    lines = read_lines(name)
    numbered = ((n, line) for n, line in enumerate(lines, start=1) if line.strip())
    first = next(numbered, None)
    if first is None:
        return
    if first[1].lstrip().startswith(b"["):
        yield from _number(name, _array(name, [first[1], *(line for _, line in numbered)]))
    elif _is_part_of_object(name, first[1]):
        yield from _object(name, [first, *numbered])
    else:
        yield from (Item(name, n, line) for n, line in chain([first], numbered))


def _number(name: str, rows: Iterable[bytes | Row]) -> Iterator[Item]:
    return (Item(name, n, row) for n, row in enumerate(rows, start=1))


def _array(name: str, lines: list[bytes]) -> list[Row]:
    try:
        return decode(b"\n".join(lines))
    except (ValueError, msgspec.DecodeError) as error:
        raise InputError(f"this is not a whole JSON array ({error})", file=name) from error


def _is_part_of_object(name: str, line: bytes) -> bool:
    if not name.endswith(tuple(".json" + pack for pack in _PACKED)):
        return False
    try:
        decode(line)
    except (ValueError, msgspec.DecodeError):
        return True
    return False


def _object(name: str, numbered: list[tuple[int, bytes]]) -> list[Item]:
    try:
        return [Item(name, 1, decode(b"\n".join(line for _, line in numbered)))]
    except (ValueError, msgspec.DecodeError):
        return [Item(name, n, line) for n, line in numbered]


def _parquet_rows(name: str) -> Iterator[bytes | Row]:
    pa, pq = _pyarrow()
    try:
        with pq.ParquetFile(name) as file:
            if b"rung" in (file.schema_arrow.metadata or {}):
                yield from parquet.read_rows(name)
                return
            for batch in file.iter_batches(batch_size=parquet.ROWS_A_GROUP):
                yield from batch.to_pylist()
    except (pa.ArrowException, OSError) as error:
        raise InputError(f"the Parquet data is damaged ({error})", file=name) from error


def _pyarrow() -> tuple[Any, Any]:
    try:
        import pyarrow as pa
        import pyarrow.parquet as pq
    except ImportError:
        raise MissingExtraError("pyarrow", "train") from None
    return pa, pq


def _folder_items(folder: Path) -> Iterator[Item]:
    if any((folder / mark).is_file() for mark in _SAVED_DATASET):
        yield from _dataset_items(str(folder), _datasets().load_from_disk(str(folder)))
        return
    files = sorted(path for path in folder.rglob("*") if path.name.endswith(_FILE_ENDS))
    if not files:
        raise InputError("this folder holds no .jsonl, .json or .parquet file", file=str(folder))
    for path in files:
        yield from _file_items(str(path))


def _hub_items(source: str, name: str, config: str | None, split: str | None) -> Iterator[Item]:
    datasets = _datasets()
    try:
        dataset = datasets.load_dataset(name, config, split=split)
    except (OSError, ValueError, RuntimeError) as error:
        reason = str(error).splitlines()[0] if str(error) else type(error).__name__
        raise RungError(
            f"there is no file {source!r}, and as a Hugging Face dataset it can't be had: {reason}"
        ) from error
    yield from _dataset_items(source, dataset)


def _dataset_items(source: str, dataset: Any) -> Iterator[Item]:
    if isinstance(dataset, dict):
        if len(dataset) != 1:
            names = ", ".join(map(str, dataset))
            how = "FOLDER/SPLIT" if Path(source).is_dir() else "OWNER/NAME:SPLIT"
            raise RungError(f"{source}: this dataset has splits ({names}), name one as {how}")
        dataset = next(iter(dataset.values()))
    yield from _number(source, dataset)


def _datasets() -> Any:
    try:
        import datasets
    except ImportError:
        raise MissingExtraError("datasets", "train") from None
    return datasets
