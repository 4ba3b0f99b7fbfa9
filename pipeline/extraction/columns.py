"""The rows of many shards as columns, one shard after the other, in memory that grows where it lies.

A list of all clips with small arrays each, joined at the end, takes several times the memory of the rows.
"""

from __future__ import annotations

from collections.abc import Sequence
from sys import intern
from typing import Any

import numpy as np
from dualstream.features.encoder import SpecDocument, StreamFeatures
from dualstream.features.faces.rows import FaceRows
from dualstream.pipeline.cache import StoredProjection, Stream
from dualstream.pipeline.extraction.shards import ClipRows
from numpy.typing import NDArray

GROWTH = 1.125  # room that may be taken too much
LEAST_ROWS = 256


class GrowingRows:
    """Rows that are appended to one array; a large one is moved by the system's page table, not copied."""

    def __init__(self) -> None:
        self._held: NDArray[Any] | None = None
        self._count = 0

    def __len__(self) -> int:
        return self._count

    def append(self, rows: NDArray[Any]) -> None:
        """Append rows; the first ones settle width and type."""
        count = self._count + len(rows)
        if self._held is None:
            self._held = np.empty((max(count, LEAST_ROWS), *rows.shape[1:]), rows.dtype)
        if rows.shape[1:] != self._held.shape[1:]:
            raise ValueError(f"rows of shape {rows.shape[1:]} after rows of shape {self._held.shape[1:]}")
        if count > len(self._held):
            self._held.resize((int(count * GROWTH), *self._held.shape[1:]), refcheck=False)
        self._held[self._count : count] = rows
        self._count = count

    def rows(self) -> NDArray[Any]:
        """Return all rows; nothing may be appended any more."""
        assert self._held is not None, "no rows were appended"
        if len(self._held) != self._count:
            self._held.resize((self._count, *self._held.shape[1:]), refcheck=False)
        return self._held


class ClipColumns:
    """What shards say of their clips beside the streams."""

    def __init__(self) -> None:
        self.windows = GrowingRows()
        """Number of windows, of each clip."""
        self.start_s = GrowingRows()
        """Of each window."""
        self.duration_s = GrowingRows()
        self.sha256: list[str] = []
        self.status: list[str] = []
        self.reason: list[str] = []

    def __len__(self) -> int:
        return len(self.sha256)

    def append(self, clips: Sequence[ClipRows]) -> None:
        """Append the clips of a shard."""
        self.windows.append(np.array([len(clip.starts_s) for clip in clips], np.int64))
        self.start_s.append(np.concatenate([clip.starts_s for clip in clips]))
        self.duration_s.append(np.array([clip.duration_s for clip in clips], np.float64))
        self.sha256 += [clip.sha256 for clip in clips]
        self.status += [intern(clip.status) for clip in clips]
        self.reason += [intern(clip.reason) for clip in clips]


class StreamColumns:
    """The rows of one stream."""

    def __init__(self) -> None:
        self._utterance, self._present = GrowingRows(), GrowingRows()
        self._windows, self._window_present, self._time_s = GrowingRows(), GrowingRows(), GrowingRows()
        self._faces: list[FaceRows] = []
        self._clips_with_faces = 0

    def append(self, clips: Sequence[StreamFeatures]) -> None:
        """Append the rows of a shard's clips."""
        self._utterance.append(np.stack([one.utterance for one in clips]))
        self._present.append(np.array([one.present for one in clips], np.bool_))
        self._windows.append(np.concatenate([one.windows for one in clips]))
        self._window_present.append(np.concatenate([one.window_present for one in clips]))
        self._time_s.append(np.concatenate([one.time_s for one in clips]))
        faces = [one.faces for one in clips if one.faces is not None]
        if faces:
            self._faces.append(FaceRows.joined(faces))
            self._clips_with_faces += len(faces)

    def stream(self, name: str, spec: SpecDocument, projection: StoredProjection | None) -> Stream:
        """Return the stream that all rows make; its width is theirs."""
        utterance, windowed = self._utterance.rows(), bool(spec["has_windows"])
        if projection is not None:
            spec = {**spec, "column_names": None}
        whole = self._clips_with_faces == len(utterance)
        return Stream(
            name=name,
            utterance=utterance,
            present=self._present.rows(),
            windows=self._windows.rows() if windowed else None,
            window_present=self._window_present.rows() if windowed else None,
            time_s=self._time_s.rows() if windowed else None,
            spec={**spec, "width": utterance.shape[1]},
            projection=projection,
            faces=FaceRows.joined(self._faces) if whole else None,
        )
