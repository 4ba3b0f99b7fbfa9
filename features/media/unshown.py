"""Pictures of H.264 that no tick shows and no other picture rests on: the others are the same without them.

What isn't decoded isn't checked either: damage inside such a picture is not noted, as it changes no frame.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualstream.features.media.showing import NotPlainError, Showing

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from fractions import Fraction

    from av import Packet

# Types of NAL units, ITU-T H.264, table 7-1.
SLICE, IDR_SLICE, SPS = 1, 5, 7
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
    if not any(unit[0] & 31 == IDR_SLICE for unit in units(bytes(packets[0]), size)):
        return frozenset()  # of the pictures that follow, decoders drop those that rest on earlier ones
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
    slices, at = 0, 0
    for unit in units(packet, size):
        at += size + len(unit)
        kind, is_reference = unit[0] & 31, bool(unit[0] & 96)
        if kind == SLICE and not is_reference:
            slices += 1
        elif kind not in BESIDE:
            return False
    return slices > 0 and at == len(packet)


def restates(packet: bytes, header: bytes) -> bool:
    """Tell whether a packet states parameters of its stream that its header, an ``avcC`` box, lacks."""
    found = units(packet, (header[4] & 3) + 1)
    return any(unit[0] & 31 == SPS and unit not in header for unit in found)


def units(packet: bytes, size: int) -> Iterator[bytes]:
    """Yield the units of a packet, which state their length in `size` bytes, up to one that is cut or empty."""
    at = 0
    while at + size < len(packet):
        end = at + size + int.from_bytes(packet[at : at + size], "big")
        if not at + size < end <= len(packet):
            return
        yield packet[at + size : end]
        at = end


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
