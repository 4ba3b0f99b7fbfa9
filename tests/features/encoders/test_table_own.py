"""Tables as other programs leave them: folders of arrays and of OpenFace's files, openSMILE's spans, columns of lists."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.encoder import EncoderOptions, TableEncoder, build
from dualstream.features.encoders.table_columns import stem_of
from dualstream.features.encoders.table_pooling import pooled

STARTS_S = np.array([0.0, 0.5, 1.0])  # windows [0, 1) [0.5, 1.5) [1, 2)
OPENFACE = "frame, face_id, timestamp, confidence, success, AU01_r\n"


def table(path: Path, **options: Any) -> TableEncoder:
    found: TableEncoder = build("audio", f"table:{path}", EncoderOptions(**options))  # type: ignore[assignment]
    return found


def folder(path: Path, **arrays: Any) -> Path:
    path.mkdir()
    for name, array in arrays.items():
        np.save(path / f"{name}.npy", np.asarray(array, dtype=np.float32))
    return path


def first_column(encoder: TableEncoder, name: str) -> list[float | None]:
    found = encoder.lookup(name, STARTS_S, 1.0)
    assert not found.windows[~found.window_present].any()
    assert np.array_equal(np.isnan(found.time_s), ~found.window_present)
    rows = zip(found.windows, found.window_present, strict=True)
    return [float(row[0]) if there else None for row, there in rows]


def test_a_folder_of_utterances(tmp_path: Path) -> None:
    """MERBench's NAME-UTT: a row per file, no windows."""
    encoder = table(folder(tmp_path / "hubert-UTT", a=[1.0, 2.0], b=[[3.0, 4.0]]))
    assert encoder.spec.name == "table:hubert-UTT" and not encoder.spec.has_windows
    assert encoder.spec.raw_width == 2 and encoder.spec.parameters["files"] == 2
    assert encoder.lookup("b", STARTS_S, 1.0).utterance.tolist() == [3.0, 4.0]
    missing = encoder.lookup("c", STARTS_S, 1.0)
    assert not missing.present and not missing.utterance.any() and missing.windows.shape == (0, 2)
    assert encoder.extent_s("a", 1.0) is None


def test_frames_of_a_known_rate_stand_for_their_time(tmp_path: Path) -> None:
    """MERBench's NAME-FRA: at 4 Hz frame t is of [t/4, t/4 + 1/4), and a window has the mean of those inside."""
    encoder = table(folder(tmp_path / "h-FRA", a=[[t, -t] for t in range(6)], b=[[8.0, 9.0]]), rate_hz=4.0)
    assert encoder.spec.has_windows and encoder.spec.parameters["rate_hz"] == 4.0
    assert first_column(encoder, "a") == [1.5, 3.5, 4.5]  # frames 0-3, 2-5, 4-5
    found = encoder.lookup("a", STARTS_S, 1.0)
    assert found.time_s.tolist() == [0.5, 1.0, 1.25] and found.utterance.tolist() == [2.5, -2.5]
    assert encoder.extent_s("a", 1.0) == 1.5
    assert first_column(encoder, "b") == [8.0, None, None]


