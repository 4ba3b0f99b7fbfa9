"""Linear heads: the optimum is scikit-learn's, the folds are honest, missing streams are no zeros."""

import json
import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dualstream.heads.linear import closed_form, logistic
from dualstream.heads.linear.head import PENALTIES
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions
from sklearn.covariance import ledoit_wolf
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression, Ridge

from tests.heads.small_corpora import noise_corpus, with_signal, without

LINEAR = ["linear_video", "linear_audio", "linear", "linear_late"]
SOLVERS = ["logistic", "ridge", "lda"]


def regression_case(seed, *, correlated, count=700, width=30, classes=4):
    rng = np.random.default_rng(seed)
    rows = rng.normal(size=(count, width))
    if correlated:
        rows = rows @ (rng.normal(size=(width, width)) * np.arange(1, width + 1) ** -1.5)
    rows = (rows - rows.mean(0)) / rows.std(0)
    labels = (rows @ rng.normal(size=(width, classes)) * 0.4 + rng.gumbel(size=(count, classes))).argmax(1)
    return rows, labels


def total_loss(rows, labels, weights, intercepts, penalty):
    logits = rows.astype(float) @ weights.T.astype(float) + intercepts
    log_p = logits - np.logaddexp.reduce(logits, axis=1, keepdims=True)
    return -log_p[np.arange(len(labels)), labels].sum() + penalty / 2 * (weights.astype(float) ** 2).sum()


@pytest.mark.parametrize("correlated", [False, True])
@pytest.mark.parametrize("penalty", [0.3, 10.0, 1000.0])
@pytest.mark.parametrize("dtype", [np.float64, np.float32])
def test_logistic_reaches_scikit_learns_optimum(correlated, penalty, dtype):
    rows, labels = regression_case(1, correlated=correlated)
    (found,) = logistic.solve(rows.astype(dtype), [logistic.Problem(labels, 4, penalty)])
    known = LogisticRegression(C=1 / penalty, tol=1e-10, max_iter=10_000).fit(rows, labels)
    best = total_loss(rows, labels, known.coef_, known.intercept_, penalty)
    assert found.converged
    assert found.steps <= 30
    assert abs(total_loss(rows, labels, found.weights, found.intercepts, penalty) - best) < 1e-4


