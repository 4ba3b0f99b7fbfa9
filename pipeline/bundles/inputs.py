"""What `predict` is asked about: clips, folders, manifests and long recordings, as one list of utterances."""

from __future__ import annotations

import math
import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from dualstream.features.media import DecodeSettings, MediaError, probe, probe_pair, read_clip
from dualstream.features.segments import by_length, by_silence
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.pipeline.bundles.segment_files import Segment, is_segment_file, read_segments, segments_of
from dualstream.pipeline.corpus.clip_files import NoClipError, clip_at, require_file
from dualstream.pipeline.corpus.manifest import InvalidRowError, read_manifest
from dualstream.pipeline.corpus.pairs import pair
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.storage.printable import escaped
from numpy.typing import NDArray

SILENCE = "silence"
LONGEST_RECORDING_S = 4 * 3600.0  # its sound is held in memory to find the silences
SAMPLE_RATE_HZ = 16_000
SHORTEST_MARK_S = 0.02  # of a segment that a file names
NO_SILENCES = "; --segments 5 cuts by length"
ROOT_SPLIT = "test"  # the contract wants a split; nothing is fitted or scored on these


@dataclass(frozen=True)
class Item:
    """One utterance to answer for, or the reason why there is none."""

    name: str
    """How a person knows it: the path as it was typed, the manifest's id, with the span of a segment."""
    path: Path | None = None
    """Where the file lies; None where that is not known."""
    utterance: Utterance | None = None
    """With its path relative to the file system's root; None where there is a reason."""
    reason: str = ""
    """Why it can't be answered for."""
    recording: str = ""
    """Names what it is a segment of, so that segments follow one another as a dialogue's turns."""
    sound: Path | None = None
    """The file that holds its sound, where that is not `path`."""
    speaker: str = ""
    """Who speaks: as the manifest says, or the command; empty where unknown."""

    @property
    def span_s(self) -> tuple[float, float] | None:
        """The part of the file that it is, seconds; None: all of it."""
        one = self.utterance
        return None if one is None or one.start_s is None or one.end_s is None else (one.start_s, one.end_s)


def gather(
    files: Sequence[Path],
    *,
    root: Path | None = None,
    segments: str | None = None,
    speaker: str = "",
    speaker_per_file: bool = False,
    ffmpeg: str | None = None,
) -> list[Item]:
    """Return an item for each utterance, in the order of `files`; a folder's files by name.

    Parameters
    ----------
    files
        Clips, folders, or manifests (``.csv``).
    root
        The folder that a manifest's paths start from; None: the manifest's own.
    segments
        Cut recordings: ``silence``, a length in seconds, or a file that says where (segment_files.py); None: a
        file is one utterance.
    speaker
        Who speaks where no manifest says it; empty: unknown.
    speaker_per_file
        One speaker in each recording that is cut, another in each.

    Raises
    ------
    UsageError
        Where `segments` can't be read, or goes with a manifest, whose rows are the segments; `root` without
        one; `speaker_per_file` without `segments`, or beside `speaker`; or `speaker` where each has one.
    ManifestError
        Where a manifest is faulty.
    """
    marked = read_segments(segments) if segments is not None and is_segment_file(segments) else None
    length_s = None if marked is not None else _length(segments)
    tables = [path for path in files if path.suffix.lower() == ".csv" and not path.is_dir()]
    if root is not None and not tables:
        raise UsageError("--root says where a manifest's paths start; no FILE is a manifest (.csv)")
    if segments is not None and tables:
        raise UsageError(f"--segments cuts recordings; the rows of {tables[0]} say themselves what is cut where")
    if speaker_per_file and (speaker or segments is None):
        wrong = (
            "--speaker names one speaker of all files" if speaker else "a file that is not cut is one utterance"
        )
        raise UsageError(f"--speaker-per-file goes with --segments and without --speaker: {wrong}")
    items: list[Item] = []
    for path in files:
        if path in tables:
            rows = list(_rows(path, root if root is not None else path.parent))
            if root is None and not any(row.path is not None and row.path.exists() for row in rows):
                raise UsageError(
                    f"none of the {len(rows)} files that {path} names is below {path.parent}, where it lies; "
                    "say where its paths start: --root FOLDER"
                )
            items += rows
            continue
        for place, sound in _below(path):
            whole = _file(place, sound)
            if segments is None or whole.reason:
                items.append(whole)
            else:
                own = None if marked is None else segments_of(marked, place, alone=_is_alone(files))
                items += _segments(whole, length_s, ffmpeg) if own is None else _marked(whole, own)
    return _numbered(items, speaker, per_file=speaker_per_file)


