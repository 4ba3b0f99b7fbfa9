"""EMO-DB: German acted speech, ten speakers, named like 03a01Fa: speaker, text, emotion, take.

Burkhardt et al., "A Database of German Emotional Speech", Interspeech 2005, http://emodb.bilderbar.info.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dualstream.pipeline.corpus.importers import named_clips
from dualstream.pipeline.corpus.utterance import Utterance

EMOTIONS = {  # by the German word: Wut, Langeweile, Ekel, Angst, Freude, Trauer, neutral
    "W": "anger",
    "L": "boredom",
    "E": "disgust",
    "A": "fear",
    "F": "joy",
    "T": "sadness",
    "N": "neutral",
}

EXPECTED = "03a01Fa.wav"
NAME = re.compile(r"(?P<speaker>\d\d)[ab]\d\d(?P<emotion>[WLEAFTN])[a-z]")


def rows(root: Path) -> Sequence[Utterance]:
    """Return EMO-DB's utterances by path; ids are the names of the files, such as ``03a01Fa``."""
    return [
        Utterance(match[0], path, "train", speaker=match["speaker"], emotion=EMOTIONS[match["emotion"]])
        for path, match in named_clips(root, NAME, EXPECTED)
    ]
