"""Fixtures of the tests that read media: every ffmpeg at hand, and a few clips made once."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests import clips

BINARIES = clips.ffmpegs()


@pytest.fixture(params=sorted(BINARIES) or ["none"])
def ffmpeg(request: pytest.FixtureRequest) -> str:
    """Return the path of an ffmpeg; the test runs once for each that is there."""
    if not BINARIES:
        pytest.skip("no ffmpeg: install it, or imageio-ffmpeg")
    return BINARIES[request.param]


@pytest.fixture(scope="session")
def clip_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for clips that several tests share."""
    return tmp_path_factory.mktemp("clips")


@pytest.fixture(scope="session")
def small_clip(clip_folder: Path) -> Path:
    """Return a clip of 3 s with a flash and a beep at 1.5 s."""
    return clips.flash_beep(clip_folder / "small.mp4")


@pytest.fixture(scope="session")
def meld_clip(clip_folder: Path) -> Path:
    """Return a clip as MELD's: 440 Hz in the centre, 1,000 Hz elsewhere."""
    return clips.meld_like(clip_folder / "meld.mp4")
