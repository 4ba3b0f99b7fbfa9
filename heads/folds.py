"""Cross-validation folds that keep groups whole, and which groups a corpus should be split by.

Utterances of one speaker or one dialogue are alike: split apart, they make every score too good.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from heads.batch import UNLABELLED, FeatureSet

GroupBy = Literal["auto", "speaker", "dialogue"]
GROUP_BY: tuple[GroupBy, ...] = ("auto", "speaker", "dialogue")

Codes = NDArray[np.int64]


def groups_of(
    features: FeatureSet, by: GroupBy = "auto", other: FeatureSet | None = None
) -> tuple[Codes, Literal["speaker", "dialogue"]]:
    """Return a group code for each utterance, and whether they are ``speaker`` or ``dialogue``.

    ``auto`` asks what stays the same where the heads will be used. Speakers are the groups where all are
    known and `other` (dev) shares none of them, as in RAVDESS or EMO-DB; dialogues where it shares some,
    as MELD's splits do. Without `other`, dialogues where any has two utterances, speakers otherwise.

    Raises
    ------
    ValueError
        Where `by` is unknown, or speakers are asked for and unknown.
    """
    if by not in GROUP_BY:
        raise ValueError(f"no folds are called {by!r}; there are: {', '.join(GROUP_BY)}")
    known = bool(len(features)) and bool((features.speaker >= 0).all())
    several = known and len(np.unique(features.speaker)) > 1
    if by == "auto":
        if other is not None and len(other):
            new_people = not np.isin(other.speaker, features.speaker).any() and bool((other.speaker >= 0).all())
            by = "speaker" if several and new_people else "dialogue"
        else:
            talks = len(np.unique(features.dialogue)) < len(features)
            by = "speaker" if several and not talks else "dialogue"
    if by == "speaker":
        if not known:
            unknown = int((features.speaker < 0).sum())
            raise ValueError(
                f"the speaker of {unknown} of {len(features)} utterances is unknown; fold by dialogue"
            )
        return features.speaker, "speaker"
    return features.dialogue, "dialogue"


def group_folds(groups: Codes, labels: Codes, folds: int, seed: int = 0) -> Iterator[tuple[Codes, Codes]]:
    """Yield (train, held-out) positions, each group held out once, class counts alike where they can be.

    Groups are dealt out from the largest, each to the fold whose class counts it unbalances least; equal
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
