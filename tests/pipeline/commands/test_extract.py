"""extract: rows land where they belong, only what changed is made again, and mixing is refused by name."""

from __future__ import annotations

import hashlib
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.encoder import EncoderSpec
from dualstream.features.media import DecodeSettings
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.pipeline.cache import read_cache
from dualstream.pipeline.corpus.manifest import Manifest, read_manifest, write_manifest
from dualstream.pipeline.errors import DualstreamError, FingerprintMismatchError, LockedError, UsageError
from dualstream.pipeline.extraction.shards import read_shard
from dualstream.pipeline.storage.lock import locked
from sklearn.decomposition import PCA

from tests.pipeline.caches import assert_same_cache
from tests.pipeline.stubs import STUBS, FakeReader, StubVideo, listing, make_corpus, run_extract

RAW = {"projection": "none"}


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return make_corpus(tmp_path / "clips", 9)


@pytest.fixture
def out(tmp_path: Path) -> Path:
    return tmp_path / "out" / "cache.h5"


def shards(out: Path) -> list[Path]:
    return sorted(out.with_name(out.name + ".shards").rglob("shard-*.h5"))


# What the cache holds


def test_rows_stand_at_their_utterance_and_window(corpus: Path, out: Path) -> None:
    report = run_extract(corpus, out, **RAW)
    cache, reader = read_cache(out), FakeReader()
    assert (report.made, report.kept, report.failed) == (9, 0, [])
    assert cache.utterances.id == [f"u{i}" for i in range(9)]
    for number in range(9):
        clip = reader(
            corpus.parent / f"clip{number}.mp4", plan=WindowPlan(), sampling=Sampling(), settings=DecodeSettings()
        )
        span = slice(*cache.offsets[number : number + 2])
        video = cache.streams["video"]
        assert video.windows is not None and video.time_s is not None
        np.testing.assert_array_equal(cache.start_s[span], clip.starts_s)
        expected = clip.frames.reshape(len(clip.frames), -1)[:, :12].astype(np.float32) / 255
        np.testing.assert_array_equal(video.windows[span], expected)
        np.testing.assert_array_equal(video.time_s[span], clip.frame_time_s)
        np.testing.assert_allclose(video.utterance[number], expected.mean(axis=0), rtol=1e-6)
        audio = cache.streams["audio"]
        assert clip.audio is not None
        np.testing.assert_allclose(audio.utterance[number], [clip.audio.mean(), clip.audio.std()], rtol=1e-5)
        assert cache.utterances.duration_s[number] == clip.duration_s


