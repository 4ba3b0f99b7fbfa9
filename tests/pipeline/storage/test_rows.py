"""Rows that wait in a file: those that were appended, in slices, and nothing of them left behind."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.pipeline.errors import DualstreamError
from dualstream.pipeline.storage import rows as module
from dualstream.pipeline.storage.rows import RowsOnDisk, SpooledRows, blocks, in_blocks

from tests.traced import traced


@pytest.fixture(params=[0, 100, 1 << 20], ids=["each at once", "some", "none"])
def spool_bytes(request: Any, monkeypatch: pytest.MonkeyPatch) -> int:
    """How many bytes wait before they go to the disk."""
    monkeypatch.setattr(module, "SPOOL_BYTES", request.param)
    return int(request.param)


def test_spooled_rows_are_those_that_were_appended(tmp_path: Path, spool_bytes: int) -> None:
    rng = np.random.default_rng(0)
    pieces = [rng.standard_normal((count, 3)).astype(np.float32) for count in (1, 0, 70, 5, 30)]
    spooled = SpooledRows(tmp_path / "cache.h5")
    for piece in pieces:
        spooled.append(piece)
    whole, found = np.concatenate(pieces), spooled.rows()
    assert (len(found), found.shape, found.dtype, found.ndim) == (106, (106, 3), np.dtype("<f4"), 2)
    assert found.nbytes == whole.nbytes
    np.testing.assert_array_equal(np.asarray(found), whole)
    mask = rng.random(106) < 0.3
    np.testing.assert_array_equal(found[mask], whole[mask])
    np.testing.assert_array_equal(found[[105, 0, 70]], whole[[105, 0, 70]])
    for at in (slice(60, 100), slice(None, 3), slice(100, None), slice(5, 5), slice(90, 200)):
        np.testing.assert_array_equal(found[at], whole[at])
    np.testing.assert_array_equal(found[71], whole[71])
    np.testing.assert_array_equal(np.concatenate([part for _, part in blocks(found, 7)]), whole)
    assert os.listdir(tmp_path) == []  # the file has no name


def test_rows_of_another_width_fail(tmp_path: Path, spool_bytes: int) -> None:
    spooled = SpooledRows(tmp_path / "cache.h5")
    spooled.append(np.zeros((9, 3)))
    with pytest.raises(ValueError, match=r"shape \(4,\) after rows of shape \(3,\)"):
        spooled.append(np.zeros((1, 4)))


def test_a_full_disk_is_said_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SPOOL_BYTES", 0)

    def refuse(descriptor: int, data: Any) -> int:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(os, "write", refuse)
    with pytest.raises(DualstreamError, match=r"cannot write .*cache\.h5 .*No space left.*it goes on from there"):
        SpooledRows(tmp_path / "cache.h5").append(np.zeros((2, 2)))
    assert os.listdir(tmp_path) == []


def test_a_million_rows_take_a_block_of_memory(tmp_path: Path) -> None:
    piece = np.zeros((1000, 25), np.float32)  # 100 kB; 40 MB in all

    def spool() -> int:
        spooled = SpooledRows(tmp_path / "cache.h5")
        for _ in range(400):
            spooled.append(piece)
        return sum(len(part) for _, part in blocks(spooled.rows()))

    total, memory = traced(spool)
    assert total == 400_000
    assert memory.peak < 6e6


def test_slices_of_a_narrow_column_are_read_in_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "BLOCK_BYTES", 800)  # 100 rows
    whole, read = np.arange(1050.0), list[tuple[int, int]]()

    def from_disk(start: int, stop: int) -> Any:
        read.append((start, stop))
        return whole[start:stop]

    column = in_blocks(RowsOnDisk(whole.shape, whole.dtype, from_disk))
    for start in range(0, 1050, 30):
        assert np.array_equal(column[start : start + 30], whole[start : start + 30])
    assert len(read) < 16 and max(stop - start for start, stop in read) <= 200
    assert np.array_equal(column[400:990], whole[400:990]) and np.array_equal(np.asarray(column), whole)
    assert column[1049] == 1049 and len(column[1050:1060]) == 0