def test_problems_side_by_side_are_those_alone():
    rows, labels = regression_case(2, correlated=True)
    masked = np.where(np.arange(len(labels)) % 3 == 0, -1, labels)
    problems = [
        logistic.Problem(labels, 4, 5.0),
        logistic.Problem(masked, 4, 50.0),
        logistic.Problem(labels // 2, 2, 1.0),
    ]
    together = logistic.solve(rows, problems)
    keep = masked != -1
    alone = logistic.solve(np.ascontiguousarray(rows[keep]), [logistic.Problem(labels[keep], 4, 50.0)])[0]
    np.testing.assert_allclose(together[1].weights, alone.weights, atol=1e-3)
    for problem, found in zip(problems, together, strict=True):
        (single,) = logistic.solve(rows, [problem])
        np.testing.assert_allclose(found.weights, single.weights, atol=1e-6)


def test_a_start_near_the_end_saves_steps():
    rows, labels = regression_case(3, correlated=True)
    cold = logistic.solve(rows, [logistic.Problem(labels, 4, 4.0)])[0]
    near = logistic.solve(rows, [logistic.Problem(labels, 4, 5.0)])[0]
    warm = logistic.solve(rows, [logistic.Problem(labels, 4, 4.0, near)])[0]
    assert warm.steps < cold.steps
    np.testing.assert_allclose(warm.weights, cold.weights, atol=1e-3)


def test_logistic_says_when_it_did_not_converge():
    rows, labels = regression_case(3, correlated=False)
    assert not logistic.solve(rows, [logistic.Problem(labels, 4, 1.0)], max_steps=2)[0].converged


def test_logistic_fails_without_labels():
    with pytest.raises(ValueError, match="no labelled row"):
        logistic.solve(np.ones((3, 2)), [logistic.Problem(np.full(3, -1), 2, 1.0)])


def test_ridge_without_columns_answers_the_shares_of_the_classes():
    labels = np.array([0, 0, 0, 1])
    ((weights, intercepts),) = closed_form.ridge(np.zeros((4, 0)), labels, 2, [1.0])
    assert weights.shape == (2, 0)
    np.testing.assert_allclose(intercepts, [0.75, 0.25])


@pytest.mark.parametrize("width", [5, 60])
def test_ridge_equals_scikit_learn(width):
    rows, labels = regression_case(4, correlated=True, count=50, width=width)
    for penalty, (weights, intercepts) in zip(
        [0.5, 30.0], closed_form.ridge(rows, labels, 4, [0.5, 30.0]), strict=True
    ):
        known = Ridge(alpha=penalty).fit(rows, np.eye(4)[labels])
        np.testing.assert_allclose(weights, known.coef_, atol=1e-8)
        np.testing.assert_allclose(intercepts, known.intercept_, atol=1e-8)


@pytest.mark.parametrize("count", [20, 400])
def test_shrunk_covariance_equals_scikit_learn(count):
    rows, _ = regression_case(5, correlated=True, count=count)
    covariance, share = closed_form.shrunk_covariance(rows)
    expected, expected_share = ledoit_wolf(rows, assume_centered=True)
    assert share == pytest.approx(expected_share)
    np.testing.assert_allclose(covariance, expected, atol=1e-7)


def test_lda_equals_scikit_learn_given_the_same_covariance():
    rows, labels = regression_case(6, correlated=True)
    weights, intercepts, share = closed_form.lda(rows, labels, 4)
    assert 0 < share < 1

    class Pooled:
        """The covariance of all rows less their class means, whichever class scikit-learn asks for."""

        def fit(self, _):
            means = np.stack([rows[labels == code].mean(0) for code in range(4)])
            self.covariance_ = ledoit_wolf(rows - means[labels], assume_centered=True)[0]
            return self

    known = LinearDiscriminantAnalysis(solver="lsqr", covariance_estimator=Pooled()).fit(rows, labels)
    scores, expected = rows @ weights.T + intercepts, known.decision_function(rows)
    np.testing.assert_allclose(
        scores - scores.mean(1, keepdims=True), expected - expected.mean(1, keepdims=True), atol=1e-5
    )


def test_lda_fails_on_an_empty_class():
    with pytest.raises(ValueError, match="class 2 has no row"):
        closed_form.lda(np.ones((4, 2)), np.array([0, 1, 1, 3]), 4)


@pytest.mark.parametrize("name", LINEAR)
@pytest.mark.parametrize("solver", SOLVERS)
def test_signal_is_read_and_probabilities_are_honest(name, solver):
    train = with_signal(noise_corpus(900, seed=1), video=0.5, audio=0.5)
    test = with_signal(noise_corpus(900, seed=2), video=0.5, audio=0.5)
    prediction = registry.fit(name, train, options=FitOptions(parameters={"solver": solver}))[0].predict(test)
    for task, floor in (("emotion", 0.7), ("sentiment", 0.7)):
        log_p = prediction.task(task)
        truth = getattr(test, task)
        accuracy = (log_p.argmax(1) == truth).mean()
        assert accuracy > floor
        np.testing.assert_allclose(np.exp(log_p).sum(1), 1)
        # mean confidence is the accuracy, as calibration asks
        assert np.exp(log_p.max(1)).mean() == pytest.approx(accuracy, abs=0.05)


def test_joined_is_scikit_learns_logistic_regression_on_standardised_columns():
    train = with_signal(noise_corpus(400), video=0.3, audio=0.3)
    model = registry.fit("linear", train, options=FitOptions(penalty=7.0, loss="cross_entropy"))[0]
    rows = np.concatenate([train.streams[name].utterance for name in ("video", "audio")], 1).astype(float)
    rows = (rows - rows.mean(0)) / rows.std(0)
    known = LogisticRegression(C=1 / 7, tol=1e-9, max_iter=5000).fit(rows, train.emotion)
    np.testing.assert_allclose(model.predict(train).emotion, known.predict_log_proba(rows), atol=1e-3)


@pytest.mark.parametrize("solver", SOLVERS)
def test_noise_is_not_believed(solver):
    """Speakers have voices and favourite emotions: folds that split them would see a signal."""
    rng = np.random.default_rng(0)
    train = noise_corpus(400, speakers=20, dialogue_length=1, widths=(40, 40))
    voices = rng.normal(size=(20, 40)).astype(np.float32) * 2
    habit = rng.integers(0, 3, 20)
    stream = train.streams["audio"]
    train = replace(
        train,
        emotion=np.where(rng.random(400) < 0.7, habit[train.speaker], train.emotion),
        streams={**train.streams, "audio": replace(stream, utterance=stream.utterance + voices[train.speaker])},
    )
    confidence = {}
    for folds in ("speaker", "dialogue"):  # dialogues of one utterance: speakers are split
        model = registry.fit(
            "linear_audio", train, options=FitOptions(parameters={"solver": solver, "folds": folds})
        )
        fresh = noise_corpus(400, seed=9, speakers=20, widths=(40, 40))
        confidence[folds] = np.exp(model[0].predict(fresh).emotion.max(1)).mean()
    assert confidence["speaker"] < confidence["dialogue"]
    assert confidence["speaker"] < 0.62


def test_penalty_of_noise_is_large_and_of_signal_small():
    options = FitOptions(tasks=("emotion",))
    noise = registry.fit("linear", noise_corpus(500), options=options)[0]
    clear = registry.fit("linear", with_signal(noise_corpus(500), video=0.8, audio=0.8), options=options)[0]
    assert noise.facts["penalty"]["emotion"][0] >= PENALTIES[-2]
    assert clear.facts["penalty"]["emotion"][0] <= 16


@pytest.mark.parametrize("solver", SOLVERS)
def test_missing_streams_fall_back(solver):
    train = with_signal(noise_corpus(600, seed=1), video=0.6, audio=0.6)
    test = with_signal(noise_corpus(600, seed=2), video=0.6, audio=0.6)
    everyone = np.arange(600)
    train = without(without(train, "video", everyone[::7]), "audio", everyone[3::7])
    for name in ("linear", "linear_late"):
        plain = FitOptions(loss="cross_entropy", parameters={"solver": solver})
        model = registry.fit(name, train, options=plain)[0]
        whole = (model.predict(test).emotion.argmax(1) == test.emotion).mean()
        deaf = without(test, "audio", everyone)
        alone = (model.predict(deaf).emotion.argmax(1) == test.emotion).mean()
        assert whole > alone > 0.6
        lacking = replace(deaf, streams={"video": deaf.streams["video"]})  # the stream isn't there at all
        np.testing.assert_allclose(model.predict(lacking).emotion, model.predict(deaf).emotion)
        neither = model.predict(without(deaf, "video", everyone)).emotion
        shares = (np.bincount(train.emotion, minlength=3) + 1) / 603
        if name == "linear_late":
            np.testing.assert_allclose(np.exp(neither), np.tile(shares, (600, 1)))
        else:
            np.testing.assert_allclose(np.exp(neither), np.tile(shares, (600, 1)), atol=1e-9)


def test_garbage_in_absent_rows_means_nothing():
    train = with_signal(noise_corpus(300), video=0.5, audio=0.5)
    gone = np.arange(0, 300, 5)
    clean = without(train, "audio", gone)
    stream = clean.streams["audio"]
    dirty_rows = stream.utterance.copy()
    dirty_rows[gone] = 1e6
    dirty = replace(clean, streams={**clean.streams, "audio": replace(stream, utterance=dirty_rows)})
    for name in LINEAR:
        one, two = (registry.fit(name, corpus)[0].predict(corpus).emotion for corpus in (clean, dirty))
        np.testing.assert_array_equal(one, two)


def test_classes_that_training_lacks():
    train = with_signal(noise_corpus(300, classes=5), video=0.5, audio=0.5)
    train = replace(train, emotion=np.where(train.emotion == 3, 2, train.emotion))
    for solver in SOLVERS:
        model = registry.fit("linear_late", train, options=FitOptions(parameters={"solver": solver}))[0]
        log_p = model.predict(train).emotion
        assert log_p.shape == (300, 5)
        assert np.isfinite(log_p).all()
        assert (log_p.argmax(1) != 3).all()
        np.testing.assert_allclose(np.exp(log_p).sum(1), 1)


def test_one_task_and_one_class():
    train = replace(noise_corpus(60), sentiment=np.full(60, -1), emotion=np.full(60, 1))
    for solver in SOLVERS:
        prediction = registry.fit("linear", train, options=FitOptions(parameters={"solver": solver}))[0].predict(
            train
        )
        assert prediction.sentiment is None
        assert (prediction.emotion.argmax(1) == 1).all()


@pytest.mark.parametrize("name", LINEAR)
def test_state_restores_the_same_model(name):
    train = without(with_signal(noise_corpus(200), video=0.5, audio=0.5), "video", np.arange(9))
    model = registry.fit(name, train, options=FitOptions(seeds=(3,), loss="logit_adjusted"))[0]
    arrays, values = model.state()
    again = registry.restore(arrays, json.loads(json.dumps(values, allow_nan=False)))
    assert (again.variant, again.seed) == (name, 3)
    for task in ("emotion", "sentiment"):
        np.testing.assert_array_equal(again.predict(train).task(task), model.predict(train).task(task))


def test_dev_and_its_labels_are_not_learned_from():
    train, dev = noise_corpus(200), noise_corpus(60, seed=5)
    shuffled = replace(dev, emotion=dev.emotion[::-1], sentiment=dev.sentiment[::-1])
    for name in LINEAR:
        arrays = [registry.fit(name, train, other)[0].state()[0] for other in (dev, shuffled)]
        for key in arrays[0]:
            assert arrays[0][key].tobytes() == arrays[1][key].tobytes(), key


def test_seeds_are_one_model():
    models = registry.fit("linear", noise_corpus(100), options=FitOptions(seeds=(4, 9)))
    assert [model.seed for model in models] == [4, 9]
    np.testing.assert_array_equal(*(model.predict(noise_corpus(20)).emotion for model in models))


def test_adjustment_raises_recall_of_the_rare():
    train = with_signal(noise_corpus(900, seed=1), video=0.15, audio=0.15)
    keep = np.flatnonzero((train.emotion != 2) | (np.arange(900) % 10 == 0))
    train, test = train.take(keep), with_signal(noise_corpus(900, seed=2), video=0.15, audio=0.15)
    recall = {}
    for loss in ("cross_entropy", "logit_adjusted", "balanced_softmax"):
        options = FitOptions(loss=loss, adjustment=1.0)
        answers = registry.fit("linear", train, options=options)[0].predict(test).emotion.argmax(1)
        recall[loss] = (answers[test.emotion == 2] == 2).mean()
    assert recall["logit_adjusted"] > recall["cross_entropy"] + 0.2
    assert recall["balanced_softmax"] == recall["logit_adjusted"]  # the same at strength 1


def test_constant_columns_do_no_harm():
    train = with_signal(noise_corpus(200), video=0.5, audio=0.5)
    stream = train.streams["video"]
    rows = stream.utterance.copy()
    rows[:, 0] = 3.7
    constant = replace(train, streams={**train.streams, "video": replace(stream, utterance=rows)})
    assert np.isfinite(registry.fit("linear", constant)[0].predict(constant).emotion).all()


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (FitOptions(loss="focal"), "no use for the loss focal"),
        (FitOptions(resample=True), "no use for resampling"),
        (FitOptions(parameters={"solver": "svm"}), "no solver 'svm'; there are: logistic, ridge, lda"),
        (FitOptions(parameters={"solver": "lda"}, penalty=1.0), "lda estimates"),
        (FitOptions(parameters={"folds": "actor"}), "no folds 'actor'"),
    ],
)
def test_fit_fails(options, message):
    with pytest.raises(ValueError, match=message):
        registry.fit("linear", noise_corpus(40), options=options)


