"""Shards: 32 utterances (or `--shard-size`, 1 to LARGEST_SHARD) in one sealed file each.

They lie in a folder that the fingerprint names:

    cache.h5.shards/
      3fa9…/                    fingerprint: all that shapes the numbers
        recipe.json             what the fingerprint was computed from
        shard-00000.h5          sealed: rows as the encoders gave them, before projection
        shard-00000.clips.json  sizes and times of its clips, to see without reading them that none changed

A shard's members are fixed by the manifest's order, so any number of workers makes the same files.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import cast

import numpy as np
from dualstream.features.encoder import StreamFeatures
from dualstream.features.faces.rows import FaceRows
from dualstream.pipeline.cache.face_rows import FACE_FIELDS, face_rows, face_values
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.extraction.options import LARGEST_SHARD
from dualstream.pipeline.extraction.people_rows import PEOPLE_FIELDS, people_arrays, people_of, people_values
from dualstream.pipeline.provenance import Environment, canonical_json, digest_of
from dualstream.pipeline.storage.container import unpack
from dualstream.pipeline.storage.packing import pack
from dualstream.pipeline.storage.schema import TEXT, Field, Schema, Values
from dualstream.pipeline.storage.sealed import digest_in, publish, read_sealed, read_twice, seal
from numpy.typing import NDArray

from dualstream.documents import JsonObject

KIND = "shard"
FORMAT_VERSION = 1
SMALLEST_SHARD_SIZE, LARGEST_SHARD_SIZE = 1, LARGEST_SHARD
LONGEST_REASON_BYTES = 400

_TEXTS = ("id", "sha256", "status", "reason", "digest")

SCHEMA = Schema(
    kind=KIND,
    version=FORMAT_VERSION,
    fields={
        "members": Field(TEXT, 0),
        "environment": Field(TEXT, 0),
        **{f"utterances/{name}": Field(TEXT, 1) for name in _TEXTS},
        "utterances/duration_s": Field("<f8", 1),
        "windows/offsets": Field("<i8", 1),
        "windows/start_s": Field("<f8", 1),
        "streams/*/utterance": Field("<f4", 2),
        "streams/*/present": Field("bool", 1),
        "streams/*/windows": Field("<f4", 2, required=False),
        "streams/*/window_present": Field("bool", 1, required=False),
        "streams/*/time_s": Field("<f8", 1, required=False),
        **FACE_FIELDS,
        **PEOPLE_FIELDS,
    },
)


@dataclass(frozen=True, repr=False)
class ClipRows:
    """What extraction has to say of one utterance: rows before projection, or why there are none."""

    id: str
    sha256: str
    """Hex digest of the clip's bytes; empty where no file was read."""
    duration_s: float
    """Seconds; NaN where the clip could not be read."""
    starts_s: NDArray[np.float64]
    """Start of each window, shape (K,), K at least 1."""
    streams: dict[str, StreamFeatures]
    """The same names in every utterance of a shard."""
    status: str = "ok"
    """``ok`` or ``failed``."""
    reason: str = ""
    """Why it failed, or what was odd."""

    def digest(self) -> str:
        """Return the SHA-256, in hex, over all that this utterance's rows are."""
        sha = hashlib.sha256(canonical_json([self.id, self.sha256, self.status, self.reason]).encode("utf-8"))
        sha.update(np.array([self.duration_s, *self.starts_s], dtype="<f8").tobytes())
        for name in sorted(self.streams):
            rows = self.streams[name]
            sha.update(canonical_json([name, rows.present, list(rows.windows.shape)]).encode("utf-8"))
            for array, dtype in (
                (rows.utterance, "<f4"),
                (rows.windows, "<f4"),
                (rows.window_present, "?"),
                (rows.time_s, "<f8"),
            ):
                sha.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
            for column, array in face_values(rows.faces).items():
                sha.update(column.encode())
                sha.update(array.tobytes())
            for column, array in people_arrays(rows.people).items() if rows.people else ():
                sha.update(f"people/{column}".encode())
                sha.update(array.tobytes())
        return sha.hexdigest()


@dataclass(frozen=True, repr=False)
class Shard:
    """The utterances of one shard, in manifest order."""

    members: str
    """Digest of what was asked for: `members_digest`."""
    clips: tuple[ClipRows, ...]
    environment: Environment = field(default_factory=Environment)
    """Versions and threads of the run that made it; JSON values, no host, no time, no path."""

    def __repr__(self) -> str:
        failed = sum(clip.status == "failed" for clip in self.clips)
        return f"Shard({len(self.clips)} utterances, {failed} failed)"


