"""Rows of a stream with both splits treated alike, where one was treated otherwise: what a remedy is measured on.

Principal components that were fitted on each split point in directions of their own. The other streams tell which
directions of dev are which of train's, without any label: the turn that makes columns of dev covary with the other
streams as train's do (orthogonal Procrustes, Schönemann 1966, https://doi.org/10.1007/BF02289451).
"""

from __future__ import annotations

import numpy as np
from dualstream.heads.diagnosis.signs.split_treatment import SplitTreatment
from dualstream.heads.diagnosis.signs.table import Codes, Floats, Mask, Table

WORDS = {
    "speakers": "normalise the speakers of both splits by themselves",
    "directions": "turn dev's columns until they go with the other streams as train's do",
    "components": "turn dev's columns until they go with the other streams as train's do",
    "centred": "centre both splits by themselves",
    "deviation": "divide both splits by their own deviations",
    "maximum": "divide both splits by their own largest values",
}
NEAR_1 = 0.01  # of a deviation of 1: the speakers were standardised, and not only centred


def treated_alike(table: Table, one: SplitTreatment) -> Floats | None:
    """Return a stream's rows (N, D) with both splits treated in one way; None where that can't be done."""
    there, rows = table.there[one.stream], table.raw[one.stream]
    parts = [there & ~table.dev, there & table.dev]
    if one.kind in ("components", "directions"):
        return _turned(table, one.stream, parts)
    if one.of == "each" or one.kind == "spread":
        return None
    mine, other = parts if one.of == "train" else parts[::-1]
    if one.kind == "speakers":
        return _by_speaker(rows, table.speaker, mine, other)
    rows = rows.copy()
    rest = rows[other]
    if one.kind == "maximum":
        rows[other] = rest / _or_1(np.abs(rest).max(axis=0))
    elif one.kind == "deviation":
        rows[other] = rest / _or_1(rest.std(axis=0))
    else:
        rows[other] = rest - rest.mean(axis=0)
    return rows


def _by_speaker(rows: Floats, speaker: Codes, mine: Mask, other: Mask) -> Floats:
    """Return rows with the speakers of `other` normalised as those of `mine` are."""
    own = [rows[mine & (speaker == code)].std(axis=0) for code in np.unique(speaker[mine & (speaker >= 0)])]
    scaled = bool(np.abs(np.median(np.stack(own), axis=0) - 1).max() <= NEAR_1)
    rows = rows.copy()
    for code in np.unique(speaker[other & (speaker >= 0)]):
        at = other & (speaker == code)
        rows[at] = (rows[at] - rows[at].mean(axis=0)) / (_or_1(rows[at].std(axis=0)) if scaled else 1.0)
    return rows


def _turned(table: Table, name: str, parts: list[Mask]) -> Floats | None:
    others = [other for other in table.raw if other != name]
    if not others:
        return None
    beside = np.concatenate([table.components(other) for other in others], axis=1)
    rows = table.raw[name].copy()
    centred = [rows[part] - rows[part].mean(axis=0) for part in parts]
    of_train, of_dev = (
        own.T @ (beside[part] - beside[part].mean(axis=0)) / len(own)
        for own, part in zip(centred, parts, strict=True)
    )
    left, _, right = np.linalg.svd(of_dev @ of_train.T)
    rows[parts[1]] = centred[1] @ (left @ right) + rows[parts[0]].mean(axis=0)
    return rows


def _or_1(values: Floats) -> Floats:
    return np.where(values > 0, values, 1.0)