def test_fit_fails_without_labels():
    bare = replace(noise_corpus(40), emotion=np.full(40, -1), sentiment=np.full(40, -1))
    with pytest.raises(ValueError, match="no training utterance has a label"):
        registry.fit("linear", bare)


def test_predict_fails_on_another_width():
    model = registry.fit("linear", noise_corpus(40))[0]
    with pytest.raises(ValueError, match="video stream has 9 columns; the head was fitted on 8"):
        model.predict(noise_corpus(40, widths=(9, 12)))


def test_neither_torch_nor_scikit_learn_is_imported():
    code = (
        "import sys\n"
        "from dualstream.heads.evaluation import metrics\n"
        "from dualstream.heads.variants import registry\n"
        "from tests.heads.small_corpora import noise_corpus\n"
        "train = noise_corpus(60)\n"
        "model = registry.fit('linear_late', train)[0]\n"
        "metrics.score(model.predict(train).emotion, train.emotion, train.emotion_names, groups=train.dialogue)\n"
        "print(sorted({'torch', 'sklearn', 'h5py', 'librosa'} & set(sys.modules)))\n"
    )
    path = os.pathsep.join([str(Path(__file__).parents[2]), str(Path(__file__).parent)])
    environment = {**os.environ, "PYTHONPATH": path}
    done = subprocess.run(
        [sys.executable, "-c", code], capture_output=True, text=True, check=True, env=environment
    )
    assert done.stdout.strip() == "[]"


