"""Mistakes from outside of the other sets, and corpora without any: in rows as laboratories encode and keep them.

Drawn from what people report of encoders, files and normalisation in repositories of multimodal emotion; written
without sight of the signs. outside_damages.py has those in joins, labels, splits and speakers.
"""

from __future__ import annotations

from dataclasses import replace

import checkout  # noqa: F401
import numpy as np
from damages import Damage, _column, _half, _stream_of
from dualstream.heads.data.batch import StreamArrays
from more_damages import _changed
from partial_damages import _people
from shapes import conversations
from unseen_features import _one, _some_of, _with, jittered
from whole_corpora import Codes, Floats, Whole

BATCH, BUFFER = 32, 8  # rows
SHORT = 32_767  # the largest number of 16 bits
PENALTY = 10.0  # of a regression on standardised columns
RATIO_LOST = 0.3  # of a sampling rate
MANY = 1e4  # how much larger a column gets by a deviation of almost nought


def other_person(whole: Whole) -> Codes:
    """Return for each utterance the next of somebody else in its dialogue; else the last before; else itself."""
    source, speaker, dialogue = np.arange(len(whole.ids)), whole.features.speaker, whole.features.dialogue
    for place in range(len(source)):
        others = np.flatnonzero((dialogue == dialogue[place]) & (speaker != speaker[place]))
        after = others[others > place]
        if len(others):
            source[place] = after[0] if len(after) else others[-1]
    return source


def in_dialogues(whole: Whole, rng: np.random.Generator, share: float) -> list[Codes]:
    """Return the utterances of a share of the dialogues, each dialogue's by itself."""
    codes = rng.permutation(np.unique(whole.features.dialogue))
    return [np.flatnonzero(whole.features.dialogue == code) for code in codes[: round(min(1, share) * len(codes))]]


def _standard(rows: Floats) -> tuple[Floats, Floats, Floats]:
    """Return standardised rows, and the means and deviations of their columns."""
    middle, spread = rows.mean(axis=0), rows.std(axis=0).clip(1e-9)
    return (rows - middle) / spread, middle, spread


