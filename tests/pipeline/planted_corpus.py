"""A small cache whose classes can be read from its streams, and variants that are there for tests alone."""

from __future__ import annotations

import dataclasses
import itertools
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.variants.registry import FitOptions, History, Prediction, Progress, Variant
from dualstream.pipeline.cache import Cache, Stream, Utterances

EMOTIONS = ["neutral", "joy", "anger"]
SENTIMENTS = ["neutral", "positive", "negative"]
FINGERPRINT = "f" * 64


def planted_cache(
    *,
    sizes: dict[str, int] | None = None,
    speakers: int = 6,
    dialogue_length: int = 5,
    strength: float = 2.0,
    widths: tuple[int, int] = (6, 4),
    seed: int = 0,
) -> Cache:
    """Return a cache of three emotions: anger against the rest is in video, joy against the rest in audio.

    Sentiment follows the emotion. One utterance in 20 lacks its video; one in 25 failed altogether.
    """
    rng = np.random.default_rng(seed)
    sizes = sizes or {"train": 240, "dev": 80, "test": 80}
    count = sum(sizes.values())
    split = [name for name, n in sizes.items() for _ in range(n)]
    place = np.concatenate([np.arange(n) for n in sizes.values()])
    emotion = rng.choice(3, size=count, p=[0.5, 0.3, 0.2])
    windows = rng.integers(1, 5, size=count)
    offsets = np.concatenate([[0], np.cumsum(windows)]).astype(np.int64)
    starts = np.concatenate([np.arange(k) * 0.5 for k in windows])
    streams = {}
    for name, width, told in (("video", widths[0], emotion == 2), ("audio", widths[1], emotion == 1)):
        signal = np.zeros((count, width))
        signal[:, 0] = strength * told
        rows = (np.repeat(signal, windows, axis=0) + rng.normal(size=(offsets[-1], width))).astype(np.float32)
        utterance = np.stack([rows[a:b].mean(axis=0) for a, b in itertools.pairwise(offsets)])
        present = np.arange(count) % 25 != 24
        if name == "video":
            present &= np.arange(count) % 20 != 19
        seen = np.repeat(present, windows)
        utterance[~present] = 0
        rows[~seen] = 0
        streams[name] = Stream(
            name=name,
            utterance=utterance.astype(np.float32),
            present=present,
            windows=rows,
            window_present=seen,
            time_s=np.where(seen, starts + 0.5, np.nan),
            spec={
                "name": "planted", "stream": name, "raw_width": width, "width": width, "version": 1,
                "parameters": {"strength": strength}, "weights": None, "has_windows": True, "column_names": None,
            },
        )  # fmt: skip
    failed = np.arange(count) % 25 == 24
    utterances = Utterances(
        id=[f"{name}_{i:04d}" for name, i in zip(split, place, strict=True)],
        split=split,
        dialogue=[f"dia{i // dialogue_length}" for i in place],
        turn=(place % dialogue_length).astype(np.int32),
        speaker=[f"speaker{i // dialogue_length % speakers}" for i in place],
        emotion=emotion.astype(np.int16),
        sentiment=emotion.astype(np.int16),
        duration_s=np.where(failed, np.nan, windows * 0.5 + 0.5),
        sha256=["" if bad else "a" * 64 for bad in failed],
        status=["failed" if bad else "ok" for bad in failed],
        reason=["planted" if bad else "" for bad in failed],
    )
    return Cache(
        utterances=utterances,
        offsets=offsets,
        start_s=starts,
        streams=streams,
        vocabulary={"emotion": EMOTIONS, "sentiment": SENTIMENTS},
        provenance={"fingerprint": FINGERPRINT, "recipe": {"planted": True}},
    )


def permute_labels(cache: Cache, splits: Sequence[str], seed: int) -> Cache:
    """Return the cache with the labels of these splits shuffled among themselves."""
    rows = cache.utterances
    inside = np.flatnonzero(np.isin(rows.split, splits))
    shuffled = np.random.default_rng(seed).permutation(inside)
    emotion, sentiment = rows.emotion.copy(), rows.sentiment.copy()
    emotion[inside], sentiment[inside] = rows.emotion[shuffled], rows.sentiment[shuffled]
    assert (emotion != rows.emotion).any()
    return dataclasses.replace(cache, utterances=dataclasses.replace(rows, emotion=emotion, sentiment=sentiment))


@dataclasses.dataclass
class Constant:
    """A model that knows how often each class occurred in training, and nothing else."""

    variant: str
    seed: int
    history: History
    emotion: np.ndarray
    sentiment: np.ndarray

    def predict(self, features: FeatureSet) -> Prediction:
        count = len(features)
        return Prediction(np.tile(self.emotion, (count, 1)), np.tile(self.sentiment, (count, 1)))

    def state(self) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        return {"emotion": self.emotion, "sentiment": self.sentiment}, {"variant": self.variant, "seed": self.seed}


def constant_variant(
    name: str = "constant", before: Callable[[FitOptions, Progress | None], None] | None = None
) -> Variant:
    """Return a variant that answers the majority class; `before` runs first and may fail."""

    def fit(
        called: str, train: FeatureSet, dev: FeatureSet | None, options: FitOptions, progress: Progress | None
    ) -> list[Constant]:
        if before is not None:
            before(options, progress)
        frequencies = []
        for labels, names in ((train.emotion, train.emotion_names), (train.sentiment, train.sentiment_names)):
            counts = np.bincount(labels[labels >= 0], minlength=len(names)) + 1.0
            frequencies.append(np.log(counts / counts.sum()))
        return [Constant(called, seed, History(stopped="converged"), *frequencies) for seed in options.seeds]

    def restore(arrays: dict[str, np.ndarray], values: dict[str, Any]) -> Constant:
        return Constant(values["variant"], values["seed"], History(), arrays["emotion"], arrays["sentiment"])

    return Variant(name, "answers the commonest class", ("video",), fit, restore)
