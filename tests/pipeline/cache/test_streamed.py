"""Caches of any size: written from files and read from them with a block in memory, to the same bytes."""

from __future__ import annotations

import dataclasses
import errno
import os
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.pipeline.cache import Cache, check, open_cache, read_cache, write_cache
from dualstream.pipeline.cache import file as cache_file
from dualstream.pipeline.errors import CorruptError, DualstreamError
from dualstream.pipeline.storage.container import require_holds
from dualstream.pipeline.storage.packing import pack, pack_into
from dualstream.pipeline.storage.rows import BLOCK_BYTES, RowsOnDisk, SpooledRows
from dualstream.pipeline.storage.sealed import peek_digest, seal
from dualstream.pipeline.storage.texts import Texts

from tests.pipeline.caches import random_cache
from tests.traced import traced

LARGE = 3000  # utterances whose windows need several chunks


def spooled(cache: Cache, beside: Path) -> Cache:
    """Return a cache whose large columns wait on disk."""

    def on_disk(column: Any) -> Any:
        if column is None:
            return None
        held = SpooledRows(beside)
        for start in range(0, len(column), 100):
            held.append(column[start : start + 100])
        return held.rows()

    streams = {
        name: dataclasses.replace(
            one,
            **{part: on_disk(getattr(one, part)) for part in ("utterance", "windows", "window_present", "time_s")},
        )
        for name, one in cache.streams.items()
    }
    texts = {part: Texts.of(getattr(cache.utterances, part)) for part in ("id", "sha256", "status", "reason")}
    utterances = dataclasses.replace(cache.utterances, **texts)
    return dataclasses.replace(cache, utterances=utterances, start_s=on_disk(cache.start_s), streams=streams)


def same(one: Cache, other: Cache) -> None:
    """Require that two caches hold the same, wherever it lies."""
    for part in vars(one.utterances):
        np.testing.assert_array_equal(
            np.asarray(list(getattr(one.utterances, part))), np.asarray(list(getattr(other.utterances, part)))
        )
    np.testing.assert_array_equal(np.asarray(one.start_s), np.asarray(other.start_s))
    assert one.streams.keys() == other.streams.keys()
    for name, stream in one.streams.items():
        for part in ("utterance", "present", "windows", "window_present", "time_s"):
            here, there = getattr(stream, part), getattr(other.streams[name], part)
            assert (here is None) == (there is None)
            if here is not None:
                np.testing.assert_array_equal(np.asarray(here), np.asarray(there))


def test_a_cache_from_disk_has_the_bytes_of_one_from_memory(tmp_path: Path) -> None:
    cache = random_cache(LARGE, video_width=200)
    assert cache.streams["video"].windows is not None and cache.streams["video"].windows.nbytes > 3 * BLOCK_BYTES
    values = cache_file._to_values(cache)
    image = pack(cache_file.SCHEMA, values)  # as caches were always packed, whole
    digest = seal(image, "cache")
    assert write_cache(tmp_path / "memory.h5", cache) == digest
    assert write_cache(tmp_path / "disk.h5", spooled(cache, tmp_path / "disk.h5")) == digest
    assert (tmp_path / "memory.h5").read_bytes() == (tmp_path / "disk.h5").read_bytes() == bytes(image)
    assert peek_digest(tmp_path / "disk.h5", "cache") == digest
    assert sorted(os.listdir(tmp_path)) == ["disk.h5", "memory.h5"]


def test_an_opened_cache_is_the_one_that_is_read(tmp_path: Path) -> None:
    path = tmp_path / "cache.h5"
    write_cache(path, random_cache(300, video_width=200))
    opened = open_cache(path)
    assert isinstance(opened.streams["video"].windows, RowsOnDisk)
    same(opened, read_cache(path))
    write_cache(tmp_path / "other.h5", read_cache(path))
    write_cache(path, opened)  # in its own place
    assert path.read_bytes() == (tmp_path / "other.h5").read_bytes()
    write_cache(path, random_cache(20))
    assert len(np.asarray(opened.streams["video"].windows)) == int(opened.offsets[-1])  # still the old rows


