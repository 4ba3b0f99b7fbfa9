"""Names that are dialogues, in each of which the same few people speak as in others."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import shapes
import whole_corpora
from dualstream.heads.diagnosis import causes
from dualstream.heads.diagnosis.signs.pieces import Piece
from dualstream.heads.diagnosis.signs.several_people import several_people

from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import of, signs_of

TALKS = shapes.conversations(whole_corpora.planted(0), np.random.default_rng(0))


def test_dialogues_that_were_read_as_speakers_are_told_by_names_that_lie_and_spread_alike():
    table = of(TALKS.having(speaker=TALKS.features.dialogue))
    found = several_people(table)
    assert found is not None and found.names >= 40 and found.likeness > 0.65 and found.z > 10
    seen = signs_of(table, several_people=found)
    assert "a dialogue, a scene or a file" in causes.REGISTRY.get("wrong_speakers").rule(evidence(signs=seen)).text
    assert seen.to_json()["several_people"]["names"] == found.names
    parted = replace(seen, pieces=(Piece("video", 5.0, 3.0, 2.0, (3, 4, 5)),))
    rule = causes.REGISTRY.get("two_kinds_of_rows").rule
    assert rule(evidence(signs=parted)) is None and rule(evidence(signs=replace(parted, several_people=None)))


def test_people_are_told_for_what_they_are_and_so_are_monologues():
    assert several_people(of(TALKS)) is None
    monologues = TALKS.features.speaker * 2 + (np.arange(len(TALKS.ids)) % 2)  # two of each: alike, and one person
    assert several_people(of(TALKS.having(speaker=monologues))) is None


def test_people_of_whom_half_are_of_another_make_in_one_stream_are_people():
    speaker, rows = TALKS.features.speaker, dict(TALKS.rows)
    mixing = np.random.default_rng(1).normal(size=(rows["video"].shape[1],) * 2)
    rows["video"] = np.where((speaker % 2 == 0)[:, None], rows["video"] @ mixing, rows["video"])
    assert several_people(of(TALKS.having(rows))) is None
    assert several_people(replace(of(TALKS), raw={"audio": rows["audio"]})) is None
