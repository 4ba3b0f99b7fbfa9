"""`auto` takes a fusion where it is significantly better, and else does no harm."""

import json
from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.search.choice import Choice
from dualstream.heads.search.options import SelectionOptions
from dualstream.heads.search.selection import select
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions

from tests.heads.planted import PLANTS, plant
from tests.heads.small_corpora import noise_corpus, with_signal

LINEAR = ("linear_video", "linear_audio", "linear", "linear_late")
QUICK = FitOptions(seeds=(0,), tasks=("emotion",), penalty=64.0)  # no search for a penalty in every fold
FAST = replace(QUICK, parameters={"candidates": list(LINEAR)})


def accuracy(model, test):
    return float((model.predict(test).emotion.argmax(1) == test.emotion).mean())


def complementary(count, seed, *, first_speaker=0):
    return with_signal(noise_corpus(count, seed=seed, first_speaker=first_speaker), video=0.35, audio=0.35)


def test_a_fusion_that_is_surely_better_is_taken():
    (model,) = registry.fit("auto", complementary(500, 1), complementary(120, 2), options=FAST)
    assert model.choice["name"] in ("linear", "linear_late")
    table = {row["candidate"]: row for row in model.choice["evidence"]}
    taken = table[model.choice["name"]]
    assert taken["chosen"] and taken["corrected_p"] <= 0.05 and taken["against_single"]["difference"] > 0
    assert not table["linear_video"]["chosen"] and table["linear_video"]["single"]


def test_noise_beside_a_stream_is_left_out():
    fell_back = 0
    for seed in range(6):
        train = with_signal(noise_corpus(150, seed=seed), video=0.5, audio=0.0)
        (model,) = registry.fit("auto", train, options=FAST)
        fell_back += model.choice["name"] == "linear_video"
    assert fell_back >= 5


def test_pure_noise_is_rarely_believed():
    """Nothing can be read: at most the level's share of fusions may be taken (12 corpora: 2 or fewer)."""
    taken = 0
    for seed in range(12):
        selection = SelectionOptions(candidates=LINEAR, repeats=1)
        choice = select(noise_corpus(100, seed=seed), None, options=QUICK, selection=selection)
        taken += choice.name in ("linear", "linear_late")
    assert taken <= 2


@pytest.mark.parametrize("name", ["exclusive_or", "noise_stream"])
def test_never_behind_the_best_single_stream(name):
    candidates = "linear_video, linear_audio, linear, concat_norm"
    options = replace(QUICK, parameters={"candidates": candidates, "repeats": 1})
    split = plant(name, 3, test=1000)
    (model,) = registry.fit("auto", split.train, split.dev, options=options)
    plain = replace(options, parameters={})
    best = max(
        accuracy(registry.fit(single, split.train, split.dev, options=plain)[0], split.test)
        for single in ("linear_video", "linear_audio")
    )
    assert accuracy(model, split.test) >= best - 0.01
    if name == "exclusive_or":
        assert model.choice["name"] == "concat_norm"


@pytest.mark.slow
@pytest.mark.timeout(1800)
@pytest.mark.parametrize("name", list(PLANTS))
def test_never_a_point_behind_over_20_seeds(name):
    options = FitOptions(seeds=(0,), threads=1)
    for seed in range(20):
        split = plant(name, seed, test=4000)
        (model,) = registry.fit("auto", split.train, split.dev, options=options)
        singles = {
            single: accuracy(registry.fit(single, split.train, split.dev, options=options)[0], split.test)
            for single in ("linear_video", "linear_audio", "video", "audio")
        }
        assert accuracy(model, split.test) >= max(singles.values()) - 0.01, (seed, model.choice["name"], singles)


def test_folds_go_by_speaker_where_dev_has_new_people():
    train, dev = complementary(300, 1), complementary(90, 2, first_speaker=5)
    train, dev = (replace(part, speaker=part.speaker.min() + part.dialogue % 5) for part in (train, dev))
    selection = SelectionOptions(candidates=LINEAR, repeats=1)
    assert select(train, dev, options=QUICK, selection=selection).groups == "speaker"
    assert select(train, None, options=QUICK, selection=selection).groups == "dialogue"


