"""A column that is the label, or tells which of some classes it is: how well each column tells it by itself."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.signs.group_columns import ToldGroup, told_groups
from dualstream.heads.diagnosis.signs.rating_columns import rated_columns
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Table

BINS = 64
FOLDS = 5
LEAST = 60
COLUMN = 0.85  # balanced accuracy of a column by itself, beyond what a measurement gives
COMBINED = 0.97  # share of the variance of classes' numbers, out of fold, that a linear function tells
INDICATOR = 0.98  # correlation of a column with the indicator of a class
UNCORRELATED = 1e-3  # correlation with other columns at most, and
EXACT_0 = 1e-4  # of the largest spread: columns below it are rounding
FEWEST = 4  # other columns
COMPONENT = 0.95  # of the other columns: a column is a principal component of these very rows


@dataclass(frozen=True)
class LabelColumn:
    """A column and what it tells of the class by itself."""

    stream: str
    column: int
    name: str
    accuracy: float
    """Balanced accuracy by itself, out of fold."""
    usual: float
    """Of the other columns, the best that is not one of those."""
    indicates: str
    """The class that the column is the indicator of; an empty string where it tells several."""
    together: bool = False
    """Whether it tells the class with the others that are named, and not by itself."""
    group: tuple[str, ...] = ()
    """The classes that it tells from all others, where that is what it tells."""
    rated: bool = False
    """Whether it tells classes and shares nothing with the other columns inside of them (`rated_columns`)."""


def columns_of_labels(table: Table) -> tuple[LabelColumn, ...]:
    """Find the columns of all streams that tell the class by themselves."""
    return tuple(one for name in table.raw for one in label_columns(table, name))


def least_accuracy(classes: int) -> float:
    """Return how well a column must tell so many classes by itself, to be the label's."""
    return max(COLUMN, 1 / classes + 0.5)


