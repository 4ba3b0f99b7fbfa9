"""Clips in two files, found by name: a video, and beside it the sound of the same stem.

joy/a.mp4        joy/a.wav             one folder; A.MP4 and a.WAV where no name fits as it is written
video/joy/a.mp4  audio/joy/a.m4a       folders that differ in a word for picture or sound only
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Iterable
from dataclasses import dataclass

from dualstream.pipeline.storage.tree import AUDIO_SUFFIXES, is_media, is_video, suffix_of

VIDEO_WORDS = frozenset({"video", "videos", "film", "films", "visual", "mp4", "avi", "mkv", "mov", "mpg", "flv"})
AUDIO_WORDS = frozenset({"audio", "audios", "sound", "sounds", "wav", "wavs", "aac", "m4a", "flac", "mp3", "ogg"})


@dataclass(frozen=True)
class Pairs:
    """Which videos of a folder have their sound in another file."""

    sound_of: dict[str, str]
    """Path of the video → path of the sound."""
    spare: tuple[str, ...]
    """Further sounds of a video that has one: of the same name, in another format."""
    apart: bool
    """Some sound lies in another folder than its video."""


def pair(paths: Iterable[str]) -> Pairs:
    """Pair videos with sounds by their names.

    A video takes the sound of its own folder and of its very stem; where there is none, of its stem in another
    case; where there is none, of the folder that differs in a word such as ``audio`` for ``video``. Of several
    sounds it takes the first one in the order of `AUDIO_SUFFIXES`, which begins with those that lose nothing.
    """
    media = sorted(path for path in paths if is_media(path))
    videos = [path for path in media if is_video(path)]
    sounds = sorted((path for path in media if not is_video(path)), key=lambda path: (_rank(path), path))
    sound_of: dict[str, str] = {}
    spare: set[str] = set()
    for key in (_as_written, _in_any_case, _across_folders):
        taken = {*sound_of.values(), *spare}
        by_key: dict[Hashable, list[str]] = {key(video): [] for video in videos if video not in sound_of}
        for sound in sounds if by_key else ():
            if sound not in taken and (alike := by_key.get(key(sound))) is not None:
                alike.append(sound)
        for video in videos:
            found = by_key.get(key(video))
            if video not in sound_of and found:
                sound_of[video] = found[0]
                spare.update(found[1:])
    folders = ((_folder(video), _folder(sound)) for video, sound in sound_of.items())
    apart = any(of_video != of_sound for of_video, of_sound in folders)
    return Pairs(sound_of, tuple(sorted(spare - set(sound_of.values()))), apart)


def without_words(path: str) -> list[str]:
    """Return the folders of a path without those that are a word for picture or sound only."""
    words = VIDEO_WORDS if is_video(path) else AUDIO_WORDS
    return [part for part in path.split("/")[:-1] if part.lower() not in words]


_Key = Callable[[str], Hashable]


def _as_written(path: str) -> Hashable:
    return path.removesuffix(suffix_of(path))


def _in_any_case(path: str) -> Hashable:
    return _folder(path), _stem(path).casefold()


def _across_folders(path: str) -> Hashable:
    return tuple(part.casefold() for part in without_words(path)), _stem(path).casefold()


def _stem(path: str) -> str:
    return path.removesuffix(suffix_of(path)).rpartition("/")[2]


def _folder(path: str) -> str:
    return path.rpartition("/")[0]


def _rank(path: str) -> int:
    return AUDIO_SUFFIXES.index(suffix_of(path).lower())
