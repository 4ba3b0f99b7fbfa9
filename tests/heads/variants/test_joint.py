"""One joint answer: the table of pairs, how much say each head has, who leads, and what is stored of it."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.evaluation import metrics
from dualstream.heads.export import HeadGraph
from dualstream.heads.variants import joint_fit, registry
from dualstream.heads.variants.decode import decode
from dualstream.heads.variants.ensemble import ensemble
from dualstream.heads.variants.joint import UNSEEN, Joint, pair_counts
from dualstream.heads.variants.joint_fit import JointEvidence, best_concentration, weighed
from dualstream.heads.variants.joint_model import JointModel
from dualstream.heads.variants.registry import FitOptions, Prediction
from scipy.special import softmax

ONE = FitOptions(seeds=(0,), loss="cross_entropy")
CLOSED = np.array([[10, 0, 0], [0, 20, 0], [0, 0, 5], [15, 0, 0]])  # one sentiment for each emotion
OPEN = np.array([[40, 0, 0], [0, 30, 0], [12, 0, 18]])  # the third emotion goes two ways


def heads(seed: int, emotions: int, sentiments: int, rows: int = 40) -> Prediction:
    rng = np.random.default_rng(seed)
    return Prediction(*(np.log(rng.dirichlet(np.ones(k), rows)) for k in (emotions, sentiments)))


def planted(kind: str, count: int, seed: int = 0, strength: float = 0.5) -> FeatureSet:
    """Four emotions and three sentiments, each of which moves the columns its own way."""
    rng = np.random.default_rng((seed, 1))
    ways = [
        np.random.default_rng((9, k)).normal(size=(k, 12)) * strength for k in (4, 3)
    ]  # the same for every seed
    emotion = rng.integers(0, 4, count)
    drawn = rng.integers(0, 3, count)
    open_to = {"determined": (), "mixed": (3,), "independent": (0, 1, 2, 3)}[kind]
    sentiment = np.where(np.isin(emotion, open_to), drawn, np.array([0, 1, 2, 2])[emotion])
    streams = {}
    for name in ("video", "audio"):
        rows = ways[0][emotion] + ways[1][sentiment] + rng.normal(size=(count, 12))
        streams[name] = StreamArrays(rows.astype(np.float32), np.ones(count, bool))
    return FeatureSet(
        streams, np.zeros(count + 1, np.int64), np.zeros(0), emotion, sentiment, ("a", "b", "c", "d"),
        ("x", "y", "z"), np.arange(count) // 5, np.zeros(count, np.int64), np.full(count, -1),
    )  # fmt: skip


# ---- the arithmetic, by hand


def test_where_each_emotion_has_one_sentiment_it_is_a_lookup() -> None:
    """P(s) = sum_e P(e) P(s|e), with half an utterance of each emotion for the sentiments it was never shown with."""
    said = heads(0, 4, 3)
    found = Joint(CLOSED).apply(said)
    total = CLOSED.sum(1)
    shares = (CLOSED.sum(0) + 1) / (CLOSED.sum() + 3)
    table = np.zeros((4, 3))
    for e, s in enumerate((0, 1, 2, 0)):
        table[e] = 0.5 / (total[e] + 0.5) * shares / (1 - shares[s])
        table[e, s] = total[e] / (total[e] + 0.5)
    np.testing.assert_allclose(table.sum(1), 1)
    np.testing.assert_allclose(np.exp(found.sentiment), np.exp(said.emotion) @ table, atol=1e-12)
    assert found.emotion is said.emotion
    emotion, sentiment = decode(found)
    np.testing.assert_array_equal(emotion, said.emotion.argmax(1))
    np.testing.assert_array_equal(sentiment, np.array([0, 1, 2, 0])[emotion])


def test_an_emotion_that_goes_two_ways_asks_the_sentiment_head() -> None:
    said = heads(1, 3, 3)
    joint = Joint(OPEN, concentration=2.0, table=0.7, head=1.3)
    found = joint.apply(said)
    shares = (OPEN.sum(0) + 1) / (OPEN.sum() + 3)
    drawn = (OPEN[2] + 2 * shares) / (OPEN[2].sum() + 2)
    score = (drawn / shares) ** 0.7 * np.exp(said.sentiment) ** 1.3
    among = score[:, [0, 2]] / score[:, [0, 2]].sum(1, keepdims=True) * 30 / (30 + UNSEEN)
    pairs = np.exp(found.pairs)
    np.testing.assert_allclose(pairs[:, 2, [0, 2]], np.exp(said.emotion[:, 2:3]) * among, rtol=1e-9)
    assert (pairs[:, 2, 1] == 0).all() and (pairs[:, 0, 1:] == 0).all()
    _, sentiment = decode(found)
    third = said.emotion.argmax(1) == 2
    assert third.any() and set(sentiment[third]) == {0, 2}
    np.testing.assert_array_equal(sentiment[third], np.array([0, 2])[among[third].argmax(1)])


def test_the_head_and_the_marginal_share_the_probabilities() -> None:
    said = heads(2, 3, 3)
    alone, whole = (Joint(OPEN, own=own).apply(said).sentiment for own in (0.0, 1.0))
    np.testing.assert_allclose(whole, said.sentiment, atol=1e-9)
    mixed = Joint(OPEN, own=0.25).apply(said).sentiment
    np.testing.assert_allclose(np.exp(mixed), softmax(0.75 * alone + 0.25 * said.sentiment, axis=1))


def test_where_sentiment_leads_its_head_stays_and_emotion_follows() -> None:
    """Jeffrey's rule: the joint's rows of one sentiment keep their shape and take what the head gives it."""
    said = heads(3, 3, 3)
    found = Joint(OPEN, lead="sentiment").apply(said)
    follows = Joint(OPEN).apply(said)
    assert np.array_equal(found.sentiment, said.sentiment)
    np.testing.assert_allclose(np.exp(found.emotion).sum(1), 1)
    gap = found.pairs[:, [0, 2], 0] - follows.pairs[:, [0, 2], 0]
    np.testing.assert_allclose(gap[:, 0], gap[:, 1])
    emotion, sentiment = decode(found)
    np.testing.assert_array_equal(sentiment, said.sentiment.argmax(1))
    assert (OPEN[emotion, sentiment] > 0).all()


def test_the_utterance_itself_has_no_part_in_what_the_table_says_of_it() -> None:
    joint = Joint(OPEN, concentration=1.0)
    found = joint.ratio(np.array([0, 2]), np.array([2, 2]))
    for row, left in enumerate(([11, 0, 18], [12, 0, 17])):
        shares = np.exp(joint.log_shares)
        np.testing.assert_allclose(np.exp(found[row]), (left + shares) / 30 / shares)


def test_the_concentration_is_the_likeliest_of_the_grid() -> None:
    rng = np.random.default_rng(0)
    shares = np.array([0.5, 0.3, 0.2])
    alike = np.stack([rng.multinomial(200, shares) for _ in range(12)])
    apart = np.stack([rng.multinomial(200, rng.dirichlet(2 * shares)) for _ in range(12)])
    assert np.isinf(best_concentration(alike, np.log(shares)))
    assert best_concentration(apart, np.log(shares)) in (1.0, 2.0, 4.0)


# ---- what is fitted


@pytest.mark.parametrize("name", ["linear", "linear_late", "concat_norm", "auto"])
@pytest.mark.parametrize("kind", ["determined", "mixed", "independent"])
def test_nothing_is_taken_from_emotion_and_no_pair_contradicts(name: str, kind: str) -> None:
    train, new = planted(kind, 600), planted(kind, 2000, seed=1)
    parameters = {"candidates": "linear_video,linear_audio,linear"} if name == "auto" else {}
    options = replace(ONE, epochs=15, patience=0, parameters=parameters)
    apart = registry.fit(name, train, None, options=options)[0].predict(new)
    (model,) = joint_fit.fit(name, train, None, options=options)
    found = model.predict(new)
    if name != "auto":
        np.testing.assert_array_equal(found.emotion, apart.emotion)
    emotion, sentiment = decode(found)
    assert (pair_counts(train)[emotion, sentiment] > 0).all()
    scores = [np.mean([(one[new.sentiment == s] == s).mean() for s in range(3)])
              for one in (apart.sentiment.argmax(1), sentiment)]  # fmt: skip
    assert scores[1] > scores[0] - 0.01
    if kind == "independent":
        assert np.isinf(model.joint.concentration)
        if name != "auto":
            np.testing.assert_array_equal(sentiment, apart.sentiment.argmax(1))
    rows = np.arange(len(new))
    losses = [-one.sentiment[rows, new.sentiment].mean() for one in (apart, found)]
    assert losses[1] < losses[0] + 0.01


def test_sentiment_leads_where_its_head_alone_knows_anything() -> None:
    """The emotion head answers its commonest class, as weak ones do; the sentiment head is right two times in three."""
    rng = np.random.default_rng(5)
    count = 600
    truth = rng.choice(4, count, p=[0.4, 0.2, 0.2, 0.2])
    follows = np.array([0, 1, 2, 2])[truth]
    emotion = np.log(rng.dirichlet([40, 20, 20, 20], count))
    sentiment = np.log(
        0.8 * np.eye(3)[np.where(rng.random(count) < 0.66, follows, rng.integers(0, 3, count))] + 0.2 / 3
    )
    evidence = JointEvidence(Prediction(emotion, sentiment), truth, follows, np.arange(count) // 4, counted=True)
    counts = metrics_pairs(truth, follows)
    assert weighed(Joint(counts), evidence).lead == "sentiment"
    # the other way round, and where both know as much, emotion leads
    sure = np.log(0.8 * np.eye(4)[np.where(rng.random(count) < 0.66, truth, rng.integers(0, 4, count))] + 0.2 / 4)
    flat = np.log(rng.dirichlet([20, 20, 20], count))
    assert weighed(Joint(counts), replace(evidence, said=Prediction(sure, flat))).lead == "emotion"
    assert weighed(Joint(counts), replace(evidence, said=Prediction(sure, sentiment))).lead == "emotion"


def metrics_pairs(emotion: np.ndarray, sentiment: np.ndarray) -> np.ndarray:
    counts = np.zeros((4, 3), np.int64)
    np.add.at(counts, (emotion, sentiment), 1)
    return counts


def test_powers_are_recovered_from_held_out_answers() -> None:
    """Sentiments are drawn from the joint itself, with powers 0.6 and 1.4; a head's evened classes change nothing."""
    rng = np.random.default_rng(8)
    counts = np.array([[4000, 1000, 1000], [1000, 4000, 1000]])
    true = Joint(counts, concentration=1.0, table=0.6, head=1.4)
    head = np.log(rng.dirichlet(np.ones(3), 20_000))
    emotion = rng.integers(0, 2, len(head))
    p = np.exp(true.follow(1.4 * head)[np.arange(len(head)), emotion])
    sentiment = (rng.random(len(head))[:, None] > p.cumsum(1)).sum(1)
    said = Prediction(np.log(np.full((len(head), 2), 0.5)), head)
    evidence = JointEvidence(said, emotion, sentiment, np.arange(len(head)), counted=False)
    found = weighed(Joint(counts), evidence)
    assert (found.table, found.head) == pytest.approx((0.6, 1.4), abs=0.06)
    evened = replace(said, sentiment=head - 0.5 * true.log_shares)
    again = weighed(Joint(counts), replace(evidence, said=evened))
    assert (again.table, again.head) == pytest.approx((0.6, 1.4), abs=0.06)


