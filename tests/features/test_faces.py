"""Faces followed through shots, and whose face a window shows: planted clips with a detector that can't be wrong."""

from __future__ import annotations

import csv
import dataclasses
import functools
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from dualstream.features.faces.detection import Face, build_detector, overlap, tall_face
from dualstream.features.faces.fit import LAGS
from dualstream.features.faces.mfcc import mfcc
from dualstream.features.faces.region import Crops, FaceMethod, FaceReading, make_method
from dualstream.features.faces.rows import ALONE, BY_MARGIN, LARGEST, NO_FACE, UNDECIDED, FaceRows
from dualstream.features.faces.scorers.sync import Sync
from dualstream.features.faces.scoring import build_scorer
from dualstream.features.faces.shots import ShotFinder
from dualstream.features.faces.tracks import Tracker
from dualstream.features.media import Clip, DecodeSettings, read_clip
from dualstream.features.options import FaceOptions
from dualstream.features.windows import Sampling, WindowPlan
from numpy.typing import NDArray

from tests.features.planted_faces import (
    RATE,
    WIDTH,
    ColourDetector,
    Drawn,
    bursts,
    image,
    picture,
    rest,
    voice,
    whose,
)

PLAN = WindowPlan()


def read(
    faces: Sequence[Drawn],
    audio: NDArray[np.float32] | None,
    duration_s: float,
    region: Any = "speaker",
    *,
    rate: float = RATE,
    cuts_s: Sequence[float] = (),
    sampling: str = "aligned",
) -> tuple[Crops, Clip]:
    """Show a drawn clip to the reading, as a decoder would, and return its crops."""
    method = FaceMethod(ColourDetector(), Sync() if region == "speaker" else None)
    reading = FaceReading(method, PLAN, Sampling.parse(sampling), 48)
    watcher = reading.watch(120.0 if sampling == "aligned" else duration_s)
    for number in range(int(duration_s * rate)):
        time_s = number / rate
        shot = int(np.searchsorted(cuts_s, time_s, side="right"))
        watcher.see(picture(image(faces, time_s, background=(60, 150, 10)[shot % 3]), time_s))
    watcher.end()
    parts: dict[str, Any] = {
        "starts_s": PLAN.starts_s(duration_s),
        "duration_s": duration_s,
        "audio": audio,
        "watcher": watcher,
        "picture_gap_s": 1 / rate,
    }
    rest_of = {one.name: None for one in dataclasses.fields(Clip) if one.name not in parts}
    clip = Clip(**parts, **rest_of)
    return reading.crops(clip, {region})[region], clip


def shown(crops: Crops) -> dict[int, int]:
    """Return whose face each window shows."""
    return {int(window): whose(frame) for window, frame in zip(crops.window, crops.frames, strict=True)}


def test_a_face_alone_is_taken_and_its_score_kept() -> None:
    envelope = bursts(1, 4)
    crops, _ = read([Drawn(0, 40, envelope)], voice(envelope, 4), 4)
    assert (crops.faces.state == ALONE).all()
    assert shown(crops) == dict.fromkeys(range(7), 0)
    assert np.isfinite(crops.faces.score).all()
    assert np.isnan(crops.faces.margin).all()
    assert crops.faces.in_view.tolist() == [1] * 7


def test_boxes_are_where_the_face_is_and_do_not_lag() -> None:
    moving = Drawn(0, 20, rest)
    crops, _ = read([moving], None, 2, region="face")
    # 1.5 sides of 48 px around the face's centre (44, 44), moved up by 0.05 sides
    left, top, right, bottom = (crops.faces.box * [WIDTH, 96, WIDTH, 96]).mean(axis=0)
    assert abs((left + right) / 2 - 44) < 1
    assert abs((top + bottom) / 2 - (44 - 0.05 * 48)) < 1
    assert abs((right - left) - 72) < 2


def test_the_largest_face_needs_no_sound() -> None:
    crops, _ = read([Drawn(0, 10, rest, side=30), Drawn(1, 100, rest, side=56)], None, 2, region="face")
    assert (crops.faces.state == LARGEST).all()
    assert set(shown(crops).values()) == {1}
    assert crops.faces.in_view.tolist() == [2, 2, 2]


