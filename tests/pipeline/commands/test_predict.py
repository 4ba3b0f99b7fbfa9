"""export and predict, end to end on drawn clips: the same numbers as the run, refusals by name, odd files."""

from __future__ import annotations

import base64
import csv
import io
import json
import os
import re
import shutil
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features import media
from dualstream.heads.sklearn import DualHeadClassifier
from dualstream.pipeline.bundles.folder import read_bundle
from dualstream.pipeline.bundles.inference import make_plan
from dualstream.pipeline.cache import read_cache
from dualstream.pipeline.commands import export, predict, project
from dualstream.pipeline.corpus.synthetic import SAMPLE_RATE_HZ
from dualstream.pipeline.errors import CorruptError, FingerprintMismatchError, NoCacheError, UsageError
from dualstream.pipeline.provenance import digest_of, fingerprint
from PIL import Image
from safetensors.numpy import load_file, save_file
from typer.testing import CliRunner

from dualstream import cli
from tests.clips import run_ffmpeg
from tests.pipeline.spoken_corpus import CLIPS, fit, make_cache, make_clips

PARITY = 1e-5


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("spoken")
    make_clips(root)
    make_cache(root)
    for fusion in ("linear", "concat_norm"):
        fit(root / "cache.h5", fusion, root / fusion)
        export.export(root / fusion, root / f"{fusion}-bundle")
    return root


@pytest.fixture
def bundle(corpus: Path, tmp_path: Path) -> Path:
    """A copy of a bundle that a test may spoil."""
    return Path(shutil.copytree(corpus / "concat_norm-bundle", tmp_path / "bundle"))


def stored(run: Path) -> dict[tuple[str, str], dict[str, dict[str, float]]]:
    """Read a run's predictions with the csv module alone: (model, id) to probabilities by task and class."""
    found = {}
    with next(run.glob("predictions_*.csv")).open(newline="") as file:
        for row in csv.DictReader(file):
            tasks: dict[str, dict[str, float]] = {"emotion": {}, "sentiment": {}}
            for column, value in row.items():
                task, mark, name = column.partition("_logp:")
                if mark:
                    tasks[task][name] = float(np.exp(float(value)))
            found[row["model"], row["id"]] = tasks
    return found


@pytest.mark.parametrize("fusion", ["linear", "concat_norm"])
@pytest.mark.parametrize("how", ["manifest", "one by one"])
def test_the_runs_own_clips_get_the_runs_own_probabilities(corpus: Path, fusion: str, how: str) -> None:
    expected = stored(corpus / fusion)
    if how == "manifest":
        found = predict.predict(corpus / f"{fusion}-bundle", [corpus / "manifest.csv"])
        by_id = {one["name"]: one for one in found["utterances"]}
    else:  # other batches of frames, other ids
        names = sorted({name for _, name in expected})
        files = [corpus / "clips" / f"{name[1:]}.mp4" for name in names]
        found = predict.predict(corpus / f"{fusion}-bundle", files)
        by_id = dict(zip(names, found["utterances"], strict=True))
    worst = max(
        abs(by_id[name][task]["seeds"][model][label] - p)
        for (model, name), tasks in expected.items()
        for task, values in tasks.items()
        for label, p in values.items()
    )
    assert len(expected) == 2 * 4  # two seeds, four dev clips
    assert worst <= PARITY


