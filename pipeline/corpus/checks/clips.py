"""The facts of each clip, gathered by workers: its bytes, its streams, how loud it is."""

from __future__ import annotations

import hashlib
import os
from collections import defaultdict
from collections.abc import Generator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from dualstream.features import media
from dualstream.features.faces.rows import FaceRows
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.pipeline.corpus.clip_files import EscapingPathError, NoClipError
from dualstream.pipeline.corpus.clip_source import ClipSource
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.remote_root import RemoteRoot
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.executors import OrderedThreads

if TYPE_CHECKING:
    from dualstream.features.faces.region import FaceMethod

Files = tuple[str, ...]  # a clip's path, and its sound's where that is apart

FULL_SCALE = 0.99  # of ±1: what counts as clipped, after resampling
CHUNK_BYTES = 1 << 20
FACE_PX = 8  # side of crops that nobody looks at


@dataclass(frozen=True)
class Loudness:
    """How loud the sound of an utterance is, by the channel policy ``auto`` at 16 kHz."""

    peak: float
    """Largest absolute sample, full scale 1."""
    clipped_share: float
    """Share of samples at full scale, 0 to 1."""
    notes: tuple[str, ...]
    """What decoding had to say."""
    errors: int
    """Errors that ffmpeg counted while decoding."""


@dataclass(frozen=True)
class Facts:
    """What was found where a row's path points."""

    utterance: Utterance
    fault: str = ""
    """``missing``, ``escapes-root``, ``unreadable``, or empty: the catalogue's code."""
    reason: str = ""
    size_bytes: int = 0
    sha256: str = ""
    """Of the file's bytes; only where another file has the same size."""
    probe: media.Probe | None = None
    loudness: Loudness | None = None
    faces: FaceRows | None = None
    """Whose face each window shows, where that was asked for and there are pictures."""


def gather(
    manifest: Manifest,
    root: Path | RemoteRoot,
    *,
    sound: bool,
    workers: int,
    ffmpeg: str | None = None,
    faces: FaceMethod | None = None,
) -> Generator[list[Facts], None, None]:
    """Yield the facts of each clip's utterances, clip by clip.

    Parameters
    ----------
    sound
        Decode it, to hear how loud it is.
    faces
        Look for the speaker's face in this way.
    """
    by_files: dict[Files, list[Utterance]] = defaultdict(list)
    for utterance in manifest:
        by_files[utterance.files].append(utterance)
    source = ClipSource.of(root, [path for files in by_files for path in files])
    alike = _same_sizes(source, list(by_files))

    def stop() -> None:
        source.stop()
        media.stop_all()

    threads: OrderedThreads[tuple[Files, list[Utterance]], list[Facts]] = OrderedThreads(
        lambda item: _look(
            source, item[0], item[1], hashed=item[0] in alike, sound=sound, ffmpeg=ffmpeg, faces=faces
        ),
        workers=workers,
        budget_bytes=1 << 20,
        size_bytes=lambda facts: 1,
        stop=stop,
    )
    return threads.run(by_files.items())


def _with_faces(
    found: list[Facts], source: ClipSource, method: FaceMethod | None, ffmpeg: str | None
) -> list[Facts]:
    """Return the facts with the faces of those that have pictures, where `method` says how to find them."""
    if method is None:
        return found
    return [
        replace(one, faces=_watch(source, one.utterance, method, ffmpeg))
        if not one.fault and one.probe is not None and one.probe.video is not None
        else one
        for one in found
    ]


def _watch(source: ClipSource, utterance: Utterance, method: FaceMethod, ffmpeg: str | None) -> FaceRows | None:
    """Find whose face an utterance's windows show; None where no picture comes out."""
    from dualstream.features.faces.region import FaceReading

    places = [source.place(path) for path in utterance.files]
    plan, sampling = WindowPlan(), Sampling()
    reading = FaceReading(method, plan, sampling, FACE_PX)
    try:
        clip = media.read_clip(
            places[0],
            plan=plan,
            sampling=sampling,
            settings=media.DecodeSettings(frame_size_px=FACE_PX),
            span_s=(utterance.start_s, utterance.end_s),
            sound=None if len(places) == 1 else places[1],
            ffmpeg=ffmpeg,
            watch=reading.watch,
        )
    except media.MediaError:
        return None  # what is wrong with it is told by its sound, or by extract
    return reading.crops(clip, {"speaker"})["speaker"].faces if clip.watcher is not None else None