def test_a_window_without_a_face_is_masked_never_the_whole_frame() -> None:
    crops, _ = read([Drawn(0, 40, rest, start_s=2.0)], None, 4, region="face")
    assert crops.faces.state[:3].tolist() == [NO_FACE] * 3  # pictures of 0.5, 1.0 and 1.5 s
    assert crops.window.tolist() == [3, 4, 5, 6]
    nothing, _ = read([], None, 2, region="face")
    assert len(nothing.frames) == 0
    assert (nothing.faces.state == NO_FACE).all()


def test_nobody_talks_is_undecided() -> None:
    silence = np.zeros(4 * 16_000, np.float32)
    crops, _ = read([Drawn(0, 10, bursts(1, 4)), Drawn(1, 110, bursts(2, 4))], silence, 4)
    assert (crops.faces.state == UNDECIDED).all()
    assert len(crops.frames) == 0
    without, _ = read([Drawn(0, 10, bursts(1, 4)), Drawn(1, 110, bursts(2, 4))], None, 4)
    assert (without.faces.state == UNDECIDED).all()


def test_a_track_never_crosses_a_cut() -> None:
    envelope = bursts(5, 6)
    faces = [
        Drawn(0, 10, envelope, end_s=3.0),
        Drawn(1, 110, rest, end_s=3.0),
        Drawn(1, 10, rest, start_s=3.0),
        Drawn(0, 110, envelope, start_s=3.0),
    ]
    crops, clip = read(faces, voice(envelope, 6), 6, cuts_s=[3.0])
    assert clip.watcher is not None
    tracks = [one.track for one in clip.watcher.seen()]  # type: ignore[attr-defined]
    assert [round(cut, 2) for cut in clip.watcher.cuts_s] == [3.0]  # type: ignore[attr-defined]
    assert sorted((one.shot, one.end_s <= 3.0) for one in tracks) == [(0, True), (0, True), (1, False), (1, False)]
    assert set(shown(crops).values()) == {0}  # the sides change, the one who talks does not


def test_short_tracks_are_dropped_and_gaps_filled() -> None:
    def face(x: float) -> Face:
        return Face((x, 0, x + 40, 40), (x + 20, 12), (x + 20, 30), 0.9)

    tracker = Tracker()
    for time_s in (0.0, 0.12, 0.24, 0.6, 0.72):  # a gap of 0.36 s
        tracker.see(time_s, 0, 0.0, [face(10)])
    tracker.see(1.2, 0, 0.0, [face(10)])  # a gap of 0.48 s: another track, of one detection
    kept = tracker.kept()
    assert tracker.kept(0.95) == []  # none of its faces is so sure
    assert [(round(one.start_s, 2), round(one.end_s, 2)) for one in kept] == [(0.0, 0.85)]
    place = kept[0].place(0.42)
    assert place is not None and abs(place.centre[0] - 30) < 1e-9
    assert kept[0].place(0.9) is None


def test_faces_far_apart_are_two_tracks_though_they_follow_in_time() -> None:
    tracker = Tracker()
    for number in range(6):
        x = 10.0 if number % 2 else 120.0
        tracker.see(number * 0.12, 0, 0.0, [Face((x, 0, x + 40, 40), (x, 0), (x, 0), 0.9)])
    assert len(tracker.tracks) == 2


@pytest.mark.parametrize("rate", [10.0, 23.976, 25.0, 50.0])
def test_any_frame_rate_gives_25_crops_a_second(rate: float) -> None:
    envelope = bursts(1, 3)
    _, clip = read([Drawn(0, 40, envelope)], voice(envelope, 3), 3, rate=rate)
    (one,) = clip.watcher.seen()  # type: ignore[union-attr]
    assert one.first_tick == 0
    assert abs(len(one.grey) - 75) <= 1


def test_rows_stand_for_the_picture_nearest_to_the_windows_centre() -> None:
    crops, _ = read([Drawn(0, 40, rest)], None, 3, region="face", rate=24.0)
    times_s = np.arange(72) / 24
    nearest = [times_s[np.abs(times_s - centre).argmin()] for centre in PLAN.centres_s(3)]
    np.testing.assert_allclose(crops.time_s, nearest)
    uniform, _ = read([Drawn(0, 40, rest)], None, 3, region="face", sampling="uniform:2")
    assert len(uniform.frames) == 2


def test_shots_see_cuts_and_no_movement() -> None:
    finder = ShotFinder()
    shots = []
    for number in range(50):
        faces = [Drawn(0, 10 + 2 * number, rest)]
        background = 60 if number < 30 else 150
        shots.append(finder.see(picture(image(faces, number / 25, background), number / 25)))
    assert shots == [0] * 30 + [1] * 20


