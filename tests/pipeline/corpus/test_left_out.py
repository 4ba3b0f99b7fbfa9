"""Files that no row of a manifest names, and why."""

from __future__ import annotations

import re

import pytest
from dualstream.pipeline.corpus.left_out import REASONS, LeftOut, left_out
from dualstream.pipeline.corpus.utterance import Utterance

NAME = re.compile(r"s\d_\w+")


def plant(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def rows(*paths, sound=""):
    return [Utterance(path.rpartition("/")[2].rpartition(".")[0], path, "train", sound=sound) for path in paths]


def reasons(*arguments, **options):
    return {one.reason: one.names for one in left_out(*arguments, **options)}


def test_each_file_has_one_reason(tmp_path):
    plant(tmp_path, "s1_joy.wav", "copy/s1_joy.wav", "noise.wav", "notes.txt", "._s1_joy.wav", "s2_joy.mp4")
    assert reasons(tmp_path, rows("s1_joy.wav", "s2_joy.mp4"), name=NAME) == {
        "name": ("noise.wav",), "copy": ("copy/s1_joy.wav",), "hidden": ("._s1_joy.wav",), "suffix": ("notes.txt",),
    }  # fmt: skip


def test_what_a_table_does_not_name(tmp_path):
    plant(tmp_path, "dia0_utt0.mp4", "extra/dia0_utt0.mp4", "final_videos.mp4")
    assert reasons(tmp_path, rows("dia0_utt0.mp4")) == {
        "row": ("final_videos.mp4",),
        "copy": ("extra/dia0_utt0.mp4",),
    }


def test_nothing_is_left_out(tmp_path):
    plant(tmp_path, "a.mp4", "a.wav", "labels.csv")
    assert left_out(tmp_path, rows("a.mp4", sound="a.wav"), reads=re.compile(r"labels\.csv")) == []


def test_a_second_sound_is_called_so_where_the_importer_says(tmp_path):
    plant(tmp_path, "a.mp4", "a.wav", "a.mp3")
    found = reasons(tmp_path, rows("a.mp4", sound="a.wav"), name=re.compile(".*"), spare="sound")
    assert found == {"sound": ("a.mp3",)}


def test_what_the_importer_itself_knows_of(tmp_path):
    plant(tmp_path, "a.mp4")
    more = [("line", "labels.txt, line 3"), ("split", "video7"), ("line", "labels.txt, line 1")]
    found = left_out(tmp_path, rows("a.mp4"), more=more)
    assert {one.reason: one.names for one in found} == {
        "line": ("labels.txt, line 1", "labels.txt, line 3"), "split": ("video7",),
    }  # fmt: skip


def test_reasons_come_in_one_order_and_paths_may_be_written_otherwise(tmp_path):
    plant(tmp_path, "x/a.mp4", "b.mp4", "notes.txt", ".hidden")
    (tmp_path / "link").symlink_to(tmp_path / "x", target_is_directory=True)
    found = [one.reason for one in left_out(tmp_path, rows("x/./a.mp4"))]
    assert found == ["row", "hidden", "folder", "suffix"] == [one for one in REASONS if one in found]


@pytest.mark.parametrize(
    ("one", "what"),
    [
        (
            LeftOut("name", ("a",), "s1_joy.wav"),
            "recording whose name is not as the corpus names them (such as s1_joy.wav)",
        ),
        (LeftOut("copy", ("a", "b")), "recordings of which another copy or form is taken"),
        (LeftOut("folder", ("a",)), "folder not entered: a link, or closed to you"),
    ],
)
def test_a_reason_in_words(one, what):
    assert one.what == what
    assert one.to_json() == {"reason": one.reason, "what": what, "count": len(one.names), "names": list(one.names)}
