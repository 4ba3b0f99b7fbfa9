"""Uneven classes: a mixture of streams counts the class prior once; the Bayes answer is known in closed form."""

import numpy as np
import pytest
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.evaluation.calibration import fit_pool, fit_weights, log_softmax
from dualstream.heads.export import HeadGraph
from dualstream.heads.linear import model as linear
from dualstream.heads.training.losses import answered_prior, make_loss
from dualstream.heads.variants import registry
from dualstream.heads.variants.options import FitOptions
from scipy import optimize

SHARES = np.array([0.62, 0.2, 0.1, 0.05, 0.03])
WIDTH = 6
NAMES = tuple("abcde")


def corpus(seed, count, *, streams=("video", "audio"), shares=SHARES, lacking=None, gain=0.8):
    """Return a corpus, and its log likelihoods by stream: unit noise around a mean for each class.

    `lacking` gives the chance that a stream is missing, by stream and class.
    """
    rng = np.random.default_rng([seed, 5])
    truth = rng.choice(len(shares), count, p=shares)
    arrays, likelihoods = {}, {}
    for number, name in enumerate(streams):
        means = gain * np.random.default_rng([3, number]).normal(size=(len(shares), WIDTH))
        rows = (means[truth] + rng.normal(size=(count, WIDTH))).astype(np.float32)
        chance = np.zeros(len(shares)) if lacking is None else np.asarray(lacking[number])
        present = rng.random(count) >= chance[truth]
        arrays[name] = StreamArrays(rows * present[:, None], present)
        likelihoods[name] = -0.5 * ((rows[:, None] - means) ** 2).sum(-1) * present[:, None]
    each = np.arange(count)
    features = FeatureSet(
        streams=arrays,
        offsets=np.zeros(count + 1, np.int64),
        start_s=np.zeros(0),
        emotion=truth.astype(np.int64),
        sentiment=np.full(count, -1),
        emotion_names=NAMES[: len(shares)],
        sentiment_names=(),
        dialogue=each,
        turn=np.zeros(count, np.int64),
        speaker=np.full(count, -1),
    )
    return features, likelihoods


def bayes(likelihoods, shares=SHARES, power=1.0):
    return log_softmax(power * np.log(shares) + sum(likelihoods.values()))


def loss_of(log_p, truth):
    return -log_p[np.arange(len(truth)), truth].mean()


def options(**values):
    return FitOptions(**{"tasks": ("emotion",), "seeds": (0,), "threads": 1, "loss": "cross_entropy", **values})


# ---- the pool itself


def planted_pool(seed, weights, beta, count=20_000, shares=SHARES):
    rng = np.random.default_rng(seed)
    log_p = log_softmax(np.log(shares) + 1.5 * rng.normal(size=(len(weights), count, len(shares))))
    logits = np.tensordot(weights, log_p, 1) + beta * np.log(shares)
    return log_p, (logits + rng.gumbel(size=logits.shape)).argmax(1)


@pytest.mark.parametrize(
    ("weights", "beta"), [((1.0, 1.0), -1.0), ((0.7, 0.2), 0.1), ((0.6,), 0.4), ((0.5, 0.9, 0.3), -0.7)]
)
def test_a_planted_prior_weight_is_found(weights, beta):
    log_p, labels = planted_pool(0, weights, beta)
    prior = np.log(SHARES)
    pool = fit_pool(log_p, labels, held=np.tile(prior, (len(weights), 1)), prior=prior)
    np.testing.assert_allclose(pool.weights, weights, atol=0.05)
    assert pool.prior_weight == pytest.approx(beta, abs=0.06)
    np.testing.assert_allclose(np.ptp(pool.offset - pool.prior_weight * prior), 0, atol=1e-9)


def test_a_prior_weight_off_the_product_rule_is_found_where_there_is_much_to_see():
    log_p, labels = planted_pool(1, (1.0, 1.0), 0.0)
    prior = np.log(SHARES)
    assert fit_pool(log_p, labels, held=np.tile(prior, (2, 1)), prior=prior).prior_weight == pytest.approx(
        0, abs=0.1
    )