def _same_sizes(source: ClipSource, clips: Sequence[Files]) -> set[Files]:
    """Return the clips whose files are as large as another one's: only those can hold the same bytes."""
    by_size: dict[tuple[int, ...], list[Files]] = defaultdict(list)
    for files in clips:
        try:
            by_size[tuple(map(source.size_bytes, files))].append(files)
        except (OSError, EscapingPathError, NoClipError):
            continue
    return {files for some in by_size.values() if len(some) > 1 for files in some}


def _look(
    source: ClipSource,
    files: Files,
    utterances: list[Utterance],
    *,
    hashed: bool,
    sound: bool,
    ffmpeg: str | None,
    faces: FaceMethod | None,
) -> list[Facts]:
    with source.held(*files):
        found = _look_held(source, files, utterances, hashed=hashed, sound=sound, ffmpeg=ffmpeg)
        return _with_faces(found, source, faces, ffmpeg)


def _look_held(
    source: ClipSource, files: Files, utterances: list[Utterance], *, hashed: bool, sound: bool, ffmpeg: str | None
) -> list[Facts]:
    places: list[Path] = []
    size_bytes = 0
    for path in files:
        try:
            places.append(source.place(path))
            size_bytes += places[-1].stat().st_size
        except EscapingPathError as e:
            return [Facts(u, "escapes-root", str(e)) for u in utterances]
        except NoClipError as e:
            code = "missing" if e.kind in ("missing", "broken_link") else "unreadable"
            reason = str(e if path == files[0] else e.of(f"the sound {path}"))
            return [Facts(u, code, reason) for u in utterances]
        except OSError as e:
            return [Facts(u, "missing", e.strerror or str(e)) for u in utterances]
    try:
        probe = media.probe(places[0], ffmpeg=ffmpeg) if len(places) == 1 else _probe_both(places, ffmpeg)
        digest = " ".join(map(_sha256, places)) if hashed else ""
    except media.MediaError as e:
        reason = f"{e.kind}: {_portable(str(e), files, places)}"
        return [Facts(u, "unreadable", reason, size_bytes) for u in utterances]
    except OSError as e:
        return [Facts(u, "unreadable", e.strerror or str(e), size_bytes) for u in utterances]
    if probe.duration_s <= 0:
        return [Facts(u, "unreadable", "empty: a header without a single packet", size_bytes) for u in utterances]
    heard = {u.id: _listen(places, u, ffmpeg) for u in utterances} if sound and probe.audio is not None else {}
    return [Facts(u, "", "", size_bytes, digest, probe, heard.get(u.id)) for u in utterances]


def _probe_both(places: Sequence[Path], ffmpeg: str | None) -> media.Probe:
    return media.probe_pair(places[0], places[1], ffmpeg=ffmpeg)


def _portable(text: str, files: Files, places: Sequence[Path]) -> str:
    """Name files as the manifest does."""
    for path, place in zip(files, places, strict=False):
        text = text.replace(str(place), path)
    return text


def _listen(places: Sequence[Path], utterance: Utterance, ffmpeg: str | None) -> Loudness | None:
    """Decode an utterance's sound and measure it; what fails is told as a note."""
    place, sound = places[0], None if len(places) == 1 else places[1]
    settings = media.DecodeSettings(frame_size_px=None)
    span_s = utterance.start_s, utterance.end_s
    try:
        clip = media.read_clip(
            place,
            plan=WindowPlan(),
            sampling=Sampling(),
            settings=settings,
            span_s=span_s,
            sound=sound,
            ffmpeg=ffmpeg,
        )
    except media.MediaError as e:
        said = f"{e.kind}: {_portable(str(e), utterance.files, places)}"
        return Loudness(float("nan"), 0.0, (said,), errors=1)
    if clip.audio is None or not clip.audio.size:
        return None
    level = np.abs(clip.audio)
    return Loudness(float(level.max()), float(np.mean(level >= FULL_SCALE)), clip.notes, clip.errors)


def _sha256(place: Path) -> str:
    digest = hashlib.sha256()
    with open(place, "rb", opener=lambda path, flags: os.open(path, flags | getattr(os, "O_NONBLOCK", 0))) as file:
        while chunk := file.read(CHUNK_BYTES):
            digest.update(chunk)
    return digest.hexdigest()
