"""Where nothing can be written: said before the work starts, and by name where it shows at the end."""

from __future__ import annotations

import errno
import os
from pathlib import Path
from types import SimpleNamespace

import pytest
from dualstream.pipeline import experiments
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.storage.documents import write_bytes
from dualstream.pipeline.storage.folders import LEAST_FREE_BYTES, UnwrittenError, require_writable


def fail_to_sync(monkeypatch: pytest.MonkeyPatch, code: int) -> None:
    def fsync(descriptor: int) -> None:
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("os.fsync", fsync)


def test_a_folder_that_can_be_made_is_fine(tmp_path: Path) -> None:
    require_writable(tmp_path / "a" / "b" / "c")
    assert not list(tmp_path.iterdir())


def test_a_folder_that_can_not_be_written_to_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[object] = []
    monkeypatch.setattr("os.access", lambda path, mode: asked.append(path))  # root may write anywhere
    with pytest.raises(
        UsageError, match=r"--csv .*b.csv: the folder .* can't be written to; .* choose another --csv"
    ):
        require_writable(tmp_path / "a" / "b.csv", "--csv")
    assert asked == [tmp_path]


def test_a_full_disk_fails(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    disk = SimpleNamespace(f_blocks=10**6, f_bavail=LEAST_FREE_BYTES // 4096 - 1, f_frsize=4096)
    monkeypatch.setattr("os.statvfs", lambda path: disk)
    with pytest.raises(UsageError, match=r"has 1,044,480 bytes left; expected 1,048,576 or more. Make room"):
        require_writable(tmp_path / "run")
    disk.f_bavail += 1
    require_writable(tmp_path / "run")


def test_a_file_in_the_way_fails(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UsageError, match="file is a file; expected a folder"):
        require_writable(tmp_path / "file" / "run")


def test_a_run_is_refused_before_it_is_fitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UsageError, match="can't be written to"):
        experiments.check_target(tmp_path / "run", replace=False)


@pytest.mark.parametrize(
    ("code", "remedy"),
    [(errno.ENOSPC, "make room"), (errno.EROFS, "choose another place"), (errno.EIO, "see that")],
)
def test_a_write_that_fails_leaves_what_stood(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, code: int, remedy: str
) -> None:
    place = tmp_path / "m.json"
    place.write_bytes(b"old")
    fail_to_sync(monkeypatch, code)
    with pytest.raises(UnwrittenError, match=f"cannot write {place}: {os.strerror(code)}.*{remedy}"):
        write_bytes(place, b"new")
    assert place.read_bytes() == b"old" and list(tmp_path.iterdir()) == [place]


def test_a_run_that_can_not_be_written_is_named_by_its_own_folder(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    fail_to_sync(monkeypatch, errno.ENOSPC)
    with (
        pytest.raises(UnwrittenError, match=f"cannot write {tmp_path / 'run'}: No space left"),
        experiments.new_folder(tmp_path / "run") as folder,
    ):
        write_bytes(folder / "weights.bin", b"x")
    assert not list(tmp_path.iterdir())
