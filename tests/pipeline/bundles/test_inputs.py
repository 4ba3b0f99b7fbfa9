"""What `predict` is asked about, as one list."""

from __future__ import annotations

import itertools
import os
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dualstream.features.media import write_clip
from dualstream.pipeline.bundles.inputs import Item, gather
from dualstream.pipeline.commands.predict import long_files
from dualstream.pipeline.corpus.manifest import Manifest, write_manifest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.extraction.shards import ClipRows

RATE_HZ = 16_000


def plant(root: Path, *paths: str) -> None:
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"x")


def names(items):
    return [item.name for item in items]


@pytest.fixture(scope="module")
def recording(tmp_path_factory):
    """Two tones of a second each, at 0.5 and 2.5 s of 4 s, with silence around them."""
    time_s = np.arange(4 * RATE_HZ) / RATE_HZ
    heard = ((time_s >= 0.5) & (time_s < 1.5)) | ((time_s >= 2.5) & (time_s < 3.5))
    path = tmp_path_factory.mktemp("inputs") / "long.wav"
    tone = np.where(heard, 0.4 * np.sin(2 * np.pi * 300 * time_s), 0).astype(np.float32)
    write_clip(path, None, 1, tone, RATE_HZ, audio_codec="pcm_s16le")
    return path


def test_files_come_in_the_order_they_are_named(tmp_path):
    plant(tmp_path, "b.mp4", "a.mp4")
    items = gather([tmp_path / "b.mp4", tmp_path / "a.mp4"])
    assert names(items) == [str(tmp_path / "b.mp4"), str(tmp_path / "a.mp4")]
    assert [item.utterance.id for item in items] == ["file-000000", "file-000001"]  # names may hold anything
    assert all(Path("/", item.utterance.path).samefile(item.path) and item.span_s is None for item in items)


def test_a_folder_s_files_come_by_name_and_hidden_ones_don_t(tmp_path):
    plant(tmp_path, "z/2.mp4", "a/1.mp4", "._a.mp4", ".git/x.mp4", "b.txt")
    items = gather([tmp_path])
    assert [Path(name).relative_to(tmp_path).as_posix() for name in names(items)] == [
        "a/1.mp4",
        "b.txt",
        "z/2.mp4",
    ]


def test_a_video_and_its_sound_are_one_clip(tmp_path):
    plant(tmp_path, "a.mp4", "a.wav", "b.wav")
    items = gather([tmp_path])
    assert [(item.path.name, item.sound and item.sound.name) for item in items] == [
        ("a.mp4", "a.wav"),
        ("b.wav", None),
    ]
    (alone,) = gather([tmp_path / "a.mp4"])  # what is named by itself is taken by itself
    assert alone.sound is None


def test_what_is_not_there_has_a_reason(tmp_path):
    os.mkfifo(tmp_path / "pipe.mp4")
    plant(tmp_path, "a.mp4")
    items = gather([tmp_path / "none.mp4", tmp_path / "a.mp4", tmp_path / "pipe.mp4"])
    assert [bool(item.reason) for item in items] == [True, False, True]
    assert items[0].utterance is None and items[0].path is None and "none.mp4" in items[0].name


def test_a_name_that_moves_the_cursor_is_written_out(tmp_path):
    plant(tmp_path, "a\x1b[2J.mp4")
    (item,) = gather([tmp_path])
    assert item.name.endswith(r"a\x1b[2J.mp4")


def test_a_manifest_s_rows_keep_ids_spans_and_labels(tmp_path):
    plant(tmp_path / "clips", "a.mp4", "b.mp4")
    rows = (
        Utterance("one", "a.mp4", "train", 1.0, 2.5, dialogue="d", turn=3, emotion="joy"),
        Utterance("two", "b.mp4", "dev"),
        Utterance("gone", "c.mp4", "dev"),
    )
    write_manifest(Manifest(rows), tmp_path / "manifest.csv")
    items = gather([tmp_path / "manifest.csv"], root=tmp_path / "clips")
    assert names(items) == ["one", "two", "gone"]
    first = items[0]
    assert first.span_s == (1.0, 2.5) and (first.utterance.dialogue, first.utterance.turn) == ("d", 3)
    assert first.utterance.id == "one" and first.path == tmp_path / "clips" / "a.mp4"
    assert items[2].utterance is None and items[2].reason


