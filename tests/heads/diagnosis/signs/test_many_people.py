"""One name of all who have none of their own."""

from __future__ import annotations

import numpy as np
import whole_corpora
from dualstream.heads.diagnosis import causes
from dualstream.heads.diagnosis.signs.many_people import many_people

from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import of, signs_of

WHOLE = whole_corpora.planted(1)
SPEAKER = WHOLE.features.speaker


def test_a_name_of_all_but_six_people_is_told():
    table = of(WHOLE.having(speaker=np.where(SPEAKER < 6, SPEAKER, 6)))
    found = many_people(table)
    assert found is not None and found.speaker == 6 and found.others == 6 and found.spread > 0.9
    cause = causes.REGISTRY.get("wrong_speakers").rule(evidence(signs=signs_of(table, many_people=found)))
    assert "one name of many people" in cause.text and cause.speakers == ("6",)
    assert len(cause.utterances) == int((SPEAKER >= 6).sum())
    assert signs_of(table, many_people=found).to_json()["many_people"]["speaker"] == "6"


def test_a_person_who_speaks_most_is_one():
    assert many_people(of(WHOLE)) is None
    scarce = WHOLE.take(np.flatnonzero((SPEAKER == 0) | (np.arange(len(SPEAKER)) % 3 == 0)))
    assert many_people(of(scarce)) is None


def test_rows_that_tell_no_people_say_nothing():
    rng = np.random.default_rng(0)
    rows = {name: rng.normal(size=own.shape) for name, own in WHOLE.rows.items()}
    assert many_people(of(WHOLE.having(rows, speaker=np.where(SPEAKER < 6, SPEAKER, 6)))) is None
