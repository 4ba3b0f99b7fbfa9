"""What the rows of a stream look like, of any number of them: a block is held at a time, and a digest of each."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Any

import numpy as np
from dualstream.heads.evaluation.outliers import MAX_ROWS, UsualRange
from dualstream.pipeline.experiments.inspection import Health
from dualstream.pipeline.experiments.ranges import Outliers, odd_rows
from dualstream.pipeline.storage.rows import RowsOnDisk, blocks
from numpy.typing import NDArray

DIGEST_BYTES = 16
NEARLY_CONSTANT = 1e-6  # spread over the column's largest magnitude

Rows = NDArray[np.float32] | RowsOnDisk


def health(rows: Rows, present: NDArray[np.bool_], owner: NDArray[np.integer[Any]], *, not_finite: int) -> Health:
    """Return what the present ones of the rows (R, D) look like; `owner` is each row's utterance, shape (R,)."""
    if not present.any():
        return Health(rows=0, dead_columns=(), repeated_rows=0, not_finite=not_finite)
    width = rows.shape[1]
    least, largest, magnitude = np.full(width, np.inf), np.full(width, -np.inf), np.zeros(width)
    finite = np.zeros(int(present.sum()), dtype=np.bool_)
    norms = np.zeros(len(finite))
    at = 0
    for block in _blocks_of(rows, present):
        good = np.isfinite(block).all(axis=1)
        part, kept = slice(at, at + len(block)), block[good]
        finite[part] = good
        norms[part][good] = np.linalg.norm(kept.astype(np.float64), axis=1)
        least, largest = (
            np.minimum(least, kept.min(axis=0, initial=np.inf)),
            np.maximum(largest, kept.max(axis=0, initial=-np.inf)),
        )
        magnitude = np.maximum(magnitude, np.abs(kept).max(axis=0, initial=0))
        at += len(block)
    count = int(finite.sum())
    dead = np.flatnonzero((largest - least).astype(np.float32) <= NEARLY_CONSTANT * magnitude.astype(np.float32))
    codes = row_codes(_blocks_of(rows, present), len(finite))
    return Health(
        rows=len(finite),
        dead_columns=tuple(dead.tolist()) if count > 1 else (),
        repeated_rows=count - len(np.unique(codes[finite])),
        least=float(least.min()) if count else None,
        largest=float(largest.max()) if count else None,
        mean_norm=float(norms[finite].mean()) if count else None,
        not_finite=not_finite,
        repeated_utterances=_repeated(codes, owner[present]),
    )


def count_not_finite(rows: Rows, among: NDArray[np.bool_] | None = None) -> int:
    """Return how many rows hold NaN or infinity, of all or of those that are marked."""
    parts = (block for _, block in blocks(rows)) if among is None else _blocks_of(rows, among)
    return sum(int((~np.isfinite(block).all(axis=1)).sum()) for block in parts)


def usual_range(rows: Rows, known: NDArray[np.bool_]) -> UsualRange | None:
    """Return what `UsualRange.of` does of the marked rows, of which only those that it draws are held."""
    good = known.copy()
    for span, block in blocks(rows):
        good[span] &= np.isfinite(block).all(axis=1) & (block != 0).any(axis=1)
    chosen = np.flatnonzero(good)
    if len(chosen) > MAX_ROWS:
        chosen = chosen[np.sort(np.random.default_rng(0).choice(len(chosen), MAX_ROWS, replace=False))]
        good[:] = False
        good[chosen] = True
    return UsualRange.of(np.asarray(rows[good]))


def outliers_of(
    name: str,
    rows: Rows,
    present: NDArray[np.bool_],
    ids: Sequence[str],
    usual: UsualRange,
    columns: Sequence[str] | None,
) -> Outliers:
    """Return what `odd_rows` does of all rows."""
    parts = [
        odd_rows(name, block, present[span], _From(ids, span.start, len(block)), usual, columns)
        for span, block in blocks(rows)
    ]
    far = sorted((row for part in parts for row in part.far), key=lambda row: -row.excess)
    zeros = tuple(row for part in parts for row in part.zeros)
    return Outliers(name, int(present.sum()), tuple(far), zeros)


def row_codes(parts: Iterable[NDArray[np.float32]], count: int) -> NDArray[np.int64]:
    """Return a number for each of `count` rows, from 0 on, the same for rows of the same bytes.

    Of millions of rows their digests are compared, not copies of them.
    """
    digests = (blake2b(row.tobytes(), digest_size=DIGEST_BYTES).digest() for part in parts for row in part)
    held = np.fromiter(digests, f"S{DIGEST_BYTES}", count=count)
    return np.asarray(np.unique(held, return_inverse=True)[1], np.int64).reshape(-1)


@dataclass(frozen=True)
class _From(Sequence[str]):
    """A part of a sequence, which is not copied."""

    whole: Sequence[str]
    first: int
    length: int

    def __len__(self) -> int:
        return self.length

    def __getitem__(self, at: Any) -> Any:
        return self.whole[self.first + int(at)]


def _blocks_of(rows: Rows, present: NDArray[np.bool_]) -> Iterator[NDArray[np.float32]]:
    for span, block in blocks(rows):
        yield block[present[span]]


def _repeated(codes: NDArray[np.int64], owner: NDArray[np.integer[Any]]) -> int:
    """Return how many utterances have no row that is not another utterance's too."""
    first = np.zeros(int(codes.max()) + 1, dtype=owner.dtype)
    first[codes[::-1]] = owner[::-1]
    shared = np.zeros(len(first), dtype=np.bool_)
    shared[codes[owner != first[codes]]] = True
    return len(np.unique(owner)) - len(np.unique(owner[~shared[codes]]))
