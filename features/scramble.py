"""Time-scrambled sound: pieces of one length in random order. Voice and level stay, words go.

Speech in pieces of 0.25 s keeps pitch, timbre and loudness, and can't be understood; a score that stands on it
does not rest on wording. The covered span is scrambled, and nothing outside it.
"""

from __future__ import annotations

import hashlib
import itertools

import numpy as np
from numpy.typing import NDArray

FADE_S = 0.004  # at each cut, so that no click tells where it is


def scrambled(
    audio: NDArray[np.float32], covered_s: tuple[float, float], piece_s: float, rate_hz: int, *, key: str
) -> NDArray[np.float32]:
    """Return mono sound, shape (S,), whose covered span is cut into pieces of `piece_s` seconds in another order.

    The last piece is what is left. Ends that were cut, or meet one that was, are faded over `FADE_S`.

    Parameters
    ----------
    key
        Decides the order: the utterance's id. The same key and number of pieces give the same order.
    """
    begin = min(max(round(covered_s[0] * rate_hz), 0), audio.size)
    end = min(max(round(covered_s[1] * rate_hz), begin), audio.size)
    step = max(1, round(piece_s * rate_hz))
    pieces = [audio[first : min(first + step, end)] for first in range(begin, end, step)]
    if len(pieces) < 2:
        return audio
    fade = min(round(FADE_S * rate_hz), step // 4)
    out = audio.copy()
    position = begin
    last = len(pieces) - 1
    for place, number in enumerate(_order(len(pieces), key)):
        piece = _faded(pieces[number], fade, (place, number) != (0, 0), (place, number) != (last, last))
        out[position : position + len(piece)] = piece
        position += len(piece)
    return out


def _order(count: int, key: str) -> list[int]:
    """Return a permutation of `count` pieces, 2 or more, that moves some of them; digests give the order."""
    for attempt in itertools.count():
        order = sorted(range(count), key=lambda i: hashlib.sha256(f"{attempt} {i} {key}".encode()).digest())
        if order != list(range(count)):
            return order
    raise AssertionError  # some attempt moves a piece


def _faded(piece: NDArray[np.float32], fade: int, first: bool, last: bool) -> NDArray[np.float32]:
    """Return a piece that begins softly, where `first` says so, and ends softly, where `last` does."""
    fade = min(fade, len(piece) // 2)
    ramp = ((np.arange(fade) + 0.5) / max(fade, 1)).astype(np.float32)
    piece = piece.copy()
    if first:
        piece[:fade] *= ramp
    if last:
        piece[len(piece) - fade :] *= ramp[::-1]
    return piece
