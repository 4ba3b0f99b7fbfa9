"""Names of emotions and sentiments: spelling, order, what an emotion suggests."""

from __future__ import annotations

import pytest
from dualstream.pipeline.corpus.labels import EMOTIONS, SENTIMENTS, canonical_emotion, sentiment_of, vocabulary


@pytest.mark.parametrize(
    ("word", "name"),
    [
        ("Happy", "joy"),
        ("SAD", "sadness"),
        (" Fearful ", "fear"),
        ("Pleasant-Surprise", "surprise"),
        ("neutral", "neutral"),
        ("awe struck", "awe_struck"),
        ("", ""),
    ],
)
def test_canonical_emotion(word: str, name: str) -> None:
    assert canonical_emotion(word) == name


def test_vocabulary_is_in_melds_order_then_by_name() -> None:
    assert vocabulary(["joy", "calm", "", "neutral", "awe", "joy"], EMOTIONS) == ("neutral", "joy", "awe", "calm")
    assert vocabulary(reversed(EMOTIONS), EMOTIONS) == (
        *("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"),
    )
    assert vocabulary(["negative", "positive", "neutral"], SENTIMENTS) == ("neutral", "positive", "negative")
    assert vocabulary(["", ""], EMOTIONS) == ()


def test_every_emotion_of_meld_suggests_a_sentiment() -> None:
    suggested = {emotion: sentiment_of(emotion) for emotion in EMOTIONS}
    assert suggested == {
        "neutral": "neutral",
        "surprise": "neutral",
        "joy": "positive",
        "fear": "negative",
        "sadness": "negative",
        "disgust": "negative",
        "anger": "negative",
    }
    assert sentiment_of("puzzled") == "" == sentiment_of("")