def test_folds_by_speaker_keep_shared_dialogues_whole():
    """Two speakers a session, as in IEMOCAP: the choice rests on sessions, the intervals too."""
    train, dev = complementary(360, 1), complementary(72, 2)
    session = np.arange(360) // 72
    train = replace(train, speaker=2 * session + np.arange(360) % 2)
    dev = replace(dev, speaker=20 + np.arange(72) % 2)
    selection = SelectionOptions(candidates=LINEAR, repeats=1)
    choice = select(train, dev, options=QUICK, selection=selection)
    assert choice.groups == "speaker"
    assert {one.against_single.groups for one in choice.evidence if one.against_single} == {6}  # 12 speakers


def test_folds_go_by_dialogue_where_all_speakers_are_connected():
    train, dev = complementary(300, 1), complementary(90, 2, first_speaker=5)
    selection = SelectionOptions(candidates=LINEAR, repeats=1)
    assert select(train, dev, options=QUICK, selection=selection).groups == "dialogue"
    with pytest.raises(ValueError, match="connected by dialogues"):
        select(train, dev, options=QUICK, selection=replace(selection, folds="speaker"))


def test_the_choice_does_not_depend_on_the_number_of_threads():
    """Folds of a trained candidate run side by side."""
    train = with_signal(noise_corpus(200), video=0.5, audio=0.25)
    selection = SelectionOptions(candidates=("linear_video", "video", "concat_norm"), repeats=1)
    choices = [
        select(train, None, options=replace(QUICK, epochs=4, threads=threads), selection=selection)
        for threads in (1, 3)
    ]
    assert choices[0] == choices[1]
    assert choices[0].evidence[1].score is not None


def test_dev_is_used_unless_patience_forbids():
    train, dev = complementary(100, 1), complementary(100, 2)
    rng = np.random.default_rng(0)
    shuffled = replace(dev, emotion=rng.permutation(dev.emotion), sentiment=rng.permutation(dev.sentiment))

    def tables(options):
        selection = SelectionOptions(candidates=LINEAR, repeats=1)
        return [select(train, d, options=options, selection=selection).to_json() for d in (dev, shuffled)]

    one, two = tables(QUICK)
    assert one != two
    one, two = tables(replace(QUICK, patience=0))
    assert one == two


def test_candidates_that_do_not_fit_the_corpus_are_said():
    choice = select(
        noise_corpus(120), None, selection=SelectionOptions(candidates=("linear_video", "linear", "aligned"))
    )
    (aligned,) = [each for each in choice.evidence if each.candidate == "aligned"]
    assert aligned.score is None and "needs windows" in aligned.reason


def test_one_stream_alone_leaves_the_best_of_its_variants():
    train = with_signal(noise_corpus(200, seed=1), video=0.5, audio=0.5)
    alone = replace(train, streams={"audio": train.streams["audio"]})
    (model,) = registry.fit("auto", alone, options=FAST)
    assert model.choice["name"] == "linear_audio"
    table = {row["candidate"]: row["reason"] for row in model.choice["evidence"]}
    assert table["linear_audio"] == "best of audio, the only stream"
    for name in ("linear_video", "linear", "linear_late"):
        assert "this corpus has audio alone" in table[name]
    arrays, values = model.state()
    again = registry.restore(arrays, values)
    np.testing.assert_array_equal(again.predict(alone).emotion, model.predict(alone).emotion)


def test_no_stream_at_all_fails():
    with pytest.raises(ValueError, match="auto reads the video stream; this corpus has no stream"):
        registry.fit("auto", replace(noise_corpus(40), streams={}), options=FAST)


def test_repeats_split_anew():
    train = with_signal(noise_corpus(400), video=0.5, audio=0.25)
    choice = select(train, None, options=QUICK, selection=SelectionOptions(candidates=LINEAR, repeats=2))
    assert {len(each.score.seeds) for each in choice.evidence} == {2}
    assert any(len(set(each.score.seeds)) == 2 for each in choice.evidence)


def counted(monkeypatch):
    """Return the list that every fit is written into: (variant, seeds, patience, utterances)."""
    fits, real = [], registry.fit

    def counting(name, train, *rest, options, **more):
        fits.append((name, options.seeds, options.patience, len(train)))
        return real(name, train, *rest, options=options, **more)

    monkeypatch.setattr(registry, "fit", counting)
    return fits


def test_networks_that_are_named_are_fitted_once_a_fold(monkeypatch):
    """With one seed; solved candidates answer without a fit a fold."""
    fits = counted(monkeypatch)
    candidates = (*LINEAR, "video", "concat_norm")
    train, dev = complementary(200, 1), complementary(60, 2)
    select(
        train, dev, options=replace(QUICK, epochs=2, patience=8), selection=SelectionOptions(candidates=candidates)
    )
    assert sorted(name for name, *_ in fits) == ["concat_norm"] * 3 + ["video"] * 3
    assert {seeds for _, seeds, _, _ in fits} == {(0,)} and {patience for _, _, patience, _ in fits} == {5}


