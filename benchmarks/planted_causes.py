"""Corpora whose fusion fails for a known cause: for the tests, and for the study in docs/fusion.md.

Each utterance has a burst of a few windows in which its emotion shows. The class is a pair of factors,
one that video tells and one that audio tells, so that a sound fusion beats either stream:

    video factor   0 0 0 1 1 2 2
    audio factor   0 1 2 0 1 0 1        (video factor, audio factor) -> one of seven classes

Both streams also carry the burst's course in time, as a moving face and a voice do, which is what
alignment can be read from.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from itertools import pairwise

import checkout  # noqa: F401
import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays, join
from dualstream.heads.diagnosis.changes import pooled_rows
from numpy.typing import NDArray

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
SENTIMENTS = ("neutral", "positive", "negative")
VIDEO_FACTOR = np.array([0, 0, 0, 1, 1, 2, 2])
AUDIO_FACTOR = np.array([0, 1, 2, 0, 1, 0, 1])
SENTIMENT_OF = np.array([0, 1, 2, 2, 1, 2, 2])
HOP_S = 0.5
WINDOWS = (4, 10)  # of an utterance, half-open
BURST_WINDOWS = (2, 4)  # half-open

CAUSES = (
    "none",
    "no_complement",
    "starved_sampling",
    "misaligned",
    "whitened_projection",
    "scale_mismatch",
    "one_stream_dominates",
    "leakage",
    "drift",
    "too_little_data",
    "collapse",
    "broken_features",
)


@dataclass(frozen=True)
class PlantOptions:
    """What is planted, and in which corpus."""

    causes: tuple[str, ...] = ("none",)
    """Of CAUSES; several at once make a corpus with several faults."""
    seed: int = 0
    strength: float = 1.0
    """Of the fault, 0.5 mild to 2 strong."""
    utterances: int = 960
    """Train and dev together; a quarter of the dialogues are dev."""
    video_width: int = 100
    audio_width: int = 192
    signal: float = 0.6
    """Distance of the factors' means in units of the noise of one window."""


def plant(options: PlantOptions) -> tuple[FeatureSet, FeatureSet]:
    """Return (train, dev) of a corpus with the faults that `options` names.

    Raises
    ------
    ValueError
        Where a cause is none of CAUSES.
    """
    unknown = set(options.causes) - set(CAUSES)
    if unknown:
        raise ValueError(f"no such cause: {sorted(unknown)}; there are: {', '.join(CAUSES)}")
    rng = np.random.default_rng(options.seed)
    causes = set(options.causes)
    count = round(160 / options.strength) if "too_little_data" in causes else options.utterances
    emotion = _classes(rng, count, skewed="collapse" in causes, strength=options.strength)
    layout = _Layout.draw(rng, count)
    video, audio = _damaged(rng, *_streams(rng, emotion, layout, options), layout, options)
    video_seen = np.ones(len(layout.owner), dtype=bool)
    if "starved_sampling" in causes:
        video_seen = (layout.place * HOP_S) % 3.0 == 0.0
    features = FeatureSet(
        streams={
            "video": _pooled(video.astype(np.float32), video_seen, layout.offsets),
            "audio": _pooled(audio.astype(np.float32), np.ones_like(video_seen), layout.offsets),
        },
        offsets=layout.offsets,
        start_s=layout.place.astype(np.float64) * HOP_S,
        emotion=emotion.astype(np.int64),
        sentiment=SENTIMENT_OF[emotion].astype(np.int64),
        emotion_names=EMOTIONS,
        sentiment_names=SENTIMENTS,
        dialogue=layout.dialogue,
        turn=(np.arange(count) % 8).astype(np.int64),
        speaker=rng.integers(0, 12, count),
    )
    train, held = features.take(np.flatnonzero(~layout.dev)), features.take(np.flatnonzero(layout.dev))
    if "leakage" in causes:
        held = _leak(rng, train, held, share=min(0.3 * options.strength, 0.9))
    return train, held


