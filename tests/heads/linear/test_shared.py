"""Parts that variants have in common are fitted once while fits are shared, and are what they were."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from dualstream.heads.linear import layer_choice, model
from dualstream.heads.linear.shared import MOST, once, reused_s, sharing
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions

from tests.heads.many_streams import corpus
from tests.heads.variants.test_layered import layered_corpus

NAMES = ("linear:face", "linear_late", "linear_late:whisper+face", "linear_lda_late", "lda_late", "linear")
OPTIONS = FitOptions(seeds=(0,), threads=1)


def test_each_streams_head_is_fitted_once(monkeypatch: pytest.MonkeyPatch) -> None:
    train = corpus("each", 0, 150, 0.1)
    apart = [registry.fit(name, train, options=OPTIONS)[0].state() for name in NAMES]
    fitted, plain = [], model.fit_part

    def counted(train, streams, *rest, **more):
        fitted.append((streams, rest[3]))
        return plain(train, streams, *rest, **more)

    monkeypatch.setattr(model, "fit_part", counted)
    with sharing():
        together = [registry.fit(name, train, options=OPTIONS)[0].state() for name in NAMES]
        assert reused_s() > 0
    assert reused_s() == 0.0
    one_each = [((name,), solver) for solver in ("lda", "logistic") for name in ("acoustic", "face", "whisper")]
    assert sorted(fitted) == sorted([*one_each, (("whisper", "acoustic", "face"), "logistic")])
    for (arrays, values), (others, again) in zip(apart, together, strict=True):
        assert values == again and arrays.keys() == others.keys()
        assert all(arrays[key].tobytes() == others[key].tobytes() for key in arrays)


def test_each_streams_layers_are_chosen_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """And chosen again of other rows, other labels, other folds and other speakers of dev."""
    train, options = layered_corpus(90, {2: 1.0}), replace(OPTIONS, layers="learned", decoding="separate")
    dev = layered_corpus(30, {2: 1.0}, seed=1, first_speaker=6)
    apart = [registry.fit(name, train, dev, options=options)[0].state() for name in ("linear_audio", "linear")]
    chosen, plain = [], layer_choice._chosen

    def counted(*given):
        chosen.append(given)
        return plain(*given)

    monkeypatch.setattr(layer_choice, "_chosen", counted)
    with sharing():
        together = [
            registry.fit(name, train, dev, options=options)[0].state() for name in ("linear_audio", "linear")
        ]
        assert len(chosen) == 1
        for (arrays, values), (others, again) in zip(apart, together, strict=True):
            assert values == again
            assert {key: one.tobytes() for key, one in arrays.items()} == {
                key: one.tobytes() for key, one in others.items()
            }
        scaled = replace(train.streams["audio"], utterance=2 * train.streams["audio"].utterance)
        by_dialogue = replace(options, parameters={"folds": "dialogue"})
        for other, one_dev, fit in (
            (replace(train, streams={**train.streams, "audio": scaled}), dev, options),
            (replace(train, emotion=train.emotion[::-1].copy()), dev, options),
            (train, replace(dev, speaker=train.speaker[:30]), options),
            (train, None, options),
            (train, dev, by_dialogue),
            (train, dev, replace(options, tasks=("emotion",))),
        ):
            registry.fit("linear_audio", other, one_dev, options=fit)
        assert len(chosen) == 7


def test_other_rows_labels_or_options_are_fitted_anew() -> None:
    made: list[int] = []

    def make() -> int:
        made.append(len(made))
        return made[-1]

    rows = np.arange(6.0).reshape(3, 2)
    with sharing():
        assert once("a", [rows], make) == once("a", [rows.copy()], make) == 0
        others = [
            ("b", [rows]),
            ("a", [rows + 1]),
            ("a", [rows.reshape(2, 3)]),
            ("a", [rows, None]),
            ("a", [None]),
        ]
        assert [once(settings, arrays, make) for settings, arrays in others] == [1, 2, 3, 4, 5]
        for number in range(MOST):
            once(number, [], make)
        assert once("a", [rows], make) == len(made) - 1  # long gone
    assert once("a", [rows], make) == once("a", [rows], make) - 1  # nothing is shared


def test_sharing_ends_with_its_block() -> None:
    with sharing() as outer:
        once("a", [], lambda: 1)
        with sharing(), pytest.raises(ZeroDivisionError):
            once("a", [], lambda: 1 // 0)
        assert once("a", [], lambda: 2) == 1 and list(outer.kept)
