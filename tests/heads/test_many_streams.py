"""Heads over three streams of any names: what was planted is found, and any of them may be missing."""

from __future__ import annotations

import functools
import json
from dataclasses import replace

import numpy as np
import pytest
import torch
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.evaluation.calibration import log_softmax
from dualstream.heads.evaluation.partial import MOST_STREAMS, case_masks, partial_cases
from dualstream.heads.export import HeadGraph
from dualstream.heads.training.plan import hide_streams
from dualstream.heads.variants import registry
from dualstream.heads.variants.contract import Trained
from dualstream.heads.variants.module import Batch, Logits, Settings, register_variant
from dualstream.heads.variants.registry import TASKS, FitOptions
from scipy.stats import chisquare
from sklearn.linear_model import LogisticRegression
from torch import nn

from tests.heads.many_streams import STREAMS, corpus, uar, without
from tests.registries import scratch

JOINING = [name for name in registry.names() if registry.get(name).joins and name != "auto"]
NAMES = [*JOINING, "dialogue:late"]
OPTIONS = FitOptions(seeds=(0,), epochs=10, hidden=24, batch_size=32, threads=1, modality_dropout=0.2)
NARROW = {"crossmodal": {"width": 12}, "bottleneck": {"width": 16}, "aligned": {"width": 24}}
SUBSETS = [("whisper",), ("face",), ("whisper", "acoustic"), ("acoustic", "face"), STREAMS]


@functools.cache
def each() -> tuple[FeatureSet, FeatureSet, FeatureSet]:
    return corpus("each", 0, 320, 0.1), corpus("each", 1, 60, 0.1), corpus("each", 2, 200)


@functools.cache
def fitted(name: str) -> Trained:
    """Fit once for all that is asked of a variant."""
    train, dev, _ = each()
    (model,) = registry.fit(name, train, dev, options=replace(OPTIONS, parameters=NARROW.get(name, {})))
    return model


@pytest.mark.parametrize("name", NAMES)
def test_what_each_of_three_holds_a_part_of_is_found(name: str) -> None:
    test = each()[2]
    assert uar(fitted(name).predict(test).emotion, test.emotion) > 0.93
    # any two leave two of four classes alike
    assert uar(fitted(name).predict(without(test, "face")).emotion, test.emotion) < 0.85


@pytest.mark.parametrize("name", NAMES)
def test_any_of_them_may_be_missing(name: str) -> None:
    """A missing stream is a mask: what lies under it does not matter; what is left is still read."""
    test = each()[2]
    for gone in SUBSETS:
        first, second = (fitted(name).predict(without(test, *gone, filler=filler)) for filler in (0.0, 9.0))
        for task in TASKS:
            rows = first.task(task)
            np.testing.assert_array_equal(rows, second.task(task))
            assert rows is not None
            np.testing.assert_allclose(np.exp(rows).sum(1), 1, atol=1e-6)
    whisper = fitted(name).predict(without(test, "acoustic", "face")).emotion
    assert whisper is not None
    assert ((whisper.argmax(1) == 0) == (test.emotion == 0)).mean() > 0.9


@pytest.mark.parametrize("name", NAMES)
def test_state_keeps_the_order_of_the_streams(name: str) -> None:
    """Files keep JSON with sorted keys; the order of the streams is the model's own."""
    test = each()[2]
    arrays, values = fitted(name).state()
    again = registry.restore(arrays, json.loads(json.dumps(values, sort_keys=True)))
    turned = replace(test, streams={stream: test.streams[stream] for stream in reversed(STREAMS)})
    for task in TASKS:
        np.testing.assert_array_equal(again.predict(turned).task(task), fitted(name).predict(test).task(task))


@pytest.mark.parametrize("name", NAMES)
def test_its_module_says_the_same_of_any_streams(name: str) -> None:
    test = each()[2].take(np.arange(40))
    graph = HeadGraph([fitted(name)], {"emotion": 1.0, "sentiment": 1.0})
    assert tuple(graph.widths) == STREAMS
    for gone in [(), *SUBSETS]:
        rows = without(test, *gone)
        with torch.no_grad():
            found = graph(*graph.feed(rows))
        for task, one in zip(TASKS, found, strict=True):
            np.testing.assert_allclose(one.numpy(), np.exp(fitted(name).predict(rows).task(task)), atol=1e-5)  # type: ignore[arg-type]


WINDOWED = [pytest.param(name, marks=pytest.mark.slow) for name in ("aligned", "crossmodal", "bottleneck")]


@pytest.mark.parametrize("name", ["concat_norm", "gated", "lowrank", "tensor", *WINDOWED])
def test_what_two_of_three_hold_together_is_found(name: str) -> None:
    train, dev, test = (corpus("exclusive_or", *drawn) for drawn in ((0, 400), (1, 60), (2, 300)))
    options = replace(OPTIONS, epochs=16, learning_rate=3e-3, parameters=NARROW.get(name, {}))
    (model,) = registry.fit(name, train, dev, options=options)
    assert uar(model.predict(test).emotion, test.emotion) > 0.93


