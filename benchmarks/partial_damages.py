"""Mistakes in a part of a corpus, in keys, codes and units, and in corpora of other shapes than damages.py has.

Each takes a whole corpus, a generator and a strength as the damages there do. They were written before anything
was mended that they show: how many of them were named then says what a diagnosis does with mistakes unforeseen.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import numpy as np
from damages import Damage, _column, _half, _inside_speakers, _labels, _more, _moved, _stream_of
from more_damages import _changed
from numpy.typing import NDArray
from shapes import conversations, few_speakers, sentiment_only, three_streams, without_dev, without_speakers
from whole_corpora import Codes, Floats, Whole

NEUTRAL = 0  # the first class of each corpus
Mask = NDArray[np.bool_]


def _some(whole: Whole, rng: np.random.Generator, share: float) -> Mask:
    return np.asarray(rng.random(len(whole.ids)) < share)


def _people(whole: Whole, rng: np.random.Generator, count: int) -> Codes:
    return np.asarray(rng.permutation(np.unique(whole.features.speaker))[:count])


def _after_drops(whole: Whole, rng: np.random.Generator, places: list[float]) -> Whole:
    """Rows are missing from one stream's file at these shares of the table: from there on it is late."""
    count = len(whole.ids)
    left = np.setdiff1d(np.arange(count), [round(place * count) for place in places])
    return _moved(whole, _stream_of(whole, rng), np.r_[left, left[-1:].repeat(count - len(left))])


