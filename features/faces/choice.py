"""Which face a window's row shows: the one alone, the largest, or the one that leads the others by a margin.

A scorer's sign decides nothing: a third of the faces that rest score above 0. So the faces of a shot are compared
with one another on the ticks with a voice, in the window and `context_s` around it. A face alone is taken, with
its score; where two are nearer than the margin, nobody is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.features.faces.rows import ALONE, BY_MARGIN, LARGEST, NO_FACE, OUT_OF_VIEW, UNDECIDED
from dualstream.features.faces.scoring import SAMPLE_RATE_HZ, TICKS_PER_S, SpeakerScorer
from dualstream.features.faces.voice import TICK, levels_db, voiced
from dualstream.features.faces.watching import Seen
from numpy.typing import NDArray


@dataclass(frozen=True)
class Choice:
    """What is shown in one window."""

    state: int
    """An index into rows.STATES."""
    seen: Seen | None = None
    """The chosen face."""
    score: float = float("nan")
    margin: float = float("nan")
    in_view: int = 0


@dataclass(frozen=True, repr=False)
class Voices:
    """Each track's score at each tick of the clip."""

    scores: dict[int, NDArray[np.float64]]
    """By the track's number, shape (ticks,); NaN where it is not seen, or nothing can be said."""
    voice: NDArray[np.bool_]
    """Ticks with a voice, shape (ticks,)."""

    def mean(self, seen: Seen, ticks: NDArray[np.bool_]) -> float:
        """Return a track's mean score over some ticks with a voice; NaN where there are none."""
        if seen.track.number not in self.scores:
            return float("nan")
        values = self.scores[seen.track.number][ticks & self.voice]
        values = values[np.isfinite(values)]
        return float(values.mean()) if len(values) else float("nan")


def listen(faces: Sequence[Seen], scorer: SpeakerScorer, audio: NDArray[np.float32] | None) -> Voices:
    """Score every face against the sound of its clip, mono at SAMPLE_RATE_HZ; without sound nothing is scored."""
    ends = [one.first_tick + len(one.grey) for one in faces]
    ticks = max(ends, default=0)
    if audio is None or not ticks:
        return Voices({}, np.zeros(ticks, np.bool_))
    scores = {}
    for one in faces:
        if one.grey:
            values = np.full(ticks, np.nan)
            said = scorer.score(np.stack(one.grey), audio[one.first_tick * TICK :])
            values[one.first_tick : one.first_tick + len(said)] = said
            scores[one.track.number] = values
    return Voices(scores, voiced(levels_db(audio, ticks)))


def largest(faces: Sequence[Seen], target: int) -> Choice:
    """Return the largest face in the picture of a wanted instant."""
    there = [one for one in faces if target in one.shown]
    if not there:
        return Choice(NO_FACE)
    best = max(there, key=lambda one: (one.shown[target].place.side, -one.track.number))
    return Choice(LARGEST, best, in_view=len(there))


def speaker(
    faces: Sequence[Seen],
    voices: Voices,
    *,
    shot: int,
    target: int,
    span_s: tuple[float, float],
    context_s: float,
    least_margin: float,
) -> Choice:
    """Return the face that talks in a window, among those of the shot of its picture.

    Parameters
    ----------
    shot, target
        Of the window's picture: its shot, and the number of its wanted instant.
    span_s
        The window, seconds.
    """
    rivals = [
        one
        for one in faces
        if one.track.shot == shot and one.track.start_s < span_s[1] and one.track.end_s > span_s[0]
    ]
    in_view = sum(target in one.shown for one in rivals)
    if not rivals:
        return Choice(NO_FACE)
    ticks = np.arange(len(voices.voice)) / TICKS_PER_S
    near = (ticks >= span_s[0] - context_s) & (ticks < span_s[1] + context_s)
    if len(rivals) == 1:
        (only,) = rivals
        score = voices.mean(only, near)
        return Choice(ALONE if in_view else OUT_OF_VIEW, only if in_view else None, score, in_view=in_view)
    ranked = sorted(((_mean(voices, one, near), -one.track.number, one) for one in rivals), reverse=True)
    best_score, _, best = ranked[0]
    margin = best_score - ranked[1][0]
    if not margin >= least_margin or np.isinf(best_score):
        return Choice(UNDECIDED, None, _number(best_score), _number(margin), in_view)
    if target not in best.shown:
        return Choice(OUT_OF_VIEW, None, best_score, _number(margin), in_view)
    return Choice(BY_MARGIN, best, best_score, _number(margin), in_view)


def _mean(voices: Voices, one: Seen, near: NDArray[np.bool_]) -> float:
    value = voices.mean(one, near)
    return value if np.isfinite(value) else -np.inf


def _number(value: float) -> float:
    return value if np.isfinite(value) else float("nan")


assert SAMPLE_RATE_HZ == TICK * TICKS_PER_S
