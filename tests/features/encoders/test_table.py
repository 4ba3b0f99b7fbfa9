from __future__ import annotations

import hashlib
import os
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.encoder import EncoderOptions, build
from dualstream.features.encoders.table import FeatureTable, build_audio_table, build_video_table
from numpy.typing import NDArray

pa = pytest.importorskip("pyarrow")
import pyarrow.parquet as pq  # noqa: E402

PLAIN = EncoderOptions()
STARTS_S = np.array([0.0, 0.5, 1.0])  # windows [0, 1) [0.5, 1.5) [1, 2)
Columns = dict[str, Any]


def write_csv(path: Path, columns: Columns) -> Path:
    rows = zip(*columns.values(), strict=True)
    path.write_text("\n".join([",".join(columns), *(",".join(map(str, row)) for row in rows)]) + "\n")
    return path


def write_parquet(path: Path, columns: Columns) -> Path:
    pq.write_table(pa.table(columns), path)
    return path


def write_npz(path: Path, columns: Columns) -> Path:
    apart = ("id", "time_s", "start_s", "end_s")
    features = {name: values for name, values in columns.items() if name not in apart}
    arrays = {name: np.array(values) for name, values in columns.items() if name in apart}
    matrix = np.array(list(features.values()), dtype=np.float64).T
    np.savez(path, features=matrix, columns=np.array(list(features)), **arrays)  # type: ignore[arg-type]
    return path


WRITERS = {"csv": write_csv, "parquet": write_parquet, "npz": write_npz}
Writer = Callable[[Columns], FeatureTable]


@pytest.fixture(params=sorted(WRITERS))
def table(request: pytest.FixtureRequest, tmp_path: Path) -> Writer:
    """Write the columns in each of the formats, and read them as the video stream."""

    def write_and_read(columns: Columns) -> FeatureTable:
        path = WRITERS[request.param](tmp_path / f"t.{request.param}", columns)
        return build_video_table(str(path), PLAIN)

    return write_and_read


def window_rows(encoder: FeatureTable, utterance_id: str) -> list[float | None]:
    """First column by window, None where masked; checks that masked rows are zeros without a time."""
    found = encoder.lookup(utterance_id, STARTS_S, 1.0)
    assert not found.windows[~found.window_present].any()
    assert np.array_equal(np.isnan(found.time_s), ~found.window_present)
    return [
        float(row[0]) if there else None for row, there in zip(found.windows, found.window_present, strict=True)
    ]


def test_one_row_an_utterance(table: Writer) -> None:
    encoder = table({"id": ["b", "a"], "x": [1.5, 2.5], "y": [-3.0, 4.0]})
    found = encoder.lookup("a", STARTS_S, 1.0)
    assert found.present and found.utterance.tolist() == [2.5, 4.0] and found.utterance.dtype == np.float32
    assert found.windows.shape == (0, 2) and found.window_present.shape == found.time_s.shape == (0,)
    spec = encoder.spec
    assert not spec.has_windows and spec.raw_width == spec.width == 2 and spec.column_names == ("x", "y")
    assert spec.name.startswith("table:t.") and spec.weights is None
    digest = hashlib.sha256(encoder._table.path.read_bytes()).hexdigest()
    assert spec.parameters == {"sha256": digest, "rows": 2, "time": None}


def test_an_utterance_without_rows_is_masked(table: Writer) -> None:
    for times in ({}, {"time_s": [0.5]}):
        found = table({"id": ["a"], "x": [1.0], **times}).lookup("other", STARTS_S, 1.0)
        count = 3 if times else 0
        assert not found.present and found.utterance.tolist() == [0]
        assert (
            found.windows.shape == (count, 1) and not found.window_present.any() and np.isnan(found.time_s).all()
        )


def test_windows_take_the_nearest_row_inside(table: Writer) -> None:
    encoder = table(
        {
            "id": ["a", "a", "a", "b", "b", "c"],
            "time_s": [1.2, 0.1, 0.6, 0.3, 0.7, 1.0],  # not in order
            "x": [3.0, 1.0, 2.0, 10.0, 20.0, 30.0],
        }
    )
    assert encoder.spec.has_windows and encoder.spec.parameters["time"] == "time_s"
    # Centres are 0.5, 1.0 and 1.5 s.
    assert window_rows(encoder, "a") == [2.0, 3.0, 3.0]
    assert window_rows(encoder, "b") == [10.0, 20.0, None]  # 0.3 and 0.7 are equally near to 0.5: the earlier
    assert window_rows(encoder, "c") == [None, 30.0, 30.0]  # 1.0 is in [1, 2), not in [0, 1)
    found = encoder.lookup("a", STARTS_S, 1.0)
    np.testing.assert_array_equal(found.time_s, [0.6, 1.2, 1.2])
    assert found.utterance.tolist() == [2.0]  # the mean of its rows


