"""Whatever ends a run, and wherever: no committed utterance is lost, and the next run ends at the same bytes.

A child process is forked and ends itself with SIGKILL at its n-th write, fsync or rename: nothing of Python or
HDF5 gets to clean up after that. `os` is wrapped in the child alone; the product has no hook for this.
"""

from __future__ import annotations

import errno
import os
import random
import shutil
import signal
import threading
import time
from itertools import count
from pathlib import Path
from typing import Any

import pytest
from dualstream.pipeline.errors import CorruptError, DualstreamError
from dualstream.pipeline.extraction.shards import read_shard
from dualstream.pipeline.storage import rows
from dualstream.pipeline.storage.sealed import TEMPORARY_SUFFIX

from tests.pipeline.killed import die, in_child, wrapped
from tests.pipeline.stubs import FakeReader, listing, make_corpus, run_extract

CLIPS, PER_SHARD = 9, 3


def committed(out: Path) -> dict[str, int]:
    """Return the shards that are there and whole, with the time of their last change."""
    folder = out.with_name(out.name + ".shards")
    found = {}
    for path in sorted(folder.rglob("shard-*.h5")):
        read_shard(path)  # raises where a shard is there and not whole
        found[path.name] = path.stat().st_mtime_ns
    return found


def check_recovery(corpus: Path, out: Path, reference: bytes) -> None:
    """Finish what a killed run left, and check that nothing that was committed is done again or lost."""
    before = committed(out)
    reader = FakeReader()
    report = run_extract(corpus, out, reader=reader)
    after = committed(out)
    assert out.read_bytes() == reference
    assert {name: after[name] for name in before} == before  # not one of them was written again
    assert report.made == CLIPS - PER_SHARD * len(before)
    assert len(reader.calls) == report.made
    assert not [name for name in listing(out.parent) if name.endswith(TEMPORARY_SUFFIX)]


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return make_corpus(tmp_path / "clips", CLIPS)


@pytest.fixture
def reference(corpus: Path, tmp_path: Path) -> bytes:
    out = tmp_path / "reference" / "cache.h5"
    run_extract(corpus, out)
    return out.read_bytes()


def count_calls(corpus: Path, out: Path) -> int:
    read_end, write_end = os.pipe()

    def task() -> None:
        real = os.write
        count = wrapped(-1, die)
        run_extract(corpus, out)
        real(write_end, str(count()).encode())

    assert in_child(task) == 0
    os.close(write_end)
    with os.fdopen(read_end) as pipe:
        return int(pipe.read())