def label_columns(table: Table, name: str) -> tuple[LabelColumn, ...]:
    """Find the columns of the stream `name` that tell the class by themselves."""
    use = table.there[name] & table.labelled()
    codes, label = np.unique(table.label[use], return_inverse=True)
    if use.sum() < LEAST or len(codes) < 2:
        return ()
    rows = table.raw[name][use]
    fold = np.random.default_rng(0).permutation(len(rows)) % 2
    accuracy = np.array([_alone(column, label, fold, len(codes)) for column in rows.T])
    indicators = np.eye(len(codes))[label]
    correlation = _correlations(rows, indicators)
    best = correlation.argmax(axis=1)
    is_class = correlation[np.arange(len(best)), best] >= INDICATOR
    several = accuracy >= least_accuracy(len(codes))
    found = np.flatnonzero(is_class | several)
    if not len(found) and (groups := told_groups(rows, label, accuracy, fold)):
        components = _components(table, name, [one.column for one in groups])
        return tuple(_of_group(table, name, one, codes) for one in groups if one.column not in components)
    together = not len(found)
    if together:
        found = _together(rows, label, len(codes))
    rated = not len(found)
    if rated:
        found = rated_columns(rows, label)
    if len(found) > max(len(codes), rows.shape[1] // 4):
        return ()  # columns that all tell the class are a measurement of it
    rest = np.delete(accuracy, found)
    return tuple(
        LabelColumn(
            name,
            int(j),
            _called(table, name, int(j)),
            float(accuracy[j]),
            float(rest.max(initial=1 / len(codes))),
            table.classes[int(codes[best[j]])] if is_class[j] and not several[j] else "",
            together and not rated,
            rated=rated,
        )
        for j in found
    )


def _called(table: Table, name: str, column: int) -> str:
    names = table.column_names.get(name)
    return str(names[column]) if names else f"column {column}"


def _of_group(table: Table, name: str, one: ToldGroup, codes: Codes) -> LabelColumn:
    group = tuple(table.classes[int(codes[place])] for place in one.classes)
    called = _called(table, name, one.column)
    return LabelColumn(name, one.column, called, one.accuracy, one.usual, "", False, group)


def _components(table: Table, name: str, columns: Sequence[int]) -> set[int]:
    """Return those columns that are principal components: uncorrelated with the others, to rounding, in train.

    Such a column holds all that the stream says in one direction, and the others none of it. Where there are
    windows, components were fitted on them.
    """
    rows = table.raw[name][table.there[name] & ~table.dev]
    if name in table.windows:
        windows = table.windows[name]
        rows = windows.rows[windows.there & ~table.dev[windows.owner]].astype(np.float64)
    centred = rows - rows.mean(axis=0)
    size = np.sqrt((centred**2).sum(axis=0))
    alive = np.flatnonzero(size > EXACT_0 * size.max(initial=0.0))
    found = set()
    for column in columns:
        others = alive[alive != column]
        if len(others) < FEWEST or not size[column]:
            continue
        correlation = np.abs(centred[:, others].T @ centred[:, column]) / (size[others] * size[column])
        if (correlation <= UNCORRELATED).mean() >= COMPONENT:
            found.add(column)
    return found


def _alone(column: Floats, label: Codes, fold: Codes, classes: int) -> float:
    """Return the balanced accuracy of the commonest class of each of a column's bins, each half by the other."""
    edges = np.unique(np.quantile(column, np.linspace(0, 1, BINS + 1)[1:-1]))
    values = np.unique(column)
    edges = (values[1:] + values[:-1]) / 2 if len(values) <= BINS else edges
    bins = np.searchsorted(edges, column)
    share = np.bincount(label, minlength=classes)
    right = np.zeros(classes)
    for half in (0, 1):
        counts = np.zeros((len(edges) + 1, classes))
        np.add.at(counts, (bins[fold != half], label[fold != half]), 1.0)
        answer = (counts / np.maximum(share, 1)).argmax(axis=1)
        held = fold == half
        right += np.bincount(label[held], answer[bins[held]] == label[held], minlength=classes)
    return float(np.mean((right / np.maximum(share, 1))[share > 0]))


def _together(rows: Floats, label: Codes, classes: int) -> Codes:
    """Return the columns that are the label together: as many as classes, the largest of which names it, or those
    of which it is a linear function.
    """
    from scipy.optimize import linear_sum_assignment

    if rows.shape[1] == classes:
        counts = np.zeros((classes, classes))
        np.add.at(counts, (rows.argmax(axis=1), label), 1.0)
        recall = counts / np.maximum(np.bincount(label, minlength=classes), 1)
        one, two = linear_sum_assignment(-recall)
        if recall[one, two].mean() >= COLUMN:
            return np.arange(classes)
    centred = (rows - rows.mean(axis=0)) / np.maximum(rows.std(axis=0), 1e-12)
    fold = np.random.default_rng(0).permutation(len(rows)) % FOLDS
    weights, answer = np.zeros((FOLDS, rows.shape[1])), np.zeros(len(label))
    for number in range(FOLDS):
        fit = fold != number
        if fit.sum() <= 1.2 * rows.shape[1]:
            return np.zeros(0, dtype=np.int64)
        weights[number] = np.linalg.lstsq(centred[fit], label[fit] - label[fit].mean(), rcond=None)[0]
        answer[~fit] = centred[~fit] @ weights[number] + label[fit].mean()
    told = 1 - float(((label - answer) ** 2).sum() / max(((label - label.mean()) ** 2).sum(), 1e-12))
    if told < COMBINED:
        return np.zeros(0, dtype=np.int64)
    share = np.abs(weights).min(axis=0)
    return np.flatnonzero(share >= 0.2 * share.max())


def _correlations(rows: Floats, indicators: Floats) -> Floats:
    """Return the correlation of each column with each class, by size, shape (D, C)."""
    centred = rows - rows.mean(axis=0)
    marks = indicators - indicators.mean(axis=0)
    spread = np.sqrt((centred**2).sum(axis=0))[:, None] * np.sqrt((marks**2).sum(axis=0))[None]
    product: Floats = np.abs(centred.T @ marks)
    return product / np.where(spread > 1e-12, spread, np.inf)
