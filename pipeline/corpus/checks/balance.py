"""How often each class occurs, and the majority line of each split, as every command has it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.heads.evaluation.majority import Majority, majority_lines
from dualstream.pipeline.corpus.checks.tasks import TASKS, label_of
from dualstream.pipeline.corpus.labels import vocabulary
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.utterance import SPLITS

from dualstream.documents import Document


@dataclass(frozen=True)
class ClassShares(Document):
    """How often each class occurs among some utterances, and what always answering one class would score."""

    counts: dict[str, int]
    majority: Majority | None
    train_majority: Majority | None


@dataclass(frozen=True)
class TaskBalance(Document):
    """The classes of one task."""

    guess: str
    """Train's commonest class."""
    splits: dict[str, ClassShares]
    outside_test: ClassShares | None
    """Of what `--folds` assigns to folds, where that is more than one split."""


def balance(manifest: Manifest) -> dict[str, TaskBalance]:
    """Return counts and the majority lines by task and split; tasks without labels are left out."""
    found_of: dict[str, TaskBalance] = {}
    for task, order in TASKS.items():
        counts = {
            split: Counter(name for u in manifest if u.split == split and (name := label_of(u, task)))
            for split in SPLITS
        }
        counts = {split: found for split, found in counts.items() if found}
        names = vocabulary((name for found in counts.values() for name in found), order)
        if not names:
            continue
        reference = counts.get("train") or next(iter(counts.values()))
        guess = max(names, key=lambda name: reference[name])
        others = [found for split, found in counts.items() if split != "test"]
        found_of[task] = TaskBalance(
            guess=guess,
            splits={split: _of(found, counts.get("train"), names) for split, found in counts.items()},
            outside_test=_of(sum(others, Counter()), None, names) if len(others) > 1 else None,
        )
    return found_of


def _of(found: Counter[str], train: Counter[str] | None, names: Sequence[str]) -> ClassShares:
    scored = np.array([found[name] for name in names])
    lines = majority_lines(scored, names, None if train is None else np.array([train[name] for name in names]))
    return ClassShares({name: found[name] for name in names}, *lines)
