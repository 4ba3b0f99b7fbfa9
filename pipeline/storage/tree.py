"""The files below a folder, in one order on every machine."""

from __future__ import annotations

import os
from pathlib import Path

VIDEO_SUFFIXES = (
    *(".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".m2ts", ".mts"),
    *(".flv", ".wmv", ".asf", ".3gp", ".dv", ".gif"),
)
AUDIO_SUFFIXES = (
    *(".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac"),
    *(".ac3", ".eac3", ".aif", ".aiff", ".caf", ".au", ".amr", ".wma"),
)
MEDIA_SUFFIXES = (*VIDEO_SUFFIXES, *AUDIO_SUFFIXES)


def files_below(root: Path) -> list[str]:
    """Return the paths of all files below `root`, relative to it, with ``/``, sorted; linked folders stay shut."""
    found: list[str] = []
    for folder, _, names in os.walk(root):
        inside = os.path.relpath(folder, root)
        found += [name if inside == "." else f"{inside}/{name}" for name in names]
    return sorted(found)


def media_below(root: Path) -> list[str]:
    """Return the paths of clips and recordings below `root`, by their suffix; hidden files are passed over."""
    return [path for path in files_below(root) if is_media(path) and not is_hidden(path)]


def is_media(path: str) -> bool:
    """Tell by its suffix whether a path names a clip or a recording."""
    return path.lower().endswith(MEDIA_SUFFIXES)


def is_video(path: str) -> bool:
    """Tell by its suffix whether a path names a film."""
    return path.lower().endswith(VIDEO_SUFFIXES)


def is_hidden(path: str) -> bool:
    """Tell whether a path lies in, or is, something whose name begins with a dot, ``._*`` twins included."""
    return any(part.startswith(".") for part in path.split("/"))
