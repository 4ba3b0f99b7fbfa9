"""The streams as clouds of points: scale, effective rank, redundancy, drift, columns that are broken."""

from __future__ import annotations

from dataclasses import asdict, dataclass

import numpy as np
from dualstream.heads.data.batch import PAIR, FeatureSet, StreamArrays
from dualstream.heads.evaluation.folds import GroupBy, connected
from numpy.typing import NDArray

from dualstream.documents import JsonObject

DEAD_DEVIATION = 1e-7  # of a column, relative to the stream's typical column: below it the column is constant
DRIFT_FOLDS = 4
DRIFT_RIDGE = 0.1  # share of the mean variance
DRIFT_RANK = 30  # principal directions in which drift is looked for
DRIFT_WORTH_ASKING = 0.65  # of the area under the curve: below it nobody asks whether it is chance
DRIFT_DEALS = 99  # other ways to say which dialogues are dev
DRIFT_MOST_DEALS = 399  # where none of those is as high: enough for the DRIFT_ALPHA of the causes
CORRELATION_ROWS = 4_000  # from which correlations between columns are measured, evenly spaced among all
UNCORRELATED = 0.1  # root mean square of correlations, at which columns may be principal components
STEEP = 1.5  # times as many columns as share the variance: from there on whitening them changes much
DUPLICATE_TOLERANCE = 1e-6  # distance, relative to the typical distance, at which rows count as the same


@dataclass(frozen=True)
class Space:
    """One stream's utterance rows, train split unless said otherwise."""

    stream: str
    width: int
    scale: float
    """Root of the mean square of the values around their column means: the loudness of the stream."""
    scale_spread: float
    """Ratio of the 90th to the 10th percentile of the columns' deviations."""
    effective_rank: float
    """exp of the entropy of the covariance's spectrum (Roy and Vetterli 2007,
    https://www.eurasip.org/Proceedings/Eusipco/Eusipco2007/Papers/a5p-h05.pdf), 1 to `width`."""
    correlation: float
    """Root of the mean square of the correlations between columns, beyond what chance gives so many rows; of
    windows or of utterance rows, where it is smaller: 0 for principal components of these rows. NaN where there
    are too few rows or columns to tell."""
    steepness: float
    """Columns for each one that the variance is shared among (exp of the entropy of the columns' shares), of the
    same rows: 1 where all columns spread alike."""
    dead_columns: int
    """Columns that are constant over all present rows; 0 where no two rows are there to tell."""
    not_finite: int
    """Utterances with a value that is not finite, train and dev."""
    not_finite_columns: int
    """Columns that hold those values."""
    zero_rows: int
    """Utterances marked as present whose row is all zeros, train and dev."""
    drift_auc: float
    """How well a linear classifier tells dev from train rows, out of fold: 0.5 not at all, 1 fully."""
    drift_p_value: float
    """Chance of such a `drift_auc` where it was by lot which dialogues (or speakers) are dev; NaN where the
    figure was below DRIFT_WORTH_ASKING."""

    @property
    def components(self) -> bool:
        """Whether the columns look like principal components, which standardising whitens."""
        return self.correlation <= UNCORRELATED and self.steepness >= STEEP

    def to_json(self) -> JsonObject:
        """Return the values, NaN as None."""
        return {k: None if isinstance(v, float) and np.isnan(v) else v for k, v in asdict(self).items()}


def space(
    train: FeatureSet, dev: FeatureSet | None, name: str, *, by: GroupBy = "dialogue", seed: int = 0
) -> Space:
    """Measure the space of the stream `name`; `by` says what the folds of the drift keep whole."""
    stream = train.streams[name]
    rows = stream.utterance[stream.present].astype(np.float64)
    finite = np.isfinite(rows).all(axis=1)
    clean = rows[finite]
    centred = clean - clean.mean(axis=0) if len(clean) else clean
    deviation = centred.std(axis=0) if len(clean) else np.zeros(stream.width)
    typical = float(np.median(deviation[deviation > 0])) if (deviation > 0).any() else 0.0
    dead = (deviation <= DEAD_DEVIATION * max(typical, 1e-30)) & (len(clean) > 1)
    alive = deviation[~dead & (deviation > 0)]
    broken = zeros = 0
    broken_columns = np.zeros(stream.width, dtype=bool)
    for part in (train, dev):
        if part is not None:
            values = part.streams[name].utterance[part.streams[name].present]
            broken += int((~np.isfinite(values)).any(axis=1).sum())
            broken_columns |= (~np.isfinite(values)).any(axis=0)
            zeros += int((values == 0).all(axis=1).sum())
    correlation, steepness = _columns(stream)
    drift_auc, drift_p_value = _drift(train, dev, name, by, seed) if dev is not None else (np.nan, np.nan)
    return Space(
        stream=name,
        width=stream.width,
        scale=float(np.sqrt(np.mean(deviation**2))),
        scale_spread=float(np.quantile(alive, 0.9) / np.quantile(alive, 0.1)) if len(alive) else float("nan"),
        effective_rank=_effective_rank(centred),
        correlation=correlation,
        steepness=steepness,
        dead_columns=int(dead.sum()),
        not_finite=broken,
        not_finite_columns=int(broken_columns.sum()),
        zero_rows=zeros,
        drift_auc=drift_auc,
        drift_p_value=drift_p_value,
    )


