"""Corpora as they should be, in the order of their table and before they are split: what damages.py damages.

What is planted resembles real rows in what the measures look at: both streams tell the class, the speaker, and a
residual of their own clip that they share (how strongly it was acted, what was said), in columns of uneven scale
and with tails.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import checkout  # noqa: F401
import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from numpy.typing import NDArray

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
Floats = NDArray[np.float64]
Codes = NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Whole:
    """A corpus before it is split."""

    features: FeatureSet
    dev: NDArray[np.bool_]
    ids: tuple[str, ...]

    def split(self) -> tuple[FeatureSet, FeatureSet]:
        """Return train and dev."""
        return self.features.take(np.flatnonzero(~self.dev)), self.features.take(np.flatnonzero(self.dev))

    @property
    def rows(self) -> dict[str, Floats]:
        """The rows of each stream, to be changed."""
        return {name: one.utterance.astype(np.float64) for name, one in self.features.streams.items()}

    def having(self, rows: dict[str, Floats] | None = None, **changes: object) -> Whole:
        """Return it with other rows, labels or speakers."""
        features = replace(self.features, **changes)  # type: ignore[arg-type]
        if rows is not None:
            there = {name: one.present for name, one in features.streams.items()}
            made = {name: StreamArrays(row.astype(np.float32), there[name]) for name, row in rows.items()}
            features = replace(features, streams=made)
        return replace(self, features=features)

    def take(self, index: Codes, ids: tuple[str, ...] | None = None) -> Whole:
        """Return these utterances, in this order."""
        names = ids or tuple(self.ids[i] for i in index)
        return Whole(self.features.take(index), self.dev[index], names)


def table(
    rows: dict[str, Floats], label: Codes, speaker: Codes, names: tuple[str, ...], dev: Codes, ids: tuple[str, ...]
) -> Whole:
    """Return a corpus of utterance rows, without windows and dialogues; the speakers `dev` are its dev split."""
    count = len(label)
    streams = {
        name: StreamArrays(np.ascontiguousarray(one, dtype=np.float32), np.ones(count, dtype=bool))
        for name, one in rows.items()
    }
    features = FeatureSet(
        streams=streams,
        offsets=np.zeros(count + 1, dtype=np.int64),
        start_s=np.zeros(0),
        emotion=label.astype(np.int64),
        sentiment=np.full(count, -1, dtype=np.int64),
        emotion_names=names,
        sentiment_names=("negative", "positive"),
        dialogue=np.arange(count, dtype=np.int64),
        turn=np.zeros(count, dtype=np.int64),
        speaker=speaker.astype(np.int64),
    )
    return Whole(features, np.isin(speaker, dev), ids)


def planted(
    seed: int = 0, *, speakers: int = 24, takes: tuple[int, int, int] = (2, 2, 2), signal: float = 1.0
) -> Whole:
    """Return a planted corpus: each speaker acts seven classes, in `takes` of strength, sentence, repetition.

    24 speakers by default, of which the last six are dev, and 1,248 utterances: neutral in one strength only.
    """
    rng = np.random.default_rng([seed, 3])
    cells = [
        (who, what, strength, sentence, take)
        for who in range(speakers)
        for what in range(len(EMOTIONS))
        for strength in range(takes[0] if what else takes[0] - 1)
        for sentence in range(takes[1])
        for take in range(takes[2])
    ]
    who, what, strength, sentence, take = np.array(cells).T
    count = len(who)
    shared = rng.normal(size=(count, 4)) + np.stack([strength, sentence, strength * sentence, take * 0], 1) * 1.5
    rows = {
        name: _stream(rng, width, (who, what), shared, signal * worth)
        for name, width, worth in (("audio", 96, 0.75), ("video", 35, 0.6))
    }
    ids = tuple(
        f"a{a:02d}-{EMOTIONS[e][:3]}-{s + 1}-{t + 1}-{r + 1}"
        for a, e, s, t, r in zip(who, what, strength, sentence, take, strict=True)
    )
    dev = np.arange(speakers - speakers // 4, speakers)
    return table(rows, what, who, EMOTIONS, dev, ids)


def _stream(
    rng: np.random.Generator, width: int, codes: tuple[Codes, Codes], shared: Floats, signal: float
) -> Floats:
    """Return rows (N, width): class, speaker, what is shared, and what is the stream's own, of low rank."""
    who, what = codes
    rank = min(width, 24)
    basis = rng.normal(size=(rank, width)) / np.sqrt(rank)
    classes, people = rng.normal(size=(what.max() + 1, rank)), rng.normal(size=(who.max() + 1, rank))
    own_way = rng.normal(size=(who.max() + 1, what.max() + 1, rank))  # nobody acts as another does
    latent = (
        signal * classes[what]
        + people[who]
        + 0.35 * own_way[who, what]
        + 0.3 * shared @ rng.normal(size=(shared.shape[1], rank))
        + rng.standard_t(6, size=(len(who), rank))
    )
    rows = latent @ basis + 0.5 * rng.standard_t(6, size=(len(who), width))
    return rows * np.exp(0.5 * rng.normal(size=width)) + 2 * rng.normal(size=width)