@pytest.mark.parametrize(
    ("files", "options", "message"),
    [
        ({"a": [[1.0], [2.0]]}, {}, r"a\.npy holds 2 frames of 1 columns, without times; .*--rate HZ"),
        ({"a": [1.0], "b": [1.0, 2.0]}, {}, r"b\.npy has 2 columns \(f0, f1\); a\.npy has 1 columns \(f0\)"),
        ({"a": [1.0], "b": [[1.0]]}, {"rate_hz": 50.0}, r"b\.npy holds one row, and a\.npy frames, or the other"),
        ({"a": [[[1.0]]]}, {}, r"a\.npy holds float32 of shape \(1, 1, 1\); expected numbers of shape"),
        ({"a": [np.nan]}, {}, r"a\.npy, row 0 \(from 0\), column 'f0': found nan"),
        ({}, {}, r"holds no \.npy and no \.csv file"),
    ],
)
def test_a_folder_that_cannot_be_read_fails(
    tmp_path: Path, files: dict[str, Any], options: dict[str, Any], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        table(folder(tmp_path / "x", **files), **options)


def test_a_folder_of_pickles_or_of_two_files_of_one_name_fails(tmp_path: Path) -> None:
    place = folder(tmp_path / "x", a=[1.0])
    np.save(place / "b.npy", np.array([{"a": 1}], dtype=object))
    with pytest.raises(ValueError, match=r"b\.npy can't be read .*pickles, and refused"):
        table(place)
    (place / "b.npy").unlink()
    (place / "train").mkdir()
    np.save(place / "train" / "a.npy", np.ones(1))
    with pytest.raises(ValueError, match=r"two files of one utterance"):
        table(place)


def test_a_file_that_changes_under_way_fails(tmp_path: Path) -> None:
    place = folder(tmp_path / "x", a=[1.0], b=[2.0])
    encoder = table(place)
    np.save(place / "a.npy", np.array([5.0], dtype=np.float32))
    with pytest.raises(ValueError, match=r"a\.npy changed while the folder was read"):
        encoder.lookup("a", STARTS_S, 1.0)


def test_openfaces_own_folder(tmp_path: Path) -> None:
    """A file per clip, blanks in the header, no ids: confidence bounds the mask and is no feature."""
    (tmp_path / "a.csv").write_text(
        f"{OPENFACE}1, 0, 0.4, 0.98, 1, 1\n2, 0, 0.5, 0.4, 1, 9\n3, 0, 1.6, 0.9, 1, 3\n"
    )
    (tmp_path / "b.csv").write_text(f"{OPENFACE}1, 0, 0.0, 0.0, 0, -nan(ind)\n")
    encoder = table(tmp_path)
    assert encoder.spec.column_names == ("AU01_r",)
    assert encoder.spec.parameters["left_out"] == ["frame", "face_id", "confidence", "success"]
    assert encoder.spec.parameters["failed_rows"] == 1 and encoder.spec.parameters["without_rows"] == 1
    assert first_column(encoder, "a") == [1.0, None, 3.0] and not encoder.lookup("b", STARTS_S, 1.0).present
    sure, all_of_them = table(tmp_path, confidence=0.95), table(tmp_path, confidence=0.0)
    assert first_column(sure, "a") == [1.0, None, None] and sure.spec.parameters["confidence"] == 0.95
    assert first_column(all_of_them, "a") == [9.0, 9.0, 3.0]


def test_opensmiles_package_names_files_and_spans(tmp_path: Path) -> None:
    path = tmp_path / "lld.csv"
    head, span = "file,start,end,F0\n", "clips/a.wav,0 days 00:00:{},0 days 00:00:{},{}\n"
    spans = [("00", "00.500000", 1), ("00.500000", "01.500000", 3)]
    path.write_text(head + "".join(span.format(*one) for one in spans))
    encoder = table(path)
    assert encoder.spec.column_names == ("F0",) and encoder.spec.has_windows
    assert first_column(encoder, "a") == [2.0, 3.0, 3.0]  # half of each; the second's own window; half of it
    path.write_text(head.replace(",", ";") + "a.wav;0 days;0 days 00:00:02;1\nb.wav;0 days;0 days 00:00:03.5;2\n")
    whole = table(path)  # functionals: one row per file, of the whole of it
    assert not whole.spec.has_windows and whole.lookup("b", STARTS_S, 1.0).utterance.tolist() == [2.0]
    path.write_text("id;start;end;x\na;1\n")
    with pytest.raises(ValueError, match=r"line 2 has 2 cells; the header has 4 \(separated by semicolons\)"):
        table(path)


def test_opensmiles_spans_in_parquet(tmp_path: Path) -> None:
    """As pandas writes the index of openSMILE's table."""
    pandas, path = pytest.importorskip("pandas"), tmp_path / "x.parquet"
    pytest.importorskip("pyarrow")
    spans = pandas.to_timedelta([0.0, 0.5], unit="s"), pandas.to_timedelta([0.5, 1.5], unit="s")
    pandas.DataFrame({"file": ["q/a.wav"] * 2, "start": spans[0], "end": spans[1], "F0": [1.0, 3.0]}).to_parquet(
        path, index=False
    )
    assert first_column(table(path), "a") == [2.0, 3.0, 3.0]


def test_start_and_end_that_are_numbers_stay_features(tmp_path: Path) -> None:
    path = tmp_path / "x.csv"
    path.write_text("id,start,end\na,1,2\n")
    assert table(path).spec.column_names == ("start", "end")


def test_columns_of_lists(tmp_path: Path) -> None:
    """As Hugging Face's datasets write embeddings; labels beside them are no features."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path = tmp_path / "x.parquet"
    rows = {"emotion": ["joy", "fear"], "id": ["a", "b"], "label": [0, 1], "emb": [[1.0, 2.0], [3.0, 4.0]]}
    parquet.write_table(arrow.table(rows), path)
    encoder = table(path)
    assert encoder.spec.column_names == ("emb_0", "emb_1") and encoder.spec.parameters["left_out"] == [
        "emotion", "label",
    ]  # fmt: skip
    assert encoder.lookup("b", STARTS_S, 1.0).utterance.tolist() == [3.0, 4.0]
    parquet.write_table(arrow.table({"file": ["q/a.wav"], "x": [[[float(t)] for t in range(6)]]}), path)
    with pytest.raises(ValueError, match="--rate HZ"):
        table(path)
    assert first_column(table(path, rate_hz=4.0), "a") == [1.5, 3.5, 4.5]
    parquet.write_table(arrow.table({"id": ["a", "b"], "x": [[1.0], None], "time_s": [0.25, 0.5]}), path)
    holed = table(path)
    assert holed.spec.parameters["failed_rows"] == 1 and first_column(holed, "a") == [1.0, None, None]


def test_frames_of_an_utterance_without_any(tmp_path: Path) -> None:
    """Empty cells are of no utterance, and widths are compared over them."""
    arrow, parquet = pytest.importorskip("pyarrow"), pytest.importorskip("pyarrow.parquet")
    path, frames = tmp_path / "x.parquet", [[float(t)] for t in range(6)]
    parquet.write_table(arrow.table({"id": ["a", "b", "c"], "x": [[], None, frames]}), path)
    encoder = table(path, rate_hz=4.0)
    assert first_column(encoder, "c") == [1.5, 3.5, 4.5]
    assert [encoder.lookup(name, STARTS_S, 1.0).present for name in "abc"] == [False, False, True]
    parquet.write_table(arrow.table({"id": ["a", "b", "c"], "x": [[[1.0]], [], [[1.0, 2.0]]]}), path)
    with pytest.raises(ValueError, match=r"row 2 .*column 'x': expected lists of 1 numbers"):
        table(path, rate_hz=4.0)


def test_overlap_weighs() -> None:
    spans_s = np.array([[0.0, 0.4], [0.4, 0.7], [0.9, 1.3]])
    rows, present, time_s = pooled(np.array([[1.0], [2.0], [4.0]], np.float32), spans_s, np.array([0.0, 2.0]), 1.0)
    assert rows[0, 0] == pytest.approx((0.4 * 1 + 0.3 * 2 + 0.1 * 4) / 0.8) and present.tolist() == [True, False]
    assert time_s[0] == pytest.approx((0.4 * 0.2 + 0.3 * 0.55 + 0.1 * 0.95) / 0.8) and np.isnan(time_s[1])


@pytest.mark.parametrize(
    ("name", "stem"),
    [
        ("a/b.wav", "b"),
        ("b.WAV", "b"),
        ("a\\b.mp4", "b"),
        ("dia0.utt1", "dia0.utt1"),
        ("b", "b"),
        ("x/a b.wav", "a_b"),
        ("_a.wav", "_a"),
    ],
)
def test_what_a_file_is_called(name: str, stem: str) -> None:
    assert stem_of(name) == stem


def test_files_with_blanks_in_their_names_are_of_the_ids_that_manifests_give_them(tmp_path: Path) -> None:
    from dualstream.pipeline.corpus.manifest import parse_manifest

    place = folder(tmp_path / "x")
    for name in ("a b", "_c", "d.e"):
        np.save(place / f"{name}.npy", np.ones(2))
    found = parse_manifest(b"file\nclips/a b.wav\nclips/_c.wav\nclips/d.e.mp4\n")
    encoder = table(place)
    assert all(encoder.lookup(one.id, STARTS_S, 1.0).present for one in found)
