"""convert: round trips through every format, files read by the formats' own libraries, and what others made."""

from __future__ import annotations

import csv
import json
import pickle
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from dualstream.features.encoder import EncoderOptions, build
from dualstream.features.faces.rows import STATES, FaceRows
from dualstream.pipeline.cache import Cache, read_cache, write_cache
from dualstream.pipeline.cache.exchange import FORMATS
from dualstream.pipeline.commands.convert import ConvertOptions, convert
from dualstream.pipeline.commands.evaluate import evaluate
from dualstream.pipeline.errors import CorruptError, FingerprintMismatchError, NoCacheError, UsageError
from dualstream.pipeline.extraction.csd_tables import register
from dualstream.pipeline.storage.csd import csd_bytes
from typer.testing import CliRunner

from dualstream import cli
from tests.pipeline.caches import random_cache
from tests.pipeline.planted_corpus import planted_cache
from tests.pipeline.spoken_corpus import fit

ARRAYS = ("utterance", "present", "windows", "window_present", "time_s")


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two streams with windows and one without; missing streams, windows, labels; a projection; odd texts."""
    made = random_cache()
    reason = [f'odd "{at}", with\nlines; é' if at == 1 else one for at, one in enumerate(made.utterances.reason)]
    path = tmp_path_factory.mktemp("convert") / "cache.h5"
    write_cache(path, replace(made, utterances=replace(made.utterances, reason=reason)))
    return path


def assert_same(one: Cache, other: Cache) -> None:
    for name, column in vars(one.utterances).items():
        np.testing.assert_array_equal(np.array(column), np.array(getattr(other.utterances, name)), err_msg=name)
    np.testing.assert_array_equal(one.offsets, other.offsets)
    np.testing.assert_array_equal(one.start_s, other.start_s)
    assert one.vocabulary == other.vocabulary and sorted(one.streams) == sorted(other.streams)
    for name, stream in one.streams.items():
        there = other.streams[name]
        for key in ARRAYS:
            left, right = getattr(stream, key), getattr(there, key)
            assert (left is None) == (right is None), (name, key)
            if left is not None:
                assert left.dtype == right.dtype, (name, key)
                np.testing.assert_array_equal(left, right, err_msg=f"{name} {key}")
        assert stream.spec == there.spec
        assert (stream.projection is None) == (there.projection is None)
        if stream.projection is not None and there.projection is not None:
            np.testing.assert_array_equal(stream.projection.components, there.projection.components)
            np.testing.assert_array_equal(stream.projection.mean, there.projection.mean)
            assert stream.projection.fitted_on == there.projection.fitted_on
    assert {key: value for key, value in other.provenance.items() if key != "converted"} == one.provenance


@pytest.mark.parametrize("kind", FORMATS)
def test_round_trips(cache: Path, kind: str, tmp_path: Path) -> None:
    done = convert([cache], tmp_path / "out", ConvertOptions(to=kind))
    assert done.out_kind == kind and done.utterances == len(read_cache(cache).utterances)
    convert([Path(kind), tmp_path / "out"], tmp_path / "again.h5")
    again = read_cache(tmp_path / "again.h5")
    assert_same(read_cache(cache), again)
    assert again.provenance["converted"] == {"kind": kind}


def test_faces_stay_behind_and_that_is_said(tmp_path: Path) -> None:
    made = planted_cache()
    stream = made.streams["video"]
    assert stream.window_present is not None
    seen = stream.window_present
    none = FaceRows.nothing(len(seen))
    faces = replace(
        none,
        box=np.where(seen[:, None], np.float32([[0.1, 0.1, 0.5, 0.5]]), none.box).astype(np.float32),
        track=np.where(seen, 0, -1).astype(np.int32),
        state=np.where(seen, STATES.index("alone"), none.state).astype(np.int32),
    )
    write_cache(tmp_path / "c.h5", replace(made, streams={**made.streams, "video": replace(stream, faces=faces)}))
    done = convert([tmp_path / "c.h5"], tmp_path / "out", ConvertOptions(to="npy"))
    assert len(done.notes) == 1 and done.notes[0].startswith("video: whose face each window shows stays in")
    assert not convert([tmp_path / "out"], tmp_path / "again.h5").notes
    assert read_cache(tmp_path / "again.h5").streams["video"].faces is None


@pytest.mark.parametrize(
    ("source", "options"),
    [
        (["c.h5"], {"to": "npy"}),
        (["c.h5"], {"to": "mmsa"}),
        (["mmsa", "c.h5"], {}),
        (["csd", "c.h5"], {"manifest": Path("c.h5")}),
    ],
)
def test_what_is_in_the_way_is_refused_before_anything_is_read(
    tmp_path: Path, source: list[str], options: dict[str, Any]
) -> None:
    """The source is damaged, which reading it would have said first."""
    (tmp_path / "c.h5").write_bytes(b"no cache")
    out = tmp_path / ("out.csd" if source[0] == "csd" else "out")
    out.write_text("mine")
    place = [Path(one) if one in FORMATS else tmp_path / one for one in source]
    with pytest.raises(UsageError, match=r"already exists|is a file|is no"):
        convert(place, out, ConvertOptions(**options))
    assert out.read_text() == "mine"


def test_a_folder_says_itself_what_it_is(cache: Path, tmp_path: Path) -> None:
    convert([cache], tmp_path / "out", ConvertOptions(to="npy"))
    done = convert([tmp_path / "out"], tmp_path / "again.h5")
    assert done.source_kind == "npy" and (tmp_path / "again.h5").is_file()


def test_parquet_is_read_by_pandas_and_arrow(cache: Path, tmp_path: Path) -> None:
    pandas, arrow = pytest.importorskip("pandas"), pytest.importorskip("pyarrow")
    convert([cache], tmp_path / "p", ConvertOptions(to="parquet"))
    convert([cache], tmp_path / "a", ConvertOptions(to="arrow"))
    own = read_cache(cache)
    frame = pandas.read_parquet(tmp_path / "p" / "utterances.parquet")
    assert frame["id"].tolist() == own.utterances.id and frame["split"].tolist() == own.utterances.split
    assert frame["video"].notna().tolist() == own.streams["video"].present.tolist()
    rows = np.stack(frame["video"][frame["video"].notna()].tolist())
    np.testing.assert_array_equal(rows, own.streams["video"].utterance[own.streams["video"].present])
    words = [*own.vocabulary["emotion"], None]
    found = [None if pandas.isna(one) else one for one in frame["emotion"]]
    assert found == [words[code] for code in own.utterances.emotion]
    feather = pandas.read_feather(tmp_path / "a" / "windows.arrow")
    assert len(feather) == len(own.start_s) and feather["start_s"].tolist() == own.start_s.tolist()
    with arrow.ipc.open_file(str(tmp_path / "a" / "utterances.arrow")) as reader:
        assert reader.read_all().num_rows == len(own.utterances)


def test_csd_is_what_the_sdk_reads(cache: Path, tmp_path: Path) -> None:
    """One root; data by utterance; metadata of JSON texts in arrays of one: as mmsdk's read_CSD takes them."""
    convert([cache], tmp_path / "c", ConvertOptions(to="csd"))
    own = read_cache(cache)
    stream = own.streams["video"]
    with h5py.File(tmp_path / "c" / "video.csd") as file:
        (root,) = file.keys()
        assert json.loads(file[root]["metadata"]["root name"][0]) == root == "video"
        at = int(np.flatnonzero(stream.present)[0])
        inside = np.arange(own.offsets[at], own.offsets[at + 1])
        inside = inside[stream.window_present[inside]]  # type: ignore[index]
        group = file[root]["data"][own.utterances.id[at]]
        np.testing.assert_array_equal(group["features"][:], stream.windows[inside])  # type: ignore[index]
        np.testing.assert_array_equal(group["intervals"][:, 0], own.start_s[inside])
        np.testing.assert_array_equal(group["intervals"][:, 1] - own.start_s[inside], np.ones(len(inside)))