def test_a_bundle_takes_the_projection_of_its_cache(corpus: Path, tmp_path: Path) -> None:
    """Turned, and as bundles had it before: each clip gets the row that the cache has, by the bundle's arrays."""
    components = tmp_path / "components.h5"
    options = project.ProjectOptions(kind="pca", width=10, streams=("video",))
    project.project(
        corpus / "cache.h5", out=components, options=replace(options, shards=corpus / "cache.h5.shards")
    )
    export.export(fit(components, "concat_norm", tmp_path / "run"), tmp_path / "bundle")
    for cache, place, kind in (
        (corpus / "cache.h5", corpus / "concat_norm-bundle", "pca-turned"),
        (components, tmp_path / "bundle", "pca"),
    ):
        bundle, stream = read_bundle(place), read_cache(cache).streams["video"]
        projection = bundle.projections["video"]
        assert projection.kind == kind and stream.projection is not None
        assert projection.components.tobytes() == stream.projection.components.tobytes()
    expected = stored(tmp_path / "run")
    found = {
        one["name"]: one for one in predict.predict(tmp_path / "bundle", [corpus / "manifest.csv"])["utterances"]
    }
    for (model, name), tasks in expected.items():
        assert found[name]["emotion"]["seeds"][model] == pytest.approx(tasks["emotion"], abs=PARITY)


def test_graph_and_classifier_take_the_rows_behind_the_projection(corpus: Path, tmp_path: Path) -> None:
    """From raw rows by the bundle's two arrays, by hand: the graph says of clips what `predict` says of them."""
    raw = tmp_path / "raw.h5"
    bare = project.ProjectOptions(kind="none", shards=corpus / "cache.h5.shards")
    project.project(corpus / "cache.h5", out=raw, options=bare)
    turned, rows = read_cache(corpus / "cache.h5"), read_cache(raw).streams["video"].utterance
    arrays = load_file(corpus / "concat_norm-bundle" / "projections.safetensors")
    by_hand = (rows.astype(np.float64) - arrays["video/mean"]) @ arrays["video/components"].T.astype(np.float64)
    video, audio = by_hand.astype(np.float32), turned.streams["audio"]
    np.testing.assert_allclose(video, turned.streams["video"].utterance, atol=1e-5)

    told = []
    for columns in (video, turned.streams["video"].utterance):
        head = DualHeadClassifier(fusion="linear", video_width=10, penalty=1.0, random_state=0)
        x = np.concatenate([columns, audio.utterance], axis=1)[audio.present]
        told.append(head.fit(x, turned.utterances.emotion[audio.present]).predict_proba(x))
    np.testing.assert_allclose(told[0], told[1], atol=1e-4)

    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    export.export(corpus / "concat_norm", tmp_path / "bundle", export.ExportOptions(onnx=True))
    session = onnxruntime.InferenceSession(str(tmp_path / "bundle" / "head.onnx"))
    fed = {"video": video, "video_present": turned.streams["video"].present}
    fed |= {"audio": audio.utterance, "audio_present": audio.present}
    emotion = session.run(["emotion"], fed)[0]
    said = predict.predict(tmp_path / "bundle", [corpus / "manifest.csv"])["utterances"]
    for row, one in zip(emotion, said, strict=True):
        expected = [one["emotion"]["probabilities"][name] for name in turned.vocabulary["emotion"]]
        assert row == pytest.approx(expected, abs=1e-4)


def test_calibrated_probabilities_sum_to_one_and_keep_the_answer(corpus: Path) -> None:
    found = predict.predict(corpus / "concat_norm-bundle", [corpus / "clips"])
    assert len(found["utterances"]) == CLIPS and found["failed"] == 0
    for one in found["utterances"]:
        for task in ("emotion", "sentiment"):
            said = one[task]
            assert sum(said["probabilities"].values()) == pytest.approx(1)
            mean = {n: np.mean([seed[n] for seed in said["seeds"].values()]) for n in said["probabilities"]}
            assert said["uncalibrated"] == pytest.approx(mean)
            assert said["answer"] == max(mean, key=mean.__getitem__)


def test_a_missing_stream_is_said(corpus: Path) -> None:
    (one,) = predict.predict(corpus / "linear-bundle", [corpus / "clips" / "11.mp4"])["utterances"]
    assert one["streams"] == {"video": True, "audio": False}
    assert "no sound" in one["reason"] and one["status"] == "ok"


