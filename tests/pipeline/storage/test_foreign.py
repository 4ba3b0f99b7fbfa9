"""Arrays out of HDF5 files of others: plain ones are read, and nothing is followed."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.foreign import number_arrays


@pytest.fixture
def place(tmp_path):
    """A file laid out as CMU-MOSI's are: a group at the top, one group per video, arrays in it."""
    path = tmp_path / "other.csd"
    with h5py.File(path, "w") as file:
        data = file.create_group("OpenFace/data")
        for name in ("b", "a"):
            data[f"{name}/features"] = np.arange(6, dtype="f4").reshape(2, 3) + ord(name)
            data[f"{name}/intervals"] = np.array([[0, 1], [1, 2]], "i8")
        data["note"] = "a text is passed over"
        file["OpenFace/metadata/version"] = 3
    return path


def test_arrays_come_by_path_as_float64(place):
    found = dict(number_arrays(place, "OpenFace/data"))
    assert list(found) == ["a/features", "a/intervals", "b/features", "b/intervals"]
    assert {one.dtype for one in found.values()} == {np.dtype(np.float64)}
    assert found["a/features"].tolist() == [[97, 98, 99], [100, 101, 102]]


def test_a_star_stands_for_the_only_group_at_the_top(place):
    assert dict(number_arrays(place, "*/data")).keys() == dict(number_arrays(place, "OpenFace/data")).keys()
    with h5py.File(place, "a") as file:
        file.create_group("another")
    with pytest.raises(CorruptError, match="found OpenFace, another; expected a group"):
        list(number_arrays(place, "*/data"))


@pytest.mark.parametrize("group", ["none", "OpenFace/none", "OpenFace/data/a/features/deeper"])
def test_a_group_that_is_not_there(place, group):
    with pytest.raises(CorruptError, match="expected a group"):
        list(number_arrays(place, group))


def test_what_is_no_hdf5(tmp_path):
    (tmp_path / "x.csd").write_bytes(b"nothing of the kind")
    with pytest.raises(CorruptError, match=r"x\.csd can't be read as HDF5"):
        list(number_arrays(tmp_path / "x.csd", "*"))


def add(place, change):
    with h5py.File(place, "a") as file:
        change(file["OpenFace/data"], place.parent)


def soft(data, folder):
    data["c"] = h5py.SoftLink("/OpenFace/data/a")


def external(data, folder):
    with h5py.File(folder / "secret.h5", "w") as file:
        file["x"] = np.ones(3)
    data["c"] = h5py.ExternalLink(str(folder / "secret.h5"), "/x")


def virtual(data, folder):
    layout = h5py.VirtualLayout((3,), "f4")
    layout[:] = h5py.VirtualSource(str(folder / "secret.h5"), "x", (3,))
    data.create_virtual_dataset("c", layout)


def outside(data, folder):
    (folder / "raw.bin").write_bytes(bytes(12))
    data.create_dataset("c", (3,), "f4", external=[(str(folder / "raw.bin"), 0, 12)])


def filtered(data, folder):
    data.create_dataset("c", data=np.zeros(100, "f4"), chunks=(50,), compression="lzf")


def huge(data, folder):
    data.create_dataset("c", (1 << 30,), "f4", chunks=(1 << 20,), compression="gzip")


@pytest.mark.parametrize(
    ("change", "said"),
    [(soft, "is a link to elsewhere"), (external, "is a link to elsewhere"), (virtual, "stored in a way"),
     (outside, "stored in a way"), (filtered, "stored in a way"), (huge, "expected at most 8 million")],
)  # fmt: skip
def test_what_is_not_followed(place, change, said):
    add(place, change)
    with pytest.raises(CorruptError, match=said):
        list(number_arrays(place, "OpenFace/data"))


def test_deflated_arrays_are_read(place):
    add(
        place,
        lambda data, _: data.create_dataset(
            "c", data=np.arange(500.0), chunks=(100,), compression="gzip", shuffle=True
        ),
    )
    assert dict(number_arrays(place, "OpenFace/data"))["c"].tolist() == list(range(500))
