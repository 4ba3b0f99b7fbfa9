"""TESS: 200 words in seven emotions by two actresses, named like OAF_back_angry: actress, word, emotion.

Pichora-Fuller and Dupuis, "Toronto emotional speech set", 2020, https://doi.org/10.5683/SP2/E8H2MF.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dualstream.pipeline.corpus.importers import named_clips
from dualstream.pipeline.corpus.utterance import Utterance

EMOTIONS = {
    "angry": "anger",
    "disgust": "disgust",
    "fear": "fear",
    "happy": "joy",
    "neutral": "neutral",
    "ps": "surprise",  # "pleasant surprise"
    "sad": "sadness",
}

EXPECTED = "OAF_back_angry.wav"
NAME = re.compile(r"(?P<actress>OAF?|YAF)_[A-Za-z']+_(?P<emotion>angry|disgust|fear|happy|neutral|ps|sad)")


def rows(root: Path) -> Sequence[Utterance]:
    """Return TESS's utterances by path; one file of the older actress lacks a letter (OA_bite_neutral)."""
    return [
        Utterance(
            re.sub(r"[^A-Za-z0-9._-]", "_", match[0]),
            path,
            "train",
            speaker="YAF" if match["actress"] == "YAF" else "OAF",
            emotion=EMOTIONS[match["emotion"]],
        )
        for path, match in named_clips(root, NAME, EXPECTED)
    ]
