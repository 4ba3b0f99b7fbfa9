"""More mistakes than damages.py has: those that lie in one split, in masks, in units and in who is who.

Each takes a whole corpus, a generator and a strength as the damages there do.
"""

from __future__ import annotations

from dataclasses import replace

import checkout  # noqa: F401
import numpy as np
from damages import Damage, _half, _inside_speakers, _labels, _moved, _stream_of
from dualstream.heads.data.batch import StreamArrays
from numpy.typing import NDArray
from whole_corpora import Floats, Whole


def _changed(whole: Whole, name: str, some: NDArray[np.bool_], rows: Floats) -> Whole:
    return whole.having({**whole.rows, name: np.where(some[:, None], rows, whole.rows[name])})


def dev_shifted(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One stream of dev a row late; train stands right."""
    source, dev = np.arange(len(whole.ids)), np.flatnonzero(whole.dev)
    source[dev] = np.roll(dev, round(strength))
    return _moved(whole, _stream_of(whole, rng), source)


def dev_shuffled(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    source, dev = np.arange(len(whole.ids)), np.flatnonzero(whole.dev)
    source[dev] = rng.permutation(dev)
    return _moved(whole, _stream_of(whole, rng), source)


def dev_labels_late(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Dev's labels belong to the rows before: all its streams are right against each other."""
    label, dev = whole.features.emotion.copy(), np.flatnonzero(whole.dev)
    label[dev] = np.roll(label[dev], round(strength))
    return _labels(whole, label)


def dev_labels_random(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    label = whole.features.emotion
    some = whole.dev & (rng.random(len(label)) < 0.4 * strength)
    return _labels(whole, np.where(some, rng.integers(0, len(whole.features.emotion_names), len(label)), label))


def dev_labels_merged(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Two classes of the others have one name in dev."""
    label = whole.features.emotion
    a, b = rng.permutation(len(whole.features.emotion_names))[:2]
    return _labels(whole, np.where(whole.dev & (label == a), b, label))


def block_of_another_file(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A stretch of one stream's table, of 60 rows, read from another stretch."""
    size = round(60 * strength)
    at, of = rng.choice(len(whole.ids) // size, 2, replace=False) * size
    source = np.arange(len(whole.ids))
    source[at : at + size] = np.arange(of, of + size)
    return _moved(whole, _stream_of(whole, rng), source)


def two_blocks_swapped(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Two stretches of one stream's table, of 60 rows each, in each other's place."""
    size = round(60 * strength)
    at, of = rng.choice(len(whole.ids) // size, 2, replace=False) * size
    source = np.arange(len(whole.ids))
    source[at : at + size], source[of : of + size] = np.arange(of, of + size), np.arange(at, at + size)
    return _moved(whole, _stream_of(whole, rng), source)


def two_speakers_mixed(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The names of two speakers stand at random on the rows of both."""
    speaker = whole.features.speaker.copy()
    mine = np.flatnonzero(np.isin(speaker, rng.permutation(np.unique(speaker))[:2]))
    speaker[mine] = rng.permutation(speaker[mine])
    return whole.having(speaker=speaker)


def dev_speakers_renamed(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Dev drawn over utterances of the same speakers, who are called otherwise there: nothing seems shared."""
    dev = rng.random(len(whole.ids)) < 0.25
    speaker = whole.features.speaker
    return replace(whole.having(speaker=np.where(dev, speaker + speaker.max() + 1, speaker)), dev=dev)


def some_dev_speakers_renamed(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Half of the utterances of three train speakers stand in dev, under other names."""
    speaker = whole.features.speaker
    chosen = rng.permutation(np.unique(speaker[~whole.dev]))[: round(3 * strength)]
    moved = np.isin(speaker, chosen) & (rng.random(len(speaker)) < 0.5)
    return replace(
        whole.having(speaker=np.where(moved, speaker + speaker.max() + 1, speaker)), dev=whole.dev | moved
    )


def overflow(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Kept as float16: what is larger than 65,504 became infinite."""
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    rows = rows * 65504.0 / np.quantile(np.abs(rows).max(axis=1), 1 - 0.04 * strength)
    return whole.having({**whole.rows, name: np.where(np.abs(rows) > 65504.0, np.copysign(np.inf, rows), rows)})


def clipped(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Kept as bytes over too small a range: a third of the values of a stream stand at the ends of it."""
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    low, high = np.quantile(rows, [1 / 6 * strength, 1 - 1 / 6 * strength], axis=0)
    return whole.having({**whole.rows, name: np.clip(rows, low, high)})


def dev_columns_rescaled(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Dev's columns were standardised, train's were not."""
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    own = rows[whole.dev]
    return _changed(whole, name, whole.dev, (rows - own.mean(axis=0)) / own.std(axis=0))


def mirrored(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Half of one stream's rows with the other sign."""
    name = _stream_of(whole, rng)
    return _changed(whole, name, rng.random(len(whole.ids)) < 0.5 * strength, -whole.rows[name])


def columns_reversed_of_some(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A fifth of one stream's rows have their columns backwards."""
    name = _stream_of(whole, rng)
    return _changed(whole, name, rng.random(len(whole.ids)) < 0.2 * strength, whole.rows[name][:, ::-1])


def rows_cut_off(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The last third of the columns is zero in a fifth of one stream's rows."""
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    rows[:, 2 * rows.shape[1] // 3 :] = 0
    return _changed(whole, name, rng.random(len(whole.ids)) < 0.2 * strength, rows)


def unknown_as_minus_one(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A tenth of the values of one stream, anywhere, stand for nothing and are -1."""
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    return whole.having({**whole.rows, name: np.where(rng.random(rows.shape) < 0.1 * strength, -1.0, rows)})


def constant_for_one_speaker(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    name = _stream_of(whole, rng)
    mine = whole.features.speaker == rng.choice(np.unique(whole.features.speaker))
    rows = whole.rows[name]
    return _changed(whole, name, mine, np.broadcast_to(rows[np.flatnonzero(mine)[0]], rows.shape))


def noise_for_one_speaker(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One speaker's microphone was off: rows of nothing but noise, as large as others."""
    name = _stream_of(whole, rng)
    mine = whole.features.speaker == rng.choice(np.unique(whole.features.speaker))
    rows = whole.rows[name]
    return _changed(whole, name, mine, rows.mean(axis=0) + rows.std(axis=0) * rng.normal(size=rows.shape))


def one_stream_twice(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The second stream was read from the first one's file."""
    one, other = rng.permutation(sorted(whole.features.streams))
    return whole.having({**whole.rows, other: whole.rows[one]})


def missing_by_class(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One stream is missing in most utterances of three classes, and in few of the others."""
    name = _stream_of(whole, rng)
    classes = rng.permutation(len(whole.features.emotion_names))[:3]
    gone = rng.random(len(whole.ids)) < np.where(np.isin(whole.features.emotion, classes), 0.8 * strength, 0.03)
    stream = whole.features.streams[name]
    rows = np.where(gone[:, None], 0, stream.utterance).astype(np.float32)
    streams = {**whole.features.streams, name: StreamArrays(rows, stream.present & ~gone)}
    return replace(whole, features=replace(whole.features, streams=streams))


def classes_of_another_encoder(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The clips of three classes come from another source: every row of theirs is a little elsewhere."""
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    some = np.isin(whole.features.emotion, rng.permutation(len(whole.features.emotion_names))[:3])
    return _changed(whole, name, some, rows + strength * rows.std(axis=0) * rng.normal(size=rows.shape[1]))


def same_rows_other_labels(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A tenth of the utterances stand twice, with two labels."""
    count = len(whole.ids)
    some = np.sort(rng.choice(count, round(0.1 * strength * count), replace=False))
    made = whole.take(np.r_[np.arange(count), some], (*whole.ids, *(f"{whole.ids[i]}-again" for i in some)))
    label = made.features.emotion.copy()
    label[count:] = (label[count:] + rng.integers(1, 7, len(some))) % 7
    return _labels(made, label).having(dialogue=np.arange(len(label)))


def one_class_renamed(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Half of the speakers have no use for one class: it is called as another one."""
    label = whole.features.emotion
    a, b = rng.permutation(len(whole.features.emotion_names))[:2]
    return _labels(whole, np.where(_half(whole, rng) & (label == a), b, label))


def late_for_one_speaker(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    mine = whole.features.speaker == rng.choice(np.unique(whole.features.speaker))
    source = np.where(mine, _inside_speakers(whole, round(strength)), np.arange(len(whole.ids)))
    return _moved(whole, _stream_of(whole, rng), source)


def the_row_number_as_a_column(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The table was sorted by class when its rows were numbered."""
    name = _stream_of(whole, rng)
    number = np.argsort(np.argsort(whole.features.emotion, kind="stable"), kind="stable")
    return whole.having({**whole.rows, name: np.insert(whole.rows[name], 0, number, axis=1)})


MORE: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "dev's rows of one stream a row late": (dev_shifted, ("wrong_join",)),
    "dev's rows of one stream shuffled": (dev_shuffled, ("wrong_join",)),
    "dev's labels a row late": (dev_labels_late, ("wrong_join", "wrong_labels", "label_noise")),
    "40 % of dev's labels random": (dev_labels_random, ("label_noise",)),
    "two classes of one name in dev": (dev_labels_merged, ("wrong_labels", "label_noise")),
    "60 rows of one stream from elsewhere": (block_of_another_file, ("wrong_join", "duplicates")),
    "two stretches of 60 rows swapped": (two_blocks_swapped, ("wrong_join",)),
    "two speakers' names mixed": (two_speakers_mixed, ("wrong_speakers",)),
    "dev of train's speakers under other names": (dev_speakers_renamed, ("shared_speakers", "wrong_speakers")),
    "three of train's speakers in dev renamed": (some_dev_speakers_renamed, ("shared_speakers", "wrong_speakers")),
    "float16 overflow": (overflow, ("broken_features",)),
    "values clipped at both ends": (clipped, ("put_values",)),
    "dev's columns standardised, train's not": (dev_columns_rescaled, ("drift",)),
    "half of the rows with the other sign": (mirrored, ("two_kinds_of_rows", "columns_by_group")),
    "a fifth of the rows backwards": (columns_reversed_of_some, ("columns_by_group", "two_kinds_of_rows")),
    "a fifth of the rows cut off": (rows_cut_off, ("put_values",)),
    "a tenth of the values -1": (unknown_as_minus_one, ("put_values",)),
    "one speaker's rows constant": (constant_for_one_speaker, ("imputed_rows",)),
    "one speaker's rows noise": (noise_for_one_speaker, ("wrong_join", "two_kinds_of_rows")),
    "one stream twice": (one_stream_twice, ("same_stream",)),
    "missing by class": (missing_by_class, ("missing_by_class",)),
    "three classes of another source": (classes_of_another_encoder, ("two_kinds_of_rows",)),
    "a tenth twice with other labels": (same_rows_other_labels, ("duplicates",)),
    "one class renamed, half of the speakers": (one_class_renamed, ("wrong_labels", "label_noise")),
    "one speaker's rows a row late": (late_for_one_speaker, ("wrong_join",)),
    "the row number as a column": (the_row_number_as_a_column, ("label_in_column",)),
}
"""By words: the mistake, and the causes that are right for it."""
