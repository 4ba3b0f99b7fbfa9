"""What a row of a manifest may hold, and how its numbers are written."""

from __future__ import annotations

from typing import Any

import pytest
from dualstream.pipeline.corpus.utterance import COLUMNS, InvalidRowError, Utterance, number_text
from hypothesis import given
from hypothesis import strategies as st


def one(**changes: Any) -> Utterance:
    return Utterance(**{"id": "a", "path": "a.mp4", "split": "train", **changes})


def fault_of(**changes: Any) -> dict[str, str]:
    with pytest.raises(InvalidRowError) as caught:
        one(**changes)
    return dict(caught.value.problems)


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, ""), (0.0, "0"), (-0.0, "0"), (1.0, "1"), (0.1, "0.1"), (1e-7, "0.0000001"), (1e22, "10000000000000000000000"),
     (304.9, "304.9"), (12.500, "12.5"), (100.0, "100")],
)  # fmt: skip
def test_a_number_is_written_short_and_without_an_exponent(value: float | None, text: str) -> None:
    assert number_text(value) == text


@given(st.floats(0, 1e12))
def test_a_number_reads_back_as_it_was(value: float) -> None:
    text = number_text(value)
    assert float(text) == value and "e" not in text.lower()


def test_cells_are_in_the_order_of_the_columns() -> None:
    row = one(start_s=0.5, end_s=2.0, dialogue="d1", turn=0, speaker="Ross", emotion="joy", sentiment="positive")
    assert dict(zip(COLUMNS, row.cells(), strict=True)) == {
        "id": "a", "path": "a.mp4", "split": "train", "start_s": "0.5", "end_s": "2", "dialogue": "d1", "turn": "0",
        "speaker": "Ross", "emotion": "joy", "sentiment": "positive",
    }  # fmt: skip
    assert one().cells() == ("a", "a.mp4", "train", "", "", "", "", "", "", "")


@pytest.mark.parametrize(
    ("sound", "files"), [("", ("a.mp4",)), ("a.mp4", ("a.mp4",)), ("a.wav", ("a.mp4", "a.wav"))]
)
def test_the_files_of_a_clip(sound: str, files: tuple[str, ...]) -> None:
    assert one(sound=sound).files == files


@pytest.mark.parametrize("name", ["", "a b", "ä", "a/b", "x" * 201, "a\n"])
def test_ids_are_of_few_characters(name: str) -> None:
    assert "1 to 200 of the characters" in fault_of(id=name)["id"]


@pytest.mark.parametrize("name", ["x" * 200, "A-1_b.c", "0", "..a"])
def test_ids_that_may_be(name: str) -> None:
    assert one(id=name).id == name


def test_an_id_of_dots_would_be_a_folder() -> None:
    assert fault_of(id="..") == {"id": "found '..'; expected more than dots"}


@pytest.mark.parametrize(
    ("path", "said"),
    [("", "is blank"), ("/a.mp4", "absolute"), ("../a.mp4", "climbs"), ("a/../../b.mp4", "climbs"), ("a/", "a folder"),
     (".", "a folder"), ("a\0b", "zero byte"), ("\udcff.mp4", "not valid UTF-8")],
)  # fmt: skip
@pytest.mark.parametrize("column", ["path", "sound"])
def test_a_path_never_leaves_the_root(column: str, path: str, said: str) -> None:
    if column == "sound" and not path:
        assert one(sound="").sound == ""  # the sound is in the clip itself
    else:
        assert said in fault_of(**{column: path})[column]


@pytest.mark.parametrize("path", ["a..b.mp4", "..a/b.mp4", "a/./b.mp4", "Zürich.mp4", "a b.mp4", "a\\b.mp4"])
def test_paths_that_may_be(path: str) -> None:
    assert one(path=path).path == path


@pytest.mark.parametrize(
    ("split", "hint"), [("val", "dev"), ("Validation", "dev"), ("eval", "test"), ("training", "train")]
)
def test_a_split_of_another_name_is_hinted_at(split: str, hint: str) -> None:
    assert fault_of(split=split)["split"].endswith(f"expected train, dev, test (say {hint})")
    assert fault_of(split="x")["split"].endswith("expected train, dev, test")


@pytest.mark.parametrize(
    ("span", "column", "said"),
    [
        ((1.0, 1.0), "end_s", "expected more than start_s, which is 1"),
        ((2.0, 1.5), "end_s", "found 1.5"),
        ((None, 1.0), "start_s", "is blank while end_s is 1"),
        ((0.5, None), "end_s", "is blank while start_s is 0.5"),
        ((-0.1, 1.0), "start_s", "0 or more"),
        ((0.0, float("inf")), "end_s", "0 or more"),
        ((float("nan"), 1.0), "start_s", "0 or more"),
    ],
)
def test_spans_are_half_open_and_whole(span: tuple[float | None, float | None], column: str, said: str) -> None:
    found = fault_of(start_s=span[0], end_s=span[1])
    assert set(found) == {column} and said in found[column]


@pytest.mark.parametrize(
    ("turn", "dialogue", "said"),
    [(-1, "d", "0 to 2147483647"), (2**31, "d", "whole number"), (3, "", "without a dialogue")],
)
def test_turns_are_of_a_dialogue(turn: int, dialogue: str, said: str) -> None:
    assert said in fault_of(turn=turn, dialogue=dialogue)["turn"]
    assert one(turn=2**31 - 1, dialogue="d").turn == 2**31 - 1


@pytest.mark.parametrize("column", ["dialogue", "speaker", "emotion", "sentiment"])
@pytest.mark.parametrize("value", ["a\tb", "a\x9b", " a", "a ", "x" * 256])
def test_names_are_short_and_plain(column: str, value: str) -> None:
    assert "expected at most 255 characters" in fault_of(**{column: value})[column]
    for fine in ("Pheobe's 2nd", "x" * 255):
        assert getattr(one(**{column: fine}), column) == fine


def test_extra_columns_don_t_take_the_contracts_names() -> None:
    assert one(extra={"episode": "s1e1"}).extra == {"episode": "s1e1"}
    for name in ("emotion", "sound", ""):
        assert "a name that the contract does not use" in fault_of(extra={name: "x"})[name]


def test_all_faults_are_told_at_once() -> None:
    assert set(fault_of(id="", path="/x", split="x", turn=-1, speaker=" x")) == {
        "id",
        "path",
        "split",
        "turn",
        "speaker",
    }
