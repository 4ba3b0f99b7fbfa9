"""What readers of tables share: how a table is read, the rows as they stand in the file, and their error."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dualstream.features.encoders.table_columns import Columns, sort_columns
from dualstream.features.encoders.table_numbers import Numbers
from dualstream.features.options import LEAST_CONFIDENCE
from numpy.typing import NDArray


class TableError(ValueError):
    """A table of features can't be used; the message names the file, and the row and column where it can."""


@dataclass(frozen=True)
class TableReading:
    """How tables are read, where their files don't say it."""

    rate_hz: float | None = None
    """Frames per second of arrays (T, D), which carry no times."""
    confidence: float = LEAST_CONFIDENCE
    """OpenFace's rows with less confidence than this hold no face."""


@dataclass(frozen=True, repr=False)
class Rows:
    """N rows as they stand in the file."""

    ids: Sequence[str]
    columns: Columns
    numbers: Numbers
    """Times and features of the rows that did not fail."""
    places: Sequence[int]
    failed: NDArray[np.bool_]
    """Rows in which the tool found nothing, shape (N,)."""

    @classmethod
    def of(
        cls,
        ids: Sequence[str],
        columns: Columns,
        values: NDArray[np.float64],
        places: Sequence[int],
        failed: NDArray[np.bool_],
    ) -> Rows:
        """Return the rows of an array, shape (N, len(columns.names)); NaN where a failed row has no number."""
        kept = values[~failed] if failed.any() else values
        return cls(ids, columns, Numbers.of(columns.names, kept), places, failed)


def sorted_columns(path: Path, header: Sequence[str], *, has_id: bool = True, spans: bool = False) -> Columns:
    """Tell what a header's columns are; see `sort_columns`.

    Raises
    ------
    TableError
        Where the header can't be used.
    """
    if has_id and len(header) < 2:
        raise TableError(
            f"table {path.name} has the columns {list(header)}; expected an id and features, separated by commas, "
            "semicolons or tabs"
        )
    try:
        return sort_columns(header, has_id=has_id, spans=spans)
    except ValueError as error:
        raise TableError(f"table {path.name}: {error}") from error


def where(kind: str, place: int) -> str:
    """Return how a person finds a row in a file of a kind."""
    return f"line {place}" if kind == "csv" else f"row {place} (from 0)"


def shaping(how: TableReading, left_out: Sequence[str], *, pooled: bool = False) -> dict[str, float]:
    """Return what of the reading shaped the rows, where it is not the default, for the encoder's parameters."""
    found: dict[str, float] = {}
    if how.rate_hz is not None and pooled:
        found["rate_hz"] = how.rate_hz
    if "confidence" in (name.lower() for name in left_out) and how.confidence != LEAST_CONFIDENCE:
        found["confidence"] = how.confidence
    return found
