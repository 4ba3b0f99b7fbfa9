"""DualHeadClassifier keeps scikit-learn's contract, and answers as the variants do."""

import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dualstream.heads import DualHeadClassifier
from dualstream.heads.data.batch import StreamArrays
from dualstream.heads.variants import joint_fit
from dualstream.heads.variants.registry import FitOptions
from sklearn.model_selection import GridSearchCV, GroupKFold, cross_validate
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler
from sklearn.utils.estimator_checks import parametrize_with_checks

from tests.heads.small_corpora import noise_corpus, with_signal, without

EXPECTED_TO_FAIL = {
    "check_classifier_multioutput": "it fits three columns of labels; ours are one, or two: emotion and sentiment",
}


@parametrize_with_checks(
    [
        DualHeadClassifier(),
        DualHeadClassifier("linear_late", parameters={"solver": "lda"}),
        DualHeadClassifier(penalty=1.0, parameters={"solver": "ridge"}),
        DualHeadClassifier("concat", epochs=15, hidden=16, learning_rate=0.01, dropout=0.0),
    ],
    expected_failed_checks=lambda estimator: EXPECTED_TO_FAIL,
)
def test_scikit_learn_checks(estimator, check):
    check(estimator)


def arrays(features):
    X = np.concatenate([features.streams[name].utterance for name in ("video", "audio")], 1)
    return X, np.stack([features.emotion, features.sentiment], 1)


@pytest.fixture
def corpus():
    return with_signal(noise_corpus(300, seed=1), video=0.5, audio=0.5)


def test_answers_as_the_variant_does(corpus):
    X, y = arrays(corpus)
    found = DualHeadClassifier(video_width=8, penalty=3.0).fit(X, y, groups=corpus.dialogue)
    (model,) = joint_fit.fit("linear", corpus, options=FitOptions(seeds=(0,), penalty=3.0))
    emotion, sentiment = found.predict_proba(X)
    np.testing.assert_allclose(emotion, np.exp(model.predict(corpus).emotion), atol=1e-6)
    np.testing.assert_allclose(sentiment, np.exp(model.predict(corpus).sentiment), atol=1e-6)
    assert found.predict(X).shape == (300, 2)
    assert found.score(X, y) == pytest.approx((found.predict(X) == y).mean())


def test_labels_may_be_words(corpus):
    X, y = arrays(corpus)
    words = np.array(["calm", "joy", "anger"])
    found = DualHeadClassifier(video_width=8).fit(X, words[y[:, 0]])
    assert set(found.classes_) == {"anger", "calm", "joy"}
    assert (found.predict(X) == words[y[:, 0]]).mean() > 0.8
    both = DualHeadClassifier(video_width=8).fit(X, words[y])
    assert both.score(X, words[y]) > 0.8


def test_columns_are_the_streams_that_were_said(corpus):
    X, y = arrays(corpus)
    shuffled = np.random.default_rng(0).permutation(X.shape[1])
    video = np.flatnonzero(shuffled < 8)
    straight = DualHeadClassifier("linear_video", video_width=8, penalty=1.0).fit(X, y[:, 0])
    mixed = DualHeadClassifier("linear_video", video_columns=video, penalty=1.0).fit(X[:, shuffled], y[:, 0])
    np.testing.assert_allclose(straight.predict_proba(X), mixed.predict_proba(X[:, shuffled]), atol=1e-4)
    X[:, 8:] = 0  # the audio is not read
    np.testing.assert_allclose(straight.predict_proba(X), mixed.predict_proba(X[:, shuffled]), atol=1e-4)


def test_default_widths():
    rng = np.random.default_rng(0)
    found = DualHeadClassifier(penalty=1.0).fit(rng.normal(size=(20, 292)), np.arange(20) % 2)
    assert found.models_[0].parts[0].design.widths == (100, 192)
    found = DualHeadClassifier(penalty=1.0).fit(rng.normal(size=(20, 7)), np.arange(20) % 2)
    assert found.models_[0].parts[0].design.widths == (4, 3)


