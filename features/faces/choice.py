"""Which face a window's row shows: the one alone, the largest, or the one that leads the others by a margin.

A scorer's sign decides nothing: a third of the faces that rest score above 0. So the faces of a shot are compared
with one another on the ticks with a voice. Where the scorer says how its scores are spread, over all that the
window's voice says in the shot, and all that other voices say (pooling.py). Otherwise, and where turns of two
faces meet in the window and neither leads so, in the window and some context around it, and where that leaves two
nearer than the margin, in a wider context, since a turn lasts longer than a window. A face alone is taken, with
its score, unless that is below a bound that was asked for; where two are nearer than the margin, nobody is, nor
where the sound fits the shot no better than shifted sound does (fit.py).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from dualstream.features.faces.cepstra import cepstra
from dualstream.features.faces.fit import LaggedScores, fit
from dualstream.features.faces.pooling import Pooled, pieces, pool
from dualstream.features.faces.rows import ALONE, BY_MARGIN, LARGEST, NO_FACE, OUT_OF_VIEW, UNDECIDED
from dualstream.features.faces.scoring import (
    SAMPLE_RATE_HZ,
    TICKS_PER_S,
    LaggedScorer,
    ScoreModel,
    SpeakerScorer,
    model_of,
)
from dualstream.features.faces.voice import TICK, levels_db, voiced
from dualstream.features.faces.watching import Seen
from numpy.typing import NDArray

PIECE_TICKS = 15 * TICKS_PER_S  # of a shot, at most, over which voices are pooled
LEAST_CHANCE = 1e-9


@dataclass(frozen=True)
class ChosenFace:
    """What is shown in one window."""

    state: int
    """An index into rows.STATES."""
    seen: Seen | None = None
    """The chosen face."""
    score: float = float("nan")
    margin: float = float("nan")
    in_view: int = 0
    rivals: tuple[Seen, ...] = ()
    """Of an undecided window: the faces in its picture that the best one does not lead by the margin."""


@dataclass(frozen=True, repr=False)
class TrackScores:
    """Each track's score at each tick that it is seen at; no memory for ticks at which it is not."""

    scores: dict[int, NDArray[np.float64]]
    """By the track's number, from its `first_tick` on, shape (ticks,); NaN where nothing can be said."""
    voice: NDArray[np.bool_]
    """Ticks of the clip with a voice, shape (ticks,)."""
    lagged: dict[int, LaggedScores] = field(default_factory=dict)
    """By the track's number, where the scorer tells: how well each fits shifted sound."""
    least_fit: float = float("-inf")
    """A shot of several faces must fit its sound by this much (fit.py)."""
    model: ScoreModel | None = None
    """How scores are spread, where the scorer says; None: nothing is pooled by voice."""
    audio: NDArray[np.float32] | None = None
    """The clip's sound, for voices to be told apart."""
    _pooled: dict[tuple[int, ...], tuple[NDArray[np.int64], Pooled] | None] = field(
        default_factory=dict, init=False
    )
    """By first tick, end, and the numbers of the faces."""

    def mean(self, seen: Seen, first: int, end: int) -> float:
        """Return a track's mean score over ticks `first` to `end` with a voice; NaN where there are none."""
        if seen.track.number not in self.scores:
            return float("nan")
        scores = self.scores[seen.track.number]
        first, end = max(first, seen.first_tick), min(end, seen.first_tick + len(scores))
        if first >= end:
            return float("nan")
        values = scores[first - seen.first_tick : end - seen.first_tick][self.voice[first:end]]
        values = values[np.isfinite(values)]
        return float(values.mean()) if len(values) else float("nan")

    def pooled(
        self, rivals: Sequence[Seen], shot: tuple[int, int], span: tuple[int, int]
    ) -> tuple[NDArray[np.float64], bool] | None:
        """Return each rival's chance to talk in a window, and that nobody of them does, shape (F + 1,).

        Parameters
        ----------
        shot, span
            First tick and end of the shot, and of the window.

        Returns
        -------
        With it, whether turns of two faces meet in the window. None where the scorer does not say how its scores
        are spread, at none of the window's ticks with a voice all rivals are scored, or all of them rest.
        """
        if self.model is None:
            return None
        middle = min(max((span[0] + span[1]) // 2, shot[0]), shot[1] - 1)
        piece = next(one for one in pieces(*shot, PIECE_TICKS) if middle < one[1])
        key = (*piece, *(one.track.number for one in rivals))
        if key not in self._pooled:
            self._pooled[key] = self._pool(rivals, piece, self.model)
        if (found := self._pooled[key]) is None:
            return None
        at, pooled = found
        there = (at >= span[0]) & (at < span[1])
        chances = pooled.over(there)
        return None if chances is None else (chances, pooled.meet(there))

    def _pool(
        self, rivals: Sequence[Seen], piece: tuple[int, int], model: ScoreModel
    ) -> tuple[NDArray[np.int64], Pooled] | None:
        """Return the ticks of a piece with a voice at which all rivals are scored, and whose they are."""
        first, end = piece
        scores = np.full((len(rivals), end - first), np.nan)
        for row, one in zip(scores, rivals, strict=True):
            known = self.scores.get(one.track.number, np.zeros(0))
            a, b = max(first, one.first_tick), min(end, one.first_tick + len(known))
            if a < b:
                row[a - first : b - first] = known[a - one.first_tick : b - one.first_tick]
        good = np.isfinite(scores).all(axis=0) & self.voice[first:end]
        if self.audio is None or not good.any():
            return None
        rows = cepstra(self.audio[first * TICK :], end - first)
        return first + np.flatnonzero(good), pool(scores[:, good], rows[good], model)


def listen(faces: Sequence[Seen], scorer: SpeakerScorer, audio: NDArray[np.float32] | None) -> TrackScores:
    """Score every face against the sound of its clip, mono at SAMPLE_RATE_HZ; without sound nothing is scored."""
    ends = [one.first_tick + len(one.grey) for one in faces]
    ticks = max(ends, default=0)
    if audio is None or not ticks:
        return TrackScores({}, np.zeros(ticks, np.bool_))
    scores: dict[int, NDArray[np.float64]] = {}
    lagged: dict[int, LaggedScores] = {}
    for one in (one for one in faces if one.grey):
        number, crops, heard = one.track.number, np.stack(one.grey), audio[one.first_tick * TICK :]
        if not isinstance(scorer, LaggedScorer):
            scores[number] = scorer.score(crops, heard)
            continue
        scores[number], by_lag = scorer.score_lags(crops, heard)
        if (smooth := LaggedScores.of(one.first_tick, by_lag)) is not None:
            lagged[number] = smooth
    least_fit = scorer.least_fit if isinstance(scorer, LaggedScorer) else float("-inf")
    return TrackScores(scores, voiced(levels_db(audio, ticks)), lagged, least_fit, model_of(scorer), audio)


def largest(faces: Sequence[Seen], target: int) -> ChosenFace:
    """Return the largest face in the picture of a wanted instant."""
    there = [one for one in faces if target in one.shown]
    if not there:
        return ChosenFace(NO_FACE)
    best = max(there, key=lambda one: (one.shown[target].place.side, -one.track.number))
    return ChosenFace(LARGEST, best, in_view=len(there))


def speaker(
    faces: Sequence[Seen],
    voices: TrackScores,
    *,
    shot: int,
    target: int,
    span_s: tuple[float, float],
    contexts_s: Sequence[float],
    least_margin: float,
    least_alone: float | None = None,
) -> ChosenFace:
    """Return the face that talks in a window, among those of the shot of its picture.

    Parameters
    ----------
    shot, target
        Of the window's picture: its shot, and the number of its wanted instant.
    span_s
        The window, seconds.
    contexts_s
        How much to each side of the window is compared, the narrowest first: the first that decides counts.
    least_alone
        What a face that is alone must score, where anything can be scored; None: it is taken.
    """
    rivals = [
        one
        for one in faces
        if one.track.shot == shot and one.track.start_s < span_s[1] and one.track.end_s > span_s[0]
    ]
    in_view = sum(target in one.shown for one in rivals)
    if not rivals:
        return ChosenFace(NO_FACE)
    nears = [(first_tick_from(span_s[0] - one), first_tick_from(span_s[1] + one)) for one in contexts_s]
    if len(rivals) == 1:
        (only,) = rivals
        score = voices.mean(only, *nears[0])
        if in_view and least_alone is not None and score < least_alone:
            return ChosenFace(UNDECIDED, None, score, in_view=in_view, rivals=(only,))
        return ChosenFace(ALONE if in_view else OUT_OF_VIEW, only if in_view else None, score, in_view=in_view)
    span = first_tick_from(span_s[0]), first_tick_from(span_s[1])
    ranked = _by_voice(rivals, voices, _extent(faces, shot), span)
    if ranked is None or (ranked.meet and not ranked.margin >= least_margin):
        ranked = _by_window(rivals, voices, nears, least_margin)
    best, margin = ranked.best, ranked.margin
    score = _mean(voices, best, nears[0])
    fits = least_margin <= 0 or not fit(_of_shot(faces, voices, shot), voices.voice, span) < voices.least_fit
    if not fits or not margin >= least_margin:
        near_best = tuple(
            one
            for one, behind in ranked.behind
            if target in one.shown and (not fits or not np.isfinite(margin) or behind < least_margin)
        )
        return ChosenFace(UNDECIDED, None, _number(score), _number(margin), in_view, near_best)
    if target not in best.shown:
        return ChosenFace(OUT_OF_VIEW, None, _number(score), _number(margin), in_view)
    return ChosenFace(BY_MARGIN, best, _number(score), _number(margin), in_view)


@dataclass(frozen=True, repr=False)
class _Ranking:
    margin: float
    """Of the best face; NaN where nothing was scored."""
    behind: list[tuple[Seen, float]]
    """Each face, the best first, and how far it is behind."""
    meet: bool = False
    """Whether turns of two faces meet in the window."""

    @property
    def best(self) -> Seen:
        return self.behind[0][0]


def _by_voice(
    rivals: Sequence[Seen], voices: TrackScores, shot: tuple[int, int], span: tuple[int, int]
) -> _Ranking | None:
    """Rank faces by all that the window's voice, and others, say in the shot."""
    found = voices.pooled(rivals, shot, span)
    if found is None or voices.model is None:
        return None
    chances, meet = found
    nats = np.log(np.maximum(chances, LEAST_CHANCE))
    ranked = sorted(zip(nats[:-1], (-one.track.number for one in rivals), rivals, strict=True), reverse=True)
    best = ranked[0][0]
    others = float(np.log(max(1 - np.exp(best), LEAST_CHANCE)))
    margin = max(0.0, float(best) - others) * voices.model.per_nat
    return _Ranking(margin, [(one, float(best - nat) * voices.model.per_nat) for nat, _, one in ranked], meet)


def _by_window(
    rivals: Sequence[Seen], voices: TrackScores, nears: Sequence[tuple[int, int]], least_margin: float
) -> _Ranking:
    """Rank faces by their mean scores in the first span that decides; in the first one, if none does."""
    found = []
    for near in nears:
        ranked = sorted(((_mean(voices, one, near), -one.track.number, one) for one in rivals), reverse=True)
        best, second = ranked[0][0], ranked[1][0]
        margin = best - second if np.isfinite(best) else float("nan")
        behind = [(one, best - score if np.isfinite(best) else 0.0) for score, _, one in ranked]
        found.append(_Ranking(margin, behind))
        if margin >= least_margin:
            return found[-1]
    return found[0]


def _extent(faces: Sequence[Seen], shot: int) -> tuple[int, int]:
    """Return the first tick of a shot at which a face is scored, and the end of those."""
    there = [one for one in faces if one.track.shot == shot and one.grey]
    ends = [one.first_tick + len(one.grey) for one in there]
    return min((one.first_tick for one in there), default=0), max(ends, default=0)


def _of_shot(faces: Sequence[Seen], voices: TrackScores, shot: int) -> list[LaggedScores]:
    return [
        voices.lagged[one.track.number]
        for one in faces
        if one.track.shot == shot and one.track.number in voices.lagged
    ]


def first_tick_from(time_s: float) -> int:
    """Return the first tick that is not before an instant."""
    tick = max(0, int(np.ceil(time_s * TICKS_PER_S)))
    while tick > 0 and (tick - 1) / TICKS_PER_S >= time_s:
        tick -= 1
    return tick if tick / TICKS_PER_S >= time_s else tick + 1


def _mean(voices: TrackScores, one: Seen, near: tuple[int, int]) -> float:
    value = voices.mean(one, *near)
    return value if np.isfinite(value) else -np.inf


def _number(value: float) -> float:
    return value if np.isfinite(value) else float("nan")


assert SAMPLE_RATE_HZ == TICK * TICKS_PER_S