def test_lda_late_is_linear_late_solved_by_lda():
    train = with_signal(noise_corpus(200, seed=1), video=0.5, audio=0.4)
    options = FitOptions(seeds=(0,))
    (one,) = registry.fit("lda_late", train, options=options)
    (other,) = registry.fit("linear_late", train, options=replace(options, parameters={"solver": "lda"}))
    np.testing.assert_array_equal(one.predict(train).emotion, other.predict(train).emotion)
    with pytest.raises(ValueError, match="lda estimates its shrinkage"):
        registry.fit("lda_late", train, options=replace(options, penalty=4.0))


def test_linear_lda_late_mixes_the_answers_of_both_solvers():
    """By hand: the parts' log-probabilities, weighed alike, plus what the model adds of the prior."""
    train = with_signal(noise_corpus(200, seed=1), video=0.5, audio=0.4)
    options = FitOptions(seeds=(0,), loss="cross_entropy", penalty=16.0)
    (model,) = registry.fit("linear_lda_late", train, options=options)
    assert model.facts["solver"] == "logistic and lda" and model.facts["penalty"]["emotion"] == [
        16.0,
        16.0,
        None,
        None,
    ]
    parts = [part.heads["emotion"](part.design.rows(train)) for part in model.parts]
    assert len(set(model.mixing["emotion"])) == 1
    mixed = model.mixing["emotion"][0] * sum(parts) + model.offset["emotion"][0]
    expected = mixed - np.log(np.exp(mixed).sum(1, keepdims=True))
    np.testing.assert_allclose(model.predict(train).emotion, expected, atol=1e-12)
    (logistic,) = registry.fit("linear_late", train, options=options)
    np.testing.assert_array_equal(
        logistic.parts[0].heads["emotion"].weights, model.parts[0].heads["emotion"].weights
    )


