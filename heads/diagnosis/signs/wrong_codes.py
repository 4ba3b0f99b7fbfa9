"""Labels and speakers that can't be right, of all streams together and of each apart.

Where the labels are wrong, every stream disagrees with them; where the rows of one stream belong to other
utterances, that stream alone does, with the class and with the speaker.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from dualstream.heads.diagnosis.signs.lapses import Lapse, lapse
from dualstream.heads.diagnosis.signs.scaling import scaled_lapse
from dualstream.heads.diagnosis.signs.table import WIDEST, Codes, Floats, Mask, Table, without

FOLDS = 5
ROWS = 4_000  # of larger tables so many are looked at, evenly spread
SPEAKERS = 60  # of more, those with most utterances are told apart
SPEAKER_ROWS = 10  # of a speaker who is told apart
NORMALISED_ROWS = 8  # utterances a speaker, from which rows are read around the speaker's mean too
ALL = "all streams"

LEAST_RATE = 0.05  # of the codes
LEAST_GAIN = 10.0  # of log-likelihood
TOLD = 2.0  # times chance, at which a probe tells enough to disagree
PEOPLE_TOLD = 0.2  # of the utterances beyond chance, of which it tells the speaker: of many, twice chance is few


@dataclass(frozen=True, repr=False)
class WrongCodes:
    """What the probe of a stream (or all) says of labels or speakers."""

    stream: str
    what: str
    """``label`` or ``speaker``."""
    rate: float
    """Estimated share that is wrong."""
    drawn: float
    """Share that might as well have been drawn at random: those that are wrong, and those right by luck."""
    interval: tuple[float, float]
    """Of `drawn`, 95 %."""
    gain: float
    """Log-likelihood of it over that of none."""
    accuracy: float
    chance: float
    utterances: tuple[int, ...]
    """Those that are more likely wrong than right, the likeliest first."""
    answers: tuple[int, ...]
    """The code that the probe gives to each of those."""
    scaled_drawn: float | None = None
    """`drawn` where each class has a scale of its own; None where nothing else speaks for wrong codes."""
    scaled_gain: float | None = None
    """`gain` likewise."""

    @property
    def told(self) -> bool:
        """Whether the probe tells enough of the codes to disagree with them."""
        bound = min(TOLD * self.chance, (1 + self.chance) / 2)
        least = PEOPLE_TOLD if self.what == "speaker" else 0.0
        return self.accuracy >= max(bound, self.chance + least * (1 - self.chance))

    @property
    def found(self) -> bool:
        """Whether a share of the codes is wrong beyond doubt."""
        if self.scaled_gain is None or self.scaled_drawn is None:
            return False
        return self.suspected and self.scaled_gain >= LEAST_GAIN and self.scaled_drawn >= LEAST_RATE / 2

    @property
    def suspected(self) -> bool:
        """Whether a share of the codes is wrong where one temperature fits all classes."""
        return (
            self.told
            and self.rate >= LEAST_RATE
            and self.interval[0] >= LEAST_RATE / 2
            and self.gain >= LEAST_GAIN
        )


def wrong_codes(table: Table) -> tuple[WrongCodes, ...]:
    """Ask the probes of each stream, and of all, about labels and speakers."""
    reduced = {name: table.components(name, rank=WIDEST) for name in table.raw}
    asked: list[WrongCodes | None] = []
    for name in (*reduced, *((ALL,) if len(reduced) > 1 else ())):
        streams = list(reduced) if name == ALL else [name]
        rows = np.concatenate([reduced[one] for one in streams], axis=1)
        there = np.all([table.there[one] for one in streams], axis=0)
        asked.append(ask_labels(table, name, rows, there))
        asked.append(ask_speakers(table, name, rows, there))
    return tuple(one for one in asked if one is not None)


def ask_labels(
    table: Table, name: str, rows: Floats, there: Mask, label: Codes | None = None
) -> WrongCodes | None:
    """Ask about the labels, of people who were not heard; by the better of rows as they are, and less the
    speaker's mean.
    """
    codes = table.label if label is None else label
    index = _spread(np.flatnonzero(there & table.labelled()))
    if len(index) < 20 * FOLDS:
        return None
    group = table.speaker[index] if table.named_speakers else table.dialogue[index]
    fold = group_folds(group, len(index))
    views = [rows[index]]
    if read_by_speaker(table, index):
        views.append(without(rows[index], table.speaker[index]))
    found = [one for one in (lapse(view, codes[index], fold) for view in views) if one is not None]
    if not found:
        return None
    best = max(found, key=lambda one: one.accuracy)
    return _scaled(_told(name, "label", best, index), best, codes[index])


def ask_speakers(
    table: Table, name: str, rows: Floats, there: Mask, speaker: Codes | None = None
) -> WrongCodes | None:
    """Ask about the speakers, among those with utterances enough."""
    if not table.named_speakers:
        return None
    codes = table.speaker if speaker is None else speaker
    counts = np.bincount(codes[there & (codes >= 0)], minlength=int(codes.max()) + 1)
    largest = np.argsort(-counts, kind="stable")[:SPEAKERS]
    known = largest[counts[largest] >= SPEAKER_ROWS]
    index = _spread(np.flatnonzero(there & np.isin(codes, known)))
    if len(known) < 2 or len(index) < 20 * FOLDS:
        return None
    fold = np.random.default_rng(0).permutation(len(index)) % FOLDS
    found = lapse(rows[index], codes[index], fold)
    return None if found is None else _scaled(_told(name, "speaker", found, index), found, codes[index])


def read_by_speaker(table: Table, index: Codes | Mask) -> bool:
    """Say whether speakers have utterances enough for rows to be read around their means too."""
    count = len(table.speaker[index])
    return table.named_speakers and count >= NORMALISED_ROWS * len(np.unique(table.speaker[index]))


def group_folds(group: Codes, count: int) -> Codes:
    """Deal whole groups into folds at random; single rows where there are too few groups."""
    names, code = np.unique(group, return_inverse=True)
    if len(names) < 2 * FOLDS:
        code, names = np.arange(count), np.arange(count)
    return (np.random.default_rng(0).permutation(len(names)) % FOLDS)[code]


def _spread(index: Codes) -> Codes:
    return index if len(index) <= ROWS else index[:: -(-len(index) // ROWS)]


def _scaled(one: WrongCodes, found: Lapse, codes: Codes) -> WrongCodes:
    """Return it with the lapse where each class is scaled by itself, asked only where there seems to be one."""
    if not one.suspected:
        return one
    drawn, gain = scaled_lapse(found.log_p, np.searchsorted(found.names, codes), found.drawn)
    return replace(one, scaled_drawn=drawn, scaled_gain=gain)


def _told(name: str, what: str, found: Lapse, index: Codes) -> WrongCodes:
    likely = np.flatnonzero(found.wrong > 0.5)
    likely = likely[np.argsort(-found.wrong[likely], kind="stable")]
    return WrongCodes(
        stream=name,
        what=what,
        rate=found.rate,
        drawn=found.drawn,
        interval=found.interval,
        gain=found.gain,
        accuracy=found.accuracy,
        chance=found.chance,
        utterances=tuple(index[likely].tolist()),
        answers=tuple(found.names[found.answers[likely]].tolist()),
    )
