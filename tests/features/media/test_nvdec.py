"""Decoding by a GPU: what it gives back becomes the frames of the libraries; without one it is refused."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.media import nvdec, unshown
from dualstream.features.media.pyav import decoder_at_hand
from dualstream.features.media.settings import DecodeSettings, MediaError
from dualstream.features.media.tracks import Pictures
from dualstream.features.windows import WindowPlan

from tests.clips import coded_video, ffmpegs, run_ffmpeg, tone
from tests.features.media.test_pyav import read

av = pytest.importorskip("av")
PLAN = WindowPlan(0.5, 0.25)


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
            shown = f"testsrc2=s=160x120:r=24:d={1 + 0.3 * seed},noise=alls=30:allf=t:all_seed={seed},hue=h={90 * seed}"
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
    monkeypatch.setattr(nvdec, "_kind", lambda stream, *_: stream.codec_context.name)
    for kind in ("not delayed", "delayed", "delayed by two", "not delayed", "hevc"):
        for path in coded[kind]:
            np.testing.assert_array_equal(frames(path, "nvdec"), frames(path, "pyav"))
    assert set(kept) == {"h264", "hevc"}


def decoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Return the times of the pictures' packets that are decoded from now on."""
    found: list[int] = []
    decode = nvdec.EngineDecoder.decode

    def noted(self: nvdec.EngineDecoder, packet: Any) -> Any:
        if packet.size:
            found.append(packet.pts)
        return decode(self, packet)

    monkeypatch.setattr(nvdec.EngineDecoder, "decode", noted)
    return found


@pytest.mark.parametrize("sampling", ["aligned", "every:0.3", "uniform:7", "uniform:1"])
@pytest.mark.parametrize("kind", ["delayed", "not delayed", "delayed by two"])
def test_pictures_that_no_tick_shows_are_left_out(
    coded: dict[str, list[Path]], kept: dict[Any, Any], monkeypatch: pytest.MonkeyPatch, sampling: str, kind: str
) -> None:
    for path in coded[kind]:
        theirs = read(path, None, "pyav", plan=PLAN, sampling=sampling)
        seen = decoded(monkeypatch)
        ours = read(path, None, "nvdec", plan=PLAN, sampling=sampling)
        np.testing.assert_array_equal(ours.frames, theirs.frames)
        np.testing.assert_array_equal(ours.frame_time_s, theirs.frame_time_s)
        assert ours.facts == theirs.facts and ours.facts.processes == 0
        assert (len(seen) < 0.75 * theirs.facts.pictures) == (kind != "not delayed")  # where all are referred to


