"""Speaker normalisation: each speaker's columns centred and scaled by that speaker's own utterances.

This is TRANSDUCTIVE: to answer for a new speaker, utterances of that speaker have been looked at, though
not their labels. A score made so holds where a batch of the speaker's recordings is at hand, not for the
first sentence of a stranger. Every table says so, in the words of `LABEL`.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.data.speaker_moments import spread_of
from numpy.typing import NDArray

from dualstream.cores import one_blas_thread

LABEL = "transductive: normalised per speaker from unlabelled utterances"
PRIOR_UTTERANCES = 5.0
"""Utterances that all speakers' mean and variance count for next to a speaker's own."""

Floats = NDArray[np.float64]


@one_blas_thread()
def normalise_speakers(
    features: FeatureSet,
    part: NDArray[np.int64] | None = None,
    *,
    prior_utterances: float = PRIOR_UTTERANCES,
) -> FeatureSet:
    """Return `features` with every speaker's columns centred and scaled, within each part by itself.

    A speaker's mean and variance are drawn towards those of all speakers of the part, as if
    `prior_utterances` more utterances had shown those; utterances of unknown speakers (code -1) take
    the part's. Rows that are not finite stay as they are and have no part in any mean. Windows are
    normalised by the speaker's windows, each utterance weighing the same.

    Parameters
    ----------
    features
        N utterances.
    part
        Code of what may be looked at together, such as the split, shape (N,): no part sees another's
        rows. None: all are one part.
    prior_utterances
        0 or more.
    """
    if not prior_utterances >= 0:
        raise ValueError(f"prior_utterances is {prior_utterances}; expected 0 or more")
    if part is None:
        part = np.zeros(len(features), np.int64)
    if part.shape != (len(features),):
        raise ValueError(f"parts have shape {part.shape}; expected ({len(features)},)")
    lengths = np.diff(features.offsets)
    streams = {}
    for name, stream in features.streams.items():
        once = np.ones(len(features))
        rows = _by_speaker(stream.utterance, stream.present, part, features.speaker, once, prior_utterances)
        windows = stream.windows
        if windows is not None and stream.window_present is not None:
            seen = stream.window_present.astype(np.float64)
            of = np.repeat(np.arange(len(features)), lengths)
            share = 1 / np.maximum(np.bincount(of, weights=seen, minlength=len(features)), 1)
            windows = _by_speaker(
                windows, stream.window_present, part[of], features.speaker[of], share[of], prior_utterances
            )
        streams[name] = replace(stream, utterance=rows, windows=windows)
    return replace(features, streams=streams)


def _by_speaker(
    rows: NDArray[np.float32],
    present: NDArray[np.bool_],
    part: NDArray[np.int64],
    speaker: NDArray[np.int64],
    weight: Floats,
    prior: float,
) -> NDArray[np.float32]:
    finite = np.isfinite(rows).all(axis=1)
    # what is not finite stays so, to be refused or masked by name, and spoils nobody else's mean
    answer = np.where((present & ~finite)[:, None], rows, np.zeros_like(rows))
    present = present & finite
    for code in np.unique(part[present]):
        inside = np.flatnonzero(present & (part == code))
        mean, variance, _ = _moments(rows[inside], weight[inside])
        order = inside[np.argsort(speaker[inside], kind="stable")]
        starts = np.flatnonzero(np.diff(speaker[order], prepend=-2))
        for mine in np.split(order, starts[1:]):
            centre, bend = mean, variance
            if speaker[mine[0]] >= 0:
                own_mean, own_variance, total = _moments(rows[mine], weight[mine])
                share = total / (total + prior)
                centre = share * own_mean + (1 - share) * mean
                # around the centre in use: what is within the speaker, and what lies between the two means
                bend = share * own_variance + (1 - share) * (variance + share * (own_mean - mean) ** 2)
            spread = spread_of(centre, bend)
            flat = spread == 0
            answer[mine] = np.where(flat, 0, (rows[mine] - centre) / np.where(flat, 1, spread))
    return answer


def _moments(rows: NDArray[np.float32], weight: Floats) -> tuple[Floats, Floats, float]:
    total = float(weight.sum())
    mean = weight @ rows.astype(np.float64) / total
    return mean, weight @ (rows - mean) ** 2 / total, total