def batch_statistics(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """An encoder was left in training mode: each batch of the table was normalised by its own mean and spread."""
    name, rows = _one(whole, rng)
    size = round(BATCH / strength)
    for start in range(0, len(rows), size):
        rows[start : start + size] = _standard(rows[start : start + size])[0]
    return _with(whole, name, rows)


def another_sampling_rate(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A third of the speakers' recordings were read at another rate: each band stands in another column."""
    name, rows = _one(whole, rng)
    some = np.isin(whole.features.speaker, _people(whole, rng, len(np.unique(whole.features.speaker)) // 3))
    at = np.arange(rows.shape[1]) * (1 - RATIO_LOST * strength)
    low = np.floor(at).astype(np.int64)
    high = np.minimum(low + 1, rows.shape[1] - 1)
    return _changed(whole, name, some, rows[:, low] * (1 - at + low) + rows[:, high] * (at - low))


def dev_of_another_checkpoint(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Dev was extracted weeks later, with a later checkpoint of the same encoder."""
    name, rows = _one(whole, rng)
    unit, middle, spread = _standard(rows)
    width = rows.shape[1]
    turn = np.eye(width) + 0.7 * strength * rng.normal(size=(width, width)) / np.sqrt(width)
    later = unit @ turn + 0.6 * strength * rng.normal(size=width)
    return _changed(whole, name, whole.dev, later * spread + middle)


def another_layer_at_the_end(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Extraction was resumed with another default: the last third of the table has the rows of another layer."""
    whole = conversations(whole, rng)
    name, rows = _one(whole, rng)
    unit, middle, spread = _standard(rows)
    turn = np.linalg.qr(rng.normal(size=(rows.shape[1],) * 2))[0]
    last = np.arange(len(rows)) >= len(rows) * (1 - strength / 3)
    return _changed(whole, name, last, 1.3 * (0.6 * unit + 0.8 * unit @ turn) * spread + middle)


def signs_of_components(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Principal components were computed on two machines, which gave half of them the other sign."""
    name, rows = _one(whole, rng)
    unit = _standard(rows)[0]
    rows = unit @ np.linalg.eigh(unit.T @ unit)[1][:, ::-1]
    signs = np.where(rng.random(rows.shape[1]) < min(0.9, 0.5 * strength), -1.0, 1.0)
    return _with(whole, name, np.where(_half(whole, rng)[:, None], rows * signs, rows))


def folders_of_classes_scaled(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Files lay in folders by class, and each folder's columns were scaled to 0 to 1 by themselves."""
    name, rows = _one(whole, rng)
    label, share = whole.features.emotion, min(1.0, strength)
    made = (rows - rows.min(axis=0)) / np.ptp(rows, axis=0).clip(1e-9)
    for code in np.unique(label):
        own = rows[label == code]
        scaled = (own - own.min(axis=0)) / np.ptp(own, axis=0).clip(1e-9)
        made[label == code] = (1 - share) * made[label == code] + share * scaled
    return _with(whole, name, made)


def wrapped_around(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Values were kept in a byte without a check of their range: what is past the end begins anew at the start."""
    name, rows = _one(whole, rng)
    low, high = np.quantile(rows, [0.03 * strength, 1 - 0.03 * strength], axis=0)
    size = np.where(high > low, high - low, 1.0)
    past = ((rows < low) | (rows > high)) & (high > low)
    return _with(whole, name, np.where(past, low + (rows - low) % size, rows))


def other_byte_order(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Three speakers' files of 16-bit numbers were read in the other order of bytes."""
    name, rows = _one(whole, rng)
    unit = SHORT / np.abs(rows).max()
    swapped = np.rint(rows * unit).astype(np.int16).byteswap().astype(np.float64) / unit
    some = np.isin(whole.features.speaker, _people(whole, rng, round(3 * strength)))
    return _changed(whole, name, some, swapped)


def columns_before_rows(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Four speakers' matrices were written column by column and read row by row."""
    name, rows = _one(whole, rng)
    for code in _people(whole, rng, round(4 * strength)):
        mine = whole.features.speaker == code
        rows[mine] = rows[mine].T.reshape(rows[mine].shape)
    return _with(whole, name, rows)


def divided_by_almost_nought(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Three columns, constant in train but for rounding, were divided by train's deviation: dev's are huge."""
    name, rows = _one(whole, rng)
    unit = _standard(rows)[0]
    for at in rng.permutation(rows.shape[1])[: round(3 * strength)]:
        rows[:, at] = np.where(whole.dev, MANY * unit[:, at], rng.normal(size=len(rows)))
    return _with(whole, name, rows)


def faces_lost_by_class(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A face tracker fails where faces move most: a third of two classes' rows are noughts that nothing marks."""
    name, rows = _one(whole, rng)
    lively = np.isin(whole.features.emotion, rng.permutation(len(whole.features.emotion_names))[:2])
    rows[rng.random(len(rows)) < np.where(lively, 0.35 * strength, 0.03)] = 0
    return _with(whole, name, rows)


def ratings_as_columns(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Valence, arousal and dominance, which the annotators gave along with the class, stand among the columns."""
    place = rng.normal(size=(len(whole.features.emotion_names), 3))
    noise = 0.4 / strength * rng.normal(size=(len(whole.ids), 3))
    return _column(whole, rng, 3 + place[whole.features.emotion] + noise)


def _fitted(whole: Whole, rng: np.random.Generator, known: Codes, strength: float) -> Whole:
    name, rows = _one(whole, rng)
    centres = rng.normal(size=(len(whole.features.emotion_names), rows.shape[1])) * rows.std(axis=0)
    rows[known] += strength * centres[whole.features.emotion[known]]
    return _with(whole, name, rows)


def encoder_fitted_on_both(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The encoder of one stream was fine-tuned on the labels of train and dev together."""
    return _fitted(whole, rng, np.arange(len(whole.ids)), 0.8 * strength)


def encoder_fitted_on_some(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The encoder of one stream was fine-tuned on half of train's speakers, and has their labels by heart."""
    people = rng.permutation(np.unique(whole.features.speaker[~whole.dev]))
    known = np.isin(whole.features.speaker, people[: len(people) // 2])
    return _fitted(whole, rng, np.flatnonzero(known & ~whole.dev), strength)


def predicted_from_the_other(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Three rows in ten of one stream were missing, and are what a regression on the other stream says."""
    name, rows = _one(whole, rng)
    missing = _some_of(whole, rng, 0.3 * strength)
    other = np.concatenate([own for one, own in whole.rows.items() if one != name], axis=1)
    seen = np.c_[_standard(other)[0], np.ones(len(rows))]
    known = seen[~missing]
    weights = np.linalg.solve(known.T @ known + PENALTY * np.eye(seen.shape[1]), known.T @ rows[~missing])
    return _with(whole, name, np.where(missing[:, None], seen @ weights, rows))


def random_numbers_for_missing(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Where a file of one stream was missing, a loader put random numbers from 0 to 1: 15 % of the rows."""
    name, rows = _one(whole, rng)
    return _changed(whole, name, _some_of(whole, rng, 0.15 * strength), rng.random(rows.shape))


def statistics_of_another_speaker(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Rows were standardised by speaker, with the statistics of the speaker before in the list."""
    name, rows = _one(whole, rng)
    speaker, floor = whole.features.speaker, 0.1 * rows.std(axis=0) + 1e-9
    codes = np.unique(speaker)
    made = _standard(rows)[0]
    for code, before in zip(codes, np.roll(codes, 1), strict=True):
        own, other = rows[speaker == code], rows[speaker == before]
        theirs = (own - other.mean(axis=0)) / (other.std(axis=0) + floor)
        made[speaker == code] += min(1.0, strength) * (theirs - made[speaker == code])
    return _with(whole, name, made)


def late_times(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One stream was cut by subtitles' times, which are late: half of each row is the next utterance's."""
    whole = conversations(whole, rng)
    name, rows = _one(whole, rng)
    after, share = np.arange(len(rows)), min(0.8, 0.5 * strength)
    for mine in in_dialogues(whole, rng, 1):
        after[mine] = np.r_[mine[1:], mine[-1]]
    return _with(whole, name, (1 - share) * rows + share * rows[after])


def means_since_the_start(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Utterances of one stream were cut from the dialogue's start to their own ends: means of all until then."""
    whole = conversations(whole, rng)
    name, rows = _one(whole, rng)
    for mine in in_dialogues(whole, rng, strength):
        rows[mine] = np.cumsum(rows[mine], axis=0) / np.arange(1, len(mine) + 1)[:, None]
    return _with(whole, name, rows)


def both_channels(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Each person had a channel, and half of the dialogues were mixed to one: rows hold the other person too."""
    whole = conversations(whole, rng)
    name, rows = _one(whole, rng)
    mixed, share, other = rows.copy(), min(0.7, 0.45 * strength), rows[other_person(whole)]
    for mine in in_dialogues(whole, rng, 0.5):
        mixed[mine] = (1 - share) * rows[mine] + share * other[mine]
    return _with(whole, name, mixed)


def one_buffer(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A loop kept its buffer instead of a copy: in four batches of ten all eight rows are the last one's."""
    name, rows = _one(whole, rng)
    place = np.arange(len(rows)) // BUFFER
    last = np.minimum(place * BUFFER + BUFFER - 1, len(rows) - 1)
    hit = rng.random(place[-1] + 1) < 0.4 * strength
    return _changed(whole, name, hit[place], rows[last])


def an_expressive_speaker(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """No mistake: one person acts each class further from the own mean than others do, in both streams."""
    rows, label = whole.rows, whole.features.emotion
    mine = whole.features.speaker == _people(whole, rng, 1)[0]
    for own in rows.values():
        middle = own[mine].mean(axis=0)
        for code in np.unique(label[mine]):
            own[mine & (label == code)] += 0.8 * strength * (own[mine & (label == code)].mean(axis=0) - middle)
    return whole.having(rows)


def a_weak_stream(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """No mistake: one stream was recorded in noise that is the same for everybody."""
    name, rows = _one(whole, rng)
    return _with(whole, name, jittered(rows, rng, 1.5 * strength))


def honestly_absent(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """No mistake: a stream is missing in 15 % of the utterances, whatever they are, and is marked as absent."""
    name = _stream_of(whole, rng)
    stream, gone = whole.features.streams[name], _some_of(whole, rng, 0.15 * strength)
    rows = np.where(gone[:, None], 0, stream.utterance).astype(np.float32)
    streams = {**whole.features.streams, name: StreamArrays(rows, stream.present & ~gone)}
    return replace(whole, features=replace(whole.features, streams=streams))


def a_quiet_session_normalised(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """No mistake: half of the people were recorded quietly, and everybody's rows were standardised by speaker."""
    name, rows = _one(whole, rng)
    rows[_half(whole, rng)] *= 0.3**strength
    for code in np.unique(whole.features.speaker):
        mine = whole.features.speaker == code
        rows[mine] = _standard(rows[mine])[0]
    return _with(whole, name, rows)


KINDS = ("two_kinds_of_rows",)
FEATURES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    # broken_features names an encoder in training mode; it was added after the first count
    "batch statistics left on": (batch_statistics, (*KINDS, "scale_by_group", "broken_features")),
    "another sampling rate, a third of the speakers": (another_sampling_rate, (*KINDS, "columns_by_group")),
    "dev by a later checkpoint": (dev_of_another_checkpoint, ("drift", *KINDS)),
    "another layer in the last third": (another_layer_at_the_end, KINDS),
    "signs of components, half of the speakers": (signs_of_components, ("columns_by_group", *KINDS)),
    "each class's folder scaled by itself": (
        folders_of_classes_scaled,
        ("label_in_column", "scale_by_group", "memorised_labels", *KINDS),
    ),
    "values wrapped around": (wrapped_around, ("broken_features", "put_values", "outlying_rows")),
    "three speakers in the other byte order": (
        other_byte_order,
        (*KINDS, "broken_features", "outlying_rows", "scale_by_group", "wrong_join"),
    ),
    "four speakers' columns read as rows": (columns_before_rows, ("columns_by_group", "wrong_join", *KINDS)),
    "columns divided by almost nought": (
        divided_by_almost_nought,
        ("drift", "outlying_rows", "scale_by_group", "broken_features"),
    ),
    "faces lost by class, as noughts": (
        faces_lost_by_class,
        ("missing_by_class", "broken_features", "imputed_rows", "put_values"),
    ),
    "annotators' ratings as columns": (ratings_as_columns, ("label_in_column",)),
    "an encoder fitted on train and dev": (
        encoder_fitted_on_both,
        ("memorised_labels", "label_in_column", "leakage"),
    ),
    "an encoder fitted on half of train's speakers": (
        encoder_fitted_on_some,
        ("memorised_labels", "drift", *KINDS),
    ),
    "30 % predicted from the other stream": (predicted_from_the_other, ("imputed_rows", *KINDS)),
    "15 % random numbers for missing": (
        random_numbers_for_missing,
        ("imputed_rows", "broken_features", "outlying_rows", "wrong_join", *KINDS),
    ),
    "standardised by the speaker before": (statistics_of_another_speaker, ("scale_by_group", *KINDS)),
    "times of subtitles late": (late_times, ("wrong_join", "misaligned")),
    "means since the dialogue's start": (means_since_the_start, ("wrong_join", "imputed_rows", "duplicates")),
    "two people's channels mixed, half of the dialogues": (both_channels, ("wrong_join", *KINDS)),
    "a buffer kept for its copies": (one_buffer, ("duplicates", "imputed_rows", "wrong_join")),
    "nothing, an expressive speaker": (an_expressive_speaker, ()),
    "nothing, a weak stream": (a_weak_stream, ()),
    "nothing, 15 % marked as absent": (honestly_absent, ()),
    "nothing, a quiet session normalised by speaker": (a_quiet_session_normalised, ()),
}
"""By words: the mistake, and the causes that are right for it; none where the corpus is as it should be."""
