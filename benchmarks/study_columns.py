"""The choice of the 192 acoustic columns, and what the procedure of choosing is worth on speakers it never saw.

    DUALSTREAM_DATA=FOLDER python benchmarks/study_columns.py

repeats the choice on each corpus for the other (on RAVDESS: the list that stands), and inside the training
speakers of every fold, and prints a Markdown table. Minutes, one thread.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import checkout  # noqa: F401
import numpy as np
from dualstream.features.acoustic.columns import FAMILIES
from dualstream.features.acoustic.functionals import MODULATIONS, RHYTHM
from numpy.typing import NDArray
from sklearn.preprocessing import StandardScaler
from study_acoustic import (
    KINDS,
    Array,
    SoundCorpus,
    Store,
    best_penalty,
    cell,
    corpora,
    folds,
    model,
    nested,
    scaled,
    scored,
)
from study_stress import HEARD, all_damaged

from dualstream.cores import one_core

NESTED = "the other corpus and the training speakers of the fold"
CLEAN_COUNTS = 3  # times as much as each kind of damage, in the choice
STATISTICS = (
    *(p + s for p in ("", "voiced_") for s in ("mean", "std", "p20", "p50", "p80", *MODULATIONS)),
    *("rise", "fall", "move"),
)


@one_core()
def main() -> None:
    """Choose, score, print."""
    warnings.filterwarnings("ignore", category=UserWarning)
    started = time.perf_counter()
    document = select(corpora(), Store(None))
    for name, columns in document["lists"].items():
        print(f"Chosen on {name}: {' '.join(columns)}\n")
    print("| columns chosen on | scored on | linear SVM | logistic regression |\n|---|---|---|---|")
    for row in document["rows"]:
        note = " (optimistic: chosen on it)" if row["optimistic"] else ""
        cells = " | ".join(cell(row[kind]) for kind in KINDS)
        print(f"| {row['chosen_on']} | {row['corpus']}{note} | {cells} |")
    print(f"\n({time.perf_counter() - started:.0f} s)")


def candidates() -> dict[str, tuple[str, ...]]:
    """Return what the selection chooses from: one statistic of one family of tracks at a time."""
    bundles = {
        f"{family}.{statistic}": tuple(f"{track}.{statistic}" for track in tracks.split())
        for family, tracks in FAMILIES.items()
        for statistic in STATISTICS
    }
    return bundles | {
        "rhythm.counts": tuple(f"rhythm.{s}" for s in RHYTHM[:7]),
        "rhythm.relations": tuple(f"rhythm.{s}" for s in RHYTHM[7:]),
    }


def pool() -> list[str]:
    """Return the names of all candidate columns, in order."""
    return [column for columns in candidates().values() for column in columns]


@dataclass
class FoldPart:
    """One fold of a `Judge`, with the chosen columns eliminated from it.

    `scatter`, `means` and `test` begin as the shrunk scatter within classes (P, P), the classes' means (P, C)
    and the held-out rows (P, N). Adding columns is a step of Gaussian elimination on all three: what is left
    of the other columns is what they say beyond the chosen ones, and `logits` (C, N) is the discriminant of the
    chosen.
    """

    scatter: Array
    means: Array
    test: Array
    truth: NDArray[np.int64]
    weight: Array
    """Of each held-out row, shape (N,)."""
    logits: Array

    def with_columns(self, columns: Sequence[int]) -> Array:
        """Return the logits of the discriminant that has these columns too, shape (C, N)."""
        means = self.means[columns]
        weights = np.linalg.solve(self.scatter[np.ix_(columns, columns)], means)  # (b, C)
        return self.logits + (weights.T @ self.test[columns] - 0.5 * (means * weights).sum(0)[:, None])

    def add(self, columns: Sequence[int]) -> None:
        """Eliminate these columns: they are chosen."""
        self.logits = self.with_columns(columns)
        across = self.scatter[columns]  # (b, P)
        solved = np.linalg.solve(across[:, columns], across)
        self.means = self.means - solved.T @ self.means[columns]
        self.test = self.test - solved.T @ self.test[columns]
        self.scatter = self.scatter - across.T @ solved


class Judge:
    """Cross-validated log-likelihood of a shrunk linear discriminant on columns chosen one bundle after the other.

    Parameters
    ----------
    x
        Candidate columns of clean sound, shape (N, P): what the discriminants are fitted on.
    y, speaker
        Labels and speakers, shape (N,).
    count
        Folds by speaker.
    heard
        The same rows measured on damaged sound: the discriminants, fitted on clean sound, are judged on these too,
        each counting a third of the clean rows.
    """

    def __init__(
        self,
        x: Array,
        y: NDArray[np.str_],
        speaker: NDArray[np.str_],
        count: int,
        heard: Sequence[Array] = (),
        shrinkage: float = 0.2,
        temper: float = 0.4,
    ) -> None:
        classes, truth = np.unique(y, return_inverse=True)
        self.temper = temper
        self.parts: list[FoldPart] = []
        for held in folds(speaker, count):
            scaler = StandardScaler().fit(x[~held])
            z = scaler.transform(x[~held]).clip(-5, 5)
            tests = [scaler.transform(one[held]).clip(-5, 5) for one in (x, *heard)]
            means = np.array([z[truth[~held] == c].mean(0) for c in range(len(classes))]).T  # (P, C)
            inner = z - means.T[truth[~held]]
            scatter = inner.T @ inner / len(inner)
            own = np.diag(scatter) + 1e-6
            scatter *= 1 - shrinkage
            scatter[np.diag_indices_from(scatter)] = own
            test = np.ascontiguousarray(np.concatenate(tests).T)
            logits = np.zeros((len(classes), test.shape[1]))
            weight = np.repeat([1.0, *(1 / CLEAN_COUNTS for _ in heard)], held.sum())
            self.parts.append(FoldPart(scatter, means, test, np.tile(truth[held], len(tests)), weight, logits))

    def fresh(self) -> Judge:
        """Return a judge of the same rows to whom nothing has been added yet; call it before the first `add`."""
        copy = object.__new__(Judge)
        copy.temper, copy.parts = self.temper, [replace(part) for part in self.parts]
        return copy

    def value(self, columns: Sequence[int]) -> float:
        """Return the mean over classes of the log-likelihood with these columns beside those added."""
        scores: list[Array] = []
        for part in self.parts:
            logits = self.temper * part.with_columns(columns)
            logits -= logits.max(0)
            own = logits[part.truth, np.arange(len(part.truth))]
            scores.append((own - np.log(np.exp(logits).sum(0))) * part.weight)
        truth = np.concatenate([part.truth for part in self.parts])
        count = np.bincount(truth, weights=np.concatenate([part.weight for part in self.parts]))
        sums = np.bincount(truth, weights=np.concatenate(scores))
        return float(np.mean(sums[count > 0] / count[count > 0]))

    def add(self, columns: Sequence[int]) -> None:
        """Let these columns be chosen."""
        for part in self.parts:
            part.add(columns)


def choose(judges: Sequence[Judge], names: Sequence[str], width: int = 192) -> list[str]:
    """Add the bundle that gains most log-likelihood per root of its columns, until `width` columns are there."""
    judges = [judge.fresh() for judge in judges]
    index = {name: i for i, name in enumerate(names)}
    left = {bundle: [index[c] for c in columns] for bundle, columns in candidates().items()}
    chosen: list[int] = []
    current, gains, step = -10.0, dict.fromkeys(left, np.inf), 0
    while fits := [b for b in left if len(left[b]) <= width - len(chosen)]:
        fits.sort(key=lambda b: -gains[b])
        values = {}
        for bundle in fits if step % 12 == 0 else fits[:25]:  # gains mostly shrink: re-judge the likeliest
            values[bundle] = sum(judge.value(left[bundle]) for judge in judges)
            gains[bundle] = (values[bundle] - current) / len(left[bundle]) ** 0.5
        best = max(values, key=lambda b: gains[b])
        columns = left.pop(best)
        for judge in judges:
            judge.add(columns)
        chosen, current, step = chosen + columns, values[best], step + 1
    return [names[i] for i in chosen]


def select(both: Sequence[SoundCorpus], store: Store) -> dict[str, Any]:
    """Choose columns on each corpus, score them on both, and choose anew inside every fold.

    Returns
    -------
    ``{"lists": {corpus: columns}, "rows": [{"chosen_on", "corpus", "optimistic", "SVM", "LR"}, ...]}``
    """
    names = pool()
    measured = [store.columns(corpus, names) for corpus in both]
    heard = [[store.columns(corpus, names, how, all_damaged(corpus, how)) for how in HEARD] for corpus in both]

    def judge(which: int, rows: NDArray[np.bool_] | None = None) -> Judge:
        corpus, x = both[which], measured[which]
        rows = np.ones(len(x), bool) if rows is None else rows
        own = [one[rows] for one in heard[which]]
        return Judge(x[rows], corpus.label[rows], corpus.speaker[rows], min(corpus.folds, 5), own)

    whole = [judge(which) for which in range(len(both))]
    lists = {corpus.name: choose(whole[i : i + 1], names) for i, corpus in enumerate(both)}
    rows: list[dict[str, Any]] = []
    for which, corpus in enumerate(both):
        x = measured[which]
        for chosen_on, columns in lists.items():
            own = x[:, [names.index(c) for c in columns]]
            answers = {kind: scored(corpus, nested(kind, own, corpus)[0]) for kind in KINDS}
            optimistic = chosen_on == corpus.name
            rows.append({"chosen_on": chosen_on, "corpus": corpus.name, "optimistic": optimistic, **answers})
        said = {kind: np.empty_like(corpus.label) for kind in KINDS}
        for held in folds(corpus.speaker, corpus.folds):
            at = [names.index(c) for c in choose([judge(which, ~held), whole[1 - which]], names)]
            for kind, out in said.items():
                penalty = best_penalty(kind, x[~held][:, at], corpus.label[~held], corpus.speaker[~held])
                train, test = scaled(x[~held][:, at], x[held][:, at])
                out[held] = model(kind, penalty).fit(train, corpus.label[~held]).predict(test)
        answers = {kind: scored(corpus, out) for kind, out in said.items()}
        rows.append({"chosen_on": NESTED, "corpus": corpus.name, "optimistic": False, **answers})
    return {"lists": lists, "rows": rows}


if __name__ == "__main__":
    main()