def test_sound_alone_is_answered_by_the_audio_stream(corpus: Path, tmp_path: Path) -> None:
    media.write_clip(tmp_path / "a.wav", None, 1, noise(1.5), SAMPLE_RATE_HZ, audio_codec="pcm_s16le")
    (one,) = predict.predict(corpus / "linear-bundle", [tmp_path / "a.wav"])["utterances"]
    assert one["streams"] == {"video": False, "audio": True} and one["status"] == "ok"


def cut_apart(corpus: Path, root: Path, count: int = 3) -> None:
    """Write clips of the corpus as a film without sound and a sound, which loses nothing of it."""
    (root / "clips").mkdir(parents=True)
    for number in range(count):
        clip = corpus / "clips" / f"{number:02d}.mp4"
        run_ffmpeg("-i", str(clip), "-an", "-c", "copy", str(root / "clips" / clip.name))
        run_ffmpeg("-i", str(clip), "-vn", "-c:a", "pcm_f32le", str(root / "clips" / f"{clip.stem}.WAV"))


def test_a_folder_of_pairs_is_answered_as_the_clips_that_they_were(corpus: Path, tmp_path: Path) -> None:
    cut_apart(corpus, tmp_path)
    whole = predict.predict(corpus / "linear-bundle", [corpus / "clips" / f"{n:02d}.mp4" for n in range(3)])
    pairs = predict.predict(corpus / "linear-bundle", [tmp_path / "clips"])
    assert len(pairs["utterances"]) == 3 and pairs["failed"] == 0
    for one, other in zip(pairs["utterances"], whole["utterances"], strict=True):
        assert one["streams"] == {"video": True, "audio": True}
        assert one["sound"] == one["path"].replace(".mp4", ".WAV") and "sound" not in other
        for task in ("emotion", "sentiment"):
            assert one[task]["probabilities"] == pytest.approx(other[task]["probabilities"], abs=2e-3)


def test_a_manifest_of_pairs_and_its_missing_sound(corpus: Path, tmp_path: Path) -> None:
    cut_apart(corpus, tmp_path, 2)
    (tmp_path / "clips" / "01.WAV").unlink()
    rows = "".join(f"c{n},clips/{n:02d}.mp4,test,clips/{n:02d}.WAV\n" for n in range(2))
    (tmp_path / "m.csv").write_text(f"id,path,split,sound\n{rows}")
    options = predict.PredictOptions(timeline_s=1.0)
    good, bad = predict.predict(corpus / "linear-bundle", [tmp_path / "m.csv"], options)["utterances"]
    assert good["status"] == "ok" and good["streams"]["audio"] and good["timeline"]
    assert bad["status"] == "failed" and "missing: the sound clips/01.WAV" in bad["reason"]


@pytest.mark.parametrize("segments", ["silence", "1"])
def test_segments_of_a_pair_have_both_streams(corpus: Path, tmp_path: Path, segments: str) -> None:
    cut_apart(corpus, tmp_path, 1)
    options = predict.PredictOptions(segments=segments)
    found = predict.predict(corpus / "linear-bundle", [tmp_path / "clips"], options)["utterances"]
    assert found and all(one["streams"] == {"video": True, "audio": True} for one in found)


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    return (0.2 * np.random.default_rng(seed).normal(size=round(seconds * SAMPLE_RATE_HZ))).astype(np.float32)


# Refusals by name


def change(bundle: Path, **parts: Any) -> None:
    """Overwrite values of config.json by dotted path (two underscores stand for a dot)."""
    document = json.loads((bundle / "config.json").read_text())
    for place, value in parts.items():
        *way, last = place.split("__")
        at = document
        for step in way:
            at = at[step]
        at[last] = value
    (bundle / "config.json").write_text(json.dumps(document))


