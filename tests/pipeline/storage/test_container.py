"""Arrays to an HDF5 image and back; what stands in no schema is refused, whatever it is."""

from __future__ import annotations

import io

import h5py
import numpy as np
import pytest
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.container import require_holds, unpack
from dualstream.pipeline.storage.packing import CHUNK_BYTES, SMALLEST_CHUNK_BYTES, pack
from dualstream.pipeline.storage.schema import TEXT, Field, Schema
from dualstream.pipeline.storage.sealed import HEADER_BYTES

SCHEMA = Schema(
    kind="toy",
    version=2,
    fields={
        "title": Field(TEXT, 0),
        "names": Field(TEXT, 1),
        "rows": Field("<f4", 2),
        "flags": Field("bool", 1, required=False),
        "streams/*/codes": Field("<i2", 1),
    },
)


def values(**changes):
    rng = np.random.default_rng(0)
    made = {
        "title": "Zürich 日本",
        "names": ["a", "", "ö" * 40],
        "rows": rng.normal(size=(3, 4)).astype(np.float32),
        "flags": np.array([True, False, True]),
        "streams/video/codes": np.array([-1, 0, 32767], np.int16),
    }
    return {key: value for key, value in (made | changes).items() if value is not None}


def image_of(made) -> np.ndarray:
    return np.frombuffer(bytes(made), np.uint8)


def edited(change) -> np.ndarray:
    """Return a good image with something done to it by another writer of HDF5."""
    buffer = io.BytesIO(bytes(pack(SCHEMA, values())))
    with h5py.File(buffer, "r+") as file:
        change(file)
    return image_of(buffer.getvalue())


def test_what_goes_in_comes_out():
    found = unpack(SCHEMA, image_of(pack(SCHEMA, values())), "x")
    assert found.keys() == values().keys()
    for key, value in values().items():
        if isinstance(value, np.ndarray):
            np.testing.assert_array_equal(found[key], value)
            assert found[key].dtype == value.dtype
        else:
            assert found[key] == value


def test_the_same_values_give_the_same_bytes_and_room_for_a_header():
    one, other = pack(SCHEMA, values()), pack(SCHEMA, values())
    assert one == other and not any(one[:HEADER_BYTES])
    assert one[HEADER_BYTES : HEADER_BYTES + 4] == b"\x89HDF"


@pytest.mark.parametrize("rows", [0, 1, SMALLEST_CHUNK_BYTES // 16 + 1, 3 * CHUNK_BYTES // 16])
def test_arrays_of_any_length(rows):
    large = np.random.default_rng(1).normal(size=(rows, 4)).astype(np.float32)
    found = unpack(SCHEMA, image_of(pack(SCHEMA, values(rows=large))), "x")
    np.testing.assert_array_equal(found["rows"], large)


def test_large_arrays_have_checksums():
    large = np.zeros((2000, 4), np.float32)
    with h5py.File(io.BytesIO(bytes(pack(SCHEMA, values(rows=large)))), "r") as file:
        assert file["rows"].fletcher32 and file["rows"].chunks == (2000, 4)
        assert not file["names"].fletcher32


def test_no_texts_at_all():
    assert unpack(SCHEMA, image_of(pack(SCHEMA, values(names=[]))), "x")["names"] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"rows": np.zeros((3, 4))}, "rows has type float64; expected float32"),
        ({"rows": np.zeros(3, np.float32)}, r"rows has shape \(3,\); expected 2 axes"),
        ({"names": ["a\0b"]}, "names holds a zero byte"),
        ({"other": np.zeros(3)}, "other is not part of a toy"),
        ({"rows": None}, "/rows is missing"),
        ({"title": ["a"]}, "title has shape"),
    ],
)
def test_a_fault_of_the_caller(changes, said):
    with pytest.raises(ValueError, match=said):
        pack(SCHEMA, values(**changes))


def _soft(file):
    file["names2"] = h5py.SoftLink("/names")


