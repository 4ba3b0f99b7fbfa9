"""What a command says: one document, or text, and notes beside it."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import ClassVar

import pytest
from dualstream.pipeline.options import emit as emitting
from dualstream.pipeline.options.emit import Notices, emit, notice, said_before, text_result

from dualstream.documents import Document


@dataclass(frozen=True)
class Planted(Document):
    FORMAT: ClassVar[str] = "dualstream planted"

    name: str = "Zürich"
    scores: tuple[float | None, ...] = (0.1, None)


STAMP = {"format": "dualstream planted", "version": 1}


def fail() -> None:
    raise AssertionError("the text was asked for")


def test_a_document_is_all_there_is_on_standard_output(capsys):
    emit(Planted(), True, fail)
    out, err = capsys.readouterr()
    assert json.loads(out) == {**STAMP, "name": "Zürich", "scores": [0.1, None]} and err == ""


@pytest.mark.parametrize(("unicode", "shown"), [(True, "Zürich"), (False, r"Z\u00fcrich")])
def test_a_console_without_unicode_gets_escapes(unicode, shown, capsys, monkeypatch):
    monkeypatch.setattr(emitting, "speaks_unicode", lambda: unicode)
    emit(Planted(), True, fail)
    assert f'"name": "{shown}"' in capsys.readouterr().out


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_a_document_holds_no_number_that_json_lacks(value, capsys):
    emit(Planted(scores=(value,)), True, fail)
    assert json.loads(capsys.readouterr().out)["scores"] == [None]


def test_a_person_gets_the_text(capsys):
    result = text_result(Planted(), "all is well", 3)
    emit(result.document, False, result.render)
    assert capsys.readouterr().out == "all is well\n" and result.exit_status == 3


def test_what_was_said_before_is_not_said_again(capsys):
    result = said_before(2)
    result.render()
    assert capsys.readouterr() == ("", "") and (result.document, result.exit_status) == (None, 2)


def test_notes_are_beside_the_result(capsys):
    notice("one")
    assert capsys.readouterr() == ("", "note: one\n")


def test_quiet_is_for_a_block_and_ends_with_an_error(capsys):
    def broken():
        with Notices.silenced(True):
            notice("one")
            raise RuntimeError

    with pytest.raises(RuntimeError):
        broken()
    notice("two")
    with Notices.silenced(True), Notices.silenced(False):
        notice("three")
    assert capsys.readouterr().err == "note: two\nnote: three\n"


def test_a_document_that_was_lost_is_an_error(monkeypatch, capsys):
    monkeypatch.setattr(emitting, "lost_output", lambda: "no space left")
    with pytest.raises(emitting.DualstreamError, match="could not be written to standard output: no space left"):
        emit(Planted(), True, fail)
