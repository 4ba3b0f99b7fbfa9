"""Pickles of numbers and text are read as Python reads them; whatever would run is refused, and does not run."""

from __future__ import annotations

import collections
import datetime
import os
import pickle
import struct
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.plain_pickle import as_pickle, read_pickle

SHARED = [1.5, "a"]
VALUE = {
    "train": {
        "audio": np.arange(12, dtype=np.float32).reshape(2, 3, 2),
        "fortran": np.asfortranarray(np.arange(6.0).reshape(2, 3)),
        "big": np.arange(3, dtype=">i8"),
        "bool": np.array([True, False]),
        "text": np.array(["héllo", "b"]),
        "objects": np.array(["some text", "other"], dtype=object),
        "empty": np.zeros((0, 4), dtype=np.float32),
        "id": ["v$_$1", ("a", 3, None, True, -7, 2**70, 1e300, b"\x00\xff")],
        "scalar": np.float64(2.5),
        "order": collections.OrderedDict(a=1),
    },
    "shared": [SHARED, SHARED],
}


def same(one: Any, other: Any) -> bool:
    if isinstance(one, np.ndarray):
        return bool(np.array_equal(one, np.asarray(other, dtype=one.dtype)))
    if isinstance(one, dict):
        return isinstance(other, dict) and list(one) == list(other) and all(same(one[k], other[k]) for k in one)
    if isinstance(one, list | tuple):
        return len(one) == len(other) and all(same(a, b) for a, b in zip(one, other, strict=True))
    return bool(one == other)


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_plain_pickles_of_every_protocol(tmp_path: Path, protocol: int) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(VALUE, protocol=protocol))
    assert same(VALUE, read_pickle(path))


def test_what_python_2_and_numpy_1_wrote(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    text = pickle.dumps(VALUE["train"]["audio"], protocol=2)
    path.write_bytes(text.replace(b"numpy._core.multiarray", b"numpy.core.multiarray"))
    assert np.array_equal(read_pickle(path), VALUE["train"]["audio"])
    # as Python 2 writes an array: its contents are a text, one letter per byte
    path.write_bytes(b"(lp0\nS'ab'\np1\na.")
    assert read_pickle(path) == ["ab"]
    python2 = (
        b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\nndarray\n(I0\ntS'b'\ntR(I1\n(I2\ntcnumpy\ndtype\n(S'i2'\nI0\n"
        b"I1\ntR(I3\nS'<'\nNNNI-1\nI-1\nI0\ntbI00\nU\x04\x01\x00\xff\x00tb."
    )
    path.write_bytes(python2)
    assert read_pickle(path).tolist() == [1, 255] == pickle.loads(python2, encoding="latin1").tolist()


def test_what_is_written_is_a_plain_pickle() -> None:
    assert same(VALUE, pickle.loads(as_pickle(VALUE)))


class Evil:
    def __init__(self, *how: Any) -> None:
        self.how = how

    def __reduce__(self) -> Any:
        return self.how


MADE: list[str] = []


def hostile(mark: Path) -> dict[str, bytes]:
    """Return pickles that would make a file, or do other harm; each is a working one."""
    touch = f"touch {mark}"
    short = struct.pack("<I", 0xFFFFFFF0)
    return {
        "os.system": pickle.dumps(Evil(os.system, (touch,))),
        "eval": pickle.dumps({"train": [Evil(eval, (f"open({str(mark)!r}, 'w')",))]}, protocol=2),
        "protocol 0": b"cos\nsystem\n(S'" + touch.encode() + b"'\ntR.",
        "inst": b"(S'" + touch.encode() + b"'\nios\nsystem\n.",
        "obj": b"(cos\nsystem\nS'" + touch.encode() + b"'\no.",
        "newobj": b"\x80\x02csubprocess\nPopen\n(]X\x05\x00\x00\x00touchaX"
        + struct.pack("<I", len(str(mark))) + str(mark).encode() + b"at\x81.",
        "stack global": b"\x80\x04\x8c\x02os\x8c\x06system\x93\x8c"
        + bytes([len(touch)]) + touch.encode() + b"\x85R.",
        "numpy's own": b"cnumpy\nload\n(S'x'\ntR.",
        "testing": b"cnumpy.testing._private.utils\nrunstring\n(S'import os'\n}tR.",
        "state of a function": b"cnumpy.core.multiarray\n_reconstruct\n(N}S'__doc__'\nS'x'\nstb.",
        "getattr": b"cbuiltins\ngetattr\n(cos\nS'system'\ntR.",
        "a class": pickle.dumps(datetime.date(2020, 1, 1)),
        "persistent": b"Pos.system\n.",
        "extension": b"\x80\x02\x82\x01.",
        "array of another class": b"cnumpy.core.multiarray\n_reconstruct\n(cnumpy\ndtype\n(I0\ntS'b'\ntR.",
        "record": pickle.dumps(np.zeros(2, dtype=[("a", "O"), ("b", "i4")])),
        "huge shape": pickle.dumps(np.zeros(2, np.int8)).replace(b"K\x02\x85", b"J\xff\xff\xff\x7f\x85", 1),
        "long bytes": b"\x80\x04\x8e" + struct.pack("<Q", 2**62) + b"x.",
        "long memo": b"]r" + short + b"j" + struct.pack("<I", 5) + b".",
        "holds itself": b"]q\x00h\x00a.",
        "laughs": b"]" + b"".join(b"q" + bytes([n]) + b"]" + (b"h" + bytes([n]) + b"a") * 10 for n in range(60)) + b".",
        "cut": pickle.dumps(VALUE)[:-20],
        "empty list": b"a.",
        "text": b"hello",
    }  # fmt: skip


@pytest.mark.parametrize("name", hostile(Path("mark")))
def test_whatever_would_run_is_refused(tmp_path: Path, name: str) -> None:
    mark, path = tmp_path / "mark", tmp_path / "x.pkl"
    path.write_bytes(hostile(mark)[name])
    with pytest.raises(
        CorruptError, match=r"only numbers, text and arrays of them, never code|is not a whole pickle"
    ):
        read_pickle(path)
    assert not mark.exists()


def test_the_refusal_names_what_and_where(tmp_path: Path) -> None:
    path = tmp_path / "x.pkl"
    path.write_bytes(b"\x80\x02cos\nsystem\n.")
    with pytest.raises(CorruptError, match=r"x\.pkl holds os\.system \(at byte 2\)"):
        read_pickle(path)


def test_an_empty_file_is_no_pickle(tmp_path: Path) -> None:
    (tmp_path / "x.pkl").write_bytes(b"")
    with pytest.raises(CorruptError, match="not a whole pickle"):
        read_pickle(tmp_path / "x.pkl")


def test_the_hostile_ones_do_harm_where_they_are_loaded(tmp_path: Path) -> None:
    """So that the test above can fail: Python's own reader runs the first of them."""
    mark = tmp_path / "mark"
    pickle.loads(hostile(mark)["os.system"])
    assert mark.exists()
