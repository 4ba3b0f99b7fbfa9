"""How the parts of a late variant are mixed where an utterance has some of its streams, more than one.

`heads.evaluation.partial` says which cases there are.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields
from typing import Any

import numpy as np
from dualstream.heads.data.batch import UNLABELLED
from dualstream.heads.evaluation.calibration import LogPool
from dualstream.heads.evaluation.partial import partial_cases
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class PartialPools:
    """One task's mixtures, a row a case."""

    parts: NDArray[np.bool_]
    """Which parts answer, shape (cases, parts)."""
    weights: Floats
    """Of the parts' log-probabilities, shape (cases, parts)."""
    offset: Floats
    """Added to them, shape (cases, C)."""

    @classmethod
    def none(cls, parts: int, classes: int) -> PartialPools:
        """Return those of a variant without such a case."""
        return cls(np.zeros((0, parts), np.bool_), np.zeros((0, parts)), np.zeros((0, classes)))

    @classmethod
    def fit(
        cls,
        layout: Sequence[tuple[str, ...]],
        codes: NDArray[np.int64],
        there: NDArray[np.bool_],
        classes: int,
        pooled: Callable[[NDArray[np.int64], NDArray[np.bool_]], LogPool],
    ) -> PartialPools:
        """Fit the mixtures of parts that read one stream each.

        Parameters
        ----------
        layout
            Streams of each part.
        codes
            Labels, shape (N,), -1 where unlabelled.
        there
            Which utterances have each part's stream, shape (parts, N).
        pooled
            Fits these parts' mixture on these utterances.
        """
        streams = list(dict.fromkeys(stream for part in layout for stream in part))
        cases = partial_cases(len(streams)) if all(len(part) == 1 for part in layout) else []
        found = cls.none(len(layout), classes)
        rows = []
        for case in cases:
            named = {streams[k] for k in case}
            parts = np.array([part[0] in named for part in layout])
            at = np.flatnonzero(parts)
            has: NDArray[np.bool_] = np.all(there[at], axis=0)
            known = bool((codes[has] != UNLABELLED).any())
            pool = pooled(at, has) if known else LogPool.mean(len(at), classes)
            weights = np.zeros(len(layout))
            weights[at] = pool.weights
            rows.append((parts, weights, pool.offset))
        return cls(*(np.stack(column) for column in zip(*rows, strict=True))) if rows else found

    def matching(self, there: NDArray[np.bool_]) -> NDArray[np.int64]:
        """Return which case each utterance is, shape (N,), -1 where it is none; `there` has shape (parts, N)."""
        answer = np.full(there.shape[1], -1)
        for number, parts in enumerate(self.parts):
            answer[(there == parts[:, None]).all(0)] = number
        return answer

    def state(self, task: str) -> dict[str, NDArray[Any]]:
        """Return arrays from which `restore` makes them again; none where there is no case."""
        return {f"{task}.partial.{one.name}": getattr(self, one.name) for one in fields(self) if len(self.parts)}

    @classmethod
    def restore(cls, arrays: Mapping[str, NDArray[Any]], task: str, parts: int, classes: int) -> PartialPools:
        """Make them from what `state` gave, among the arrays of a model."""
        names = [f"{task}.partial.{one.name}" for one in fields(cls)]
        return cls(*(arrays[name] for name in names)) if names[0] in arrays else cls.none(parts, classes)
