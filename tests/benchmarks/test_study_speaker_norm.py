"""The study behind docs/heads.md: batches hold what their names say, and planted speakers show what they should."""

import numpy as np
import pytest

pytest.importorskip("soundfile")
from study_speaker_norm import ALL, KINDS, answers, corpus_of, scored, ways


def planted(speakers=8, each=28, seed=0):
    """Four emotions that sound tells apart, by speakers who are each shifted by as much."""
    rng = np.random.default_rng(seed)
    label = np.tile(np.arange(4), speakers * each // 4)
    speaker = np.repeat(np.arange(speakers), each)
    means, voices = rng.normal(size=(4, 10)) * 1.5, rng.normal(size=(speakers, 10)) * 1.5
    rows = (rng.normal(size=(len(label), 10)) + means[label] + voices[speaker]).astype(np.float32)
    return corpus_of({"audio": rows}, label.astype(str), speaker.astype(str))


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.name)
def test_every_utterance_is_scored_in_one_batch_of_the_kind(kind):
    features = planted()
    count = np.zeros(len(features))
    for rows, wanted in kind.rounds(features, 0):
        count[wanted] += 1
        assert np.isin(wanted, rows).all()
        for code in np.unique(features.speaker[rows]):
            own = rows[features.speaker[rows] == code]
            if kind.size is not None:
                assert len(own) == kind.size or len(own) == 28 % kind.size
            if kind.emotions is not None:
                assert len(np.unique(features.emotion[own])) == min(kind.emotions, 4)
            if kind.name == ALL:
                assert len(own) == 28
    assert (count == 1).all()


@pytest.mark.slow
def test_rule_1_collapses_where_rule_2_does_not():
    features = planted()
    found = {
        way.name: {name: scored(features, rows).mean for name, rows in answers("emodb", features, way, 1).items()}
        for way in ways(every_weight=False)
    }
    raw, before, after = found["raw"], found["before (rule 1)"], found["rule 2"]
    assert before["1 emotion"] < 0.4 and after["1 emotion"] > 0.6
    assert before[ALL] > raw[ALL] + 0.05 and after[ALL] > before[ALL] - 0.05
    assert after["1"] > raw["1"] - 0.1 and before["1"] < raw["1"] - 0.1