def _numbered(items: Sequence[Item], speaker: str, *, per_file: bool) -> list[Item]:
    """Return the items with ids of their own, and with who speaks as far as that is known or said."""
    require_unnamed(speaker, items)
    numbered = []
    for number, item in enumerate(items):
        one = item.utterance
        # ids of loose files are made up: names may hold anything
        made = None if one is None or item.name == one.id else replace(one, id=f"file-{number:06d}")
        known = item.speaker or (one.speaker if one is not None else "")
        who = known or speaker or (item.recording if per_file else "")
        numbered.append(replace(item, utterance=one if made is None else made, speaker=who))
    return numbered


def require_unnamed(speaker: str, items: Sequence[Item]) -> None:
    """Refuse to name a speaker where each utterance has one already.

    Raises
    ------
    UsageError
        Where a manifest, or a file of segments, says of all of them who speaks.
    """
    known = [item.speaker or item.utterance.speaker for item in items if item.utterance is not None]
    if speaker and known and all(known):
        raise UsageError(
            f"--speaker {speaker}: who speaks is said already of all {len(known)} utterances, such as {known[0]}; "
            "leave it out"
        )


def require_segments(segments: str | None) -> None:
    """Raise UsageError where `segments` can't be read: at once, before encoders are built."""
    if segments is not None and is_segment_file(segments):
        read_segments(segments)
    else:
        _length(segments)


def _length(segments: str | None) -> float | None:
    if segments is None or segments == SILENCE:
        return None
    try:
        length_s = float(segments)
    except ValueError:
        length_s = 0.0
    if not 0.1 <= length_s <= 3600:
        raise UsageError(
            f"--segments {segments!r}; expected silence, or seconds from 0.1 to 3600, such as 5, or a file: .vtt, "
            ".srt, .rttm, .TextGrid, .eaf or Audacity's .txt"
        )
    return length_s


def _rows(table: Path, root: Path) -> Iterator[Item]:
    for row in read_manifest(table):
        try:
            place = clip_at(root, row.path)
            sound = _sound_at(root, row)
            row_here = replace(row, path=_from_anchor(place), sound="" if sound is None else _from_anchor(sound))
            yield Item(row.id, place, row_here, sound=sound)
        except NoClipError as error:
            yield Item(row.id, None, None, str(error))
        except InvalidRowError as error:
            yield Item(row.id, None, None, f"unreadable: {error}")


def _sound_at(root: Path, row: Utterance) -> Path | None:
    """Return where the sound of a row lies, or None where that is the row's own file."""
    if len(row.files) == 1:
        return None
    try:
        return clip_at(root, row.sound)
    except NoClipError as error:
        raise error.of(f"the sound {row.sound}") from error


def _below(path: Path) -> Iterable[tuple[Path, Path | None]]:
    """Return the files of a folder by name, hidden ones left out, videos with their sounds; or the path itself."""
    if not path.is_dir():
        return [(path, None)]
    found: dict[str, Path] = {}
    for folder, names, files in os.walk(path):
        names[:] = sorted(name for name in names if not name.startswith("."))
        for name in files:
            if not name.startswith("."):
                found[(Path(folder) / name).relative_to(path).as_posix()] = Path(folder) / name
    sound_of = pair(found).sound_of
    sounds = set(sound_of.values())
    return sorted(
        (place, found.get(sound_of.get(name, ""))) for name, place in found.items() if name not in sounds
    )