def test_no_network_is_fitted_where_a_solved_fusion_is_significantly_better(monkeypatch):
    fits = counted(monkeypatch)
    choice = select(complementary(500, 1), None, options=QUICK)
    assert not fits
    table = {each.candidate: each for each in choice.evidence}
    assert table[choice.name].corrected_p <= 0.05
    for name in ("video", "audio", "concat_norm", "aligned"):
        assert table[name].score is None and table[name].reason.startswith("not tried:")


def test_networks_are_dropped_after_one_fold_unless_they_lead(monkeypatch):
    """The class is whether two signs agree: a network that multiplies finds it, one that reads a stream can't."""
    fits = counted(monkeypatch)
    split = plant("exclusive_or", 3)
    choice = select(split.train, split.dev, options=replace(QUICK, threads=1))
    assert choice.name in ("concat_norm", "aligned")
    tried = [name for name, *_ in fits]
    assert tried.count("concat_norm") == 3 and tried.count("video") == tried.count("audio") == 1
    table = {each.candidate: each for each in choice.evidence}
    assert table["video"].reason.startswith("not ahead of ") and table["video"].score is None
    assert table["concat_norm"].corrected_p <= 0.05


def test_state_restores_the_same_model():
    train = complementary(200, 1)
    (model,) = registry.fit("auto", train, options=FAST)
    arrays, values = model.state()
    again = registry.restore(arrays, json.loads(json.dumps(values, allow_nan=False)))
    assert (again.variant, again.seed, again.choice) == ("auto", 0, model.choice)
    np.testing.assert_array_equal(again.predict(train).emotion, model.predict(train).emotion)


def test_large_corpora_are_sampled_by_whole_groups():
    train = complementary(200, 1)
    choice = select(
        train, None, options=QUICK, selection=SelectionOptions(candidates=LINEAR, repeats=1, sample=100)
    )
    assert 100 <= choice.utterances < 106  # dialogues are of six, the last of two
    assert choice.to_json()["utterances"] == choice.utterances


def test_progress_counts_candidates():
    events = []
    registry.fit("auto", complementary(100, 1), options=FAST, progress=events.append)
    assert events[0] == {"variant": "auto: linear_video", "epoch": 0, "epochs": 4}


@pytest.mark.parametrize("name", ["video", "linear_video"])
def test_an_interrupt_ends_the_choice_at_the_next_epoch(name):
    """The second candidate would train for a million epochs in every fold."""
    events = []

    def stop(event):
        events.append(event)
        if event["variant"] == f"auto: {name}" and len(events) > 4:
            raise KeyboardInterrupt

    options = replace(QUICK, epochs=10**6, patience=0, parameters={"candidates": f"linear_audio,{name}"})
    with pytest.raises(KeyboardInterrupt):
        registry.fit("auto", complementary(60, 1), options=options, progress=stop)


@pytest.mark.parametrize(
    ("parameters", "message"),
    [
        ({"candidates": "linear,linear_late"}, "none of linear, linear_late reads a single stream"),
        ({"candidates": ["sum"]}, "no fusion variant is called 'sum'"),
        ({"candidates": ["auto", "video"]}, "candidate of its own"),
        ({"alpha": 2.0}, "alpha 2.0"),
        ({"sample": 0}, "sample=0"),
        ({"folds": "actor"}, "folds 'actor'"),
        ({"metric": "auc"}, "'auc'"),
    ],
)
def test_auto_fails(parameters, message):
    with pytest.raises(ValueError, match=message):
        registry.fit("auto", noise_corpus(40), options=FitOptions(parameters=parameters))


def test_auto_fails_with_one_group_and_without_labels():
    alone = replace(noise_corpus(30), dialogue=np.zeros(30, np.int64))
    with pytest.raises(ValueError, match="two groups or more"):
        registry.fit("auto", alone, options=FAST)
    bare = replace(noise_corpus(30), emotion=np.full(30, -1), sentiment=np.full(30, -1))
    with pytest.raises(ValueError, match="no training utterance has a label"):
        registry.fit("auto", bare, options=FAST)


def test_choice_is_json():
    choice = select(
        noise_corpus(60), None, options=QUICK, selection=SelectionOptions(candidates=LINEAR, repeats=1)
    )
    assert isinstance(choice, Choice)
    json.dumps(choice.to_json(), allow_nan=False)