def test_cross_validate_and_grid_search(corpus):
    X, y = arrays(corpus)
    scores = cross_validate(
        DualHeadClassifier(video_width=8), X, y, groups=corpus.speaker, cv=GroupKFold(5), error_score="raise"
    )
    assert scores["test_score"].mean() > 0.75
    search = GridSearchCV(
        DualHeadClassifier(video_width=8),
        {"penalty": [1.0, 1e5], "fusion": ["linear", "linear_audio"]},
        cv=3,
        error_score="raise",
    ).fit(X, y[:, 0])
    assert search.best_params_ == {"fusion": "linear", "penalty": 1.0}
    assert make_pipeline(StandardScaler(), DualHeadClassifier(video_width=8)).fit(X, y).score(X, y) > 0.8


def test_missing_streams_are_rows_of_nan(corpus):
    X, y = arrays(corpus)
    X[::5, 8:] = np.nan
    found = DualHeadClassifier("linear_late", video_width=8).fit(X, y)
    assert np.isfinite(found.predict_proba(X)[0]).all()
    X[3, 2] = np.nan
    with pytest.raises(ValueError, match="contains NaN in some video columns"):
        found.predict(X)


def test_joint_answers_never_contradict():
    X, y = arrays(with_signal(noise_corpus(300, classes=5), video=0.4, audio=0.4))  # three sentiments of five
    rng = np.random.default_rng(0)
    noise = rng.normal(size=X.shape)
    pairs = {tuple(pair) for pair in y.tolist()}
    said = {}
    for how in ({}, {"decoding": "separate"}, {"decoding": "pairs"}, {"joint": True}):
        said[str(how)] = DualHeadClassifier("linear_late", video_width=8, **how).fit(X, y).predict(noise)
    joint, apart, by_pairs, deprecated = said.values()
    assert not {tuple(pair) for pair in apart.tolist()} <= pairs
    assert {tuple(pair) for pair in joint.tolist()} <= pairs
    assert {tuple(pair) for pair in by_pairs.tolist()} <= pairs
    np.testing.assert_array_equal(joint[:, 0], apart[:, 0])  # emotion leads
    np.testing.assert_array_equal(by_pairs, deprecated)
    with pytest.raises(ValueError, match="decoding is 'both'"):
        DualHeadClassifier(video_width=8, decoding="both").fit(X, y)


def test_models_are_averaged(corpus):
    X, y = arrays(corpus)
    settings = {"video_width": 8, "epochs": 2, "hidden": 8}
    both = DualHeadClassifier("concat_norm", models=2, random_state=5, **settings).fit(X, y[:, 0])
    assert [model.seed for model in both.models_] == [5, 6]
    each = [
        DualHeadClassifier("concat_norm", random_state=seed, **settings).fit(X, y[:, 0]).predict_proba(X)
        for seed in (5, 6)
    ]
    np.testing.assert_allclose(both.predict_proba(X), np.mean(each, 0), atol=1e-5)


def test_groups_are_kept_whole(corpus):
    X, y = arrays(corpus)
    found = DualHeadClassifier(video_width=8).fit(X, y, groups=corpus.speaker)
    (model,) = found.models_
    assert model.inner.facts["folds"] == "dialogue"
    alone = DualHeadClassifier(video_width=8).fit(X, y, groups=np.zeros(len(X)))  # one group: nothing to fold
    assert alone.models_[0].inner.facts["folds"] == "none"


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"fusion": "sum"}, "no fusion variant is called 'sum'"),
        ({"fusion": "aligned"}, "needs windows"),
        ({"fusion": "dialogue:concat"}, "turns of dialogues"),
        ({"fusion": "concat", "hidden": 0}, "hidden is 0"),
        ({"parameters": {"solver": 3}}, "expected a word"),
        ({"video_width": 30}, "video_width is 30; X has n_features = 20"),
        ({"video_width": 20}, "none are audio"),
        ({"video_columns": [1, 99]}, "up to 99"),
        ({"video_columns": [1], "video_width": 3}, "not both"),
        ({"video_columns": "ab"}, "expected positions"),
        ({"models": 0}, "models is 0"),
        ({"parameters": {"solvers": "lda"}}, "no parameter"),
    ],
)
def test_fit_fails(corpus, settings, message):
    X, y = arrays(corpus)
    with pytest.raises(ValueError, match=message):
        DualHeadClassifier(**settings).fit(X, y)