@pytest.mark.parametrize(
    ("place", "value", "named"),
    [
        ("recipe__windows__hop_s", 0.25, "windows"),
        ("recipe__sampling", "every:3", "sampling"),
        ("recipe__decode__fit", "pad", "decode"),
        ("recipe__streams__video__weights__sha256", "0" * 64, r"streams\.video"),
        ("streams__video__spec__weights__sha256", "0" * 64, "encoder of video"),
        ("streams__audio__spec__version", 99, "encoder of audio"),
        ("fingerprint", "0" * 64, "fingerprint"),
    ],
)
def test_a_changed_plan_or_encoder_is_named(
    bundle: Path, corpus: Path, place: str, value: Any, named: str
) -> None:
    change(bundle, **{place: value})
    with pytest.raises(FingerprintMismatchError, match=named) as caught:
        predict.predict(bundle, [corpus / "clips"])
    assert caught.value.exit_status == 12


def test_another_way_of_reading_is_named(bundle: Path, corpus: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A program that reads clips otherwise, with settings that the bundle does not know."""
    stated = media.DecodeSettings.to_json
    monkeypatch.setattr(media.DecodeSettings, "to_json", lambda self: {**stated(self), "deblocked": True})
    with pytest.raises(FingerprintMismatchError, match="deblocked: true, absent there"):
        predict.predict(bundle, [corpus / "clips"])


def test_a_bundle_of_an_older_way_of_reading_goes_on_and_says_so(bundle: Path, corpus: Path) -> None:
    """Way 1 read plain clips alike; a way that nobody knows is refused."""
    clip = corpus / "clips" / "11.mp4"
    before = predict.predict(bundle, [clip])
    recipe = json.loads((bundle / "config.json").read_text())["recipe"]

    def read_by_way(number: int) -> None:
        recipe["decode"]["reading"] = number
        sections = {"recipe_sections__decode": digest_of(recipe["decode"])}
        change(bundle, recipe=recipe, fingerprint=fingerprint(recipe), **sections)

    read_by_way(1)
    after = predict.predict(bundle, [clip])
    assert after["utterances"] == before["utterances"]
    assert any("older way of reading" in note for note in after["notes"])
    read_by_way(77)
    with pytest.raises(FingerprintMismatchError, match="reading"):
        predict.predict(bundle, [clip])


def test_another_projection_is_named(bundle: Path, corpus: Path) -> None:
    arrays = load_file(bundle / "projections.safetensors")
    save_file(
        {name: array + np.float32(1e-3) for name, array in arrays.items()}, bundle / "projections.safetensors"
    )
    with pytest.raises(FingerprintMismatchError, match="projection is not the one"):
        predict.predict(bundle, [corpus / "clips"])


def test_weights_that_give_other_numbers_are_named(bundle: Path, corpus: Path) -> None:
    """A seed that draws other weights than the digest says: another torch, or a forged bundle, digests fixed."""
    from dualstream.pipeline.bundles.folder import sections
    from dualstream.pipeline.provenance import fingerprint

    document = json.loads((bundle / "config.json").read_text())
    for spec in (document["recipe"]["streams"]["video"], document["streams"]["video"]["spec"]):
        spec["weights"]["source"] = "random:1"
    document["recipe_sections"] = sections(document["recipe"])
    document["fingerprint"] = fingerprint(document["recipe"])
    (bundle / "config.json").write_text(json.dumps(document))
    with pytest.raises(FingerprintMismatchError, match="weights of the video encoder cnn5"):
        predict.predict(bundle, [corpus / "clips"])


def test_damage_is_told_from_mismatch(bundle: Path, corpus: Path) -> None:
    data = bytearray((bundle / "models.safetensors").read_bytes())
    data[-1] ^= 1
    (bundle / "models.safetensors").write_bytes(data)
    with pytest.raises(CorruptError, match=r"models\.safetensors was changed or damaged"):
        predict.predict(bundle, [corpus / "clips"])
    (bundle / "models.safetensors").unlink()
    with pytest.raises(CorruptError, match="is missing"):
        predict.predict(bundle, [corpus / "clips"])


@pytest.mark.parametrize(
    ("place", "value"),
    [("streams", []), ("calibration__emotion__sharpness", "x"), ("vocabulary", {}), ("calibration", None)],
)
def test_a_malformed_document_is_corrupt(bundle: Path, corpus: Path, place: str, value: Any) -> None:
    change(bundle, **{place: value})
    with pytest.raises(CorruptError):
        predict.predict(bundle, [corpus / "clips"])


def test_a_run_is_no_bundle(corpus: Path) -> None:
    with pytest.raises(NoCacheError, match="`export` makes a bundle"):
        predict.predict(corpus / "linear", [corpus / "clips"])
    with pytest.raises(NoCacheError, match="there is no bundle"):
        predict.predict(corpus / "nowhere", [corpus / "clips"])


def test_a_weights_file_of_no_encoder_is_refused(bundle: Path, corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "w.safetensors").write_bytes(b"other")
    options = predict.PredictOptions(weights=(tmp_path / "w.safetensors",))
    with pytest.raises(FingerprintMismatchError, match="of none of the bundle's encoders"):
        predict.predict(bundle, [corpus / "clips"], options)


# Odd files and ways to ask


def test_every_file_gets_an_answer_or_a_reason(corpus: Path, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    source = corpus / "clips" / "00.mp4"
    names = ["-dash.mp4", "a:b%d,'\".mp4", "new\nline.mp4", "\x1b[2Jbeep.mp4", "<b>.mp4", "日本.mp4"]
    for name in names:
        shutil.copy(source, folder / name)
    (folder / "notes.txt").write_text("no clip")
    (folder / "empty.mp4").write_bytes(b"")
    (folder / ".hidden.mp4").write_bytes(b"")
    os.mkfifo(folder / "pipe.mp4")
    with open(os.fsencode(folder) + b"/\xff.mp4", "wb") as file:
        file.write(source.read_bytes())
    page = tmp_path / "page.html"
    found = predict.predict(
        corpus / "linear-bundle",
        [folder, tmp_path / "absent.mp4", Path(os.devnull)],
        predict.PredictOptions(csv=tmp_path / "out.csv", page=page),
    )
    ok = [one for one in found["utterances"] if one["status"] == "ok"]
    failed = {Path(one["name"]).name: one["reason"] for one in found["utterances"] if one["status"] == "failed"}
    assert len(ok) == len(names)
    joy = [one["emotion"]["seeds"]["seed 0"]["joy"] for one in ok]
    assert max(joy) - min(joy) <= PARITY  # the same bytes, whatever the name
    assert set(failed) == {"notes.txt", "empty.mp4", "pipe.mp4", "absent.mp4", "null", "\\udcff.mp4"}
    assert all(failed.values())
    assert failed["pipe.mp4"].startswith("not_a_file") and failed["absent.mp4"].startswith("missing")
    assert "empty.mp4 has 0 bytes" in failed["empty.mp4"]
    assert not any(
        tmp_path.name in failed[name] for name in ("notes.txt", "empty.mp4")
    )  # its path stands beside it
    text = json.dumps(found.stamped(), ensure_ascii=False)
    text.encode()  # nothing that UTF-8 can't say
    assert "\x1b" not in text and "<b>.mp4" not in page.read_text()
    rows = list(csv.DictReader((tmp_path / "out.csv").open(newline="")))
    assert [row["name"] for row in rows] == [one["name"] for one in found["utterances"]]
    assert predict.exit_status(found) == 3


@pytest.mark.realdata
@pytest.mark.skipif("DUALSTREAM_DATA" not in os.environ, reason="DUALSTREAM_DATA is not set")
def test_every_real_clip_is_answered_and_every_odd_file_is_or_says_why(corpus: Path) -> None:
    folders = [Path(os.environ["DUALSTREAM_DATA"], name) for name in ("clips", "odd")]
    found = predict.predict(corpus / "linear-bundle", folders)["utterances"]
    by_name = {Path(one["name"]).name: one for one in found}
    clips, odd = ({path.name for path in folder.iterdir()} for folder in folders)
    assert set(by_name) == clips | odd and len(found) == len(clips) + len(odd)
    assert {by_name[name]["status"] for name in clips} == {"ok"}
    silent = {name for name in clips if not by_name[name]["streams"]["audio"]}
    assert silent == {"birthday.mp4", "no_audio_face.mp4", "silence_girl.mp4"}
    assert all("no sound" in by_name[name]["reason"] for name in silent)
    assert all(one["reason"] for one in found if one["status"] == "failed")
    assert by_name["empty.webm"]["status"] == "failed" and "0 bytes" in by_name["empty.webm"]["reason"]
    assert by_name["with-attached-pic.mp3"]["streams"] == {"video": False, "audio": True}
    assert "damaged" in by_name["corrupted.mp4"]["reason"]


class Terminal(io.StringIO):
    """What standard error is where a person looks at it."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(("kind", "drawn"), [(Terminal, True), (io.StringIO, False)])
def test_progress_is_drawn_on_a_terminal_alone(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, kind: type[io.StringIO], drawn: bool
) -> None:
    monkeypatch.setenv("COLUMNS", "120")
    monkeypatch.setattr(sys, "stderr", kind())
    clips = [corpus / "clips" / f"{number:02d}.mp4" for number in range(3)]
    predict.predict(corpus / "linear-bundle", clips, predict.PredictOptions(timeline_s=1.0))
    said = sys.stderr.getvalue()  # type: ignore[attr-defined]
    assert [text in said for text in ("clips", "timelines", "3/3")] == [drawn] * 3
    assert bool(said) is drawn


def test_a_recording_is_cut_by_length(corpus: Path) -> None:
    found = predict.predict(
        corpus / "linear-bundle", [corpus / "clips" / "00.mp4"], predict.PredictOptions(segments="0.8")
    )
    spans = [(one["start_s"], one["end_s"]) for one in found["utterances"]]
    assert [span[0] for span in spans] == pytest.approx([0.0, 0.8])
    assert spans[-1][1] == pytest.approx(1.6, abs=0.1)
    assert [one["status"] for one in found["utterances"]] == ["ok", "ok"]


def test_a_recording_is_cut_at_silences(corpus: Path, tmp_path: Path) -> None:
    quiet = np.zeros(round(0.8 * SAMPLE_RATE_HZ), np.float32)
    sound = np.concatenate([quiet, noise(1.0), quiet, noise(1.4, 1), quiet])  # speech at 0.8-1.8 and 2.6-4.0 s
    media.write_clip(tmp_path / "r.wav", None, 1, sound, SAMPLE_RATE_HZ, audio_codec="pcm_s16le")
    found = predict.predict(
        corpus / "linear-bundle", [tmp_path / "r.wav"], predict.PredictOptions(segments="silence")
    )
    spans = np.array([(one["start_s"], one["end_s"]) for one in found["utterances"]])
    assert spans == pytest.approx(np.array([[0.8, 1.8], [2.6, 4.0]]), abs=0.2)


def test_silence_throughout_is_a_reason(corpus: Path, tmp_path: Path) -> None:
    media.write_clip(
        tmp_path / "r.wav", None, 1, np.zeros(32_000, np.float32), SAMPLE_RATE_HZ, audio_codec="pcm_s16le"
    )
    found = predict.predict(
        corpus / "linear-bundle", [tmp_path / "r.wav"], predict.PredictOptions(segments="silence")
    )
    assert "nothing but silence" in found["utterances"][0]["reason"]


def test_a_recording_without_sound_has_no_silences(corpus: Path) -> None:
    silent = corpus / "clips" / "11.mp4"
    found = predict.predict(corpus / "linear-bundle", [silent], predict.PredictOptions(segments="silence"))
    assert found["utterances"][0]["reason"] == "no_streams: 11.mp4 has no sound; --segments 5 cuts by length"


def test_a_manifest_that_lies_elsewhere_asks_for_its_root(corpus: Path, tmp_path: Path) -> None:
    table = Path(shutil.copy(corpus / "manifest.csv", tmp_path / "m.csv"))
    with pytest.raises(
        UsageError, match=f"none of the {CLIPS} files .* is below {tmp_path}, where it lies.* --root"
    ):
        predict.predict(corpus / "linear-bundle", [table])
    found = predict.predict(corpus / "linear-bundle", [table], predict.PredictOptions(root=corpus))
    assert found["failed"] == 0
    found = predict.predict(corpus / "linear-bundle", [table], predict.PredictOptions(root=tmp_path))
    assert {one["reason"][:8] for one in found["utterances"]} == {"missing:"}


@pytest.mark.parametrize("words", [{"segments": "0"}, {"segments": "x"}, {"timeline_s": 0.0}, {"root": Path(".")}])
def test_words_that_make_no_sense(corpus: Path, words: dict[str, Any]) -> None:
    with pytest.raises(UsageError):
        predict.predict(corpus / "linear-bundle", [corpus / "clips"], predict.PredictOptions(**words))


def test_outputs_are_not_written_over(corpus: Path, tmp_path: Path) -> None:
    clip, bundle = corpus / "clips" / "00.mp4", corpus / "linear-bundle"
    (tmp_path / "there.csv").write_text("mine")
    with pytest.raises(UsageError, match="--replace"):
        predict.predict(bundle, [clip], predict.PredictOptions(csv=tmp_path / "there.csv"))
    with pytest.raises(UsageError, match="one of the files"):
        predict.predict(bundle, [clip], predict.PredictOptions(page=clip, replace=True))
    assert (tmp_path / "there.csv").read_text() == "mine"


# Timeline and page


def test_a_timeline_point_is_the_answer_for_that_stretch(corpus: Path) -> None:
    """A stretch that holds the whole clip gives the clip's own answer."""
    (one,) = predict.predict(
        corpus / "linear-bundle", [corpus / "clips" / "03.mp4"], predict.PredictOptions(timeline_s=10.0)
    )["utterances"]
    assert len(one["timeline"]) > 1
    for point in one["timeline"]:
        assert (point["start_s"], point["end_s"]) == (0.0, pytest.approx(one["duration_s"]))
        assert point["emotion"] == pytest.approx(one["emotion"]["probabilities"], abs=1e-4)


def test_a_timeline_shows_what_changes(corpus: Path, tmp_path: Path) -> None:
    """Joy, then anger, in one file: the answers for the two ends differ as those for the two clips do."""
    parts = [media.read_clip(corpus / "clips" / f"{n}.mp4", **how()) for n in ("00", "01")]
    sound = np.concatenate([part.audio for part in parts if part.audio is not None])
    media.write_clip(tmp_path / "both.wav", None, 1, sound, SAMPLE_RATE_HZ, audio_codec="pcm_s16le")
    alone = predict.predict(corpus / "linear-bundle", [corpus / "clips" / f"{n}.mp4" for n in ("00", "01")])
    assert [one["emotion"]["answer"] for one in alone["utterances"]] == ["joy", "anger"]
    (one,) = predict.predict(
        corpus / "linear-bundle", [tmp_path / "both.wav"], predict.PredictOptions(timeline_s=1.2)
    )["utterances"]
    joy = [point["emotion"]["joy"] for point in one["timeline"]]
    assert joy[0] > joy[-1]


def how() -> dict[str, Any]:
    from dualstream.features.windows import Sampling, WindowPlan

    return {"plan": WindowPlan(), "sampling": Sampling(), "settings": media.DecodeSettings()}


def test_the_page_loads_nothing_and_shows_thumbnails(corpus: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    files = [corpus / "clips" / "00.mp4", tmp_path / "<script>alert(1)</script>.mp4"]
    predict.predict(corpus / "concat_norm-bundle", files, predict.PredictOptions(page=page))
    text = page.read_text()
    seen = Tags()
    seen.feed(text)
    assert "script" not in seen.names and {"img", "svg", "polyline"} <= set(seen.names)
    assert all(source.startswith("data:image/jpeg;base64,") for source in seen.sources) and seen.sources
    assert not re.search(r"https?://|url\(|@import", text.split("</style>")[1])


def test_a_line_at_the_edge_is_seen_whole_and_pictures_keep_their_shape(corpus: Path, tmp_path: Path) -> None:
    page = tmp_path / "page.html"
    clip = corpus / "clips" / "00.mp4"  # 192 by 144 pixels
    predict.predict(corpus / "linear-bundle", [clip], predict.PredictOptions(page=page))
    text = page.read_text()
    (top, height), *_ = re.findall(r'viewBox="0 (-?\d+) 960 (\d+)"', text)
    levels = [
        float(y) for points in re.findall(r'points="([^"]*)"', text) for y in re.findall(r",([\d.]+)", points)
    ]
    assert levels and int(top) < min(levels) and max(levels) < int(top) + int(height)
    assert int(top) <= -2 and int(top) + int(height) >= 122  # a curve of 2.5 pixels at probability 1 and 0
    picture = base64.b64decode(re.findall(r"image/jpeg;base64,([^\"]+)", text)[0])
    assert Image.open(io.BytesIO(picture)).size == (128, 96)
    assert "object-fit:fill" not in text


class Tags(HTMLParser):
    def __init__(self) -> None:
        super().__init__()
        self.names: list[str] = []
        self.sources: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.names.append(tag)
        self.sources += [value or "" for name, value in attrs if name in ("src", "href", "xlink:href")]


def test_command(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "bundle"
    done = CliRunner().invoke(cli.app, ["export", str(corpus / "linear"), "--out", str(out), "--json"])
    assert done.exit_code == 0, done.output
    assert set(json.loads(done.stdout)["files"]) == {
        "MODEL_CARD.md", "config.json", "models.safetensors", "projections.safetensors",
    }  # fmt: skip
    (tmp_path / "-x.mp4").write_bytes((corpus / "clips" / "00.mp4").read_bytes())
    before = Path.cwd()
    os.chdir(tmp_path)
    try:
        done = CliRunner().invoke(cli.app, ["predict", "--json", "bundle", "--", "-x.mp4", "absent.mp4"])
        table = CliRunner().invoke(cli.app, ["predict", "bundle", "--", "-x.mp4"])
    finally:
        os.chdir(before)
    assert done.exit_code == 3
    statuses = {one["name"]: one["status"] for one in json.loads(done.stdout)["utterances"]}
    assert statuses == {"-x.mp4": "ok", "absent.mp4": "failed"}
    assert table.exit_code == 0 and "1 of 1 answered by linear" in table.stdout


def test_another_device_is_said_where_a_network_runs(corpus: Path) -> None:
    bundle = read_bundle(corpus / "linear-bundle")
    streams = bundle.streams
    elsewhere = replace(bundle.manifest, recipe={**bundle.recipe, "device": "cuda"})
    _, notes = make_plan(replace(bundle, manifest=elsewhere), device="cpu")
    assert notes == ["features were made on cuda, here on cpu: last digits may differ"]
    sound = replace(bundle, manifest=replace(elsewhere, streams={"audio": streams["audio"]}))
    assert streams["audio"]["spec"]["name"] == "acoustic" and make_plan(sound, device="cpu")[1] == []


def test_answers_are_given_where_the_table_can_not_be_written(
    corpus: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    words = ["predict", str(corpus / "linear-bundle"), str(corpus / "clips" / "11.mp4"), "--json"]
    places = ["--csv", str(tmp_path / "a.csv"), "--page", str(tmp_path / "a.html")]
    done = CliRunner().invoke(cli.app, [*words, *places])
    found = json.loads(done.stdout)
    assert done.exit_code == 1 and found["utterances"][0]["emotion"]["answer"]
    assert found["csv"] is None and found["page"] is None and not list(tmp_path.iterdir())
    assert [text.split(":")[0] for text in found["unwritten"]] == [
        f"cannot write {place}" for place in places[1::2]
    ]
    assert "No space left on device" in done.stderr and "make room" in done.stderr
