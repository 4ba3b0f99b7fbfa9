"""Emotion and sentiment names: one spelling each, MELD's order, and the sentiment that an emotion suggests.

Vocabularies come from the data; nothing here limits what a manifest may name.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

EMOTIONS = ("neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger")
"""MELD's seven, in the order of its published baseline."""
SENTIMENTS = ("neutral", "positive", "negative")
"""MELD's three, in the order of its published baseline."""

_SPELLINGS = {
    "neutral": ("neutral", "neutrality", "neu"),
    "surprise": ("surprise", "surprised", "sur", "pleasant_surprise", "pleasant_surprised"),
    "fear": ("fear", "fearful", "afraid", "scared", "anxiety", "fea"),
    "sadness": ("sadness", "sad"),
    "joy": ("joy", "joyful", "happy", "happiness", "hap"),
    "disgust": ("disgust", "disgusted", "dis"),
    "anger": ("anger", "angry", "ang"),
    "calm": ("calm", "calmness"),
    "boredom": ("boredom", "bored"),
    "excitement": ("excitement", "excited", "exc"),
    "frustration": ("frustration", "frustrated", "fru"),
    "contempt": ("contempt", "contemptuous"),
}
_EMOTION_OF = {word: name for name, words in _SPELLINGS.items() for word in words}

_SENTIMENT_OF = {
    "positive": ("joy", "excitement"),
    "neutral": ("neutral", "surprise", "calm"),
    "negative": ("fear", "sadness", "disgust", "anger", "boredom", "frustration", "contempt"),
}
SENTIMENT_OF = {emotion: sentiment for sentiment, emotions in _SENTIMENT_OF.items() for emotion in emotions}
"""The sentiment that an emotion suggests, for corpora that label emotions alone. MELD labels its own: there a
surprise is positive or negative, never neutral."""


def canonical_emotion(word: str) -> str:
    """Return MELD's name for an emotion where it has one: ``Happy`` → ``joy``, ``SAD`` → ``sadness``.

    An unknown word keeps its spelling, in lower case, with underscores for spaces and dashes.
    """
    plain = "_".join(word.strip().lower().replace("-", " ").split())
    return _EMOTION_OF.get(plain, plain)


def sentiment_of(emotion: str) -> str:
    """Return the sentiment that an emotion suggests by `SENTIMENT_OF`; empty for any other word."""
    return SENTIMENT_OF.get(emotion, "")


def vocabulary(labels: Iterable[str], order: Sequence[str]) -> tuple[str, ...]:
    """Return the names that occur in `labels`: those of `order` first and in that order, then the rest by name.

    Blanks are left out. ``vocabulary(["joy", "calm", ""], EMOTIONS)`` is ``("joy", "calm")``.
    """
    found = set(labels) - {""}
    return (*(name for name in order if name in found), *sorted(found - set(order)))
