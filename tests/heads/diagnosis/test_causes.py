"""The named cause is the planted one; remedies are measured; the corpus's faults can't hide each other."""

import json
from dataclasses import replace

import numpy as np
import pytest

from heads.diagnosis import diagnose
from heads.diagnosis.evidence import DiagnosisOptions
from heads.diagnosis.planted_causes import CAUSES, PlantOptions, plant
from heads.variant import FitOptions

QUICK = DiagnosisOptions(
    folds=3,
    fit=FitOptions(seeds=(0,), patience=5, threads=1),
    interventions=("standardise", "equalise widths", "rebalance classes", "regularise"),
)


def named(causes, seed, options=QUICK, **plan):
    found = diagnose(*plant(PlantOptions(causes, seed=seed, **plan)), options)
    json.dumps(found.to_json(), allow_nan=False)  # everything that is found can be written down
    return found


def test_a_sound_corpus_has_nothing_wrong():
    assert named(("none",), seed=11, utterances=480).causes[0].name == "nothing_wrong"


def test_scale_mismatch_is_mended_by_standardising():
    (cause,) = named(("scale_mismatch",), seed=12, utterances=480).causes
    remedy = cause.remedies[0]
    assert remedy.name == "standardise"
    assert remedy.gain.low > 0
    # the mended head reaches what the same corpus gives without the fault
    sound = named(("none",), seed=12, utterances=480).evidence.scores["fused"].mean
    assert remedy.score.mean == pytest.approx(sound, abs=0.05)


@pytest.mark.slow
def test_two_causes_are_both_named():
    found = named(("leakage", "starved_sampling"), seed=13, utterances=480)
    assert {"leakage", "starved_sampling"} <= {cause.name for cause in found.causes}


def test_the_other_cache_measures_what_starving_costs():
    dense, starved = (
        plant(PlantOptions(causes, seed=14, utterances=480)) for causes in (("none",), ("starved_sampling",))
    )
    found = diagnose(*starved, QUICK, other=dense)
    assert found.causes[0].name == "starved_sampling"
    assert found.causes[0].interval[0] > 0


def test_other_features_of_other_utterances_fail():
    one, two = (plant(PlantOptions(seed=seed, utterances=240)) for seed in (15, 16))
    with pytest.raises(ValueError, match="not of the same utterances"):
        diagnose(*one, QUICK, other=two)


@pytest.mark.slow
def test_noise_is_no_finding():
    """Where labels have nothing to do with the features, no remedy is recommended."""
    train, dev = plant(PlantOptions(seed=17, utterances=480))
    rng = np.random.default_rng(0)
    for part in (train, dev):
        part.emotion[:] = rng.permutation(part.emotion)
    found = diagnose(train, dev, QUICK)
    assert not any(remedy.gain.low > 0.05 for cause in found.causes for remedy in cause.remedies)
    assert found.causes[0].name in {"cannot_tell", "no_complement", "too_little_data"}


def test_new_speakers_in_dev_are_kept_whole():
    """What tells one person from another is neither drift nor known in advance: folds go by speaker."""
    train, dev = plant(PlantOptions(seed=19, utterances=240))
    own = np.random.default_rng(0).normal(size=(12, train.streams["video"].width)).astype(np.float32)
    for part, speakers in ((train, np.arange(8)), (dev, np.arange(8, 12))):
        part.speaker[:] = speakers[np.arange(len(part)) % len(speakers)]
        part.streams["video"].utterance[:] += own[part.speaker]
    evidence = diagnose(train, dev, replace(QUICK, interventions=())).evidence
    assert (evidence.grouped_by, evidence.groups) == ("speaker", 12)
    assert evidence.spaces["video"].drift_auc < 0.9  # by dialogue it is 1: the same people stand on both sides


def test_columns_of_uneven_scale_are_a_scale_mismatch():
    """Both streams equally large as a whole, but a few of the columns drown the others."""
    train, dev = plant(PlantOptions(seed=20, utterances=480))
    loud = np.where(np.arange(192) % 8 == 0, 40.0, 1.0).astype(np.float32)
    noise = np.random.default_rng(0)
    for part in (train, dev):
        audio = part.streams["audio"]
        audio.utterance[:, loud > 1] = noise.normal(size=(len(part), int((loud > 1).sum())))
        audio.utterance[:] *= loud
    cause = diagnose(train, dev, QUICK).causes[0]
    assert cause.name == "scale_mismatch"
    assert "columns of audio spread unevenly" in cause.text


def test_diagnosis_without_a_stream_fails():
    train, dev = plant(PlantOptions(seed=18, utterances=240))
    del train.streams["audio"]
    with pytest.raises(ValueError, match="needs both streams"):
        diagnose(train, dev, QUICK)


def test_options_fail_with_what_there_is():
    with pytest.raises(ValueError, match="there are: standardise"):
        DiagnosisOptions(interventions=("standardize",))
    with pytest.raises(ValueError, match="3 or more"):
        DiagnosisOptions(folds=2)


@pytest.mark.slow
@pytest.mark.parametrize("seed", [21, 22])
@pytest.mark.parametrize("cause", CAUSES)
def test_names_every_cause(cause, seed):
    """By plain cross-entropy: the default loss keeps a head from collapsing, and then nothing is wrong."""
    fit = FitOptions(seeds=(0,), patience=5, threads=1, loss="cross_entropy")
    options = DiagnosisOptions(folds=3, fit=fit)
    found = named((cause,), seed=seed, options=options)
    assert found.causes[0].name == ("nothing_wrong" if cause == "none" else cause)


def test_of_a_large_corpus_whole_dialogues_are_drawn():
    train, dev = plant(PlantOptions(seed=21, utterances=480))
    found = diagnose(train, dev, replace(QUICK, interventions=(), sample=200))
    evidence = found.evidence
    assert evidence.utterances == 200  # dialogues of eight
    assert evidence.groups == 25
    assert "refitted on 200 of 480 utterances, drawn by whole dialogues" in evidence.notes[-1]