def test_labels_and_provenance_stand_in_the_cache(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    cache = read_cache(out)
    names = cache.vocabulary["emotion"]
    assert [names[code] for code in cache.utterances.emotion[:3]] == ["joy", "anger", "joy"]
    assert cache.utterances.split[:4] == ["train", "train", "dev", "test"]
    assert cache.utterances.turn.tolist() == [0, 1, 2] * 3
    recipe = cache.provenance["recipe"]
    assert recipe["windows"] == {"length_s": 1.0, "hop_s": 0.5}
    assert recipe["streams"]["video"]["name"] == "stub"
    assert cache.provenance["manifest"]["utterances"] == 9
    text = str(cache.provenance)
    assert str(out.parent) not in text and os.uname().nodename not in text


def test_batches_cross_utterances_and_never_shards(corpus: Path, out: Path) -> None:
    video = StubVideo(batch_size=5)
    run_extract(corpus, out, video=video)
    frames = [
        sum(len(clip.streams["video"].window_present) for clip in read_shard(path).clips) for path in shards(out)
    ]
    expected = [size for count in frames for size in [5] * (count // 5) + ([count % 5] if count % 5 else [])]
    assert video.batches == expected


def test_every_keeps_windows_without_a_frame_masked(corpus: Path, out: Path) -> None:
    run_extract(corpus, out, options=replace(STUBS, sampling="every:3"), **RAW)
    cache = read_cache(out)
    video = cache.streams["video"]
    assert video.window_present is not None
    counts = [
        int(video.window_present[a:b].sum()) for a, b in zip(cache.offsets[:-1], cache.offsets[1:], strict=True)
    ]
    # one frame each 3 s, at least one, over the durations that the reader drew
    assert counts == [max(1, int(np.ceil(d / 3 - 1e-6))) for d in cache.utterances.duration_s]


def test_pca_is_fitted_on_train_alone_and_equals_sklearn(tmp_path: Path, out: Path) -> None:
    corpus = make_corpus(tmp_path / "many", 40)
    run_extract(corpus, out)
    raw_out = out.with_name("raw.h5")
    run_extract(corpus, raw_out, **RAW)
    cache, raw = read_cache(out), read_cache(raw_out)
    video, unprojected = cache.streams["video"], raw.streams["video"]
    assert video.projection is not None and unprojected.windows is not None and video.windows is not None
    in_train = np.repeat(np.array(cache.utterances.split) == "train", np.diff(cache.offsets))
    model = PCA(5, svd_solver="full").fit(unprojected.windows[in_train].astype(np.float64))
    projected = video.projection
    assert projected.kind == "pca-turned" and projected.fitted_on["rotation_seed"] == 0
    for rows, before in ((video.windows, unprojected.windows), (video.utterance, unprojected.utterance)):
        components = model.transform(before.astype(np.float64))
        turn = np.linalg.lstsq(components, rows, rcond=None)[0]  # the rotation between theirs and ours
        np.testing.assert_allclose(turn @ turn.T, np.eye(5), atol=1e-4)
        np.testing.assert_allclose(components @ turn, rows, atol=2e-5)
        assert np.abs(turn).max() < 0.95  # no component is left by itself
        by_hand = (before.astype(np.float64) - projected.mean) @ projected.components.T.astype(np.float64)
        np.testing.assert_allclose(by_hand, rows, atol=1e-5)
    assert video.projection.fitted_on["split"] == "train"
    assert video.projection.fitted_on["rows"] == int(in_train.sum())
    assert video.spec["width"] == 5 and unprojected.spec["width"] == 12


def test_test_split_does_not_touch_the_projection(tmp_path: Path, out: Path) -> None:
    corpus = make_corpus(tmp_path / "a", 24)
    run_extract(corpus, out)
    other = make_corpus(tmp_path / "b", 24, contents={3: b"another test clip", 7: b"and one more"})
    run_extract(other, out.with_name("other.h5"))
    first, second = (read_cache(path).streams["video"] for path in (out, out.with_name("other.h5")))
    assert first.projection is not None and second.projection is not None
    assert first.projection.components.tobytes() == second.projection.components.tobytes()
    assert first.projection.fitted_on == second.projection.fitted_on
    assert first.utterance.tobytes() != second.utterance.tobytes()


def test_too_few_rows_for_a_pca_is_said(tmp_path: Path, out: Path) -> None:
    corpus = make_corpus(tmp_path / "few", 1)
    notices: list[str] = []
    run_extract(corpus, out, notices=notices)
    projection = read_cache(out).streams["video"].projection
    assert projection is not None and projection.kind == "gaussian"
    assert projection.fitted_on == {"seed": 0}
    assert any("Gaussian" in text for text in notices)


def test_clips_without_sound_have_a_mask(tmp_path: Path, out: Path) -> None:
    corpus = make_corpus(tmp_path / "c", 6, contents={2: b"silent movie"})
    report = run_extract(corpus, out)
    cache = read_cache(out)
    assert report.exit_status == 0
    assert cache.streams["audio"].present.tolist() == [True, True, False, True, True, True]
    assert cache.streams["video"].present.all()
    assert not cache.streams["audio"].utterance[2].any()
    assert (cache.utterances.status[2], cache.utterances.reason[2]) == ("ok", "no sound: the file has none")


def test_rows_that_are_not_finite_are_masked(corpus: Path, out: Path) -> None:
    class Spoilt(StubVideo):
        def encode_frames(self, frames: Any) -> Any:
            rows = super().encode_frames(frames)
            rows[0, 3] = np.nan
            return rows

    run_extract(corpus, out, video=Spoilt())
    cache = read_cache(out)
    video = cache.streams["video"]
    assert video.windows is not None and video.window_present is not None
    assert np.isfinite(video.windows).all() and np.isfinite(video.utterance).all()
    assert (~video.window_present).sum() >= 3  # the first row of each batch
    assert any("video: 1 window rows were not finite" in text for text in cache.utterances.reason)


def test_only_audio_or_only_video(corpus: Path, out: Path) -> None:
    run_extract(corpus, out, options=replace(STUBS, video=("none",)))
    assert set(read_cache(out).streams) == {"audio"}
    with pytest.raises(UsageError, match="nothing to extract"):
        run_extract(corpus, out.with_name("x.h5"), options=replace(STUBS, video=("none",), audio=("none",)))


def test_limit_takes_the_first(corpus: Path, out: Path) -> None:
    report = run_extract(corpus, out, limit=4)
    assert (report.utterances, len(read_cache(out).utterances)) == (4, 4)


# Failures are records


def test_a_bad_clip_is_a_record(tmp_path: Path, out: Path) -> None:
    corpus = make_corpus(tmp_path / "c", 9, contents={4: b"bad clip"})
    report = run_extract(corpus, out)
    cache = read_cache(out)
    assert report.failed == [("u4", "damaged: clip4.mp4: nothing could be decoded")]
    assert report.exit_status == 3
    assert cache.utterances.status.count("failed") == 1
    assert np.isnan(cache.utterances.duration_s[4])
    assert [stream.present[4] for stream in cache.streams.values()] == [False, False]
    assert cache.streams["video"].present.sum() == 8
    assert len(cache.utterances.sha256[4]) == 64  # the bytes are known, only they make no sense


def test_a_missing_clip_is_a_record_and_is_made_when_it_comes(corpus: Path, out: Path) -> None:
    late = corpus.parent / "clip5.mp4"
    data = late.read_bytes()
    late.unlink()
    report = run_extract(corpus, out)
    assert [name for name, _ in report.failed] == ["u5"]
    assert read_cache(out).utterances.sha256[5] == ""
    late.write_bytes(data)
    reader = FakeReader()
    again = run_extract(corpus, out, reader=reader)
    assert (again.made, again.failed) == (3, [])
    assert sorted(reader.calls) == ["clip3.mp4", "clip4.mp4", "clip5.mp4"]
    complete = out.with_name("complete.h5")
    run_extract(corpus, complete)
    assert_same_cache(read_cache(out), read_cache(complete))


# A film and its sound in two files


@pytest.fixture
def pairs(tmp_path: Path) -> Path:
    """Return the manifest of nine clips, of which those of the second shard have their sound apart."""
    manifest = make_corpus(tmp_path / "p")
    rows = []
    for number, row in enumerate(read_manifest(manifest)):
        if 3 <= number < 6:
            (manifest.parent / f"sound{number}.wav").write_bytes(f"sound {number}".encode())
            row = replace(row, sound=f"sound{number}.wav")
        rows.append(row)
    write_manifest(Manifest(tuple(rows)), manifest)
    return manifest


def test_a_pair_is_read_together_and_its_digest_is_of_both(pairs: Path, out: Path) -> None:
    reader = FakeReader()
    assert run_extract(pairs, out, reader=reader).failed == []
    assert sorted(reader.calls)[3:6] == [f"clip{n}.mp4 + sound{n}.wav" for n in (3, 4, 5)]
    film, sound = (hashlib.sha256(text).hexdigest() for text in (b"clip 4", b"sound 4"))
    cache = read_cache(out)
    assert cache.utterances.sha256[4] == hashlib.sha256(f"{film} {sound}\n".encode()).hexdigest()
    assert cache.utterances.sha256[2] == hashlib.sha256(b"clip 2").hexdigest()


def test_a_changed_sound_makes_its_shard_again_and_no_other(pairs: Path, out: Path) -> None:
    run_extract(pairs, out)
    assert run_extract(pairs, out, reader=FakeReader()).made == 0
    before = (pairs.parent / "sound4.wav").stat()
    (pairs.parent / "sound4.wav").write_bytes(b"SOUND 4")  # as many bytes
    os.utime(pairs.parent / "sound4.wav", ns=(before.st_atime_ns, before.st_mtime_ns + 10_000_000))
    reader, notices = FakeReader(), []
    assert run_extract(pairs, out, reader=reader, notices=notices).made == 3
    assert sorted(reader.calls) == [f"clip{n}.mp4 + sound{n}.wav" for n in (3, 4, 5)]
    assert any("the bytes of u4 changed" in text for text in notices)


def test_a_sound_that_is_renamed_makes_its_shard_again(pairs: Path, out: Path) -> None:
    run_extract(pairs, out)
    (pairs.parent / "sound4.wav").rename(pairs.parent / "other.wav")
    pairs.write_text(pairs.read_text().replace("sound4.wav", "other.wav"))
    assert run_extract(pairs, out).made == 3


def test_a_missing_sound_is_a_record_and_is_made_when_it_comes(pairs: Path, out: Path) -> None:
    late = pairs.parent / "sound4.wav"
    data = late.read_bytes()
    late.unlink()
    report = run_extract(pairs, out)
    assert report.failed == [
        (
            "u4",
            "missing: the sound sound4.wav: there is no such file; expected a clip: put it there, or fix the path",
        )
    ]
    assert run_extract(pairs, out, reader=FakeReader()).made == 0
    late.write_bytes(data)
    assert run_extract(pairs, out).failed == []
    complete = out.with_name("complete.h5")
    run_extract(pairs, complete)
    assert_same_cache(read_cache(out), read_cache(complete))


def test_a_file_of_which_nothing_is_read_may_be_missing(pairs: Path, out: Path) -> None:
    film, sound = pairs.parent / "clip4.mp4", pairs.parent / "sound4.wav"
    sound.unlink()
    alone, reader = replace(STUBS, audio=("none",)), FakeReader()
    assert run_extract(pairs, out, options=alone, reader=reader).failed == []
    assert "clip4.mp4" in reader.calls
    sound.write_bytes(b"sound 4")
    film.unlink()
    alone, reader = replace(STUBS, video=("none",)), FakeReader()
    assert run_extract(pairs, out.with_name("b.h5"), options=alone, reader=reader).failed == []
    assert "sound4.wav" in reader.calls
    assert [name for name, _ in run_extract(pairs, out.with_name("c.h5")).failed] == ["u4"]


def test_a_blank_column_leaves_shards_and_cache_as_they_are(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    before = out.read_bytes()
    lines = corpus.read_text().splitlines()
    corpus.write_text("\n".join([f"{lines[0]},sound", *(f"{line}," for line in lines[1:])]) + "\n")
    assert run_extract(corpus, out, reader=FakeReader()).made == 0
    assert out.read_bytes() == before


def test_failed_clips_are_tried_again_when_asked(tmp_path: Path, out: Path) -> None:
    corpus = make_corpus(tmp_path / "c", 6, contents={4: b"bad clip"})
    run_extract(corpus, out)
    reader = FakeReader()
    assert run_extract(corpus, out, reader=reader).made == 0
    assert run_extract(corpus, out, reader=reader, retry_failed=True).made == 3
    assert len(reader.calls) == 3


def test_paths_that_leave_the_root_are_failures(tmp_path: Path, out: Path) -> None:
    corpus = make_corpus(tmp_path / "c", 3)
    (tmp_path / "outside.mp4").write_bytes(b"secret")
    (tmp_path / "c" / "clip1.mp4").unlink()
    (tmp_path / "c" / "clip1.mp4").symlink_to(tmp_path / "outside.mp4")
    reader = FakeReader()
    report = run_extract(corpus, out, reader=reader)
    assert [name for name, _ in report.failed] == ["u1"]
    assert "outside.mp4" not in reader.calls
    assert read_cache(out).utterances.sha256[1] == ""


def test_a_clip_that_changes_while_it_is_read_is_a_failure(corpus: Path, out: Path) -> None:
    class Meddler(FakeReader):
        def __call__(self, path: Path, **how: Any) -> Any:
            clip = super().__call__(path, **how)
            if path.name == "clip2.mp4":
                path.write_bytes(b"other bytes, other length")
            return clip

    report = run_extract(corpus, out, reader=Meddler())
    assert report.failed == [("u2", "changed: the file changed while it was read")]
    assert run_extract(corpus, out).failed == []


def test_an_encoder_that_refuses_a_clip_is_a_failure(corpus: Path, out: Path) -> None:
    class Refusing(FakeReader):
        def __call__(self, path: Path, **how: Any) -> Any:
            if path.name == "clip1.mp4":
                raise ValueError("too short for one frame of 25 ms")
            return super().__call__(path, **how)

    report = run_extract(corpus, out, reader=Refusing())
    assert report.failed == [("u1", "encoder: too short for one frame of 25 ms")]


def test_wrong_root_stops_before_thousands_of_failures(corpus: Path, out: Path, tmp_path: Path) -> None:
    wrong = tmp_path / "wrong"
    wrong.mkdir()
    moved = wrong / "manifest.csv"
    moved.write_bytes(corpus.read_bytes())
    with pytest.raises(UsageError, match="none of the 9 clips is under"):
        run_extract(moved, out)
    assert not shards(out)


# The same bytes


@pytest.mark.parametrize("workers", [1, 2, 4])
def test_workers_do_not_change_a_byte(corpus: Path, out: Path, workers: int) -> None:
    reference = out.with_name("reference.h5")
    run_extract(corpus, reference, workers=1)
    slow = FakeReader(delay_s=0.002 * workers)
    run_extract(corpus, out, workers=workers, reader=slow)
    assert out.read_bytes() == reference.read_bytes()


def test_second_run_reads_nothing_and_writes_nothing(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    before = {name: (out.parent / name).stat().st_mtime_ns for name in listing(out.parent) if "log" not in name}
    reader, video = FakeReader(), StubVideo()
    report = run_extract(corpus, out, reader=reader, video=video)
    after = {name: (out.parent / name).stat().st_mtime_ns for name in before}
    assert (report.made, reader.calls, video.batches) == (0, [], [])
    assert {name for name in before if before[name] != after[name]} <= {"cache.h5.lock"}


def test_lost_notes_are_made_again_without_decoding(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    before = out.read_bytes()
    for note in out.parent.rglob("*.clips.json"):
        note.unlink()
    reader = FakeReader()
    assert run_extract(corpus, out, reader=reader).made == 0
    assert reader.calls == [] and out.read_bytes() == before
    assert len(list(out.parent.rglob("*.clips.json"))) == 3


def test_half_a_run_goes_on_to_the_same_bytes(corpus: Path, out: Path) -> None:
    reference = out.with_name("reference.h5")
    run_extract(corpus, reference)

    class Dies(FakeReader):
        def __call__(self, path: Path, **how: Any) -> Any:
            if path.name == "clip5.mp4":
                raise RuntimeError("the power went out")
            return super().__call__(path, **how)

    with pytest.raises(RuntimeError, match="power"):
        run_extract(corpus, out, reader=Dies())
    assert len(shards(out)) == 1
    reader = FakeReader()
    assert run_extract(corpus, out, reader=reader).made == 6
    assert "clip0.mp4" not in reader.calls
    assert out.read_bytes() == reference.read_bytes()


# Only what changed


def test_a_changed_clip_renews_its_shard_alone(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    stamps = {path: path.stat().st_mtime_ns for path in shards(out)}
    (corpus.parent / "clip4.mp4").write_bytes(b"a better cut")
    reader = FakeReader()
    report = run_extract(corpus, out, reader=reader)
    assert (report.made, sorted(reader.calls)) == (3, ["clip3.mp4", "clip4.mp4", "clip5.mp4"])
    assert [path.name for path, stamp in stamps.items() if path.stat().st_mtime_ns != stamp] == ["shard-00001.h5"]
    assert "bytes of u4 changed" in report.notices[0]


def test_a_touched_clip_renews_nothing(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    os.utime(corpus.parent / "clip4.mp4", ns=(1, 1))
    reader = FakeReader()
    assert run_extract(corpus, out, reader=reader).made == 0


def test_bytes_changed_behind_size_and_time_are_found_when_asked(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    clip = corpus.parent / "clip4.mp4"
    facts = clip.stat()
    clip.write_bytes(b"CLIP 4")
    os.utime(clip, ns=(facts.st_atime_ns, facts.st_mtime_ns))
    assert run_extract(corpus, out).made == 0
    assert run_extract(corpus, out, verify_clips=True).made == 3


def test_new_labels_need_no_clip(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    rows = [replace(one, emotion="fear", dialogue="x") for one in read_manifest(corpus)]
    write_manifest(Manifest(tuple(rows)), corpus)
    reader = FakeReader()
    assert run_extract(corpus, out, reader=reader).made == 0
    cache = read_cache(out)
    assert cache.vocabulary["emotion"] == ["fear"]
    assert set(cache.utterances.dialogue) == {"x"}


def test_clips_at_the_end_of_the_manifest_leave_the_others_alone(corpus: Path, out: Path) -> None:
    rows = read_manifest(corpus).utterances
    write_manifest(Manifest(rows[:6]), corpus)
    run_extract(corpus, out)
    write_manifest(Manifest(rows), corpus)
    assert run_extract(corpus, out).made == 3
    assert len(read_cache(out).utterances) == 9


def test_a_damaged_shard_is_made_again(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    before = out.read_bytes()
    path = shards(out)[1]
    data = bytearray(path.read_bytes())
    path.write_bytes(data[:-1])
    out.unlink()
    assert run_extract(corpus, out).made == 3
    assert out.read_bytes() == before


def test_a_shard_damaged_behind_its_header_is_made_again(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    before = out.read_bytes()
    for path in (shards(out)[0], shards(out)[2]):
        data = bytearray(path.read_bytes())
        data[len(data) // 2] ^= 1
        path.write_bytes(data)
    assert run_extract(corpus, out).made == 0  # the cache is whole: nothing reads its shards
    assert run_extract(corpus, out, dry_run=True, verify_clips=True).made == 6  # unless it is asked to
    out.unlink()
    notices: list[str] = []
    report = run_extract(corpus, out, notices=notices)
    assert (report.made, report.kept) == (6, 3)
    assert sum("is made again" in text for text in notices) == 2
    assert out.read_bytes() == before


def test_a_damaged_cache_is_made_again_from_its_shards(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    before = out.read_bytes()
    out.write_bytes(before[:-100])
    notices: list[str] = []
    assert run_extract(corpus, out, notices=notices).made == 0
    assert out.read_bytes() == before
    assert "made again from its shards" in notices[0]


# Mixing


CHANGES: list[tuple[str, Callable[[Any], dict[str, Any]]]] = [
    ("sampling", lambda o: {"options": replace(o, sampling="every:3")}),
    ("windows.hop_s", lambda o: {"options": replace(o, hop_s=0.25)}),
    ("windows.length_s", lambda o: {"options": replace(o, window_s=2.0)}),
    ("precision", lambda o: {"options": replace(o, precision="bf16")}),
    ("decode.channels", lambda o: {"options": replace(o, channels="mix")}),
    ("streams.audio", lambda o: {"options": replace(o, audio=("none",))}),
    ("shard_size", lambda o: {"shard_size": 4}),
    (
        "streams.video.weights",
        lambda o: {
            "video": StubVideo(
                EncoderSpec("stub", "video", 12, 5, weights={"source": "file", "sha256": "1" * 64, "licence": "x"})
            )
        },
    ),
    ("streams.video.version", lambda o: {"video": StubVideo(EncoderSpec("stub", "video", 12, 5, version=2))}),
]


@pytest.mark.parametrize(("named", "change"), CHANGES, ids=[name for name, _ in CHANGES])
def test_mixing_is_refused_and_the_difference_named(
    corpus: Path, out: Path, named: str, change: Callable[[Any], dict[str, Any]]
) -> None:
    run_extract(corpus, out)
    before = out.read_bytes()
    with pytest.raises(FingerprintMismatchError, match=named) as caught:
        run_extract(corpus, out, **change(STUBS))
    assert caught.value.exit_status == 12
    assert out.read_bytes() == before
    assert len(shards(out)) == 3
    run_extract(corpus, out, **change(STUBS), replace=True)
    assert out.read_bytes() != before
    reader = FakeReader()
    run_extract(corpus, out, reader=reader, replace=True)  # and back: the old shards are still there
    assert reader.calls == [] and out.read_bytes() == before


def test_another_projection_is_no_other_recipe(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    reader = FakeReader()
    run_extract(corpus, out, reader=reader, projection="gaussian")
    first = read_cache(out).streams["video"].projection
    assert first is not None and first.kind == "gaussian" and reader.calls == []
    run_extract(corpus, out, reader=reader)  # unasked, it stays as it is
    second = read_cache(out).streams["video"].projection
    assert second is not None and second.kind == "gaussian"


def test_components_as_they_are_stay_on_offer_and_say_what_they_do(corpus: Path, out: Path) -> None:
    notices: list[str] = []
    run_extract(corpus, out, projection="pca", notices=notices)
    projection = read_cache(out).streams["video"].projection
    assert projection is not None and projection.kind == "pca"
    assert len(notices) == 1 and f"`project {out} --kind pca-turned` turns them" in notices[0]
    notices.clear()
    run_extract(corpus, out, notices=notices)  # unasked, it stays as it is, and is said again
    again = read_cache(out).streams["video"].projection
    assert again is not None and again.kind == "pca" and len(notices) == 1
    notices.clear()
    run_extract(corpus, out, projection="pca-turned", notices=notices)
    after = read_cache(out).streams["video"].projection
    assert after is not None and after.kind == "pca-turned" and not notices


def test_a_file_that_is_no_cache_is_left_alone(corpus: Path, out: Path) -> None:
    out.parent.mkdir()
    out.write_bytes(b"my thesis")
    with pytest.raises(UsageError, match="no cache"):
        run_extract(corpus, out)
    assert out.read_bytes() == b"my thesis"
    assert list(out.parent.iterdir()) == [out]


def test_a_file_in_the_place_of_a_folder_fails(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "thesis").write_bytes(b"my thesis")
    with pytest.raises(UsageError, match=r"thesis is a file; expected a folder\. Choose another --out"):
        run_extract(corpus, tmp_path / "thesis" / "new" / "cache.h5")


def test_second_writer_is_refused_and_changes_nothing(corpus: Path, out: Path) -> None:
    run_extract(corpus, out, limit=3)
    before = {name: (out.parent / name).read_bytes() for name in listing(out.parent)}
    with locked(out.with_name("cache.h5.lock")), pytest.raises(LockedError, match="held by another run") as caught:
        run_extract(corpus, out)
    assert caught.value.exit_status == 11
    assert {name: (out.parent / name).read_bytes() for name in listing(out.parent)} == before


def test_dry_run_writes_nothing_and_estimates(corpus: Path, out: Path) -> None:
    report = run_extract(corpus, out, dry_run=True, reader=FakeReader(delay_s=0.02), workers=2)
    assert not out.parent.exists()
    assert report.estimate is not None
    assert (report.estimate.clips, report.estimate.measured, report.estimate.absent) == (9, 5, 0)
    assert report.estimate.seconds is not None
    assert 9 * 0.02 / 2 * 0.9 < report.estimate.seconds < 9 * 0.02 * 20
    run_extract(corpus, out)
    assert run_extract(corpus, out, dry_run=True).made == 0


def test_dry_run_says_what_the_run_then_does(tmp_path: Path, out: Path) -> None:
    corpus = make_corpus(tmp_path / "clips", 9, contents={7: b"bad"})
    run_extract(corpus, out)
    behind = corpus.parent / "clip0.mp4"
    times = behind.stat()
    behind.write_bytes(b"CLIP 0")
    os.utime(behind, ns=(times.st_atime_ns, times.st_mtime_ns))
    (corpus.parent / "clip4.mp4").write_bytes(b"another, longer clip")
    before = {name: (out.parent / name).read_bytes() for name in listing(out.parent)}
    dry = run_extract(corpus, out, dry_run=True)
    assert (dry.made, dry.notices) == (3, ["shard 1 is made again: the bytes of u4 changed"])
    for choice in ({"retry_failed": True}, {"verify_clips": True}):
        assert run_extract(corpus, out, dry_run=True, **choice).made == 6
    assert {name: (out.parent / name).read_bytes() for name in listing(out.parent)} == before
    assert run_extract(corpus, out, retry_failed=True, verify_clips=True).made == 9


def test_dry_run_fails_where_the_run_would(corpus: Path, out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(DualstreamError, match="needs the package ray"):
        run_extract(corpus, out, dry_run=True, executor="ray")
    for path in corpus.parent.glob("*.mp4"):
        path.unlink()
    with pytest.raises(UsageError, match="none of the 9 clips is under"):
        run_extract(corpus, out, dry_run=True)


# Tables


def write_table(path: Path, ids: list[str]) -> str:
    rows = "".join(f"{name},{number},{number * number}\n" for number, name in enumerate(ids))
    path.write_text("id,au_01,au_02\n" + rows)
    return f"table:{path}"


def test_a_table_beside_media_and_alone(corpus: Path, out: Path, tmp_path: Path) -> None:
    from dualstream.pipeline.commands.extract import extract
    from dualstream.pipeline.extraction.recipe import make_recipe
    from dualstream.pipeline.extraction.request import RunOptions

    text = write_table(tmp_path / "au.csv", [f"u{i}" for i in range(8)])
    notices: list[str] = []
    report = extract(
        corpus,
        root=corpus.parent,
        out=out,
        options=replace(STUBS, video=(text,), audio=("none",)),
        run=RunOptions(shard_size=3),
        notice=notices.append,
        build_recipe=make_recipe,
    )
    cache = read_cache(out)
    assert notices == ["stream video: table:au.csv has no row for 1 of 9: u8"]
    assert (report.failed, cache.utterances.sha256) == ([], [""] * 9)
    video = cache.streams["video"]
    assert video.windows is None and video.present.tolist() == [True] * 8 + [False]
    np.testing.assert_array_equal(video.utterance[:8], [[i, i * i] for i in range(8)])
    assert video.spec["column_names"] == ["au_01", "au_02"]


def test_a_table_with_times_brings_its_own_windows(corpus: Path, out: Path, tmp_path: Path) -> None:
    """No media tells how long the clips are: the table's rows do."""
    from dualstream.pipeline.commands.extract import extract
    from dualstream.pipeline.extraction.recipe import make_recipe
    from dualstream.pipeline.extraction.request import RunOptions

    rows = "".join(f"u{i},{0.5 * k},{10 * i + k}\n" for i in range(8) for k in range(i + 1))
    (tmp_path / "au.csv").write_text("id,start_s,x\n" + rows)
    options = replace(STUBS, video=(f"table:{tmp_path / 'au.csv'}",), audio=("none",))
    extract(corpus, root=corpus.parent, out=out, options=options, run=RunOptions(), build_recipe=make_recipe)
    cache = read_cache(out)
    windows = cache.streams["video"].windows
    assert windows is not None
    assert np.diff(cache.offsets).tolist() == [*range(1, 9), 1]  # u8 has no row: one masked window
    assert windows[cache.offsets[3] : cache.offsets[4], 0].tolist() == [30, 31, 32, 33]


def test_a_table_of_other_ids_fails(corpus: Path, out: Path, tmp_path: Path) -> None:
    from dualstream.pipeline.commands.extract import extract
    from dualstream.pipeline.extraction.recipe import make_recipe
    from dualstream.pipeline.extraction.request import RunOptions

    text = write_table(tmp_path / "au.csv", ["other0", "other1"])
    with pytest.raises(UsageError, match="no row for any of the 9 utterances, such as 'u0'"):
        extract(
            corpus,
            root=corpus.parent,
            out=out,
            options=replace(STUBS, video=(text,), audio=("none",)),
            run=RunOptions(),
            build_recipe=make_recipe,
        )


# Streams that a change does not touch


def test_another_channel_policy_encodes_no_frame_again(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    video, notices = StubVideo(), []
    mixed = replace(STUBS, channels="mix")
    run_extract(corpus, out, options=mixed, video=video, replace=True, notices=notices)
    assert video.batches == []
    assert notices == ["rows of video are taken over from shards that were made in the same way"]
    fresh = out.with_name("fresh.h5")
    run_extract(corpus, fresh, options=mixed)
    assert out.read_bytes() == fresh.read_bytes()


@pytest.mark.parametrize("change", [{"sampling": "every:3"}, {"hop_s": 0.25}, {"precision": "bf16"}])
def test_what_a_change_touches_is_encoded_again(corpus: Path, out: Path, change: dict[str, Any]) -> None:
    run_extract(corpus, out)
    video = StubVideo()
    run_extract(corpus, out, options=replace(STUBS, **change), video=video, replace=True)
    assert sum(video.batches) > 0


def test_rows_of_another_way_of_reading_are_not_taken_over(
    corpus: Path, out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run_extract(corpus, out)
    monkeypatch.setattr("dualstream.features.media.settings.READING_VERSION", 99)
    video = StubVideo()
    run_extract(corpus, out, video=video, replace=True)
    assert sum(video.batches) > 0


def test_rows_of_changed_clips_or_other_environments_are_not_taken_over(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    (corpus.parent / "clip4.mp4").write_bytes(b"a better cut")
    video = StubVideo()
    run_extract(corpus, out, options=replace(STUBS, channels="mix"), video=video, replace=True)
    windows = np.diff(read_cache(out).offsets)
    assert sum(video.batches) == windows[3:6].sum()  # the shard of clip 4 alone


def test_damaged_donors_are_not_taken_over(corpus: Path, out: Path) -> None:
    run_extract(corpus, out)
    for path in shards(out):
        data = bytearray(path.read_bytes())
        data[-1] ^= 1
        path.write_bytes(data)
    video = StubVideo()
    mixed = replace(STUBS, channels="mix")
    run_extract(corpus, out, options=mixed, video=video, replace=True)
    assert sum(video.batches) == len(read_cache(out).start_s)
    fresh = out.with_name("fresh.h5")
    run_extract(corpus, fresh, options=mixed)
    assert out.read_bytes() == fresh.read_bytes()


def test_torchs_threads_are_set_back(corpus: Path, out: Path) -> None:
    torch = pytest.importorskip("torch")
    before, seen = torch.get_num_threads(), []

    class Watching(StubVideo):
        def encode_frames(self, frames: np.ndarray) -> np.ndarray:
            seen.append(torch.get_num_threads())
            return super().encode_frames(frames)

    try:
        torch.set_num_threads(2)
        run_extract(corpus, out, video=Watching())
        run_extract(corpus, out.with_name("asked.h5"), options=replace(STUBS, threads=3), video=Watching())
        assert set(seen[: len(seen) // 2]) == {1} and set(seen[len(seen) // 2 :]) == {3}
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


def test_a_log_that_can_not_be_written_is_a_note(tmp_path: Path) -> None:
    out = tmp_path / "out" / "cache.h5"
    out.parent.mkdir()
    out.with_name("cache.h5.log").mkdir()
    report = run_extract(make_corpus(tmp_path / "clips", 4), out)
    assert report.made == 4 and read_cache(out).utterances.status == ["ok"] * 4
    assert report.notices == ["the run is not noted in cache.h5.log, which can't be written: Is a directory"]
