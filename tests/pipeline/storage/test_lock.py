"""One writer at a time, on file systems and systems too that lend no locks."""

from __future__ import annotations

import errno
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dualstream.pipeline.errors import DualstreamError, LockedError
from dualstream.pipeline.processes import is_alive, namespace, start_mark
from dualstream.pipeline.storage import lock
from dualstream.pipeline.storage.lock import locked

CODES = [errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP]


@pytest.fixture(params=[*CODES, None], ids=["ENOLCK", "ENOSYS", "EOPNOTSUPP", "no fcntl"])
def lent_no_locks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(request.param, os.strerror(request.param))

    if request.param is None:
        monkeypatch.setattr(lock, "fcntl", None)
    else:
        monkeypatch.setattr("fcntl.flock", refuse)


def take(path: Path) -> None:
    with locked(path):
        pass


def dead_process() -> int:
    done = subprocess.Popen([sys.executable, "-c", ""])
    done.wait()
    return done.pid


def note_of(process: int, began: str, host: str | None = None) -> str:
    here = {"host": host or lock.platform.node(), "pids": namespace()}
    return json.dumps({**here, "process": process, "began": began})


@pytest.mark.usefixtures("lent_no_locks")
def test_a_second_writer_is_refused_without_flock(tmp_path: Path) -> None:
    path = tmp_path / "x.h5.lock"
    with locked(path):
        with pytest.raises(LockedError, match=rf"process {os.getpid()} on .*lends no locks.*x.h5.lock.held"):
            take(path)
        assert (tmp_path / "x.h5.lock.held").is_file()
    assert not (tmp_path / "x.h5.lock.held").exists()
    with locked(path):
        pass


@pytest.mark.usefixtures("lent_no_locks")
def test_the_lock_goes_with_an_error_too(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError), locked(tmp_path / "a.lock"):
        raise ZeroDivisionError
    assert sorted(one.name for one in tmp_path.iterdir()) == ["a.lock"]


@pytest.mark.parametrize("whose", ["dead", "another's number"])
def test_a_dead_holder_is_followed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, whose: str) -> None:
    """A killed run leaves its file; its number may belong to another process by now, which began later."""
    monkeypatch.setattr(lock, "fcntl", None)
    process, began = (dead_process(), "1") if whose == "dead" else (os.getpid(), "1")
    assert start_mark(os.getpid()) != "1"
    held = tmp_path / "a.lock.held"
    held.write_text(note_of(process, began))
    with locked(tmp_path / "a.lock"):
        assert json.loads(held.read_text())["process"] == os.getpid()
    assert not held.exists()


@pytest.mark.parametrize("note", ["", "half of a no", None], ids=["empty", "torn", "another host"])
def test_who_can_not_be_asked_is_taken_for_alive(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, note: str | None
) -> None:
    monkeypatch.setattr(lock, "fcntl", None)
    held = tmp_path / "a.lock.held"
    held.write_text(note_of(dead_process(), "1", host="elsewhere") if note is None else note)
    with pytest.raises(LockedError, match="if that run is dead, remove that file"):
        take(tmp_path / "a.lock")
    assert held.exists()


def test_another_error_of_flock_names_the_lock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(descriptor: int, how: int) -> None:
        raise OSError(errno.EIO, os.strerror(errno.EIO))

    monkeypatch.setattr("fcntl.flock", refuse)
    with pytest.raises(DualstreamError, match=r"cannot lock .*a.lock: Input/output error"):
        take(tmp_path / "a.lock")


def test_a_live_holder_of_flock_is_named(tmp_path: Path) -> None:
    with locked(tmp_path / "a.lock"), pytest.raises(LockedError, match=rf"process {os.getpid()}\)"):
        take(tmp_path / "a.lock")


def test_the_living_and_the_dead() -> None:
    assert is_alive(os.getpid())
    assert is_alive(1)
    assert not is_alive(dead_process())


def test_a_lock_that_was_made_for_a_refusal_goes(tmp_path: Path) -> None:
    place = tmp_path / "x.h5.lock"
    with pytest.raises(ValueError, match="refused"), locked(place):
        raise ValueError("refused")
    assert not place.exists()
    with locked(place):
        pass
    with pytest.raises(ValueError, match="refused"), locked(place):
        raise ValueError("refused")
    assert place.exists(), "it was there before"


def test_a_lock_file_without_a_name_is_not_taken_for_the_lock(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place, opened = tmp_path / "x.h5.lock", []
    real = os.open

    def slow(path: Path, *more: int) -> int:
        descriptor = real(path, *more)
        if not opened:
            place.unlink()  # its holder ends between the opening and the locking
        opened.append(descriptor)
        return descriptor

    monkeypatch.setattr(os, "open", slow)
    with locked(place):
        assert len(opened) == 2 and place.exists()
        with pytest.raises(LockedError), locked(place):
            pass
