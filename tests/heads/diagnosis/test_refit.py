"""Pools of train and dev, their folds, and out-of-fold answers by a head that tells what it was fitted on."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads import losses
from dualstream.heads.data.batch import join
from dualstream.heads.diagnosis import diagnose, options
from dualstream.heads.diagnosis.options import DiagnosisOptions
from dualstream.heads.diagnosis.refit import Trial, compare, grouping, pool, predict, refit, uar
from dualstream.heads.variants import registry
from dualstream.heads.variants.options import FitOptions
from planted_causes import PlantOptions, plant
from sklearn.metrics import balanced_accuracy_score

from tests.heads.small_corpora import noise_corpus, with_signal
from tests.registries import scratch

FIT = FitOptions(seeds=(0, 1), tasks=("emotion",), threads=1)


def corpora(train=120, dev=60, **how):
    return noise_corpus(train, seed=1, **how), noise_corpus(dev, seed=2, **how)


def pooled(train, dev, **how):
    given = {"folds": 3, "task": "emotion", "by": "dialogue", "sample": 10_000, "seed": 0, **how}
    return pool(train, dev, **given)


def test_a_pool_is_train_then_dev_without_the_unlabelled():
    train, dev = corpora()
    blank = train.emotion.copy()
    blank[::4] = -1
    found = pooled(replace(train, emotion=blank), dev)
    assert len(found.features) == 90 + 60 and found.was_dev.sum() == 60 and not found.was_dev[:90].any()
    np.testing.assert_array_equal(found.truth, np.concatenate([blank[blank >= 0], dev.emotion]))
    assert found.classes == 3


@pytest.mark.parametrize("folds", [3, 4, 5])
def test_folds_keep_dialogues_whole_and_are_of_like_size(folds):
    train, dev = corpora()
    found = pooled(train, dev, folds=folds)
    names = join(train, dev).dialogue
    assert all(len(set(found.fold[names == name])) == 1 for name in np.unique(names))
    counts = np.bincount([found.fold[names == name][0] for name in np.unique(names)])
    assert len(counts) == folds and counts.max() - counts.min() <= 1
    assert sorted(np.concatenate([found.rows([fold]) for fold in range(folds)]).tolist()) == list(range(180))


def test_a_seed_deals_folds():
    train, dev = corpora()
    one, again, other = (pooled(train, dev, seed=seed).fold.tolist() for seed in (0, 0, 1))
    assert one == again != other


def test_large_pools_are_drawn_by_whole_groups():
    train, dev = corpora()
    found = pooled(train, dev, sample=50)
    assert 50 <= len(found.features) <= 56  # one dialogue more at most
    kept = set(found.features.dialogue.tolist())
    names = join(train, dev).dialogue
    assert len(found.features) == np.isin(names, list(kept)).sum()


def test_too_few_dialogues_say_what_to_do():
    train, dev = corpora(12, 12)
    with pytest.raises(ValueError, match="have 4 dialogues with labels of emotion; 3 folds need 6 or more"):
        pooled(train, dev)


def test_one_class_is_nothing_to_diagnose():
    train, dev = corpora()
    alike = (replace(part, emotion=np.ones_like(part.emotion)) for part in (train, dev))
    with pytest.raises(ValueError, match="all 180 labelled utterances are 'joy'"):
        pooled(*alike)


def test_folds_are_by_dialogue_where_dev_has_train_s_speakers():
    train, dev = corpora(speakers=5)
    assert grouping(train, dev, 3) == ("dialogue", ())
    assert grouping(train, None, 3)[1] == ()


def test_folds_are_by_speaker_where_dev_has_its_own():
    train = noise_corpus(60, seed=1, speakers=10, dialogue_length=1)
    dev = noise_corpus(30, seed=2, speakers=5, first_speaker=50, dialogue_length=1)
    assert grouping(train, dev, 3) == ("speaker", ())


def test_speakers_who_share_dialogues_can_t_be_held_apart_and_that_is_said():
    train = noise_corpus(60, seed=1, speakers=5, dialogue_length=6)
    dev = noise_corpus(30, seed=2, speakers=5, first_speaker=50, dialogue_length=6)
    by, (note,) = grouping(train, dev, 3)
    assert by == "dialogue" and "speakers are on both sides" in note


def test_uar_is_scikit_learns():
    rng = np.random.default_rng(0)
    rows, truth = rng.normal(size=(200, 4)), rng.choice(4, 200, p=[0.6, 0.2, 0.15, 0.05])
    assert uar(rows, truth) == pytest.approx(balanced_accuracy_score(truth, rows.argmax(1)))


def test_out_of_fold_answers_are_of_models_that_have_not_seen_the_group():
    """Each dialogue has a label of its own and a mark in its rows: only who saw it could answer."""
    train, dev = corpora(180, 60)
    both = []
    for part in (train, dev):
        rng = np.random.default_rng(3)
        label = rng.integers(0, 3, 100)[part.dialogue]
        mark = rng.normal(size=(100, 12))[part.dialogue]
        audio = replace(part.streams["audio"], utterance=(5 * mark).astype(np.float32))
        both.append(replace(part, emotion=label, streams={**part.streams, "audio": audio}))
    both[1] = replace(both[1], dialogue=both[1].dialogue + 1000)
    found = refit(
        Trial("as it is", "linear_audio", replace(FIT, seeds=(0,), parameters={"solver": "ridge"})), pooled(*both)
    )
    assert found.train_score > found.score + 0.2 and found.score < 0.6
    (rows,) = found.log_probabilities
    assert np.isfinite(rows).all()


def test_signal_is_found_and_scores_are_of_the_answers():
    train, dev = (with_signal(part, video=1.0, audio=0.0) for part in corpora())
    mine = pooled(train, dev)
    found = refit(Trial("as it is", "linear_video", FIT), mine)
    assert found.score > 0.8 and len(found.log_probabilities) >= 1 and len(found.models) == 3
    answers = [rows.argmax(axis=1) for rows in found.log_probabilities]
    assert found.score == pytest.approx(np.mean([balanced_accuracy_score(mine.truth, one) for one in answers]))
    models, change = found.models[0]
    held = mine.rows([0])
    np.testing.assert_allclose(
        predict(models[0], change(mine.features.take(held)), "emotion"), found.log_probabilities[0][held]
    )


def test_a_change_is_learnt_from_the_rows_that_are_fitted():
    train, dev = corpora()
    asked = []

    def prepare(part):
        asked.append(len(part))
        return lambda features: replace(
            features,
            streams={
                **features.streams,
                "video": replace(
                    features.streams["video"], utterance=np.zeros_like(features.streams["video"].utterance)
                ),
            },
        )

    mine = pooled(*(with_signal(part, video=2.0, audio=0.0) for part in (train, dev)))
    found = refit(Trial("blind", "linear_video", FIT, prepare), mine)
    assert len(asked) == 3 and all(count < len(mine.features) for count in asked)
    assert found.score < 0.5  # with the video gone there is nothing to see


def test_a_comparison_is_of_the_same_rows():
    train, dev = (with_signal(part, video=1.5, audio=0.0) for part in corpora())
    mine = pooled(train, dev)
    seeing, blind = (
        refit(Trial(name, name, FIT), mine).log_probabilities for name in ("linear_video", "linear_audio")
    )
    gain = compare(seeing, blind, mine)
    expected = np.mean([uar(rows, mine.truth) for rows in seeing]) - np.mean(
        [uar(rows, mine.truth) for rows in blind]
    )
    assert (
        gain.difference == pytest.approx(expected) and gain.low > 0 and gain.groups == len(np.unique(mine.group))
    )
    assert compare(blind, blind, mine).difference == 0


@pytest.mark.parametrize("fusion", ["concat", pytest.param("linear", marks=pytest.mark.slow)])
def test_a_diagnosis_says_the_same_from_several_processes(fusion, monkeypatch):
    train, dev = plant(PlantOptions(seed=3, utterances=160))
    asked = DiagnosisOptions(
        fusion=fusion,
        folds=3,
        fit=FitOptions(seeds=(0, 1), epochs=2),
        interventions=("standardise", "align windows"),
        limits=False,
    )
    found = []
    for threads in (1, 2):
        monkeypatch.setattr(options, "WORTH_PROCESSES", 10)
        chosen = replace(asked, fit=replace(asked.fit, threads=threads))
        assert chosen.processes(160) == threads
        found.append(diagnose(train, dev, chosen).to_json())
    assert found[0] == found[1]


def test_what_a_program_registers_is_fitted_where_it_is_known(monkeypatch):
    monkeypatch.setattr(options, "WORTH_PROCESSES", 10)
    train, dev = plant(PlantOptions(seed=3, utterances=120))
    with scratch(losses.REGISTRY):
        entry = replace(losses.get("cross_entropy"), name="planted")
        losses.REGISTRY.add("planted", entry, __name__)
        fit = FitOptions(seeds=(0,), epochs=1, loss="planted", threads=2)
        asked = DiagnosisOptions(folds=3, fit=fit, interventions=("standardise",), measures=False, limits=False)
        assert registry.is_found_anew("concat", replace(fit, loss="focal", balance="umt"))
        assert not registry.is_found_anew("concat", fit)
        assert diagnose(train, dev, asked).evidence.scores["fused"].mean > 0