@dataclass(frozen=True, repr=False)
class _Layout:
    """The windows of the utterances of a corpus, and their dialogues."""

    offsets: NDArray[np.int64]
    """Where each utterance's windows begin, shape (N + 1,)."""
    owner: NDArray[np.int64]
    """Which utterance each window is of, shape (W,)."""
    place: NDArray[np.int64]
    """Which of its utterance's windows each is, from 0, shape (W,)."""
    dialogue: NDArray[np.int64]
    """Shape (N,)."""

    @classmethod
    def draw(cls, rng: np.random.Generator, count: int) -> _Layout:
        """Draw how many windows each of `count` utterances has."""
        lengths = rng.integers(*WINDOWS, size=count)
        offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
        owner = np.repeat(np.arange(count), lengths)
        return cls(offsets, owner, np.arange(offsets[-1]) - offsets[owner], np.arange(count) // 8)

    @property
    def dev(self) -> NDArray[np.bool_]:
        """Which utterances are dev, shape (N,)."""
        return self.dialogue % 4 == 3


def _streams(
    rng: np.random.Generator, emotion: NDArray[np.int64], layout: _Layout, options: PlantOptions
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the window rows of video and audio, as encoders would give them of such a corpus."""
    causes = set(options.causes)
    widths = {"video": options.video_width, "audio": options.audio_width}
    if "one_stream_dominates" in causes:  # a wide stream is memorised before a narrow one is heard
        widths = {"video": round(1_000 * options.strength), "audio": 12}
    burst = _bursts(rng, np.diff(layout.offsets), layout.owner, layout.place)
    signal = options.signal * (0.45 if "collapse" in causes else 1.0)
    video = _stream(rng, widths["video"], VIDEO_FACTOR[emotion][layout.owner], burst, signal)
    audio = _stream(rng, widths["audio"], AUDIO_FACTOR[emotion][layout.owner], burst, signal)
    if "no_complement" in causes:  # audio is a noisy echo of video: nothing in it is new
        mixing = rng.normal(size=(widths["video"], widths["audio"])) / np.sqrt(widths["video"])
        audio = video @ mixing + 0.7 * rng.normal(size=(len(layout.owner), widths["audio"]))
    return video, audio


def _damaged(
    rng: np.random.Generator,
    video: NDArray[np.float64],
    audio: NDArray[np.float64],
    layout: _Layout,
    options: PlantOptions,
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the window rows with what went wrong after the encoders: shifts, noise, scales, projections."""
    causes, strength, dev = set(options.causes), options.strength, layout.dev[layout.owner]
    width = audio.shape[1]
    if "misaligned" in causes:
        hops = max(1, round(2 * strength)) * int(rng.choice([-1, 1]))
        audio = _late(rng, audio, layout.offsets, hops)
    if "too_little_data" in causes:
        video = video + 1.5 * rng.normal(size=video.shape)
        audio = audio + 1.5 * rng.normal(size=audio.shape)
    if "one_stream_dominates" in causes:
        video = video + 1.5 * rng.normal(size=video.shape)
        audio = 0.3 * audio
    if "scale_mismatch" in causes:
        audio = audio * 10 ** (2.0 + strength)
    if "whitened_projection" in causes:  # the stronger, the more directions of noise are kept
        audio = _components(audio, ~dev, round(width * min(1.0, 0.5 + 0.25 * strength)))
    if "drift" in causes:
        away = rng.normal(size=video.shape[1])
        video = video + np.where(dev, 1.5 * strength, 0.0)[:, None] * away
    if "broken_features" in causes:
        bad = rng.choice(width, round(width * min(0.25 * strength, 0.9)), replace=False)
        audio[:, bad] = 0.0
    return video, audio


def _classes(rng: np.random.Generator, count: int, *, skewed: bool, strength: float) -> NDArray[np.int64]:
    share = np.array([0.25, 0.15, 0.08, 0.12, 0.18, 0.08, 0.14])
    if skewed:
        majority = min(0.75 + 0.1 * strength, 0.93)
        share = np.concatenate(([majority], np.full(6, (1 - majority) / 6)))
    return rng.choice(len(EMOTIONS), size=count, p=share)


def _bursts(
    rng: np.random.Generator, lengths: NDArray[np.int64], owner: NDArray[np.int64], place: NDArray[np.int64]
) -> NDArray[np.float64]:
    """Return how far each window lies in its utterance's burst, 0 to 1, shape (W,)."""
    span = rng.integers(*BURST_WINDOWS, size=len(lengths))
    start = np.floor(rng.uniform(size=len(lengths)) * (lengths - span + 1))
    inside = (place >= start[owner]) & (place < (start + span)[owner])
    return inside * rng.uniform(0.7, 1.3, len(owner))


def _stream(
    rng: np.random.Generator,
    width: int,
    factor: NDArray[np.int64],
    burst: NDArray[np.float64],
    signal: float,
) -> NDArray[np.float64]:
    """Return window rows, shape (W, width): factor and course of the burst in noise of low rank."""
    rank = min(width, 12)
    basis = np.linalg.qr(rng.normal(size=(width, rank)))[0].T * np.sqrt(width)  # (rank, width)
    means = rng.normal(size=(3, rank))
    means = 1.6 * signal * (means - means.mean(axis=0))
    course = rng.normal(size=rank)
    course = 1.5 * course / np.linalg.norm(course)
    latent = rng.normal(size=(len(burst), rank)) + burst[:, None] * (means[factor] + course)
    return latent @ basis / np.sqrt(rank) + 0.5 * rng.normal(size=(len(burst), width))


def _late(
    rng: np.random.Generator, rows: NDArray[np.float64], offsets: NDArray[np.int64], hops: int
) -> NDArray[np.float64]:
    """Move each utterance's rows `hops` windows later (earlier where negative).

    What comes in at the other end is the stream of some other moment, as in a clip whose sound was cut elsewhere.
    """
    moved = rows[rng.permutation(len(rows))]
    for start, end in pairwise(offsets):
        kept = max(0, end - start - abs(hops))
        source, target = (start, start + hops) if hops > 0 else (start - hops, start)
        moved[target : target + kept] = rows[source : source + kept]
    return moved


def _components(rows: NDArray[np.float64], fitted: NDArray[np.bool_], width: int) -> NDArray[np.float64]:
    """Return the rows' principal components, as a PCA over the `fitted` ones finds them, the largest first."""
    centred = rows - rows[fitted].mean(axis=0)
    vectors = np.linalg.eigh(centred[fitted].T @ centred[fitted])[1]
    return centred @ vectors[:, ::-1][:, :width]


def _pooled(windows: NDArray[np.float32], seen: NDArray[np.bool_], offsets: NDArray[np.int64]) -> StreamArrays:
    windows = np.where(seen[:, None], windows, 0).astype(np.float32)
    utterance, present = pooled_rows(windows, seen, offsets)
    return StreamArrays(utterance, present, windows, seen)


def _leak(rng: np.random.Generator, train: FeatureSet, held: FeatureSet, *, share: float) -> FeatureSet:
    """Replace a share of the held-out utterances by copies of training utterances."""
    which = rng.permutation(len(held))[: round(share * len(held))]
    copies = rng.choice(len(train), size=len(which), replace=False)
    rest = np.setdiff1d(np.arange(len(held)), which)
    copied = replace(train.take(copies), dialogue=np.arange(len(copies)))
    return join(held.take(rest), copied)