def test_auto_makes_do_with_columns_of_one_stream(corpus):
    X, y = arrays(corpus)
    settings = {"fusion": "auto", "video_width": 0, "epochs": 2, "parameters": {"repeats": 1}}
    fitted = DualHeadClassifier(**settings).fit(X, y)
    assert fitted.models_[0].choice["name"] in ("linear_audio", "audio")


def test_random_state_may_be_none_or_a_generator(corpus):
    X, y = arrays(corpus)
    short = {"fusion": "concat", "epochs": 1, "video_width": 8}
    one, two = (
        DualHeadClassifier(**short, random_state=np.random.RandomState(3)).fit(X, y).predict_proba(X)
        for _ in range(2)
    )
    np.testing.assert_array_equal(one, two)
    assert DualHeadClassifier(**short, random_state=None).fit(X, y).models_[0].seed >= 0


def test_three_columns_of_labels_fail(corpus):
    X, y = arrays(corpus)
    with pytest.raises(ValueError, match="y has 3 columns"):
        DualHeadClassifier(video_width=8).fit(X, np.concatenate([y, y[:, :1]], 1))


def test_groups_of_another_length_fail(corpus):
    X, y = arrays(corpus)
    with pytest.raises(ValueError, match="groups has 3 entries"):
        DualHeadClassifier(video_width=8).fit(X, y, groups=[1, 2, 3])


def test_importing_heads_is_light():
    code = "import heads, sys; print(sorted({'torch', 'sklearn', 'scipy', 'numpy'} & set(sys.modules)))"
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=Path(__file__).parents[2]
    )
    assert done.stdout.strip() == "[]"


def three(features):
    """Return the corpus with a third stream, and X as a mapping from names to arrays."""
    rng = np.random.default_rng(5)
    face = StreamArrays(
        (rng.normal(size=(len(features), 5)) + features.emotion[:, None]).astype(np.float32),
        np.ones(len(features), bool),
    )
    named = {"whisper": features.streams["audio"], "acoustic": features.streams["video"], "face": face}
    return replace(features, streams=named), {name: one.utterance for name, one in named.items()}


@pytest.mark.parametrize("fusion", ["linear", "linear_late", "linear:face", "concat_norm"])
def test_any_number_of_streams_by_name(corpus, fusion):
    features, X = three(corpus)
    y = arrays(corpus)[1]
    how = {"epochs": 3, "penalty": 3.0} if fusion.startswith("linear") else {"epochs": 3}
    options = FitOptions(seeds=(0,), patience=0, **how)
    (model,) = joint_fit.fit(fusion, features, options=options)
    expected = np.exp(model.predict(features).emotion)
    joined = np.concatenate(list(X.values()), 1)
    by_mapping = DualHeadClassifier(fusion, **how).fit(X, y, groups=corpus.dialogue)
    by_width = DualHeadClassifier(fusion, streams={"whisper": 12, "acoustic": 8, "face": 5}, **how)
    by_width.fit(joined, y, groups=corpus.dialogue)
    for found in (
        by_mapping.predict_proba(X),
        by_mapping.predict_proba(dict(reversed(X.items()))),
        by_mapping.predict_proba(joined),
        by_width.predict_proba(joined),
        by_width.predict_proba(X),
    ):
        np.testing.assert_allclose(found[0], expected, atol=1e-6)
    turned = np.random.default_rng(1).permutation(25)
    places = {name: np.flatnonzero((turned >= a) & (turned < b)) for name, a, b in
              (("whisper", 0, 12), ("acoustic", 12, 20), ("face", 20, 25))}  # fmt: skip
    places = {name: at[np.argsort(turned[at])] for name, at in places.items()}
    by_place = DualHeadClassifier(fusion, streams=places, **how).fit(joined[:, turned], y, groups=corpus.dialogue)
    np.testing.assert_allclose(by_place.predict_proba(joined[:, turned])[0], expected, atol=1e-6)
    np.testing.assert_allclose(by_place.predict_proba(X)[0], expected, atol=1e-6)


