"""Samples: the frames or windows of sound that an encoder is trained on, decoded once and kept in sealed files.

    OUT.samples/
      7be1…/                    digest of all that shapes the samples (not of labels or of training)
        recipe.json
        samples-00000.bin       sealed: 512 bytes of header, then a safetensors image
      7be1….lock                held by the training that decodes into it

A file is published as shards are: temporary name, fsync, read back, rename. It is verified in full when it is
opened, and mapped into memory after that, so that a corpus larger than memory can be trained on.
"""

from __future__ import annotations

import contextlib
import json
import mmap
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.media import DecodeSettings, MediaError, read_clip, stop_all
from dualstream.features.trainable import Cut
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.pipeline.cache.model import FailedClip
from dualstream.pipeline.corpus.clip_files import NoClipError
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import CorruptError, LockedError
from dualstream.pipeline.executors import OrderedThreads
from dualstream.pipeline.extraction.clip_reading import KILLED
from dualstream.pipeline.extraction.presence import ClipPresence
from dualstream.pipeline.extraction.shards import members_digest, short_reason, split_in_shards
from dualstream.pipeline.extraction.staleness import Hasher
from dualstream.pipeline.memory import MemoryShortageError
from dualstream.pipeline.provenance import canonical_json, digest_of
from dualstream.pipeline.storage.folders import make_folder
from dualstream.pipeline.storage.lock import locked
from dualstream.pipeline.storage.sealed import (
    HEADER_BYTES,
    publish,
    read_sealed,
    read_twice,
    remove_leftovers,
    seal,
)
from numpy.typing import NDArray
from safetensors.numpy import save

from dualstream.documents import JsonObject

KIND = "samples"
FORMAT_VERSION = 1
PER_FILE = 32  # utterances
BUDGET_BYTES = 256 << 20  # decoded clips that wait to be packed


@dataclass(frozen=True)
class SampleRecipe:
    """What shapes the samples."""

    decode: DecodeSettings
    windows: WindowPlan
    sampling: Sampling
    cut: Cut
    cut_parameters: JsonObject
    """JSON values: what `cut` does."""
    decoder: str
    """Version of ffmpeg."""
    ffmpeg: str
    """Path of the binary; no part of the digest."""

    def to_json(self) -> JsonObject:
        """Return what the digest is made of."""
        return {
            "version": FORMAT_VERSION,
            "decode": self.decode.to_json(),
            "windows": {"length_s": self.windows.length_s, "hop_s": self.windows.hop_s},
            "sampling": str(self.sampling),
            "cut": self.cut_parameters,
            "decoder": self.decoder,
        }


@dataclass(frozen=True, repr=False)
class _Taken:
    """One clip's samples, or why there are none."""

    id: str
    sha256: str
    stat: tuple[int, int]
    x: NDArray[Any] | None
    lengths: NDArray[np.int64]
    reason: str = ""


@dataclass(frozen=True, repr=False)
class Samples:
    """All samples of the utterances that were asked for, in their order; the arrays stay on the disk."""

    parts: tuple[NDArray[Any], ...]
    """Mapped arrays, one a file, shape (K, ...) each."""
    lengths: NDArray[np.int64]
    """How much of each sample counts (frames of sound); 1 for pictures; shape (N,)."""
    utterance: NDArray[np.int64]
    """Which utterance each sample is of, rising, shape (N,)."""
    sha256: tuple[str, ...]
    """Digest of each utterance's clip; empty where it is missing."""
    failed: tuple[FailedClip, ...]
    """The utterances without a sample."""

    def __len__(self) -> int:
        return len(self.lengths)

    def __repr__(self) -> str:
        return f"Samples({len(self)} of {len(self.sha256)} utterances, {len(self.failed)} without)"

    def gather(self, rows: NDArray[np.int64]) -> tuple[NDArray[Any], NDArray[np.int64]]:
        """Return copies of some samples, shape (B, ...), and their lengths."""
        starts = np.cumsum([0, *(len(part) for part in self.parts)])
        shape = self.parts[0].shape[1:]
        x = np.empty((len(rows), *shape), self.parts[0].dtype)
        where = np.searchsorted(starts, rows, side="right") - 1
        for number in np.unique(where):
            at = where == number
            x[at] = self.parts[number][rows[at] - starts[number]]
        return x, self.lengths[rows]

    def batches(
        self, batches: Sequence[NDArray[np.int64]]
    ) -> Iterator[tuple[NDArray[np.int64], NDArray[Any], NDArray[np.int64]]]:
        """Yield (rows, x, lengths) of each batch; the next one is read while this one is worked on."""
        with ThreadPoolExecutor(1, thread_name_prefix="dualstream-samples") as reader:
            waiting = reader.submit(self.gather, batches[0]) if batches else None
            for number, rows in enumerate(batches):
                assert waiting is not None
                x, lengths = waiting.result()
                if number + 1 < len(batches):
                    waiting = reader.submit(self.gather, batches[number + 1])
                yield rows, x, lengths