def test_pool_equals_scipy():
    log_p, labels = planted_pool(2, (0.8, 0.5), -0.3, count=300)
    prior = np.log(SHARES)
    target = np.tile(5 * SHARES / 305, (300, 1))
    target[np.arange(300), labels] += 300 / 305

    def loss(values):
        w, more = values[:2], values[2]
        mixed = log_softmax(np.tensordot(w, log_p - prior, 1) + (1 + more) * prior)
        return -(target * mixed).sum() + more**2 / 2

    best = optimize.minimize(loss, [0.5, 0.5, 0.0], method="BFGS").x
    pool = fit_pool(log_p, labels, held=np.tile(prior, (2, 1)), prior=prior)
    np.testing.assert_allclose(pool.weights, best[:2], rtol=2e-3)
    assert pool.prior_weight == pytest.approx(1 + best[2] - best[:2].sum(), abs=2e-3)


def test_even_classes_are_mixed_as_without_a_prior():
    even = np.full(4, 0.25)
    log_p, labels = planted_pool(3, (0.9, 0.4), 0.0, count=400, shares=even)
    prior = np.log(even)
    pool = fit_pool(log_p, labels, held=np.tile(prior, (2, 1)), prior=prior, pull=3.0)
    np.testing.assert_allclose(pool.weights, fit_weights(log_p, labels, pull=3.0), atol=1e-6)
    np.testing.assert_allclose(pool.offset, 0, atol=1e-12)


def test_without_labels_the_prior_is_counted_once():
    prior = np.log(SHARES)
    log_p = np.tile(prior, (3, 7, 1))
    pool = fit_pool(log_p, np.full(7, -1), held=np.tile(prior, (3, 1)), prior=prior)
    np.testing.assert_allclose(log_softmax(np.tensordot(pool.weights, log_p, 1) + pool.offset)[0], prior)


# ---- linear_late


@pytest.mark.parametrize("mixing", ["mean", "learned"])
@pytest.mark.parametrize("solver", ["logistic", "lda"])
def test_linear_late_is_near_bayes(mixing, solver):
    train, _ = corpus(0, 3_000)
    test, likelihoods = corpus(1, 4_000)
    parameters = {"mixing": mixing, "solver": solver}
    (model,) = registry.fit("linear_late", train, options=options(parameters=parameters))
    said = model.predict(test).emotion
    assert loss_of(said, test.emotion) < loss_of(bayes(likelihoods), test.emotion) + 0.015
    weights = model.mixing["emotion"]
    assert model.facts["prior_weight"]["emotion"][0] == pytest.approx(1 - weights.sum(), abs=0.15)
    assert weights.sum() > 1.5  # two streams of evidence


def test_linear_late_is_no_worse_than_linear():
    train, _ = corpus(2, 1_500)
    test, _ = corpus(3, 4_000)
    losses = {}
    for name in ("linear", "linear_late", "linear_audio"):
        (model,) = registry.fit(name, train, options=options())
        losses[name] = loss_of(model.predict(test).emotion, test.emotion)
    assert losses["linear_late"] < losses["linear"] + 0.01 < losses["linear_audio"]


def fit_three(train, **values):
    layout = (("video",), ("audio",), ("text",))
    defaults = {"solver": "logistic", "folds": "auto", **values}
    return linear.fit("linear_late", train, None, options(), None, layout=layout, defaults=defaults)[0]


THREE = ("video", "audio", "text")


@pytest.mark.parametrize("mixing", ["mean", "learned"])
def test_three_streams_are_near_bayes(mixing):
    train, _ = corpus(4, 3_000, streams=THREE, gain=0.5)
    test, likelihoods = corpus(5, 4_000, streams=THREE, gain=0.5)
    model = fit_three(train, mixing=mixing)
    assert loss_of(model.predict(test).emotion, test.emotion) < loss_of(bayes(likelihoods), test.emotion) + 0.015
    assert model.facts["prior_weight"]["emotion"][0] == pytest.approx(1 - model.mixing["emotion"].sum(), abs=0.3)