def test_no_label_of_dev_has_a_part_in_it() -> None:
    train, dev = planted("mixed", 400), planted("mixed", 200, seed=3)
    rng = np.random.default_rng(0)
    shuffled = replace(dev, emotion=rng.permutation(dev.emotion), sentiment=rng.permutation(dev.sentiment))
    options = replace(ONE, epochs=5, patience=0)
    for name in ("linear_late", "concat"):
        found = [joint_fit.fit(name, train, one, options=options)[0].joint for one in (dev, shuffled, None)]
        assert all(vars(one).keys() and repr_of(one) == repr_of(found[0]) for one in found)


def test_what_stopped_a_fold_is_what_it_is_fitted_on() -> None:
    """Utterances that were kept out of the fit and are not scored take the place of one more fit."""
    train, stop = planted("mixed", 400), planted("mixed", 300, seed=4)
    options = replace(ONE, epochs=5, patience=0)
    models = registry.fit("concat", train, None, options=options)
    (found,) = joint_fit.joined(models, train, options, held_out=stop)
    expected = weighed(
        replace(Joint(pair_counts(train)), concentration=found.joint.concentration),
        JointEvidence.of(models[0].predict(stop), stop, counted=False),
    )
    assert repr_of(found.joint) == repr_of(expected)
    (plain,) = joint_fit.joined(models, train, options, again=False)
    assert (plain.joint.table, plain.joint.head, plain.joint.own) == (1, 1, 0)


