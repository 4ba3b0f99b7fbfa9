"""What every registered variant must do, whoever wrote it: a new one is tested here without a new test."""

from __future__ import annotations

import functools
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.export import HeadGraph
from dualstream.heads.variants import registry
from dualstream.heads.variants.contract import KINDS
from dualstream.heads.variants.registry import TASKS, FitOptions, Prediction

from tests.heads import plain_modules
from tests.heads.planted import plant

WITH_ARGUMENT = ["dialogue:video", "dialogue:late", "dialogue:aligned"]
NAMES = [*registry.names(), *WITH_ARGUMENT, *plain_modules.NAMES]
ROOT = Path(__file__).resolve().parents[2]
QUICK = FitOptions(seeds=(3, 4), epochs=2, hidden=16)
Fitted = Callable[[str], Sequence[registry.Trained]]


@pytest.fixture(scope="module", autouse=True)
def plain() -> Iterator[None]:
    with plain_modules.plain_modules():
        yield


@pytest.fixture(scope="module")
def corpus() -> tuple[FeatureSet, FeatureSet, FeatureSet]:
    split = plant("noise_stream", 5, train=96, dev=40, test=50)
    return split.train, split.dev, split.test


@pytest.fixture(scope="module")
def fitted(corpus: tuple[FeatureSet, FeatureSet, FeatureSet]) -> Fitted:
    """Give the models of a variant, fitted once: no test changes them."""
    train, dev, _ = corpus
    return functools.cache(lambda name: registry.fit(name, train, dev, options=QUICK))


@pytest.mark.parametrize("name", NAMES)
def test_predicts_log_probabilities(
    name: str, corpus: tuple[FeatureSet, FeatureSet, FeatureSet], fitted: Fitted
) -> None:
    test, models = corpus[2], fitted(name)
    assert [model.seed for model in models] == [3, 4]
    for model in models:
        assert model.variant == name
        found = model.predict(test)
        for task in TASKS:
            rows = found.task(task)
            assert rows is not None and rows.shape == (50, 2) and rows.dtype == np.float64
            np.testing.assert_allclose(np.exp(rows).sum(axis=1), 1.0, atol=1e-6)


@pytest.mark.parametrize("name", NAMES)
def test_restores_from_its_state(
    name: str, corpus: tuple[FeatureSet, FeatureSet, FeatureSet], fitted: Fitted
) -> None:
    test, model = corpus[2], fitted(name)[0]
    arrays, values = model.state()
    assert all(isinstance(array, np.ndarray) for array in arrays.values())
    again = registry.restore(arrays, _through_json(values))
    assert (again.variant, again.seed) == (model.variant, model.seed)
    _same(again.predict(test), model.predict(test))


@pytest.mark.parametrize("name", NAMES)
def test_same_seed_same_bytes(
    name: str, corpus: tuple[FeatureSet, FeatureSet, FeatureSet], fitted: Fitted
) -> None:
    train, dev, _ = corpus
    again = registry.fit(name, train, dev, options=QUICK)
    first, second = (models[0].state()[0] for models in (fitted(name), again))
    assert first.keys() == second.keys()
    for key in first:
        assert first[key].tobytes() == second[key].tobytes(), key


@pytest.mark.parametrize("name", NAMES)
def test_without_early_stopping_dev_labels_change_nothing(
    name: str, corpus: tuple[FeatureSet, FeatureSet, FeatureSet]
) -> None:
    train, dev, _ = corpus
    options = replace(QUICK, patience=0)
    rng = np.random.default_rng(0)
    shuffled = replace(dev, emotion=rng.permutation(dev.emotion), sentiment=rng.permutation(dev.sentiment))
    first = registry.fit(name, train, dev, options=options)[0].state()[0]
    second = registry.fit(name, train, shuffled, options=options)[0].state()[0]
    for key in first:
        assert first[key].tobytes() == second[key].tobytes(), key


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", NAMES)
def test_one_task_alone(name: str, task: registry.Task, corpus: tuple[FeatureSet, FeatureSet, FeatureSet]) -> None:
    train, dev, test = corpus
    found = registry.fit(name, train, dev, options=replace(QUICK, tasks=(task,)))[0].predict(test)
    assert [found.task(other) is not None for other in TASKS] == [other == task for other in TASKS]


