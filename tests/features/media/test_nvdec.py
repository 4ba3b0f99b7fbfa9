"""Decoding by a GPU: what it gives back becomes the frames of the libraries; without one it is refused."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.media import nvdec
from dualstream.features.media.pyav import decoder_at_hand
from dualstream.features.media.settings import DecodeSettings, MediaError
from dualstream.features.media.tracks import Pictures

from tests.features.media.test_pyav import read

av = pytest.importorskip("av")


def has_gpu() -> bool:
    try:
        nvdec.engine(0)
    except MediaError:
        return False
    return True


@pytest.mark.skipif(has_gpu(), reason="there is a GPU")
def test_without_a_gpu_it_is_refused_and_bundles_do_without() -> None:
    with pytest.raises(MediaError, match=r"needs an NVIDIA GPU.*; or use pyav or ffmpeg") as caught:
        nvdec.engine(0)
    assert caught.value.kind == "missing"
    assert decoder_at_hand("nvdec", 0) == "pyav"


@pytest.mark.parametrize(("planar", "packed"), [("yuv420p", "nv12"), ("yuv420p10le", "p010le")])
def test_pictures_as_a_gpu_gives_them_become_the_same_rows(
    meld_clip: Path, monkeypatch: pytest.MonkeyPatch, planar: str, packed: str
) -> None:
    """The planes of a GPU's pictures lie in another order: that is all that may differ."""
    take = Pictures.take

    def taken(self: Pictures, frame: Any, form: str) -> None:
        changed = frame.reformat(format=planar).reformat(format=form)
        changed.pts, changed.time_base = frame.pts, frame.time_base
        take(self, changed)

    found = {}
    for form in (planar, packed):
        monkeypatch.setattr(Pictures, "take", lambda self, frame, form=form: taken(self, frame, form))
        found[form] = read(meld_clip, None, frame_size_px=64).frames
    assert len(found[planar]) > 10
    np.testing.assert_array_equal(found[planar], found[packed])


@pytest.mark.gpu
@pytest.mark.skipif(not has_gpu(), reason="needs an NVIDIA GPU")
def test_a_gpu_decodes_to_the_frames_of_the_libraries(meld_clip: Path) -> None:
    ours, theirs = (read(meld_clip, None, one) for one in ("nvdec", "pyav"))
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    np.testing.assert_array_equal(ours.audio, theirs.audio)  # type: ignore[arg-type]


def test_it_is_part_of_the_fingerprint() -> None:
    assert DecodeSettings(decoder="nvdec").to_json()["decoder"] == "nvdec"
