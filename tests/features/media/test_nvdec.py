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

from tests.clips import ffmpegs, run_ffmpeg
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


# Kept decoders do the same whatever decodes in them: here they are those of the libraries, without a GPU.

CODED = {
    "delayed": "-c:v libx264",
    "not delayed": "-c:v libx264 -bf 0",
    "delayed by two": "-c:v libx264 -bf 6 -b_strategy 0 -x264-params b-pyramid=normal",
    "in colour of television": "-c:v libx264 -colorspace bt709 -color_range tv",
    "with wide pixels": "-c:v libx264 -aspect 2",
    "hevc": "-c:v libx265 -x265-params log-level=none",
    "mpeg4": "-c:v mpeg4 -bf 2",
}


@pytest.fixture(scope="module")
def coded(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[Path]]:
    """Return three clips of each kind, which differ in what they show and in their length."""
    if not ffmpegs():
        pytest.skip("no ffmpeg: install it, or imageio-ffmpeg")
    folder = tmp_path_factory.mktemp("coded")
    found: dict[str, list[Path]] = {}
    for number, (kind, words) in enumerate(CODED.items()):
        for seed in range(3):
            path = folder / f"{number}_{seed}.mp4"
            shown = f"testsrc2=s=320x240:r=24:d={1 + 0.4 * seed},noise=alls=30:allf=t:all_seed={seed},hue=h={90 * seed}"
            run_ffmpeg("-f", "lavfi", "-i", shown, *words.split(), "-pix_fmt", "yuv420p", str(path))
            found.setdefault(kind, []).append(path)
    return found


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch) -> dict[Any, Any]:
    """Let the libraries decode for `nvdec`, with no decoder kept yet; return those that are."""
    found: dict[Any, Any] = {}
    monkeypatch.setattr(nvdec, "_kept", found)
    if not has_gpu():
        monkeypatch.setattr(nvdec, "engine", lambda _gpu: None)
    return found


def frames(path: Path, decoder: str, **more: Any) -> Any:
    return read(path, None, decoder, frame_size_px=64, sample_rate_hz=None, **more).frames


@pytest.mark.parametrize("speed", ["exact", "fast"])
def test_a_kept_decoder_gives_what_a_new_one_gives(
    coded: dict[str, list[Path]], kept: dict[Any, Any], speed: str
) -> None:
    clips = [paths[turn] for turn in range(3) for paths in coded.values()]
    for path in [*clips, *clips[::-1]]:
        np.testing.assert_array_equal(frames(path, "nvdec", speed=speed), frames(path, "pyav", speed=speed))
    assert len(kept) == nvdec.MOST_KEPT


def test_one_decoder_is_made_for_all_clips_of_a_kind(coded: dict[str, list[Path]], kept: dict[Any, Any]) -> None:
    for kind in ("delayed", "hevc", "mpeg4"):
        seen = []
        for path in [*coded[kind], coded[kind][0]]:
            frames(path, "nvdec")
            seen.append({id(one) for one in kept.values()})
        assert all(one == seen[0] for one in seen)
        assert bool(seen[0]) == (kind != "mpeg4")  # whose header lies in its packets
        kept.clear()


def test_a_decoder_left_in_the_midst_of_a_clip_begins_anew(
    coded: dict[str, list[Path]], kept: dict[Any, Any]
) -> None:
    first, second, third = coded["delayed"]
    for span_s in ((0.0, 0.5), (0.5, 1.0)):
        for path in (third, second, first):
            ours, theirs = (frames(path, one, span_s=span_s) for one in ("nvdec", "pyav"))
            np.testing.assert_array_equal(ours, theirs)
    assert len(kept) == 1


def test_a_decoder_that_met_damage_is_not_kept(
    coded: dict[str, list[Path]], kept: dict[Any, Any], tmp_path: Path
) -> None:
    first, second, third = coded["delayed"]
    frames(first, "nvdec")
    content = bytearray(second.read_bytes())
    begin = content.index(b"mdat") + len(content) // 3
    content[begin : begin + 400] = bytes(400)
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(content)
    assert read(damaged, None, "nvdec", sample_rate_hz=None).facts.processes == 1  # ffmpeg read it
    assert not kept
    np.testing.assert_array_equal(frames(third, "nvdec"), frames(third, "pyav"))
    assert len(kept) == 1


def test_a_kept_decoder_forgets_the_header_of_the_clip_before(
    coded: dict[str, list[Path]], kept: dict[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Were two streams of different headers taken for one kind, the second would be read by its own all the same."""
    monkeypatch.setattr(nvdec, "_kind", lambda stream, gpu: stream.codec_context.name)
    for kind in ("not delayed", "delayed", "delayed by two", "not delayed", "hevc"):
        for path in coded[kind]:
            np.testing.assert_array_equal(frames(path, "nvdec"), frames(path, "pyav"))
    assert set(kept) == {"h264", "hevc"}


@pytest.mark.gpu
@pytest.mark.skipif(not has_gpu(), reason="needs an NVIDIA GPU")
def test_a_gpu_decodes_to_the_frames_of_the_libraries(meld_clip: Path) -> None:
    ours, theirs = (read(meld_clip, None, one) for one in ("nvdec", "pyav"))
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    np.testing.assert_array_equal(ours.audio, theirs.audio)  # type: ignore[arg-type]


def test_it_is_part_of_the_fingerprint() -> None:
    assert DecodeSettings(decoder="nvdec").to_json()["decoder"] == "nvdec"