def test_start_s_is_the_start_of_a_window(table: Writer) -> None:
    encoder = table({"id": ["a", "a", "a"], "start_s": [0.0, 0.5, 1.0], "x": [1.0, 2.0, 3.0]})
    assert window_rows(encoder, "a") == [1.0, 2.0, 3.0]
    np.testing.assert_array_equal(encoder.lookup("a", STARTS_S, 1.0).time_s, [0.5, 1.0, 1.5])


def test_start_s_to_end_s_stands_for_its_middle(table: Writer) -> None:
    encoder = table({"id": ["a", "a"], "start_s": [0.0, 0.5], "end_s": [0.2, 2.1], "x": [1.0, 2.0]})
    assert window_rows(encoder, "a") == [1.0, 2.0, 2.0]
    np.testing.assert_allclose(encoder.lookup("a", STARTS_S, 1.0).time_s, [0.1, 1.3, 1.3])


def test_unknown_ids_say_where_they_stand(table: Writer) -> None:
    encoder = table({"id": ["a", "z", "b", "y"], "x": [1.0, 2.0, 3.0, 4.0]})
    found = encoder.unknown_ids(["b", "a", "c"])
    assert [one.id for one in found] == ["z", "y"]
    lines = [one.where for one in found]
    assert lines in (["line 3", "line 5"], ["row 1 (from 0)", "row 3 (from 0)"])
    assert encoder.unknown_ids(iter("azby")) == []


def test_two_rows_of_one_utterance_fail(table: Writer) -> None:
    with pytest.raises(
        ValueError, match=r"more than one row for 1 utterances: a \((line 2|row 0 \S+ 0\)) and (line 4|row 2)"
    ):
        table({"id": ["a", "b", "a"], "x": [1.0, 2.0, 3.0]})
    with pytest.raises(ValueError, match=r"at one time: a \((line 3|row 1 \S+ 0\)) and (line 4|row 2)"):
        table({"id": ["a", "a", "a", "b"], "time_s": [0.5, 1.0, 1.0, 1.0], "x": [1.0, 2.0, 3.0, 4.0]})


@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf"), 1e39])
def test_numbers_that_are_not_finite_fail(table: Writer, value: float) -> None:
    with pytest.raises(
        ValueError,
        match=rf"(line 3|row 1 \(from 0\)), column 'y': found {re.escape(str(value))}, expected a finite",
    ):
        table({"id": ["a", "b"], "x": [1.0, 2.0], "y": [1.0, value]})


@pytest.mark.parametrize("column", ["emotion", "Label", "speaker", "split"])
def test_columns_that_tell_the_answer_fail(table: Writer, column: str) -> None:
    with pytest.raises(ValueError, match=rf"column '{column}' would be taken for a feature"):
        table({"id": ["a"], "x": [1.0], column: [3.0]})


@pytest.mark.parametrize("times", [("end_s",), ("time_s", "start_s"), ("time_s", "end_s")])
def test_times_given_in_two_ways_fail(table: Writer, times: tuple[str, ...]) -> None:
    with pytest.raises(ValueError, match=r"expected time_s alone, start_s alone, or start_s and end_s"):
        table({"id": ["a"], "x": [1.0], **{name: [0.5] for name in times}})


def test_spans_that_end_before_they_start_fail(table: Writer) -> None:
    with pytest.raises(ValueError, match=r"(line 3|row 1 \S+ 0\)), column 'end_s': 0.5 lies before start_s, 1.0"):
        table({"id": ["a", "b"], "start_s": [0.0, 1.0], "end_s": [0.5, 0.5], "x": [1.0, 2.0]})


def test_an_empty_id_fails(table: Writer) -> None:
    with pytest.raises(ValueError, match=r"(line 3|row 1 \(from 0\)): the id is empty"):
        table({"id": ["a", ""], "x": [1.0, 2.0]})


def test_a_table_without_rows_or_features_fails(table: Writer) -> None:
    with pytest.raises(ValueError, match=r"has no rows|holds null"):
        table({"id": np.array([], str), "x": []})
    with pytest.raises(ValueError, match=r"no feature columns|float64 of shape \(0,\)"):
        table({"id": ["a"], "time_s": [1.0]})


