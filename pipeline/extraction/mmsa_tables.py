"""A pickle in MMSA's form as a manifest and folders of arrays, which `extract` reads as tables.

manifest.csv   id, split (valid is dev), speaker's video as dialogue, sentiment, and the score beside it
vision-FRA/    frames per utterance, of a known rate; without one vision-UTT/, their mean
"""

from __future__ import annotations

import io
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.pipeline.corpus.manifest import Manifest, Utterance, write_manifest
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.documents import write_bytes
from dualstream.pipeline.storage.folders import make_folder
from numpy.typing import NDArray

MODES = {"train": "train", "valid": "dev", "test": "test"}
STREAMS = {"vision": "video", "audio": "audio"}
MODALITIES = ("vision", "audio", "text")
_NOT_IN_IDS = re.compile(r"[^A-Za-z0-9._-]+")


@dataclass(frozen=True)
class MmsaTables:
    """What was made of a pickle."""

    manifest: Manifest
    folders: dict[str, Path]
    """Of each modality that is there."""
    not_finite: dict[str, int]
    """Numbers that were not finite and are 0 now, by modality, as MMSA itself reads them."""


def write_tables(data: Any, folder: Path, *, rate_hz: float | None, where: str) -> MmsaTables:
    """Write manifest and arrays below a folder.

    Raises
    ------
    CorruptError
        Where what was read is not in MMSA's form.
    """
    if not isinstance(data, dict) or not any(isinstance(data.get(mode), dict) for mode in MODES):
        found = ", ".join(map(str, list(data)[:8])) if isinstance(data, dict) else type(data).__name__
        raise CorruptError(f"{where} holds {found}; expected train, valid and test, as MMSA's pickles do")
    rows: list[Utterance] = []
    folders: dict[str, Path] = {}
    wrong: dict[str, int] = {}
    for mode, split in MODES.items():
        part = data.get(mode)
        if not isinstance(part, dict):
            continue
        ids = _ids(part, where, mode)
        rows += _utterances(part, ids, split)
        for name in MODALITIES:
            if name not in part:
                continue
            place = folders.setdefault(name, folder / f"{name}-{'UTT' if rate_hz is None else 'FRA'}")
            make_folder(place)
            for utterance_id, frames in zip(ids, _frames(part, name, len(ids), where, mode), strict=True):
                bad = ~np.isfinite(frames)
                wrong[name] = wrong.get(name, 0) + int(bad.sum())
                frames = np.where(bad, np.float32(0), frames)
                if len(frames):
                    _save(place / f"{utterance_id}.npy", frames.mean(axis=0) if rate_hz is None else frames)
    if not folders:
        raise CorruptError(f"{where} has no vision, audio or text")
    manifest = Manifest(tuple(rows))
    write_manifest(manifest, folder / "manifest.csv")
    return MmsaTables(manifest, folders, {name: count for name, count in wrong.items() if count})


def _ids(part: Mapping[str, Any], where: str, mode: str) -> list[str]:
    raw = part.get("id")
    if raw is None:
        raise CorruptError(f"{where}: {mode} has no id; it has {', '.join(map(str, list(part)[:12]))}")
    texts = ["_".join(map(str, _listed(one))) for one in _listed(raw)]
    return [_NOT_IN_IDS.sub("_", text.replace("$_$", "_")).strip("_") for text in texts]


def _listed(value: Any) -> list[Any]:
    if isinstance(value, np.ndarray):
        return list(value.tolist())
    return list(value) if isinstance(value, list | tuple) else [value]


def _utterances(part: Mapping[str, Any], ids: Sequence[str], split: str) -> list[Utterance]:
    words = [str(one).strip().lower() for one in _listed(part.get("annotations", []))]
    scores = [float(one) for one in np.asarray(part.get("regression_labels", []), dtype=np.float64).reshape(-1)]
    found = []
    for at, utterance_id in enumerate(ids):
        score = scores[at] if at < len(scores) and np.isfinite(scores[at]) else None
        word = words[at] if at < len(words) else ""
        if not word and score is not None:
            word = ("neutral", "positive", "negative")[int(np.sign(score))]
        video, _, clip = utterance_id.rpartition("_")
        found.append(
            Utterance(
                utterance_id,
                f"{utterance_id}.mp4",
                split,
                dialogue=video,
                turn=int(clip) if video and clip.isdigit() and len(clip) < 9 else None,
                sentiment=word,
                extra={} if score is None else {"score": repr(score)},
            )
        )
    return found


def _frames(part: Mapping[str, Any], name: str, count: int, where: str, mode: str) -> list[NDArray[np.float32]]:
    """Return the frames of each utterance, shape (T, D), without what only fills the array up."""
    array = np.asarray(part[name])
    if array.ndim == 2:
        array = array[:, None]
    if array.ndim != 3 or len(array) != count or array.dtype.kind not in "fiu":
        raise CorruptError(
            f"{where}: {mode}/{name} is {array.dtype} of shape {array.shape}; expected numbers of shape "
            f"({count}, frames, columns)"
        )
    lengths = part.get(f"{name}_lengths")
    if lengths is not None:
        known = [int(np.asarray(one).reshape(-1)[0]) for one in _listed(lengths)]
        if len(known) != count:
            raise CorruptError(f"{where}: {mode}/{name}_lengths has {len(known)} entries; expected {count}")
        return [one[:length].astype(np.float32) for one, length in zip(array, known, strict=True)]
    found = []
    for one in array:  # aligned to words: rows of zeros before or behind fill it up
        there = np.flatnonzero(np.asarray(one).any(axis=1))
        found.append(
            one[there[0] : there[-1] + 1].astype(np.float32) if len(there) else one[:0].astype(np.float32)
        )
    return found


def _save(path: Path, array: NDArray[np.float32]) -> None:
    out = io.BytesIO()
    np.save(out, np.ascontiguousarray(array, dtype="<f4"))
    write_bytes(path, out.getvalue())
