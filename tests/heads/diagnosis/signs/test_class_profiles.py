"""Classes that lie otherwise in the rows of some speakers: turned columns, other encoders, labels that are known."""

from __future__ import annotations

from dataclasses import replace

import damages
import numpy as np
import outside_features
import pytest
from dualstream.heads.diagnosis import causes
from dualstream.heads.diagnosis.signs import remedies
from dualstream.heads.diagnosis.signs.class_profiles import class_groups
from dualstream.heads.diagnosis.signs.joins import LABELS, Join
from dualstream.heads.diagnosis.signs.verdicts import moved_rows

from tests.heads.diagnosis.measured import evidence
from tests.heads.diagnosis.signs.test_signs import WHOLE, of, signs_of

HALF = WHOLE.features.speaker % 2 == 1
TURNED = (0, 2, 3, 4, 7, 8, 11, 12, 15, 16, 20, 21, 25, 30, 33)


def having(rows):
    return of(WHOLE.having({**WHOLE.rows, "video": rows}))


def turned():
    rows = WHOLE.rows["video"]
    rows -= rows.mean(axis=0)
    components = rows @ np.linalg.eigh(rows.T @ rows)[1][:, ::-1]
    components[np.ix_(HALF, TURNED)] *= -1
    return having(components)


def fitted(size):
    rows, label = WHOLE.rows["video"], WHOLE.features.emotion
    centres = np.random.default_rng(5).normal(size=(label.max() + 1, rows.shape[1])) * rows.std(axis=0)
    known = HALF & ~WHOLE.dev
    rows[known] += size * centres[label[known]]
    return having(rows), known


def test_columns_that_some_speakers_have_with_the_other_sign_are_told_by_their_place():
    table = turned()
    (one,) = class_groups(table, set())
    assert (one.stream, one.kind) == ("video", "turned") and one.likeness < 0.6 < 0.9 < one.elsewhere
    mine = np.isin(WHOLE.features.speaker, one.speakers)
    assert np.array_equal(mine, HALF) or np.array_equal(mine, ~HALF)
    assert set(TURNED[:8]) <= set(one.columns) and len(set(one.columns) - set(TURNED)) <= 5
    seen = signs_of(table, class_groups=(one,))
    gains = remedies.measured(table, seen, "speaker")
    assert gains[remedies.TURNED].gain.low > 0.01
    cause = causes.REGISTRY.get("two_kinds_of_rows").rule(evidence(signs=replace(seen, remedies=gains)))
    assert "have the other sign (0, 2, 3, 4" in cause.text and len(cause.speakers) == 6 and cause.effect > 0.01


@pytest.mark.parametrize("size", [0.4, 1.0])
def test_an_encoder_that_knows_some_speakers_labels_is_told_with_who_they_are(size):
    table, known = fitted(size)
    (one,) = class_groups(table, set())
    assert one.kind == "known" and one.told[0] > 0.97 and one.told[1] < 0.9
    assert set(one.utterances) == set(np.flatnonzero(known).tolist())
    late = Join("video", LABELS, 1.0, "1 row later", 50.0, "order", "video", tuple(range(len(table))))
    seen = signs_of(table, class_groups=(one,), joins=(late,))
    assert moved_rows(seen) == [] and moved_rows(replace(seen, class_groups=())) == [late]
    assert causes.REGISTRY.get("wrong_join").rule(evidence(signs=seen)) is None
    cause = causes.REGISTRY.get("memorised_labels").rule(evidence(signs=seen))
    assert cause is not None and "of 4 speakers" in cause.text and len(cause.utterances) == known.sum()
    assert causes.REGISTRY.get("two_kinds_of_rows").rule(evidence(signs=seen)) is None
    sorted_rows = replace(late, one="audio", other="video")  # and another stream puts them back
    seen = replace(seen, joins=(sorted_rows,))
    assert causes.REGISTRY.get("memorised_labels").rule(evidence(signs=seen)) is None
    assert moved_rows(seen) == [sorted_rows]


def test_rows_of_another_encoder_are_told_where_it_is_no_second_cloud():
    rows = WHOLE.rows["video"]
    mixing = np.linalg.qr(np.random.default_rng(1).normal(size=(rows.shape[1],) * 2))[0]
    middle = rows.mean(axis=0)
    unit = (rows - middle) / rows.std(axis=0)
    table = having(np.where(HALF[:, None], unit @ mixing, unit))
    (one,) = class_groups(table, set())
    assert one.kind == "other" and one.columns == ()
    cause = causes.REGISTRY.get("two_kinds_of_rows").rule(evidence(signs=signs_of(table, class_groups=(one,))))
    assert "the classes lie otherwise" in cause.text and "by the same layer" in cause.advice
    assert class_groups(table, {"video"}) == ()


def test_no_groups_in_a_clean_corpus_nor_where_labels_or_people_differ():
    rng = np.random.default_rng(0)
    assert class_groups(of(WHOLE), set()) == ()
    for how in (
        damages.labels_shifted,
        damages.labels_swapped,
        damages.shuffled,
        outside_features.an_expressive_speaker,
    ):
        assert class_groups(of(how(WHOLE, rng, 1.0)), set()) == ()
    noise = {name: rng.normal(size=rows.shape) for name, rows in WHOLE.rows.items()}
    assert class_groups(of(WHOLE.having(noise)), set()) == ()