def open_samples(
    folder: Path,
    utterances: Sequence[Utterance],
    recipe: SampleRecipe,
    root: Path,
    *,
    workers: int,
    keep_going: bool = False,
    on_clip: Callable[[bool, int], None] = lambda failed, count: None,
) -> Samples:
    """Make what samples are missing or of changed clips, and open all of them.

    Parameters
    ----------
    folder
        Where the samples of all recipes lie.
    keep_going
        Take clips for missing that go away while they are decoded, however many there are.
    on_clip
        Called with (failed, number of samples) for each clip that is decoded.

    Raises
    ------
    CorruptError
        Where a file that was just written does not read back.
    DualstreamError
        Where the disk is full.
    ClipsGoneError
        Where more than a fifth of a file's clips go away while they are decoded.
    LockedError
        Where another training decodes into the same folder just now.
    """
    document = recipe.to_json()
    place = folder / digest_of(document)
    hasher = Hasher(root)
    groups = split_in_shards(utterances, PER_FILE)
    opened = [_opened(_path(place, number), group, hasher) for number, group in enumerate(groups)]
    if not all(opened):
        make_folder(place)
        with _alone(place):  # another training may use the folder, and have made meanwhile what is missing
            remove_leftovers(place)
            publish(place / "recipe.json", (canonical_json(document) + "\n").encode(), durable=False)
            opened = [
                one or _opened(_path(place, number), groups[number], hasher) for number, one in enumerate(opened)
            ]
            asked = [one for file, group in zip(opened, groups, strict=True) if file is None for one in group]
            presence = None if keep_going else ClipPresence.of(root, hasher, asked)
            _make_missing(place, opened, groups, recipe, hasher, presence, workers=workers, on_clip=on_clip)
    return _joined([one for one in opened if one is not None])


@contextlib.contextmanager
def _alone(place: Path) -> Iterator[None]:
    """Let one training at a time decode into a folder of samples."""
    try:
        with locked(place.with_name(place.name + ".lock")):
            yield
    except LockedError as error:
        error.add_note("it decodes the same samples; once they are there, many trainings may use them at a time")
        raise


def _make_missing(
    place: Path,
    opened: list[_File | None],
    groups: Sequence[Sequence[Utterance]],
    recipe: SampleRecipe,
    hasher: Hasher,
    presence: ClipPresence | None,
    *,
    workers: int,
    on_clip: Callable[[bool, int], None],
) -> None:
    """Make the files that `opened` has as None, and put them there."""
    missing = [number for number, one in enumerate(opened) if one is None]
    threads: OrderedThreads[Utterance, _Taken] = OrderedThreads(
        lambda one: _take(one, recipe, hasher),
        workers=workers,
        budget_bytes=BUDGET_BYTES,
        size_bytes=lambda one: 0 if one.x is None else one.x.nbytes,
        stop=stop_all,
    )
    results = threads.run(one for number in missing for one in groups[number])
    try:
        for number in missing:
            taken = []
            for _ in groups[number]:
                one = next(results)
                on_clip(one.x is None, 0 if one.x is None else len(one.x))
                taken.append(one)
            if presence is not None:
                pairs = zip(groups[number], taken, strict=True)
                presence.require(f"samples {number}", [(one, it.sha256, it.reason) for one, it in pairs])
            path = _path(place, number)
            publish(path, _packed(members_digest(groups[number]), taken))
            opened[number] = _opened(path, groups[number])
            if opened[number] is None:
                raise CorruptError(f"{path} does not read back as it was written: a bad disk?")
    finally:
        results.close()


def missing_files(folder: Path, utterances: Sequence[Utterance], recipe: SampleRecipe, root: Path) -> int:
    """Return how many utterances would have to be decoded; nothing is written."""
    place, hasher = folder / digest_of(recipe.to_json()), Hasher(root)
    groups = enumerate(split_in_shards(utterances, PER_FILE))
    return sum(len(group) for number, group in groups if _opened(_path(place, number), group, hasher) is None)


def _path(place: Path, number: int) -> Path:
    return place / f"samples-{number:05d}.bin"


