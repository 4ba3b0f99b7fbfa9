"""Which utterances stand in which batch, and which streams are hidden from them; NumPy alone."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from dualstream.heads.training.tensors import TensorSet

POOL = 8  # batches whose utterances are sorted by length among themselves

Index = NDArray[np.int64]


class Order:
    """Cuts a corpus into batches.

    Parameters
    ----------
    tensors
        Lengths decide what stands together where windows are read; dialogues where they must stay whole.
    size
        Utterances a batch, at most (more where a single dialogue is longer).
    draw
        Chance of each utterance where an epoch is drawn with replacement, shape (N,); whole dialogues are
        drawn by the mean of theirs.
    """

    def __init__(self, tensors: TensorSet, size: int, draw: NDArray[np.float64] | None = None) -> None:
        self.size = max(1, size)
        self.lengths = tensors.lengths
        if tensors.whole_dialogues:
            order = np.lexsort((tensors.turn, tensors.dialogue_codes))
            cuts = np.flatnonzero(np.diff(tensors.dialogue_codes[order])) + 1
            self.units = [unit.astype(np.int64) for unit in np.split(order, cuts)]
        else:
            self.units = []
        self.count = tensors.count
        self.chance: NDArray[np.float64] | None = None
        """Of each unit (a dialogue, or else an utterance) in a draw, sum 1; None: each comes once."""
        if draw is not None:
            chance = np.array([draw[unit].mean() for unit in self.units]) if self.units else draw
            self.chance = chance / chance.sum()

    def frequency(self) -> NDArray[np.float64]:
        """Return how often each utterance comes in an epoch, on average, shape (N,)."""
        often = np.ones(self.count)
        if self.chance is None:
            return often
        if not self.units:
            return self.count * self.chance
        for unit, chance in zip(self.units, self.chance, strict=True):
            often[unit] = len(self.units) * chance
        return often

    def in_turn(self) -> list[Index]:
        """Return batches that hold each utterance once, in an order of no meaning."""
        if self.units:
            return self._fill(np.arange(len(self.units)))
        order = np.argsort(self.lengths, kind="stable")
        return _cut(order, self.size)

    def shuffled(self, rng: np.random.Generator) -> list[Index]:
        """Return an epoch's batches, of nearly equal size."""
        count = len(self.units) or self.count
        order = rng.permutation(count) if self.chance is None else rng.choice(count, size=count, p=self.chance)
        if self.units:
            batches = self._fill(order)
        elif self.lengths.any():
            pools = _cut(order, POOL * self.size)
            by_length = [pool[np.argsort(self.lengths[pool], kind="stable")] for pool in pools]
            batches = [batch for pool in by_length for batch in _cut(pool, self.size)]
        else:
            return _cut(order, self.size)
        return [batches[row] for row in rng.permutation(len(batches))]

    def _fill(self, order: Index) -> list[Index]:
        batches: list[Index] = []
        held: list[Index] = []
        filled = 0
        for row in order:
            unit = self.units[row]
            if held and filled + len(unit) > self.size:
                batches.append(np.concatenate(held))
                held, filled = [], 0
            held.append(unit)
            filled += len(unit)
        return [*batches, np.concatenate(held)] if held else batches


def hide_streams(
    tensors: TensorSet, index: Index, rate: float, rng: np.random.Generator
) -> dict[str, NDArray[np.bool_]] | None:
    """Draw which utterances lose streams: with chance `rate`, where two or more are there.

    They keep at least one and lose at least one; each such choice is as likely as another: of two streams one
    goes, of three one or two. Modality dropout as in ModDrop (Neverova et al. 2015,
    https://arxiv.org/abs/1501.00102).
    """
    if rate <= 0.0 or len(tensors.widths) < 2:
        return None
    drawn = rng.random(len(index))
    there = tensors.there[index]  # (B, streams)
    count = there.sum(axis=1)
    choices = np.where(count > 1, 2.0**count - 2, 1.0)  # what may go: neither nothing nor everything
    choice = np.minimum(drawn / (rate / choices), choices - 1).astype(np.int64) + 1
    gone = (choice[:, None] >> (there.cumsum(axis=1) - 1).clip(0)) & 1  # bit k: the k-th stream that is there
    hidden = there & (gone == 1) & ((count > 1) & (drawn < rate))[:, None]
    return {stream: hidden[:, column] for column, stream in enumerate(tensors.widths)}


def _cut(order: Index, size: int) -> list[Index]:
    count = max(1, -(-len(order) // size))
    return [part.astype(np.int64) for part in np.array_split(order, count) if len(part)]