def test_linear_answers_out_of_fold_are_of_heads_that_did_not_see_the_group() -> None:
    """Labels that only the own group knows: in-sample they are learned, out of fold they are not."""
    rng = np.random.default_rng(2)
    train = planted("determined", 240)
    marks = np.repeat(np.eye(48), 5, axis=0).astype(np.float32) * 20  # a column for each group of five
    lottery = np.repeat(rng.integers(0, 4, 48), 5)
    train = replace(
        train,
        emotion=lottery,
        sentiment=np.array([0, 1, 2, 2])[lottery],
        streams={
            "video": StreamArrays(marks, np.ones(240, bool)),
            "audio": StreamArrays(marks, np.ones(240, bool)),
        },
    )
    for name in ("linear", "linear_late"):  # with a penalty of the user's no folds are needed for one
        (model,) = registry.fit(name, train, None, options=replace(ONE, penalty=1.0))
        assert model.out_of_fold.sentiment.shape == (240, 3)
        if name == "linear":  # a mixture gives no weight to heads that know nothing out of fold
            assert (model.predict(train).emotion.argmax(1) == lottery).mean() > 0.9
        assert (model.out_of_fold.emotion.argmax(1) == lottery).mean() < 0.5


def repr_of(joint: Joint) -> tuple[object, ...]:
    return (joint.counts.tolist(), joint.concentration, joint.table, joint.head, joint.own, joint.lead)


