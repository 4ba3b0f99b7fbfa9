"""Channel layouts by ffmpeg's names (``ffmpeg -layouts``): their number, whether one is the centre, the mix."""

from __future__ import annotations

_WITH_CENTRE = frozenset(
    (
        "mono", "3.0", "4.0", "3.1", "5.0", "5.0(side)", "4.1", "5.1", "5.1(side)", "6.0", "3.1.2", "hexagonal",
        "6.1", "6.1(back)", "7.0", "7.0(front)", "7.1", "7.1(wide)", "7.1(wide-side)", "5.1.2", "5.1.2(back)",
        "octagonal", "5.1.4", "7.1.2", "7.1.4", "7.2.3", "9.1.4", "9.1.6", "hexadecagonal", "22.2",
    )
)  # fmt: skip
# Share of each channel in the mix, after ITU-R BS.775: the centre whole, front left and right 3 dB less, the rest
# 6 dB less, no low-frequency channel. ffmpeg drops the channels that a layout lacks and scales the rest to 1, so
# that stereo gives the mean of its two.
_MIX = {
    1.0: ("FC",),
    0.7071: ("FL", "FR", "FLC", "FRC", "DL", "DR"),
    0.5: ("BL", "BR", "BC", "SL", "SR", "WL", "WR", "SDL", "SDR", "TFL", "TFC", "TFR", "TBL", "TBC", "TBR", "TC"),
}
_RIGHT = frozenset(("FR", "FRC", "DR", "BR", "SR", "WR", "SDR", "TFR", "TBR"))


def _sum(right: str) -> str:
    """Return the mix for ``pan``; `right` is the sign of the channels on the right."""
    terms = [(share, name) for share in _MIX for name in _MIX[share]]
    signed = "".join(f"{right if name in _RIGHT else '+'}{share}*{name}" for share, name in terms)
    return signed.removeprefix("+")


CHANNELS = 3
"""How many channels the filters below give: the centre (silence where there is none), the mix, and the difference,
which is the mix with its right side inverted: where one side was recorded upside down, the mix is next to nothing,
and the difference is what was meant."""
FILTER = f"pan=3.0|c0=FC|c1<{_sum('+')}|c2<{_sum('-')}"
INVERTED_FILTER = f"pan=3.0|c0=FC|c1<{_sum('-')}|c2<{_sum('+')}"
"""The same with mix and difference exchanged."""

_COUNTS = {
    "mono": 1, "stereo": 2, "downmix": 2, "binaural": 2, "quad": 4,
    "hexagonal": 6, "cube": 8, "octagonal": 8, "hexadecagonal": 16,
}  # fmt: skip


def has_centre(layout: str) -> bool:
    """Return whether a layout has a front centre channel. Mono sound is its own centre.

    ``5.1`` has one, ``stereo``, ``quad`` and ``2.1`` have none. A layout that names its channels
    (``4 channels (FL+FR+FC+LFE)``) is taken by that; channels without names (``6 channels``) have no known centre.
    """
    if "+" in layout:
        return "FC" in layout[layout.find("(") + 1 :].rstrip(")").split("+")
    return layout in _WITH_CENTRE


def channel_count(layout: str) -> int:
    """Return how many channels a layout has; 0 where its name is not known."""
    name = layout.split("(")[0].strip()
    if name in _COUNTS:
        return _COUNTS[name]
    try:
        if name.endswith("channels"):
            return int(name.split()[0])
        return sum(int(part) for part in name.split("."))
    except ValueError:
        return 0
