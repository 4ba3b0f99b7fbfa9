"""Whose face each window shows, as datasets of a shard or a cache: the optional group ``streams/NAME/faces``."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
from dualstream.features.faces.rows import FaceRows
from dualstream.pipeline.storage.rows import RowsOnDisk
from dualstream.pipeline.storage.schema import Field
from numpy.typing import NDArray

TYPES = {"box": "<f4", "track": "<i4", "score": "<f4", "margin": "<f4", "in_view": "<i4", "state": "<i4"}
FACE_FIELDS = {
    f"streams/*/faces/{name}": Field(dtype, 2 if name == "box" else 1, on_disk=True)
    for name, dtype in TYPES.items()
}


def face_values(rows: FaceRows | None) -> dict[str, NDArray[Any]]:
    """Return the datasets of some rows, by path below the stream; nothing where there are none."""
    if rows is None:
        return {}
    return {f"faces/{name}": _typed(getattr(rows, name), dtype) for name, dtype in TYPES.items()}


def _typed(column: NDArray[Any] | RowsOnDisk, dtype: str) -> Any:
    return column if isinstance(column, RowsOnDisk) else np.ascontiguousarray(column, dtype)


def face_rows(values: Mapping[str, Any], at: str, span: slice = slice(None)) -> FaceRows | None:
    """Return the rows below the stream at `at`, all or those of a span; None where it has none."""
    if f"{at}/faces/state" not in values:
        return None
    columns = {name: values[f"{at}/faces/{name}"] for name in TYPES}
    if span != slice(None):
        columns = {name: column[span] for name, column in columns.items()}
    return FaceRows(**columns)