def test_streams_that_say_nothing_leave_the_prior_whichever_are_there():
    lacking = np.full((3, 5), 0.3)
    train, _ = corpus(6, 3_000, streams=THREE, lacking=lacking, gain=0.0)
    test, _ = corpus(7, 500, streams=THREE, lacking=lacking, gain=0.0)
    said = np.exp(fit_three(train).predict(test).emotion)
    np.testing.assert_allclose(said, np.tile(SHARES, (500, 1)), atol=0.05)


@pytest.mark.parametrize("name", ["linear_late", "late"])
def test_rows_that_lack_a_stream_are_near_bayes(name):
    lacking = np.full((2, 5), 0.3)
    train, _ = corpus(8, 3_000, lacking=lacking)
    dev, _ = corpus(9, 1_000, lacking=lacking)
    test, likelihoods = corpus(10, 4_000, lacking=lacking)
    (model,) = registry.fit(name, train, dev, options=options())
    said, best = model.predict(test).emotion, bayes(likelihoods)
    video, audio = (test.streams[stream].present for stream in ("video", "audio"))
    for rows in (video & audio, video & ~audio, audio & ~video, ~video & ~audio):
        assert loss_of(said[rows], test.emotion[rows]) < loss_of(best[rows], test.emotion[rows]) + 0.05


@pytest.mark.parametrize("name", ["linear_late", "late"])
def test_rows_that_lack_any_of_three_streams_are_near_bayes(name):
    """Evidence adds up, and the prior counts once, whichever streams are there."""
    lacking = np.full((3, 5), 0.3)
    train, _ = corpus(22, 3_000, streams=THREE, lacking=lacking, gain=0.5)
    dev, _ = corpus(23, 1_000, streams=THREE, lacking=lacking, gain=0.5)
    test, likelihoods = corpus(24, 4_000, streams=THREE, lacking=lacking, gain=0.5)
    (model,) = registry.fit(name, train, dev, options=options(epochs=30))
    said, best = model.predict(test).emotion, bayes(likelihoods)
    case = np.stack([test.streams[stream].present for stream in THREE]).T @ [1, 2, 4]
    for number in range(8):
        rows = case == number
        assert loss_of(said[rows], test.emotion[rows]) < loss_of(best[rows], test.emotion[rows]) + 0.05


@pytest.mark.parametrize("name", ["linear_late", pytest.param("late", marks=pytest.mark.slow)])
def test_a_class_that_lacks_a_stream_more_often(name):
    """Complete rows have shares of their own; what each stream alone is asked for, it knows from its own rows."""
    lacking = np.zeros((2, 5))
    lacking[0, 0] = 0.8  # the commonest class is mostly without video: a quarter of the complete rows, not 0.62
    train, _ = corpus(11, 3_000, lacking=lacking, gain=0.4)
    dev, _ = corpus(12, 1_000, lacking=lacking, gain=0.4)
    test, likelihoods = corpus(13, 4_000, lacking=lacking, gain=0.4)
    (model,) = registry.fit(name, train, dev, options=options())
    rows = test.streams["video"].present
    complete = SHARES * (1 - lacking[0])
    best = bayes(likelihoods, complete / complete.sum())
    assert (
        loss_of(model.predict(test).emotion[rows], test.emotion[rows])
        < loss_of(best[rows], test.emotion[rows]) + 0.06
    )


# ---- late, and what the losses make of the prior


POWERS = {"cross_entropy": 1.0, "logit_adjusted": 0.5, "balanced_softmax": 0.0, "weighted": 0.0, "resampled": 0.0}


@pytest.mark.parametrize(
    "loss",
    [
        *("cross_entropy", "logit_adjusted", "resampled"),
        *(pytest.param(loss, marks=pytest.mark.slow) for loss in ("balanced_softmax", "weighted")),
    ],
)
def test_late_holds_as_much_of_the_prior_as_its_loss_says(loss):
    train, _ = corpus(14, 3_000)
    dev, _ = corpus(15, 1_000)
    test, likelihoods = corpus(16, 4_000)
    how = {"loss": "cross_entropy", "resample": True} if loss == "resampled" else {"loss": loss}
    (model,) = registry.fit("late", train, dev, options=options(**how))
    said = model.predict(test).emotion

    def apart(power):  # Kullback-Leibler divergence from the closed form
        best = bayes(likelihoods, power=power)
        return (np.exp(best) * (best - said)).sum(1).mean()

    found = {power: apart(power) for power in (0.0, 0.5, 1.0)}
    assert min(found, key=found.get) == POWERS[loss]
    assert found[POWERS[loss]] < 0.08


