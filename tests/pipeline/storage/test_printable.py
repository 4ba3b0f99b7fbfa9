"""Names as they may be printed."""

import os

import pytest
from dualstream.pipeline.storage.printable import escaped


@pytest.mark.parametrize(
    ("name", "printed"),
    [
        ("plain name.mp4", "plain name.mp4"),
        ("Zürich 日本.mp4", "Zürich 日本.mp4"),
        ("up\x1b[2J.mp4", r"up\x1b[2J.mp4"),
        ("two\nlines", r"two\nlines"),
        ("right\u202eleft", r"right\u202eleft"),
        ("\U000e0001tag", r"\U000e0001tag"),
        (os.fsdecode(b"not utf-8 \xff"), r"not utf-8 \udcff"),
    ],
)
def test_what_is_not_printable_is_written_out(name, printed):
    assert escaped(name) == printed
    printed.encode("utf-8")
