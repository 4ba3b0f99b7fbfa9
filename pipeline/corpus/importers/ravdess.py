"""RAVDESS: acted speech and song, named by seven two-digit fields; speaker is the actor.

Livingstone and Russo, "The Ryerson Audio-Visual Database of Emotional Speech and Song", PLoS ONE 2018,
https://doi.org/10.1371/journal.pone.0196391. The fields are modality (01 film with sound, 02 film without,
03 sound), channel (01 speech, 02 song), emotion, intensity, statement, repetition, actor.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from pathlib import Path

from dualstream.pipeline.corpus.importers import named_clips
from dualstream.pipeline.corpus.utterance import Utterance

EMOTIONS = {
    "01": "neutral",
    "02": "calm",
    "03": "joy",
    "04": "sadness",
    "05": "anger",
    "06": "fear",
    "07": "disgust",
    "08": "surprise",
}
MODALITY_PREFERENCE = ("01", "03", "02")

EXPECTED = "03-01-05-02-01-01-16.wav"
NAME = re.compile(r"(?P<modality>0[123])-(?P<rest>0[12]-(?P<emotion>0[1-8])-0[12]-0[12]-0[12]-(?P<actor>\d\d))")


def rows(root: Path) -> Sequence[Utterance]:
    """Return RAVDESS's utterances by path; ids are the names of the files, such as ``03-01-05-02-01-01-16``.

    A recording that is there in several modalities is taken once: film with sound, else sound, else film.
    """
    clips = named_clips(root, NAME, EXPECTED)
    clips.sort(key=lambda clip: MODALITY_PREFERENCE.index(clip[1]["modality"]))
    chosen = {match["rest"]: (path, match) for path, match in reversed(clips)}
    return [
        Utterance(
            match[0],
            path,
            "train",
            speaker=match["actor"],
            emotion=EMOTIONS[match["emotion"]],
        )
        for path, match in sorted(chosen.values(), key=lambda clip: clip[0])
    ]
