"""Clips below the data root that no row names."""

from __future__ import annotations

from dualstream.pipeline.corpus.checks.files import extra_files
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.utterance import Utterance


def test_clips_that_no_row_names(tmp_path):
    for name in ("a.mp4", "b.mp4", "c.wav", "x/d.mkv", "notes.txt", "._e.mp4"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_bytes(b"")
    rows = Utterance("a", "./a.mp4", "train"), Utterance("b", "b.mp4", "dev", sound="c.wav")
    assert extra_files(Manifest(rows), tmp_path) == ("._e.mp4", "x/d.mkv")  # `hidden-file` tells of the twin
