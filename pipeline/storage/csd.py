"""Computational sequences of the CMU Multimodal SDK (.csd): HDF5 with features and intervals by key.

    NAME/data/KEY/features   float32 (T, D)
    NAME/data/KEY/intervals  float64 (T, 2), seconds
    NAME/metadata/WORD       JSON text

https://github.com/CMU-MultiComp-Lab/CMU-MultimodalSDK
"""

from __future__ import annotations

import io
import json
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import h5py
import numpy as np
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.foreign import number_arrays
from numpy.typing import NDArray

Sequence = tuple[NDArray[np.float32], NDArray[np.float64]]
"""Features (T, D) and intervals (T, 2)."""

SDK_KEYS = (
    "alignment compatible",
    "computational sequence description",
    "computational sequence version",
    "contact",
    "creator",
    "dataset bib citation",
    "dataset name",
    "dataset version",
    "dimension names",
    "featureset bib citation",
    "md5",
    "root name",
    "uuid",
)
"""What the SDK wants in the metadata."""


def csd_bytes(name: str, sequences: Iterable[tuple[str, Sequence]], metadata: Mapping[str, Any]) -> bytes:
    """Return a computational sequence as the bytes of its file; the SDK's own keys are empty unless given."""
    out = io.BytesIO()
    with h5py.File(out, "w") as file:
        root = file.create_group(name)
        data = root.create_group("data")
        for key, (features, intervals) in sequences:
            group = data.create_group(key)
            group.create_dataset("features", data=np.asarray(features, dtype="<f4"), track_times=False)
            group.create_dataset("intervals", data=np.asarray(intervals, dtype="<f8"), track_times=False)
        words = root.create_group("metadata")
        given = {**dict.fromkeys(SDK_KEYS, ""), "root name": name, **metadata}
        for word, value in sorted(given.items()):
            words.create_dataset(word, data=[json.dumps(value)], dtype=h5py.string_dtype(), track_times=False)
    return out.getvalue()


def read_csd(path: Path) -> dict[str, Sequence]:
    """Read a computational sequence by key, whatever its name.

    Raises
    ------
    CorruptError
        Where the file is no such sequence; see `number_arrays`.
    """
    found: dict[str, dict[str, NDArray[np.float64]]] = {}
    for place, values in number_arrays(path, "*/data"):
        key, _, name = place.rpartition("/")
        found.setdefault(key, {})[name] = values
    sequences: dict[str, Sequence] = {}
    for key, parts in found.items():
        features, intervals = parts.get("features"), parts.get("intervals")
        if features is None or intervals is None:
            raise CorruptError(
                f"{path}: {key} has {', '.join(parts) or 'nothing'}; expected features and intervals"
            )
        if features.ndim == 1:
            features = features[:, None]
        if features.ndim != 2 or intervals.shape != (len(features), 2):
            raise CorruptError(
                f"{path}: {key} has features {features.shape} and intervals {intervals.shape}; expected (T, D) "
                "and (T, 2)"
            )
        sequences[key] = (features.astype(np.float32), intervals)
    if not sequences:
        raise CorruptError(f"{path} holds no sequence")
    return sequences