def test_mmsa_is_a_plain_pickle(cache: Path, tmp_path: Path) -> None:
    convert([cache], tmp_path / "m.pkl", ConvertOptions(to="mmsa"))
    own = read_cache(cache)
    data = pickle.loads((tmp_path / "m.pkl").read_bytes())
    splits = {"train": "train", "valid": "dev", "test": "test"}
    for mode, split in splits.items():
        rows = [at for at, one in enumerate(own.utterances.split) if one == split]
        assert data[mode]["id"] == [own.utterances.id[at] for at in rows]
        for at, frames, length in zip(rows, data[mode]["vision"], data[mode]["vision_lengths"], strict=True):
            expected = own.streams["video"].windows[own.offsets[at] : own.offsets[at + 1]]  # type: ignore[index]
            np.testing.assert_array_equal(frames[:length], expected)
            assert not frames[length:].any()


def test_npy_is_read_as_a_table_again(cache: Path, tmp_path: Path) -> None:
    convert([cache], tmp_path / "n", ConvertOptions(to="npy"))
    own = read_cache(cache)
    table: Any = build("video", f"table:{tmp_path / 'n' / 'video-UTT'}", EncoderOptions())
    for at, utterance_id in enumerate(own.utterances.id):
        row = table.lookup(utterance_id, np.zeros(1), 1.0)
        assert row.present == own.streams["video"].present[at]
        np.testing.assert_array_equal(row.utterance, own.streams["video"].utterance[at])


