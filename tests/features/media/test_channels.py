"""Channel layouts, held against the list that ffmpeg itself prints."""

from __future__ import annotations

import re
import subprocess

import imageio_ffmpeg
import pytest
from dualstream.features.media.channels import _MIX, FILTER, INVERTED_FILTER, channel_count, has_centre


@pytest.fixture(scope="module")
def layouts() -> dict[str, list[str]]:
    """Names of the channels of each layout that ffmpeg knows."""
    said = subprocess.run(
        [imageio_ffmpeg.get_ffmpeg_exe(), "-hide_banner", "-layouts"], capture_output=True, text=True
    ).stdout
    standard = said.partition("Standard channel layouts:")[2]
    found = re.findall(r"^(\S+)\s+([A-Z0-9+]+)$", standard, flags=re.M)
    return {name: channels.split("+") for name, channels in found if name != "NAME"}


def test_ffmpeg_lists_layouts(layouts: dict[str, list[str]]) -> None:
    assert layouts["stereo"] == ["FL", "FR"] and len(layouts) > 20


def test_counts_are_ffmpegs(layouts: dict[str, list[str]]) -> None:
    assert {name: channel_count(name) for name in layouts} == {name: len(found) for name, found in layouts.items()}


def test_centres_are_ffmpegs(layouts: dict[str, list[str]]) -> None:
    assert {name: has_centre(name) for name in layouts} == {name: "FC" in found for name, found in layouts.items()}


@pytest.mark.parametrize(
    ("layout", "centre", "count"),
    [
        ("4 channels (FL+FR+FC+LFE)", True, 4),
        ("3 channels (FL+FR+LFE)", False, 3),
        ("6 channels", False, 6),
        ("5.1(side)", True, 6),
        ("nonsense", False, 0),
        ("", False, 0),
        ("ambisonic 1", False, 0),
    ],
)
def test_layouts_without_a_name(layout: str, centre: bool, count: int) -> None:
    assert has_centre(layout) is centre and channel_count(layout) == count


def test_the_mix_weighs_each_channel_once_and_no_low_frequencies(layouts: dict[str, list[str]]) -> None:
    names = [name for group in _MIX.values() for name in group]
    assert len(names) == len(set(names)) and not any(name.startswith("LFE") for name in names)
    everywhere = {name for found in layouts.values() for name in found if not name.startswith("LFE")}
    assert everywhere - set(names) <= {"DL", "DR", "BIL", "BIR", "BFC", "BFL", "BFR", "SSL", "SSR", "TTL", "TTR",
                                       "TSL", "TSR"}  # fmt: skip


def test_mix_and_difference_differ_in_the_sign_of_the_right_side() -> None:
    centre, mix, difference = FILTER.removeprefix("pan=3.0|").split("|")
    assert centre == "c0=FC"
    terms, other = (
        {name: share for share, name in re.findall(r"(-?[\d.]+)\*(\w+)", text)} for text in (mix, difference)
    )
    assert terms.keys() == other.keys()
    assert (terms["FC"], terms["FL"], terms["FR"], terms["BL"]) == ("1.0", "0.7071", "0.7071", "0.5")  # BS.775
    flipped = {name for name in terms if terms[name] != other[name]}
    assert flipped == {"FR", "FRC", "DR", "BR", "SR", "WR", "SDR", "TFR", "TBR"}
    assert all(other[name] == f"-{terms[name]}" for name in flipped)
    inverted = INVERTED_FILTER.removeprefix("pan=3.0|").split("|")
    assert [one[3:] for one in inverted[1:]] == [difference[3:], mix[3:]]
