"""Cross-validation folds that keep groups whole, and which groups a corpus should be split by.

Utterances of one speaker or one dialogue are alike: split apart, they make every score too good. Speakers who talk
to each other share their dialogues (one room, one recording, one mood), so that holding out speakers means to hold
out everything that is connected through speakers and dialogues:

    dialogue   d0  d0  d1  d1  d2  d2  d3  d3
    speaker    A   B   B   A   C   D   D   E
    group      0   0   0   0   1   1   1   1
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet
from numpy.typing import NDArray

GroupBy = Literal["auto", "speaker", "dialogue"]
GROUP_BY: tuple[GroupBy, ...] = ("auto", "speaker", "dialogue")

LARGEST_SHARE = 2 / 3  # of the utterances: a connected group above it leaves too little to fit on

Codes = NDArray[np.int64]


def groups_of(
    features: FeatureSet, by: GroupBy = "auto", other: FeatureSet | None = None
) -> tuple[Codes, Literal["speaker", "dialogue"]]:
    """Return a group code for each utterance, and whether they are ``speaker`` or ``dialogue``.

    ``auto`` asks what stays the same where the heads will be used. Speakers are the groups where all are
    known and `other` (dev) shares none of them, as in RAVDESS or EMO-DB; dialogues where it shares some,
    as MELD's splits do. Without `other`, dialogues where any has two utterances, speakers otherwise.
    Groups by speaker hold the dialogues of their speakers whole (`connected`); where that leaves one group,
    or one with nearly all utterances, ``auto`` takes dialogues.

    Raises
    ------
    ValueError
        Where `by` is unknown, or speakers are asked for and unknown, or all connected by their dialogues.
    """
    if by not in GROUP_BY:
        raise ValueError(f"no folds are called {by!r}; there are: {', '.join(GROUP_BY)}")
    known = bool(len(features)) and bool((features.speaker >= 0).all())
    if by == "auto":
        by = "speaker" if known and _fits_speakers(features, other) else "dialogue"
    if by == "dialogue":
        return features.dialogue, "dialogue"
    if not known:
        unknown = int((features.speaker < 0).sum())
        raise ValueError(f"the speaker of {unknown} of {len(features)} utterances is unknown; fold by dialogue")
    groups = group_codes(features, "speaker")
    if not holds_apart(groups, features.speaker):
        raise ValueError(
            f"the {len(np.unique(features.speaker))} speakers are connected by dialogues that they share "
            f"({np.bincount(groups).max()} of {len(groups)} utterances are one group), so that folds by speaker "
            "would split dialogues; fold by dialogue"
        )
    return groups, "speaker"


def group_codes(features: FeatureSet, by: str) -> Codes:
    """Return the code of each utterance's group: its dialogue, or all that is connected to its speaker."""
    return connected(features.speaker, features.dialogue) if by == "speaker" else features.dialogue


def connected(speaker: Codes, dialogue: Codes) -> Codes:
    """Number the groups of utterances that share neither a speaker nor a dialogue with another group.

    Codes below 0 are unknown: each of those utterances is a speaker or dialogue of its own.
    """
    count = len(speaker)
    sides = []
    for codes in (speaker, dialogue):
        own = np.where(codes < 0, np.arange(count) + int(codes.max(initial=0)) + 1, codes)
        sides.append(np.unique(own, return_inverse=True)[1])
    group = np.arange(count)
    while True:
        before = group
        for side in sides:  # each takes the smallest number among those that it shares a side with
            least = np.full(count, count)
            np.minimum.at(least, side, group)
            group = least[side]
        if np.array_equal(group, before):
            return np.unique(group, return_inverse=True)[1].astype(np.int64)


def holds_apart(groups: Codes, speaker: Codes) -> bool:
    """Say whether connected groups can be held out: dialogues joined no speakers, or no group has nearly all."""
    sizes = np.bincount(groups)
    if len(sizes) >= len(np.unique(speaker)):
        return True
    return len(sizes) > 1 and bool(sizes.max() <= LARGEST_SHARE * sizes.sum())


def _fits_speakers(features: FeatureSet, other: FeatureSet | None) -> bool:
    """Say whether speakers, all of them known, are what must be held out, and can be."""
    if len(np.unique(features.speaker)) < 2:
        return False
    if other is not None and len(other):
        new_people = not np.isin(other.speaker, features.speaker).any() and bool((other.speaker >= 0).all())
        return new_people and holds_apart(group_codes(features, "speaker"), features.speaker)
    return len(np.unique(features.dialogue)) == len(features)


def group_folds(groups: Codes, labels: Codes, folds: int, seed: int = 0) -> Iterator[tuple[Codes, Codes]]:
    """Yield (train, held-out) positions, each group held out once, class counts alike where they can be.

    Groups are assigned from the largest, each to the fold whose class counts it unbalances least; equal
    ones in an order drawn from `seed`. Fewer groups than folds: as many folds as groups.

    Raises
    ------
    ValueError
        Where there is a single group.
    """
    fold = fold_codes(groups, labels, folds, seed)
    for number in range(int(fold.max()) + 1):
        yield np.flatnonzero(fold != number), np.flatnonzero(fold == number)


def fold_codes(groups: Codes, labels: Codes, folds: int, seed: int = 0) -> Codes:
    """Return the number of the fold that holds each utterance out, shape (N,); see `group_folds`."""
    members, code = np.unique(groups, return_inverse=True)
    if len(members) < 2:
        raise ValueError(f"folds need two groups or more; these {len(groups)} utterances are all of one")
    folds = min(folds, len(members))
    classes = int(labels.max()) + 2 if len(labels) else 1
    counts = np.zeros((len(members), classes))
    np.add.at(counts, (code, np.where(labels == UNLABELLED, classes - 1, labels)), 1)
    wanted = counts.sum(0) / folds  # of each class in each fold
    scale = 1 / np.maximum(wanted, 1)
    rng = np.random.default_rng(seed)
    order = rng.permutation(len(members))
    order = order[np.argsort(-counts[order].sum(1), kind="stable")]
    held = np.zeros((folds, classes))
    home = np.empty(len(members), np.int64)
    for group in order:
        after = held + counts[group]
        # what squared excess over the wanted counts the group adds to each fold
        cost = (((after - wanted) * scale) ** 2).sum(1) - (((held - wanted) * scale) ** 2).sum(1)
        home[group] = int(cost.argmin())
        held[home[group]] += counts[group]
    # a fold left empty (few groups, some very large) takes the smallest group of the fold that has most
    for empty in np.flatnonzero(np.bincount(home, minlength=folds) == 0):
        donor = np.flatnonzero(home == np.bincount(home, minlength=folds).argmax())
        home[donor[counts[donor].sum(1).argmin()]] = empty
    return home[code]
