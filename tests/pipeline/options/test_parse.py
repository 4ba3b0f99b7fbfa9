"""Texts of the command line, there and back."""

from __future__ import annotations

import pytest
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.options import parse


@pytest.mark.parametrize(
    ("text", "found"),
    [("a,b", ("a", "b")), (" a , b ", ("a", "b")), ("a,,b,", ("a", "b")), ("", ()), (",", ()), ("a b", ("a b",))],
)
def test_names(text, found):
    assert parse.names(text) == found


def test_names_without_repeats_keep_their_order():
    assert parse.distinct_names("b,a,b,c,a") == ("b", "a", "c")


@pytest.mark.parametrize(
    ("text", "found"),
    [
        ("emotion,sentiment", ("emotion", "sentiment")),
        ("sentiment,emotion", ("emotion", "sentiment")),
        ("sentiment", ("sentiment",)),
    ],
)
def test_tasks_are_in_one_order(text, found):
    assert parse.tasks(text) == found


@pytest.mark.parametrize("text", ["", "mood", "emotion,mood", ","])
def test_tasks_that_there_are_not(text):
    with pytest.raises(UsageError, match="expected emotion, sentiment or one of them"):
        parse.tasks(text)


@pytest.mark.parametrize(
    ("setting", "value"),
    [("a=1", 1), ("a=0.5", 0.5), ("a=true", True), ("a=word", "word"), ("a=", ""), ("a=x=y", "x=y"), ("a=[1, 2]", [1, 2]),
     ('a="1"', "1"), ("a=True", "True"), ("a=null", None)],
)  # fmt: skip
def test_a_setting_is_json_where_it_can_be(setting, value):
    found = parse.parameters([setting])
    assert found == {"a": value} and type(found["a"]) is type(value)


@pytest.mark.parametrize("setting", ["a", "=1", ""])
def test_a_setting_has_a_key_and_a_value(setting):
    with pytest.raises(UsageError, match="expected key=value"):
        parse.parameters([setting])


@pytest.mark.parametrize(
    "found", [{}, {"a": 1, "b": "word"}, {"a": "1"}, {"a": "true", "b": True}, {"a": [1.5, "x"]}]
)
def test_settings_come_back(found):
    assert parse.parameters(parse.settings(found)) == found


@pytest.mark.parametrize("found", [{}, {"video": "video.face"}, {"video": "a", "audio": "b"},
    {"whisper": "whisper", "acoustic": "acoustic", "face": "face"}, {"face": "face", "audio": "whisper"}])  # fmt: skip
def test_streams_come_back(found):
    assert list(parse.streams(parse.streams_text(found)).items()) == list(found.items())


def test_streams_by_their_own_names():
    assert parse.streams("b, a,video=c") == {"b": "b", "a": "a", "video": "c"}


@pytest.mark.parametrize("text", ["video=", "=a", "video=a,video=b", "a,a", "video,video=a"])
def test_streams_that_can_t_be_read(text):
    with pytest.raises(UsageError, match="expected video=NAME,audio=NAME"):
        parse.streams(text)


@pytest.mark.parametrize("found", [None, ("linear",), ("linear", "concat")])
def test_variants_come_back(found):
    assert parse.fusions(parse.fusions_text(found)) == found
    assert parse.fusions(" all ") is None


def test_seeds_are_counted():
    assert parse.seeds(3) == (0, 1, 2)
    with pytest.raises(UsageError, match=r"--seeds is 0; expected 1 or more"):
        parse.seeds(0)
    assert parse.seeds_count((0, 1, 2)) == 3
    with pytest.raises(UsageError, match=r"the seeds are \[1, 2\]"):
        parse.seeds_count((1, 2))
