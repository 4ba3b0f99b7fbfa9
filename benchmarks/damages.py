"""The mistakes that people make with corpora: for tests, and for study_damages.py.

A damage takes a whole corpus in the order of its table, a generator of random numbers and a strength (1: as in
DAMAGES), and gives the corpus back damaged; only then is it split.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray
from whole_corpora import Codes, Floats, Whole

Damage = Callable[[Whole, np.random.Generator, float], Whole]


def _moved(whole: Whole, name: str, source: Codes) -> Whole:
    return whole.having({**whole.rows, name: whole.rows[name][source]})


def _inside_speakers(whole: Whole, shift: int) -> Codes:
    source = np.arange(len(whole.ids))
    for code in np.unique(whole.features.speaker):
        members = np.flatnonzero(whole.features.speaker == code)
        source[members] = np.roll(members, shift)
    return source


def _stream_of(whole: Whole, rng: np.random.Generator) -> str:
    return str(rng.choice(sorted(whole.features.streams)))


def _half(whole: Whole, rng: np.random.Generator) -> NDArray[np.bool_]:
    codes = np.unique(whole.features.speaker)
    return np.isin(whole.features.speaker, rng.permutation(codes)[: len(codes) // 2])


def shift_in_speakers(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _moved(whole, _stream_of(whole, rng), _inside_speakers(whole, round(strength)))


def shift_in_table(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _moved(whole, _stream_of(whole, rng), np.roll(np.arange(len(whole.ids)), round(strength)))


def shift_back_in_table(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _moved(whole, _stream_of(whole, rng), np.roll(np.arange(len(whole.ids)), -round(strength)))


def all_shifted(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    source = np.roll(np.arange(len(whole.ids)), round(strength))
    return whole.having({name: rows[source] for name, rows in whole.rows.items()})


def order_of_class(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _moved(whole, _stream_of(whole, rng), np.argsort(whole.features.emotion, kind="stable"))


def order_of_ids(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Rows sorted by the ids' last part first, as where an id begins with what another one ends with."""
    keys = ["-".join(name.split("-")[::-1]) for name in whole.ids]
    return _moved(whole, _stream_of(whole, rng), np.argsort(np.array(keys), kind="stable"))


