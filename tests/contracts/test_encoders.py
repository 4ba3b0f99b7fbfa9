"""What every registered encoder keeps, whoever wrote it. A new one is tested here without a new test."""

from __future__ import annotations

import json
import pickle
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import typer
from dualstream.features.encoder import (
    REGISTRIES,
    AudioEncoder,
    Encoder,
    EncoderOptions,
    EncoderSpec,
    StreamFeatures,
    StreamName,
    TableEncoder,
    VideoEncoder,
    build,
    find,
    names,
)
from dualstream.features.preparation import PreparingEncoder
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from dualstream import cli

STREAMS: tuple[StreamName, ...] = ("video", "audio")
ALL = [(stream, name) for stream in STREAMS for name in names(stream)]
ARGUMENTS = {  # what stands behind the colon
    "torchvision": "shufflenet_v2_x0_5",
    "timm": "mobilenetv3_small_050",
    "table": "{folder}/table.csv",
}
STARTS_S = np.arange(5) * 0.5
LENGTH_S = 1.0
DURATION_S = 2.9


def save_model(stream: StreamName, place: Path, seed: int) -> None:
    """Save a random network where an encoder's argument is a folder."""
    pytest.importorskip("transformers")
    from tests.features.encoders import hf_models

    save = hf_models.save_sound if stream == "audio" else hf_models.save_pictures
    save(place, seed=seed)


def make(stream: StreamName, name: str, folder: Path, seed: int = 0, precision: str = "fp32") -> Encoder:
    """Build an encoder with random weights, or without weights where it has none and says so."""
    entry = find(stream, name)
    if entry is not None and entry.folder:
        place = folder / "model"
        if not place.is_dir():
            save_model(stream, place, seed)
        return build(stream, f"{name}:{place}", EncoderOptions(precision=precision))  # type: ignore[arg-type]
    argument = ARGUMENTS.get(name, "").format(folder=folder)
    (folder / "table.csv").write_text("id,time_s,x,y\na,0.5,1,2\na,1.5,3,4\nb,0.2,5,6\n")
    text = f"{name}:{argument}" if argument else name
    try:
        options = EncoderOptions(weights=f"random:{seed}", precision=precision)  # type: ignore[arg-type]
        return build(stream, text, options)
    except ValueError as error:
        if "no weights" not in str(error):
            raise
        return build(stream, text, EncoderOptions(precision=precision))  # type: ignore[arg-type]


@pytest.fixture(scope="module", params=ALL, ids=[f"{stream}-{name}" for stream, name in ALL])
def encoder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    stream, name = request.param
    return make(stream, name, tmp_path_factory.mktemp(name))


@pytest.fixture(scope="module")
def twin(encoder: Encoder, tmp_path_factory: pytest.TempPathFactory) -> Encoder:
    """The same encoder, built a second time."""
    return make(encoder.spec.stream, encoder.spec.name.partition(":")[0], tmp_path_factory.mktemp("twin"))


def video(encoder: Encoder) -> VideoEncoder:
    if not isinstance(encoder, VideoEncoder):
        pytest.skip("takes no frames")
    return encoder


def audio(encoder: Encoder) -> AudioEncoder:
    if not isinstance(encoder, AudioEncoder):
        pytest.skip("takes no samples")
    return encoder


def table(encoder: Encoder) -> TableEncoder:
    if not isinstance(encoder, TableEncoder):
        pytest.skip("is no table")
    return encoder


