"""The files below a folder, in one order on every machine."""

from __future__ import annotations

import os
from collections import Counter
from pathlib import Path
from typing import Protocol

# Names of what the reader opens (features.media.settings.FORMATS), by suffix.
VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".qt", ".mkv", ".mk3d", ".webm", ".avi", ".divx", ".ogv", ".ogm", ".ogx"),
    *(".mpg", ".mpeg", ".mpe", ".m1v", ".m2v", ".mpv", ".m2p", ".vob", ".mod"),
    *(".ts", ".m2t", ".m2ts", ".mts", ".tp", ".trp", ".tod"),
    *(".flv", ".f4v", ".wmv", ".asf", ".3gp", ".3gpp", ".3g2", ".3gp2", ".mj2", ".ismv"),
    *(".dv", ".dif", ".gif", ".h264", ".264", ".avc", ".hevc", ".h265", ".265"),
)
AUDIO_SUFFIXES = (  # those that lose nothing first
    *(".wav", ".wave", ".flac", ".w64", ".rf64", ".bwf", ".aif", ".aiff", ".aifc", ".caf", ".au", ".snd"),
    *(".m4a", ".m4b", ".aac", ".adts", ".opus", ".ogg", ".oga", ".spx", ".mp3", ".mp2", ".mpa", ".mka", ".weba"),
    *(".ac3", ".eac3", ".ec3", ".amr", ".awb", ".3ga", ".wma"),
)
MAX_SUFFIXES = 5  # that a message names
MEDIA_SUFFIXES = (*VIDEO_SUFFIXES, *AUDIO_SUFFIXES)


class Listed(Protocol):
    """A folder on another machine, which lists its files itself."""

    def listed(self) -> list[str]:
        """Return the paths of all files below, sorted."""
        ...


def files_below(root: Path | Listed) -> list[str]:
    """Return the paths of all files below `root`, relative to it, with ``/``, sorted; linked folders stay shut."""
    return walk(root)[0]


def others(root: Path | Listed) -> str:
    """Count the files below `root` that are no clips by their suffix, for a message: `` (there are 3 .txt)``."""
    counts = Counter(
        suffix_of(path).lower() or "without suffix" for path in files_below(root) if not is_media(path)
    )
    shown = ", ".join(f"{count} {suffix}" for suffix, count in counts.most_common(MAX_SUFFIXES))
    return f" (there are {shown}: none of these is known for a clip)" if counts else ""


def walk(root: Path | Listed) -> tuple[list[str], list[str]]:
    """Return the files below `root`, and the folders that are not entered, both relative to it and sorted.

    Those are links, and folders that can't be listed.
    """
    if not isinstance(root, Path):
        return root.listed(), []
    found: list[str] = []
    shut: list[str] = []

    def refused(error: OSError) -> None:
        shut.append(os.path.relpath(error.filename, root))

    for folder, folders, names in os.walk(root, onerror=refused):
        inside = os.path.relpath(folder, root)
        found += [name if inside == "." else f"{inside}/{name}" for name in names]
        linked = [name for name in folders if os.path.islink(os.path.join(folder, name))]
        shut += [name if inside == "." else f"{inside}/{name}" for name in linked]
    return sorted(found), sorted(shut)


def media_below(root: Path | Listed) -> list[str]:
    """Return the paths of clips and recordings below `root`, by their suffix; hidden files are passed over."""
    return [path for path in files_below(root) if is_media(path) and not is_hidden(path)]


def is_media(path: str) -> bool:
    """Tell by its suffix whether a path names a clip or a recording."""
    return path.lower().endswith(MEDIA_SUFFIXES)


def is_video(path: str) -> bool:
    """Tell by its suffix whether a path names a film."""
    return path.lower().endswith(VIDEO_SUFFIXES)


def suffix_of(path: str) -> str:
    """Return the suffix of a file's name as it is written, with its dot; empty where it has none."""
    name = path.rpartition("/")[2]
    stem, dot, suffix = name.rpartition(".")
    return dot + suffix if stem else ""


def is_hidden(path: str) -> bool:
    """Tell whether a path lies in, or is, something whose name begins with a dot, ``._*`` twins included."""
    return any(part.startswith(".") for part in path.split("/"))
