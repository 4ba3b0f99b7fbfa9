"""Mistakes that were drawn after the signs had been mended for those of partial_damages.py, and mended for none.

How many of them are named says what a diagnosis does with mistakes that nobody thought of.
"""

from __future__ import annotations

import numpy as np
from damages import Damage, _column, _into_dev, _labels, _moved, _stream_of
from more_damages import _changed
from partial_damages import LABELS, _people, _some
from shapes import conversations
from whole_corpora import Whole


def dialogues_of_others(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Three dialogues in ten have the rows of another one's file in one stream."""
    whole = conversations(whole, rng)
    source, dialogue = np.arange(len(whole.ids)), whole.features.dialogue
    chosen = rng.permutation(np.unique(dialogue))[: round(0.3 * strength * len(np.unique(dialogue)))]
    for one, other in zip(chosen, np.roll(chosen, 1), strict=True):
        source[dialogue == one] = np.resize(np.flatnonzero(dialogue == other), int((dialogue == one).sum()))
    return _moved(whole, _stream_of(whole, rng), source)


def two_rows_inserted(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    count, at = len(whole.ids), round(len(whole.ids) * (1 - 0.6 * min(strength, 1.5)))
    source = np.r_[np.arange(at), at, at, np.arange(at, count - 2)]
    return _moved(whole, _stream_of(whole, rng), source)


def nine_rows_early(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _moved(whole, _stream_of(whole, rng), np.roll(np.arange(len(whole.ids)), -round(9 * strength)))


def labels_early_at_the_end(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    label = whole.features.emotion.copy()
    half = len(label) // 2
    label[half:] = np.roll(label[half:], -round(2 * strength))
    return _labels(whole, label)


def labels_of_another_speaker(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Four speakers have each other's labels, in another order than their rows are."""
    label, speaker = whole.features.emotion.copy(), whole.features.speaker
    for code in _people(whole, rng, round(4 * strength)):
        mine = np.flatnonzero(speaker == code)
        label[mine] = label[mine][::-1]
    return _labels(whole, label)


def a_quarter_of_devs_labels(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    label, classes = whole.features.emotion, len(whole.features.emotion_names)
    some = whole.dev & _some(whole, rng, 0.25 * strength)
    return _labels(whole, np.where(some, rng.integers(0, classes, len(label)), label))


def one_class_of_three_renamed(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    label = whole.features.emotion
    a, b = rng.permutation(len(whole.features.emotion_names))[:2]
    mine = np.isin(whole.features.speaker, _people(whole, rng, round(4 * strength)))
    return _labels(whole, np.where(mine & (label == a), b, label))


def names_a_row_late(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    whole = conversations(whole, rng)
    return whole.having(speaker=np.roll(whole.features.speaker, round(strength)))


def two_people_one_name(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    speaker = whole.features.speaker.copy()
    people = _people(whole, rng, 2 * round(3 * strength))
    for one, other in people.reshape(-1, 2):
        speaker[speaker == other] = one
    return whole.having(speaker=speaker)


def filled_with_the_speakers_mean(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    name = _stream_of(whole, rng)
    rows, speaker = whole.rows[name], whole.features.speaker
    means = np.stack([rows[speaker == code].mean(axis=0) for code in speaker])
    return _changed(whole, name, _some(whole, rng, 0.15 * strength), means)


def a_third_of_the_columns_unknown(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    rows[:, : rows.shape[1] // 3] = -1
    return _changed(whole, name, _some(whole, rng, 0.1 * strength), rows)


def logarithms_for_some(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    mine = np.isin(whole.features.speaker, _people(whole, rng, round(6 * strength)))
    return _changed(whole, name, mine, np.sign(rows) * np.log1p(np.abs(rows)))


def columns_one_further(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    name = _stream_of(whole, rng)
    mine = np.isin(whole.features.speaker, _people(whole, rng, round(5 * strength)))
    return _changed(whole, name, mine, np.roll(whole.rows[name], 1, axis=1))


def near_copies_of_train(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _into_dev(whole, rng, 0.4 * strength, 0.01)


def half_of_the_label(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A column says which half of the classes it is."""
    return _column(whole, rng, (whole.features.emotion > 2)[:, None] + 0.05 * rng.normal(size=(len(whole.ids), 1)))


FRESH: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "three dialogues in ten of others": (dialogues_of_others, ("wrong_join", "duplicates")),
    "two rows inserted": (two_rows_inserted, ("wrong_join",)),
    "rows nine early": (nine_rows_early, ("wrong_join",)),
    "labels two early in the second half": (labels_early_at_the_end, ("wrong_join", *LABELS)),
    "four speakers' labels backwards": (labels_of_another_speaker, ("wrong_join", *LABELS)),
    "25 % of dev's labels random": (a_quarter_of_devs_labels, ("label_noise",)),
    "one class of four speakers renamed": (one_class_of_three_renamed, LABELS),
    "names a row late": (names_a_row_late, ("wrong_speakers",)),
    "three names of two people each": (two_people_one_name, ("wrong_speakers",)),
    "15 % filled with the speaker's mean": (filled_with_the_speakers_mean, ("imputed_rows",)),
    "a third of the columns -1 in a tenth": (a_third_of_the_columns_unknown, ("put_values",)),
    "logarithms for six speakers": (logarithms_for_some, ("two_kinds_of_rows", "scale_by_group")),
    "columns one further for five speakers": (columns_one_further, ("columns_by_group", "two_kinds_of_rows")),
    "near copies of train in 12 % of dev": (near_copies_of_train, ("duplicates", "leakage")),
    "half of the label as a column": (half_of_the_label, ("label_in_column",)),
}
"""By words: the mistake, and the causes that are right for it."""