def test_a_stream_of_three_may_be_missing(corpus):
    features, X = three(corpus)
    masked = {name: rows.copy() for name, rows in X.items()}
    masked["face"][:40] = np.nan
    classifier = DualHeadClassifier("linear_late").fit(masked, corpus.emotion)
    said = without(features, "face", np.arange(40))
    alone = replace(said, dialogue=np.arange(300), speaker=np.full(300, -1))
    (model,) = joint_fit.fit("linear_late", alone, options=FitOptions(seeds=(0,), tasks=("emotion",)))
    np.testing.assert_allclose(classifier.predict_proba(masked), np.exp(model.predict(alone).emotion), atol=1e-6)
    masked["face"][50, 0] = np.nan
    with pytest.raises(ValueError, match="NaN in some face columns"):
        classifier.predict(masked)


def test_streams_go_through_cross_validation(corpus):
    _, X = three(corpus)
    joined = np.concatenate(list(X.values()), 1)
    classifier = DualHeadClassifier(streams={"whisper": 12, "acoustic": 8, "face": 5}, penalty=3.0)
    found = cross_validate(classifier, joined, corpus.emotion, cv=3)
    assert found["test_score"].mean() > 0.6


@pytest.mark.parametrize(
    ("streams", "X", "says"),
    [
        ({"a": 10, "b": 14}, None, "the streams a: 10, b: 14 take 24 columns; X has n_features = 25"),
        ({"a": 10, "b": [1, 2]}, None, "expected a count of columns for each name"),
        ({"a": 25, "b": 0}, None, "the stream 'b' has 0 columns"),
        ({"a": list(range(13)), "b": list(range(12, 25))}, None, "each column is of one stream"),
        ({}, None, "expected a count of columns"),
        ({"a": 12, "b": 13}, {"a": 13, "b": 12}, "X has the streams a: 13, b: 12; streams says a: 12, b: 13"),
        (None, {"a": 12, "b": 13, "short": 2}, "different numbers of rows"),
    ],
)
def test_streams_that_do_not_fit_fail(corpus, streams, X, says):
    if X is not None:
        X = {name: np.zeros((300 - 10 * (name == "short"), width)) for name, width in X.items()}
    rows = np.zeros((300, 25)) if X is None else X
    with pytest.raises(ValueError, match=says):
        DualHeadClassifier(streams=streams).fit(rows, corpus.emotion)


def test_other_streams_than_in_the_fit_fail(corpus):
    _, X = three(corpus)
    classifier = DualHeadClassifier(penalty=1.0).fit(X, corpus.emotion)
    with pytest.raises(
        ValueError, match="X has the streams whisper: 12; the classifier was fitted on whisper: 12, a"
    ):
        classifier.predict({"whisper": X["whisper"]})
    with pytest.raises(ValueError, match="give the streams by name, or video_width"):
        DualHeadClassifier(video_width=3, streams={"a": 25}).fit(np.zeros((300, 25)), corpus.emotion)
    with pytest.raises(ValueError, match="linear_video reads video columns; of n_features = 25 none are video"):
        DualHeadClassifier("linear_video").fit(X, corpus.emotion)