def scene(seed: int) -> tuple[list[Drawn], NDArray[np.float32], int | None, list[float]]:
    """Return faces, sound, who talks, and cuts of one of five kinds of scene, at random places."""
    rng = np.random.default_rng(seed)
    said, other = bursts(seed, 6), bursts(seed + 1000, 6)
    kind, talks = seed % 5, int(rng.integers(2))
    side = float(rng.uniform(40, 56)), float(rng.uniform(40, 56))
    x = float(rng.uniform(4, 30)), float(rng.uniform(100, 130))
    mouths = [rest, rest]
    mouths[talks] = said
    if kind == 0:  # both mouths move
        mouths[1 - talks] = other
    sound = voice(said if kind != 2 else rest, 6, seed)
    if kind == 4:  # the sides change at a cut
        before = [Drawn(i, x[i], mouths[i], side[i], end_s=3.0) for i in range(2)]
        after = [Drawn(i, x[1 - i], mouths[i], side[i], start_s=3.0) for i in range(2)]
        return [*before, *after], sound, talks, [3.0]
    faces = [Drawn(i, x[i], mouths[i], side[i]) for i in range(2)]
    if kind == 3:
        return faces[:1], sound, 0, []
    return faces, sound, None if kind == 2 else talks, []


def planted(seeds: Sequence[int]) -> tuple[int, int, int]:
    """Return windows that are right, wrong and undecided over some scenes."""
    right = wrong = undecided = 0
    for seed in seeds:
        faces, sound, talks, cuts_s = scene(seed)
        crops, _ = read(faces, sound, 6, cuts_s=cuts_s)
        found = shown(crops)
        if talks is None:
            right += sum(crops.faces.state == UNDECIDED)
            wrong += len(found)
            continue
        right += sum(one == talks for one in found.values())
        wrong += sum(one != talks for one in found.values())
        undecided += len(crops.faces) - len(found)
    return int(right), wrong, undecided


def test_planted_scenes_are_right() -> None:
    right, wrong, undecided = planted(range(5))  # a scene of each kind
    assert right >= 0.95 * (right + wrong)
    assert right >= 0.85 * (right + wrong + undecided)


@pytest.mark.slow
@pytest.mark.parametrize("first", [100, 125, 150, 175])
def test_a_hundred_planted_scenes_are_right(first: int) -> None:
    right, wrong, undecided = planted(range(first, first + 25))
    assert right >= 0.95 * (right + wrong)
    assert right >= 0.8 * (right + wrong + undecided)


def test_a_short_track_is_scored_as_the_same_ticks_of_a_longer_one() -> None:
    """Ticks that rest before a voice count as far as the voice is near, however few ticks there are."""
    ticks = np.arange(20)
    audio = np.where(np.repeat(ticks >= 12, 640), 0.2, 0.0).astype(np.float32)
    crops = np.zeros((20, 64, 64), np.uint8)
    crops[:, 38:62, 16:48] = np.where(ticks >= 12, 40 * (ticks % 2), 0)[:, None, None]  # the mouth, with the voice
    before = np.zeros((30, 64, 64), np.uint8), np.zeros(30 * 640, np.float32)  # at rest and silent
    short = Sync().score(crops, audio)
    longer = Sync().score(np.concatenate([before[0], crops]), np.concatenate([before[1], audio]))[30:]
    np.testing.assert_allclose(short, longer)


def test_sound_of_another_second_is_undecided_and_true_sound_is_not() -> None:
    true, shifted = [], []
    for seed in (4, 5):
        said, other = bursts(seed, 8), bursts(seed + 70, 8)
        faces = [Drawn(0, 10, said), Drawn(1, 110, other)]
        true.append(read(faces, voice(said, 8), 8)[0].faces.state == BY_MARGIN)
        shifted.append(read(faces, np.roll(voice(said, 8), 16_000), 8)[0].faces.state == BY_MARGIN)
    assert np.mean(true) > 0.5
    assert not np.any(shifted)


