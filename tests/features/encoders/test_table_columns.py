"""Headers as tools write them, and what each column is taken for."""

from __future__ import annotations

import pytest
from dualstream.features.encoders.table_columns import bare, sort_columns

OPENFACE = [
    "id", "frame", " face_id", " timestamp", " confidence", " success", " gaze_0_x", " pose_Tx", " AU01_r", " AU45_c",
]  # fmt: skip


@pytest.mark.parametrize(
    ("cell", "text"),
    [(" a ", "a"), ("'a'", "a"), ("' a '", "a"), ("'", "'"), ("''", ""), ("a'b", "a'b"), ("", "")],
)
def test_a_bare_name(cell, text):
    assert bare(cell) == text


def test_openface():
    found = sort_columns(OPENFACE, has_id=True)
    assert found.id_at == 0 and found.read == (3, 6, 7, 8, 9)
    assert found.names == ("time_s", "gaze_0_x", "pose_Tx", "AU01_r", "AU45_c") and found.tool_time == "timestamp"
    assert found.left_out == ("frame", "face_id", "confidence", "success") and found.success_at == 5


def test_opensmile():
    found = sort_columns(["name", "frameIndex", "frameTime", "pcm_RMSenergy_sma", "F0_sma"], has_id=True)
    assert found.id_at == 0 and found.names == ("time_s", "pcm_RMSenergy_sma", "F0_sma")
    assert found.left_out == ("frameIndex",) and found.tool_time == "frameTime" and found.success_at is None


def test_a_table_s_own_times_go_before_a_tool_s():
    found = sort_columns(["id", "timestamp", "start_s", "end_s", "x"], has_id=True)
    assert found.names == ("start_s", "end_s", "x") and found.left_out == ("timestamp",) and found.tool_time == ""


@pytest.mark.parametrize("header", [["x", "id", "y"], ["x", "ID", "y"], ["x", " Id ", "y"], ["x", "'id'", "y"]])
def test_an_id_may_be_anywhere(header):
    found = sort_columns(header, has_id=True)
    assert found.id_at == 1 and found.names == ("x", "y") and found.read == (0, 2)


def test_the_first_column_holds_ids_where_none_is_called_so():
    assert sort_columns(["clip", "x"], has_id=True).id_at == 0
    for first in ("frame", "timestamp", "time_s", "confidence"):
        with pytest.raises(ValueError, match=f"the first one, '{first}', holds no ids"):
            sort_columns([first, "x"], has_id=True)


def test_ids_that_stand_elsewhere():
    found = sort_columns(["x", "y"], has_id=False)
    assert found.id_at is None and found.names == ("x", "y") and found.read == (0, 1)


def test_a_feature_may_be_called_confidence_where_no_openface_is():
    assert sort_columns(["id", "confidence", "x"], has_id=True).names == ("confidence", "x")
    assert sort_columns(["id", "confidence", "AU01_r"], has_id=True).left_out == ("confidence",)


def test_case_matters_in_features_alone():
    found = sort_columns(["id", "Frame", "f0", "F0"], has_id=True)
    assert found.names == ("f0", "F0") and found.left_out == ("Frame",)


@pytest.mark.parametrize("header", [["id", "x", "x"], ["id", "x", " x"], ["id", "", "x"], ["id", "' '", "x"]])
def test_names_that_are_blank_or_appear_twice(header):
    with pytest.raises(ValueError, match="is blank or appears twice"):
        sort_columns(header, has_id=True)
