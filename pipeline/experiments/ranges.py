"""What was usual in the rows that a head was fitted on, kept with its run or bundle, and who lies far outside.

ranges.safetensors   NAME/middle, NAME/scale (width) and NAME/limits (2), float64, for each stream that is read
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.evaluation.outliers import UsualRange, zero_rows
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.documents import unpack_safetensors, write_bytes
from numpy.typing import NDArray

from dualstream.documents import JsonObject

RANGES = "ranges.safetensors"
PARTS = ("middle", "scale", "limits")
SHOWN_ROWS = 3

Ranges = dict[str, UsualRange]


@dataclass(frozen=True)
class FarRow:
    """A row far outside of what is usual."""

    id: str
    excess: float
    """How many times the limit it lies out, above 1."""
    columns: dict[str, float]
    """The values that put it there by column, the farthest first."""


@dataclass(frozen=True)
class Outliers:
    """What is odd in the rows of one stream."""

    stream: str
    rows: int
    """Present rows that were looked at."""
    far: tuple[FarRow, ...]
    """The farthest first."""
    zeros: tuple[str, ...]
    """Ids of rows that are marked as present and hold nothing but zeros."""

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        return {
            "rows": self.rows,
            "far": [{"id": one.id, "excess": one.excess, "columns": one.columns} for one in self.far],
            "zeros": list(self.zeros),
        }

    def warnings(self, what: str = "rows", against: str = "the other rows") -> list[str]:
        """Return what must be said, each fault with its first rows."""
        words = []
        if self.far:
            shown = "; ".join(
                f"{one.id} ({', '.join(f'{name} {value:.4g}' for name, value in one.columns.items())})"
                for one in self.far[:SHOWN_ROWS]
            )
            more = "; …" if len(self.far) > SHOWN_ROWS else ""
            words.append(
                f"{self.stream}: {len(self.far)} of {self.rows} {what} lie far outside of {against}: {shown}{more}"
            )
        if self.zeros:
            shown = ", ".join(self.zeros[:SHOWN_ROWS]) + (", …" if len(self.zeros) > SHOWN_ROWS else "")
            words.append(
                f"{self.stream}: {len(self.zeros)} of {self.rows} {what} are all zeros without being marked as "
                f"missing: {shown}"
            )
        return words


def usual_ranges(features: FeatureSet, index: NDArray[np.int64], heads: Iterable[str]) -> Ranges:
    """Learn what is usual in the utterances of `index`, for those of the streams `heads` with rows enough."""
    found = {}
    for head in heads:
        stream = features.streams.get(head)
        usual = None if stream is None else UsualRange.of(stream.utterance[index][stream.present[index]])
        if usual is not None:
            found[head] = usual
    return found


def outliers(
    features: FeatureSet,
    index: NDArray[np.int64],
    ranges: Ranges,
    *,
    ids: Sequence[str],
    columns: Mapping[str, Sequence[str] | None],
) -> list[Outliers]:
    """Return what lies far outside of `ranges` among the utterances of `index`, one entry per stream.

    Parameters
    ----------
    ids
        Of all utterances of `features`.
    columns
        Names of each stream's columns, where they have names.
    """
    asked = [ids[i] for i in index]
    found = []
    for head, usual in ranges.items():
        stream = features.streams[head]
        names = columns.get(head)
        found.append(odd_rows(head, stream.utterance[index], stream.present[index], asked, usual, names))
    return found


def odd_rows(
    name: str,
    rows: NDArray[np.float32],
    present: NDArray[np.bool_],
    ids: Sequence[str],
    usual: UsualRange,
    columns: Sequence[str] | None = None,
) -> Outliers:
    """Return which present rows (N, D) lie far outside, and which are all zeros."""
    finite: NDArray[np.bool_] = np.all(np.isfinite(rows), axis=1)
    excess = np.where(present & finite, np.nan_to_num(usual.excess(np.where(finite[:, None], rows, 0))), 0.0)
    far = [i for i in np.argsort(-excess, kind="stable") if excess[i] > 1]
    return Outliers(
        stream=name,
        rows=int(present.sum()),
        far=tuple(FarRow(ids[i], float(excess[i]), _values(rows[i], usual, columns)) for i in far),
        zeros=tuple(ids[i] for i in zero_rows(rows, present)),
    )


def write_ranges(folder: Path, ranges: Ranges) -> None:
    """Write the ranges beside a run's or a bundle's weights."""
    from safetensors.numpy import save

    arrays: dict[str, NDArray[np.float64]] = {}
    for name, one in ranges.items():
        limits = np.array([one.limit_column, one.limit_row])
        arrays |= {f"{name}/middle": one.middle, f"{name}/scale": one.scale, f"{name}/limits": limits}
    write_bytes(folder / RANGES, save({key: np.ascontiguousarray(a) for key, a in arrays.items()}))


def read_ranges(folder: Path, widths: Mapping[str, int]) -> Ranges:
    """Read the ranges of streams with these widths; none where a run or a bundle of an earlier time has none.

    Raises
    ------
    CorruptError
        Where the file is damaged or of other widths.
    """
    place = folder / RANGES
    return ranges_of(place.read_bytes(), place, widths) if place.is_file() else {}


def ranges_of(data: bytes, place: Path, widths: Mapping[str, int]) -> Ranges:
    """Do what `read_ranges` does, for the bytes of the file."""
    from safetensors import SafetensorError

    found = {}
    try:
        arrays, _ = unpack_safetensors(data)
        for name in (one for one in widths if f"{one}/limits" in arrays):
            middle, scale, limits = (arrays[f"{name}/{part}"] for part in ("middle", "scale", "limits"))
            if middle.shape != (widths[name],) or scale.shape != middle.shape or limits.shape != (2,):
                raise ValueError(f"{name} has shape {middle.shape}; expected ({widths[name]},)")
            found[name] = UsualRange(middle, scale, float(limits[0]), float(limits[1]))
    except (SafetensorError, KeyError, ValueError) as error:
        raise CorruptError(f"{place} does not hold the ranges of these streams: {error}") from error
    return found


def _values(row: NDArray[np.float32], usual: UsualRange, names: Sequence[str] | None) -> dict[str, float]:
    return {str(names[j]) if names else f"column {j}": float(row[j]) for j in usual.columns(row)}
