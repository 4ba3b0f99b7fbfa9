"""The rows of many shards as columns, one shard after the other: in memory, or in files that have no name.

A list of all clips with small arrays each, joined at the end, takes several times the memory of the rows.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import fields
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.encoder import SpecDocument, StreamFeatures
from dualstream.features.faces.rows import FaceRows
from dualstream.pipeline.cache import StoredProjection, Stream
from dualstream.pipeline.extraction.shards import ClipRows
from dualstream.pipeline.storage.rows import GrowingRows, SpooledRows
from dualstream.pipeline.storage.texts import GrowingTexts

NewRows = Callable[[], GrowingRows | SpooledRows]


def rows_in(spool: Path | None) -> NewRows:
    """Return what makes a column: in memory, or in a file beside `spool`."""
    return GrowingRows if spool is None else lambda: SpooledRows(spool)


class ClipColumns:
    """What shards say of their clips beside the streams."""

    def __init__(self, new: NewRows) -> None:
        self.windows = GrowingRows()
        """Number of windows, of each clip."""
        self.start_s = new()
        """Of each window."""
        self.duration_s = GrowingRows()
        self.sha256, self.status, self.reason = GrowingTexts(), GrowingTexts(), GrowingTexts()

    def __len__(self) -> int:
        return len(self.windows)

    def append(self, clips: Sequence[ClipRows]) -> None:
        """Append the clips of a shard."""
        self.windows.append(np.array([len(clip.starts_s) for clip in clips], np.int64))
        self.start_s.append(np.concatenate([clip.starts_s for clip in clips]))
        self.duration_s.append(np.array([clip.duration_s for clip in clips], np.float64))
        for column in ("sha256", "status", "reason"):
            getattr(self, column).append(getattr(clip, column) for clip in clips)


class StreamColumns:
    """The rows of one stream."""

    def __init__(self, new: NewRows) -> None:
        self._utterance, self._present = new(), GrowingRows()
        self._windows, self._window_present, self._time_s = new(), new(), new()
        self._faces = {one.name: new() for one in fields(FaceRows)}
        self._clips_with_faces = 0

    def append(self, clips: Sequence[StreamFeatures]) -> None:
        """Append the rows of a shard's clips."""
        self._utterance.append(np.stack([one.utterance for one in clips]))
        self._present.append(np.array([one.present for one in clips], np.bool_))
        self._windows.append(np.concatenate([one.windows for one in clips]))
        self._window_present.append(np.concatenate([one.window_present for one in clips]))
        self._time_s.append(np.concatenate([one.time_s for one in clips]))
        faces = [one.faces for one in clips if one.faces is not None]
        for name, column in self._faces.items() if faces else ():
            column.append(np.concatenate([getattr(one, name) for one in faces]))
        self._clips_with_faces += len(faces)

    def stream(self, name: str, spec: SpecDocument, projection: StoredProjection | None) -> Stream:
        """Return the stream that all rows make; its width is theirs. Rows on disk stand in the place of arrays."""
        utterance: Any = self._utterance.rows()
        windowed = bool(spec["has_windows"])
        windows, window_present, time_s = self._of_windows() if windowed else (None, None, None)
        if projection is not None:
            spec = {**spec, "column_names": None}
        whole = self._clips_with_faces == len(utterance)
        faces: dict[str, Any] = {one: column.rows() for one, column in self._faces.items()} if whole else {}
        return Stream(
            name=name,
            utterance=utterance,
            present=self._present.rows(),
            windows=windows,
            window_present=window_present,
            time_s=time_s,
            spec={**spec, "width": utterance.shape[1]},
            projection=projection,
            faces=FaceRows(**faces) if whole else None,
        )

    def _of_windows(self) -> tuple[Any, Any, Any]:
        return self._windows.rows(), self._window_present.rows(), self._time_s.rows()
