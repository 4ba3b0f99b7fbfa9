"""CREMA-D: acted speech of 91 actors, named like 1001_DFA_ANG_XX: actor, sentence, emotion, intensity.

Cao et al., "CREMA-D: Crowd-Sourced Emotional Multimodal Actors Dataset", IEEE Transactions on Affective
Computing 2014, https://github.com/CheyneyComputerScience/CREMA-D. The label is the emotion that was acted.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dualstream.pipeline.corpus.importers import named_clips
from dualstream.pipeline.corpus.utterance import Utterance

EMOTIONS = {"ANG": "anger", "DIS": "disgust", "FEA": "fear", "HAP": "joy", "NEU": "neutral", "SAD": "sadness"}

EXPECTED = "AudioWAV/1001_DFA_ANG_XX.wav"
NAME = re.compile(r"(?P<actor>1\d\d\d)_[A-Z]{3}_(?P<emotion>ANG|DIS|FEA|HAP|NEU|SAD)_(?:LO|MD|HI|XX|X)")


def rows(root: Path) -> Sequence[Utterance]:
    """Return CREMA-D's utterances by path: from VideoFlash where it is there, else from AudioWAV or AudioMP3."""
    return [
        Utterance(match[0], path, "train", speaker=match["actor"], emotion=EMOTIONS[match["emotion"]])
        for path, match in named_clips(root, NAME, EXPECTED)
    ]
