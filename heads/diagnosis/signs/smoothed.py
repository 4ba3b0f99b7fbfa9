"""Rows that were smoothed along the table: each is a mean of itself and the rows beside it, or a difference.

Neighbours in a table are alike in what they have in common, a scene, a sentence, a strength; what is a clip's own
changes from row to row. A moving mean takes the fast changes out of everything, down to the last component:

    power by frequency along the table, of the residuals' whitened components, median over components
    rows of recordings ▁▁▁▁▁▁▁▁ or █▅▃▂▂▂▂▂    smoothed █▇▅▂▁_▁▂_     (mean over components and frequencies: 1)

In clean corpora no sixteenth of the frequencies has less than 0.45 of the mean power. Differences from row to row
take the slow changes out, and a row has a part of the row before it with the other sign.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from dualstream.heads.diagnosis.signs.table import WIDEST, Codes, Floats, Table, components, few_values, without

BINS = 16  # of frequencies
GONE = 0.2  # of the mean power, left in the bin that has least
THERE = 0.4  # in another stream: its neighbours are those of recordings
ALIKE = 0.35  # correlation with the row before, of nearly all components
OPPOSITE = -0.3  # correlation with the row before, at median, of differences
NEARLY = 0.1  # of the components that may have less
LEAST = 128  # rows
OF_SPEAKER = 24  # rows of a speaker, to be asked alone
ROUGH = 0.4  # of a speaker's variance in what the rows beside a row don't tell of it, 1.5 of independent rows
SPEAKERS = 3  # at least, that are smooth, and as many that are not


@dataclass(frozen=True)
class Smoothed:
    """Rows of a stream that hold the rows beside them."""

    stream: str
    power: float
    """Left where least is left, of the mean over frequencies; of some speakers: what they have of the others'
    roughness."""
    alike: float
    """Correlation of the residuals with the row before, median over components; below 0 where rows are differences
    from one to the next."""
    others: float
    """`power` of the other stream that has most; 1 where there is none."""
    utterances: tuple[int, ...]
    speakers: tuple[int, ...] = ()
    """Those whose rows were smoothed, where it is some."""


@dataclass(frozen=True, repr=False)
class _Along:
    """A stream's whitened residuals in the order of the table."""

    index: Codes
    rows: Floats
    power: float
    correlations: Floats


def smoothed(table: Table, leave_out: Collection[str] = ()) -> tuple[Smoothed, ...]:
    """Find the streams whose rows were smoothed along the table, while those of another were not.

    `leave_out` names streams that are known to hold the rows beside them for another reason.
    """
    along = {name: one for name in table.raw if (one := _along(table, name)) is not None}
    found = []
    for name, one in along.items():
        others = max((other.power for own, other in along.items() if own != name), default=1.0)
        if others < THERE or name in leave_out:
            continue  # rows that overlap are alike in all streams
        alike = float(np.median(one.correlations))
        nearly = float(np.quantile(one.correlations, NEARLY))
        if one.power <= GONE and (nearly >= ALIKE or alike <= OPPOSITE):
            found.append(Smoothed(name, one.power, alike, others, tuple(one.index.tolist())))
        elif (some := _some_speakers(table, one)) is not None:
            codes, rough = some
            places = one.index[np.isin(table.speaker[one.index], codes)]
            found.append(Smoothed(name, rough, alike, others, tuple(places.tolist()), codes))
    return tuple(found)


def _along(table: Table, name: str) -> _Along | None:
    index = np.flatnonzero(table.there[name])
    if len(index) < LEAST or table.raw[name].shape[1] < 2 or few_values(table.raw[name][index]):
        return None
    rows = components(table.raw[name][index], np.ones(len(index), dtype=bool), rank=WIDEST)
    rows = without(rows, table.speaker[index], table.label[index])
    spread = rows.std(axis=0)
    rows = rows[:, spread > 1e-3 * spread.max(initial=0.0)]
    if not rows.shape[1]:
        return None
    rows = rows / rows.std(axis=0)
    return _Along(index, rows, float(_spectrum(rows).min()), (rows[1:] * rows[:-1]).mean(axis=0))


def _spectrum(rows: Floats) -> Floats:
    """Return the power of rows (N, R) along N by frequency, the mean being 1; the median over R, shape (BINS,)."""
    power = np.abs(np.fft.rfft(rows, axis=0))[1:] ** 2
    power /= power.mean(axis=0)
    edges = np.linspace(0, len(power), BINS + 1).astype(int)
    return np.stack([np.median(power[a:b].mean(axis=0)) for a, b in pairwise(edges)])


def _some_speakers(table: Table, one: _Along) -> tuple[tuple[int, ...], float] | None:
    """Return the speakers whose rows are smooth where others' are not, and how rough they are, of these."""
    if not table.named_speakers:
        return None
    who = table.speaker[one.index]
    codes, counts = np.unique(who[who >= 0], return_counts=True)
    codes = codes[counts >= OF_SPEAKER]
    rough = np.array([_roughness(one.rows[who == code]) for code in codes])
    smooth = rough <= ROUGH
    if min(smooth.sum(), (~smooth).sum()) < SPEAKERS or rough[smooth].max() > 0.5 * rough[~smooth].min():
        return None
    return tuple(int(code) for code in codes[smooth]), float(np.median(rough[smooth]) / np.median(rough[~smooth]))


def _roughness(rows: Floats) -> float:
    """Return what rows differ by from the mean of both neighbours, of their variance: the median component."""
    own = ((rows[1:-1] - 0.5 * (rows[2:] + rows[:-2])) ** 2).mean(axis=0)
    return float(np.median(own / np.maximum(rows.var(axis=0), 1e-12)))