def frames_for(encoder: VideoEncoder, count: int, size_px: int | None = None) -> NDArray[np.uint8]:
    size_px = size_px or encoder.frame_size_px
    coarse = np.random.default_rng(7).integers(0, 256, (count, 5, 5, 3), dtype=np.uint8)
    times = -(-size_px // 5)
    return coarse.repeat(times, 1).repeat(times, 2)[:, :size_px, :size_px].copy()


def sound_for(encoder: AudioEncoder, duration_s: float = DURATION_S) -> NDArray[np.float32]:
    """A gliding tone with a tremor over faint noise."""
    time_s = np.arange(round(duration_s * encoder.sample_rate_hz)) / encoder.sample_rate_hz
    noise = 0.01 * np.random.default_rng(8).normal(size=len(time_s))
    tone = 0.3 * np.sin(2 * np.pi * (180 + 25 * time_s) * time_s) * (1 + 0.3 * np.sin(2 * np.pi * 5 * time_s))
    return (tone + noise).astype(np.float32)


@pytest.fixture(scope="module")
def three(encoder: Encoder) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Three frames and their rows, which no test changes."""
    frames = frames_for(video(encoder), 3)
    return frames, video(encoder).encode_frames(frames)


Three = tuple[NDArray[np.uint8], NDArray[np.float32]]


def hear(encoder: AudioEncoder, sound: NDArray[np.float32], covered_s: tuple[float, float]) -> StreamFeatures:
    return encoder.encode_audio(sound, STARTS_S, LENGTH_S, covered_s)


def check_features(found: StreamFeatures, spec: EncoderSpec, count: int) -> None:
    """Shapes, types and masks of what an encoder says of one clip with `count` windows."""
    count = count if spec.has_windows else 0
    assert found.utterance.shape == (spec.raw_width,) and found.utterance.dtype == np.float32
    assert found.windows.shape == (count, spec.raw_width) and found.windows.dtype == np.float32
    assert found.window_present.shape == (count,) and found.window_present.dtype == np.bool_
    assert found.time_s.shape == (count,) and found.time_s.dtype == np.float64
    assert np.isfinite(found.utterance).all() and np.isfinite(found.windows).all()
    assert not found.windows[~found.window_present].any()
    assert np.array_equal(np.isnan(found.time_s), ~found.window_present)
    if not found.present:
        assert not found.utterance.any() and not found.window_present.any()


def equal(one: StreamFeatures, other: StreamFeatures) -> bool:
    return one.present == other.present and all(
        np.array_equal(getattr(one, name), getattr(other, name), equal_nan=name == "time_s")
        for name in ("utterance", "windows", "window_present", "time_s")
    )


def test_it_keeps_one_protocol(encoder: Encoder) -> None:
    assert sum(isinstance(encoder, kind) for kind in (VideoEncoder, AudioEncoder, TableEncoder)) == 1


def test_its_spec_is_whole_and_json(encoder: Encoder, request: pytest.FixtureRequest) -> None:
    spec = encoder.spec
    entry = find(spec.stream, spec.name)
    said = spec.to_json()
    assert json.loads(json.dumps(said, allow_nan=False)) == said  # no tuples, no arrays, no NaN
    stream, name = request.node.callspec.params["encoder"]
    assert spec.stream == stream and spec.name.partition(":")[0] == name
    assert 1 <= spec.width <= spec.raw_width and spec.version >= 1
    if spec.column_names is not None:
        assert len(spec.column_names) == len(set(spec.column_names)) == spec.width
    if spec.weights is not None:
        assert set(spec.weights) >= {"source", "sha256", "licence"}
        assert entry is not None and len(spec.weights["sha256"]) == 64
        assert spec.weights["source"] == ("file" if entry.folder else "random:0")


def test_its_registration_says_what_it_is(encoder: Encoder) -> None:
    spec = encoder.spec
    entry = find(spec.stream, spec.name)
    assert entry is not None and entry.summary
    assert entry.table == isinstance(encoder, TableEncoder)
    assert not (entry.weights or entry.folder) or spec.weights is not None
    assert entry.context == ("context" in spec.parameters)
    assert not entry.folder or not (entry.weights or entry.table)
    assert entry.network == ("precision" in spec.parameters)
    assert not entry.table or not entry.network


def test_weights_without_a_choice_are_refused(encoder: Encoder) -> None:
    entry = find(encoder.spec.stream, encoder.spec.name)
    assert entry is not None
    if not entry.weights:
        with pytest.raises(ValueError, match=r"has no weights to choose; found 'nonsense.pth'"):
            build(entry.stream, entry.name, EncoderOptions(weights="nonsense.pth"))


def test_two_builds_say_and_give_the_same(encoder: Encoder, twin: Encoder) -> None:
    assert encoder.spec.to_json() == twin.spec.to_json()
    if isinstance(encoder, VideoEncoder):
        assert isinstance(twin, VideoEncoder)
        frames = frames_for(encoder, 2)
        assert np.array_equal(encoder.encode_frames(frames), twin.encode_frames(frames))
    elif isinstance(encoder, AudioEncoder):
        assert isinstance(twin, AudioEncoder)
        sound = sound_for(encoder)
        assert equal(hear(encoder, sound, (0.0, DURATION_S)), hear(twin, sound, (0.0, DURATION_S)))


def test_another_seed_gives_other_numbers(encoder: Encoder, tmp_path: Path) -> None:
    if encoder.spec.weights is None:
        pytest.skip("has no weights")
    other = make(encoder.spec.stream, encoder.spec.name.partition(":")[0], tmp_path, seed=1)
    entry = find(encoder.spec.stream, encoder.spec.name)
    assert entry is not None and other.spec.weights is not None
    assert other.spec.weights["source"] == ("file" if entry.folder else "random:1")
    assert other.spec.weights["sha256"] != encoder.spec.weights["sha256"]
    if isinstance(encoder, VideoEncoder) and isinstance(other, VideoEncoder):
        frames = frames_for(encoder, 1)
        assert not np.array_equal(encoder.encode_frames(frames), other.encode_frames(frames))
    elif isinstance(encoder, AudioEncoder) and isinstance(other, AudioEncoder):
        sound = sound_for(encoder)
        assert not equal(hear(encoder, sound, (0.0, DURATION_S)), hear(other, sound, (0.0, DURATION_S)))


def test_precision_is_in_the_spec_of_an_encoder_of_frames(encoder: Encoder, tmp_path: Path) -> None:
    video(encoder)
    entry = find("video", encoder.spec.name)
    if entry is None or not entry.network:
        pytest.skip("is no network")
    other = make("video", encoder.spec.name.partition(":")[0], tmp_path, precision="bf16")
    assert other.spec.to_json() != encoder.spec.to_json()
    frames = frames_for(video(encoder), 1)
    exact, rounded = video(encoder).encode_frames(frames), video(other).encode_frames(frames)
    assert rounded.dtype == np.float32 and np.isfinite(rounded).all()
    np.testing.assert_allclose(rounded, exact, atol=0.1 * np.abs(exact).max())


def test_bad_weights_fail(encoder: Encoder, tmp_path: Path) -> None:
    if encoder.spec.weights is None:
        pytest.skip("has no weights")
    name, _, argument = encoder.spec.name.partition(":")
    text = f"{name}:{argument}" if argument else name
    entry = find(encoder.spec.stream, name)
    assert entry is not None
    if entry.folder:
        make(encoder.spec.stream, name, tmp_path)
        with pytest.raises(ValueError, match="cuda:99"):
            build(encoder.spec.stream, f"{name}:{tmp_path / 'model'}", EncoderOptions(device="cuda:99"))
        with pytest.raises(FileNotFoundError, match="there is no such folder"):
            build(encoder.spec.stream, f"{name}:{tmp_path / 'absent'}", EncoderOptions())
        return
    for weights in (str(tmp_path / "absent.safetensors"), "random:x"):
        with pytest.raises((ValueError, OSError)):
            build(encoder.spec.stream, text, EncoderOptions(weights=weights))
    with pytest.raises((ValueError, OSError)):
        build(encoder.spec.stream, text, EncoderOptions(weights="random:0", device="cuda:99"))


@pytest.mark.parametrize("count", [0, 2])
def test_frames_become_rows(encoder: Encoder, count: int) -> None:
    frames = frames_for(video(encoder), count)
    before = frames.copy()
    rows = video(encoder).encode_frames(frames)
    assert rows.shape == (count, encoder.spec.raw_width) and rows.dtype == np.float32
    assert np.isfinite(rows).all() and rows.flags.owndata
    assert np.array_equal(frames, before)
    assert np.array_equal(rows, video(encoder).encode_frames(frames))


def test_different_frames_become_different_rows(three: Three) -> None:
    assert len(np.unique(three[1], axis=0)) == 3


def test_frames_do_not_disturb_each_other(encoder: Encoder, three: Three) -> None:
    one, (frames, rows) = video(encoder), three
    tolerance = 1e-5 * np.abs(rows).max()
    np.testing.assert_allclose(one.encode_frames(frames[::-1])[::-1], rows, atol=tolerance)
    np.testing.assert_allclose(one.encode_frames(frames[2:3]), rows[2:3], atol=tolerance)


def test_frames_of_another_side_are_resized(encoder: Encoder) -> None:
    rows = video(encoder).encode_frames(frames_for(video(encoder), 2, size_px=50))
    assert rows.shape == (2, encoder.spec.raw_width) and np.isfinite(rows).all()


def test_frames_that_can_not_be_written_to_are_fine(encoder: Encoder) -> None:
    frames = frames_for(video(encoder), 1)
    frames.setflags(write=False)
    assert len(video(encoder).encode_frames(frames)) == 1


def test_more_frames_than_a_batch(encoder: Encoder, three: Three, monkeypatch: pytest.MonkeyPatch) -> None:
    one, (frames, rows) = video(encoder), three
    monkeypatch.setattr(one, "batch_size", 2)
    np.testing.assert_allclose(one.encode_frames(frames), rows, atol=1e-5 * np.abs(rows).max())


@pytest.mark.parametrize("shape", [(2, 8, 8), (2, 8, 9, 3), (2, 8, 8, 4), (2, 3, 8, 8)])
def test_frames_of_another_shape_fail(encoder: Encoder, shape: tuple[int, ...]) -> None:
    with pytest.raises(ValueError, match="expected uint8 of shape"):
        video(encoder).encode_frames(np.zeros(shape, np.uint8))


def test_frames_of_another_type_fail(encoder: Encoder) -> None:
    with pytest.raises(ValueError, match="expected uint8"):
        video(encoder).encode_frames(np.zeros((1, 8, 8, 3), np.float32))  # type: ignore[arg-type]


def test_sound_becomes_rows(encoder: Encoder) -> None:
    one = audio(encoder)
    sound = sound_for(one)
    before = sound.copy()
    found = hear(one, sound, (0.0, DURATION_S))
    check_features(found, one.spec, len(STARTS_S))
    assert found.present and found.window_present.all() and found.utterance.any()
    np.testing.assert_allclose(found.time_s, STARTS_S + LENGTH_S / 2)
    assert np.array_equal(sound, before)
    assert equal(found, hear(one, sound, (0.0, DURATION_S)))


def test_rows_of_sound_do_not_depend_on_the_number_of_blas_threads(encoder: Encoder) -> None:
    one = audio(encoder)
    rng = np.random.default_rng(3)
    length = 30 * one.sample_rate_hz  # products large enough to be cut among threads
    sound = (0.1 * rng.standard_normal(length) * np.sin(np.arange(length) / 4000)).astype(np.float32)
    starts_s = np.arange(59) * 0.5
    found = []
    for count in (1, 2):
        with threadpool_limits(count, user_api="blas"), ThreadPoolExecutor(1) as pool:
            found.append(one.encode_audio(sound, starts_s, LENGTH_S, (0.0, 30.0)))
            found.append(pool.submit(one.encode_audio, sound, starts_s, LENGTH_S, (0.0, 30.0)).result())
    for other in found[1:]:
        assert other.windows.tobytes() == found[0].windows.tobytes()
        assert other.utterance.tobytes() == found[0].utterance.tobytes()


def test_sound_that_is_prepared_elsewhere_gives_the_same_rows(encoder: Encoder) -> None:
    if not isinstance(encoder, PreparingEncoder):
        pytest.skip("takes the sound itself")
    there = pickle.loads(pickle.dumps(encoder.preparation))
    for covered_s in ((0.0, DURATION_S), (0.7, 2.2), (1.0, 1.0)):
        sound = sound_for(encoder)
        prepared = there.prepare(sound, STARTS_S, LENGTH_S, covered_s)
        rows = encoder.encode_prepared(prepared, STARTS_S, LENGTH_S)
        assert equal(rows, hear(encoder, sound, covered_s))


def test_windows_outside_the_sound_are_masked(encoder: Encoder) -> None:
    one = audio(encoder)
    sound = sound_for(one)
    sound[: round(1.6 * one.sample_rate_hz)] = 0  # padding before the stream starts
    found = hear(one, sound, (1.6, DURATION_S))
    check_features(found, one.spec, len(STARTS_S))
    assert found.present and found.window_present.tolist() == [False, False, True, True, True]


def test_sound_that_covers_nothing_is_masked(encoder: Encoder) -> None:
    one = audio(encoder)
    found = hear(one, np.zeros(round(DURATION_S * one.sample_rate_hz), np.float32), (0.0, 0.0))
    check_features(found, one.spec, len(STARTS_S))
    assert not found.present


@pytest.mark.parametrize("duration_s", [0.0001, 0.01, 0.05, 1.0])
def test_short_and_silent_sound_gives_numbers(encoder: Encoder, duration_s: float) -> None:
    one = audio(encoder)
    for sound in (sound_for(one, duration_s), np.zeros_like(sound_for(one, duration_s))):
        found = one.encode_audio(sound, np.zeros(1), LENGTH_S, (0.0, duration_s))
        check_features(found, one.spec, 1)


def test_a_table_is_looked_up(encoder: Encoder) -> None:
    one = table(encoder)
    found, absent = (one.lookup(i, STARTS_S, LENGTH_S) for i in ("a", "not-there"))
    check_features(found, one.spec, len(STARTS_S))
    check_features(absent, one.spec, len(STARTS_S))
    assert found.present and not absent.present


@pytest.mark.parametrize(("stream", "name"), ALL, ids=[f"{stream}-{name}" for stream, name in ALL])
def test_the_help_names_the_encoders_of_dualstream(stream: StreamName, name: str) -> None:
    if not REGISTRIES[stream].module_of(name).startswith("dualstream."):
        pytest.skip("is of another package")
    command = typer.main.get_command(cli.app).commands["extract"]  # type: ignore[attr-defined]
    (option,) = [one for one in command.params if f"--{stream}" in one.opts]
    assert name in option.help
