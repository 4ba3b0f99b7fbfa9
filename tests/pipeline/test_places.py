"""A file is only put where nothing stands, or a plain file."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.places import require_file_place


def test_nothing_and_plain_files_may_be_written_over(tmp_path: Path) -> None:
    (tmp_path / "old").write_text("x")
    (tmp_path / "link").symlink_to("nowhere")
    for name in ("new", "old", "link", "deeper/new"):
        require_file_place(tmp_path / name)


def test_folders_fail(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match=r"--csv .* is a folder; name a file"):
        require_file_place(tmp_path, "--csv")


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes with names here")
def test_pipes_and_devices_fail(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "pipe")
    for place in (tmp_path / "pipe", Path(os.devnull)):
        with pytest.raises(UsageError, match=r"--out .* is a device or a pipe, which no file can replace"):
            require_file_place(place)
