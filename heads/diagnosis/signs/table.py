"""The rows that the measures look at: train and dev together, in the order of their table, each stream reduced.

Columns are standardised by their quartiles and clipped, so that a few wild values don't hide the rest, and
turned into principal components: what is measured then costs the same for wide and narrow streams.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet
from dualstream.heads.diagnosis.signs.windows import Windows, windows_of
from dualstream.heads.variants.options import Task
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Codes = NDArray[np.int64]
Mask = NDArray[np.bool_]

VALUES = 0.25  # distinct values of the median column for each distinct row, below which values are few
FEWEST = 4  # columns, and
OWN = 0.5  # distinct values for each distinct row, from which on equal rows are no chance
DISTINCT = 0.3  # of the rows, below which they take few values as a whole
TRIMMED = (0.02, 0.98)  # quantiles between which a column's deviation is taken
CLIP = 5.0  # spreads from the median: what lies beyond counts as so much
RANK = 32  # principal components of a stream that most measures look at
WIDEST = 96  # that probes look at, and so the most that are kept
ROWS_PER_COMPONENT = 12
COLUMNS_AT_ONCE = 8  # that are sorted at a time: their quartiles take several copies of them
QUARTILE_SPREAD = 1.349  # distance of a normal distribution's quartiles, in standard deviations
QUARTILE = 1.4826  # deviation of a normal distribution, over its median distance from the middle


@dataclass(frozen=True)
class Names:
    """What the utterances of train and dev are called, and where they stand in the table that they come from."""

    ids: tuple[str, ...]
    speakers: tuple[str, ...] = ()
    """The speaker's name of each utterance; none: their codes are their names."""
    place: tuple[int, ...] = ()
    """Place of each utterance in the table; none: train's stand before dev's."""
    columns: dict[str, Sequence[str] | None] | None = None
    """Names of each stream's columns, where they have names."""