def csv_of(tmp_path: Path, text: str | bytes) -> FeatureTable:
    path = tmp_path / "t.csv"
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return build_audio_table(str(path), PLAIN)


@pytest.mark.parametrize(
    "text",
    [
        "id,x\na,1\nb,2\n",
        "\ufeffid,x\r\na,1\r\n\r\nb,2",
        "clip,x\na,1\nb,2\n",  # no column id: the first one
        "x,id\n1,a\n2, b \n",
        '"id","x"\n"a","1"\n"b","2.0"\n',
        "id;x\na;1\nb;2\n",
        "\ufeffid\tx\r\na\t1\r\nb\t2\r\n",
        "id, x\na, 1\nb, 2\n",
        ' "id", "x"\n "a", "1"\n "b", 2 \n',
        "'id'; 'x'\n'a'; 1\n'b'; 2\n",
        "id,x\ra,1\rb,2\r",
        "id;success;x\na;True;1\nb;True;2\nb;False;9\n",
        "x, ID \n1,a\n2,b\n",
    ],
)
def test_csv_dialects(tmp_path: Path, text: str) -> None:
    encoder = csv_of(tmp_path, text)
    assert encoder.spec.stream == "audio" and encoder.spec.column_names == ("x",)
    assert encoder.lookup("b", STARTS_S, 1.0).utterance.tolist() == [2.0]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("id,x\na,1\n\nb,oops\n", r"line 4, column 'x': found 'oops', expected a number"),
        ("id,x,y\na,1,\n", r"line 2, column 'y': the cell is empty"),
        ("id,x\na,1_0\n", r"line 2, column 'x': found '1_0'"),
        ("id,x\na,1,2\n", r"line 2 has 3 cells; the header has 2"),
        ("id,x,x\na,1,2\n", r"column name 'x' is blank or appears twice"),
        ("id,x,\na,1,2\n", r"column name '' is blank"),
        ("id;x\na;1,5\n", r"line 2, column 'x': found '1,5' \(a decimal comma; write a point\), expected"),
        ("id x\na 1\n", r"separated by commas, semicolons or tabs"),
        ("id, x,x \na,1,2\n", r"column name 'x' is blank or appears twice"),
        ("@relation openSMILE\n@attribute name string\n", r"is ARFF; expected CSV: .* -csvoutput"),
        ("", r"separated by commas"),
        ("id,x\n", r"no rows"),
        ('id,x\na,"1\n', r"line 2: unexpected end"),
        ("id,x\na\udcff,1\n".encode("utf-8", "surrogateescape"), r"not UTF-8"),
    ],
)
def test_broken_csv_fails(tmp_path: Path, text: str | bytes, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        csv_of(tmp_path, text)


# Tables as OpenFace and openSMILE write them

OPENFACE = {
    "1.x": "frame, timestamp, confidence, success, AU01_r, AU12_r",
    "2.0": "frame, face_id, timestamp, confidence, success, AU01_r, AU12_r",
    "2.2": "frame,face_id,timestamp,confidence,success,AU01_r,AU12_r",
}


def openface(header: str, *rows: tuple[str, int, float, int, float]) -> str:
    """Return rows of (id, frame, seconds, success, AU01) under OpenFace's header, with the ids in front."""
    lines = [f"id, {header}"]
    for name, frame, time_s, success, value in rows:
        face = ["0"] if "face_id" in header else []
        lines.append(", ".join([name, str(frame), *face, str(time_s), "0.98", str(success), str(value), "0.5"]))
    return "\n".join(lines)


@pytest.mark.parametrize("header", OPENFACE.values(), ids=list(OPENFACE))
def test_openface_rows_of_a_film_have_times_and_only_measurements(tmp_path: Path, header: str) -> None:
    rows = [("a", 1, 0.1, 1, 1.0), ("a", 2, 0.6, 1, 2.0), ("a", 3, 1.2, 1, 3.0), ("b", 1, 0.0, 1, 7.0)]
    encoder = csv_of(tmp_path, openface(header, *rows))
    assert encoder.spec.column_names == ("AU01_r", "AU12_r")
    assert encoder.spec.parameters["time"] == "time_s" and encoder.spec.has_windows
    assert {"frame", "confidence", "success"} <= set(encoder.spec.parameters["left_out"])
    assert window_rows(encoder, "a") == [2.0, 3.0, 3.0]
    assert "failed_rows" not in encoder.spec.parameters


def test_rows_in_which_openface_found_no_face_are_masked(tmp_path: Path) -> None:
    rows = [("a", 1, 0.1, 1, 1.0), ("a", 2, 0.6, 0, 9.0), ("a", 3, 1.2, 1, 3.0), ("b", 1, 0.0, 0, 0.0)]
    text = openface(OPENFACE["2.2"], *rows).replace("0.6, 0.98, 0, 9.0", "0.6, 0, 0, -nan(ind)")
    encoder = csv_of(tmp_path, text)
    assert encoder.spec.parameters["failed_rows"] == 2 and encoder.spec.parameters["rows"] == 2
    assert encoder.lookup("a", STARTS_S, 1.0).utterance.tolist() == [2.0, 0.5]  # the mean of the two that hold
    assert not encoder.lookup("b", STARTS_S, 1.0).present
    with pytest.raises(ValueError, match=r"line 3, column 'AU01_r': found '-nan\(ind\)'"):
        csv_of(tmp_path, text.replace("0.6, 0, 0,", "0.6, 0, 1,"))
    with pytest.raises(ValueError, match=r"has no rows: success is 0 in all 1"):
        csv_of(tmp_path, openface(OPENFACE["1.x"], rows[3]))


def test_a_tools_time_of_one_row_an_utterance_is_no_feature_and_makes_no_windows(tmp_path: Path) -> None:
    for text in ("id, timestamp, x\na, 1.5, 1\nb, 2.5, 2\n", "name;frameTime;x\n'a';0.0;1\n'b';0.0;2\n"):
        encoder = csv_of(tmp_path, text)
        assert encoder.spec.column_names == ("x",) and not encoder.spec.has_windows
        assert encoder.lookup("b", STARTS_S, 1.0).utterance.tolist() == [2.0]


def test_opensmile_frames_have_times(tmp_path: Path) -> None:
    text = "name;frameIndex;frameTime;energy[0]\n'a';0;0.1;1\n'a';1;0.6;2\n'a';2;1.2;3\n"
    encoder = csv_of(tmp_path, text)
    assert encoder.spec.column_names == ("energy[0]",) and window_rows(encoder, "a") == [2.0, 3.0, 3.0]


def test_a_time_of_ones_own_goes_before_a_tools(tmp_path: Path) -> None:
    encoder = csv_of(tmp_path, "id,timestamp,time_s,x\na,1700000000,0.5,1\na,1700000001,1.5,2\n")
    assert encoder.spec.column_names == ("x",) and window_rows(encoder, "a") == [1.0, 1.0, 2.0]
    with pytest.raises(ValueError, match=r"column 'timestamp' runs from 1.7e\+09 .* in seconds"):
        csv_of(tmp_path, "id,timestamp,x\na,1700000000,1\na,1700000001,2\n")


def test_openface_without_ids_or_with_two_faces_says_what_to_do(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"no column id, and the first one, 'frame', .* put a column id"):
        csv_of(tmp_path, f"{OPENFACE['2.0']}\n1, 0, 0.0, 1, 1, 2, 3\n")
    faces = "id,face_id,timestamp,success,AU01_r\na,0,0.1,1,2\na,1,0.1,1,3\na,0,0.2,1,2\n"
    with pytest.raises(ValueError, match=r"at one time: a \(line 2 and line 3\); .*keep one face_id"):
        csv_of(tmp_path, faces)


def test_confidence_is_a_feature_where_no_tool_wrote_it(tmp_path: Path) -> None:
    assert csv_of(tmp_path, "id,confidence,x\na,0.5,1\n").spec.column_names == ("confidence", "x")
    assert csv_of(tmp_path, "id,confidence,AU01_r\na,0.5,1\n").spec.column_names == ("AU01_r",)


def test_other_formats_tell_features_from_bookkeeping_too(tmp_path: Path) -> None:
    names = np.array([" frame", " timestamp", " success", " AU01_r"])
    rows = np.array([[1, 0.1, 1, 1.0], [2, 0.6, 0, np.nan], [3, 1.2, 1, 3.0]])
    npz = npz_of(tmp_path, id=np.array(["a"] * 3), features=rows, columns=names)
    columns = {" id": ["a"] * 3, **{str(name): rows[:, i].tolist() for i, name in enumerate(names)}}
    columns[" AU01_r"][1] = None
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    for encoder in (npz, build_video_table(str(tmp_path / "t.parquet"), PLAIN)):
        assert encoder.spec.column_names == ("AU01_r",) and encoder.spec.parameters["failed_rows"] == 1
        assert window_rows(encoder, "a") == [1.0, 3.0, 3.0]


def npz_of(tmp_path: Path, **arrays: NDArray[np.generic]) -> FeatureTable:
    np.savez(tmp_path / "t.npz", **arrays)  # type: ignore[arg-type]
    return build_video_table(str(tmp_path / "t.npz"), PLAIN)


def test_npz_without_names_and_with_byte_ids(tmp_path: Path) -> None:
    encoder = npz_of(tmp_path, id=np.array([b"a", b"b"]), features=np.eye(2, 3, dtype=np.float16))
    assert encoder.spec.column_names == ("f0", "f1", "f2")
    assert encoder.lookup("b", STARTS_S, 1.0).utterance.tolist() == [0, 1, 0]


@pytest.mark.parametrize(
    ("arrays", "message"),
    [
        ({"id": np.array(["a"], dtype=object), "features": np.ones((1, 2))}, "object arrays are pickles"),
        ({"id": np.array(["a"]), "features": np.array([[object()]])}, "object arrays are pickles"),
        ({"id": np.array(["a"])}, "holds the arrays id; expected id and features"),
        (
            {"id": np.array(["a"]), "features": np.ones((1, 2)), "y": np.ones(1)},
            "holds the arrays features, id, y",
        ),
        ({"id": np.array(["a"]), "features": np.ones(2)}, r"float64 of shape \(2,\)"),
        ({"id": np.array(["a"]), "features": np.ones((1, 2), dtype=complex)}, "complex128"),
        ({"id": np.array(["a", "b"]), "features": np.ones((1, 2))}, r"expected text of shape \(1,\)"),
        ({"id": np.array([1]), "features": np.ones((1, 2))}, "id is int64"),
        ({"id": np.array(["a"]), "features": np.ones((1, 2)), "columns": np.array(["x"])}, "1 names in columns"),
        (
            {"id": np.array(["a"]), "features": np.ones((1, 2)), "time_s": np.ones(2)},
            r"time_s is float64 of shape \(2,\)",
        ),
    ],
)
def test_broken_npz_fails(tmp_path: Path, arrays: dict[str, NDArray[np.generic]], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        npz_of(tmp_path, **arrays)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ({"id": ["a", "b"], "x": [1.0, None]}, r"row 1 \(from 0\), column 'x': the cell is empty \(1 such"),
        ({"id": ["a"], "x": ["1"]}, r"column 'x' holds string; expected numbers"),
        ({"id": ["a", "b"], "x": [[1.0, 2.0], [1.0]]}, r"row 1 .*column 'x': expected lists of 2 numbers"),
        ({"id": [7], "x": [1.0]}, r"column 'id': ids are int64; expected text"),
        ({"id": ["a", None], "x": [1.0, 2.0]}, r"row 1 \(from 0\): the id is empty"),
    ],
)
def test_broken_parquet_fails(tmp_path: Path, columns: dict[str, list[object]], message: str) -> None:
    pq.write_table(pa.table(columns), tmp_path / "t.parquet")
    with pytest.raises(ValueError, match=message):
        build_video_table(str(tmp_path / "t.parquet"), PLAIN)


