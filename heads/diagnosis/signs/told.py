"""What probes of all streams together say of each label, of speakers (dialogues) that they haven't met."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.lapses import lapse
from dualstream.heads.diagnosis.signs.table import WIDEST, Codes, Floats, Mask, Table, without
from dualstream.heads.diagnosis.signs.wrong_codes import FOLDS, group_folds, read_by_speaker

ABOVE = 4.0  # deviations of chance, by which labels must be told for probes to disagree with any


@dataclass(frozen=True, repr=False)
class Told:
    """Log-probabilities of the classes that occur."""

    use: Mask
    """Utterances with a label and a row in all streams, shape (N,)."""
    code: Codes
    """The label of each utterance by its place among `names`; 0 where it has none, shape (N,)."""
    names: Codes
    """Codes of the classes."""
    log_p: Floats
    """Shape (N, C); zeros where `use` doesn't name the utterance."""
    share: Floats
    """Of the classes among labels, shape (C,)."""

    @property
    def tells(self) -> bool:
        """Whether probes tell the labels at all: of the mean class more than chance, beyond doubt."""
        code = self.code[self.use]
        counts = np.maximum(np.bincount(code, minlength=len(self.names)), 1)
        right = np.bincount(code, self.log_p[self.use].argmax(axis=1) == code, minlength=len(self.names))
        chance = 1 / len(counts)
        error = np.sqrt((chance * (1 - chance) / counts).sum()) / len(counts)
        return bool((right / counts).mean() - chance >= ABOVE * error)


def told_labels(table: Table) -> Told | None:
    """Return what probes say of the labels of all utterances; None where there are too few. Found once a table."""
    if "told" not in table.kept:
        table.kept["told"] = _told(table)
    found = table.kept["told"]
    assert found is None or isinstance(found, Told)
    return found


def _told(table: Table) -> Told | None:
    use = table.labelled() & np.all(list(table.there.values()), axis=0)
    if use.sum() < 20 * FOLDS:
        return None
    rows = np.concatenate([table.components(name, rank=WIDEST)[use] for name in table.raw], axis=1)
    fold = group_folds(table.speaker[use] if table.named_speakers else table.dialogue[use], int(use.sum()))
    views = [rows, without(rows, table.speaker[use])] if read_by_speaker(table, use) else [rows]
    found = [one for one in (lapse(view, table.label[use], fold) for view in views) if one is not None]
    if not found:
        return None
    best = max(found, key=lambda one: one.accuracy)
    log_p, code = np.zeros((len(table), len(best.names))), np.zeros(len(table), dtype=np.int64)
    log_p[use], code[use] = best.log_p, np.searchsorted(best.names, table.label[use])
    share = np.bincount(code[use], minlength=len(best.names)) / use.sum()
    return Told(use, code, best.names, log_p, share)
