"""What a cache holds, in memory: utterances, the windows' grid, streams, vocabulary, provenance."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from dualstream.features.encoder import SpecDocument
from dualstream.features.faces.rows import FaceRows
from dualstream.pipeline.cache import convert
from dualstream.pipeline.provenance import Provenance
from numpy.typing import NDArray

from dualstream.documents import JsonObject

if TYPE_CHECKING:
    import pandas
    import torch

FORMAT_VERSION = 1
UNLABELLED = -1


class FailedClip(NamedTuple):
    """An utterance without features, and why."""

    id: str
    reason: str

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        return self._asdict()


@dataclass(frozen=True, repr=False)
class StoredProjection:
    """The affine road from an encoder's raw rows to the stream's rows: ``(raw - mean) @ components.T``."""

    kind: str
    """``pca`` or ``gaussian``."""
    mean: NDArray[np.float32]
    """Shape (raw_width,)."""
    components: NDArray[np.float32]
    """Shape (width, raw_width)."""
    fitted_on: JsonObject
    """Split, number of rows and sha256 over their ids and digests; for ``gaussian`` the seed."""


@dataclass(frozen=True, repr=False)
class Stream:
    """One stream of N utterances and W windows."""

    name: str
    utterance: NDArray[np.float32]
    """Shape (N, D)."""
    present: NDArray[np.bool_]
    """Shape (N,); the row of an absent stream is zeros and means nothing."""
    windows: NDArray[np.float32] | None
    """Shape (W, D), or None for a stream without windows."""
    window_present: NDArray[np.bool_] | None
    """Shape (W,), or None with `windows`."""
    time_s: NDArray[np.float64] | None
    """Shape (W,): the instant each row stands for on its clip's clock, NaN where absent; None with `windows`."""
    spec: SpecDocument
    """features.encoder.EncoderSpec.to_json() of the encoder that made it."""
    projection: StoredProjection | None = None
    faces: FaceRows | None = None
    """Whose face each of the W windows shows, where the encoder saw faces."""

    @property
    def layers(self) -> tuple[int, ...]:
        """Numbers of the layers whose columns stand side by side, one after the other; empty where there are none.

        After a projection columns are of all layers at once.
        """
        stated = self.spec.get("parameters") or {}
        numbers, width = stated.get("layers"), stated.get("layer_width")
        if stated.get("layers_joined") != "each" or self.projection is not None or not isinstance(width, int):
            return ()
        if not isinstance(numbers, list) or len(numbers) < 2 or len(numbers) * width != self.utterance.shape[1]:
            return ()
        return tuple(int(one) for one in numbers)

    def __repr__(self) -> str:
        windows = "none" if self.windows is None else str(self.windows.shape)
        return f"Stream({self.name!r}, utterance={self.utterance.shape}, windows={windows})"


@dataclass(frozen=True, repr=False)
class Utterances:
    """The N utterances in manifest order."""

    id: list[str]
    split: list[str]
    dialogue: list[str]
    """Empty string where the manifest has none."""
    turn: NDArray[np.int32]
    """-1 where the manifest has none."""
    speaker: list[str]
    """Empty string where unknown."""
    emotion: NDArray[np.int16]
    """Index into the vocabulary, -1 where unlabelled."""
    sentiment: NDArray[np.int16]
    """Index into the vocabulary, -1 where unlabelled."""
    duration_s: NDArray[np.float64]
    """Seconds; NaN where the clip could not be read."""
    sha256: list[str]
    """Hex digest of the clip's bytes; empty where there was no file."""
    status: list[str]
    """``ok`` or ``failed``."""
    reason: list[str]
    """Why it failed, or what was odd; empty where nothing was."""

    def __len__(self) -> int:
        return len(self.id)

    @property
    def failed(self) -> list[FailedClip]:
        """Those without features, in manifest order."""
        marked = zip(self.id, self.status, self.reason, strict=True)
        return [FailedClip(name, reason) for name, status, reason in marked if status == "failed"]


@dataclass(frozen=True, repr=False)
class Cache:
    """A whole cache in memory: what `read_cache` returns.

    Utterances are in manifest order, and everything with a first axis of N is in that order. The windows of
    utterance i are rows ``offsets[i]:offsets[i + 1]`` of everything with a first axis of W.

    >>> cache.streams["video"].utterance  # float32, shape (N, D); rows of absent streams are zeros
    >>> cache.to_pandas()                 # one row per utterance
    """

    utterances: Utterances
    offsets: NDArray[np.int64]
    """Shape (N+1,): windows of utterance i are rows ``offsets[i]:offsets[i+1]``."""
    start_s: NDArray[np.float64]
    """Start of each window on its clip's clock, seconds, shape (W,)."""
    streams: dict[str, Stream]
    vocabulary: dict[str, list[str]]
    """``emotion`` and ``sentiment``: class names in code order."""
    provenance: Provenance
    """How it was made: fingerprint and what it was computed from. No times, hosts or paths."""

    def __repr__(self) -> str:
        streams = ", ".join(repr(stream) for stream in self.streams.values())
        return f"Cache({len(self.utterances)} utterances, {int(self.offsets[-1])} windows, {streams})"

    def _repr_html_(self) -> str:
        return convert.html_of(self)

    def columns(self, *, windows: bool = False) -> dict[str, NDArray[Any]]:
        """Return the cache as named columns, one value per utterance, or per window.

        Labels are class names, None where unlabelled. Features are ``video:0``, ``video:1``, … or, where the
        encoder names its columns, ``audio:NAME``; they are NaN where the stream is absent (see ``has_video``).
        """
        return convert.window_columns(self) if windows else convert.utterance_columns(self)

    def to_pandas(self, *, windows: bool = False) -> pandas.DataFrame:
        """Return `columns` as a data frame: one row per utterance, or per window.

        Raises
        ------
        UsageError
            Where pandas is not installed.
        """
        return convert.data_frame(self.columns(windows=windows))

    def to_torch(self) -> dict[str, torch.Tensor]:
        """Return copies of all arrays as tensors.

        ``emotion``, ``sentiment`` (N,) int64, -1 where unlabelled; ``offsets`` (N + 1,), ``start_s`` (W,);
        for each split ``in_SPLIT`` (N,) bool; for each stream ``NAME`` (N, D) and ``NAME_present`` (N,), and where
        it has windows ``NAME_windows`` (W, D), ``NAME_window_present`` and ``NAME_time_s`` (W,).
        """
        return convert.tensors(self)

    def to_parquet(self, path: Path | str, *, windows: bool = False) -> Path:
        """Write `columns` as a Parquet file, whole or not at all, and return its path.

        Raises
        ------
        UsageError
            Where pyarrow is not installed.
        """
        return convert.write_parquet(self.columns(windows=windows), Path(path))