@pytest.mark.parametrize(
    "name", ["linear", "linear_late", "late", "single:face", "linear:face", "linear_late:face+whisper"]
)
def test_what_only_the_third_holds_is_found(name: str) -> None:
    train, test = corpus("third", 0, 300), corpus("third", 2, 300)
    (model,) = registry.fit(name, train, options=OPTIONS)
    assert uar(model.predict(test).emotion, test.emotion) > 0.93
    others = registry.fit("linear:whisper+acoustic", train, options=OPTIONS)[0]
    assert uar(others.predict(test).emotion, test.emotion) < 0.62


def test_a_subset_reads_no_other_stream() -> None:
    train, _, test = each()
    for name in ("concat:whisper+face", "linear_late:whisper+face"):
        (model,) = registry.fit(name, train, options=replace(OPTIONS, epochs=2))
        said = model.predict(test).emotion
        np.testing.assert_array_equal(model.predict(without(test, "acoustic", filler=7.0)).emotion, said)
        two = {stream: test.streams[stream] for stream in ("face", "whisper")}
        np.testing.assert_array_equal(model.predict(replace(test, streams=two)).emotion, said)


def test_single_and_linear_are_the_variants_of_video_and_audio() -> None:
    train, _, test = each()
    renamed = [replace(one, streams={"video": one.streams["face"]}) for one in (train, test)]
    for named, known in (("single:face", "video"), ("linear:face", "linear_video")):
        (first,) = registry.fit(named, train, options=replace(OPTIONS, epochs=2))
        (second,) = registry.fit(known, renamed[0], options=replace(OPTIONS, epochs=2))
        np.testing.assert_array_equal(first.predict(test).emotion, second.predict(renamed[1]).emotion)


# ---- against scikit-learn and the closed form


def standardised(train: FeatureSet, rows: FeatureSet, name: str) -> np.ndarray:
    one = train.streams[name].utterance.astype(np.float64)
    return (rows.streams[name].utterance - one.mean(0)) / one.std(0)


def test_linear_over_three_is_scikit_learns() -> None:
    train, test = corpus("each", 5, 300), corpus("each", 6, 100)
    options = FitOptions(seeds=(0,), tasks=("emotion",), loss="cross_entropy", penalty=4.0)
    (model,) = registry.fit("linear", train, options=options)
    columns = [np.hstack([standardised(train, part, name) for name in STREAMS]) for part in (train, test)]
    theirs = LogisticRegression(C=1 / 4, tol=1e-8, max_iter=1000).fit(columns[0], train.emotion)
    np.testing.assert_allclose(np.exp(model.predict(test).emotion), theirs.predict_proba(columns[1]), atol=1e-3)  # type: ignore[arg-type]


def test_linear_late_over_three_is_a_pool_of_scikit_learns() -> None:
    train, test = corpus("each", 5, 300), corpus("each", 6, 100)
    options = FitOptions(seeds=(0,), tasks=("emotion",), loss="cross_entropy", penalty=4.0)
    (model,) = registry.fit("linear_late", train, options=options)
    experts = []
    for name in STREAMS:
        theirs = LogisticRegression(C=1 / 4, tol=1e-8, max_iter=1000)
        theirs.fit(standardised(train, train, name), train.emotion)
        experts.append(theirs.predict_log_proba(standardised(train, test, name)))
    weights, offset = model.mixing["emotion"], model.offset["emotion"][0]  # type: ignore[attr-defined]
    assert len(weights) == 3 and np.ptp(weights) < 1e-12  # one weight for all, by default
    expected = log_softmax(np.tensordot(weights, experts, 1) + offset)
    np.testing.assert_allclose(np.exp(model.predict(test).emotion), np.exp(expected), atol=2e-3)  # type: ignore[arg-type]


# ---- which streams are taken away, and which are there


class Present:
    """What `hide_streams` asks of a TensorSet."""

    def __init__(self, there: np.ndarray) -> None:
        self.there, self.widths = there, dict.fromkeys(STREAMS[: there.shape[1]], 1)


def test_modality_dropout_takes_any_streams_but_all() -> None:
    there = np.ones((60_000, 3), dtype=bool)
    there[:200, 1:] = False  # one stream: it stays
    hidden = hide_streams(Present(there), np.arange(len(there)), 0.4, np.random.default_rng(0))  # type: ignore[arg-type]
    assert hidden is not None and list(hidden) == list(STREAMS)
    gone = np.stack(list(hidden.values()), axis=1)
    assert not gone[:200].any() and not (gone & ~there).any()
    codes = gone[200:] @ [1, 2, 4]
    counts = np.bincount(codes, minlength=8)
    assert counts[7] == 0 and abs(counts[0] / len(codes) - 0.6) < 0.01
    assert chisquare(counts[1:7]).pvalue > 0.01


