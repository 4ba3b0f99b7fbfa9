"""Columns of texts: what is read is what was appended, whatever its length and characters; places are found."""

from __future__ import annotations

from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dualstream.packed_texts import CodedTexts, PackedTexts, RunTexts, TextIndex, repeated

texts = st.lists(st.text(max_size=5) | st.sampled_from(["", "a", "é", "😀", "a\0b", "\ud800"]), max_size=30)


@given(texts)
def test_columns_hold_what_was_appended(given: list[str]) -> None:
    coded = CodedTexts()
    for text in given:
        coded.append(text)
    coded.close()
    for column in (PackedTexts(given), coded, RunTexts(given)):
        assert list(column) == given and len(column) == len(given)
        assert [column[place] for place in range(len(given))] == given and column[3:7] == given[3:7]
    assert coded.counts() == Counter(given) and list(coded.names) == list(dict.fromkeys(given))


@given(texts)
def test_repeated_and_index_find_places(given: list[str]) -> None:
    first = {text: place for place, text in reversed(list(enumerate(given)))}
    expected = [(place, first[text]) for place, text in enumerate(given) if first[text] != place]
    assert repeated(PackedTexts(given)) == expected
    index, codes = TextIndex.of(RunTexts(given))
    different = list(dict.fromkeys(given))
    assert list(index) == different and codes.tolist() == [different.index(text) for text in given]
    assert [index.get(text) for text in different] == list(range(len(different)))
    assert index.get("not there") is None


def test_equal_hashes_are_no_equal_texts(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("dualstream.packed_texts.hash", lambda text: 7, raising=False)
    given = ["b", "a", "b", "c"]
    assert repeated(PackedTexts(given)) == [(2, 0)]
    index, codes = TextIndex.of(RunTexts(given))
    assert list(index) == ["b", "a", "c"] and codes.tolist() == [0, 1, 0, 2]
    assert [index.get(text) for text in "abcd"] == [1, 0, 2, None]


def test_many_different_texts_are_kept_packed() -> None:
    coded = CodedTexts()
    given = [f"d{number // 2}" for number in range(5000)]
    for text in given:
        coded.append(text)
    assert list(coded) == given and isinstance(coded.names, PackedTexts)
