"""What lies where a clip should: each kind has its name, and nothing is opened."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest
from dualstream.pipeline.corpus.clip_files import NoClipError, clip_at, require_file


@pytest.fixture
def root(tmp_path: Path) -> Path:
    root = tmp_path / "root"
    (root / "folder").mkdir(parents=True)
    (root / "clip.mp4").write_bytes(b"x")
    (root / "link.mp4").symlink_to("clip.mp4")
    (root / "dangling.mp4").symlink_to("nowhere.mp4")
    (root / "gone-folder").symlink_to("nowhere")
    (root / "circle.mp4").symlink_to("circle.mp4")
    (tmp_path / "other.mp4").write_bytes(b"x")
    (root / "out.mp4").symlink_to("../other.mp4")
    (root / "out-and-gone.mp4").symlink_to("../nowhere.mp4")
    os.mkfifo(root / "pipe.mp4")
    return root


def test_a_clip_and_a_link_to_one(root: Path) -> None:
    assert clip_at(root, "clip.mp4") == clip_at(root, "link.mp4") == Path(os.path.realpath(root / "clip.mp4"))
    require_file(root / "link.mp4")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("none.mp4", "missing: there is no such file"),
        ("none/none.mp4", "missing: there is no such file"),
        ("clip.mp4/none.mp4", "missing: there is no such file"),
        ("dangling.mp4", "broken_link: the path is a link that points nowhere"),
        ("gone-folder/clip.mp4", "broken_link: the path is a link that points nowhere"),
        ("circle.mp4", "broken_link: the path is a link that leads back to itself"),
        ("out.mp4", "outside: the path passes a link that leads out of the data root"),
        ("out-and-gone.mp4", "outside: the path passes a link that leads out of the data root"),
        ("folder", "not_a_file: a folder is there"),
        ("pipe.mp4", "not_a_file: a named pipe is there"),
        (f"{'a' * 300}.mp4", "unreadable: File name too long"),
    ],
)
def test_what_is_no_clip_fails_by_its_name(root: Path, path: str, said: str) -> None:
    with pytest.raises(NoClipError) as caught:
        clip_at(root, path)
    assert str(caught.value).startswith(said) and caught.value.kind == said.partition(":")[0]
    assert "expected a clip" in str(caught.value) and str(root) not in str(caught.value)


def test_a_socket_and_a_device_fail(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(root)  # the name of a socket may not be long
    with socket.socket(socket.AF_UNIX) as one:
        one.bind("s.mp4")
        with pytest.raises(NoClipError, match="not_a_file: a socket"):
            require_file("s.mp4")
    with pytest.raises(NoClipError, match="not_a_file: a device"):
        require_file(os.devnull)
