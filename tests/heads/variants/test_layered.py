"""Layers of a network that a stream holds side by side: chosen, averaged, or weighed by what training says."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import torch
from dualstream.heads.data.batch import FeatureSet, StreamArrays, join
from dualstream.heads.export import HeadGraph
from dualstream.heads.search import auto
from dualstream.heads.training.fit import TorchModel
from dualstream.heads.training.layer_weights import PACE
from dualstream.heads.variants import joint_fit, registry
from dualstream.heads.variants.layer_option import chosen_layers, parse_layers
from dualstream.heads.variants.layered import layer_weights
from dualstream.heads.variants.module import Batch, Logits, Settings, register_variant
from dualstream.heads.variants.registry import FitOptions
from scipy.special import log_softmax, softmax

from tests.heads.planted import plant
from tests.heads.small_corpora import noise_corpus, without
from tests.registries import scratch

LAYERS, WIDTH = (0, 1, 2, 3), 6
SEPARATE = FitOptions(seeds=(0, 1), epochs=4, patience=0, decoding="separate", layers="learned")


def layered_corpus(
    count: int, informative: dict[int, float], *, seed: int = 0, first_speaker: int = 0, scale: float = 1.0
) -> FeatureSet:
    """Audio of four layers; each informative one is told of a dimension of the class, the others are loud noise."""
    plain = noise_corpus(count, seed=seed, first_speaker=first_speaker, speakers=6, widths=(5, WIDTH))
    rng = np.random.default_rng([seed, 3])
    parts = []
    for layer in LAYERS:
        rows = rng.normal(size=(count, WIDTH))
        if layer in informative:
            means = np.random.default_rng(7).normal(size=(3, WIDTH))  # the same in all: their noises average out
            rows += informative[layer] * means[plain.emotion]
        parts.append(rows * (1 if layer in informative else 20 * scale) + 3 * layer)
    rows = np.concatenate(parts, axis=1).astype(np.float32)
    counts = rng.integers(1, 4, count)
    windows = np.repeat(rows, counts, axis=0)
    audio = StreamArrays(rows, np.ones(count, bool), windows, np.ones(len(windows), bool), LAYERS)
    video = plain.streams["video"]
    seen = np.repeat(video.utterance, counts, axis=0)
    return replace(
        plain,
        streams={
            "video": replace(video, windows=seen, window_present=np.ones(len(seen), bool)),
            "audio": audio,
        },
        offsets=np.concatenate(([0], np.cumsum(counts))),
        start_s=np.zeros(len(windows)),
    )


def of_layer(features: FeatureSet, layer: int) -> FeatureSet:
    """The corpus as if that layer alone had been extracted."""
    audio, part = features.streams["audio"], slice(layer * WIDTH, (layer + 1) * WIDTH)
    assert audio.windows is not None
    cut = replace(audio, utterance=audio.utterance[:, part], windows=audio.windows[:, part], layers=())
    return replace(features, streams={**features.streams, "audio": cut})


def same(found: registry.Prediction, expected: registry.Prediction, tolerance: float = 0.0) -> None:
    for task in ("emotion", "sentiment"):
        np.testing.assert_allclose(found.task(task), expected.task(task), atol=tolerance, rtol=0)  # type: ignore[arg-type]


@pytest.mark.parametrize("name", ["linear_audio", "audio"])
def test_the_informative_layer_is_found(name: str) -> None:
    train, new = (layered_corpus(240, {2: 1.5}, seed=s, first_speaker=6 * s) for s in (0, 1))
    options = replace(SEPARATE, epochs=30)
    model = registry.fit(name, train, options=options)[0]
    weights = layer_weights(model)["audio"]
    assert sum(weights.values()) == pytest.approx(1, abs=1e-6)
    assert weights[2] > 0.6 and max(weights, key=weights.__getitem__) == 2
    learned, mean = (
        float((one.predict(new).emotion.argmax(1) == new.emotion).mean())  # type: ignore[union-attr]
        for one in (model, registry.fit(name, train, options=replace(options, layers="mean"))[0])
    )
    assert learned > mean + 0.2  # loud noise drowns the mean


def test_what_lies_in_two_layers_is_taken_from_both() -> None:
    train = layered_corpus(400, {1: 0.5, 3: 0.5})
    weights = layer_weights(registry.fit("linear_audio", train, options=SEPARATE)[0])["audio"]
    assert weights[1] > 0.2 and weights[3] > 0.2 and weights[0] + weights[2] < 0.3


@pytest.mark.parametrize("name", ["linear_audio", "linear_late", "audio", "gated", "aligned"])
def test_one_layer_is_what_extracting_it_alone_gives(name: str) -> None:
    train, new = layered_corpus(60, {2: 1.0}), layered_corpus(20, {2: 1.0}, seed=1)
    found = registry.fit(name, train, options=replace(SEPARATE, layers="2"))
    expected = registry.fit(name, of_layer(train, 2), options=replace(SEPARATE, layers=None))
    for one, other in zip(found, expected, strict=True):
        same(one.predict(new), other.predict(of_layer(new, 2)))


def test_the_mean_is_the_mean_of_the_layers() -> None:
    train, new = layered_corpus(60, {2: 1.0}), layered_corpus(20, {2: 1.0}, seed=1)

    def averaged(features: FeatureSet) -> FeatureSet:
        audio = features.streams["audio"]
        rows = audio.utterance.astype(np.float64).reshape(len(audio.utterance), len(LAYERS), WIDTH).mean(1)
        plain = StreamArrays(rows.astype(np.float32), audio.present)
        return replace(features, streams={**features.streams, "audio": plain})

    found = registry.fit("linear_audio", train, options=replace(SEPARATE, layers="audio=mean"))[0]
    expected = registry.fit("linear_audio", averaged(train), options=replace(SEPARATE, layers=None))[0]
    same(found.predict(new), expected.predict(averaged(new)), 1e-5)
    assert layer_weights(found) == {"audio": dict.fromkeys(LAYERS, 0.25)}


@pytest.mark.parametrize("name", ["linear", "concat_norm"])
def test_all_is_the_default_and_what_it_was(name: str) -> None:
    train = layered_corpus(60, {2: 1.0})
    audio = replace(train.streams["audio"], layers=())
    flat = replace(train, streams={**train.streams, "audio": audio})
    plain = registry.fit(name, flat, options=replace(SEPARATE, layers=None))[0]
    for layers in (None, "all", "audio=all"):
        model = registry.fit(name, train, options=replace(SEPARATE, layers=layers))[0]
        assert layer_weights(model) == {}
        arrays, values = model.state()
        expected, words = plain.state()
        assert values == words and {key: one.tobytes() for key, one in arrays.items()} == {
            key: one.tobytes() for key, one in expected.items()
        }


def test_a_network_computes_superbs_sum() -> None:
    """By hand, from the numbers in the state: softmax, weighted sum, one hidden layer, two heads."""
    train, new = layered_corpus(60, {2: 1.0}), layered_corpus(9, {2: 1.0}, seed=1)
    (model, _) = registry.fit("audio", train, options=SEPARATE)
    assert isinstance(model, TorchModel)
    arrays, _ = model.state()
    rows = (new.streams["audio"].utterance - arrays["scale/audio/mean"]) / arrays["scale/audio/spread"]
    weights = softmax(PACE * arrays["weights/layers.audio"].astype(np.float64))
    mixed = np.einsum("l,nld->nd", weights, rows.reshape(9, 4, WIDTH))
    entry = np.concatenate([mixed, np.zeros((9, 1))], axis=1)  # nothing is missing
    assert arrays["weights/audio.weight"].shape == (WIDTH + 1, 128)
    hidden = np.maximum(entry @ arrays["weights/audio.weight"] + arrays["weights/audio.bias"], 0)
    logits = hidden @ arrays["weights/head.weight"] + arrays["weights/head.bias"]
    np.testing.assert_allclose(model.predict(new).emotion, log_softmax(logits[:, :3], axis=1), atol=1e-5)


def test_each_layer_is_normed_by_itself() -> None:
    train = layered_corpus(40, {2: 1.0}, scale=50)
    (model, _) = registry.fit("concat_norm", train, options=SEPARATE)
    assert isinstance(model, TorchModel)
    scaler = model.scalers["audio"]
    scaled = scaler(train.streams["audio"].utterance, train.streams["audio"].present).reshape(-1, 4, WIDTH)
    np.testing.assert_allclose(scaled.mean(-1), 0, atol=1e-5)
    np.testing.assert_allclose(scaled.var(-1, correction=0), 1, atol=1e-3)


def test_a_seed_learns_the_same_in_company() -> None:
    train = layered_corpus(60, {2: 1.0})
    together = registry.fit("gated", train, options=replace(SEPARATE, seeds=(3, 1, 2), threads=1))
    (alone,) = registry.fit("gated", train, options=replace(SEPARATE, seeds=(1,), threads=1))
    (expected, _), (found, _) = alone.state(), together[1].state()
    assert {key: one.tobytes() for key, one in found.items()} == {key: v.tobytes() for key, v in expected.items()}


NAMES = ("linear_audio", "linear", "linear_lda_late", "audio", "concat_norm", "late", "gated", "tensor")
OVER_WINDOWS = ("aligned", "crossmodal", "bottleneck", "dialogue:aligned", "dialogue")


@pytest.mark.parametrize("name", [*NAMES, *OVER_WINDOWS])
@pytest.mark.parametrize("layers", ["learned", "1"])
def test_stored_and_exported_models_answer_alike(name: str, layers: str) -> None:
    train = without(layered_corpus(60, {2: 1.0}), "audio", np.arange(0, 60, 5))
    new = without(layered_corpus(24, {2: 1.0}, seed=1), "audio", np.arange(3))
    options = replace(SEPARATE, epochs=2, decoding="joint", layers=layers)
    models = joint_fit.fit(name, train, options=options)
    again = [registry.restore(*model.state()) for model in models]
    for one, other in zip(models, again, strict=True):
        same(other.predict(new), one.predict(new))
        assert layer_weights(other) == layer_weights(one) and set(layer_weights(one)) == {"audio"}
    graph = HeadGraph(models, {"emotion": 1.0, "sentiment": 1.0})
    assert graph.widths["audio"] == len(LAYERS) * WIDTH
    with torch.no_grad():
        emotion, sentiment, *_ = graph(*graph.feed(new))
    for found, task in ((emotion, "emotion"), (sentiment, "sentiment")):
        expected = np.mean([np.exp(one.predict(new).task(task)) for one in models], axis=0)  # type: ignore[arg-type]
        np.testing.assert_allclose(found.numpy(), expected, atol=1e-5)


def test_a_module_of_the_users_reads_mixed_rows() -> None:
    widths = []
    with scratch(registry.VARIANTS):

        @register_variant("layered_module", streams=("audio",))
        class Plain(torch.nn.Module):
            def __init__(self, settings: Settings) -> None:
                super().__init__()
                widths.append(settings.widths["audio"])
                self.emotion = torch.nn.Linear(settings.widths["audio"], settings.emotions)
                self.sentiment = torch.nn.Linear(settings.widths["audio"], settings.sentiments)

            def forward(self, batch: Batch) -> Logits:
                return Logits(self.emotion(batch.audio_utterance), self.sentiment(batch.audio_utterance))

        train = layered_corpus(120, {2: 1.5})
        (model, _) = registry.fit("layered_module", train, options=replace(SEPARATE, epochs=20))
        weights = layer_weights(model)["audio"]
        assert set(widths) == {WIDTH} and max(weights, key=weights.__getitem__) == 2
        same(registry.restore(*model.state()).predict(train), model.predict(train))


def test_auto_weighs_layers_in_each_fold() -> None:
    train = layered_corpus(120, {2: 1.5})
    options = replace(SEPARATE, parameters={"candidates": "linear_audio,linear"})
    (model, _) = registry.fit("auto", train, options=options)
    assert isinstance(model, auto.AutoModel)
    assert layer_weights(model)["audio"][2] > 0.6
    same(registry.restore(*model.state()).predict(train), model.predict(train))
    fold = np.arange(120) % 3
    work: dict[object, object] = {}
    assert registry.held_out("linear", train, fold, options=SEPARATE, work=work) is None and not work
    chosen = registry.held_out("linear", train, fold, options=replace(SEPARATE, layers="2"), work={})
    single = registry.held_out(
        "linear", of_layer(train, 2), fold, options=SEPARATE.__class__(decoding="separate"), work={}
    )
    assert chosen is not None and single is not None
    same(chosen, single)


def test_no_held_out_label_has_a_part_in_the_weights() -> None:
    train = layered_corpus(120, {2: 1.0})
    dev = layered_corpus(40, {1: 3.0}, seed=5, first_speaker=20)
    other = replace(dev, emotion=(dev.emotion + 1) % 3, sentiment=(dev.sentiment + 1) % 3)
    first, second = (registry.fit("linear_audio", train, one, options=SEPARATE)[0] for one in (dev, other))
    assert layer_weights(first) == layer_weights(second)


def test_features_keep_their_layers() -> None:
    features = layered_corpus(20, {2: 1.0})
    assert features.take(np.arange(5)).streams["audio"].layers == LAYERS
    assert join(features, features).streams["audio"].layers == LAYERS
    with pytest.raises(ValueError, match="24 columns cannot be 5 layers"):
        replace(features.streams["audio"], layers=(0, 1, 2, 3, 4))


def test_a_corpus_of_one_group_takes_the_mean() -> None:
    train = layered_corpus(30, {2: 1.0})
    alone = replace(train, speaker=np.zeros(30, np.int64), dialogue=np.zeros(30, np.int64))
    model = registry.fit("linear_audio", alone, options=SEPARATE)[0]
    assert layer_weights(model) == {"audio": dict.fromkeys(LAYERS, 0.25)}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("best", "layers are 'best'; expected learned, mean, all or the number of a layer"),
        ("=3", "expected learned, mean"),
        ("audio=", "expected learned, mean"),
        ("-1", "expected learned, mean"),
        ("audio=3,audio=mean", "audio is given twice"),
        ("3,4", "every stream is given twice"),
    ],
)
def test_what_cannot_be_read_fails(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        FitOptions(layers=text)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("7", "no layer 7 of audio; audio has 0, 1, 2, 3"),
        ("video=learned", "the video stream has no layers"),
        ("face=2", "the face stream has no layers"),
    ],
)
def test_what_is_not_there_fails(text: str, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        registry.fit("linear", layered_corpus(30, {}), options=FitOptions(layers=text))


def test_streams_without_layers_fail() -> None:
    with pytest.raises(ValueError, match="no stream of this corpus has layers; extract it with hf:FOLDER@all"):
        registry.fit("linear_audio", noise_corpus(30), options=FitOptions(layers="learned"))


def test_each_stream_is_read_as_asked() -> None:
    assert parse_layers(None) == {} and parse_layers("audio=3,learned") == {"audio": "3", "": "learned"}
    layers = {"audio": (0, 1, 2, 3), "video": (0, 1)}
    assert chosen_layers("audio=3,learned", layers) == {"audio": "3", "video": "learned"}
    assert chosen_layers(None, layers) == {"audio": "all", "video": "all"}


def test_planted_corpora_without_layers_are_as_they_were() -> None:
    split = plant("noise_stream", 0, train=60, dev=20, test=20)
    assert all(not stream.layers for stream in split.train.streams.values())
    assert layer_weights(registry.fit("audio", split.train, options=replace(SEPARATE, layers=None))[0]) == {}
