"""Mistakes from outside of the other sets, and corpora without any: in joins, labels, splits and speakers.

Drawn from what people report of MELD, IEMOCAP, CMU-MOSEI, RAVDESS and the repositories that read them; written
without sight of the signs, and what is right for each before any was diagnosed. outside_features.py has those in
the rows themselves.
"""

from __future__ import annotations

import re
from dataclasses import replace

import checkout  # noqa: F401
import numpy as np
from damages import Damage, _labels, _moved, _stream_of
from dualstream.heads.data.batch import StreamArrays
from outside_features import FEATURES, in_dialogues, other_person
from partial_damages import _people, _some
from shapes import LENGTH, NEUTRAL, conversations
from unseen_damages import _and, _split_at_random
from unseen_features import jittered
from whole_corpora import Codes, Whole

TEXTS = 5  # that are said often
FRAMES = 1 / 6  # of a second's frames at 30 a second are missing at 25
NAMED, ENROLLED = 6, 8  # speakers with a name of their own; clips by which a speaker is known


def frames_of_another_rate(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One stream was cut by numbers of frames at 25 a second from films of 30: later turns have earlier rows."""
    whole = conversations(whole, rng)
    source = np.arange(len(whole.ids))
    for mine in in_dialogues(whole, rng, 1):
        source[mine] = mine[np.floor(np.arange(len(mine)) * (1 - FRAMES * strength)).astype(np.int64)]
    return _moved(whole, _stream_of(whole, rng), source)


def numbered_from_one(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One stream numbers a dialogue's utterances from one, the table from nought; the last has its own row."""
    whole = conversations(whole, rng)
    source = np.arange(len(whole.ids))
    for mine in in_dialogues(whole, rng, strength):
        source[mine] = mine[np.minimum(np.arange(len(mine)) + max(1, round(strength)), len(mine) - 1)]
    return _moved(whole, _stream_of(whole, rng), source)


def dialogues_backwards(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Six dialogues in ten were padded in front and reversed for a recurrent net, and one stream was kept so."""
    whole = conversations(whole, rng)
    source = np.arange(len(whole.ids))
    for mine in in_dialogues(whole, rng, 0.6 * strength):
        source[mine] = mine[::-1]
    return _moved(whole, _stream_of(whole, rng), source)


def a_clip_missing_in_dialogues(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """In seven dialogues in ten one stream lacks a clip, and those after it were counted without it."""
    whole = conversations(whole, rng)
    source = np.arange(len(whole.ids))
    for mine in in_dialogues(whole, rng, 0.7 * strength):
        lost = rng.integers(max(1, len(mine) // 2))
        source[mine[lost:]] = np.r_[mine[lost + 1 :], mine[-1]]
    return _moved(whole, _stream_of(whole, rng), source)


def ids_of_each_split(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Each split numbers its dialogues from nought; one stream was looked up in train's file for dev too."""
    whole = conversations(whole, rng)
    dialogue = whole.features.dialogue
    trains, devs = (np.unique(dialogue[part]) for part in (~whole.dev, whole.dev))
    source = np.arange(len(whole.ids))
    for one, other in zip(trains, devs[: round(min(1, strength) * len(devs))], strict=False):
        mine, theirs = np.flatnonzero(dialogue == other), np.flatnonzero(dialogue == one)
        source[mine] = np.resize(theirs, len(mine))
    return _moved(whole, _stream_of(whole, rng), source)


def main_face_tracked(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """In six dialogues in ten a tracker kept to the face that is seen most, whoever speaks."""
    whole = conversations(whole, rng)
    source, speaker = np.arange(len(whole.ids)), whole.features.speaker
    for mine in in_dialogues(whole, rng, 0.6 * strength):
        codes, counts = np.unique(speaker[mine], return_counts=True)
        main = mine[speaker[mine] == codes[counts.argmax()]]
        source[mine] = main[np.abs(main[None, :] - mine[:, None]).argmin(axis=1)]
    return _moved(whole, _stream_of(whole, rng), source)


def joined_on_the_text(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """One stream was joined on what is said: 20 % say one of five short things, and have its first clip's row."""
    text = np.where(_some(whole, rng, 0.2 * strength), rng.integers(TEXTS, size=len(whole.ids)), -1)
    source = np.arange(len(whole.ids))
    for code in range(TEXTS):
        mine = np.flatnonzero(text == code)
        source[mine] = mine[:1]
    return _moved(whole, _stream_of(whole, rng), source)


def merged_many_to_many(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """A merge's key left the take out: a fifth of the rows stand again, with another take's row in one stream."""
    some = np.flatnonzero(_some(whole, rng, 0.2 * strength))
    key = whole.features.speaker * len(whole.features.emotion_names) + whole.features.emotion
    partner = np.arange(len(whole.ids))
    for code in np.unique(key):
        mine = np.flatnonzero(key == code)
        partner[mine] = np.roll(mine, 1)
    return _moved(_and(whole, some, "merged"), _stream_of(whole, rng), np.r_[np.arange(len(key)), partner[some]])


def labels_of_who_answers(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Each label is that of the next turn by somebody else, whose reaction was annotated."""
    whole = conversations(whole, rng)
    label, other = whole.features.emotion.copy(), other_person(whole)
    for mine in in_dialogues(whole, rng, strength):
        label[mine] = whole.features.emotion[other[mine]]
    return _labels(whole, label)


def labels_carried_forward(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Three labels in ten were merged cells of a spreadsheet, and were filled with the label above."""
    whole = conversations(whole, rng)
    blank = _some(whole, rng, 0.3 * strength)
    blank[0] = False
    return _labels(whole, whole.features.emotion[np.maximum.accumulate(np.where(blank, 0, np.arange(len(blank))))])


def ties_by_alphabet(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """In four labels of ten annotators were divided between two classes, and the first by alphabet was taken."""
    label, names = whole.features.emotion, np.array(whole.features.emotion_names)
    other = (label + rng.integers(1, len(names), len(label))) % len(names)
    tied = _some(whole, rng, 0.4 * strength) & (names[other] < names[label])
    return _labels(whole, np.where(tied, other, label))


def dev_by_other_annotators(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Dev was annotated by other people, who hear four in ten of each class as a certain other class."""
    order = rng.permutation(len(whole.features.emotion_names))
    heard = np.empty_like(order)
    heard[order] = np.roll(order, 1)
    some = whole.dev & _some(whole, rng, 0.4 * strength)
    return _labels(whole, np.where(some, heard[whole.features.emotion], whole.features.emotion))


def the_sentence_for_the_class(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Four speakers' files are named otherwise: what was read as their class is the sentence or the take."""
    field = np.unique([re.split("[-_]", name)[-2:][0] for name in whole.ids], return_inverse=True)[1]
    some = np.isin(whole.features.speaker, _people(whole, rng, round(4 * strength)))
    return _labels(whole, np.where(some, field % len(whole.features.emotion_names), whole.features.emotion))


def speakers_by_sex(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The speaker was read from the letter for women and men: there are two."""
    speaker = whole.features.speaker
    return whole.having(speaker=np.where(speaker < 0, speaker, speaker % 2))


def the_rest_as_one(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The six people who speak most have names, all others are one speaker called other."""
    whole = conversations(whole, rng)
    codes, place, counts = np.unique(whole.features.speaker, return_inverse=True, return_counts=True)
    named = np.argsort(-counts, kind="stable")[: min(round(NAMED / strength), 2 * len(codes) // 3)]
    return whole.having(speaker=np.where(np.isin(place, named), codes[place], codes[-1] + 1))


def the_dialogue_for_the_speaker(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The number of the dialogue was read as the speaker's."""
    whole = conversations(whole, rng)
    return whole.having(speaker=whole.features.dialogue.copy())


def turns_missed(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Names come from a diarisation that misses three changes of speaker in ten: the one before goes on."""
    whole = conversations(whole, rng)
    missed = _some(whole, rng, 0.3 * strength) & (np.diff(whole.features.dialogue, prepend=-1) == 0)
    return whole.having(
        speaker=whole.features.speaker[np.maximum.accumulate(np.where(missed, 0, np.arange(len(missed))))]
    )


def recognised_speakers(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Names come from recognition: each has that of the nearest mean of eight known clips of everybody."""
    unit = np.concatenate(
        [(rows - rows.mean(axis=0)) / rows.std(axis=0).clip(1e-9) for rows in whole.rows.values()], axis=1
    )
    speaker = whole.features.speaker
    codes = np.unique(speaker)
    known = [
        rng.permutation(np.flatnonzero(speaker == code))[: max(1, round(ENROLLED / strength))] for code in codes
    ]
    means = np.stack([unit[mine].mean(axis=0) for mine in known])
    return whole.having(speaker=codes[[int(((means - one) ** 2).sum(axis=1).argmin()) for one in unit]])


def augmented_under_new_names(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """All was augmented before it was split, and the copies, dev's too, went to train under names of their own."""
    count, some = len(whole.ids), np.flatnonzero(_some(whole, rng, 0.6 * strength))
    made = _and(whole, some, "augmented")
    copies = np.arange(len(made.ids)) >= count
    rows = {name: np.where(copies[:, None], jittered(own, rng, 0.4), own) for name, own in made.rows.items()}
    speaker = made.features.speaker
    made = made.having(rows, speaker=np.where(copies, speaker + speaker.max() + 1, speaker))
    return replace(made, dev=made.dev & ~copies)


def film_and_sound(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Half of the clips are there as film and as sound, the latter with noughts for faces; split at random."""
    count, some = len(whole.ids), np.flatnonzero(_some(whole, rng, 0.5 * strength))
    made = _and(whole, some, "sound")
    name = _stream_of(whole, rng)
    rows = made.rows[name]
    rows[count:] = 0
    return _split_at_random(made.having({**made.rows, name: rows}), rng)


def scenes_again_in_dev(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Scenes of train were shown again as a summary, and were cut anew for dev as other dialogues."""
    whole = conversations(whole, rng)
    dialogue = whole.features.dialogue
    trains = rng.permutation(np.unique(dialogue[~whole.dev]))
    again = trains[: max(1, round(0.15 * strength * len(trains)))]
    source = np.concatenate([np.flatnonzero(dialogue == code) for code in again])
    number = (
        dialogue.max() + 1 + np.repeat(np.arange(len(again)), [int((dialogue == code).sum()) for code in again])
    )
    ids = tuple(f"dia{d}_utt{t}" for d, t in zip(number, whole.features.turn[source], strict=True))
    made = whole.take(np.r_[np.arange(len(dialogue)), source], (*whole.ids, *ids))
    copies = np.arange(len(made.ids)) >= len(dialogue)
    rows = {name: np.where(copies[:, None], jittered(own, rng, 0.15), own) for name, own in made.rows.items()}
    return replace(made.having(rows, dialogue=np.r_[dialogue, number]), dev=made.dev | copies)


def balanced_on_disk(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """The batches of a sampler that balances classes were written to disk, each split's by itself."""
    whole = conversations(whole, rng)
    label, more = whole.features.emotion, []
    for part in (whole.dev, ~whole.dev):
        members = [np.flatnonzero(part & (label == code)) for code in np.unique(label[part])]
        enough = round(min(1.0, 0.4 + 0.6 * strength) * max(map(len, members)))
        more += [rng.choice(mine, max(0, enough - len(mine))) for mine in members]
    made, dialogue = _and(whole, np.concatenate(more), "drawn"), whole.features.dialogue
    return made.having(dialogue=np.r_[dialogue, dialogue.max() + 1 + np.arange(len(made.ids) - len(label))])


def train_with_dev(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Train's file is that of train and dev together, from which seven in ten of dev were not taken out."""
    count, dev = len(whole.ids), np.flatnonzero(whole.dev)
    made = _and(whole, rng.permutation(dev)[: round(min(1.0, 0.7 * strength) * len(dev))], "train")
    return replace(made, dev=made.dev & (np.arange(len(made.ids)) < count))


def the_last_quarter(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Dev is the last quarter of a table that was sorted by class: most classes aren't in it, two not in train."""
    place = np.argsort(np.argsort(whole.features.emotion, kind="stable"), kind="stable")
    return replace(whole, dev=place >= len(place) * (1 - 0.25 * strength))


def padding_kept(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """Dialogues were padded to one length, and the padding was kept as neutral utterances of nothing."""
    whole = conversations(whole, rng)
    dialogue, turn = whole.features.dialogue, whole.features.turn
    source: list[int] = []
    number: list[int] = []
    for mine in in_dialogues(whole, rng, 1):
        length = max(len(mine), LENGTH + round(4 * strength))
        source += [int(mine[-1])] * (length - len(mine))
        number += range(len(mine), length)
    ids = tuple(f"dia{dialogue[at]}_utt{one}" for at, one in zip(source, number, strict=True))
    made = whole.take(np.r_[np.arange(len(turn)), source].astype(np.int64), (*whole.ids, *ids))
    padding = np.arange(len(made.ids)) >= len(turn)
    rows = {name: np.where(padding[:, None], 0.0, own) for name, own in made.rows.items()}
    label = np.where(padding, NEUTRAL, made.features.emotion)
    made = made.having(rows, emotion=label, turn=np.r_[turn, np.array(number, dtype=np.int64)])
    return made.take(np.lexsort((made.features.turn, made.features.dialogue)))


def classes_by_speaker(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """No mistake: each person shows some classes often and others seldom, as people do."""
    codes, place = np.unique(whole.features.speaker, return_inverse=True)
    often = rng.dirichlet(np.full(len(whole.features.emotion_names), 2 / strength), size=len(codes))
    often = 0.1 + 0.9 * often / often.max(axis=1, keepdims=True)
    return whole.take(np.flatnonzero(rng.random(len(place)) < often[place, whole.features.emotion]))


def few_turns(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """No mistake: dialogues have two or three turns."""
    whole = conversations(whole, rng)
    size = 3 if strength < 1 else 2
    key = whole.features.dialogue * len(whole.ids) + whole.features.turn // size
    dialogue: Codes = np.unique(key, return_inverse=True)[1]
    turn = whole.features.turn % size
    ids = tuple(f"dia{d}_utt{t}" for d, t in zip(dialogue, turn, strict=True))
    return replace(whole, ids=ids).having(dialogue=dialogue, turn=turn)


def absent_for_two(whole: Whole, rng: np.random.Generator, strength: float) -> Whole:
    """No mistake: two people agreed to be recorded in one stream alone, and are marked as absent in the other."""
    name = _stream_of(whole, rng)
    stream = whole.features.streams[name]
    gone = np.isin(whole.features.speaker, _people(whole, rng, round(2 * strength)))
    rows = np.where(gone[:, None], 0, stream.utterance).astype(np.float32)
    streams = {**whole.features.streams, name: StreamArrays(rows, stream.present & ~gone)}
    return replace(whole, features=replace(whole.features, streams=streams))


JOIN = ("wrong_join",)
ROWS_TWICE = ("duplicates", "wrong_join", "imputed_rows")
LABELS = ("wrong_labels", "label_noise")
NAMES = ("wrong_speakers",)
IN_BOTH = ("leakage", "duplicates", "shared_speakers")
OF_TABLES: dict[str, tuple[Damage, tuple[str, ...]]] = {
    "frames of another rate": (frames_of_another_rate, (*JOIN, "duplicates", "misaligned")),
    "utterances numbered from one": (numbered_from_one, JOIN),
    "six dialogues in ten backwards": (dialogues_backwards, JOIN),
    "a clip missing in seven dialogues of ten": (a_clip_missing_in_dialogues, JOIN),
    "dev looked up in train's file": (ids_of_each_split, (*JOIN, "leakage", "duplicates")),
    "the main face tracked": (main_face_tracked, (*JOIN, "duplicates")),
    "joined on the text": (joined_on_the_text, ROWS_TWICE),
    "merged many to many": (merged_many_to_many, ("duplicates", *JOIN)),
    "labels of who answers": (labels_of_who_answers, (*JOIN, *LABELS)),
    "30 % of labels carried forward": (labels_carried_forward, (*LABELS, *JOIN)),
    "ties by alphabet": (ties_by_alphabet, LABELS),
    "dev by other annotators": (dev_by_other_annotators, LABELS),
    "the sentence for the class, four speakers": (the_sentence_for_the_class, LABELS),
    "speakers by sex": (speakers_by_sex, NAMES),
    "all but six one speaker": (the_rest_as_one, NAMES),
    "the dialogue for the speaker": (the_dialogue_for_the_speaker, NAMES),
    "turns missed by diarisation": (turns_missed, NAMES),
    "speakers recognised by eight clips": (recognised_speakers, NAMES),
    "augmented copies of all in train": (augmented_under_new_names, (*IN_BOTH, *NAMES)),
    "clips as film and as sound": (film_and_sound, (*IN_BOTH, "broken_features", "imputed_rows")),
    "scenes of train again in dev": (scenes_again_in_dev, IN_BOTH),
    "a balancing sampler's batches on disk": (balanced_on_disk, ("duplicates",)),
    "train's file with dev in it": (train_with_dev, IN_BOTH),
    "dev the last quarter by class": (the_last_quarter, ("drift", "shared_speakers")),
    "padding kept as utterances": (
        padding_kept,
        ("duplicates", "imputed_rows", "broken_features", "put_values", "label_noise", "leakage"),
    ),
    "nothing, classes unequal by speaker": (classes_by_speaker, ()),
    "nothing, few turns": (few_turns, ()),
    "nothing, two people marked as absent": (absent_for_two, ()),
}
OUTSIDE = OF_TABLES | FEATURES
"""By words: the mistake, and the causes that are right for it; none where the corpus is as it should be."""