@pytest.mark.parametrize("step", [9, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_at_writes_fsyncs_and_renames(corpus: Path, tmp_path: Path, reference: bytes, step: int) -> None:
    total = count_calls(corpus, tmp_path / "count" / "cache.h5")
    assert total >= 3 * 3 + 3  # three shards and a cache: write, fsync and rename each at least
    for at in {*range(0, total, step), *range(total - 6, total)}:  # the last ones publish the cache
        out = tmp_path / f"run{at}" / "cache.h5"

        def task(at: int = at, out: Path = out) -> None:
            wrapped(at, die)
            run_extract(corpus, out)

        assert in_child(task) == -signal.SIGKILL, at
        check_recovery(corpus, out, reference)


@pytest.mark.parametrize("step", [5, pytest.param(1, marks=pytest.mark.slow)])
def test_killed_while_the_cache_is_replaced(corpus: Path, tmp_path: Path, reference: bytes, step: int) -> None:
    """An old cache stands whole until the new one does."""
    out = tmp_path / "run" / "cache.h5"
    run_extract(corpus, out, projection="gaussian")
    old = out.read_bytes()
    at = 0
    while True:

        def task(at: int = at) -> None:
            wrapped(at, die)
            run_extract(corpus, out, projection="auto")

        status = in_child(task)
        assert out.read_bytes() in (old, reference)
        if status == 0:
            break
        assert status == -signal.SIGKILL
        at += step
        if out.read_bytes() == reference:  # it died after the rename: start over, one call later
            run_extract(corpus, out, projection="gaussian")
    assert at >= 3


@pytest.mark.parametrize("step", [13, pytest.param(3, marks=pytest.mark.slow)])
@pytest.mark.parametrize("act", [die, None], ids=["killed", "full"])
def test_rows_that_wait_on_disk_are_no_risk(
    corpus: Path, tmp_path: Path, reference: bytes, act: Any, step: int
) -> None:
    """While shards become a cache, rows lie in files without a name: nothing of them stays, whatever happens."""
    shutil.copytree(tmp_path / "reference", tmp_path / "run")
    out = tmp_path / "run" / "cache.h5"

    def refuse(name: str) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    for at in count(0, step):
        out.unlink(missing_ok=True)

        def task(at: int = at) -> None:
            rows.SPOOL_BYTES = 0
            wrapped(at, act or refuse)
            run_extract(corpus, out)

        status = in_child(task)
        if act is None:
            assert listing(out.parent) == [
                name for name in listing(out.parent) if not name.endswith(TEMPORARY_SUFFIX)
            ]
        if status == 0:
            break
        assert status == (1 if act is None else -signal.SIGKILL), at
    assert at > 20
    check_recovery(corpus, out, reference)


def killed_at_random(corpus: Path, tmp_path: Path, reference: bytes, times: int) -> None:
    """Kill `times` runs, each at a moment drawn from the time that a run takes here and now."""
    chance = random.Random(0)
    slow = FakeReader(delay_s=0.01)
    began_s = time.monotonic()
    assert in_child(lambda: run_extract(corpus, tmp_path / "timed" / "cache.h5", reader=slow)) == 0
    whole_s = time.monotonic() - began_s
    killed = 0
    for number in range(3 * times):  # a run that ends before its moment was not killed, and says what a run takes
        out = tmp_path / f"random{number}" / "cache.h5"
        began_s = time.monotonic()
        child = os.fork()
        if child == 0:
            try:
                run_extract(corpus, out, reader=slow)
            finally:
                os._exit(0)
        moment_s = began_s + chance.uniform(0, whole_s)
        ended, status = os.waitpid(child, os.WNOHANG)
        while not ended and time.monotonic() < moment_s:
            time.sleep(0.001)
            ended, status = os.waitpid(child, os.WNOHANG)
        if ended:
            whole_s = time.monotonic() - began_s
        else:
            os.kill(child, signal.SIGKILL)
            status = os.waitpid(child, 0)[1]
        killed += os.waitstatus_to_exitcode(status) == -signal.SIGKILL
        check_recovery(corpus, out, reference)
        if killed == times:
            break
    assert killed == times


def test_killed_at_random_moments(corpus: Path, tmp_path: Path, reference: bytes) -> None:
    killed_at_random(corpus, tmp_path, reference, 3)


@pytest.mark.slow
def test_killed_at_two_hundred_random_moments(corpus: Path, tmp_path: Path, reference: bytes) -> None:
    killed_at_random(corpus, tmp_path, reference, 200)


# A full disk


@pytest.mark.parametrize(
    ("code", "step"),
    [
        pytest.param(errno.ENOSPC, 11, id="full"),
        pytest.param(errno.EIO, 29, id="broken"),
        pytest.param(errno.EDQUOT, 29, id="quota"),
        pytest.param(errno.ENOSPC, 1, id="full-everywhere", marks=pytest.mark.slow),
    ],
)
def test_disk_refuses_at_calls(corpus: Path, tmp_path: Path, reference: bytes, code: int, step: int) -> None:
    total = count_calls(corpus, tmp_path / "count" / "cache.h5")

    def refuse(name: str) -> None:
        raise OSError(code, os.strerror(code))

    for at in {
        *range(0, total, step),
        *range(total - min(6, 44 // step), total),
    }:  # the last ones publish the cache
        out = tmp_path / f"run{code}-{at}" / "cache.h5"

        def task(at: int = at, out: Path = out) -> None:
            wrapped(at, refuse)
            with pytest.raises(DualstreamError, match=os.strerror(code)) as caught:
                run_extract(corpus, out)
            raise caught.value

        assert in_child(task) == 1, at
        assert not [name for name in listing(out.parent) if name.endswith(TEMPORARY_SUFFIX)]
        check_recovery(corpus, out, reference)


def test_disk_that_takes_half_a_write(corpus: Path, tmp_path: Path, reference: bytes) -> None:
    """A write may take fewer bytes than it was given; the next one says that the disk is full."""
    out = tmp_path / "run" / "cache.h5"
    real = os.write
    room = 40_000

    def write(descriptor: int, data: Any) -> int:
        nonlocal room
        if room <= 0:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        taken = real(descriptor, memoryview(data)[: max(1, min(len(data) // 2, room))])
        room -= taken
        return taken

    def task() -> None:
        os.write = write  # type: ignore[assignment]
        run_extract(corpus, out)

    assert in_child(task) == 1
    check_recovery(corpus, out, reference)


def test_disk_that_lies_is_found_out(corpus: Path, tmp_path: Path) -> None:
    """What was written is read back before the rename."""
    out = tmp_path / "run" / "cache.h5"
    real = os.write

    def write(descriptor: int, data: Any) -> int:
        changed = bytearray(data)
        changed[len(changed) // 2] ^= 1
        return real(descriptor, changed)

    def task() -> None:
        os.write = write  # type: ignore[assignment]
        with pytest.raises(DualstreamError, match="read back differs"):
            run_extract(corpus, out)

    assert in_child(task) == 0
    assert committed(out) == {}


# An interrupt


def test_interrupt_ends_soon_and_leaves_what_was_committed(corpus: Path, tmp_path: Path, reference: bytes) -> None:
    out = tmp_path / "run" / "cache.h5"
    slow = FakeReader(delay_s=0.1)

    def task() -> None:
        run_extract(corpus, out, reader=slow, workers=1)

    child = os.fork()
    if child == 0:
        status = 0
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        try:
            task()
        except KeyboardInterrupt:
            status = 130
        finally:
            os._exit(status)
    while not list(out.parent.rglob("shard-*.h5")):
        time.sleep(0.01)
    os.kill(child, signal.SIGINT)
    assert os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 130
    assert not [name for name in listing(out.parent) if name.endswith(TEMPORARY_SUFFIX)]
    check_recovery(corpus, out, reference)


def test_interrupt_during_a_commit_ends_the_threads_too(corpus: Path, tmp_path: Path, reference: bytes) -> None:
    out = tmp_path / "run" / "cache.h5"

    def interrupt(name: str) -> None:
        raise KeyboardInterrupt

    def task() -> None:
        wrapped(5, interrupt)  # in the first shard's commit; clips of the others are being read
        try:
            run_extract(corpus, out, reader=FakeReader(delay_s=0.05))
        finally:
            busy = [one.name for one in threading.enumerate() if one.name.startswith("dualstream-clip")]
            assert not busy, busy

    assert in_child(task) == 130
    check_recovery(corpus, out, reference)


def test_a_half_written_shard_under_its_final_name_is_refused(corpus: Path, tmp_path: Path) -> None:
    """What our own protocol never leaves behind, a foreign copy tool may."""
    out = tmp_path / "run" / "cache.h5"
    run_extract(corpus, out)
    path = next(iter(sorted(out.parent.rglob("shard-*.h5"))))
    path.write_bytes(path.read_bytes()[:5000])
    with pytest.raises(CorruptError):
        read_shard(path)