# ---- labels that are not all there


def test_labels_that_are_missing() -> None:
    train = planted("determined", 300)
    blank = np.full(300, -1)
    odd = np.arange(300) % 2 == 1
    for emotion, sentiment in (
        (blank, train.sentiment),
        (train.emotion, blank),
        (np.where(odd, train.emotion, -1), np.where(odd, -1, train.sentiment)),  # never both
    ):
        (model,) = joint_fit.fit("linear", replace(train, emotion=emotion, sentiment=sentiment), options=ONE)
        assert not isinstance(model, JointModel) and model.predict(train).pairs is None
    (alone,) = joint_fit.fit("linear", train, options=replace(ONE, tasks=("emotion",)))
    assert alone.predict(train).sentiment is None
    (apart,) = joint_fit.fit("linear", train, options=replace(ONE, decoding="separate"))
    assert not isinstance(apart, JointModel)


def test_an_emotion_that_was_never_shown_with_a_sentiment_leaves_all_open() -> None:
    train = planted("determined", 400)
    (model,) = joint_fit.fit(
        "linear", replace(train, sentiment=np.where(train.emotion == 3, -1, train.sentiment)), options=ONE
    )
    new = planted("determined", 400, seed=2)
    inner = model.inner.predict(new)
    emotion, sentiment = decode(model.predict(new))
    assert (emotion == 3).any()
    np.testing.assert_array_equal(sentiment[emotion == 3], inner.sentiment.argmax(1)[emotion == 3])
    np.testing.assert_array_equal(sentiment[emotion < 3], emotion[emotion < 3])


@pytest.mark.parametrize("task", ["emotion", "sentiment"])
def test_one_class_alone(task: str) -> None:
    train = replace(planted("independent", 300), **{task: np.zeros(300, np.int64)})
    (model,) = joint_fit.fit("linear", train, options=ONE)
    found, inner = model.predict(train), model.inner.predict(train)
    other = 1 if task == "emotion" else 0
    np.testing.assert_array_equal(decode(found)[other], (inner.emotion, inner.sentiment)[other].argmax(1))
    assert (decode(found)[1 - other] == 0).all() and np.isfinite(found.sentiment).all()


def test_a_pair_seen_once_may_be_answered_and_one_never_seen_is_not() -> None:
    counts = np.array([[500, 1, 0], [0, 0, 300]])
    joint = Joint(counts, concentration=0.5)
    emotion = np.log([[0.9, 0.1]] * 3)
    sentiment = np.log([[0.9, 0.1 - 1e-7, 1e-7], [1e-7, 1 - 2e-7, 1e-7], [1e-9, 1e-9, 1 - 2e-9]])
    assert decode(joint.apply(Prediction(emotion, sentiment)))[1].tolist() == [0, 1, 0]