def shard_path(folder: Path, index: int) -> Path:
    """Return where shard `index` of a folder lies."""
    return folder / f"shard-{index:05d}.h5"


def members_digest(utterances: Sequence[Utterance]) -> str:
    """Return the digest of what a shard is asked to hold: ids, files and spans, in order. Labels do not count."""
    return digest_of([[one.id, one.path, one.start_s, one.end_s, *one.files[1:]] for one in utterances])


def split_in_shards(utterances: Sequence[Utterance], size: int) -> list[Sequence[Utterance]]:
    """Cut the manifest into shards of `size` utterances, views of it; the last one may be smaller."""
    if not SMALLEST_SHARD_SIZE <= size <= LARGEST_SHARD_SIZE:
        raise ValueError(f"shard size is {size}; expected {SMALLEST_SHARD_SIZE} to {LARGEST_SHARD_SIZE}")
    return [utterances[first : first + size] for first in range(0, len(utterances), size)]


def pack_shard(shard: Shard) -> memoryview:
    """Return the sealed bytes of a shard; the same shard gives the same bytes.

    Raises
    ------
    CorruptError
        Where the bytes, read again, do not give the shard: memory or HDF5 failed.
    """
    values = _to_values(shard)
    image = pack(SCHEMA, values)
    seal(image, KIND)
    if _digests_in(np.frombuffer(image, dtype=np.uint8), "the shard just built") != values["utterances/digest"]:
        raise CorruptError("the shard just built does not hold the rows that went into it: is the memory sound?")
    return image


def commit_shard(folder: Path, index: int, image: bytes | bytearray | memoryview) -> str:
    """Publish the sealed bytes of a shard; when this returns it is committed. Return its digest.

    Where the very same bytes are there, as another part made them meanwhile, they stay: who reads them is not
    disturbed.
    """
    path = shard_path(folder, index)
    if not _is_there(path, image):
        publish(path, image)
    return digest_in(image)


def _is_there(path: Path, image: bytes | bytearray | memoryview) -> bool:
    try:
        return bool(np.array_equal(read_sealed(path, KIND), np.frombuffer(image, dtype=np.uint8)))
    except (OSError, CorruptError):
        return False


def read_shard(path: Path) -> Shard:
    """Validate a shard and read all of it.

    Raises
    ------
    FileNotFoundError
        Where there is no such file.
    CorruptError
        Where it is no shard, or not the bytes that were sealed; it is read twice before that is believed.
    MemoryShortageError
        Where there is no room for it.
    """
    return read_shard_and_digest(path)[0]


def read_shard_and_digest(path: Path) -> tuple[Shard, str]:
    """Read a shard, and return with it the SHA-256 of the bytes that it was read from; see `read_shard`."""
    return read_twice(lambda: _read_once(path))


def _read_once(path: Path) -> tuple[Shard, str]:
    image = read_sealed(path, KIND)
    return _from_image(image, str(path)), digest_in(image)


def short_reason(text: str) -> str:
    """Return a reason as a shard stores it: one line of at most 400 bytes, no control characters."""
    plain = " ".join("".join(ch if ch.isprintable() else " " for ch in text).split())
    raw = plain.encode("utf-8", "replace")
    return (
        plain
        if len(raw) <= LONGEST_REASON_BYTES
        else raw[: LONGEST_REASON_BYTES - 3].decode("utf-8", "ignore") + "…"
    )


def _to_values(shard: Shard) -> Values:
    clips = shard.clips
    counts = [len(clip.starts_s) for clip in clips]
    values: Values = {
        "members": shard.members,
        "environment": canonical_json(shard.environment),
        "utterances/id": [clip.id for clip in clips],
        "utterances/sha256": [clip.sha256 for clip in clips],
        "utterances/status": [clip.status for clip in clips],
        "utterances/reason": [clip.reason for clip in clips],
        "utterances/digest": [clip.digest() for clip in clips],
        "utterances/duration_s": np.array([clip.duration_s for clip in clips], dtype="<f8"),
        "windows/offsets": np.concatenate(([0], np.cumsum(counts))).astype("<i8"),
        "windows/start_s": np.concatenate([clip.starts_s for clip in clips]).astype("<f8"),
    }
    for name in sorted(clips[0].streams):
        rows = [clip.streams[name] for clip in clips]
        at = f"streams/{name}"
        values[f"{at}/utterance"] = np.stack([one.utterance for one in rows]).astype("<f4")
        values[f"{at}/present"] = np.array([one.present for one in rows], dtype=bool)
        windowed = {len(one.window_present) > 0 for one in rows}
        if len(windowed) != 1:
            raise ValueError(f"stream {name} has windows in some utterances of a shard and none in others")
        if windowed == {True}:
            values[f"{at}/windows"] = np.concatenate([one.windows for one in rows]).astype("<f4")
            values[f"{at}/window_present"] = np.concatenate([one.window_present for one in rows])
            values[f"{at}/time_s"] = np.concatenate([one.time_s for one in rows]).astype("<f8")
        faces = [one.faces for one in rows if one.faces is not None]
        if len(faces) == len(rows):
            values |= {f"{at}/{column}": array for column, array in face_values(FaceRows.joined(faces)).items()}
        people = [one.people for one in rows if one.people is not None]
        if len(people) == len(rows):
            values |= {f"{at}/{column}": array for column, array in people_values(people).items()}
    return values