def test_products_of_lags_peak_at_the_shift_of_the_sound() -> None:
    envelope = bursts(4, 8)
    _, clip = read([Drawn(0, 40, envelope)], None, 8)
    (seen,) = clip.watcher.seen()  # type: ignore[union-attr]
    crops = np.stack(seen.grey)
    for shift in (0, 18, -22):  # ticks that the sound comes early, all of LAGS
        sound = np.roll(voice(envelope, 8), -shift * 640)
        _, by_lag = Sync().score_lags(crops, sound)
        assert abs(LAGS[int(by_lag.mean(axis=1).argmax())] - shift) <= 2
    silent = Sync().score_lags(crops, np.zeros(8 * 16_000, np.float32))
    assert np.isnan(silent[0]).all() and not silent[1].any()


def test_mfcc_of_a_tone_peaks_where_the_definition_says() -> None:
    # Energy of a constant is that of the pre-emphasised constant: 400 samples of 0.03 c but the first of c.
    audio = np.full(16_000, 0.5, np.float32)
    rows = mfcc(audio, 50)
    level = 0.5 * 32_768 * (1 - 0.97)
    # By Parseval over the 257 bins of a half spectrum, energy lies between half of and all of the sum of squares.
    assert rows.shape == (50, 13)
    assert np.log(level**2 * 400 / 2) - 0.1 <= rows[10, 0] <= np.log(level**2 * 400) + 0.1
    assert np.isfinite(mfcc(np.zeros(0, np.float32), 4)).all()


def test_mfcc_hears_what_int16_holds_and_no_more() -> None:
    """Sound below half a step of int16 is silence, and sound beyond full scale is clipped."""
    tone = np.sin(np.arange(16_000) / 5).astype(np.float32)
    np.testing.assert_array_equal(mfcc(tone * 0.4 / 32_768, 90), mfcc(np.zeros(16_000, np.float32), 90))
    np.testing.assert_array_equal(mfcc(np.sign(tone) * 3, 90), mfcc(np.sign(tone) * 1.0001, 90))
    sound = np.random.default_rng(0).normal(0, 0.01, 16_000).astype(np.float32)
    kept = (np.rint(sound * 32_768) / 32_768).astype(np.float32)
    np.testing.assert_allclose(mfcc(sound, 90), mfcc(kept, 90), atol=1e-4)


def test_a_box_around_all_of_a_face_becomes_the_square_below_it() -> None:
    points = np.array([[8.0, 20.0], [12.0, 22.0], [10.0, 28.0], [7.0, 33.0], [13.0, 35.0]])
    found = tall_face((10.0, 30.0), 40.0, points, 0.9, share=0.5, down=0.1)
    assert found == Face((0.0, 24.0, 20.0, 44.0), (10.0, 21.0), (10.0, 34.0), 0.9)  # around (10, 30 + 4)


def test_overlap_by_hand() -> None:
    assert overlap((0, 0, 2, 2), (1, 1, 3, 3)) == pytest.approx(1 / 7)
    assert overlap((0, 0, 1, 1), (2, 2, 3, 3)) == 0


def test_face_rows_that_contradict_themselves_are_refused() -> None:
    rows = FaceRows.nothing(3)
    rows.check(3)
    with pytest.raises(ValueError, match=r"expected \(2"):
        rows.check(2)
    chosen = dataclasses.replace(rows, state=np.array([ALONE, 0, 0], np.int32))
    with pytest.raises(ValueError, match="where a face is chosen"):
        chosen.check(3)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        (FaceOptions(region=("head",)), "expected frame, face, speaker"),
        (FaceOptions(region=("face", "face")), "names one twice"),
        (FaceOptions(region=("face",)), "needs a file of weights"),
        (FaceOptions(region=("face",), face_detector="hog"), "no face detector is called 'hog'"),
        (FaceOptions(region=("face",), face_weights="none.tflite"), "does not exist"),  # type: ignore[arg-type]
        (FaceOptions(face_weights="x.tflite"), "--face-weights x.tflite goes with --region face or speaker"),  # type: ignore[arg-type]
        (FaceOptions(region=("face",), speaker_weights="x.pt"), "goes with --region speaker"),  # type: ignore[arg-type]
    ],
)
def test_options_that_do_not_fit_are_refused(options: FaceOptions, words: str) -> None:
    if isinstance(options.face_weights, str):
        options = dataclasses.replace(options, face_weights=pathlib.Path(options.face_weights))
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        make_method(options)