def test_nothing_to_read_is_answered_by_the_prior() -> None:
    train = planted("determined", 400)
    gone = {name: replace(one, present=np.zeros(400, bool)) for name, one in train.streams.items()}
    (model,) = joint_fit.fit("linear_late", train, options=ONE)
    found = model.predict(replace(train, streams=gone))
    inner = model.inner.predict(replace(train, streams=gone))
    np.testing.assert_array_equal(found.emotion, inner.emotion)
    np.testing.assert_allclose(np.exp(found.sentiment), np.exp(inner.sentiment), atol=0.01)


# ---- kept, averaged, exported


@pytest.mark.parametrize("lead", ["emotion", "sentiment"])
def test_it_is_stored_with_its_model_and_said_by_its_graph(lead: str) -> None:
    train, new = planted("mixed", 400), planted("mixed", 64, seed=5)
    models = registry.fit("concat_norm", train, None, options=FitOptions(seeds=(0, 1), epochs=3, patience=0))
    joint = Joint(pair_counts(train), np.inf, 0.8, 1.2, 0.3, lead)
    joined = [JointModel(model, joint) for model in models]
    arrays, values = joined[0].state()
    back = registry.restore(arrays, json.loads(json.dumps(values, allow_nan=False)))
    assert isinstance(back, JointModel) and repr_of(back.joint) == repr_of(joint)
    np.testing.assert_array_equal(back.predict(new).pairs, joined[0].predict(new).pairs)
    graph = HeadGraph(joined, {"emotion": 1.0, "sentiment": 1.0})
    assert graph.output_names == ["emotion", "sentiment", "pairs"] and graph.lead == lead
    with torch.no_grad():
        said = [one.numpy() for one in graph(*graph.feed(new))]
    mean = ensemble([model.predict(new) for model in joined])
    for rows, expected in zip(said, (mean.emotion, mean.sentiment, mean.pairs), strict=True):
        np.testing.assert_allclose(rows, np.exp(expected), atol=1e-5)
    row = np.arange(len(new))
    if lead == "emotion":
        first = said[0].argmax(1)
        answers = (first, said[2][row, first].argmax(1))
    else:
        first = said[1].argmax(1)
        answers = (said[2][row, :, first].argmax(1), first)
    np.testing.assert_array_equal(np.stack(answers), np.stack(decode(mean)))


def test_the_average_of_joint_answers_is_led_as_they_are() -> None:
    first, second = (Joint(OPEN, lead="emotion").apply(heads(seed, 3, 3)) for seed in (10, 11))
    found = ensemble([first, second])
    np.testing.assert_allclose(np.exp(found.pairs), (np.exp(first.pairs) + np.exp(second.pairs)) / 2)
    emotion, sentiment = decode(found)
    np.testing.assert_array_equal(emotion, (np.exp(first.emotion) + np.exp(second.emotion)).argmax(1))
    assert (OPEN[emotion, sentiment] > 0).all()
    with pytest.raises(ValueError, match="led by different tasks"):
        ensemble([first, Joint(OPEN, lead="sentiment").apply(heads(11, 3, 3))])


def test_a_damaged_table_is_refused() -> None:
    (model,) = joint_fit.fit("linear", planted("determined", 200), options=ONE)
    arrays, values = model.state()
    with pytest.raises(ValueError, match=r"a table of shape \(4, 3\), and 'both' leads"):
        registry.restore(arrays, values | {"joint": {"lead": "both"}})
    arrays["joint.counts"] = arrays["joint.counts"] - 1_000
    with pytest.raises(ValueError, match="a joint answer has a table"):
        registry.restore(arrays, values)


def test_contradictions_are_counted_against_the_training_pairs() -> None:
    train, new = planted("mixed", 500), planted("mixed", 500, seed=6)
    (model,) = joint_fit.fit("linear_late", train, options=ONE)
    emotion, sentiment = decode(model.predict(new))
    seen = metrics.seen_pairs(train.emotion, train.sentiment, 4, 3)
    assert metrics.contradiction_rate(emotion, sentiment, seen) == 0
