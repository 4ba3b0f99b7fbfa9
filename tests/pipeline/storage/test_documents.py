"""Small files, whole or not at all."""

from __future__ import annotations

import json
import os

import numpy as np
import pytest
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.documents import (
    finite,
    read_json,
    replacing,
    unpack_safetensors,
    write_bytes,
    write_json,
)
from dualstream.pipeline.storage.folders import UnwrittenError
from safetensors.numpy import save


@pytest.mark.parametrize(
    ("value", "plain"),
    [
        (float("nan"), None),
        (float("inf"), None),
        (-0.5, -0.5),
        (np.float32(0.5), 0.5),
        (np.float64("-inf"), None),
        (np.int16(7), 7),
        (np.bool_(True), True),
        (np.array([[1.0, np.nan], [2.0, 3.0]]), [[1.0, None], [2.0, 3.0]]),
        ((1, "a", None), [1, "a", None]),
        ({3: np.nan, "b": {"c": (np.int64(1),)}}, {"3": None, "b": {"c": [1]}}),
        (True, True),
        ("nan", "nan"),
    ],
)
def test_numbers_become_plain_and_finite(value, plain):
    found = finite(value)
    assert found == plain and type(found) is type(plain)
    json.dumps(found, allow_nan=False)


def test_a_document_comes_back_and_can_be_read_by_a_person(tmp_path):
    place = tmp_path / "one.json"
    write_json(place, {"name": "Zürich", "scores": [0.1, float("nan")]})
    assert read_json(place) == {"name": "Zürich", "scores": [0.1, None]}
    expected = '{\n "name": "Zürich",\n "scores": [\n  0.1,\n  null\n ]\n}\n'
    assert place.read_bytes().decode("utf-8") == expected


def test_a_document_that_is_missing_or_torn(tmp_path):
    with pytest.raises(CorruptError, match=r"none\.json is missing"):
        read_json(tmp_path / "none.json")
    (tmp_path / "torn.json").write_text('{"a": 1,')
    with pytest.raises(CorruptError, match=r"torn\.json is not JSON"):
        read_json(tmp_path / "torn.json")
    (tmp_path / "latin.json").write_bytes('"Zürich"'.encode("latin-1"))
    with pytest.raises(CorruptError, match=r"latin\.json is not JSON"):
        read_json(tmp_path / "latin.json")


def test_a_block_that_fails_leaves_the_old_file_and_nothing_else(tmp_path):
    place = tmp_path / "a.bin"
    write_bytes(place, b"old")

    def torn():
        with replacing(place) as temporary:
            temporary.write_bytes(b"ne")
            raise RuntimeError("half way")

    with pytest.raises(RuntimeError, match="half way"):
        torn()
    assert place.read_bytes() == b"old" and os.listdir(tmp_path) == ["a.bin"]


def test_a_reader_sees_the_old_file_until_the_new_one_is_whole(tmp_path):
    place = tmp_path / "a.bin"
    write_bytes(place, b"old")
    with replacing(place) as temporary:
        temporary.write_bytes(b"new")
        assert place.read_bytes() == b"old" and temporary.parent == tmp_path
    assert place.read_bytes() == b"new" and os.listdir(tmp_path) == ["a.bin"]


def test_a_disk_that_refuses_is_an_error_that_names_the_file(tmp_path):
    with pytest.raises(UnwrittenError, match=r"a\.bin"):
        write_bytes(tmp_path / "no" / "such" / "a.bin", b"x")
    (tmp_path / "folder").mkdir()
    with pytest.raises(UnwrittenError, match="folder"):
        write_bytes(tmp_path / "folder", b"x")
    assert os.listdir(tmp_path) == ["folder"]


def test_arrays_and_metadata_of_a_safetensors_image():
    rows = np.arange(6, dtype=np.float32).reshape(2, 3)
    arrays, metadata = unpack_safetensors(save({"rows": rows}, metadata={"made": "by hand"}))
    np.testing.assert_array_equal(arrays["rows"], rows)
    assert metadata == {"made": "by hand"} and arrays["rows"].flags.writeable
    assert unpack_safetensors(save({"rows": rows}))[1] == {}
    with pytest.raises(Exception, match="header"):
        unpack_safetensors(b"no safetensors at all")