def linear_cka(features: FeatureSet, streams: tuple[str, str] = PAIR) -> float:
    """Return the redundancy of the rows of two streams: linear CKA, debiased, about 0 to 1.

    Kornblith et al. 2019, https://arxiv.org/abs/1905.00414, with the unbiased HSIC estimator of Song et
    al. 2012, https://jmlr.org/papers/v13/song12a.html, as plain CKA of wide features on few rows is near 1
    for independent streams. NaN where fewer than 10 utterances have both streams.
    """
    video, audio = (features.streams[name] for name in streams)
    both = video.present & audio.present
    x, y = video.utterance[both].astype(np.float64), audio.utterance[both].astype(np.float64)
    finite = np.isfinite(x).all(axis=1) & np.isfinite(y).all(axis=1)
    if finite.sum() < 10:
        return float("nan")
    x, y = _standard(x[finite]), _standard(y[finite])
    xy, xx, yy = _hsic(x, y), _hsic(x, x), _hsic(y, y)
    return float(xy / np.sqrt(xx * yy)) if xx > 0 and yy > 0 else float("nan")


def copied_rows(train: FeatureSet, dev: FeatureSet) -> int:
    """Return how many dev utterances have the very features of a train utterance, in every stream."""
    names = sorted(set(train.streams) & set(dev.streams))

    def rows(part: FeatureSet) -> NDArray[np.float64]:
        return np.concatenate([part.streams[name].utterance for name in names], axis=1).astype(np.float64)

    here, there = rows(train), rows(dev)
    scale = np.nanstd(np.where(np.isfinite(here), here, np.nan), axis=0)
    scale = np.where(scale > 0, scale, 1.0) * DUPLICATE_TOLERANCE * 10
    # Equal rows fall in equal cells; a row of zeros is a missing stream, not a copy
    known = {cell.tobytes() for cell in np.round(np.nan_to_num(here / scale)) if cell.any()}
    return sum(cell.tobytes() in known for cell in np.round(np.nan_to_num(there / scale)) if cell.any())


def _standard(rows: NDArray[np.float64]) -> NDArray[np.float64]:
    deviation = rows.std(axis=0)
    return (rows - rows.mean(axis=0)) / np.where(deviation > 1e-12, deviation, np.inf)


def _hsic(x: NDArray[np.float64], y: NDArray[np.float64]) -> float:
    """Return the unbiased HSIC of linear kernels from feature-side products alone, up to a constant."""
    count = len(x)
    cross = float(((x.T @ y) ** 2).sum())
    x_own, y_own = (x**2).sum(axis=1), (y**2).sum(axis=1)
    cross -= float(x_own @ y_own)  # sum of K̃∘L̃ with empty diagonals
    x_sum, y_sum = x @ x.sum(axis=0) - x_own, y @ y.sum(axis=0) - y_own  # row sums of K̃ and L̃
    return cross + x_sum.sum() * y_sum.sum() / ((count - 1) * (count - 2)) - 2 / (count - 2) * float(x_sum @ y_sum)


def _columns(stream: StreamArrays) -> tuple[float, float]:
    """Return `Space.correlation` and `Space.steepness`, of the rows whose columns correlate least."""
    levels = [stream.utterance[stream.present]]
    if stream.windows is not None and stream.window_present is not None:
        levels.append(stream.windows[stream.window_present])
    measured = [_decorrelated(rows[np.isfinite(rows).all(axis=1)].astype(np.float64)) for rows in levels]
    return min(measured, key=lambda pair: np.nan_to_num(pair[0], nan=np.inf))


