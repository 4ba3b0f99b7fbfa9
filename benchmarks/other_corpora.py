"""Real corpora other than RAVDESS's, as damages.py wants them: rows of utterances, one task, drawn anew by seed.

What a reviewer might try: one sound by two encoders (EMO-DB), votes of people (CREMA-D), a face and its sound with
windows averaged (MOSI, POM, ICT-MMMO), the upper and lower half of one face in conversations (MELD). A sentiment
stands where the labels of a corpus are sentiments.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from clean_corpora import DEV, KEPT, _cached, _faces, cremad, sounds
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from numpy.typing import NDArray
from whole_corpora import Whole

LEAST = 5  # groups of a draw


def _of_utterances(features: FeatureSet, dev: NDArray[np.bool_], ids: tuple[str, ...]) -> Whole:
    """Return utterance rows alone, with sentiments as the only labels where there are no emotions."""
    count = len(ids)
    streams = {name: StreamArrays(one.utterance, one.present) for name, one in features.streams.items()}
    features = replace(features, streams=streams, offsets=np.zeros(count + 1, np.int64), start_s=np.zeros(0))
    if features.emotion.max(initial=-1) < 0:
        labels, names = features.sentiment, features.sentiment_names
        features = replace(features, emotion=labels, emotion_names=names, sentiment=np.full(count, -1))
    return Whole(features, dev, ids)


def _table(corpus: str, video: str, audio: str) -> Callable[[Path, int], Whole]:
    def draw(folder: Path, seed: int) -> Whole:
        features, ids = _cached(folder, corpus, video, audio)
        known = len(np.unique(features.speaker)) > 1
        group = features.speaker if known else np.arange(len(features))
        names = np.random.default_rng([seed, 7]).permutation(np.unique(group))
        some = names[: max(LEAST, round(KEPT * len(names)))]
        whole = _of_utterances(features, np.isin(group, some[: max(1, round(DEV * len(some)))]), ids)
        return whole.take(np.flatnonzero(np.isin(group, some)))

    return draw


def meld(seed: int) -> Whole:
    """Return the halves of MELD's faces: a third of train's dialogues, and of dev's."""
    features, train = _faces()
    codes = np.unique(features.dialogue)
    some = np.random.default_rng([seed, 7]).permutation(codes)[: len(codes) // 3]
    use = np.flatnonzero(np.isin(features.dialogue, some))
    turn = np.zeros(len(features), np.int64)
    for code in codes:
        mine = features.dialogue == code
        turn[mine] = np.arange(mine.sum())
    ids = tuple(f"dia{features.dialogue[i]}_utt{turn[i]}" for i in use)
    return _of_utterances(features.take(use), ~np.isin(use, train), ids)


OTHERS: dict[str, Callable[[Path, int], Whole]] = {
    "emodb": lambda folder, seed: sounds(folder, "emodb", "acoustic+whisper", seed),
    "votes": lambda folder, seed: cremad(seed),
    "mosi": _table("mosi", "face_geometry", ""),
    "meld": lambda folder, seed: meld(seed),
    "pom": _table("pom_aligned", "video_words", "audio_words"),
    "mmmo": _table("mmmo_aligned", "video_words", "audio_words"),
}
"""By name on the command line: a draw of a corpus."""