@dataclass(frozen=True, repr=False)
class Table:
    """Utterances of train and dev in the order of their table."""

    raw: dict[str, Floats]
    """Rows of each stream as they are, shape (N, D)."""
    there: dict[str, Mask]
    """Whether a row is present, finite and not all zeros, shape (N,); of a stream that never varies none is."""
    present: dict[str, Mask]
    """Whether a row is marked as present, shape (N,)."""
    label: Codes
    """Of the task, UNLABELLED where there is none."""
    classes: tuple[str, ...]
    speaker: Codes
    dialogue: Codes
    dev: Mask
    ids: tuple[str, ...]
    speaker_names: tuple[str, ...]
    """By code of the speaker."""
    column_names: dict[str, Sequence[str] | None]
    windows: dict[str, Windows] = field(default_factory=dict)
    """Of the streams that have any."""

    def __len__(self) -> int:
        return len(self.label)

    @property
    def named_speakers(self) -> bool:
        """Whether two speakers or more are known, who said most utterances."""
        known = self.speaker >= 0
        return bool(known.mean() > 0.5) and len(np.unique(self.speaker[known])) > 1

    @classmethod
    def of(cls, train: FeatureSet, dev: FeatureSet | None, task: Task, names: Names | None = None) -> Table:
        """Put train and dev together."""
        parts = [part for part in (train, dev) if part is not None and len(part)]
        count = sum(map(len, parts))
        place = np.array(names.place if names and names.place else range(count))
        order = np.argsort(place, kind="stable")

        def joined(values: list[NDArray[Any]]) -> NDArray[Any]:
            return np.concatenate(values)[order]

        streams = {
            name: (
                joined([part.streams[name].utterance for part in parts]),
                joined([part.streams[name].present for part in parts]),
            )
            for name in train.streams
            if all(name in part.streams for part in parts)
        }
        dialogues, base = [], 0
        for part in parts:
            dialogues.append(part.dialogue + base)
            base += int(part.dialogue.max(initial=0)) + 1
        names = Names(row_names(parts)) if names is None else names
        made = cls.of_rows(
            streams,
            label=joined([getattr(part, task) for part in parts]),
            classes=getattr(train, f"{task}_names"),
            speaker=joined([part.speaker for part in parts]),
            dialogue=joined(dialogues),
            dev=joined([np.full(len(part), split) for split, part in zip((False, True), parts, strict=False)]),
            names=Names(
                tuple(names.ids[i] for i in order),
                tuple(names.speakers[i] for i in order) if names.speakers else (),
                columns=names.columns,
            ),
        )
        return replace(made, windows=windows_of(parts, list(streams), np.argsort(order, kind="stable")))

    @classmethod
    def of_rows(
        cls,
        streams: Mapping[str, tuple[NDArray[np.floating], Mask]],
        *,
        label: Codes,
        classes: tuple[str, ...],
        speaker: Codes,
        dialogue: Codes,
        dev: Mask,
        names: Names,
    ) -> Table:
        """Return a table of streams (rows and mask) whose rows, and `names`, are in its order."""
        raw = {name: rows.astype(np.float64) for name, (rows, _) in streams.items()}
        present = {name: there for name, (_, there) in streams.items()}
        return cls(
            raw=raw,
            there={name: _there(own, present[name]) for name, own in raw.items()},
            present=present,
            label=label,
            classes=classes,
            speaker=speaker,
            dialogue=dialogue,
            dev=dev,
            ids=names.ids,
            speaker_names=_speaker_names(speaker, names.speakers),
            column_names=dict(names.columns or {}),
        )

    def components(self, name: str, *, rank: int = RANK) -> Floats:
        """Return the principal components of a stream, shape (N, R), read-only; found once, `WIDEST` of them."""
        assert rank <= WIDEST, f"{rank} components; a table keeps {WIDEST}"
        if name not in self._components:
            self._components[name] = components(self.raw[name], self.there[name], rank=WIDEST)
        kept = np.ascontiguousarray(self._components[name][:, :rank])
        kept.flags.writeable = False
        return kept

    @cached_property  # of this table: one with other rows, by `replace`, has its own
    def _components(self) -> dict[str, Floats]:
        return {}

    @cached_property
    def kept(self) -> dict[str, object]:
        """What measures have found of this table, for others that need the same."""
        return {}

    def labelled(self) -> Mask:
        """Say which utterances have a label of the task, shape (N,)."""
        return self.label != UNLABELLED

    def whole(self) -> Mask:
        """Say which utterances have a label, a known speaker and a row in every stream, shape (N,)."""
        return np.asarray((self.speaker >= 0) & self.labelled() & np.all(list(self.there.values()), axis=0))


def _there(rows: Floats, present: Mask) -> Mask:
    there = present & np.isfinite(rows).all(axis=1) & (rows != 0).any(axis=1)
    varies = bool((rows[there] != rows[there][:1]).any())
    return there if varies else np.zeros_like(there)


def row_names(parts: Sequence[FeatureSet]) -> tuple[str, ...]:
    """Return what utterances of train and dev are called that have no ids."""
    splits = zip(("train", "dev"), parts, strict=False)
    return tuple(f"{split} row {i}" for split, part in splits for i in range(len(part)))


