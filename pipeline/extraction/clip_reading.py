"""One clip: hashed, decoded and begun, or failed with a reason. Runs in threads of the run, or in its workers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from dualstream.features.encode import BegunClip, ClipPlan, begin_clip, complete_clip, unread
from dualstream.features.media import DecodeSettings, MediaError
from dualstream.pipeline.corpus.clip_files import NoClipError
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import DualstreamError
from dualstream.pipeline.extraction.staleness import ABSENT, Hasher
from dualstream.pipeline.memory import MemoryShortageError

KILLED = "killed"  # kind of a MediaError: the system ended ffmpeg


@dataclass(frozen=True, repr=False)
class ReadClip:
    """One clip after its worker: decoded, or failed with a reason."""

    utterance: Utterance
    stat: tuple[int, int]
    sha256: str
    begun: BegunClip
    failure: str = ""


@dataclass(frozen=True, repr=False)
class TakenClip:
    """The part of it that travels between processes."""

    stat: tuple[int, int]
    sha256: str
    begun: BegunClip | None
    failure: str = ""


def read(utterance: Utterance, plan: ClipPlan, hasher: Hasher) -> ReadClip:
    """Hash and decode one clip in this thread; what is wrong with it becomes a reason."""
    return completed(utterance, take(utterance, plan, hasher), plan)


def completed(utterance: Utterance, taken: TakenClip, plan: ClipPlan) -> ReadClip:
    """Add what only this process can give: rows of tables, and of networks that hear the sound."""
    begun, failure = taken.begun, taken.failure
    if begun is not None:
        try:
            begun = complete_clip(begun, utterance.id, plan)
        except ValueError as error:
            begun, failure = None, f"encoder: {error}"
    if begun is None:
        begun = unread(plan, utterance.id)
    return ReadClip(utterance, taken.stat, taken.sha256, begun, failure)


def take(utterance: Utterance, plan: ClipPlan, hasher: Hasher) -> TakenClip:
    """Hash and decode one clip, and make the rows that `plan` has encoders for.

    Raises
    ------
    DualstreamError
        Where the decoder itself is gone, or memory is short: that says nothing of the clip.
    """
    if plan.decode is None:
        return TakenClip(ABSENT, "", begin_clip(None, utterance.id, plan, span_s=_span(utterance)))
    with hasher.held(*utterance.files):
        return _take_held(utterance, plan, plan.decode, hasher)


def _take_held(utterance: Utterance, plan: ClipPlan, decode: DecodeSettings, hasher: Hasher) -> TakenClip:
    files = utterance.files
    hasher.bring(*files)
    stat, sha256 = hasher.stat(*files), hasher.digest(*files)
    places = {path: hasher.place(path) for path in files}
    try:
        place, sound = hasher.places(utterance, decode)
    except NoClipError as error:
        stat = ABSENT if error.kind == "unfetched" else stat  # so that it is tried again
        return TakenClip(stat, sha256, None, str(error))
    try:
        begun = begin_clip(place, utterance.id, plan, span_s=_span(utterance), sound=sound)
    except MediaError as error:
        if error.kind == "missing" and all(one is None or one.is_file() for one in (place, sound)):
            raise DualstreamError(f"{error}") from error
        if error.kind == KILLED:  # which says nothing of the clip
            raise MemoryShortageError(f"while {utterance.path} is decoded", said=f"{error}") from None
        return TakenClip(stat, sha256, None, _portable(f"{error.kind}: {error}", places))
    except ValueError as error:
        return TakenClip(stat, sha256, None, _portable(f"encoder: {error}", places))
    if hasher.stat(*files) != stat:
        return TakenClip(ABSENT, sha256, None, "changed: the file changed while it was read")
    begun.notes = [_portable(note, places) for note in begun.notes]
    return TakenClip(stat, sha256, begun)


def _portable(text: str, places: Mapping[str, Path | None]) -> str:
    """Name files as the manifest does: a cache holds no path of the machine that made it."""
    for path, place in places.items():
        if place is not None:
            text = text.replace(f"file:{place}", path).replace(str(place), path)
    return text


def _span(utterance: Utterance) -> tuple[float, float] | None:
    if utterance.start_s is None or utterance.end_s is None:
        return None
    return utterance.start_s, utterance.end_s
