"""Labels that are wrong in one group: a split, some speakers, or rows that look like one class.

A share of wrong labels that is small in the whole corpus may be most of the labels of one annotator, or of dev.
Each group's lapse (see `lapses`) is found by itself, from the answers of probes that have not met its people. Of a
group whose own labels fall short of one class, rows that look like that class, and all bear the name of one other,
were given that name: two classes became one.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from dualstream.heads.diagnosis.signs.lapses import LAPSES
from dualstream.heads.diagnosis.signs.scaling import scaled
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table
from dualstream.heads.diagnosis.signs.told import Told, told_labels

LEAST_ROWS = 20
LEAST_RATE = 0.05  # of the labels of a group, that are wrong
LEAST_LOW = 0.03  # the lower end of its interval
LEAST_GAIN = 12.0  # of log-likelihood, beyond the logarithm of the number of groups
OF_CLASS_GAIN = 7.5  # of rows that look like a class
OF_CLASS_RATE = 0.15
LOST = 0.25  # of the usual share of a class, below which a group hardly has it
MERGED = 0.7  # of the rows that are wrong, that bear one name

By = Literal["split", "speaker", "class"]


@dataclass(frozen=True, repr=False)
class NoisyGroup:
    """A group of utterances whose labels can't be right in part."""

    by: By
    group: int
    """1 and 0: dev and train; the speaker's code; the code of the class that the rows look like."""
    rate: float
    """Estimated share of wrong labels."""
    interval: tuple[float, float]
    gain: float
    """Log-likelihood of it over that of none."""
    rows: int
    merged: tuple[int, int] | None
    """The class that these rows look like, and the one that they are called; None where they have many names."""
    utterances: tuple[int, ...]
    """Those that are more likely wrong than right, the likeliest first."""


def noisy_groups(table: Table) -> tuple[NoisyGroup, ...]:
    """Find the groups, of each kind those of most rows first, whose labels are wrong in part."""
    told = told_labels(table) if table.raw else None
    if told is None or not told.tells:
        return ()
    kinds: list[tuple[By, Codes]] = [("split", table.dev.astype(np.int64))] if table.dev.any() else []
    kinds += [("speaker", table.speaker)] if table.named_speakers else []
    kinds += [("class", told.names[told.log_p.argmax(axis=1)])]
    return tuple(one for by, group in kinds for one in _of_kind(told, by, group))


def _of_kind(told: Told, by: By, group: Codes) -> Iterator[NoisyGroup]:
    names = np.unique(group[told.use & (group >= 0)])
    found = [one for name in names if (one := _asked(told, by, int(name), told.use & (group == name))) is not None]
    least = (OF_CLASS_GAIN if by == "class" else LEAST_GAIN) + np.log(len(names))
    rate = OF_CLASS_RATE if by == "class" else LEAST_RATE
    for one in sorted(found, key=lambda one: -one.rows):
        if not _is_noisy(one, least, rate):
            continue
        mine = told.use & (group == one.group)
        # probabilities as the other groups have them: where these are as unsure, it is the probe and not the group
        others = told.use & ~mine if by != "class" and (told.use & ~mine).sum() >= LEAST_ROWS else told.use
        again = _asked(replace(told, log_p=_calibrated(told, others)), by, one.group, mine)
        if again is not None and _is_noisy(again, least, rate):
            yield one


def _is_noisy(one: NoisyGroup, least: float, rate: float) -> bool:
    return one.gain >= least and one.rate >= rate and one.interval[0] >= LEAST_LOW


def _calibrated(told: Told, by: Mask) -> Floats:
    """Return the log-probabilities of all rows, calibrated by some."""
    log_p = told.log_p.copy()
    log_p[told.use] = scaled(told.log_p[told.use], told.code[told.use], by[told.use])
    return log_p


def _asked(told: Told, by: By, name: int, mine: Mask) -> NoisyGroup | None:
    """Return the lapse of the rows `mine`, at the temperature of all."""
    index = np.flatnonzero(mine)
    if len(index) < LEAST_ROWS:
        return None
    code = told.code[index]
    own, chance = np.exp(told.log_p[index, code]), told.share[code]
    curve = np.log(np.maximum((1 - LAPSES) * own[:, None] + LAPSES * chance[:, None], 1e-12)).sum(axis=0)
    drawn = float(LAPSES[int(curve.argmax())])
    inside = LAPSES[curve >= curve.max() - 1.92]
    other = 1 - float((told.share**2).sum())
    wrong = drawn * chance / np.maximum((1 - drawn) * own + drawn * chance, 1e-12) * (1 - own)
    likely = np.flatnonzero(wrong > 0.5)
    likely = likely[np.argsort(-wrong[likely], kind="stable")]
    return NoisyGroup(
        by=by,
        group=name,
        rate=drawn * other,
        interval=(float(inside.min()) * other, float(inside.max()) * other),
        gain=float(curve.max() - curve[0]),
        rows=len(index),
        merged=_merged(told, index, index[likely]),
        utterances=tuple(index[likely].tolist()),
    )


def _merged(told: Told, index: Codes, wrong: Codes) -> tuple[int, int] | None:
    """Return the class that a group hardly has, and the name that its rows bear; None where there is none such."""
    if len(wrong) < 4:
        return None
    looks = told.log_p[wrong].argmax(axis=1)
    counts = np.zeros((len(told.names),) * 2)
    np.add.at(counts, (looks, told.code[wrong]), 1.0)
    like, called = np.unravel_index(int(counts.argmax()), counts.shape)
    left = float((told.code[index] == like).mean())
    if counts[like, called] < MERGED * len(wrong) or left > LOST * told.share[like]:
        return None
    return int(told.names[like]), int(told.names[called])