def test_a_manifest_beside_its_clips_needs_no_root(tmp_path):
    plant(tmp_path, "a.mp4")
    write_manifest(Manifest((Utterance("one", "a.mp4", "train"),)), tmp_path / "manifest.csv")
    assert gather([tmp_path / "manifest.csv"])[0].path == tmp_path / "a.mp4"
    (tmp_path / "a.mp4").unlink()
    with pytest.raises(UsageError, match=r"none of the 1 files .* say where its paths start: --root FOLDER"):
        gather([tmp_path / "manifest.csv"])


def test_manifests_and_clips_go_together(tmp_path):
    plant(tmp_path, "a.mp4", "b.mp4")
    write_manifest(Manifest((Utterance("one", "a.mp4", "train"),)), tmp_path / "manifest.csv")
    items = gather([tmp_path / "b.mp4", tmp_path / "manifest.csv"])
    assert [item.utterance.id for item in items] == ["file-000000", "one"]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"root": Path("x")}, "no FILE is a manifest"),
        ({"segments": "0.05"}, "seconds from 0.1 to 3600"),
        ({"segments": "3601"}, "seconds from 0.1 to 3600"),
        ({"segments": "words"}, "expected silence, or seconds"),
    ],
)
def test_options_that_don_t_go_together(options, said, tmp_path):
    plant(tmp_path, "a.mp4")
    with pytest.raises(UsageError, match=said):
        gather([tmp_path / "a.mp4"], **options)


def test_a_manifest_is_cut_already(tmp_path):
    write_manifest(Manifest((Utterance("one", "a.mp4", "train"),)), tmp_path / "manifest.csv")
    with pytest.raises(UsageError, match="say themselves what is cut where"):
        gather([tmp_path / "manifest.csv"], segments="5")


def test_a_recording_is_cut_at_its_silences(recording):
    items = gather([recording], segments="silence")
    assert len(items) == 2
    for item, (start_s, end_s) in zip(items, ((0.5, 1.5), (2.5, 3.5)), strict=True):
        assert item.span_s[0] == pytest.approx(start_s, abs=0.3) and item.span_s[1] == pytest.approx(
            end_s, abs=0.3
        )
        assert item.recording == str(recording)
        assert item.name == f"{recording} [{item.span_s[0]:.2f}-{item.span_s[1]:.2f} s]"
    assert len({item.utterance.id for item in items}) == 2


def test_a_recording_is_cut_by_length(recording):
    items = gather([recording], segments="1.5")
    spans = [item.span_s for item in items]
    assert spans[0][0] == 0 and spans[-1][1] == pytest.approx(4.0, abs=0.01)
    assert all(before[1] == after[0] for before, after in itertools.pairwise(spans))


def test_a_recording_that_can_t_be_cut_is_its_reason(tmp_path, recording):
    plant(tmp_path, "broken.wav")
    write_clip(tmp_path / "silent.wav", None, 1, np.zeros(RATE_HZ, np.float32), RATE_HZ, audio_codec="pcm_s16le")
    write_clip(tmp_path / "mute.mp4", np.zeros((10, 16, 16, 3), np.uint8), 10, None, RATE_HZ)
    items = gather(
        [tmp_path / "broken.wav", tmp_path / "silent.wav", tmp_path / "mute.mp4", recording], segments="silence"
    )
    assert [item.utterance is None for item in items] == [True, True, True, False, False]
    assert "nothing but silence; --segments 5 cuts by length" in items[1].reason
    assert items[2].reason.startswith("no_streams") and items[2].reason.endswith("--segments 5 cuts by length")
    assert "broken.wav" in items[0].reason and str(tmp_path) not in items[0].reason