@pytest.mark.parametrize("name", NAMES)
def test_missing_streams_are_answered(
    name: str, corpus: tuple[FeatureSet, FeatureSet, FeatureSet], fitted: Fitted
) -> None:
    """A missing stream is a mask: what lies under it must not matter."""
    test, model = corpus[2], fitted(name)[0]
    for streams in (("video",), ("audio",), ("video", "audio")):
        holes = [_without(test, streams, filler) for filler in (0.0, 9.0)]
        first, second = (model.predict(one) for one in holes)
        _same(first, second)
        assert np.isfinite(first.emotion).all()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", [name for name in NAMES if not name.startswith("dialogue")])
@pytest.mark.parametrize("loss", ["logit_adjusted", pytest.param("balanced_softmax", marks=pytest.mark.slow)])
def test_nothing_to_read_is_answered_by_the_prior(
    name: str, loss: str, corpus: tuple[FeatureSet, FeatureSet, FeatureSet]
) -> None:
    """By training's shares of the classes, one utterance added to each, whatever the loss makes of them."""
    train, dev, test = corpus
    emotion = np.where(np.arange(len(train)) % 4 == 0, train.emotion, 0)  # 0 is far commoner than 1
    train = replace(train, emotion=emotion)
    model = registry.fit(name, train, dev, options=replace(QUICK, loss=loss))[0]
    empty = _without(test, ("video", "audio"), 9.0)
    for model_again in (model, registry.restore(*model.state())):
        found = model_again.predict(empty)
        for task in TASKS:
            counts = np.array([(getattr(train, task) == code).sum() + 1 for code in range(2)])
            rows = found.task(task)
            assert rows is not None
            np.testing.assert_allclose(np.exp(rows[::2]), np.tile(counts / counts.sum(), (25, 1)), atol=1e-6)
            np.testing.assert_array_equal(rows[1::2], model.predict(test).task(task)[1::2])  # type: ignore[index]


@pytest.mark.parametrize("name", NAMES)
def test_unlabelled_utterances_are_ignored(name: str, corpus: tuple[FeatureSet, FeatureSet, FeatureSet]) -> None:
    train, dev, test = corpus
    emotion = train.emotion.copy()
    emotion[::3] = -1
    partly = replace(train, emotion=emotion)
    found = registry.fit(name, partly, dev, options=QUICK)[0].predict(test)
    assert np.isfinite(found.emotion).all()  # type: ignore[arg-type]


@pytest.mark.parametrize("name", NAMES)
def test_other_vocabularies(name: str, corpus: tuple[FeatureSet, FeatureSet, FeatureSet]) -> None:
    train, _, test = corpus
    names = ("calm", "bored", "tense", "amused", "lost")
    odd = replace(train, emotion=np.arange(len(train)) % 5, emotion_names=names)
    found = registry.fit(name, odd, None, options=QUICK)[0].predict(test)
    assert found.emotion is not None and found.emotion.shape == (50, 5)


@pytest.mark.parametrize("name", NAMES)
def test_broken_features_are_refused(
    name: str, corpus: tuple[FeatureSet, FeatureSet, FeatureSet], fitted: Fitted
) -> None:
    train, dev, _ = corpus
    (stream, *_) = registry.get(name).streams
    rows = train.streams[stream].utterance.copy()
    rows[[7, 9]] = np.nan
    broken = replace(train, streams=train.streams | {stream: replace(train.streams[stream], utterance=rows)})
    with pytest.raises(ValueError, match=rf"stream {stream}: 2 utterance row\(s\).*7, 9"):
        registry.fit(name, broken, dev, options=QUICK)
    for model in fitted(name):
        with pytest.raises(ValueError, match=rf"stream {stream}: 2 utterance row\(s\).*7, 9"):
            model.predict(broken)


def test_tables_list_variants_in_one_order_whatever_was_imported_first() -> None:
    read = "from dualstream.heads.variants import registry; print(*registry.names())"
    found = [
        subprocess.run([sys.executable, "-c", f"{first}; {read}"], cwd=ROOT, capture_output=True, text=True).stdout
        for first in ("pass", "import dualstream.heads.search.auto", "import dualstream.heads.linear",
                      "import dualstream.heads.fusion.dialogue")
    ]  # fmt: skip
    assert found[0].split()[:2] == ["video", "audio"] and len(set(found)) == 1