def _digests_in(image: NDArray[np.uint8], name: str) -> list[str]:
    """Return the digests of the utterances as they stand there; refuse rows that are not theirs."""
    return _checked(image, name)[1]


def _from_image(image: NDArray[np.uint8], name: str) -> Shard:
    return _checked(image, name)[0]


def _checked(image: NDArray[np.uint8], name: str) -> tuple[Shard, list[str]]:
    """Return a shard with the digests of its utterances, which were found to be those of the rows."""
    values: JsonObject = unpack(SCHEMA, image, name)
    try:
        shard = _from_values(values)
    except (ValueError, IndexError) as error:
        raise CorruptError(f"{name} breaks a rule of the format: {error}") from error
    digests = [clip.digest() for clip in shard.clips]
    if digests != values["utterances/digest"]:
        raise CorruptError(f"{name}: the rows of an utterance are not those that its digest was made of")
    return shard, digests


def _from_values(values: JsonObject) -> Shard:
    ids, offsets, start_s = values["utterances/id"], values["windows/offsets"], values["windows/start_s"]
    names = sorted({path.split("/")[1] for path in values if path.startswith("streams/")})
    count = len(ids)
    if any(len(values[f"utterances/{column}"]) != count for column in (*_TEXTS, "duration_s")):
        raise ValueError(f"its columns differ in length; expected {count} rows")
    if count == 0 or len(offsets) != count + 1 or offsets[0] != 0 or (np.diff(offsets) < 1).any():
        raise ValueError("windows/offsets must rise from 0 by at least 1 for each utterance")
    if len(start_s) != offsets[-1]:
        raise ValueError(f"windows/start_s has {len(start_s)} rows; expected {offsets[-1]}")
    for stream in names:
        at = f"streams/{stream}"
        for column, rows in (("utterance", count), ("present", count)):
            if len(values[f"{at}/{column}"]) != rows:
                raise ValueError(f"{at}/{column} has {len(values[f'{at}/{column}'])} rows; expected {rows}")
        parts = [values.get(f"{at}/{column}") for column in ("windows", "window_present", "time_s")]
        given = [part for part in parts if part is not None]
        if given and (len(given) != 3 or any(len(part) != offsets[-1] for part in given)):
            raise ValueError(f"{at} must have windows, window_present and time_s of {offsets[-1]} rows, or none")
        if (faces := face_rows(values, at)) is not None:
            faces.check(int(offsets[-1]))
    clips = []
    for index in range(count):
        span = slice(int(offsets[index]), int(offsets[index + 1]))
        clips.append(
            ClipRows(
                id=ids[index],
                sha256=values["utterances/sha256"][index],
                duration_s=float(values["utterances/duration_s"][index]),
                starts_s=start_s[span],
                streams={name: _rows(values, name, index, span) for name in names},
                status=values["utterances/status"][index],
                reason=values["utterances/reason"][index],
            )
        )
    environment = json.loads(values["environment"])
    if not isinstance(environment, dict):
        raise ValueError("environment is not a JSON object")
    return Shard(values["members"], tuple(clips), cast(Environment, environment))


def _rows(values: JsonObject, name: str, index: int, span: slice) -> StreamFeatures:
    at = f"streams/{name}"
    utterance = values[f"{at}/utterance"][index]
    present = bool(values[f"{at}/present"][index])
    if f"{at}/windows" in values:
        windows, mask = values[f"{at}/windows"][span], values[f"{at}/window_present"][span]
        faces = face_rows(values, at, span)
        people = people_of(values, at, index, len(mask))
        return StreamFeatures(utterance, present, windows, mask, values[f"{at}/time_s"][span], faces, people)
    width = len(utterance)
    nothing = np.empty((0, width), np.float32), np.empty(0, np.bool_), np.empty(0, np.float64)
    return StreamFeatures(utterance, present, *nothing)