def components(rows: Floats, there: Mask, *, rank: int = RANK) -> Floats:
    """Return the principal components of standardised rows, shape (N, R); zeros where a row isn't there."""
    rows = standardised(rows, there)
    known = rows if there.all() else rows[there]
    rank = max(1, min(rank, rows.shape[1], len(known) // ROWS_PER_COMPONENT))
    values, vectors = np.linalg.eigh(known.T @ known / max(1, len(known)))
    kept = np.argsort(values)[::-1][:rank]
    kept = kept[values[kept] > 1e-9 * max(values.max(initial=0.0), 1e-30)]
    return rows @ vectors[:, kept]


def standardised(rows: Floats, there: Mask) -> Floats:
    """Return rows with each column centred at its median, in spreads, clipped; zeros where a row isn't there."""
    if not there.any():
        return np.zeros_like(rows)
    cuts = range(0, max(1, rows.shape[1] - COLUMNS_AT_ONCE), COLUMNS_AT_ONCE)  # the last part holds the rest
    parts = [rows[:, start : start + COLUMNS_AT_ONCE if start < cuts[-1] else None] for start in cuts]
    middle, spread = map(np.concatenate, zip(*(_middle_and_spread(one, there) for one in parts), strict=True))
    alive = spread > 1e-9 * np.maximum(np.abs(middle), 1e-30)
    scaled = np.where(there[:, None], rows, middle)  # the one copy of all, to which everything is done
    with np.errstate(invalid="ignore", over="ignore"):
        scaled -= middle
        scaled /= np.where(alive, spread, 1)
    scaled[:, ~alive] = 0
    np.clip(scaled, -CLIP, CLIP, out=scaled)
    scaled -= (scaled if there.all() else scaled[there]).mean(axis=0)
    scaled[~there] = 0
    return scaled


def _middle_and_spread(rows: Floats, there: Mask) -> tuple[Floats, Floats]:
    """Return the median and the spread of some columns, each of shape (D,)."""
    known = rows[there]
    low, middle, high = np.quantile(known, [0.25, 0.5, 0.75], axis=0)
    spread = (high - low) / QUARTILE_SPREAD
    trimmed = np.clip(known, *np.quantile(known, TRIMMED, axis=0)).std(axis=0)
    spread = np.maximum(spread, trimmed)  # of a column that hardly ever leaves its median
    return middle, np.where(spread > 0, spread, known.std(axis=0))


def most_heard(speaker: Codes, least: int, most: int) -> Codes:
    """Return the speakers of `least` utterances and more, sorted; of more than `most` those who say most."""
    codes, counts = np.unique(speaker, return_counts=True)
    largest = np.argsort(-counts, kind="stable")[:most]
    return np.sort(codes[largest[counts[largest] >= least]])


def without(rows: Floats, *codes: Codes, rounds: int = 6) -> Floats:
    """Return rows less the means of each of the groupings `codes`; a code below 0 is no group."""
    rows = rows - rows.mean(axis=0) if len(rows) else rows.copy()
    sides = [np.unique(np.where(code < 0, -1, code), return_inverse=True) for code in codes]
    for _ in range(rounds if len(sides) > 1 else 1):
        for names, inverse in sides:
            sums = group_sums(rows, inverse, len(names))
            rows -= (sums / np.bincount(inverse)[:, None])[inverse]
    return rows


def group_sums(rows: Floats, group: Codes, count: int) -> Floats:
    """Return the sums of rows (N, D) by their group (N,), shape (count, D), added in the rows' order."""
    from scipy.sparse import csr_array

    order = np.argsort(group, kind="stable")
    ends = np.searchsorted(group[order], np.arange(count + 1))
    return np.asarray(csr_array((np.ones(len(rows)), order, ends), shape=(count, len(rows))) @ rows)


def _speaker_names(speaker: Codes, names: Sequence[str]) -> tuple[str, ...]:
    """Return the speakers' names by code; where none are given, the codes."""
    called = {int(code): str(code) for code in np.unique(speaker)}
    if names:
        called |= dict(zip(speaker.tolist(), names, strict=True))
    return tuple(called.get(code, str(code)) for code in range(int(speaker.max(initial=-1)) + 1))


def distinct_rows(rows: NDArray[Any]) -> int:
    """Return how many different rows there are, by hashes: copies of their bytes would be the whole again."""
    hashes = np.fromiter((hash(row.tobytes()) for row in rows), np.int64, count=len(rows))
    return len(np.unique(hashes))


def middle_and_spread(values: Floats) -> tuple[float, float]:
    """Return the median of values, and their deviation, were they normal, by the median distance from it."""
    middle = float(np.median(values))
    return middle, QUARTILE * float(np.median(np.abs(values - middle)))


def few_values(rows: NDArray[np.floating]) -> bool:
    """Say whether the columns of rows (N, D) take few values (votes, counts): equal rows are chance then."""
    whole = distinct_rows(rows)
    distinct = [len(np.unique(column)) for column in rows.T[:: max(1, rows.shape[1] // 64)]]
    own = float(np.median(distinct)) if distinct else 0.0
    if rows.shape[1] >= FEWEST and own >= OWN * whole:
        return False  # each row has its own values: those that are equal are the same row, however many they are
    return not distinct or own < VALUES * whole or whole < DISTINCT * len(rows)