def test_a_csd_of_a_cache_is_a_table_of_its_windows(cache: Path, tmp_path: Path) -> None:
    """Intervals that are windows give these windows' rows, though they overlap."""
    convert([cache], tmp_path / "c", ConvertOptions(to="csd"))
    own, stream = read_cache(cache), read_cache(cache).streams["video"]
    register()
    table: Any = build("video", f"table:{tmp_path / 'c' / 'video.csd'}", EncoderOptions())
    for at in np.flatnonzero(stream.present):
        inside = slice(own.offsets[at], own.offsets[at + 1])
        there = stream.window_present[inside]  # type: ignore[index]
        found = table.lookup(own.utterances.id[at], own.start_s[inside], 1.0)
        np.testing.assert_array_equal(found.windows[there], stream.windows[inside][there])  # type: ignore[index]


def test_predictions_go_along(tmp_path: Path) -> None:
    path = tmp_path / "cache.h5"
    write_cache(path, planted_cache())
    run = fit(path, "linear", tmp_path / "run")
    done = convert([path], tmp_path / "n", ConvertOptions(to="npy", run=run))
    with (tmp_path / "n" / "utterances.csv").open(newline="") as file:
        rows = {row["id"]: row for row in csv.DictReader(file)}
    with next(run.glob("predictions_*.csv")).open(newline="") as file:
        held = list(csv.DictReader(file))
    ids = {row["id"] for row in held}
    assert done.predicted == len(ids) and {one for one, row in rows.items() if row["predicted_emotion"]} == ids
    label = next(key for key in held[0] if key.startswith("emotion_logp:"))
    for one in ids:
        mean = np.mean([np.exp(float(row[label])) for row in held if row["id"] == one])
        assert float(rows[one][f"p_emotion:{label.partition(':')[2]}"]) == pytest.approx(mean, abs=1e-6)
    again = tmp_path / "again.h5"
    convert([tmp_path / "n"], again)
    assert_same(read_cache(path), read_cache(again))
    with pytest.raises(FingerprintMismatchError, match="fitted on another cache"):
        convert([again], tmp_path / "x", ConvertOptions(to="npy", run=run))


def test_answers_for_what_heads_were_fitted_on_do_not_go_along(tmp_path: Path) -> None:
    """`evaluate` leaves answers for train, dev or test in the run; train's rows were seen by the heads."""
    made, path = planted_cache(), tmp_path / "cache.h5"
    write_cache(path, made)
    splits = np.array(made.utterances.split)
    run = fit(path, "linear", tmp_path / "run")
    for scored, told in (("train", ["dev"]), ("test", ["dev", "test"])):
        evaluate(run, split=scored)
        done = convert([path], tmp_path / scored, ConvertOptions(to="npy", run=run))
        with (tmp_path / scored / "utterances.csv").open(newline="") as file:
            rows = list(csv.DictReader(file))
        assert {row["split"] for row in rows if row["predicted_emotion"]} == set(told)
        assert done.predicted == np.isin(splits, told).sum()
    write_cache(tmp_path / "other.h5", replace(made, provenance={**made.provenance, "note": "another"}))  # type: ignore[typeddict-unknown-key]
    evaluate(run, split="test", cache=tmp_path / "other.h5")
    done = convert([path], tmp_path / "elsewhere", ConvertOptions(to="npy", run=run))
    assert done.predicted == (splits == "dev").sum()


# What others made