def shuffled(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _moved(whole, _stream_of(whole, rng), rng.permutation(len(whole.ids)))


def shuffled_in_speakers(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    source = np.arange(len(whole.ids))
    for code in np.unique(whole.features.speaker):
        members = np.flatnonzero(whole.features.speaker == code)
        source[members] = rng.permutation(members)
    return _moved(whole, _stream_of(whole, rng), source)


def part_of_others(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    source = np.arange(len(whole.ids))
    some = np.flatnonzero(rng.random(len(source)) < 0.3 * strength)
    source[some] = np.roll(rng.permutation(some), 1)[np.argsort(rng.permutation(len(some)))]
    return _moved(whole, _stream_of(whole, rng), source)


def one_speakers_from_another(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    one, two = rng.permutation(np.unique(whole.features.speaker))[:2]
    source = np.arange(len(whole.ids))
    mine, other = (np.flatnonzero(whole.features.speaker == code) for code in (one, two))
    source[mine] = np.resize(other, len(mine))
    return _moved(whole, _stream_of(whole, rng), source)


def speakers_shuffled(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The rows of two speakers in another order, in one stream."""
    source = np.arange(len(whole.ids))
    for code in rng.permutation(np.unique(whole.features.speaker))[: round(2 * strength)]:
        members = np.flatnonzero(whole.features.speaker == code)
        source[members] = rng.permutation(members)
    return _moved(whole, _stream_of(whole, rng), source)


def _labels(whole: Whole, label: Codes) -> Whole:
    return whole.having(emotion=label.astype(np.int64))


def labels_shifted(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    label, classes = whole.features.emotion, len(whole.features.emotion_names)
    return _labels(whole, np.where(_half(whole, rng), (label + 1) % classes, label))


def labels_shifted_of_some(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    label, classes = whole.features.emotion, len(whole.features.emotion_names)
    some = np.isin(
        whole.features.speaker, rng.permutation(np.unique(whole.features.speaker))[: round(3 * strength)]
    )
    return _labels(whole, np.where(some, (label + 1) % classes, label))


def labels_swapped(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    label = whole.features.emotion
    a, b = rng.permutation(len(whole.features.emotion_names))[:2]
    swapped = np.where(label == a, b, np.where(label == b, a, label))
    return _labels(whole, np.where(_half(whole, rng), swapped, label))


def labels_random(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    label = whole.features.emotion
    some = rng.random(len(label)) < 0.3 * strength
    return _labels(whole, np.where(some, rng.integers(0, len(whole.features.emotion_names), len(label)), label))


def labels_confused(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Each wrong label is the class beside the right one."""
    label = whole.features.emotion
    some = rng.random(len(label)) < 0.25 * strength
    return _labels(whole, np.where(some, (label + 1) % len(whole.features.emotion_names), label))


def dev_labels_shifted(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    label, classes = whole.features.emotion, len(whole.features.emotion_names)
    return _labels(whole, np.where(whole.dev, (label + 1) % classes, label))


def _more(whole: Whole, rng: np.random.Generator, share: float, *, others: bool) -> Whole:
    count = len(whole.ids)
    some = np.sort(rng.choice(count, round(share * count), replace=False))
    made = whole.take(
        np.concatenate((np.arange(count), some)), (*whole.ids, *(f"{whole.ids[i]}-again" for i in some))
    )
    speaker = made.features.speaker.copy()
    if others:
        speaker[count:] = rng.permutation(speaker[count:])
    return made.having(dialogue=np.arange(len(speaker)), speaker=speaker)


def duplicated(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _more(whole, rng, 0.2 * strength, others=False)


def duplicated_under_others(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _more(whole, rng, 0.2 * strength, others=True)


def _into_dev(whole: Whole, rng: np.random.Generator, strength: float, noise: float) -> Whole:
    dev, train = np.flatnonzero(whole.dev), np.flatnonzero(~whole.dev)
    target = rng.choice(dev, round(0.3 * strength * len(dev)), replace=False)
    source = np.arange(len(whole.ids))
    source[target] = rng.choice(train, len(target), replace=False)
    rows = {}
    for name, own in whole.rows.items():
        spread = noise * own.std(axis=0) * rng.normal(size=own.shape)
        rows[name] = own[source] + np.where(np.isin(np.arange(len(own)), target)[:, None], spread, 0)
    return whole.having(rows, emotion=whole.features.emotion[source])


def copies_in_dev(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _into_dev(whole, rng, strength, 0.0)


def near_copies_in_dev(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _into_dev(whole, rng, strength, 0.03)


def copies_in_one_stream(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    source = np.arange(len(whole.ids))
    some = rng.choice(len(source), round(0.2 * strength * len(source)), replace=False)
    source[some] = rng.choice(np.setdiff1d(source, some), len(some), replace=False)
    return _moved(whole, _stream_of(whole, rng), source)


def speakers_random(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return whole.having(speaker=rng.permutation(whole.features.speaker))


def speakers_missing(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return whole.having(speaker=np.full(len(whole.ids), -1))


def speakers_of_class(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return whole.having(speaker=whole.features.emotion.copy())


def speakers_of_field(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Read from the id's last part but one: in both corpora that says which sentence or take it is."""
    parts = np.array([name.split("-")[-2] for name in whole.ids])
    return whole.having(speaker=np.unique(parts, return_inverse=True)[1])


def speakers_wrong_in_part(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    speaker = whole.features.speaker.copy()
    some = np.flatnonzero(rng.random(len(speaker)) < 0.3 * strength)
    speaker[some] = rng.permutation(speaker[some])
    return whole.having(speaker=speaker)


def dev_of_the_same_speakers(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return replace(whole, dev=rng.random(len(whole.ids)) < 0.25)


def _column(whole: Whole, rng: np.random.Generator, columns: Floats) -> Whole:
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    return whole.having(
        {**whole.rows, name: np.insert(rows, [rows.shape[1] // 2] * columns.shape[1], columns, axis=1)}
    )


def label_as_a_column(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _column(whole, rng, whole.features.emotion[:, None].astype(float))


def label_as_a_noisy_column(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    noise = 0.15 * strength * rng.normal(size=len(whole.ids))
    return _column(whole, rng, (whole.features.emotion + noise)[:, None])


def label_as_indicators(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _column(whole, rng, np.eye(len(whole.features.emotion_names))[whole.features.emotion])


def filled_with_the_mean(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    rows[rng.random(len(rows)) < 0.3 * strength] = rows.mean(axis=0)
    return whole.having({**whole.rows, name: rows})


def filled_with_the_last(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    missing = rng.random(len(whole.ids)) < 0.3 * strength
    missing[0] = False
    source = np.maximum.accumulate(np.where(missing, 0, np.arange(len(missing))))
    return _moved(whole, _stream_of(whole, rng), source)


def unmarked_zeros(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    rows[rng.random(len(rows)) < 0.08 * strength] = 0
    return whole.having({**whole.rows, name: rows})


def _scaled(whole: Whole, rng: np.random.Generator, some: NDArray[np.bool_], strength: float) -> Whole:
    name = _stream_of(whole, rng)
    rows = whole.rows[name] * np.where(some, 100.0**strength, 1.0)[:, None]
    return whole.having({**whole.rows, name: rows})


def scaled_for_speakers(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _scaled(whole, rng, _half(whole, rng), strength)


def scaled_for_some(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _scaled(whole, rng, rng.random(len(whole.ids)) < 0.5, strength)


def columns_permuted(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    half = _half(whole, rng)
    rows[half] = rows[half][:, rng.permutation(rows.shape[1])]
    return whole.having({**whole.rows, name: rows})


def _encoded_anew(whole: Whole, rng: np.random.Generator, some: NDArray[np.bool_], strength: float) -> Whole:
    """Rows of a second encoder: its columns mix what the first one's tell, around other means."""
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    spread, middle = rows.std(axis=0) + 1e-9, rows.mean(axis=0)
    turn = np.linalg.qr(rng.normal(size=(rows.shape[1], rows.shape[1])))[0]
    other = ((rows - middle) / spread @ turn + strength * rng.normal(size=rows.shape[1])) * spread + middle
    return whole.having({**whole.rows, name: np.where(some[:, None], other, rows)})


def two_encoders(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _encoded_anew(whole, rng, rng.random(len(whole.ids)) < 0.5, strength)


def two_encoders_by_speaker(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _encoded_anew(whole, rng, _half(whole, rng), strength)


def one_wild_value(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    rows[rng.integers(len(rows)), rng.integers(rows.shape[1])] = 1e4 ** (1 + strength / 2)
    return whole.having({**whole.rows, name: rows})


def ten_wild_rows(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    some = rng.choice(len(rows), 10, replace=False)
    rows[some] = rows.mean(axis=0) + 100 * strength * rows.std(axis=0) * rng.normal(size=(10, rows.shape[1]))
    return whole.having({**whole.rows, name: rows})


def dev_columns_permuted(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    rows[whole.dev] = rows[whole.dev][:, rng.permutation(rows.shape[1])]
    return whole.having({**whole.rows, name: rows})


def dev_scaled(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    name = _stream_of(whole, rng)
    return whole.having({**whole.rows, name: whole.rows[name] * np.where(whole.dev, 5.0 * strength, 1.0)[:, None]})


def fitted_on_labels(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """An encoder that has its training rows' labels by heart: those rows lie around their classes' centres."""
    name = _stream_of(whole, rng)
    rows, label = whole.rows[name], whole.features.emotion
    centres = rng.normal(size=(len(whole.features.emotion_names), rows.shape[1])) * rows.std(axis=0)
    known = (~whole.dev)[:, None]
    return whole.having({**whole.rows, name: rows + np.where(known, strength * centres[label], 0.0)})


def two_streams_of_others(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Half of the speakers' rows of one stream, a row too late."""
    source = np.where(_half(whole, rng), _inside_speakers(whole, 1), np.arange(len(whole.ids)))
    return _moved(whole, _stream_of(whole, rng), source)


DAMAGES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "one stream a row late, inside speakers": (shift_in_speakers, ("wrong_join",)),
    "one stream a row late, over the table": (shift_in_table, ("wrong_join",)),
    "one stream a row early, over the table": (shift_back_in_table, ("wrong_join",)),
    "all streams a row late": (all_shifted, ("wrong_join", "wrong_labels")),
    "one stream sorted by class": (order_of_class, ("wrong_join",)),
    "one stream sorted by other parts of the ids": (order_of_ids, ("wrong_join",)),
    "one stream shuffled": (shuffled, ("wrong_join",)),
    "one stream shuffled inside speakers": (shuffled_in_speakers, ("wrong_join",)),
    "30 % of one stream of others": (part_of_others, ("wrong_join",)),
    "one speaker's rows from another": (one_speakers_from_another, ("wrong_join",)),
    "two speakers' rows shuffled": (speakers_shuffled, ("wrong_join",)),
    "a row late for half of the speakers": (two_streams_of_others, ("wrong_join",)),
    "labels shifted, half of the speakers": (labels_shifted, ("wrong_labels",)),
    "labels shifted, three speakers": (labels_shifted_of_some, ("wrong_labels",)),
    "labels swapped, half of the speakers": (labels_swapped, ("wrong_labels",)),
    "dev's labels shifted": (dev_labels_shifted, ("wrong_labels",)),
    "30 % of labels random": (labels_random, ("label_noise",)),
    "25 % of labels the class beside": (labels_confused, ("label_noise",)),
    "20 % duplicated": (duplicated, ("duplicates",)),
    "20 % duplicated under other speakers": (duplicated_under_others, ("duplicates",)),
    "copies of train in dev": (copies_in_dev, ("leakage",)),
    "near copies of train in dev": (near_copies_in_dev, ("leakage",)),
    "copies in one stream": (copies_in_one_stream, ("duplicates", "wrong_join")),
    "speakers random": (speakers_random, ("wrong_speakers",)),
    "speakers missing": (speakers_missing, ("wrong_speakers",)),
    "speakers of the field of the class": (speakers_of_class, ("wrong_speakers",)),
    "speakers of another field": (speakers_of_field, ("wrong_speakers",)),
    "30 % of speakers wrong": (speakers_wrong_in_part, ("wrong_speakers",)),
    "dev of the same speakers": (dev_of_the_same_speakers, ("shared_speakers",)),
    "the label as a column": (label_as_a_column, ("label_in_column",)),
    "the label as a noisy column": (label_as_a_noisy_column, ("label_in_column",)),
    "the label as indicators": (label_as_indicators, ("label_in_column",)),
    "30 % filled with the mean": (filled_with_the_mean, ("imputed_rows",)),
    "30 % filled with the last value": (filled_with_the_last, ("imputed_rows",)),
    "8 % unmarked zeros": (unmarked_zeros, ("broken_features",)),
    "100 times too large, half of the speakers": (scaled_for_speakers, ("scale_by_group",)),
    "100 times too large, a random half": (scaled_for_some, ("scale_by_group",)),
    "columns permuted, half of the speakers": (columns_permuted, ("columns_by_group", "two_kinds_of_rows")),
    "two encoders, a random half": (two_encoders, ("two_kinds_of_rows",)),
    "two encoders, half of the speakers": (two_encoders_by_speaker, ("two_kinds_of_rows",)),
    "one wild value": (one_wild_value, ("outlying_rows",)),
    "ten wild rows": (ten_wild_rows, ("outlying_rows",)),
    "dev's columns permuted": (dev_columns_permuted, ("drift",)),
    "dev's rows 5 times too large": (dev_scaled, ("drift",)),
    "an encoder fitted on the labels": (fitted_on_labels, ("memorised_labels",)),
}
"""By words: the mistake, and the causes that are right for it."""