def test_a_flipped_bit_is_refused_when_it_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "cache.h5"
    write_cache(path, random_cache(50))
    raw = path.read_bytes()
    for at in range(0, len(raw), len(raw) // 60):
        path.write_bytes(raw[:at] + bytes([raw[at] ^ 4]) + raw[at + 1 :])
        with pytest.raises(CorruptError):
            open_cache(path)


@pytest.mark.parametrize("fault", ["utterance", "windows", "time_s", "absent", "start_s"])
@pytest.mark.parametrize("at", [0, -1])
def test_rules_hold_for_rows_on_disk(tmp_path: Path, fault: str, at: int) -> None:
    cache = random_cache(LARGE, video_width=200)
    check(spooled(cache, tmp_path / "cache.h5"))
    video = cache.streams["video"]
    assert video.windows is not None and video.window_present is not None and video.time_s is not None
    if fault == "utterance":
        video.utterance[np.flatnonzero(~video.present)[at]] = 1
    elif fault == "windows":
        video.windows[np.flatnonzero(~video.window_present)[at]] = 1
    elif fault == "time_s":
        video.time_s[np.flatnonzero(video.window_present)[at]] = np.nan
    elif fault == "absent":
        video.present[
            np.repeat(np.arange(LARGE), np.diff(cache.offsets))[np.flatnonzero(video.window_present)[at]]
        ] = 0
        video.utterance[~video.present] = 0
    else:
        inside = np.setdiff1d(np.arange(len(cache.start_s)), cache.offsets)[at]
        cache.start_s[inside] = cache.start_s[inside - 1]
    with pytest.raises(ValueError, match=r"start_s|stream video"):
        check(spooled(cache, tmp_path / "cache.h5"))


def test_writing_and_opening_take_a_few_blocks_of_memory(tmp_path: Path) -> None:
    path, cache = tmp_path / "cache.h5", random_cache(LARGE, video_width=1000)  # 50 MB
    on_disk = spooled(cache, path)
    assert cache.streams["video"].windows is not None and cache.streams["video"].windows.nbytes > 30e6
    del cache

    def write_and_open() -> None:
        write_cache(path, on_disk)
        open_cache(path)

    assert traced(write_and_open)[1].peak < 12e6


@pytest.mark.parametrize("error", [OSError(errno.ENOSPC, "No space left on device"), KeyboardInterrupt()])
def test_what_stops_a_write_reaches_the_caller_and_not_hdf5(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, error: BaseException
) -> None:
    """HDF5 ends the process where an exception comes out of its write."""
    path, cache = tmp_path / "cache.h5", random_cache(400, video_width=500)
    write_cache(path, random_cache(5))
    old, real = path.read_bytes(), os.write
    at = calls = 0

    def write(descriptor: int, data: Any) -> int:
        nonlocal calls
        calls += 1
        if calls > at:
            raise error
        return real(descriptor, data)

    while True:
        calls = 0
        with monkeypatch.context() as patch:
            patch.setattr(os, "write", write)
            try:
                write_cache(path, cache)
            except (DualstreamError, KeyboardInterrupt) as raised:
                assert isinstance(raised, KeyboardInterrupt) or "No space left" in str(raised)  # noqa: PT017
            else:
                break
        assert path.read_bytes() == old and os.listdir(tmp_path) == ["cache.h5"]
        at += 1
    assert at > 5
    same(read_cache(path), cache)


def test_values_that_are_not_what_was_written_fail(tmp_path: Path) -> None:
    cache = random_cache(100)
    values = cache_file._to_values(cache)
    with open(tmp_path / "x", "w+b") as file:
        pack_into(file.fileno(), cache_file.SCHEMA, values)
    image = np.fromfile(tmp_path / "x", np.uint8)
    assert image.tobytes() == bytes(pack(cache_file.SCHEMA, values))
    video = cache.streams["video"]
    video.utterance[3, 1] += 1
    with pytest.raises(CorruptError, match="streams/video/utterance as just written"):
        require_holds(cache_file.SCHEMA, image, cache_file._to_values(cache), "x")
