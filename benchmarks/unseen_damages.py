"""Mistakes that were written without sight of the signs: in joins, labels, splits and speakers.

They are what people report of tables of multimodal emotion corpora: loaders that gather, bucket and restart,
merges, relabelled releases, oversampling before the split. unseen_features.py has those in the rows themselves.
How many are named at first contact says how a diagnosis does with mistakes that it was not made for.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from damages import Damage, _half, _labels, _moved, _stream_of
from shapes import GLAD, NEUTRAL, conversations
from unseen_features import FEATURES, jittered
from whole_corpora import Codes, Whole

BATCH, BUCKET, CHUNK = 32, 50, 16  # rows
NEIGHBOURS = 5


def gathered_from_two(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Two processes encoded every other row of one stream; what they wrote was put one after the other."""
    order = np.arange(len(whole.ids))
    return _moved(whole, _stream_of(whole, rng), np.r_[order[::2], order[1::2]])


def chunks_unordered(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Workers' chunks of one stream were kept in the order in which they came back."""
    chunks = np.array_split(np.arange(len(whole.ids)), max(2, len(whole.ids) // CHUNK))
    return _moved(whole, _stream_of(whole, rng), np.concatenate([chunks[i] for i in rng.permutation(len(chunks))]))


def batch_written_twice(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """After a restart one batch of one stream stands twice: what follows is a batch late."""
    count = len(whole.ids)
    at = round(count * (1 - 0.65 * min(strength, 1.5)))
    late = min(BATCH, count - at - 1)
    return _moved(whole, _stream_of(whole, rng), np.r_[np.arange(at + late), np.arange(at, count - late)])


def splits_in_another_order(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One stream's file has dev's rows first, the labels' has train's first."""
    whole = conversations(whole, rng)  # where folders are alike, class and sentence would fit all the same
    train, dev = np.flatnonzero(~whole.dev), np.flatnonzero(whole.dev)
    source = np.arange(len(whole.ids))
    source[np.r_[train, dev]] = np.r_[dev, train]
    return _moved(whole, _stream_of(whole, rng), source)


def folders_as_strings(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One stream has the speakers' folders in the order of strings: 1, 10, 11, 2."""
    names = whole.features.speaker.astype(str)
    return _moved(whole, _stream_of(whole, rng), np.argsort(names, kind="stable"))


def listeners_filmed(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """In half of the dialogues one stream is of who listens: another speaker's rows, dealt out once each."""
    whole = conversations(whole, rng)
    source, speaker, dialogue = np.arange(len(whole.ids)), whole.features.speaker, whole.features.dialogue
    codes = rng.permutation(np.unique(dialogue))
    for code in codes[: round(0.5 * strength * len(codes))]:
        mine = np.flatnonzero(dialogue == code)
        mine = mine[np.argsort(speaker[mine], kind="stable")]
        source[mine] = np.roll(mine, np.unique(speaker[mine], return_counts=True)[1].max())
    return _moved(whole, _stream_of(whole, rng), source)


def sorted_in_buckets(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One stream was encoded in buckets of clips that were sorted by length, and written so."""
    bucket = np.arange(len(whole.ids)) // round(BUCKET * strength)
    return _moved(whole, _stream_of(whole, rng), np.lexsort((rng.normal(size=len(bucket)), bucket)))


def paired_inside_classes(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Three rows in ten of one stream are another clip's of the same class: pairs made to have more of them."""
    source, label = np.arange(len(whole.ids)), whole.features.emotion
    some = rng.random(len(source)) < 0.3 * strength
    for code in np.unique(label):
        mine = np.flatnonzero(some & (label == code))
        source[mine] = rng.choice(np.flatnonzero(label == code), len(mine))
    return _moved(whole, _stream_of(whole, rng), source)


def dev_written_over_train(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Dev's clips have the names of clips of train, and were written over these in all streams."""
    dev = rng.permutation(np.flatnonzero(whole.dev))
    lost = rng.permutation(np.flatnonzero(~whole.dev))[: round(0.8 * strength * len(dev))]
    source = np.arange(len(whole.ids))
    source[lost] = dev[: len(lost)]
    return whole.having({name: rows[source] for name, rows in whole.rows.items()})


def joined_on_speaker_and_class(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Each utterance has the first row that one stream holds for its speaker and class."""
    key = whole.features.speaker * len(whole.features.emotion_names) + whole.features.emotion
    first, place = np.unique(key, return_index=True, return_inverse=True)[1:]
    return _moved(whole, _stream_of(whole, rng), first[place])


def one_row_per_dialogue(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One stream was made of whole dialogues: each utterance has its dialogue's row."""
    whole = conversations(whole, rng)
    first, place = np.unique(whole.features.dialogue, return_index=True, return_inverse=True)[1:]
    return _moved(whole, _stream_of(whole, rng), first[place])


def labels_in_another_order(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The labels come from a table that is sorted by the ids' last part first; speakers stand right."""
    keys = np.array(["-".join(name.split("-")[::-1]) for name in whole.ids])
    return _labels(whole, whole.features.emotion[np.argsort(keys, kind="stable")])


def unlabelled_as_the_first(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A quarter of the labels were blank, and were read as nought."""
    blank = rng.random(len(whole.ids)) < 0.25 * strength
    return _labels(whole, np.where(blank, NEUTRAL, whole.features.emotion))


def a_second_annotator(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Half of the speakers were labelled by somebody who calls half of what others hear neutral."""
    neutral = _half(whole, rng) & (rng.random(len(whole.ids)) < 0.5 * strength)
    return _labels(whole, np.where(neutral, NEUTRAL, whole.features.emotion))


def codes_of_sentiment(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A third of the speakers' labels are codes of negative, neutral, positive, read as codes of emotions."""
    names = whole.features.emotion_names
    code = np.where(np.isin(names, GLAD), 2, np.where(np.arange(len(names)) == NEUTRAL, 1, 0))
    people = np.unique(whole.features.speaker)
    some = np.isin(whole.features.speaker, rng.permutation(people)[: max(1, round(strength * len(people) / 3))])
    return _labels(whole, np.where(some, code[whole.features.emotion], whole.features.emotion))


def codes_of_each_split(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Dev lacks a class, and labels were numbered split by split: from there on its codes are one lower."""
    label = whole.features.emotion
    lacking = int(rng.integers(1, max(2, len(whole.features.emotion_names) - 2)))
    left = whole.take(np.flatnonzero(~(whole.dev & (label == lacking))))
    lower = left.dev & (left.features.emotion > lacking)
    return _labels(left, left.features.emotion - lower)


def labels_of_dialogues(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """In half of the dialogues each utterance has the label that is commonest there."""
    whole = conversations(whole, rng)
    label, dialogue = whole.features.emotion.copy(), whole.features.dialogue
    codes = rng.permutation(np.unique(dialogue))
    for code in codes[: round(0.5 * strength * len(codes))]:
        label[dialogue == code] = np.bincount(label[dialogue == code]).argmax()
    return _labels(whole, label)


def _split_at_random(whole: Whole, rng: np.random.Generator) -> Whole:
    return replace(whole, dev=rng.random(len(whole.ids)) < 0.25)


def _and(whole: Whole, source: Codes, mark: str) -> Whole:
    """Return the corpus with utterances `source` once more, at its end."""
    count = len(whole.ids)
    ids = (*whole.ids, *(f"{whole.ids[i]}-{mark}{n}" for n, i in enumerate(source)))
    return whole.take(np.r_[np.arange(count), source], ids).having(dialogue=np.arange(len(ids)))


def oversampled_before_the_split(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Two classes' utterances were taken three times before utterances were split at random."""
    few = rng.permutation(len(whole.features.emotion_names))[:2]
    mine = np.flatnonzero(np.isin(whole.features.emotion, few))
    return _split_at_random(_and(whole, np.repeat(mine, round(2 * strength)), "over"), rng)


def smote_before_the_split(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """As above, with rows between one of the class and one of its five nearest there instead of copies."""
    few = rng.permutation(len(whole.features.emotion_names))[:2]
    mine = [np.flatnonzero(whole.features.emotion == code) for code in few]
    source = np.concatenate([np.repeat(one, round(2 * strength)) for one in mine])
    made = _and(whole, source, "smote")
    own = np.concatenate([rows / rows.std(axis=0).clip(1e-9) for rows in whole.rows.values()], axis=1)
    other = np.empty_like(source)
    for at, utterance in enumerate(source):
        same = np.flatnonzero(whole.features.emotion == whole.features.emotion[utterance])
        near = same[np.argsort(((own[same] - own[utterance]) ** 2).sum(axis=1))][1 : NEIGHBOURS + 1]
        other[at] = rng.choice(near)
    share = rng.random((len(source), 1))
    for name, rows in made.rows.items():
        rows[len(whole.ids) :] += share * (rows[other] - rows[source])
        made = made.having({**made.rows, name: rows})
    return _split_at_random(made, rng)


def clips_that_overlap(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Recordings were cut into clips that overlap: each has a second one half like it; split at random."""
    count = len(whole.ids)
    made = _and(whole, np.arange(count), "half")
    key = whole.features.speaker * len(whole.features.emotion_names) + whole.features.emotion
    other = np.arange(count)
    for code in np.unique(key):
        mine = np.flatnonzero(key == code)
        other[mine] = np.roll(mine, 1 + int(rng.integers(len(mine))))
    rows = made.rows
    for own in rows.values():
        own[count:] = jittered(0.8 * own[:count] + 0.2 * own[:count][other], rng, 0.3)
    return _split_at_random(made.having(rows), rng)


def augmented_into_dev(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Four in ten of dev are clips of train with another sound: augmented in one stream, the same in the other."""
    dev = np.flatnonzero(whole.dev)
    target = rng.choice(dev, round(min(1.0, 0.4 * strength) * len(dev)), replace=False)
    source = np.arange(len(whole.ids))
    source[target] = rng.choice(np.flatnonzero(~whole.dev), len(target), replace=False)
    rows = {name: own[source] for name, own in whole.rows.items()}
    own = rows[_stream_of(whole, rng)]
    own[target] = jittered(own, rng, 0.5)[target]
    return whole.having(rows, emotion=whole.features.emotion[source])


def mixed_up(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Three rows in ten are mixtures of two, in all streams, with the label of one of them."""
    some = (rng.random(len(whole.ids)) < 0.3 * strength)[:, None]
    other = rng.permutation(len(whole.ids))
    own_label = rng.random(len(whole.ids)) < 0.5
    label = np.where(some[:, 0] & ~own_label, whole.features.emotion[other], whole.features.emotion)
    rows = {name: np.where(some, 0.5 * own + 0.5 * own[other], own) for name, own in whole.rows.items()}
    return whole.having(rows, emotion=label)


def dev_speakers_from_nought(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Each split numbers its speakers from nought: dev's have the names of others, of train."""
    speaker = whole.features.speaker.copy()
    for part in (whole.dev, ~whole.dev):
        speaker[part] = np.unique(speaker[part], return_inverse=True)[1]
    return whole.having(speaker=speaker)


def speakers_of_dialogues(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """All of a dialogue bear the name of who speaks first in it."""
    whole = conversations(whole, rng)
    first, place = np.unique(whole.features.dialogue, return_index=True, return_inverse=True)[1:]
    return whole.having(speaker=whole.features.speaker[first[place]])


JOIN = ("wrong_join",)
ROWS_TWICE = ("duplicates", "wrong_join", "imputed_rows")
SPLIT_AT_RANDOM = ("leakage", "duplicates", "shared_speakers")
OF_TABLES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "rows gathered from two processes": (gathered_from_two, JOIN),
    "chunks of 16 rows in another order": (chunks_unordered, JOIN),
    "a batch written twice": (batch_written_twice, JOIN),  # without the copies the rest is late still
    "dev's rows before train's": (splits_in_another_order, JOIN),
    "speakers' folders sorted as strings": (folders_as_strings, JOIN),
    "the listener filmed in half of the dialogues": (listeners_filmed, JOIN),
    "rows sorted by length inside buckets": (sorted_in_buckets, JOIN),
    "30 % paired with another clip of the class": (paired_inside_classes, (*JOIN, "duplicates")),
    "dev's files over train's of the same name": (dev_written_over_train, ("leakage", "duplicates", *JOIN)),
    "joined on speaker and class": (joined_on_speaker_and_class, ROWS_TWICE),
    "one row for a whole dialogue": (one_row_per_dialogue, ROWS_TWICE),
    "labels in another sort order": (labels_in_another_order, ("wrong_labels", *JOIN)),
    "25 % unlabelled, read as the first class": (unlabelled_as_the_first, ("label_noise", "wrong_labels")),
    "a second annotator, half of the speakers": (a_second_annotator, ("label_noise", "wrong_labels")),
    "codes of sentiment, a third of the speakers": (codes_of_sentiment, ("wrong_labels",)),
    "a class missing in dev, codes after it lower": (codes_of_each_split, ("wrong_labels",)),
    "the dialogue's label, half of the dialogues": (labels_of_dialogues, ("label_noise", "wrong_labels")),
    "oversampled before a random split": (oversampled_before_the_split, SPLIT_AT_RANDOM),
    "SMOTE before a random split": (smote_before_the_split, SPLIT_AT_RANDOM),
    "clips that overlap, split at random": (clips_that_overlap, SPLIT_AT_RANDOM),
    "clips of train in dev, one stream augmented": (augmented_into_dev, ("leakage", "duplicates")),
    "30 % mixed up with another utterance": (mixed_up, ("label_noise", *JOIN)),
    "dev's speakers numbered from nought": (dev_speakers_from_nought, ("wrong_speakers",)),
    "all of a dialogue named after its first speaker": (speakers_of_dialogues, ("wrong_speakers",)),
}
UNSEEN = OF_TABLES | FEATURES
"""By words: the mistake, and the causes that are right for it."""
