"""Settings that shape the numbers, limits that protect the machine, and an error that names its file."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import pytest
from dualstream.features.media.settings import (
    ALIKE,
    FAST_READING_VERSION,
    READING_VERSION,
    DecodeSettings,
    Guards,
    MediaError,
    naming,
)


def test_every_field_is_in_the_fingerprint() -> None:
    base = DecodeSettings()
    changes: dict[str, Any] = {
        "frame_size_px": 96, "fit": "crop", "sample_rate_hz": 8000, "channels": "mix", "speed": "fast", "max_clip_s": 9.0,
        "decoder": "pyav",
    }  # fmt: skip
    assert changes.keys() == vars(base).keys()
    for name, value in changes.items():
        changed = DecodeSettings(**{name: value}).to_json()
        assert changed[name] == value
        differ = {key for key, one in changed.items() if base.to_json().get(key) != one}
        assert differ == {name} | ({"reading"} if name == "speed" else set())


def test_a_way_of_reading_is_no_older_than_those_that_it_is_alike() -> None:
    assert DecodeSettings().to_json()["reading"] == READING_VERSION
    assert DecodeSettings(speed="fast").to_json()["reading"] == FAST_READING_VERSION
    assert all(old < new for new, olds in ALIKE.items() for old in olds)


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"frame_size_px": None, "sample_rate_hz": None}, "nothing would be read"),
        ({"frame_size_px": 0}, r"0 px; expected 1 to 4096"),
        ({"frame_size_px": 4097}, r"4097 px"),
        ({"sample_rate_hz": 999}, r"999 Hz; expected 1,000 to 192,000"),
        ({"sample_rate_hz": 192_001}, "192001 Hz"),
        ({"fit": "squash"}, "fit is 'squash'; expected one of: stretch, crop, pad"),
        ({"channels": "left"}, "expected one of: auto, mix, center"),
        ({"speed": "slow"}, "expected one of: exact, fast"),
        ({"max_clip_s": 0}, "max_clip_s is 0"),
        ({"max_clip_s": float("inf")}, "at most a day"),
        ({"max_clip_s": float("nan")}, "at most a day"),
        ({"max_clip_s": 86_401}, "at most a day"),
    ],
)
def test_settings_out_of_their_range(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        DecodeSettings(**given)


@pytest.mark.parametrize("given", [{"frame_size_px": 1}, {"frame_size_px": 4096, "sample_rate_hz": None},
                                   {"sample_rate_hz": 1000, "frame_size_px": None}, {"max_clip_s": 86_400}])  # fmt: skip
def test_the_ends_of_ranges_are_inside(given: dict[str, Any]) -> None:
    assert DecodeSettings(**given)


@pytest.mark.parametrize(
    ("given", "said"),
    [({"formats": ()}, "formats is empty"), ({"wall_s": 0}, "wall_s is 0"), ({"threads": -1}, "threads is -1"),
     ({"max_pixels": 0}, "max_pixels"), ({"log_bytes": 0}, "log_bytes"), ({"max_alloc_bytes": 0}, "max_alloc_bytes")],
)  # fmt: skip
def test_guards_that_would_let_nothing_through(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        Guards(**given)


def test_an_error_comes_whole_out_of_another_process() -> None:
    error = pickle.loads(pickle.dumps(MediaError("damaged", "x.mp4: no frame")))
    assert (error.kind, str(error)) == ("damaged", "x.mp4: no frame")


def test_a_name_is_put_before_a_message_once() -> None:
    with pytest.raises(MediaError, match=r"^clips/a\.mp4: too long$") as caught, naming(Path("clips/a.mp4")):
        raise MediaError("timeout", "too long")
    assert caught.value.kind == "timeout" and isinstance(caught.value.__cause__, MediaError)
    with pytest.raises(MediaError, match=r"^clips/a\.mp4 is empty$"), naming(Path("clips/a.mp4")):
        raise MediaError("empty", "clips/a.mp4 is empty")
    with pytest.raises(KeyError), naming(Path("clips/a.mp4")):  # other errors pass as they are
        raise KeyError("x")
