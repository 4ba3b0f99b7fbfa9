"""Films and sounds that belong together, by their names."""

from __future__ import annotations

import pytest
from dualstream.pipeline.corpus.pairs import pair


@pytest.mark.parametrize(
    ("film", "sound"),
    [
        ("joy/1.mp4", "joy/1.wav"),
        ("joy/1.avi", "joy/1.flac"),
        ("joy/1.mkv", "joy/1.m4a"),
        ("joy/Clip1.MP4", "joy/clip1.WAV"),
        ("joy/a.b.v2.mp4", "joy/a.b.v2.wav"),
        ("1.mp4", "1.wav"),
        ("video/joy/1.mp4", "audio/joy/1.wav"),
        ("dev/mp4/id1/x/00001.mp4", "dev/aac/id1/x/00001.m4a"),
        ("joy/1.mp4", "joy/Audio/1.wav"),
        ("joy/Videos/1.mp4", "joy/Wav/1.wav"),
    ],
)
def test_a_film_takes_the_sound_of_its_name(film: str, sound: str) -> None:
    found = pair([sound, film, "notes.txt"])
    assert found.sound_of == {film: sound} and found.spare == ()
    assert found.apart == (film.rpartition("/")[0] != sound.rpartition("/")[0])


@pytest.mark.parametrize(
    ("film", "sound"),
    [
        ("joy/1.mp4", "anger/1.wav"),
        ("joy/1.mp4", "joy/2.wav"),
        ("joy/1.v1.mp4", "joy/1.wav"),
        ("joy/1.mp4", "joy/1.txt"),
        ("joy/1.mp4", "joy/video/1.wav"),
        ("joy/1.wav", "joy/1.flac"),
    ],
)
def test_other_files_stay_alone(film: str, sound: str) -> None:
    assert pair([film, sound]).sound_of == {}


def test_of_several_sounds_the_nearest_name_and_then_what_loses_nothing_goes_first() -> None:
    found = pair(["a.mp4", "a.mp3", "a.wav", "a.flac", "B.mp4", "b.wav", "B.m4a"])
    assert found.sound_of == {"a.mp4": "a.wav", "B.mp4": "B.m4a"}
    assert found.spare == ("a.flac", "a.mp3")  # b.wav is of another name than B.mp4, which has its sound


def test_two_films_of_one_name_share_the_sound() -> None:
    assert pair(["a.mp4", "a.webm", "a.wav"]).sound_of == {"a.mp4": "a.wav", "a.webm": "a.wav"}