def test_of_two_streams_one_goes_by_which_half_was_drawn() -> None:
    there = np.random.default_rng(1).random((500, 2)) > 0.2
    hidden = hide_streams(Present(there), np.arange(500), 0.3, np.random.default_rng(2))  # type: ignore[arg-type]
    assert hidden is not None
    drawn, both = np.random.default_rng(2).random(500), there.all(1)
    np.testing.assert_array_equal(hidden["whisper"], both & (drawn < 0.15))
    np.testing.assert_array_equal(hidden["acoustic"], both & (drawn >= 0.15) & (drawn < 0.3))


def test_partial_cases_by_hand() -> None:
    assert partial_cases(2) == [] and partial_cases(3) == [(0, 1), (0, 2), (1, 2)]
    assert len(partial_cases(MOST_STREAMS)) == 2**MOST_STREAMS - 2 - MOST_STREAMS
    assert partial_cases(MOST_STREAMS + 1) == []
    np.testing.assert_array_equal(case_masks(3), [[1, 1, 0], [1, 0, 1], [0, 1, 1]])


# ---- what can't be


def test_what_can_t_be_joined_fails() -> None:
    train = each()[0]
    with pytest.raises(
        ValueError, match=r"video reads the video stream; this corpus has acoustic and face and whisper"
    ):
        registry.fit("video", train)
    one = replace(train, streams={"face": train.streams["face"]})
    with pytest.raises(ValueError, match=r"concat joins two streams or more; .* face alone, which single:face"):
        registry.fit("concat", one)
    with pytest.raises(ValueError, match="linear:audio reads the audio stream"):
        registry.fit("linear:audio", train)
    for name in ("concat:face", "concat:face+face", "concat:face+", "linear_late:face"):
        with pytest.raises(ValueError, match="takes no argument but two streams or more, such as"):
            registry.get(name)
    with pytest.raises(ValueError, match="single needs the name of a stream: single:NAME"):
        registry.get("single")
    assert "single" not in registry.names()


def test_windowed_variants_refuse_a_table() -> None:
    train = each()[0]
    face = train.streams["face"]
    table = replace(train, streams=train.streams | {"face": StreamArrays(face.utterance, face.present)})
    with pytest.raises(ValueError, match="aligned needs windows; the face stream has only one row per utterance"):
        registry.fit("aligned", table)
    (model,) = registry.fit("aligned:whisper+acoustic", table, options=replace(OPTIONS, epochs=1))
    assert model.predict(table).emotion is not None


def test_the_size_of_an_outer_product_is_told_before_memory_is_taken() -> None:
    train = each()[0]
    five = replace(train, streams={f"s{k}": train.streams["face"] for k in range(5)})
    said = r"5 streams of 15 columns and a 1 has 1,048,576 columns; expected 10,000 or fewer: --set columns=5"
    for name in ("tensor", "dialogue:tensor"):
        with pytest.raises(ValueError, match=said):
            registry.check(name, five, FitOptions())
    registry.check("tensor", five, FitOptions(parameters={"columns": 5}))
    registry.check("tensor:s0+s1", five, FitOptions())
    many = replace(train, streams={f"s{k}": train.streams["face"] for k in range(20)})
    with pytest.raises(ValueError, match=r"or fewer: fewer streams, such as tensor:s0\+s1"):
        registry.check("tensor", many, FitOptions())


# ---- a module of the user's


class Sum(nn.Module):
    """A layer for each stream that there is; what they say is added up."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.sizes = settings.emotions, settings.sentiments
        self.layers = nn.ModuleDict(
            {name: nn.Linear(settings.widths[name], sum(self.sizes)) for name in settings.streams}
        )

    def forward(self, batch: Batch) -> Logits:
        said = [self.layers[name](one.utterance) for name, one in batch.streams.items()]
        return Logits(*torch.stack(said).sum(0).split(self.sizes, dim=-1))


def test_a_module_joins_whatever_streams_there_are() -> None:
    train, dev, test = each()
    with scratch(registry.VARIANTS):
        register_variant("sum", streams=None)(Sum)
        register_variant("sum-two", streams=("whisper", "face"))(Sum)
        assert registry.get("sum").reads(STREAMS) == STREAMS
        for name, reads in (
            ("sum", STREAMS),
            ("sum-two", ("whisper", "face")),
            ("sum:face+acoustic", ("face", "acoustic")),
        ):
            (model,) = registry.fit(name, train, dev, options=replace(OPTIONS, learning_rate=3e-2))
            assert tuple(model.scalers) == reads  # type: ignore[attr-defined]
            score = uar(model.predict(test).emotion, test.emotion)
            assert score > 0.93 if len(reads) == 3 else score < 0.85
        with pytest.raises(ValueError, match="sum-two reads the face stream"):
            registry.check("sum-two", replace(train, streams={"whisper": train.streams["whisper"]}), OPTIONS)