def mmsa_of_others(path: Path, *, lengths: bool = True) -> dict[str, Any]:
    """Write a pickle in MMSA's form: two splits, three modalities, ids with dollars, infinities in the sound."""
    rng = np.random.default_rng(1)
    data: dict[str, Any] = {}
    for mode, count in (("train", 3), ("valid", 2)):
        known = [2, 4, 3][:count]
        vision = rng.normal(size=(count, 4, 5)).astype(np.float32)
        for row, length in enumerate(known):
            vision[row, length:] = 0
        audio = rng.normal(size=(count, 6, 2))
        audio[0, 0, 0] = -np.inf
        data[mode] = {
            "id": [f"{mode}v$_${at}" for at in range(count)],
            "vision": vision, "audio": audio, "text": rng.normal(size=(count, 3, 7)),
            "raw_text": np.array(["a text"] * count), "annotations": ["Positive", "Negative", "Neutral"][:count],
            "regression_labels": np.array([1.2, -0.4, 0.0][:count]),
        }  # fmt: skip
        if lengths:
            data[mode] |= {"vision_lengths": known, "audio_lengths": [6] * count}
    path.write_bytes(pickle.dumps(data))
    return data


@pytest.mark.parametrize("lengths", [True, False])
def test_mmsa_of_others(tmp_path: Path, lengths: bool) -> None:
    data = mmsa_of_others(tmp_path / "u.pkl", lengths=lengths)
    done = convert([Path("mmsa"), tmp_path / "u.pkl"], tmp_path / "c.h5", ConvertOptions(rate=2.0))
    found = read_cache(tmp_path / "c.h5")
    rows = found.utterances
    assert rows.id == ["trainv_0", "trainv_1", "trainv_2", "validv_0", "validv_1"]
    assert rows.split == ["train"] * 3 + ["dev"] * 2 and rows.dialogue[1] == "trainv" and rows.turn[1] == 1
    names = found.vocabulary["sentiment"]
    assert [names[code] for code in rows.sentiment[:3]] == ["positive", "negative", "neutral"]
    vision = data["train"]["vision"]
    inside = slice(
        found.offsets[0], found.offsets[1]
    )  # two frames of half a second: a window has the mean of both
    np.testing.assert_allclose(found.streams["video"].windows[inside][0], vision[0, :2].mean(axis=0), rtol=1e-6)  # type: ignore[index]
    np.testing.assert_allclose(found.streams["video"].utterance[1], vision[1].mean(axis=0), rtol=1e-6)
    assert any("2 numbers that are not finite are 0" in note for note in done.notes)
    assert any("text is no stream" in note for note in done.notes)
    assert (tmp_path / "c.h5.tables" / "manifest.csv").is_file()


def test_mmsa_without_a_rate_has_no_windows(tmp_path: Path) -> None:
    data = mmsa_of_others(tmp_path / "u.pkl")
    words = ["convert", "mmsa", str(tmp_path / "u.pkl"), "--out", str(tmp_path / "c.h5"), "--json"]
    done = CliRunner().invoke(cli.app, words)
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["format"] == "dualstream conversion"
    found = read_cache(tmp_path / "c.h5").streams["video"]
    assert found.windows is None
    np.testing.assert_allclose(found.utterance[0], data["train"]["vision"][0, :2].mean(axis=0), rtol=1e-6)


def test_csd_of_whole_videos_is_cut_to_utterances(tmp_path: Path) -> None:
    """Intervals of a film of 10 s; an utterance of 2.5 to 5 s; another of no film; a third by its own key."""
    seconds = np.arange(10.0)
    film = (np.stack([seconds, -seconds], axis=1), np.stack([seconds, seconds + 1], axis=1))
    own = (np.array([[7.0, 7.0]]), np.array([[0.0, 0.5]]))
    (tmp_path / "x.csd").write_bytes(csd_bytes("x", [("film", film), ("clip[2]", own)], {}))
    (tmp_path / "m.csv").write_text(
        "id,path,split,start_s,end_s\nu,a/film.mp4,train,2.5,5\nv,b.mp4,train,,\nclip_2,clip.mp4,dev,,\n"
    )
    done = convert(
        [Path("csd"), tmp_path / "x.csd"], tmp_path / "y.csd", ConvertOptions(manifest=tmp_path / "m.csv")
    )
    assert done.utterances == 2 and "1 of 3 utterances have no interval" in done.notes[0]
    with h5py.File(tmp_path / "y.csd") as file:
        np.testing.assert_allclose(file["y/data/u/intervals"][:], [[0, 0.5], [0.5, 1.5], [1.5, 2.5]])
        np.testing.assert_array_equal(file["y/data/u/features"][:, 0], [2, 3, 4])
    register()
    table: Any = build("audio", f"table:{tmp_path / 'y.csd'}", EncoderOptions())
    found = table.lookup("u", np.array([0.0, 0.5, 1.0, 1.5]), 1.0)
    assert found.windows[:, 0].tolist() == [2.5, 3.0, 3.5, 4.0]  # halves of two; the interval itself; ...
    assert table.lookup("clip_2", np.zeros(1), 1.0).windows[0].tolist() == [7.0, 7.0]


