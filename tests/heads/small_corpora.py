"""Small corpora with a known answer, for tests of heads."""

from dataclasses import replace

import numpy as np
from dualstream.heads.data.batch import FeatureSet, StreamArrays

EMOTIONS = ("neutral", "joy", "anger")
SENTIMENTS = ("neutral", "positive", "negative")


def noise_corpus(
    count: int,
    *,
    seed: int = 0,
    speakers: int = 5,
    first_speaker: int = 0,
    dialogue_length: int = 6,
    widths: tuple[int, int] = (8, 12),
    classes: int = 3,
) -> FeatureSet:
    """Features that know nothing of the labels."""
    rng = np.random.default_rng(seed)
    present = np.ones(count, dtype=bool)
    streams = {
        name: StreamArrays(rng.normal(size=(count, width)).astype(np.float32), present)
        for name, width in zip(("video", "audio"), widths, strict=True)
    }
    emotion = rng.integers(0, classes, count)
    speaker = np.full(count, -1) if speakers == 0 else first_speaker + np.arange(count) % speakers
    return FeatureSet(
        streams=streams,
        offsets=np.zeros(count + 1, np.int64),
        start_s=np.zeros(0),
        emotion=emotion,
        sentiment=emotion % 3,
        emotion_names=tuple(EMOTIONS[i] if i < 3 else f"class{i}" for i in range(classes)),
        sentiment_names=SENTIMENTS,
        dialogue=np.arange(count) // dialogue_length,
        turn=np.arange(count) % dialogue_length,
        speaker=speaker,
    )


def with_signal(features: FeatureSet, *, video: float, audio: float, seed: int = 100) -> FeatureSet:
    """Add class means of these sizes to the streams; the same means for the same `seed`."""
    rng = np.random.default_rng(seed)
    streams = {}
    for name, strength in (("video", video), ("audio", audio)):
        stream = features.streams[name]
        means = rng.normal(size=(len(features.emotion_names), stream.width)) * strength
        streams[name] = replace(stream, utterance=(stream.utterance + means[features.emotion]).astype(np.float32))
    return replace(features, streams=streams)


def without(features: FeatureSet, stream: str, rows: np.ndarray) -> FeatureSet:
    """Take a stream away from some utterances."""
    old = features.streams[stream]
    present, utterance = old.present.copy(), old.utterance.copy()
    present[rows] = False
    utterance[rows] = 0
    return replace(
        features, streams={**features.streams, stream: replace(old, utterance=utterance, present=present)}
    )
