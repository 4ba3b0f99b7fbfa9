"""Closed-form heads over all streams, out of fold: what a remedy gains, in seconds."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.intervention import Intervention
from dualstream.heads.diagnosis.refit import METRIC
from dualstream.heads.diagnosis.signs.lapses import Lapse, lapse
from dualstream.heads.diagnosis.signs.table import WIDEST, Codes, Floats, Mask, Table, components
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.folds import fold_codes
from dualstream.heads.evaluation.statistics import PairedDifference

FOLDS = 5
LEAST = 40


@dataclass(frozen=True, repr=False)
class Heads:
    """What closed-form heads are fitted on, and over which groups."""

    table: Table
    group: Codes
    """What folds keep whole, shape (N,)."""
    fold: Codes
    """Shape (N,)."""

    @classmethod
    def of(cls, table: Table, group: Codes) -> Heads | None:
        """Deal whole groups into folds; None where there are too few labelled utterances, classes or groups."""
        if not table.raw:
            return None
        made = cls(table, group, np.zeros(len(group), dtype=np.int64))
        use = made.usable()
        if use.sum() < LEAST or len(np.unique(table.label[use])) < 2 or len(np.unique(group[use])) < 2:
            return None
        return cls(table, group, fold_codes(group, table.label, FOLDS))

    def usable(self) -> Mask:
        """Return the utterances that have a label and a row in some stream."""
        there = np.any(list(self.table.there.values()), axis=0)
        return np.asarray(self.table.labelled() & there)

    def fit(
        self,
        rows: dict[str, Floats] | None = None,
        label: Codes | None = None,
        fitted: Mask | None = None,
        fold: Codes | None = None,
    ) -> Lapse | None:
        """Fit heads on all streams; answers are of the utterances that `usable` names.

        Parameters
        ----------
        rows
            Other rows for some of the streams, shape (N, D).
        label
            Other labels, shape (N,).
        fitted
            Utterances that are fitted on, others being answered all the same.
        fold
            Other folds than those of whole groups, shape (N,).
        """
        table, use = self.table, self.usable()
        changed = rows or {}
        reduced = [
            components(changed[name], table.there[name], rank=WIDEST)[use]
            if name in changed
            else table.components(name, rank=WIDEST)[use]
            for name in table.raw
        ]
        codes = (table.label if label is None else label)[use]
        folds = (self.fold if fold is None else fold)[use]
        return lapse(np.concatenate(reduced, axis=1), codes, folds, None if fitted is None else fitted[use])

    def gained(
        self, name: str, remedy: str, before: Floats, after: Floats, truth: Codes, group: Codes
    ) -> Intervention:
        """Return what answers `after` (log-probabilities by class) gain over `before`."""
        classes = before.shape[1]
        gain: PairedDifference = metrics.compare_models(
            [after], [before], truth, group, classes=classes, metric=METRIC
        )
        names = [str(code) for code in range(classes)]
        score = metrics.score([after], truth, names, groups=group).balanced_accuracy
        return Intervention(name, remedy, score, gain, gain)


def by_class(found: Lapse, classes: int) -> Floats:
    """Return log-probabilities with a column for each class of the task, shape (N, C)."""
    full = np.full((len(found.log_p), classes), -50.0)
    full[:, found.names] = found.log_p
    return full
