"""A bundle over ready-made tables: exported, with its graph, and asked about new tables; clips are refused."""

from __future__ import annotations

import csv
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.pipeline.bundles.folder import read_bundle
from dualstream.pipeline.bundles.inference import make_plan
from dualstream.pipeline.commands import export, extract, predict
from dualstream.pipeline.corpus.manifest import Manifest, Utterance, write_manifest
from dualstream.pipeline.errors import FingerprintMismatchError, UsageError
from dualstream.pipeline.extraction.recipe import ExtractionOptions
from dualstream.pipeline.options.bundles import PredictOptions
from typer.testing import CliRunner

import dualstream
from dualstream import cli
from tests.pipeline.spoken_corpus import fit

COUNT, WIDTH = 36, 5
EMOTIONS = {"joy": "positive", "anger": "negative"}


def rows_of(number: int) -> np.ndarray[Any, Any]:
    """Return two frames, whose first column tells the emotion."""
    rng = np.random.default_rng((3, number))
    frames = rng.normal(size=(2, WIDTH)).astype(np.float32)
    frames[:, 0] += 6 * (number % 2) - 3
    return frames


def write_tables(folder: Path, numbers: list[int], prefix: str = "u") -> None:
    """Write a folder of frames (10 a second) as video, and a CSV table of utterances as audio."""
    (folder / "faces-FRA").mkdir(parents=True)
    for number in numbers:
        np.save(folder / "faces-FRA" / f"{prefix}{number:02d}.npy", rows_of(number).repeat(8, axis=0))
    with (folder / "sound.csv").open("w", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(["id", *(f"x{at}" for at in range(WIDTH))])
        writer.writerows([f"{prefix}{number:02d}", *rows_of(number).mean(axis=0).tolist()] for number in numbers)


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("tables")
    rows = []
    for number in range(COUNT):
        emotion = list(EMOTIONS)[number % 2]
        split = "train" if number < 24 else "dev"
        rows.append(
            Utterance(f"u{number:02d}", f"{number}.mp4", split, emotion=emotion, sentiment=EMOTIONS[emotion])
        )
    write_manifest(Manifest(tuple(rows)), root / "manifest.csv")
    write_tables(root, list(range(COUNT)))
    options = ExtractionOptions(
        video=(f"table:{root / 'faces-FRA'}",), audio=(f"table:{root / 'sound.csv'}",), rate="10"
    )
    run = extract.RunOptions(workers=1)
    extract.extract(root / "manifest.csv", root=root, out=root / "cache.h5", options=options, run=run)
    for fusion in ("linear", "concat_norm", "linear_audio"):
        fit(root / "cache.h5", fusion, root / fusion)
        export.export(root / fusion, root / f"{fusion}-bundle")
    return root


def tables(folder: Path) -> tuple[str, ...]:
    return (f"video={folder / 'faces-FRA'}", f"audio={folder / 'sound.csv'}")


@pytest.mark.parametrize("fusion", ["linear", "concat_norm"])
def test_the_same_rows_get_the_runs_own_probabilities(corpus: Path, fusion: str) -> None:
    found = predict.predict(corpus / f"{fusion}-bundle", [], PredictOptions(table=tables(corpus)))
    by_id = {one.name: one for one in found.utterances}
    assert len(by_id) == COUNT and found.failed == 0
    worst, count = 0.0, 0
    with next((corpus / fusion).glob("predictions_*.csv")).open(newline="") as file:
        for row in csv.DictReader(file):
            for label, p in by_id[row["id"]].emotion.seeds[row["model"]].items():  # type: ignore[union-attr]
                worst, count = max(worst, abs(p - np.exp(float(row[f"emotion_logp:{label}"])))), count + 1
    assert count == 2 * 12 * 2 and worst <= 1e-5


def test_new_tables_are_answered(corpus: Path, tmp_path: Path) -> None:
    """New ids, planted answers; what one table lacks is answered by the other."""
    write_tables(tmp_path, list(range(40, 52)), prefix="new")
    (tmp_path / "faces-FRA" / "new40.npy").unlink()
    found = predict.predict(corpus / "linear-bundle", [], PredictOptions(table=tables(tmp_path)))
    assert {one.name for one in found.utterances} == {f"new{number}" for number in range(40, 52)}
    by_id = {one.name: one for one in found.utterances}
    assert by_id["new40"].missing == ["video"] and found.failed == 0
    said = [by_id[f"new{number}"].emotion.answer for number in range(40, 52)]  # type: ignore[union-attr]
    assert said == ["joy", "anger"] * 6 and not any(one.far_outside for one in found.utterances)
    far = tmp_path / "far.csv"
    shutil.copy(tmp_path / "sound.csv", far)
    far.write_text(far.read_text() + "odd,9e5,0,0,0,0\n")
    odd = predict.predict(corpus / "linear_audio-bundle", [], PredictOptions(table=(str(far),))).utterances[-1]
    assert odd.name == "odd" and "audio" in odd.far_outside[0]


def test_a_manifest_says_which_rows(corpus: Path, tmp_path: Path) -> None:
    rows = (Utterance("u30", "x", "test"), Utterance("nobody", "y", "test"))
    write_manifest(Manifest(rows), tmp_path / "m.csv")
    found = predict.predict(corpus / "linear-bundle", [tmp_path / "m.csv"], PredictOptions(table=tables(corpus)))
    assert [one.status for one in found.utterances] == ["ok", "failed"]
    assert "no video and no audio" in found.utterances[1].reason


def test_the_command_line(corpus: Path, tmp_path: Path) -> None:
    words = ["predict", str(corpus / "linear_audio-bundle"), "--table", f"audio={corpus / 'sound.csv'}"]
    done = CliRunner().invoke(
        cli.app, [*words, "--csv", str(tmp_path / "a.csv"), "--page", str(tmp_path / "a.html")]
    )
    assert done.exit_code == 0, done.output
    with (tmp_path / "a.csv").open(newline="") as file:
        assert len(list(csv.DictReader(file))) == COUNT
    assert "u07" in (tmp_path / "a.html").read_text()


@pytest.mark.parametrize(
    ("bundle", "files", "options", "message"),
    [
        (
            "linear",
            ["x.mp4"],
            {},
            r"no clip becomes rows of them; name new tables: --table video=FILE --table audio",
        ),
        ("linear", [], {"table": ("video=faces-FRA",)}, r"name new tables: --table audio=FILE"),
        ("linear", [], {"table": ("face=faces-FRA",)}, r"expected once each: video=FILE audio=FILE"),
        ("linear_audio", [], {"table": ("audio=none.csv",)}, r"there is no none\.csv"),
        (
            "linear_audio",
            [],
            {"table": ("audio=sound.csv",), "segments": "5"},
            r"--segments: this bundle reads tables",
        ),
        ("linear_audio", [], {"table": ("audio=sound.csv",), "vtt": Path("a.vtt")}, r"--vtt: this bundle reads"),
        ("linear_audio", ["a.mp4"], {"table": ("audio=sound.csv",)}, r"at most one manifest"),
        ("linear_audio", [], {"table": ("audio=sound.csv",), "speaker": "a"}, r"--speaker: the heads"),
    ],
)
def test_what_does_not_fit_fails(
    corpus: Path, monkeypatch: pytest.MonkeyPatch, bundle: str, files: list[str], options: Any, message: str
) -> None:
    monkeypatch.chdir(corpus)
    with pytest.raises(UsageError, match=message):
        predict.predict(corpus / f"{bundle}-bundle", [Path(one) for one in files], PredictOptions(**options))


@pytest.mark.parametrize(
    ("header", "message"),
    [
        ("id,x0,x1,x2,x3", "has 4 columns; the heads were fitted on 5"),
        ("id,x0,x1,x3,x2,x4", "has 'x3' as column 3; the heads were fitted on 'x2'"),
        ("id,time_s,x0,x1,x2,x3,x4", "has rows with times; the heads were fitted on one row per utterance"),
    ],
)
def test_tables_of_other_columns_fail(corpus: Path, tmp_path: Path, header: str, message: str) -> None:
    cells = ",".join("1" for _ in header.split(",")[1:])
    (tmp_path / "t.csv").write_text(f"{header}\na,{cells}\n")
    with pytest.raises(FingerprintMismatchError, match=message):
        predict.predict(corpus / "linear_audio-bundle", [], PredictOptions(table=(f"audio={tmp_path / 't.csv'}",)))


def test_a_table_without_names_is_taken_in_its_order(corpus: Path, tmp_path: Path) -> None:
    np.savez(tmp_path / "t.npz", id=np.array(["a"]), features=rows_of(1).mean(axis=0)[None])
    found = predict.predict(corpus / "linear_audio-bundle", [], PredictOptions(table=(str(tmp_path / "t.npz"),)))
    assert "column by column in its order" in found.notes[0]


def test_no_clip_becomes_rows_of_a_table(corpus: Path) -> None:
    with pytest.raises(UsageError, match="no clip becomes rows of them"):
        make_plan(read_bundle(corpus / "linear-bundle"))


@pytest.mark.slow
def test_the_graph_says_of_new_rows_what_predict_says(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("onnxscript")
    onnxruntime = pytest.importorskip("onnxruntime")
    export.export(corpus / "linear", tmp_path / "bundle", export.ExportOptions(onnx=True))
    session = onnxruntime.InferenceSession(str(tmp_path / "bundle" / "head.onnx"))
    numbers = list(range(40, 46))
    write_tables(tmp_path, numbers)
    rows = np.stack([rows_of(number).mean(axis=0) for number in numbers])
    there = np.ones(len(numbers), dtype=np.bool_)
    said = session.run(
        ["emotion"], {"video": rows, "video_present": there, "audio": rows, "audio_present": there}
    )[0]
    found = predict.predict(tmp_path / "bundle", [], PredictOptions(table=tables(tmp_path)))
    names = found.vocabulary["emotion"]
    own = [[one.emotion.probabilities[name] for name in names] for one in found.utterances]  # type: ignore[union-attr]
    np.testing.assert_allclose(said, own, atol=1e-5)


@pytest.mark.parametrize("fusion", ["linear", "linear_audio"])
def test_a_predictor_answers_as_the_command_does(corpus: Path, fusion: str) -> None:
    bundle = corpus / f"{fusion}-bundle"
    reads = list(read_bundle(bundle).streams)
    named = dict(one.split("=", 1) for one in tables(corpus))
    told = predict.predict(bundle, [], PredictOptions(table=tuple(f"{name}={named[name]}" for name in reads)))
    predictor = dualstream.Predictor(bundle)
    found = predictor.predict(tables={name: Path(named[name]) for name in reads})
    assert [one.document for one in found] == [one.to_json() for one in told.utterances] and len(found) == COUNT
    if len(reads) == 1:  # as the command takes it: the only table needs no name
        assert predictor.predict(tables=named[reads[0]]) == found
    assert predictor.vocabulary["emotion"] == ["joy", "anger"] and "table" in repr(predictor)


def test_a_predictor_takes_rows_of_a_manifest(corpus: Path, tmp_path: Path) -> None:
    write_manifest(
        Manifest((Utterance("u03", "3.mp4", "test"), Utterance("new", "n.mp4", "test"))), tmp_path / "m.csv"
    )
    predictor = dualstream.Predictor(corpus / "linear-bundle")
    named = dict(one.split("=", 1) for one in tables(corpus))
    one, lacking = predictor.predict(tmp_path / "m.csv", tables=named)
    assert one.name == "u03" and one.answered and one.emotion == "anger"
    assert (lacking.name, lacking.answered, lacking.emotion) == ("new", False, None) and lacking.reason


def test_a_predictor_of_tables_refuses_what_is_of_clips(corpus: Path) -> None:
    bundle = corpus / "linear-bundle"
    with pytest.raises(UsageError, match="this bundle reads tables"):
        dualstream.Predictor(bundle, device="cuda")
    predictor = dualstream.Predictor(bundle)
    with pytest.raises(UsageError, match=r"--table video=FILE"):
        predictor.predict("clip.mp4")
    with pytest.raises(UsageError, match=r"segments: of clips"):
        predictor.predict(tables=dict(one.split("=", 1) for one in tables(corpus)), segments="silence")
    with pytest.raises(UsageError, match=r"there is no nowhere\.npz"):
        predictor.predict(tables={"video": "nowhere.npz", "audio": "nowhere.npz"})