def test_weights_that_are_none_are_refused(tmp_path: Any) -> None:
    (tmp_path / "x.pt").write_bytes(b"nothing")
    with pytest.raises(ValueError, match=r"x\.pt"):
        build_scorer("lr-asd", tmp_path / "x.pt")
    with pytest.raises(ValueError, match="no weights to choose"):
        build_scorer("sync", tmp_path / "x.pt")
    pytest.importorskip("onnxruntime")
    (tmp_path / "x.onnx").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="can't be read as an ONNX file"):
        build_detector("yunet", tmp_path / "x.onnx")


WEIGHTS = os.environ.get("DUALSTREAM_WEIGHTS", "")
DATA = os.environ.get("DUALSTREAM_DATA", "")
real = pytest.mark.skipif(not (WEIGHTS and DATA), reason="DUALSTREAM_WEIGHTS and DUALSTREAM_DATA are not set")


def on_file(name: str, scorer: Any) -> tuple[Crops, Clip]:
    """Return the crops of one of the composites of two faces, windows of a second."""
    pytest.importorskip("ai_edge_litert")
    weights = pathlib.Path(WEIGHTS) / "face" / "face_detection_full_range_sparse.tflite"
    method = FaceMethod(build_detector("blazeface", weights), scorer)
    reading = FaceReading(method, PLAN, Sampling(), 48)
    settings = DecodeSettings(frame_size_px=48)
    path = pathlib.Path(DATA) / name
    clip = read_clip(path, plan=PLAN, sampling=Sampling(), settings=settings, watch=reading.watch)
    return reading.crops(clip, {"speaker"})["speaker"], clip


@real
@pytest.mark.slow
@pytest.mark.parametrize("name", ["s1_still", "s2_still"])
def test_the_network_takes_the_face_that_talks_beside_one_that_rests(name: str) -> None:
    scorer = build_scorer("lr-asd", pathlib.Path(WEIGHTS) / "face" / "lr_asd_ava.pt")
    crops, _ = on_file(f"two_faces/{name}.mp4", scorer)
    with open(pathlib.Path(DATA) / "two_faces" / "truth.csv", encoding="utf-8") as file:
        swap_s = next(float(row["end_s"]) for row in csv.DictReader(file) if row["path"] == f"{name}.mp4")
    left = (crops.faces.box[:, 0] + crops.faces.box[:, 2]) < 1
    centres = PLAN.starts_s(len(left) * 0.5 + 0.5) + 0.5
    clear = np.abs(centres[: len(left)] - swap_s) > 0.75
    decided = crops.faces.state == BY_MARGIN
    right = left == (centres[: len(left)] < swap_s)
    assert (right & decided)[clear].sum() >= 0.95 * decided[clear].sum()
    assert decided[clear].mean() >= 0.9


@real
@pytest.mark.slow
def test_the_detector_finds_a_face_where_there_is_one() -> None:
    with_face, _ = on_file("clips/bbaf2n.mpg", Sync())
    assert (with_face.faces.state == ALONE).all()
    half, _ = on_file("clips/face_noface.mov", Sync())
    assert half.faces.state[:3].tolist() == [ALONE] * 3
    assert half.faces.state[-4:].tolist() == [NO_FACE] * 4


@real
@pytest.mark.slow
def test_the_network_is_the_one_that_was_published() -> None:
    """On real talking faces every normalisation sees what it saw in training, which names and shapes can't tell."""
    import torch

    scorer: Any = build_scorer("lr-asd", pathlib.Path(WEIGHTS) / "face" / "lr_asd_ava.pt")
    _, clip = on_file("two_faces/s0_both.mp4", scorer)
    correlations = {}

    def seen(module: Any, given: Any, _: Any, name: str = "") -> None:
        mean = given[0].transpose(0, 1).flatten(1).mean(1)
        correlations[name] = np.corrcoef(mean.numpy(), module.running_mean.numpy())[0, 1]

    for name, module in scorer._net.named_modules():
        if isinstance(module, torch.nn.BatchNorm3d | torch.nn.BatchNorm2d | torch.nn.BatchNorm1d):
            module.register_forward_hook(functools.partial(seen, name=name))
    one = clip.watcher.seen()[0]  # type: ignore[union-attr]
    assert clip.audio is not None
    scorer.score(np.stack(one.grey)[:75], clip.audio[: 75 * 640])
    assert len(correlations) == 26 and sum(value > 0.6 for value in correlations.values()) >= 24
    assert np.median(list(correlations.values())) > 0.9
