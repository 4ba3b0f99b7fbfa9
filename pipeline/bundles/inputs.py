"""What `predict` is asked about: clips, folders, manifests and long recordings, as one list of utterances."""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from features.media import DecodeSettings, MediaError, probe, read_clip
from features.segments import by_length, by_silence
from features.windows import Sampling, WindowPlan
from pipeline.clip_files import NoClipError, require_file
from pipeline.errors import UsageError
from pipeline.manifest import InvalidRowError, clip_at, read_manifest
from pipeline.utterance import Utterance

SILENCE = "silence"
LONGEST_RECORDING_S = 4 * 3600.0  # its sound is held in memory to find the silences
SAMPLE_RATE_HZ = 16_000
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

    @property
    def span_s(self) -> tuple[float, float] | None:
        """The part of the file that it is, seconds; None: all of it."""
        one = self.utterance
        return None if one is None or one.start_s is None or one.end_s is None else (one.start_s, one.end_s)


def gather(
    files: Sequence[Path], *, root: Path | None = None, segments: str | None = None, ffmpeg: str | None = None
) -> list[Item]:
    """Return an item for each utterance, in the order of `files`; a folder's files by name.

    Parameters
    ----------
    files
        Clips, folders, or manifests (``.csv``).
    root
        The folder that a manifest's paths start from; None: the manifest's own.
    segments
        Cut recordings: ``silence``, or a length in seconds; None: a file is one utterance.

    Raises
    ------
    UsageError
        Where `segments` can't be read, or goes with a manifest, whose rows are the segments; or `root`
        without one.
    ManifestError
        Where a manifest is faulty.
    """
    length_s = _length(segments)
    tables = [path for path in files if path.suffix.lower() == ".csv" and not path.is_dir()]
    if root is not None and not tables:
        raise UsageError("--root says where a manifest's paths start; no FILE is a manifest (.csv)")
    if segments is not None and tables:
        raise UsageError(f"--segments cuts recordings; the rows of {tables[0]} say themselves what is cut where")
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
        for place in _below(path):
            whole = _file(place)
            cut = [whole] if segments is None or whole.reason else _segments(whole, length_s, ffmpeg)
            items += cut
    numbered = []
    for number, item in enumerate(items):
        one = item.utterance
        # ids of loose files are made up: names may hold anything
        made = None if one is None or item.name == one.id else replace(one, id=f"file-{number:06d}")
        numbered.append(item if made is None else replace(item, utterance=made))
    return numbered


def shown(text: str) -> str:
    """Return a name as it may be printed: what is not printable, or no UTF-8, in backslashes."""
    safe = text.encode("utf-8", "backslashreplace").decode()
    return "".join(ch if ch.isprintable() else ch.encode("unicode_escape").decode() for ch in safe)


def _length(segments: str | None) -> float | None:
    if segments is None or segments == SILENCE:
        return None
    try:
        length_s = float(segments)
    except ValueError:
        length_s = 0.0
    if not 0.1 <= length_s <= 3600:
        raise UsageError(f"--segments {segments!r}; expected silence, or seconds from 0.1 to 3600, such as 5")
    return length_s


def _rows(table: Path, root: Path) -> Iterator[Item]:
    for row in read_manifest(table):
        try:
            place = clip_at(root, row.path)
            yield Item(row.id, place, replace(row, path=_from_anchor(place)))
        except NoClipError as error:
            yield Item(row.id, None, None, str(error))
        except InvalidRowError as error:
            yield Item(row.id, None, None, f"unreadable: {error}")


def _below(path: Path) -> Iterable[Path]:
    """Return the files of a folder by name, hidden ones left out; or the path itself."""
    if not path.is_dir():
        return [path]
    found = []
    for folder, names, files in os.walk(path):
        names[:] = sorted(name for name in names if not name.startswith("."))
        found += [Path(folder) / name for name in files if not name.startswith(".")]
    return sorted(found)


def _file(path: Path) -> Item:
    name = shown(str(path))
    try:
        require_file(path)
    except NoClipError as error:
        return Item(name, None, None, str(error))
    place = Path(os.path.realpath(path))
    try:
        return Item(name, place, Utterance("file", _from_anchor(place), ROOT_SPLIT))
    except InvalidRowError as error:
        return Item(name, None, None, f"unreadable: {error}")


def _from_anchor(place: Path) -> str:
    return place.relative_to(place.anchor).as_posix()


def _segments(whole: Item, length_s: float | None, ffmpeg: str | None) -> list[Item]:
    """Cut one recording; where it can't be read, the item is its reason."""
    assert whole.path is not None and whole.utterance is not None
    try:
        if length_s is not None:
            spans = by_length(probe(whole.path, ffmpeg=ffmpeg).duration_s, length_s)
        else:
            spans = by_silence(_sound(whole.path, ffmpeg), SAMPLE_RATE_HZ)
    except MediaError as error:
        reason = f"{error.kind}: {error}".replace(str(whole.path), whole.path.name)  # `path` has it in full
        if length_s is None and error.kind == "no_streams":
            reason += NO_SILENCES
        return [replace(whole, utterance=None, reason=reason)]
    except ValueError as error:
        return [replace(whole, utterance=None, reason=f"segments: {error}")]
    if not spans:
        return [replace(whole, utterance=None, reason=f"segments: nothing but silence{NO_SILENCES}")]
    return [
        Item(
            f"{whole.name} [{start_s:.2f}-{end_s:.2f} s]",
            whole.path,
            replace(whole.utterance, start_s=start_s, end_s=end_s),
            recording=whole.name,
        )
        for start_s, end_s in spans
    ]


def _sound(path: Path, ffmpeg: str | None) -> NDArray[np.float32]:
    """Return a recording's sound, mono, at SAMPLE_RATE_HZ; raise MediaError where there is none."""
    settings = DecodeSettings(frame_size_px=None, sample_rate_hz=SAMPLE_RATE_HZ, max_clip_s=LONGEST_RECORDING_S)
    clip = read_clip(path, plan=WindowPlan(), sampling=Sampling(), settings=settings, ffmpeg=ffmpeg)
    assert clip.audio is not None  # nothing else was asked for
    return clip.audio
