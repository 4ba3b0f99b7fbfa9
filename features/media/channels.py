"""Channel layouts by ffmpeg's names (``ffmpeg -layouts``): how many channels, and whether one is the centre."""

from __future__ import annotations

_WITH_CENTRE = frozenset(
    (
        "mono", "3.0", "4.0", "3.1", "5.0", "5.0(side)", "4.1", "5.1", "5.1(side)", "6.0", "3.1.2", "hexagonal",
        "6.1", "6.1(back)", "7.0", "7.0(front)", "7.1", "7.1(wide)", "7.1(wide-side)", "5.1.2", "5.1.2(back)",
        "octagonal", "5.1.4", "7.1.2", "7.1.4", "7.2.3", "9.1.4", "9.1.6", "hexadecagonal", "22.2",
    )
)  # fmt: skip
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


def unnamed_channels(layout: str) -> int:
    """Return how many channels a layout without names has (``9 channels``), 0 for all others."""
    return channel_count(layout) if layout.endswith("channels") else 0