def test_a_file_says_where_a_recording_is_cut_and_who_speaks(tmp_path):
    plant(tmp_path, "a.mp4")
    (tmp_path / "a.vtt").write_text(
        "WEBVTT\n\n00:01.500 --> 00:03.000\n<v Ann>yes\n\n00:04.000 --> 00:04.010\nhm\n\n00:05.000 --> 00:06.250\nno\n"
    )
    items = gather([tmp_path / "a.mp4"], segments=str(tmp_path / "a.vtt"), speaker="Bob")
    assert [item.span_s for item in items] == [(1.5, 3.0), None, (5.0, 6.25)]
    assert [item.speaker for item in items] == ["Ann", "Bob", "Bob"]
    assert items[1].utterance is None and "expected at least 0.02 s" in items[1].reason
    assert len({item.recording for item in items if item.utterance}) == 1  # they follow one another as turns
    plant(tmp_path, "b.mp4")
    with pytest.raises(UsageError, match="of one recording, and several are to be predicted"):
        gather([tmp_path / "a.mp4", tmp_path / "b.mp4"], segments=str(tmp_path / "a.vtt"))
    (tmp_path / "both.rttm").write_text("SPEAKER a 1 0 1 <NA> <NA> s1 <NA>\nSPEAKER b 1 2 1 <NA> <NA> s2 <NA>\n")
    items = gather([tmp_path / "a.mp4", tmp_path / "b.mp4"], segments=str(tmp_path / "both.rttm"))
    assert [(item.path.name, item.span_s, item.speaker) for item in items] == [
        ("a.mp4", (0.0, 1.0), "s1"), ("b.mp4", (2.0, 3.0), "s2"),
    ]  # fmt: skip
    with pytest.raises(
        UsageError, match="--speaker Bob: who speaks is said already of all 2 utterances, such as s1"
    ):
        gather([tmp_path / "a.mp4", tmp_path / "b.mp4"], segments=str(tmp_path / "both.rttm"), speaker="Bob")


@pytest.mark.parametrize("edges", ["nan\t2.0", "1.0\tnan", "1.0\tinf", "-inf\t2.0"])
def test_a_mark_that_is_no_stretch_of_time_has_a_reason_and_the_others_answers(tmp_path, edges):
    plant(tmp_path, "a.mp4")
    (tmp_path / "a.txt").write_text(f"{edges}\todd\n3.0\t4.5\tjoy\n")
    items = gather([tmp_path / "a.mp4"], segments=str(tmp_path / "a.txt"))
    assert sorted(item.span_s or () for item in items) == [(), (3.0, 4.5)]
    (odd,) = (item for item in items if item.utterance is None)
    assert edges.replace("\t", " to ").replace(".0", "") in odd.reason


def test_long_files_that_are_not_cut_say_what_to_type(tmp_path):
    plant(tmp_path, "a.mp4")
    (whole,) = gather([tmp_path / "a.mp4"])
    (row,) = [Item("row", whole.path, replace(whole.utterance, id="row"))]
    (cut,) = gather([tmp_path / "a.mp4"], segments=str(segment_file(tmp_path)))

    def told(item, duration_s):
        return long_files([item], [ClipRows("x", "", duration_s, np.zeros(1), {})])

    (text,) = told(whole, 120.0)
    assert "a.mp4: 120 s are taken for one utterance" in text
    assert "--segments silence" in text and "--segments 5" in text and "--segments FILE" in text
    assert told(whole, 29.0) == told(whole, float("nan")) == told(row, 120.0) == told(cut, 120.0) == []


def segment_file(folder):
    path = folder / "one.srt"
    path.write_text("1\n00:00:01,000 --> 00:02:01,000\nx\n")
    return path