def _decorrelated(rows: NDArray[np.float64]) -> tuple[float, float]:
    rows = rows[:: max(1, len(rows) // CORRELATION_ROWS)]
    if len(rows) < 10:
        return float("nan"), float("nan")
    deviation = rows.std(axis=0)
    alive = deviation > DEAD_DEVIATION * deviation.max()
    count = int(alive.sum())
    if count < 2:
        return float("nan"), float("nan")
    standard = _standard(rows[:, alive])
    # Of both products the smaller one: the squares of all entries sum up to the same
    product = standard.T @ standard if count <= len(rows) else standard @ standard.T
    square = ((product / len(rows)) ** 2).sum()
    mean_square = (square - count) / (count * (count - 1))
    share = deviation[alive] ** 2 / (deviation[alive] ** 2).sum()
    spread_over = np.exp(-np.sum(share * np.log(share)))
    return float(np.sqrt(max(0.0, mean_square - 1 / (len(rows) - 1)))), float(count / spread_over)


def _effective_rank(centred: NDArray[np.float64]) -> float:
    if len(centred) < 2:
        return float("nan")
    values = np.clip(np.linalg.eigvalsh(centred.T @ centred), 0, None)
    if values.sum() <= 0:
        return float("nan")
    share = values / values.sum()
    return float(np.exp(-np.sum(share * np.log(np.maximum(share, 1e-300)))))


def _drift(train: FeatureSet, dev: FeatureSet, name: str, by: GroupBy, seed: int) -> tuple[float, float]:
    """Return the area under the ROC curve of dev against train, out of fold, and its chance.

    Folds and the deals that tell the chance keep dialogues or speakers whole: a few dialogues always differ
    from a few others.
    """
    parts: list[NDArray[np.float64]] = []
    labels: list[NDArray[np.int64]] = []
    groups: list[NDArray[np.int64]] = []
    base = 0
    for code, part in enumerate((train, dev)):
        stream = part.streams[name]
        use = stream.present & np.isfinite(stream.utterance).all(axis=1)
        parts.append(stream.utterance[use].astype(np.float64))
        labels.append(np.full(use.sum(), code, dtype=np.int64))
        dialogue = part.dialogue + base  # dialogues are numbered in each split anew
        groups.append(np.stack((part.speaker, dialogue))[:, use])
        base += int(part.dialogue.max(initial=0)) + 1
    rows, label = np.concatenate(parts), np.concatenate(labels)
    speaker, dialogue = np.concatenate(groups, axis=1)
    group = connected(speaker, dialogue) if by == "speaker" else dialogue
    names, group = np.unique(group, return_inverse=True)
    if min(np.bincount(label, minlength=2)) < 20 or len(names) < 2 * DRIFT_FOLDS:
        return float("nan"), float("nan")
    rows = _standard(rows)
    values, vectors = np.linalg.eigh(rows.T @ rows)
    rows = rows @ vectors[:, np.argsort(values)[::-1][:DRIFT_RANK]]
    rng = np.random.default_rng(seed)
    fold = (rng.permutation(len(names)) % DRIFT_FOLDS)[group]
    auc = _held_out_auc(rows, label, fold)
    if np.isnan(auc) or auc < DRIFT_WORTH_ASKING:
        return auc, float("nan")
    of_group = np.zeros(len(names), dtype=np.int64)
    of_group[group] = label
    higher, deals = 0, 0
    while deals < (DRIFT_DEALS if higher else DRIFT_MOST_DEALS):  # more, where the first ones show none as high
        higher += _held_out_auc(rows, rng.permutation(of_group)[group], fold) >= auc
        deals += 1
    return auc, float((1 + higher) / (1 + deals))


def _held_out_auc(rows: NDArray[np.float64], label: NDArray[np.int64], fold: NDArray[np.int64]) -> float:
    """Return the area under the curve of a shrunk linear discriminant, each fold scored by the others.

    NaN where nothing can be scored: too few rows in every fold, or all rows alike.
    """
    aucs, weights = [], []
    for held in range(DRIFT_FOLDS):
        fit, test = fold != held, fold == held
        ones, zeros = rows[fit & (label == 1)], rows[fit & (label == 0)]
        positive = int((label[test] == 1).sum())
        if len(ones) < 2 or len(zeros) < 2 or positive in (0, int(test.sum())):
            continue
        within = np.cov(zeros.T) * (len(zeros) / (len(zeros) + len(ones)))
        within = within + np.cov(ones.T) * (len(ones) / (len(zeros) + len(ones)))
        within = np.atleast_2d(within)
        ridge = DRIFT_RIDGE * np.trace(within) / len(within) or 1.0  # rows of each side may be all alike
        apart = ones.mean(axis=0) - zeros.mean(axis=0)
        if not apart.any():
            continue
        score = rows[test] @ np.linalg.solve(within + ridge * np.eye(len(within)), apart)
        aucs.append(_auc(score, label[test]))
        weights.append(test.sum())
    return float(np.average(aucs, weights=weights)) if aucs else float("nan")


def _auc(score: NDArray[np.float64], label: NDArray[np.int64]) -> float:
    order = np.argsort(score, kind="stable")
    ranks = np.empty(len(score))
    ranks[order] = np.arange(1, len(score) + 1)
    ones = int((label == 1).sum())
    return float((ranks[label == 1].sum() - ones * (ones + 1) / 2) / (ones * (len(label) - ones)))