@pytest.mark.parametrize("name", ["t.npz", "t.parquet"])
def test_files_of_another_kind_fail(tmp_path: Path, name: str) -> None:
    for content in (b"", b"id,x\na,1\n", b"PK\x03\x04 and then nothing", b"PAR1PAR1"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ValueError, match=r"can't be read as"):
            build_video_table(str(tmp_path / name), PLAIN)


def test_what_is_no_table_fails(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"expected table:FILE"):
        build_video_table("", PLAIN)
    with pytest.raises(ValueError, match=r"expected .csv, .npz or .parquet"):
        build_video_table(str(tmp_path / "t.pkl"), PLAIN)
    with pytest.raises(FileNotFoundError, match=r"does not exist"):
        build_video_table(str(tmp_path / "t.csv"), PLAIN)
    path = write_csv(tmp_path / "t.csv", {"id": ["a"], "x": [1.0]})
    with pytest.raises(ValueError, match=r"encoder table has no weights to choose; found 'random:0'"):
        build("audio", f"table:{path}", EncoderOptions(weights="random:0"))


@pytest.mark.realdata
@pytest.mark.skipif("DUALSTREAM_DATA" not in os.environ, reason="DUALSTREAM_DATA is not set")
def test_the_action_units_of_ravdess() -> None:
    encoder = build_video_table(str(Path(os.environ["DUALSTREAM_DATA"], "ravdess", "action_units.csv")), PLAIN)
    assert encoder.spec.width == 35 and encoder.spec.parameters["rows"] == 960
    found = encoder.lookup("01-01-01-01-01-01-01", STARTS_S, 1.0)
    assert found.utterance[2] == np.float32(0.93051)