@pytest.mark.parametrize("name", NAMES)
def test_its_kind_is_what_it_does(name: str, fitted: Fitted) -> None:
    """Trained: in epochs, and has a network; solved: every seed the same model; search: a model of another."""
    variant = registry.get(name)
    first, second = fitted(name)
    same = _bytes(first) == _bytes(second)
    assert (variant.network is not None) == (variant.kind == "trained")
    assert registry.is_closed_form(name) == (variant.kind == "solved") and registry.is_search(name) == (
        name == "auto"
    )
    if variant.kind == "trained":
        assert first.history.columns["train_loss"] and not same
    elif variant.kind == "solved":
        assert not first.history.columns and same


def test_names_stand_by_kind_and_what_is_read() -> None:
    kinds = [registry.get(name).kind for name in registry.names()]
    assert kinds == sorted(kinds, key=KINDS.index) and set(kinds) == set(KINDS)
    trained = [registry.get(name) for name, kind in zip(registry.names(), kinds, strict=True) if kind == "trained"]
    assert [one.needs_dialogues for one in trained] == sorted(one.needs_dialogues for one in trained)


@pytest.mark.parametrize("name", NAMES)
def test_its_module_says_what_it_says(
    name: str, corpus: tuple[FeatureSet, FeatureSet, FeatureSet], fitted: Fitted
) -> None:
    test, model = corpus[2], fitted(name)[0]
    graph = HeadGraph([model], {"emotion": 1.0, "sentiment": 1.0})
    ordered = test.take(np.lexsort((test.turn, test.dialogue)))
    with torch.no_grad():
        found = graph(*graph.feed(ordered))
    for task, rows in zip(TASKS, found, strict=True):
        np.testing.assert_allclose(rows.numpy(), np.exp(model.predict(ordered).task(task)), atol=1e-5)  # type: ignore[arg-type]


def test_no_variant_has_that_name(corpus: tuple[FeatureSet, FeatureSet, FeatureSet]) -> None:
    with pytest.raises(ValueError, match="no fusion variant is called 'sum'; there are: video, audio"):
        registry.fit("sum", corpus[0])


def test_unknown_parameters_are_refused(corpus: tuple[FeatureSet, FeatureSet, FeatureSet]) -> None:
    with pytest.raises(ValueError, match=r"lowrank has no parameter \['ranks'\]; it has: \['factors', 'rank'\]"):
        registry.fit("lowrank", corpus[0], options=FitOptions(parameters={"ranks": 3}))


def test_an_argument_where_none_is_taken(corpus: tuple[FeatureSet, FeatureSet, FeatureSet]) -> None:
    with pytest.raises(ValueError, match="concat takes no argument"):
        registry.fit("concat:video", corpus[0])


def _bytes(model: registry.Trained) -> dict[str, bytes]:
    return {name: array.tobytes() for name, array in model.state()[0].items()}


def _through_json(values: dict[str, object]) -> dict[str, object]:
    import json

    back: dict[str, object] = json.loads(json.dumps(values))
    return back


def _same(first: Prediction, second: Prediction) -> None:
    for task in TASKS:
        np.testing.assert_array_equal(first.task(task), second.task(task))


def _without(features: FeatureSet, streams: tuple[str, ...], filler: float) -> FeatureSet:
    """Take streams away from every second utterance."""
    gone = np.arange(len(features)) % 2 == 0
    windows_gone = np.repeat(gone, np.diff(features.offsets))
    changed = {}
    for name, stream in features.streams.items():
        if name in streams:
            assert stream.windows is not None and stream.window_present is not None
            utterance, windows = stream.utterance.copy(), stream.windows.copy()
            utterance[gone], windows[windows_gone] = filler, filler
            changed[name] = StreamArrays(
                utterance, stream.present & ~gone, windows, stream.window_present & ~windows_gone
            )
        else:
            changed[name] = stream
    return replace(features, streams=changed)
