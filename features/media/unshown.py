"""Pictures of H.264 that no tick shows and no other picture rests on: the others are the same without them."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualstream.features.media.showing import NotPlainError, Showing

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from fractions import Fraction

    from av import Packet

SLICES = (1, 5)  # types of NAL units, ITU-T H.264, table 7-1
BESIDE = (6, 9, 12)  # further information, delimiters, filling


def left_out(packets: Sequence[Packet], header: bytes, showing: Callable[[Fraction], Showing]) -> frozenset[int]:
    """Return the times of the pictures that need not be decoded; none where that isn't known.

    Parameters
    ----------
    packets : Sequence[Packet]
        All of an H.264 stream that have something in them.
    header : bytes
        The stream's ``avcC`` box.
    showing : callable
        Given a time base, returns what tells which ticks pictures show.
    """
    if not packets or len(header) < 5 or header[0] != 1:  # units that are told apart by start codes
        return frozenset()
    size, base = (header[4] & 3) + 1, packets[0].time_base
    times = sorted(one.pts for one in packets if one.pts is not None)
    if base is None or len(times) < len(packets) or any(one.is_discard or one.is_corrupt for one in packets):
        return frozenset()
    try:
        shown = _shown(times, showing(base))
    except NotPlainError:
        return frozenset()
    return frozenset(one.pts for one in packets if one.pts not in shown and stands_alone(bytes(one), size))


def stands_alone(packet: bytes, size: int) -> bool:
    """Tell whether no other picture rests on a packet's, whose units state their length in `size` bytes."""
    at, slices = 0, 0
    while at + size < len(packet):
        length = int.from_bytes(packet[at : at + size], "big")
        kind, is_reference = packet[at + size] & 31, bool(packet[at + size] & 96)
        at += size + length
        if kind in SLICES and not is_reference:
            slices += 1
        elif kind not in BESIDE:
            return False
    return slices > 0 and at == len(packet)


def _shown(times: list[int], showing: Showing) -> set[int]:
    """Return the times, of those that rise, of pictures that show a tick."""
    found, before = set(), None
    for pts in times:
        if showing.take(pts) is None:
            continue
        if showing.before() and before is not None:
            found.add(before)
        before = pts
    if showing.rest() and before is not None:
        found.add(before)
    return found