@pytest.mark.parametrize(
    ("source", "options", "error", "message"),
    [
        (["cache.h5"], {}, UsageError, "--to says what"),
        (["none.h5"], {"to": "npy"}, NoCacheError, "there is no cache none.h5"),
        (["mmsa", "none.pkl"], {}, NoCacheError, "there is no none.pkl"),
        (["tar", "cache.h5"], {}, UsageError, "one of parquet, arrow, csd, npy, mmsa; found tar"),
        (["npy", "folder"], {}, UsageError, "extract MANIFEST --audio table:folder"),
        (["csd", "odd.pkl"], {}, UsageError, "--manifest FILE cuts it to utterances"),
        (
            ["mmsa", "cache.h5"],
            {},
            UsageError,
            "cache.h5 is a cache, not mmsa; .* convert cache.h5 --to mmsa --out",
        ),
        (["csd", "cache.h5"], {"to": "csd"}, UsageError, "convert cache.h5 --to csd --out"),
        (["mmsa"], {}, UsageError, "mmsa is a format; name a file of it too"),
        (
            ["mmsa", "m.csv"],
            {},
            CorruptError,
            "m.csv is not a whole pickle: it was cut, or is a file of another kind",
        ),
        (["mmsa", "odd.pkl"], {}, CorruptError, "expected train, valid and test"),
        (["mmsa", "evil.pkl"], {}, CorruptError, "only numbers, text and arrays of them, never code"),
        (["mmsa", "odd.pkl"], {"to": "npy"}, UsageError, "--to and --run are for a cache"),
        (["cache.h5"], {"to": "npy", "rate": 5.0}, UsageError, "--manifest and --rate"),
        (["csd", "odd.pkl"], {"manifest": Path("m.csv"), "rate": 5.0}, UsageError, "--rate 5 is for mmsa"),
    ],
)
def test_what_cannot_be_converted(
    cache: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    source: list[str],
    options: Any,
    error: Any,
    message: str,
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copy(cache, tmp_path / "cache.h5")
    (tmp_path / "folder").mkdir()
    (tmp_path / "odd.pkl").write_bytes(pickle.dumps({"a": 1}))
    (tmp_path / "m.csv").write_text("id,path\n")
    (tmp_path / "evil.pkl").write_bytes(b"cos\nsystem\n(S'touch made'\ntR.")
    with pytest.raises(error, match=message):
        convert([Path(one) for one in source], tmp_path / "out", ConvertOptions(**options))
    assert not (tmp_path / "out").exists() and not (tmp_path / "made").exists()


def test_what_is_there_is_left_alone(cache: Path, tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    (tmp_path / "a.pkl").write_text("mine")
    for out, kind in (("mine", "npy"), ("a.pkl", "mmsa")):
        with pytest.raises(UsageError, match="already exists"):
            convert([cache], tmp_path / out, ConvertOptions(to=kind))
    with pytest.raises(UsageError, match="is no dualstream exchange"):
        convert([cache], tmp_path / "mine", ConvertOptions(to="npy", replace=True))


@pytest.mark.parametrize("kind", FORMATS)
def test_what_was_changed_is_refused(cache: Path, kind: str, tmp_path: Path) -> None:
    """A row less, a file gone, another length: no cache comes of it."""
    out = tmp_path / "out"
    convert([cache], out, ConvertOptions(to=kind))
    if kind == "mmsa":
        data = pickle.loads(out.read_bytes())
        data["train"]["vision"] = data["train"]["vision"][:-1]
        out.write_bytes(pickle.dumps(data))
    else:
        victim = next(
            path for path in sorted(out.rglob("*")) if path.suffix in (".npy", ".parquet", ".arrow", ".csd")
        )
        victim.unlink()
    with pytest.raises(CorruptError):
        convert([Path(kind), out], tmp_path / "again.h5")
    assert not (tmp_path / "again.h5").exists()