def _file(path: Path, sound: Path | None) -> Item:
    name = escaped(str(path))
    try:
        require_file(path)
        if sound is not None:
            require_file(sound)
    except NoClipError as error:
        return Item(name, None, None, str(error))
    place = Path(os.path.realpath(path))
    apart = None if sound is None else Path(os.path.realpath(sound))
    try:
        one = Utterance(
            "file", _from_anchor(place), ROOT_SPLIT, sound="" if apart is None else _from_anchor(apart)
        )
    except InvalidRowError as error:
        return Item(name, None, None, f"unreadable: {error}")
    return Item(name, place, one, sound=apart)


def _from_anchor(place: Path) -> str:
    return place.relative_to(place.anchor).as_posix()


def _segments(whole: Item, length_s: float | None, ffmpeg: str | None) -> list[Item]:
    """Cut one recording; where it can't be read, the item is its reason."""
    assert whole.path is not None and whole.utterance is not None
    try:
        if length_s is not None:
            spans = by_length(_duration_s(whole.path, whole.sound, ffmpeg), length_s)
        else:
            spans = by_silence(_sound(whole.path, whole.sound, ffmpeg), SAMPLE_RATE_HZ)
    except MediaError as error:
        reason = f"{error.kind}: {error}".replace(str(whole.path), whole.path.name)  # `path` has it in full
        if length_s is None and error.kind == "no_streams":
            reason += NO_SILENCES
        return [replace(whole, utterance=None, reason=reason)]
    except ValueError as error:
        return [replace(whole, utterance=None, reason=f"segments: {error}")]
    if not spans:
        return [replace(whole, utterance=None, reason=f"segments: nothing but silence{NO_SILENCES}")]
    return [_stretch(whole, start_s, end_s) for start_s, end_s in spans]


def _stretch(whole: Item, start_s: float, end_s: float, speaker: str = "") -> Item:
    """Return a stretch of a recording as an utterance of its own."""
    assert whole.utterance is not None
    span = replace(whole.utterance, start_s=start_s, end_s=end_s)
    name = _stretch_name(whole, start_s, end_s)
    return Item(name, whole.path, span, recording=whole.name, sound=whole.sound, speaker=speaker)


def _stretch_name(whole: Item, start_s: float, end_s: float) -> str:
    return f"{whole.name} [{start_s:.2f}-{end_s:.2f} s]"


def _is_alone(files: Sequence[Path]) -> bool:
    return len(files) == 1 and not files[0].is_dir()


def _marked(whole: Item, marked: Sequence[Segment]) -> list[Item]:
    """Cut one recording where a file says; what has no length is a reason of its own."""
    items = []
    for one in marked:
        length_s = one.end_s - one.start_s
        if SHORTEST_MARK_S <= length_s < math.inf and one.start_s >= 0:
            items.append(_stretch(whole, one.start_s, one.end_s, one.speaker))
            continue
        reason = (
            f"segments: it goes from {one.start_s:g} to {one.end_s:g} s; expected at least {SHORTEST_MARK_S} s"
        )
        name = _stretch_name(whole, one.start_s, one.end_s)
        items.append(replace(whole, name=name, utterance=None, reason=reason))
    return items


def _duration_s(path: Path, sound: Path | None, ffmpeg: str | None) -> float:
    found = probe(path, ffmpeg=ffmpeg) if sound is None else probe_pair(path, sound, ffmpeg=ffmpeg)
    return found.duration_s


def _sound(path: Path, sound: Path | None, ffmpeg: str | None) -> NDArray[np.float32]:
    """Return a recording's sound, mono, at SAMPLE_RATE_HZ; raise MediaError where there is none."""
    settings = DecodeSettings(frame_size_px=None, sample_rate_hz=SAMPLE_RATE_HZ, max_clip_s=LONGEST_RECORDING_S)
    clip = read_clip(path, plan=WindowPlan(), sampling=Sampling(), settings=settings, sound=sound, ffmpeg=ffmpeg)
    assert clip.audio is not None  # nothing else was asked for
    return clip.audio