def _take(utterance: Utterance, recipe: SampleRecipe, hasher: Hasher) -> _Taken:
    stat, sha256 = hasher.stat(*utterance.files), hasher.digest(*utterance.files)
    nothing = np.zeros(0, np.int64)
    try:
        place, sound = hasher.places(utterance, recipe.decode)
    except NoClipError as error:
        return _Taken(utterance.id, "", stat, None, nothing, str(error))
    try:
        clip = read_clip(
            place,
            plan=recipe.windows,
            sampling=recipe.sampling,
            settings=recipe.decode,
            span_s=(utterance.start_s, utterance.end_s),
            sound=sound,
            ffmpeg=recipe.ffmpeg,
        )
    except MediaError as error:
        if error.kind == KILLED:  # which says nothing of the clip
            raise MemoryShortageError(f"while {utterance.path} is decoded", said=f"{error}") from None
        return _Taken(utterance.id, sha256, stat, None, nothing, f"{error.kind}: {error}")
    x, lengths = recipe.cut(clip, recipe.windows.length_s)
    if not len(x):
        reason = "; ".join(clip.notes) or "no sample: nothing of it could be used"
        return _Taken(utterance.id, sha256, stat, None, nothing, reason)
    return _Taken(utterance.id, sha256, stat, x, lengths)


def _packed(members: str, taken: Sequence[_Taken]) -> bytearray:
    """Return the sealed bytes of one file; the same clips give the same bytes."""
    kept = [one.x for one in taken if one.x is not None]
    clips = [
        [one.id, one.sha256, *one.stat, 0 if one.x is None else len(one.x), short_reason(one.reason)]
        for one in taken
    ]
    arrays: dict[str, NDArray[Any]] = {"lengths": np.concatenate([one.lengths for one in taken])}
    if kept:
        arrays["x"] = np.concatenate(kept)
    note = canonical_json({"version": FORMAT_VERSION, "members": members, "clips": clips})
    image = bytearray(HEADER_BYTES)
    image += save(arrays, metadata={"samples": note})
    seal(image, KIND)
    return image


@dataclass(frozen=True, repr=False)
class _File:
    x: NDArray[Any] | None
    lengths: NDArray[np.int64]
    clips: list[list[Any]]


def _opened(path: Path, group: Sequence[Utterance], hasher: Hasher | None = None) -> _File | None:
    """Verify a file and map it; None where it is not there, damaged, or of other clips.

    Without `hasher` the clips are not looked at: they are those that the file was just made of.
    """
    try:
        read_twice(lambda: read_sealed(path, KIND))
        with path.open("rb") as file:
            mapped = mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ)
        start = HEADER_BYTES + 8
        size = int.from_bytes(mapped[HEADER_BYTES:start], "little")
        header = json.loads(mapped[start : start + size])
        note = json.loads(header.pop("__metadata__")["samples"])
        if note["version"] != FORMAT_VERSION or note["members"] != members_digest(group):
            return None
        for one, (_, sha256, length, time_ns, *_) in zip(group, note["clips"], strict=True):
            if hasher is None:
                break
            same = hasher.stat(*one.files) == (length, time_ns)
            if not same and hasher.digest(*one.files) != sha256:
                return None
        arrays = {name: _array(mapped, start + size, facts) for name, facts in header.items()}
        return _File(arrays.get("x"), np.array(arrays["lengths"]), note["clips"])
    except (FileNotFoundError, CorruptError, ValueError, KeyError, TypeError):
        return None


_TYPES = {"U8": np.uint8, "F32": np.float32, "I64": np.int64}


def _array(mapped: mmap.mmap, start: int, facts: JsonObject) -> NDArray[Any]:
    """Return one array of a safetensors image, as a view of the mapped file."""
    first, stop = facts["data_offsets"]
    dtype = np.dtype(_TYPES[facts["dtype"]])
    flat = np.frombuffer(mapped, dtype=dtype, count=(stop - first) // dtype.itemsize, offset=start + first)
    return flat.reshape(facts["shape"])


def _joined(files: Sequence[_File]) -> Samples:
    clips = [clip for file in files for clip in file.clips]
    counts = np.array([clip[4] for clip in clips], np.int64)
    return Samples(
        parts=tuple(file.x for file in files if file.x is not None),
        lengths=np.concatenate([file.lengths for file in files]),
        utterance=np.repeat(np.arange(len(clips)), counts),
        sha256=tuple(clip[1] for clip in clips),
        failed=tuple(FailedClip(clip[0], clip[5]) for clip in clips if clip[4] == 0),
    )