def test_times_of_pictures_that_are_left_out_are_kept(
    tmp_path: Path, kept: dict[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(7)
    times = np.cumsum(rng.choice([0.02, 0.04, 0.05, 0.12], 90)).round(2)
    path = coded_video(tmp_path / "v.mp4", list(times - times[0]))
    seen = decoded(monkeypatch)
    for sampling in ("aligned", "every:0.4"):
        ours, theirs = (read(path, None, one, plan=PLAN, sampling=sampling) for one in ("nvdec", "pyav"))
        np.testing.assert_array_equal(ours.frames, theirs.frames)
        np.testing.assert_array_equal(ours.frame_time_s, theirs.frame_time_s)
        assert ours.facts == theirs.facts and ours.facts.pictures == 90
    assert len(seen) < 1.8 * 90


@pytest.mark.parametrize("kind", ["delayed", "not delayed", "delayed by two"])
def test_what_nothing_rests_on_is_what_the_libraries_leave_out(coded: dict[str, list[Path]], kind: str) -> None:
    for path in coded[kind]:
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            stream.codec_context.skip_frame = "NONREF"
            referred = {frame.pts for frame in file.decode(stream)}
        with av.open(str(path)) as file:
            stream = file.streams.video[0]
            size = (stream.codec_context.extradata[4] & 3) + 1
            packets = [one for one in file.demux(stream) if one.size]
            alone = {one.pts for one in packets if unshown.stands_alone(bytes(one), size)}
        assert alone == {one.pts for one in packets} - referred


@pytest.mark.parametrize("changed", [bytes(3), b"\0\0\0\x50\x01", b"\0\0\0\1\x06", b"\0\0\0\2\x01\0\0"])
def test_a_packet_that_is_cut_or_without_a_slice_is_decoded(changed: bytes) -> None:
    assert not unshown.stands_alone(changed, 4)
    assert unshown.stands_alone(b"\0\0\0\1\x06" + b"\0\0\0\2\x01\0", 4)
    assert not unshown.stands_alone(b"\0\0\0\2\x21\0" + b"\0\0\0\2\x01\0", 4)


def test_where_a_packet_gives_no_picture_ffmpeg_reads_the_clip(
    coded: dict[str, list[Path]], kept: dict[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    leave_out = Pictures.leave_out
    monkeypatch.setattr(Pictures, "leave_out", lambda self, times, of: leave_out(self, times, of + 1))
    clip = read(coded["delayed"][0], None, "nvdec", plan=PLAN)
    assert clip.facts.processes == 1 and not kept


def same(path: Path, **more: Any) -> Any:
    """Require that both decoders read a clip alike; return it."""
    ours, theirs = (read(path, None, one, plan=PLAN, **more) for one in ("nvdec", "pyav"))
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    np.testing.assert_array_equal(ours.frame_time_s, theirs.frame_time_s)
    np.testing.assert_array_equal(ours.audio, theirs.audio)
    assert ours.facts == theirs.facts
    return ours


@pytest.mark.parametrize("kind", ["delayed", "hevc"])
def test_a_turned_clip_is_turned_and_the_next_one_is_not(
    coded: dict[str, list[Path]], kept: dict[Any, Any], tmp_path: Path, kind: str
) -> None:
    """How a clip is turned stands in the container alone: the decoder's header is the same."""
    plain = coded[kind][0]
    for angle in (0, 90, 180, 0, 270, 90):
        path = tmp_path / f"{angle}.mp4"
        run_ffmpeg("-display_rotation", str(angle), "-i", str(plain), "-c", "copy", str(path))
        assert same(path).facts.rotation_deg % 360 == angle
    assert len(kept) == 4


def muxed(path: Path, packets: Sequence[tuple[bytes, Any]], source: Path, *, is_plain: bool = False) -> Path:
    """Write packets, given by their content and where their times come from, with the header of a clip."""
    with av.open(str(source)) as file, av.open(str(path), "w") as out:
        stream = out.add_stream_from_template(file.streams.video[0])
        if is_plain:  # no word of colours in the container
            context = stream.codec_context
            context.colorspace = context.color_primaries = context.color_trc = 2
            context.color_range = 0
        for content, of in packets:
            packet = av.Packet(content)
            packet.pts, packet.dts, packet.time_base = of.pts, of.dts, of.time_base
            packet.duration, packet.is_keyframe, packet.stream = of.duration, of.is_keyframe, stream
            out.mux(packet)
    return path


def packets_of(path: Path) -> tuple[bytes, list[Any]]:
    with av.open(str(path)) as file:
        stream = file.streams.video[0]
        return bytes(stream.codec_context.extradata), [one for one in file.demux(stream) if one.size]


def test_colours_that_packets_state_stay_with_their_clip(
    coded: dict[str, list[Path]], kept: dict[Any, Any], tmp_path: Path
) -> None:
    """A header without colours, and one clip of two whose first packet states some."""
    plain, coloured = coded["delayed"][0], tmp_path / "coloured.mp4"
    colours = "matrix_coefficients=1:colour_primaries=1:transfer_characteristics=1"
    run_ffmpeg("-i", str(plain), "-c", "copy", "-bsf:v", f"h264_metadata={colours}", str(coloured))
    header, packets = packets_of(coloured)
    behind = 8 + int.from_bytes(header[6:8], "big")
    end = behind + 3 + int.from_bytes(header[behind + 1 : behind + 3], "big")
    parameters = b"\0\0" + header[6:behind] + b"\0\0" + header[behind + 1 : end]
    stated = [(one.is_keyframe * parameters + bytes(one), one) for one in packets]
    first = muxed(tmp_path / "first.mp4", stated, plain, is_plain=True)
    second = muxed(tmp_path / "second.mp4", [(bytes(one), one) for one in packets], plain, is_plain=True)
    found = [same(path).frames for path in (first, second, first)]
    assert (found[0] != found[1]).any() and len(kept) == 0


def test_a_clip_cut_without_coding_is_read_in_this_process(
    coded: dict[str, list[Path]], kept: dict[Any, Any], tmp_path: Path
) -> None:
    """What comes before such a cut is in the file, is decoded and is not shown."""
    path, sound = tmp_path / "cut.mp4", tone(tmp_path / "tone.wav", duration_s=1.5)
    inputs = ["-ss", "0.4", "-i", str(coded["delayed"][2]), "-i", str(sound)]
    run_ffmpeg(*inputs, "-map", "0:v", "-map", "1:a", "-c:v", "copy", "-c:a", "aac", str(path))
    assert any(one.is_discard for one in packets_of(path)[1])
    assert same(path).facts.processes == 0 and len(kept) == 1


@pytest.mark.parametrize("sampling", ["aligned", "uniform:1"])
def test_pictures_that_rest_on_what_is_cut_off_are_not_counted(
    kept: dict[Any, Any], tmp_path: Path, sampling: str
) -> None:
    """The first picture is shown fourth: the libraries drop the three before it, which rest on the group before."""
    whole, cut, path = (tmp_path / f"{name}.mp4" for name in ("whole", "cut", "late"))
    shown, sound = "testsrc2=s=160x120:r=24:d=2", tone(tmp_path / "tone.wav", duration_s=2)
    coding = "open-gop=1:b-pyramid=none:scenecut=0:bframes=3:b-adapt=0:keyint=12:weightp=0"
    run_ffmpeg(
        "-f", "lavfi", "-i", shown, "-c:v", "libx264", "-x264-params", coding, "-pix_fmt", "yuv420p", str(whole)
    )
    packets = packets_of(whole)[1]
    second = [at for at, one in enumerate(packets) if one.is_keyframe][1]
    muxed(cut, [(bytes(one), one) for one in packets[second:]], whole)
    inputs = ["-itsoffset", "0.5", "-i", str(cut), "-i", str(sound), "-map", "0:v", "-map", "1:a"]
    run_ffmpeg(*inputs, "-c:v", "copy", "-c:a", "aac", "-use_editlist", "0", str(path))
    assert same(path, sampling=sampling).facts.pictures == len(packets) - second - 3


def test_a_header_of_a_packet_s_own_is_left_to_it(
    coded: dict[str, list[Path]], kept: dict[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(nvdec, "_kind", lambda *_: "any")
    path = coded["delayed"][0]
    frames(path, "nvdec")
    with av.open(str(path)) as file:
        assert len(kept) == 1
        decoder = nvdec.EngineDecoder(file.streams.video[0], str(path), 0)
        packet = next(file.demux(video=0))
        nvdec._attach(decoder.header + b"\0", packet)
        decoder.decode(packet)
        assert bytes(packet.get_sidedata("new_extradata")) == decoder.header + b"\0"
    decoder.keep()
    assert not kept


def test_a_decoder_whose_clip_is_left_to_ffmpeg_is_not_kept(
    coded: dict[str, list[Path]], kept: dict[Any, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Also where only the log tells that something was amiss, once all is decoded."""
    decode = nvdec.EngineDecoder.decode

    def complains(self: nvdec.EngineDecoder, packet: Any) -> Any:
        av.logging.log(av.logging.ERROR, "h264", "mmco: unref short failure")
        return decode(self, packet)

    monkeypatch.setattr(nvdec.EngineDecoder, "decode", complains)
    assert read(coded["delayed"][0], None, "nvdec").facts.processes == 1 and not kept


def test_threads_share_decoders_in_turn(coded: dict[str, list[Path]], kept: dict[Any, Any]) -> None:
    paths = [path for kind in ("delayed", "not delayed", "hevc") for path in coded[kind]]
    wanted = {path: frames(path, "pyav") for path in paths}
    differing: list[Path] = []

    def work(order: Sequence[Path]) -> None:
        differing.extend(path for path in order if not np.array_equal(frames(path, "nvdec"), wanted[path]))

    workers = [threading.Thread(target=work, args=(order,)) for order in (paths, paths[::-1])]
    for worker in workers:
        worker.start()
    for worker in workers:
        worker.join()
    assert not differing and 0 < len(kept) <= nvdec.MOST_KEPT


@pytest.mark.gpu
@pytest.mark.skipif(not has_gpu(), reason="needs an NVIDIA GPU")
def test_a_gpu_decodes_to_the_frames_of_the_libraries(meld_clip: Path) -> None:
    ours, theirs = (read(meld_clip, None, one) for one in ("nvdec", "pyav"))
    np.testing.assert_array_equal(ours.frames, theirs.frames)
    np.testing.assert_array_equal(ours.audio, theirs.audio)  # type: ignore[arg-type]


def test_it_is_part_of_the_fingerprint() -> None:
    assert DecodeSettings(decoder="nvdec").to_json()["decoder"] == "nvdec"
