"""File systems that lack what a local disk has: folders that can't be synced, renames that don't replace."""

from __future__ import annotations

import errno
import os
import stat
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from dualstream.pipeline import disk
from dualstream.pipeline.disk import put_in_place, sync
from dualstream.pipeline.errors import DualstreamError
from dualstream.pipeline.storage.documents import read_json, write_json
from dualstream.pipeline.storage.sealed import publish


def fail_to_sync(monkeypatch: pytest.MonkeyPatch, code: int, *, folders: bool) -> None:
    real = os.fsync

    def fsync(descriptor: int) -> None:
        if stat.S_ISDIR(os.fstat(descriptor).st_mode) == folders:
            raise OSError(code, os.strerror(code))
        real(descriptor)

    monkeypatch.setattr("os.fsync", fsync)


@pytest.mark.parametrize("code", [errno.EINVAL, errno.ENOSYS, errno.EACCES, errno.EBADF])
def test_a_folder_that_can_not_be_synced_is_lived_with(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    fail_to_sync(monkeypatch, code, folders=True)
    publish(tmp_path / "a", b"bytes")
    write_json(tmp_path / "b.json", {"a": 1})
    assert (tmp_path / "a").read_bytes() == b"bytes"
    assert read_json(tmp_path / "b.json") == {"a": 1}
    sync(tmp_path)


@pytest.mark.parametrize("code", [errno.EIO, errno.ENOSPC, errno.EDQUOT])
@pytest.mark.parametrize("folders", [False, True])
def test_a_broken_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, folders: bool) -> None:
    fail_to_sync(monkeypatch, code, folders=folders)
    with pytest.raises(DualstreamError, match=os.strerror(code)):
        publish(tmp_path / "a", b"bytes")


def test_without_opening_folders_all_is_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As on Windows, which has no O_DIRECTORY and opens no folder."""
    real = os.open

    def no_folders(path: Any, flags: int, *more: Any, **named: Any) -> int:
        if os.path.isdir(path):
            raise PermissionError(errno.EACCES, "Permission denied")
        return real(path, flags, *more, **named)

    for name in ("O_DIRECTORY", "O_CLOEXEC", "O_NOFOLLOW"):
        monkeypatch.setattr(disk, name, 0)
    monkeypatch.setattr("os.open", no_folders)
    publish(tmp_path / "a", b"bytes\r\n\n")
    assert (tmp_path / "a").read_bytes() == b"bytes\r\n\n"


def no_replacing(code: int) -> Callable[..., None]:
    real = os.rename

    def replace(source: Any, target: Any) -> None:
        if os.path.exists(target):
            raise OSError(code, os.strerror(code))
        real(source, target)

    return replace


@pytest.mark.parametrize("code", [errno.EEXIST, errno.EACCES, errno.EPERM, errno.EINVAL])
def test_a_file_is_replaced_where_a_rename_does_not(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int
) -> None:
    monkeypatch.setattr("os.replace", no_replacing(code))
    monkeypatch.setattr("os.rename", no_replacing(code))
    monkeypatch.setattr(disk, "BUSY_S", (0.0,))
    (tmp_path / "a").write_bytes(b"old")
    publish(tmp_path / "a", b"new")
    assert [(one.name, one.read_bytes()) for one in tmp_path.iterdir()] == [("a", b"new")]


def test_the_old_file_comes_back_where_the_new_one_can_not_be_put_there_fails(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = os.rename

    def rename(source: Any, target: Any) -> None:
        if str(source).endswith("new"):
            raise OSError(errno.EPERM, os.strerror(errno.EPERM))
        real(source, target)

    monkeypatch.setattr("os.replace", no_replacing(errno.EPERM))
    monkeypatch.setattr("os.rename", rename)
    monkeypatch.setattr(disk, "BUSY_S", (0.0,))
    (tmp_path / "a").write_bytes(b"old")
    (tmp_path / "new").write_bytes(b"new")
    with pytest.raises(OSError, match="not permitted"):
        put_in_place(tmp_path / "new", tmp_path / "a")
    assert (tmp_path / "a").read_bytes() == b"old"


def test_a_rename_whose_answer_was_lost_is_done(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """NFS asks again where no answer came, and is told that there is no such file: it is in its place already."""
    real = os.replace

    def replace(source: Any, target: Any) -> None:
        real(source, target)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr("os.replace", replace)
    publish(tmp_path / "a", b"bytes")
    assert (tmp_path / "a").read_bytes() == b"bytes"


def test_a_rename_of_what_is_gone_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def replace(source: Any, target: Any) -> None:
        os.unlink(source)
        raise FileNotFoundError(errno.ENOENT, os.strerror(errno.ENOENT))

    monkeypatch.setattr("os.replace", replace)
    (tmp_path / "a").write_bytes(b"older")
    with pytest.raises(DualstreamError, match="No such file"):
        publish(tmp_path / "a", b"bytes")
    assert (tmp_path / "a").read_bytes() == b"older"
