"""Streams of plain arrays: one array with its columns shared out, or an array for each stream by its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from numbers import Integral
from typing import Any, TypeGuard, cast

import numpy as np
from numpy.typing import ArrayLike, NDArray

Columns = dict[str, NDArray[np.int64]]
"""Positions of each stream's columns, by name."""
Rows = ArrayLike | Mapping[str, ArrayLike]
"""One array (N, D), or one for each stream."""


def given(X: Rows, streams: Mapping[str, int | Sequence[int]] | None) -> tuple[Columns | None, ArrayLike]:
    """Return which columns each stream has, None where nobody says, and all of them side by side.

    Raises
    ------
    ValueError
        Where what X and `streams` say does not agree, or arrays are not of as many rows.
    """
    stated = None if streams is None else positions(streams)
    if not is_named(X):
        return stated, cast("ArrayLike", X)
    arrays = {name: _rows(name, one) for name, one in X.items()}
    found = positions({name: one.shape[1] for name, one in arrays.items()})
    if stated is not None and {name: len(one) for name, one in stated.items()} != {
        name: len(one) for name, one in found.items()
    }:
        raise ValueError(f"X has the streams {_told(found)}; streams says {_told(stated)}")
    arrays = {name: arrays[name] for name in stated or arrays}  # in the order that the estimator says
    return positions({name: one.shape[1] for name, one in arrays.items()}), _joined(arrays)


def is_named(X: Rows) -> TypeGuard[Mapping[str, ArrayLike]]:
    """Tell whether X is an array for each stream; sparse matrices of keys are mappings too, with a shape."""
    return isinstance(X, Mapping) and not hasattr(X, "shape")


def like_fit(X: Rows, columns: Columns) -> ArrayLike:
    """Return X as one array, its columns where those of the array that was fitted on stood.

    Raises
    ------
    ValueError
        Where X is a mapping with other streams or widths.
    """
    if not is_named(X):
        return cast("ArrayLike", X)
    arrays = {name: _rows(name, one) for name, one in X.items()}
    found = positions({name: one.shape[1] for name, one in arrays.items()})
    if {name: len(one) for name, one in found.items()} != {name: len(one) for name, one in columns.items()}:
        raise ValueError(f"X has the streams {_told(found)}; the classifier was fitted on {_told(columns)}")
    joined = _joined({name: arrays[name] for name in columns})
    answer = np.empty_like(joined)
    answer[:, np.concatenate(list(columns.values()))] = joined
    return answer


def positions(streams: Mapping[str, int | Sequence[int]]) -> Columns:
    """Return the positions of each stream's columns, from counts side by side or from positions.

    Raises
    ------
    ValueError
        Where there is no stream, counts and positions are mixed, or one is neither.
    """
    counts = [isinstance(one, Integral) and not isinstance(one, bool) for one in streams.values()]
    if not streams or any(counts) != all(counts):
        raise ValueError(
            f"streams are {dict(streams)!r}; expected a count of columns for each name, such as "
            '{"whisper": 192, "face": 100}, or the positions of its columns'
        )
    found: Columns = {}
    start = 0
    for name, one in streams.items():
        own = np.arange(start, start + int(one)) if isinstance(one, Integral) else np.asarray(one)
        if own.ndim != 1 or not len(own) or not np.issubdtype(own.dtype, np.integer):
            raise ValueError(f"the stream {name!r} has {one!r} columns; expected 1 or more, or their positions")
        found[str(name)] = own.astype(np.int64)
        start += len(own)
    return found


def require_all(columns: Columns, width: int) -> None:
    """Refuse streams that do not share all columns out.

    Raises
    ------
    ValueError
        Where a column is of no stream or of two, or there is none at a position.
    """
    every = np.concatenate(list(columns.values()))
    if len(every) != width or not np.array_equal(np.sort(every), np.arange(width)):
        raise ValueError(
            f"the streams {_told(columns)} take {len(every)} columns; X has n_features = {width}, and each "
            "column is of one stream"
        )


def _rows(name: str, one: ArrayLike) -> NDArray[Any]:
    rows = np.asarray(one)
    if rows.ndim != 2:
        raise ValueError(f"the stream {name!r} of X has shape {rows.shape}; expected (N, D)")
    return rows


def _joined(arrays: Mapping[str, NDArray[Any]]) -> NDArray[Any]:
    counts = {name: len(one) for name, one in arrays.items()}
    if len(set(counts.values())) > 1:
        raise ValueError(f"the streams of X have different numbers of rows: {counts}")
    return np.concatenate(list(arrays.values()), axis=1)


def _told(columns: Columns) -> str:
    return ", ".join(f"{name}: {len(one)}" for name, one in columns.items())
