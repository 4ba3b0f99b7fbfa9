"""One voice is one face: what is seen of a voice is put together over all that it says in a shot.

A scorer prefers some faces to others, whoever talks, so that a turn may point to the wrong face however long it
is. But a voice belongs to one face, and another voice to another one: two turns of which the first says "perhaps
the left one" and the second "surely the left one" are most likely one of each, if the voices differ. So the sound
is cut into stretches of one voice (turns.py), every way to give them to the faces is weighed, and a face's chance
in a stretch is what all ways say together:

    stretch                      1        2        3
    lead of the left face      +7.2     +2.6     +5.0
    likeliest, voices 1 = 3:   left     right    left

A way's weight is the likelihood of the scores, each the sum of what its face scores by talking, what it scores
throughout and chance (scoring.ScoreModel), times that of the sound: stretches of one face are of one voice. So
a voice says little where voices are hard to tell apart, and strong scores may contradict it. A stretch may belong
to nobody in view, too; and one of two voices that scores tell apart may begin where the sound tells of no change.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from dualstream.features.faces.scoring import ScoreModel
from dualstream.features.faces.turns import Sums, changes, together
from numpy.typing import NDArray

NATS_PER_PENALTY = 4.0  # the rows of a voice are far from independent: what a Gaussian's penalty is worth
VOICE_PENALTIES = 2.05  # charged for a further voice
OUTSIDE_NATS = 3.0  # charged for a stretch of nobody in view
SHORTEST_TICKS = 12  # of a stretch
MOST_WAYS = 8192


@dataclass(frozen=True, repr=False)
class Pooled:
    """Whose each stretch of a piece of sound is."""

    stretch: NDArray[np.int64]
    """The number of each tick's stretch, shape (N,)."""
    chance: NDArray[np.float64]
    """Of each stretch to be of each face, and of nobody in view, shape (K, F + 1); NaN where all faces rest."""

    def over(self, ticks: NDArray[np.bool_]) -> NDArray[np.float64] | None:
        """Return the mean chances over some of the ticks, shape (F + 1,); None where all faces rest in all."""
        chance = self.chance[self.stretch[ticks]]
        chance = chance[np.isfinite(chance[:, 0])]
        return np.asarray(chance.mean(axis=0)) if len(chance) else None

    def meet(self, ticks: NDArray[np.bool_]) -> bool:
        """Return whether stretches of two faces meet in some of the ticks."""
        best = np.nan_to_num(self.chance[self.stretch[ticks]])[:, :-1].argmax(axis=1)
        return bool((best != best[0]).any())


def pool(scores: NDArray[np.float64], cepstra: NDArray[np.float64], model: ScoreModel) -> Pooled:
    """Weigh every way to give stretches of one voice to the faces of a shot.

    Parameters
    ----------
    scores
        Of each face, at ticks with a voice at which all of them are seen, shape (F, N).
    cepstra
        Of the same ticks, shape (N, R, D).
    """
    faces, ticks = scores.shape
    up_to = Sums.up_to(cepstra)
    edges = sorted({0, ticks, *changes(up_to), *_lead_changes(scores, model.change)})
    most = max(1, int(np.log(MOST_WAYS) / np.log(faces + 1)))
    starts = np.array(_long_enough(edges, most)[:-1])
    ends = np.append(starts[1:], ticks)
    stretch = np.repeat(np.arange(len(starts)), ends - starts)
    means = np.add.reduceat(scores, starts, axis=1).T / (ends - starts)[:, None]  # (K, F)
    chance = np.full((len(starts), faces + 1), np.nan)
    if (talks := means.max(axis=1) >= model.resting).any():
        chance[talks] = _chances(
            means[talks], ends[talks] - starts[talks], up_to.between(starts, ends)[talks], model
        )
    return Pooled(stretch, chance)


def _chances(
    means: NDArray[np.float64], ticks: NDArray[np.int64], sound: Sums, model: ScoreModel
) -> NDArray[np.float64]:
    """Return the chances of stretches of so many ticks, of their mean scores, shape (K, F), and their sound."""
    stretches, faces = means.shape
    ways = np.indices((faces + 1,) * stretches).reshape(stretches, -1).T  # (W, K)
    weight = _seen(means, ticks, ways, model) - OUTSIDE_NATS * (ways == faces).sum(axis=1)
    weight += NATS_PER_PENALTY * _heard(sound, ways, faces + 1)
    share = np.exp(weight - weight.max())
    chance = np.stack([np.where(ways == one, share[:, None], 0).sum(axis=0) for one in range(faces + 1)], axis=1)
    return np.asarray(chance / share.sum())


def _lead_changes(scores: NDArray[np.float64], cost: float) -> list[int]:
    """Return where another face begins to lead, by a path that pays for each change."""
    total, came_from = scores[:, 0], []
    for row in scores.T[1:]:
        best = int(total.argmax())
        came_from.append(np.where(total >= total[best] - cost, np.arange(len(total)), best))
        total = np.maximum(total, total[best] - cost) + row
    path = [int(total.argmax())]
    for before in reversed(came_from):
        path.append(int(before[path[-1]]))
    return [int(one) + 1 for one in np.flatnonzero(np.diff(path[::-1]))]


def _long_enough(edges: list[int], most: int) -> list[int]:
    """Join the shortest stretch to the shorter one beside it, until all are long enough and there are few."""
    edges = list(edges)
    while len(edges) > 2:
        lengths = np.diff(edges)
        short = int(lengths.argmin())
        if lengths[short] >= SHORTEST_TICKS and len(lengths) <= most:
            break
        last = short == len(lengths) - 1
        before = short > 0 and (last or lengths[short - 1] <= lengths[short + 1])
        del edges[short if before else short + 1]
    return edges


def _seen(
    means: NDArray[np.float64], ticks: NDArray[np.int64], ways: NDArray[np.int64], model: ScoreModel
) -> NDArray[np.float64]:
    """Return the log-likelihood of the stretches' mean scores, shape (K, F), in each way."""
    stretches, faces = means.shape
    chance = model.stretch**2 + model.tick**2 * model.settled_ticks / (ticks + model.settled_ticks)
    shared = np.ones((stretches, stretches)) * model.face**2 + np.diag(chance)
    inverse = np.linalg.inv(shared)  # of the scores' differences between faces, up to the contrast
    talking = model.talking * np.eye(faces + 1)[:, :faces][ways]  # (W, K, F)
    rest = means - talking
    rest -= rest.mean(axis=2, keepdims=True)
    return np.asarray(-0.5 * np.einsum("wkf,kl,wlf->w", rest, inverse, rest))


def _heard(stretches: Sums, ways: NDArray[np.int64], faces: int) -> NDArray[np.float64]:
    """Return the log-likelihood of the sound in each way, in penalties: each face's stretches are of one voice."""
    said = together(stretches)
    said[1:] -= VOICE_PENALTIES
    bits = 2 ** np.arange(ways.shape[1])
    return np.asarray(sum(said[np.where(ways == one, bits, 0).sum(axis=1)] for one in range(faces)))


def pieces(first: int, end: int, longest: int) -> Sequence[tuple[int, int]]:
    """Cut a shot's ticks evenly into pieces of at most `longest`."""
    count = max(1, -(-(end - first) // longest))
    edges = [first + (end - first) * one // count for one in range(count + 1)]
    return list(pairwise(edges))
