"""Files below a folder, told by their names."""

from __future__ import annotations

import os

import pytest
from dualstream.pipeline.storage.tree import (
    AUDIO_SUFFIXES,
    MEDIA_SUFFIXES,
    VIDEO_SUFFIXES,
    files_below,
    is_hidden,
    is_media,
    is_video,
    media_below,
    others,
    suffix_of,
    walk,
)


def plant(root, *paths):
    for path in paths:
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_bytes(b"")


def test_files_are_listed_by_their_whole_path(tmp_path):
    plant(tmp_path, "b/2.mp4", "a.txt", "b/1.mp4", "b.mp4", "b/c/0.wav")
    assert files_below(tmp_path) == ["a.txt", "b.mp4", "b/1.mp4", "b/2.mp4", "b/c/0.wav"]
    assert media_below(tmp_path) == ["b.mp4", "b/1.mp4", "b/2.mp4", "b/c/0.wav"]


def test_links_to_folders_stay_shut_and_are_told(tmp_path):
    plant(tmp_path, "inside/1.mp4")
    outside = tmp_path.parent / f"{tmp_path.name}-outside"
    plant(outside, "2.mp4")
    (tmp_path / "link").symlink_to(outside, target_is_directory=True)
    (tmp_path / "inside" / "loop").symlink_to(tmp_path, target_is_directory=True)
    (tmp_path / "film.mp4").symlink_to(outside / "2.mp4")
    assert files_below(tmp_path) == ["film.mp4", "inside/1.mp4"]  # a linked file is a file
    assert walk(tmp_path)[1] == ["inside/loop", "link"]


@pytest.mark.skipif(getattr(os, "geteuid", lambda: 0)() == 0, reason="root may enter every folder")
def test_a_closed_folder_is_told(tmp_path):
    plant(tmp_path, "closed/1.mp4")
    (tmp_path / "closed").chmod(0)
    try:
        assert files_below(tmp_path) == [] and walk(tmp_path)[1] == ["closed"]
    finally:
        (tmp_path / "closed").chmod(0o700)


def test_hidden_files_are_no_clips(tmp_path):
    plant(tmp_path, "._1.mp4", ".git/2.mp4", "3.mp4")
    assert media_below(tmp_path) == ["3.mp4"] and len(files_below(tmp_path)) == 3


@pytest.mark.parametrize(
    ("path", "hidden"),
    [("a/b.mp4", False), (".b.mp4", True), ("a/._b.mp4", True), (".a/b.mp4", True), ("a.b/c", False)],
)
def test_what_is_hidden(path, hidden):
    assert is_hidden(path) is hidden


@pytest.mark.parametrize(
    ("path", "media", "video"),
    [("a.mp4", True, True), ("A.MP4", True, True), ("a.Wav", True, False), ("a.txt", False, False), ("mp4", False, False),
     ("a.mp4.txt", False, False), ("x/a.tar.mkv", True, True), ("a.m4a", True, False)],
)  # fmt: skip
def test_what_is_media(path, media, video):
    assert is_media(path) is media and is_video(path) is video


def test_a_suffix_is_of_film_or_of_sound():
    assert set(VIDEO_SUFFIXES).isdisjoint(AUDIO_SUFFIXES) and len(set(MEDIA_SUFFIXES)) == len(MEDIA_SUFFIXES)
    assert all(one == one.lower() and one.startswith(".") for one in MEDIA_SUFFIXES)


@pytest.mark.parametrize(
    ("path", "suffix"),
    [("a/b.MP4", ".MP4"), ("a.b/c", ""), (".hidden", ""), ("a.tar.gz", ".gz"), ("a.", "."), ("", "")],
)
def test_a_suffix_as_it_is_written(path, suffix):
    assert suffix_of(path) == suffix


def test_what_else_is_there_is_counted_for_a_message(tmp_path):
    plant(tmp_path, "1.txt", "2.TXT", "3.csv", "readme", "4.mp4")
    assert others(tmp_path) == " (there are 2 .txt, 1 .csv, 1 without suffix: none of these is known for a clip)"
    assert others(tmp_path / "none") == ""


def test_a_message_names_five_suffixes_at_most(tmp_path):
    plant(tmp_path, *(f"{n}.x{n}" for n in range(8)))
    assert others(tmp_path).count(" .x") == 5