def five_rows_late(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _moved(whole, _stream_of(whole, rng), np.roll(np.arange(len(whole.ids)), round(5 * strength)))


def one_row_dropped(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _after_drops(whole, rng, [1 - 0.5 * min(strength, 1.8)])


def one_row_dropped_late(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _after_drops(whole, rng, [1 - 0.25 * strength])


def three_rows_dropped(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return _after_drops(whole, rng, [0.2, 0.5, 0.8])


def neighbours_swapped(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Every two rows of one stream stand in each other's place, as a pool of two workers leaves them."""
    source = np.arange(len(whole.ids)) ^ 1
    return _moved(whole, _stream_of(whole, rng), np.minimum(source, len(source) - 1))


def speakers_reversed(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    source, speaker = np.arange(len(whole.ids)), whole.features.speaker
    for code in np.unique(speaker):
        source[speaker == code] = np.flatnonzero(speaker == code)[::-1]
    return _moved(whole, _stream_of(whole, rng), source)


def joined_on_the_number(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Joined on the utterance's number without its speaker: everybody has the first speaker's rows."""
    source, speaker = np.arange(len(whole.ids)), whole.features.speaker
    first = np.flatnonzero(speaker == speaker[0])
    for code in np.unique(speaker):
        source[speaker == code] = np.resize(first, int((speaker == code).sum()))
    return _moved(whole, _stream_of(whole, rng), source)


def all_streams_back(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    source = _inside_speakers(whole, -round(strength))
    return whole.having({name: rows[source] for name, rows in whole.rows.items()})


def one_class_shuffled(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Rows of one stream among the utterances of two classes, and so among all speakers."""
    source = np.arange(len(whole.ids))
    for code in rng.permutation(len(whole.features.emotion_names))[:2]:
        mine = np.flatnonzero(whole.features.emotion == code)
        source[mine] = rng.permutation(mine)
    return _moved(whole, _stream_of(whole, rng), source)


def tenth_of_others(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    source = np.arange(len(whole.ids))
    some = np.flatnonzero(_some(whole, rng, 0.12 * strength))
    source[some] = np.roll(rng.permutation(some), 1)
    return _moved(whole, _stream_of(whole, rng), source)


def most_of_others(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    source = np.arange(len(whole.ids))
    some = np.flatnonzero(_some(whole, rng, 0.7 * min(strength, 1.2)))
    source[some] = rng.permutation(some)
    return _moved(whole, _stream_of(whole, rng), source)


def train_shuffled(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    source, train = np.arange(len(whole.ids)), np.flatnonzero(~whole.dev)
    source[train] = rng.permutation(train)
    return _moved(whole, _stream_of(whole, rng), source)


def another_clip_of_the_dialogue(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Two fifths of one stream's rows are those of another clip of the same dialogue."""
    whole = conversations(whole, rng)
    source, dialogue = np.arange(len(whole.ids)), whole.features.dialogue
    for place in np.flatnonzero(_some(whole, rng, 0.4 * strength)):
        source[place] = rng.choice(np.flatnonzero(dialogue == dialogue[place]))
    return _moved(whole, _stream_of(whole, rng), source)


def sorted_as_strings(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    whole = conversations(whole, rng)
    return _moved(whole, _stream_of(whole, rng), np.argsort(np.array(whole.ids), kind="stable"))


def late_in_conversations(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    whole = conversations(whole, rng)
    return _moved(whole, _stream_of(whole, rng), np.roll(np.arange(len(whole.ids)), -round(strength)))


def labels_of_the_previous(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    whole = conversations(whole, rng)
    return _labels(whole, np.roll(whole.features.emotion, round(strength)))


def late_without_speakers(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    whole = without_speakers(whole)
    return _moved(whole, _stream_of(whole, rng), np.roll(np.arange(len(whole.ids)), round(strength)))


def others_without_dev(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    source = np.arange(len(whole.ids))
    some = np.flatnonzero(_some(whole, rng, 0.3 * strength))
    source[some] = np.roll(rng.permutation(some), 1)
    return _moved(without_dev(whole), _stream_of(whole, rng), source)


def late_of_few_speakers(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    whole = few_speakers(whole, rng)
    return _moved(whole, _stream_of(whole, rng), _inside_speakers(whole, round(strength)))


def one_of_three_late(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    whole = three_streams(whole, rng)
    return _moved(whole, _stream_of(whole, rng), _inside_speakers(whole, round(2 * strength)))


def third_is_the_first(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The third stream is the first one's, with another type's rounding."""
    whole = three_streams(whole, rng)
    rows = whole.rows["audio"]
    rounded = rows * (1 + 1e-3 * rng.normal(size=rows.shape))
    return whole.having({**whole.rows, "pose": rounded})


def other_classes_in_dev(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Dev's label numbers stand for the classes in another order: five of them moved."""
    classes = len(whole.features.emotion_names)
    order, moved = np.arange(classes), rng.permutation(classes)[:5]
    order[moved] = np.roll(moved, 1)
    label = whole.features.emotion
    return _labels(whole, np.where(whole.dev, order[label], label))


def other_classes_in_a_third(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A third of the rows, any of them, were labelled in another order of the classes."""
    label, classes = whole.features.emotion, len(whole.features.emotion_names)
    return _labels(whole, np.where(_some(whole, rng, strength / 3), np.roll(np.arange(classes), 2)[label], label))


def neutral_for_three(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    mine = np.isin(whole.features.speaker, _people(whole, rng, round(3 * strength)))
    return _labels(whole, np.where(mine, NEUTRAL, whole.features.emotion))


def one_class_at_random(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Six tenths of one class's labels are any class."""
    label, classes = whole.features.emotion, len(whole.features.emotion_names)
    some = (label == rng.integers(classes)) & _some(whole, rng, 0.6 * strength)
    return _labels(whole, np.where(some, rng.integers(0, classes, len(label)), label))


def half_of_the_speakers_at_random(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    label = whole.features.emotion
    some = _half(whole, rng) & _some(whole, rng, 0.4 * strength)
    return _labels(whole, np.where(some, rng.integers(0, len(whole.features.emotion_names), len(label)), label))


def labels_of_one_speaker_shuffled(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    label = whole.features.emotion.copy()
    for code in _people(whole, rng, round(2 * strength)):
        mine = np.flatnonzero(whole.features.speaker == code)
        label[mine] = rng.permutation(label[mine])
    return _labels(whole, label)


def signs_swapped(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Positive and negative are swapped for half of the speakers; there are no other labels."""
    whole = sentiment_only(whole)
    label = whole.features.sentiment
    return whole.having(sentiment=np.where(_half(whole, rng), 1 - label, label))


def speakers_by_turn(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Speakers are numbered inside each dialogue: the first to speak is 0 everywhere."""
    whole = conversations(whole, rng)
    speaker, dialogue = whole.features.speaker.copy(), whole.features.dialogue
    for code in np.unique(dialogue):
        mine = dialogue == code
        _, first, own = np.unique(speaker[mine], return_index=True, return_inverse=True)
        speaker[mine] = np.argsort(np.argsort(first))[own]
    return whole.having(speaker=speaker)


def two_spellings(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Four people have two spellings of their name, each in half of their utterances."""
    speaker = whole.features.speaker
    mine = np.isin(speaker, _people(whole, rng, round(4 * strength))) & _some(whole, rng, 0.5)
    return whole.having(speaker=np.where(mine, speaker + speaker.max() + 1, speaker))


def two_cases(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Everybody's name stands in two cases."""
    speaker = whole.features.speaker
    return whole.having(speaker=np.where(_some(whole, rng, 0.5), speaker + speaker.max() + 1, speaker))


def train_speakers_in_dev(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A third of the utterances of half of train's speakers went to dev."""
    return replace(whole, dev=whole.dev | (_half(whole, rng) & _some(whole, rng, strength / 3)))


def overflow_to_zero(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Values that overflowed were set to zero."""
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    limit = np.quantile(np.abs(rows - np.median(rows, axis=0)), 1 - 0.06 * strength, axis=0)
    return whole.having({**whole.rows, name: np.where(np.abs(rows - np.median(rows, axis=0)) > limit, 0.0, rows)})


def sentinel_rows(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    name = _stream_of(whole, rng)
    return _changed(whole, name, _some(whole, rng, 0.1 * strength), np.full_like(whole.rows[name], -999.0))


def sentinel_column(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A column holds 1e6 where it is not known, in one row in twenty."""
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    rows[_some(whole, rng, 0.05 * strength), rng.integers(rows.shape[1])] = 1e6
    return whole.having({**whole.rows, name: rows})


def columns_constant(whole: Whole, rng: np.random.Generator, strength: float, some: Mask) -> Whole:
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    dead = rng.permutation(rows.shape[1])[: round(0.3 * strength * rows.shape[1])]
    fixed = rows.copy()
    fixed[:, dead] = rows[:, dead].mean(axis=0)
    return _changed(whole, name, some, fixed)


def dev_columns_constant(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return columns_constant(whole, rng, strength, whole.dev)


def columns_constant_for_half(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    return columns_constant(whole, rng, strength, _half(whole, rng))


def channel_silent(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The second half of the columns, one channel's, is a hundredth as large in half of the rows."""
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    rows[:, rows.shape[1] // 2 :] *= 0.01
    return _changed(whole, name, _some(whole, rng, 0.5), rows)


def twice_as_large(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    name = _stream_of(whole, rng)
    return _changed(whole, name, _half(whole, rng), whole.rows[name] * (1 + 2 * strength))


def offset_for_half(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Half of the speakers were recorded with another microphone: each column has an offset of its own."""
    name = _stream_of(whole, rng)
    rows = whole.rows[name]
    away = 2.5 * strength * rows.std(axis=0) * rng.normal(size=rows.shape[1])
    return _changed(whole, name, _half(whole, rng), rows + away)


def another_version_appended(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A third of the utterances stand twice, the second time by another encoder's version of one stream."""
    count, made = len(whole.ids), _more(whole, rng, 0.33 * strength, others=False)
    name = _stream_of(whole, rng)
    rows = made.rows[name]
    turn = np.linalg.qr(rng.normal(size=(rows.shape[1],) * 2))[0]
    spread, middle = rows.std(axis=0) + 1e-9, rows.mean(axis=0)
    return _changed(made, name, np.arange(len(rows)) >= count, ((rows - middle) / spread @ turn) * spread + middle)


def copies_with_noise(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    count, made = len(whole.ids), _more(whole, rng, 0.07 * strength, others=False)
    rows: dict[str, Floats] = {}
    for name, own in made.rows.items():
        own[count:] *= 1 + 1e-3 * rng.normal(size=own[count:].shape)
        rows[name] = own
    return made.having(rows)


def answers_of_a_model(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One stream is the answers of a model that was fitted on all labels, dev's too."""
    marks = np.eye(len(whole.features.emotion_names))[whole.features.emotion]
    logits = 3 * strength * marks + rng.normal(size=marks.shape)
    return whole.having({**whole.rows, _stream_of(whole, rng): logits})


def label_in_a_sum(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Five columns of noise, whose sum is the label."""
    noise = 2 * rng.normal(size=(len(whole.ids), 4))
    return _column(whole, rng, np.column_stack((noise, whole.features.emotion - noise.sum(axis=1))))


def noisier_label_column(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    noise = 0.3 * strength * rng.normal(size=len(whole.ids))
    return _column(whole, rng, (whole.features.emotion + noise)[:, None])


def clean_as(shape: Callable[[Whole, np.random.Generator], Whole]) -> Damage:
    return lambda whole, rng, strength: shape(whole, rng)


LABELS = ("wrong_labels", "label_noise")
PARTIAL: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "rows five late": (five_rows_late, ("wrong_join",)),
    "a row dropped halfway": (one_row_dropped, ("wrong_join",)),
    "a row dropped, a quarter before the end": (one_row_dropped_late, ("wrong_join",)),
    "three rows dropped": (three_rows_dropped, ("wrong_join",)),
    "neighbours swapped": (neighbours_swapped, ("wrong_join",)),
    "each speaker's rows reversed": (speakers_reversed, ("wrong_join",)),
    "joined on the number alone": (joined_on_the_number, ("wrong_join", "duplicates", "imputed_rows")),
    "all streams a row early inside speakers": (all_streams_back, ("wrong_join",)),
    "two classes' rows shuffled": (one_class_shuffled, ("wrong_join",)),
    "12 % of rows of others": (tenth_of_others, ("wrong_join",)),
    "70 % of rows of others": (most_of_others, ("wrong_join",)),
    "train's rows shuffled": (train_shuffled, ("wrong_join",)),
    "40 % of another clip of the dialogue": (another_clip_of_the_dialogue, ("wrong_join", "duplicates")),
    "conversations sorted as strings": (sorted_as_strings, ("wrong_join",)),
    "conversations a row early": (late_in_conversations, ("wrong_join",)),
    "labels of the utterance before": (labels_of_the_previous, ("wrong_join",)),
    "a row late, no speakers": (late_without_speakers, ("wrong_join",)),
    "30 % of others, no dev": (others_without_dev, ("wrong_join",)),
    "a row late, six speakers": (late_of_few_speakers, ("wrong_join",)),
    "one of three streams two rows late": (one_of_three_late, ("wrong_join",)),
    "the third stream is the first": (third_is_the_first, ("same_stream",)),
    "five classes in another order in dev": (other_classes_in_dev, LABELS),
    "classes in another order in a third of the rows": (other_classes_in_a_third, LABELS),
    "three speakers all neutral": (neutral_for_three, LABELS),
    "one class's labels at random": (one_class_at_random, LABELS),
    "40 % at random for half of the speakers": (half_of_the_speakers_at_random, ("label_noise",)),
    "two speakers' labels shuffled": (labels_of_one_speaker_shuffled, (*LABELS, "wrong_join")),
    "positive and negative swapped": (signs_swapped, LABELS),
    "speakers numbered inside dialogues": (speakers_by_turn, ("wrong_speakers",)),
    "four names in two spellings": (two_spellings, ("wrong_speakers",)),
    "all names in two cases": (two_cases, ("wrong_speakers",)),
    "speakers of train in dev": (train_speakers_in_dev, ("shared_speakers",)),
    "overflow set to zero": (overflow_to_zero, ("put_values",)),
    "rows of -999": (sentinel_rows, ("imputed_rows", "put_values", "outlying_rows")),
    "a column of 1e6": (sentinel_column, ("put_values", "outlying_rows")),
    "dev's columns constant": (dev_columns_constant, ("drift", "broken_features", "put_values")),
    "columns constant, half of the speakers": (
        columns_constant_for_half,
        ("put_values", "two_kinds_of_rows", "broken_features"),
    ),
    "a silent channel in half of the rows": (channel_silent, ("two_kinds_of_rows", "scale_by_group")),
    "three times as large, half of the speakers": (twice_as_large, ("scale_by_group",)),
    "another microphone, half of the speakers": (offset_for_half, ("two_kinds_of_rows",)),
    "another version appended": (another_version_appended, ("duplicates", "two_kinds_of_rows")),
    "7 % twice with noise": (copies_with_noise, ("duplicates",)),
    "a model's answers as a stream": (answers_of_a_model, ("label_in_column", "memorised_labels")),
    "the label as a sum of columns": (label_in_a_sum, ("label_in_column",)),
    "the label as a noisier column": (noisier_label_column, ("label_in_column",)),
    "nothing, conversations": (clean_as(conversations), ()),
    "nothing, three streams": (clean_as(three_streams), ()),
    "nothing, six speakers": (clean_as(few_speakers), ()),
    "nothing, sentiment only": (clean_as(lambda whole, rng: sentiment_only(whole)), ()),
    "nothing, no dev": (clean_as(lambda whole, rng: without_dev(whole)), ()),
}
"""By words: the mistake, and the causes that are right for it; none where only the shape is another."""
