"""The two tasks as the rules see them: what MELD's labels are, and where an utterance has its own."""

from __future__ import annotations

from dualstream.pipeline.corpus.labels import EMOTIONS, SENTIMENTS
from dualstream.pipeline.corpus.utterance import Utterance

TASKS = {"emotion": EMOTIONS, "sentiment": SENTIMENTS}


def label_of(utterance: Utterance, task: str) -> str:
    """Return an utterance's emotion or sentiment, empty where it has none."""
    return utterance.emotion if task == "emotion" else utterance.sentiment
