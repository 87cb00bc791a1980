"""Ratings as files: rung's own, TRL's, PRM800K's. Work goes on meanwhile; an export is a moment."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from sqlalchemy import Connection

from rung.core.codec import encode_record
from rung.data.loading import encoded
from rung.data.rows import Neutral
from rung.label.human import SOURCE
from rung.label.prm800k_rows import prm800k_rows
from rung.label.rating_records import all_ratings, rated_chains, rated_records

ExportFormat = Literal["rung", "trl", "prm800k"]


def export_lines(
    connection: Connection, format: ExportFormat, *, neutral: Neutral = "good"
) -> Iterator[bytes]:
    """The lines of a file with all ratings.

    Args:
        connection: One that reads.
        format: rung: chains with the labels that are settled and those of each person. trl: the
            settled ones. prm800k: a row for each person and chain that was submitted.
        neutral: What a rating of 0 means as a label; PRM800K's rows hold ratings.
    """
    ratings = all_ratings(connection)
    if format == "prm800k":
        yield from prm800k_rows(rated_chains(connection, ratings), ratings)
        return
    records = rated_records(connection, neutral=neutral, ratings=ratings)
    if format == "trl":
        yield from encoded(records, "trl", SOURCE)
    else:
        yield from map(encode_record, records)