@pytest.mark.parametrize("name", ["linear_video", "linear", "linear_late", "lda_late", "linear_lda_late"])
def test_held_out_predictions_are_those_of_heads_that_saw_nothing_of_the_fold(name):
    """As if each fold were fitted by itself, at one penalty; what is fitted on held-out labels is a weight or two."""
    train = with_signal(noise_corpus(240, seed=1), video=0.5, audio=0.4)
    fold = np.arange(240) // 6 % 3
    options = FitOptions(seeds=(0,), loss="cross_entropy", penalty=None if name.startswith("lda") else 64.0)
    work = {}
    found = registry.held_out(name, train, fold, options=options, work=work).emotion
    again = registry.held_out(name, train, fold, options=options, work=work).emotion
    np.testing.assert_array_equal(found, again)
    for number in range(3):
        held = fold == number
        (model,) = registry.fit(name, train.take(np.flatnonzero(~held)), options=options)
        own = model.predict(train.take(np.flatnonzero(held))).emotion
        assert (own.argmax(1) == found[held].argmax(1)).mean() > 0.85
        if len(model.parts) == 1:  # weights of a mixture are fitted on what heads that saw the fold say of others
            flipped = np.where(held, (train.emotion + 1) % len(train.emotion_names), train.emotion)
            other = registry.held_out(name, replace(train, emotion=flipped), fold, options=options, work={})
            np.testing.assert_allclose(
                other.emotion[held], found[held], atol=0.02
            )  # its labels have no part in it
