"""Corpora of other shapes than one of actors: conversations, few speakers, three streams, other labels, no dev."""

from __future__ import annotations

from dataclasses import replace

import checkout  # noqa: F401
import numpy as np
from dualstream.heads.data.batch import UNLABELLED, StreamArrays
from whole_corpora import Floats, Whole

COMMON = (1.0, 0.45, 0.2, 0.4, 0.7, 0.2, 0.5)  # share of each class that is kept: uneven, as in conversations
LENGTH = 12  # utterances of a dialogue
UNKNOWN = -1
NEUTRAL = 0  # the first class of each corpus
GLAD = ("joy", "surprise", "happy", "surprised", "03", "08")  # as corpora call them


def conversations(whole: Whole, rng: np.random.Generator) -> Whole:
    """Return dialogues of about three speakers of one split, classes unevenly often, ids as MELD's files have."""
    label, speaker = whole.features.emotion, whole.features.speaker
    kept = rng.random(len(label)) < np.array(COMMON)[rng.permutation(len(COMMON))][label]
    table, dialogues = [], []
    for side in (False, True):
        people = rng.permutation(np.unique(speaker[whole.dev == side]))
        for group in np.array_split(people, max(1, len(people) // 3)) if len(people) else []:
            mine = rng.permutation(np.flatnonzero(kept & (whole.dev == side) & np.isin(speaker, group)))
            dialogues += np.array_split(mine, max(1, len(mine) // LENGTH))
    for number in rng.permutation(len(dialogues)):
        table.append(dialogues[number])
    dialogue = np.repeat(np.arange(len(table)), [len(one) for one in table])
    turn = np.concatenate([np.arange(len(one)) for one in table])
    ids = tuple(f"dia{d}_utt{t}" for d, t in zip(dialogue, turn, strict=True))
    return whole.take(np.concatenate(table), ids).having(dialogue=dialogue, turn=turn)


def few_speakers(whole: Whole, rng: np.random.Generator) -> Whole:
    """Return six speakers' utterances, of whom two are dev."""
    people = rng.permutation(np.unique(whole.features.speaker))[:6]
    part = whole.take(np.flatnonzero(np.isin(whole.features.speaker, people)))
    return replace(part, dev=np.isin(part.features.speaker, people[:2]))


def without_speakers(whole: Whole) -> Whole:
    """Return the corpus with nobody named."""
    return whole.having(speaker=np.full(len(whole.ids), UNKNOWN))


def without_dev(whole: Whole) -> Whole:
    """Return the corpus with all utterances in train."""
    return replace(whole, dev=np.zeros_like(whole.dev))


def sentiment_only(whole: Whole) -> Whole:
    """Return the corpus labelled with two sentiments alone: joy and surprise, and the rest but neutral."""
    part = whole.take(np.flatnonzero(whole.features.emotion != NEUTRAL))
    glad = np.isin(np.array(part.features.emotion_names)[part.features.emotion], GLAD)
    return part.having(sentiment=glad.astype(np.int64), emotion=np.full(len(part.ids), UNLABELLED))


def three_streams(whole: Whole, rng: np.random.Generator) -> Whole:
    """Return the corpus with a third stream, `pose`: a weaker view of what both others tell, and noise."""
    rows = np.concatenate([_unit(one) for one in whole.rows.values()], axis=1)
    mixed = rows @ rng.normal(size=(rows.shape[1], 24)) / np.sqrt(rows.shape[1])
    pose = mixed + 0.7 * mixed.std() * rng.normal(size=mixed.shape)
    present = np.ones(len(pose), dtype=bool)
    streams = {**whole.features.streams, "pose": StreamArrays(pose.astype(np.float32), present)}
    return replace(whole, features=replace(whole.features, streams=streams))


def _unit(rows: Floats) -> Floats:
    return (rows - rows.mean(axis=0)) / (rows.std(axis=0) + 1e-9)
