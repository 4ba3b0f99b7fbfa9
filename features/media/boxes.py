"""What a file's header tells before anything opens it: the tracks of MP4 and MOV; that FLAC and WAV are sound.

ftyp  …  moov ─ trak ─ mdia ─ hdlr "vide" or "soun"        boxes: size, type, content
"""

from __future__ import annotations

import contextlib
import re
import struct
from typing import BinaryIO

BEGIN = b"ftyp"
LARGEST_HEADER = 32 << 20  # bytes of ``moov`` that are looked through
MOST_BOXES = 1000
_TRACK = re.compile(rb"hdlr.{8}(vide|soun)", re.DOTALL)
# The matrices of the movie and of its tracks, behind times of 4 or 8 bytes; wherever one may begin.
_TURN = re.compile(rb"(?=(?:mvhd(?:\x00.{35}|\x01.{47})|tkhd(?:\x00.{39}|\x01.{51}))(.{36}))", re.DOTALL)
_SOUND = re.compile(rb"fLaC|RIFF.{4}WAVE", re.DOTALL)


def is_iso(real_path: str) -> bool:
    """Tell whether a file begins as MP4 and MOV do, whose headers say all that is to be known of their streams."""
    with contextlib.suppress(OSError), open(real_path, "rb") as file:
        return file.read(8)[4:] == BEGIN
    return False


def stated_tracks(real_path: str) -> frozenset[str]:
    """Return which of ``vide`` and ``soun`` a file's header names; nothing where it can't be told."""
    with contextlib.suppress(OSError, ValueError, struct.error), open(real_path, "rb") as file:
        if _SOUND.match(file.read(12)):
            return frozenset({"soun"})
        return frozenset(found.decode() for found in _TRACK.findall(_header(file)))
    return frozenset()


def stated_turns(real_path: str) -> tuple[bytes, ...]:
    """Return how MP4 and MOV turn their pictures, as they state it; nothing where it can't be told."""
    with contextlib.suppress(OSError, ValueError, struct.error), open(real_path, "rb") as file:
        return tuple(_TURN.findall(_header(file)))
    return ()


def _header(file: BinaryIO) -> bytes:
    """Return the content of ``moov``, or nothing."""
    at, first = 0, True
    for _ in range(MOST_BOXES):
        file.seek(at)
        size, kind = struct.unpack(">I4s", file.read(8))
        if first and kind != BEGIN:
            break
        first = False
        if size == 1:  # the size stands behind the type, in 8 bytes
            (size,) = struct.unpack(">Q", file.read(8))
        if kind == b"moov":
            return file.read(min(size, LARGEST_HEADER))
        if size < 8:  # to the end of the file, or broken
            break
        at += size
    return b""