@pytest.mark.parametrize(
    ("loss", "power"), [("cross_entropy", 1), ("logit_adjusted", 0.5), ("balanced_softmax", 0), ("weighted", 0)]
)
def test_the_prior_that_a_losss_answers_hold(loss, power):
    counts = np.array([6_200, 2_000, 1_000, 500, 300])
    made = make_loss(loss, np.repeat(np.arange(5), counts), 5, adjustment=0.5).loss
    np.testing.assert_allclose(
        answered_prior(made, counts.astype(float)), log_softmax(power * np.log(counts)), atol=0.01
    )


# ---- kept, and elsewhere


def case(name):
    lacking = np.full((2, 5), 0.25)
    train, _ = corpus(17, 600, lacking=lacking)
    dev, _ = corpus(18, 300, lacking=lacking)
    test, _ = corpus(19, 300, lacking=lacking)
    models = registry.fit(name, train, dev, options=options(loss="logit_adjusted", epochs=3))
    return models[0], test


@pytest.mark.parametrize("name", ["linear_late", "late"])
def test_the_graph_answers_the_same(name):
    model, test = case(name)
    graph = HeadGraph([model], {"emotion": 1.0}).eval()
    (said,) = graph(*graph.feed(test))
    np.testing.assert_allclose(said.detach().numpy(), np.exp(model.predict(test).emotion), atol=2e-6)


def test_the_graph_of_three_streams_answers_the_same():
    lacking = np.full((3, 5), 0.4)
    train, _ = corpus(20, 800, streams=THREE, lacking=lacking)
    test, _ = corpus(21, 300, streams=THREE, lacking=lacking)
    model = fit_three(train)
    graph = HeadGraph([model], {"emotion": 1.0}).eval()
    assert list(graph.widths) == list(THREE)
    (said,) = graph(*graph.feed(test))
    np.testing.assert_allclose(said.detach().numpy(), np.exp(model.predict(test).emotion), atol=2e-6)


@pytest.mark.parametrize("name", ["linear_late", "late"])
def test_state_restores_the_same_answers(name):
    model, test = case(name)
    again = registry.restore(*model.state())
    np.testing.assert_array_equal(again.predict(test).emotion, model.predict(test).emotion)


def test_linear_models_without_an_offset_answer_as_before():
    model, test = case("linear_late")
    arrays, values = model.state()
    old = registry.restore({key: value for key, value in arrays.items() if not key.endswith(".offset")}, values)
    weights = model.mixing["emotion"]
    experts = [part.heads["emotion"](part.design.rows(test)) for part in model.parts]
    mixed = log_softmax(weights[0] * experts[0] + weights[1] * experts[1])
    expected = log_softmax(mixed + model.shift["emotion"])
    rows = np.all([stream.present for stream in test.streams.values()], axis=0)
    np.testing.assert_allclose(old.predict(test).emotion[rows], expected[rows], atol=1e-12)
    assert np.abs(model.predict(test).emotion[rows] - expected[rows]).max() > 0.05


def test_networks_without_an_offset_answer_as_before():
    model, test = case("late")
    arrays, values = model.state()
    zeroed = {key: np.zeros_like(value) if "head_offset" in key else value for key, value in arrays.items()}
    absent = {key: value for key, value in arrays.items() if "head_offset" not in key}
    assert len(absent) == len(arrays) - 1
    said = registry.restore(absent, values).predict(test).emotion
    np.testing.assert_array_equal(said, registry.restore(zeroed, values).predict(test).emotion)
    assert np.abs(said - model.predict(test).emotion).max() > 0.05
