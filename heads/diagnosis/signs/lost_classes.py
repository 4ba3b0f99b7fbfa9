"""A class that some speakers lack, whose rows bear another class's name there.

Speakers of some annotator have no utterance of a class, though they have utterances enough for several: either
they never were so, or the annotator called it otherwise. A probe tells the class from each other one among those
who have both; where the others' utterances of one name look like the lost class far more often than that name's
utterances do elsewhere, two classes share the name.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.table import WIDEST, Codes, Floats, Table, without
from dualstream.heads.diagnosis.signs.wrong_codes import FOLDS, group_folds
from dualstream.heads.linear.closed_form import ridge

EXPECTED = 4.0  # utterances of a class that a speaker should have, for its lack to be one
LOST = 0.25  # of those, that are there at most
SPEAKERS = 3  # who lack a class, and who have it
USUAL = 0.5  # share of others' utterances of a name that look like the lost class, above which looks say nothing
MORE = 0.15  # share of utterances that look like the lost class, beyond that of others
ALPHA = 0.01  # of all classes and names together
PENALTY = 100.0  # of standardised columns
LEAST = 3  # utterances of a name, for a speaker to count


@dataclass(frozen=True)
class LostClass:
    """A class that some speakers call as another."""

    lost: int
    called: int
    speakers: tuple[int, ...]
    """Those who lack it."""
    share: float
    """Of their utterances of that name, those that look like the lost class."""
    usual: float
    """The same of the speakers who have both."""
    p_value: float
    """Chance of it, over speakers, times the number of pairs that were looked at."""
    utterances: tuple[int, ...]
    """Those that look like the lost class."""


def lost_classes(table: Table) -> tuple[LostClass, ...]:
    """Find the classes that some speakers call as another one."""
    if not table.named_speakers or not table.raw:
        return ()
    use = table.whole()
    index = np.flatnonzero(use)
    if len(index) < 20 * FOLDS:
        return ()
    rows = np.concatenate([table.components(name, rank=WIDEST)[index] for name in table.raw], axis=1)
    speaker = np.unique(table.speaker[index], return_inverse=True)[1]
    codes, label = np.unique(table.label[index], return_inverse=True)
    rows = without(rows, speaker)
    counts = np.zeros((speaker.max() + 1, len(codes)))
    np.add.at(counts, (speaker, label), 1.0)
    asked = list(_lacking(counts))
    pairs = sum(len(codes) - 1 for _ in asked)
    found = []
    for lost, lack, have in asked:
        told = [
            one
            for called in range(len(codes))
            if called != lost and (one := _told(rows, label, speaker, lost, called, lack, have)) is not None
        ]
        best = min(told, key=lambda one: one.p_value, default=None)
        if best is not None and best.p_value * pairs <= ALPHA and _looks_lost(best):
            found.append(_named(best, pairs, codes, table.speaker[index], speaker, index))
    return tuple(found)


def _looks_lost(one: LostClass) -> bool:
    return one.usual <= USUAL and one.share >= one.usual + MORE


def _lacking(counts: Floats) -> Iterator[tuple[int, Codes, Codes]]:
    """Yield the classes that some speakers lack and others have: the class, the ones and the others."""
    for lost in range(counts.shape[1]):
        share = counts[:, lost] / np.maximum(counts.sum(axis=1), 1)
        usual = float(np.median(share[share > 0])) if (share > 0).any() else 0.0
        enough = counts.sum(axis=1) * usual >= EXPECTED
        lack = np.flatnonzero(enough & (share <= LOST * usual))
        have = np.flatnonzero(enough & (share > LOST * usual))
        if min(len(lack), len(have)) >= SPEAKERS:
            yield lost, lack, have


def _told(
    rows: Floats, label: Codes, speaker: Codes, lost: int, called: int, lack: Codes, have: Codes
) -> LostClass | None:
    """Compare how often utterances of a name look like the lost class, of speakers who lack it and who have it."""
    from scipy.stats import ttest_ind

    fitted = np.flatnonzero(np.isin(speaker, have) & np.isin(label, [lost, called]))
    asked = np.flatnonzero(np.isin(speaker, lack) & (label == called))
    if not len(asked) or len(np.unique(label[fitted])) < 2:
        return None
    fold = group_folds(speaker[fitted], len(fitted))
    looks = np.zeros(len(fitted))
    for number in np.unique(fold):
        fit = fitted[fold != number]
        if len(np.unique(label[fit])) < 2:
            return None
        looks[fold == number] = _margin(rows, label, fit, fitted[fold == number], lost)
    own = label[fitted] == called
    usual = _shares(looks[own] > 0, speaker[fitted[own]])
    like = _margin(rows, label, fitted, asked, lost) > 0
    theirs = _shares(like, speaker[asked])
    if min(len(usual), len(theirs)) < SPEAKERS:
        return None
    test = ttest_ind(theirs, usual, equal_var=False, alternative="greater")
    return LostClass(
        lost,
        called,
        tuple(lack.tolist()),
        float(theirs.mean()),
        float(usual.mean()),
        float(test.pvalue) if np.isfinite(test.pvalue) else 1.0,
        tuple(asked[like].tolist()),
    )


def _margin(rows: Floats, label: Codes, fit: Codes, asked: Codes, lost: int) -> Floats:
    """Return how far rows lie on the side of the class `lost`, of two classes that were fitted on."""
    weights, intercepts = ridge(rows[fit], (label[fit] == lost).astype(np.int64), 2, [PENALTY])[0]
    scores = rows[asked] @ weights.T + intercepts
    return np.asarray(scores[:, 1] - scores[:, 0])


def _shares(like: np.ndarray, speaker: Codes) -> Floats:
    counts = np.bincount(speaker)
    share = np.bincount(speaker, like) / np.maximum(counts, 1)
    return np.asarray(share[counts >= LEAST])


def _named(one: LostClass, pairs: int, codes: Codes, names: Codes, speaker: Codes, index: Codes) -> LostClass:
    """Return what was found with the codes and places of the table."""
    called = {int(s): int(name) for s, name in zip(speaker, names, strict=True)}
    return LostClass(
        int(codes[one.lost]),
        int(codes[one.called]),
        tuple(called[s] for s in one.speakers),
        one.share,
        one.usual,
        min(1.0, one.p_value * pairs),
        tuple(index[list(one.utterances)].tolist()),
    )