def _external(file):
    file["streams/other"] = h5py.ExternalLink("elsewhere.h5", "/x")


def _replaced(name, **how):
    def change(file):
        del file[name]
        file.create_dataset(name, **how)

    return change


def _attribute(file):
    file["rows"].attrs["unit"] = "m"


def _root_attribute(file):
    file.attrs["author"] = "me"


def _version(number):
    def change(file):
        file.attrs.modify("version", np.int32(number))

    return change


def _format(file):
    file.attrs.modify("format", np.bytes_(b"dualstream-other"))


def _group(file):
    file.create_group("streams/audio/deeper")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (_soft, "names2 is a link"),
        (_external, "other is a link"),
        (_replaced("rows", data=np.zeros((3, 4))), "rows"),
        (_replaced("rows", data=np.zeros(3, np.float32)), "rows"),
        (_replaced("rows", data=np.zeros((3, 4), np.float32), compression="lzf", chunks=(3, 4)), "filters"),
        (_replaced("title", data="text of any length", dtype=h5py.string_dtype()), "title"),
        (_attribute, "rows has attributes; only the root has any"),
        (_root_attribute, "attributes beside format and version"),
        (_version(3), "version 3; this dualstream reads 1 to 2"),
        (_version(0), "version 0"),
        (_format, "of format 'dualstream-other'; expected 'dualstream-toy'"),
        (_group, "deeper"),
        (lambda file: file.move("names", "names3"), "names3 is not part of a toy"),
        (lambda file: file.__delitem__("rows"), "/rows is missing"),
    ],
)
def test_what_others_did_to_a_file_is_refused_by_name(change, said):
    with pytest.raises(CorruptError, match=said):
        unpack(SCHEMA, edited(change), "toy.h5")


def test_an_older_version_is_read():
    assert unpack(SCHEMA, edited(_version(1)), "x").keys() == values().keys()


def test_shuffled_and_deflated_arrays_are_read():
    rows = np.arange(4000, dtype=np.float32).reshape(1000, 4)
    change = _replaced("rows", data=rows, chunks=(500, 4), shuffle=True, compression="gzip", fletcher32=True)
    np.testing.assert_array_equal(unpack(SCHEMA, edited(change), "x")["rows"], rows)


@pytest.mark.parametrize("image", [b"", b"no HDF5 at all" * 100, bytes(2048)])
def test_what_is_no_hdf5(image):
    with pytest.raises(CorruptError, match=r"x\.h5 is not a dualstream toy"):
        unpack(SCHEMA, image_of(image), "x.h5")


def test_a_bomb_is_refused_before_it_is_read():
    """A terabyte that is declared in a kilobyte."""

    def change(file):
        del file["rows"]
        file.create_dataset("rows", shape=(1 << 28, 1 << 10), dtype="<f4", chunks=(1024, 1024), compression="gzip")

    with pytest.raises(CorruptError, match="expected at most"):
        unpack(SCHEMA, edited(change), "x")


def test_an_image_holds_the_values_that_it_was_made_of():
    many = np.random.default_rng(1).normal(size=(CHUNK_BYTES // 8, 4)).astype(np.float32)
    many[5, 1] = np.nan
    made = values(rows=many)
    require_holds(SCHEMA, image_of(pack(SCHEMA, made)), made, "toy.h5")


@pytest.mark.parametrize(
    "changes",
    [
        {"title": "Zürich"},
        {"names": ["a", "b", "ö" * 40]},
        {"flags": np.array([True, True, True])},
        {"flags": None},
        {"rows": np.zeros((3, 4), np.float32)},
        {"streams/video/codes": np.array([-1, 0], np.int16)},
        {"streams/audio/codes": np.array([0], np.int16)},
    ],
)
def test_an_image_of_other_values_fails(changes):
    with pytest.raises(CorruptError, match=f"/{next(iter(changes))} as just written does not hold the values"):
        require_holds(SCHEMA, image_of(pack(SCHEMA, values())), values(**changes), "toy.h5")
