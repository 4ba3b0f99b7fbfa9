"""How often each class occurs, and what always guessing train's commonest class would score."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pipeline.doctor.table import TASKS, label_of
from pipeline.labels import vocabulary
from pipeline.manifest import Manifest
from pipeline.utterance import SPLITS


def balance(manifest: Manifest) -> dict[str, Any]:
    """Return counts and the majority line by task and split; tasks without labels are left out.

    Scores are scikit-learn's: macro averages run over the classes that occur in the split.
    """
    document: dict[str, Any] = {}
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
        document[task] = {
            "guess": guess,
            "splits": {
                split: {
                    "counts": {name: found[name] for name in names},
                    "majority": _majority_line(found, guess),
                }
                for split, found in counts.items()
            },
        }
    return document


def _majority_line(counts: Counter[str], guess: str) -> dict[str, float]:
    """Score always guessing one class: precision of that class is its share p, its recall 1, so F1 is 2p/(1+p)."""
    share = counts[guess] / counts.total()
    classes = len(+counts | Counter([guess]))
    f1 = 2 * share / (1 + share)
    return {
        "accuracy": share,
        "balanced_accuracy": (counts[guess] > 0) / len(+counts),
        "weighted_f1": share * f1,
        "macro_f1": f1 / classes,
    }
