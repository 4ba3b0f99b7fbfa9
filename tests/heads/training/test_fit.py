"""The training engine: what stops it, what it keeps, what it must not depend on."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.training.fit import TorchModel, split_groups
from dualstream.heads.training.seed_group import macro_f1
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions
from sklearn.metrics import f1_score

from tests.heads.planted import Split, plant

QUICK = FitOptions(seeds=(0, 1, 2), epochs=6, hidden=32)


@pytest.fixture(scope="module")
def split() -> Split:
    return plant("exclusive_or", 2, train=300, dev=101, test=60)


def _arrays(model: Any) -> dict[str, bytes]:
    assert isinstance(model, TorchModel)
    return {name: value.tobytes() for name, value in model.arrays.items()}


OF_EACH_KIND = ("concat_norm", "late", "tensor", "aligned", "crossmodal", "bottleneck", "dialogue")


@pytest.mark.parametrize(
    ("name", "hidden"),
    [
        *((name, 32) for name in OF_EACH_KIND),
        ("concat_norm", 100),
        *(pytest.param(name, 100, marks=pytest.mark.slow) for name in OF_EACH_KIND[1:]),
    ],
)
def test_a_seed_does_not_depend_on_its_company(name: str, hidden: int, split: Split) -> None:
    """Nor on when the others stop: patience 1 sends them home at different epochs."""
    options = FitOptions(seeds=(0, 1, 2), epochs=4, hidden=hidden, patience=1, threads=1)
    train = split.train.take(np.arange(150))  # not a multiple of any vector's length
    together = registry.fit(name, train, split.dev, options=options)
    for model in together[1:]:
        alone = registry.fit(name, train, split.dev, options=replace(options, seeds=(model.seed,)))[0]
        assert _arrays(alone) == _arrays(model)
        first, second = alone.history, model.history
        assert (first.best_epoch, first.stopped) == (second.best_epoch, second.stopped)
        assert first.columns.keys() == second.columns.keys()
        for column, values in first.columns.items():
            if column.startswith("dev"):  # decides when to stop
                assert values == second.columns[column]
            else:  # is shown
                assert values == pytest.approx(second.columns[column], rel=1e-4, abs=1e-6)


def test_threads_change_nothing(split: Split) -> None:
    one, three = (
        registry.fit("gated", split.train, split.dev, options=replace(QUICK, threads=count)) for count in (1, 3)
    )
    assert [model.seed for model in three] == [0, 1, 2]
    assert [_arrays(model) for model in one] == [_arrays(model) for model in three]


def test_models_of_before_have_no_prior_and_answer_as_they_did(split: Split) -> None:
    model = registry.fit("concat", split.train, split.dev, options=QUICK)[0]
    arrays, values = model.state()
    old = registry.restore({key: value for key, value in arrays.items() if not key.startswith("prior/")}, values)
    np.testing.assert_array_equal(old.predict(split.test).emotion, model.predict(split.test).emotion)  # type: ignore[arg-type]
    gone = {name: replace(one, present=np.zeros(60, bool)) for name, one in split.test.streams.items()}
    empty = replace(split.test, streams=gone)
    assert not np.allclose(old.predict(empty).emotion, model.predict(empty).emotion)  # type: ignore[arg-type]


def test_seeds_differ(split: Split) -> None:
    first, second, _ = registry.fit("concat_norm", split.train, split.dev, options=QUICK)
    assert _arrays(first) != _arrays(second)


def test_the_best_epoch_is_kept(split: Split) -> None:
    options = replace(QUICK, epochs=12, patience=3, learning_rate=1e-2)
    for model in registry.fit("concat_norm", split.train, split.dev, options=options):
        scores = model.history.columns["dev_score"]
        assert model.history.best_epoch == int(np.argmax(scores))
        found = model.predict(split.dev)
        assert found.emotion is not None and found.sentiment is not None
        expected = np.mean(
            [
                f1_score(split.dev.emotion, found.emotion.argmax(axis=1), average="macro"),
                f1_score(split.dev.sentiment, found.sentiment.argmax(axis=1), average="macro"),
            ]
        )
        assert max(scores) == pytest.approx(expected)


def test_patience_stops_and_says_so(split: Split) -> None:
    options = replace(QUICK, epochs=60, patience=2)
    for model in registry.fit("video", split.train, split.dev, options=options):
        best = model.history.best_epoch
        assert best is not None
        if model.history.stopped == "patience":
            assert len(model.history.columns["train_loss"]) == best + 1 + 2
    assert any(
        model.history.stopped == "patience"
        for model in registry.fit("video", split.train, split.dev, options=options)
    )


def test_a_perfect_score_is_not_waited_past(split: Split) -> None:
    options = replace(QUICK, epochs=20, seeds=(0,))
    (model,) = registry.fit("concat_norm", split.train, split.dev, options=options)
    scores, best = model.history.columns["dev_score"], model.history.best_epoch
    assert (model.history.stopped, scores.index(1.0)) == ("perfect score", best)
    assert best is not None and len(scores) == best + 1 < 20
    (whole,) = registry.fit("concat_norm", split.train, None, options=replace(options, epochs=best + 1))
    assert _arrays(model) == _arrays(whole)


def test_watching_the_loss(split: Split) -> None:
    options = replace(QUICK, watch="loss")
    for model in registry.fit("concat_norm", split.train, split.dev, options=options):
        assert model.history.best_epoch == int(np.argmin(model.history.columns["dev_loss"]))


def test_without_dev_all_epochs_run(split: Split) -> None:
    for dev in (None, replace(split.dev, emotion=np.full(101, -1), sentiment=np.full(101, -1))):
        for model in registry.fit("concat", split.train, dev, options=replace(QUICK, patience=1)):
            assert len(model.history.columns["train_loss"]) == 6
            assert (model.history.best_epoch, model.history.stopped) == (None, "epochs")
            assert "dev_loss" not in model.history.columns


def test_an_interrupt_keeps_the_best_so_far(split: Split) -> None:
    def stop(news: dict[str, Any]) -> None:
        if news["epoch"] == 3:
            raise KeyboardInterrupt

    options = replace(QUICK, watch="loss")  # a perfect score would end it sooner
    for dev in (None, split.dev):
        cut = registry.fit("concat_norm", split.train, dev, options=options, progress=stop)
        assert [model.history.stopped for model in cut] == ["interrupted"] * 3
        short = registry.fit("concat_norm", split.train, dev, options=replace(options, epochs=3))
        assert [_arrays(model) for model in cut] == [_arrays(model) for model in short]


def test_progress_is_told(split: Split) -> None:
    news: list[dict[str, Any]] = []
    registry.fit("concat_norm", split.train, split.dev, options=replace(QUICK, epochs=2), progress=news.append)
    assert [(one["variant"], one["epoch"], one["epochs"]) for one in news] == [
        ("concat_norm", 1, 2),
        ("concat_norm", 2, 2),
    ]
    assert news[1]["train_loss"] < news[0]["train_loss"] and 0 <= news[0]["dev_score"] <= 1


@pytest.mark.parametrize("balance", ["fixed", "uncertainty", "surgery"])
def test_what_is_recorded(balance: str, split: Split) -> None:
    options = replace(QUICK, task_balance=balance, watch="loss")
    for model in registry.fit("gated", split.train, split.dev, options=options):
        columns = model.history.columns
        assert {len(values) for values in columns.values()} == {6}
        assert all(-1 <= value <= 1 for value in columns["task_cosine"])
        shares = np.add(columns["gradient_share_video"], columns["gradient_share_audio"])
        np.testing.assert_allclose(shares, 1.0, rtol=1e-5)
        assert not any(name.startswith("balance") for name in model.state()[0])


def test_tasks_with_the_same_labels_pull_the_same_way() -> None:
    """Planted: the sentiment codes are the emotion codes, so both heads learn the same of the representation."""
    split = plant("noise_stream", 4, train=300, dev=50, test=10)
    options = FitOptions(seeds=(0, 1, 2), epochs=8)
    for model in registry.fit("video", split.train, None, options=options):
        assert np.mean(model.history.columns["task_cosine"][-3:]) > 0.5
    opposed = replace(split.train, sentiment=np.random.default_rng(0).integers(0, 2, 300))
    for model in registry.fit("video", opposed, None, options=options):
        assert np.mean(model.history.columns["task_cosine"][-3:]) < 0.5


def test_a_dead_stream_has_no_share() -> None:
    split = plant("noise_stream", 4, train=200, dev=50, test=10)
    dead = replace(split.train.streams["audio"], utterance=np.full((200, 16), 3.0, np.float32))
    train = replace(split.train, streams=split.train.streams | {"audio": dead})
    for model in registry.fit("concat_norm", train, None, options=QUICK):
        assert max(model.history.columns["gradient_share_audio"]) == 0.0


@pytest.mark.parametrize("loss", ["weighted", "focal", "logit_adjusted", "balanced_softmax", "resample"])
def test_rare_classes_are_heard(loss: str) -> None:
    """Overlapping classes, nineteen to one: plain cross-entropy hardly ever answers the rare one."""
    rng = np.random.default_rng(0)
    whole = plant("noise_stream", 6, train=2000, dev=4, test=400)
    rare = np.flatnonzero(whole.train.emotion == 1)[:50]
    train = whole.train.take(np.concatenate((np.flatnonzero(whole.train.emotion == 0), rare)))
    blurred = [_blur(one, rng) for one in (train, whole.test)]

    def recall(options: FitOptions) -> float:
        model = registry.fit("video", blurred[0], None, options=options)[0]
        found = model.predict(blurred[1]).emotion
        assert found is not None
        return float((found.argmax(axis=1) == 1)[whole.test.emotion == 1].mean())

    options = FitOptions(seeds=(0,), epochs=10, loss="cross_entropy")
    plain = recall(options)
    helped = recall(replace(options, resample=True) if loss == "resample" else replace(options, loss=loss))
    assert plain < 0.3
    assert helped > plain + (0.02 if loss == "focal" else 0.3)


def _blur(features: FeatureSet, rng: np.random.Generator) -> FeatureSet:
    video = features.streams["video"]
    rows = video.utterance + rng.normal(size=video.utterance.shape, scale=3.0).astype(np.float32)
    return replace(features, streams=features.streams | {"video": replace(video, utterance=rows)})


def test_unlabelled_training_fails(split: Split) -> None:
    bare = replace(split.train, emotion=np.full(300, -1))
    with pytest.raises(ValueError, match="no training utterance has a label for emotion"):
        registry.fit("concat", bare, options=FitOptions(tasks=("emotion",)))


def test_another_width_fails(split: Split) -> None:
    model = registry.fit("video", split.train, None, options=QUICK)[0]
    swapped = replace(split.test, streams={"video": split.test.streams["audio"]})
    with pytest.raises(ValueError, match="video stream has 16 columns; this model was fitted on 12"):
        model.predict(swapped)


def test_streams_without_windows(split: Split) -> None:
    table = replace(split.train.streams["video"], windows=None, window_present=None)
    train = replace(split.train, streams=split.train.streams | {"video": table})
    assert registry.fit("tensor", train, None, options=QUICK)
    with pytest.raises(ValueError, match="aligned needs windows; the video stream has only one row per utterance"):
        registry.fit("aligned", train, None, options=QUICK)
    with pytest.raises(ValueError, match="dialogue:aligned needs windows"):
        registry.fit("dialogue:aligned", train, None, options=QUICK)


def test_nothing_and_one_utterance(split: Split) -> None:
    model = registry.fit("concat_norm", split.train, None, options=QUICK)[0]
    none = model.predict(split.test.take(np.array([], dtype=np.int64)))
    assert none.emotion is not None and none.emotion.shape == (0, 2)
    whole, one = model.predict(split.test), model.predict(split.test.take(np.array([5])))
    assert whole.emotion is not None and one.emotion is not None
    np.testing.assert_allclose(one.emotion[0], whole.emotion[5], atol=1e-5)


def test_macro_f1_is_scikit_learns() -> None:
    rng = np.random.default_rng(1)
    for _ in range(50):
        truth, found = rng.integers(0, 4, 30), rng.integers(1, 6, 30)
        assert macro_f1(truth, found, 7) == pytest.approx(f1_score(truth, found, average="macro"))


def test_held_out_groups_are_whole(split: Split) -> None:
    rest, out = split_groups(split.train, 0.15)
    assert len(rest) + len(out) == 300 and 30 <= len(out) <= 60
    assert not set(rest.dialogue) & set(out.dialogue)
