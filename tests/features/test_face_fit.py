"""Whether sound fits the faces of a shot: planted scores over lags, and the choice that hangs on it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from dualstream.features.faces import choice
from dualstream.features.faces.fit import FAR, LAGS, NEAR, LaggedScores, fit, smoothed
from dualstream.features.faces.rows import BY_MARGIN, UNDECIDED
from dualstream.features.faces.scoring import CropSpec, LaggedScorer
from dualstream.features.faces.tracks import Track
from dualstream.features.faces.watching import Seen
from numpy.typing import NDArray

TICKS = 200


def planted(lag: int | None, seed: int, ticks: int = TICKS) -> NDArray[np.float64]:
    """Return a face's scores at every lag, shape (L, T): noise, and 3 more near one lag; None: nowhere."""
    scores = np.random.default_rng(seed).normal(0, 1.0, (len(LAGS), ticks))
    if lag is not None:
        scores[np.abs(np.array(LAGS) - lag) <= 3] += 3.0
    return scores


def fits(lags: tuple[int | None, int | None], seed: int, ticks: int = TICKS) -> float:
    faces = [LaggedScores.of(0, planted(lag, 2 * seed + at, ticks)) for at, lag in enumerate(lags)]
    return fit([one for one in faces if one is not None], np.ones(ticks, np.bool_), (75, 100))


def test_lags_are_near_or_far() -> None:
    assert 0 in NEAR and max(map(abs, NEAR)) < min(map(abs, FAR)) and len(set(LAGS)) == len(LAGS)


def test_sound_fits_where_one_face_follows_it_and_not_where_it_is_late() -> None:
    true = np.array([fits((0, None), seed) for seed in range(30)])
    late = np.array([fits((26, None), seed) for seed in range(30)])
    nobody = np.array([fits((None, None), seed) for seed in range(30)])
    assert true.min() > 5
    assert late.max() < 1
    # Of pure noise the best of five near lags leads by 1.2 spreads on average; its spread is 1.
    assert abs(nobody.mean() - 1.16) < 0.6


def test_faces_that_talk_in_turn_fit() -> None:
    """The best face counts at each instant, so that it need not be the same throughout."""
    first, second = planted(None, 1), planted(None, 2)
    first[np.abs(np.array(LAGS)) <= 3, :100] += 3
    second[np.abs(np.array(LAGS)) <= 3, 100:] += 3
    faces = [LaggedScores.of(0, one) for one in (first, second)]
    assert fit([one for one in faces if one is not None], np.ones(TICKS, np.bool_), (75, 100)) > 5


def test_what_is_too_short_tells_nothing() -> None:
    assert LaggedScores.of(0, planted(0, 1, 45)) is None
    assert np.isnan(fit([], np.ones(100, np.bool_), (0, 25)))
    assert np.isnan(fits((0, None), 0, ticks=49))
    face = LaggedScores.of(0, planted(0, 1))
    assert face is not None
    silent = np.zeros(TICKS, np.bool_)
    assert np.isnan(fit([face], silent, (75, 100)))
    assert np.isnan(fit([face], np.ones(TICKS, np.bool_), (900, 925)))  # a window of another part of the clip
    short = fits((0, None), 3, ticks=62)  # lags of up to half of the track only
    assert short > 3


def test_smoothing_is_a_mean_of_what_there_is() -> None:
    values = np.random.default_rng(0).normal(size=(2, 120))
    found = smoothed(values)
    for tick in (0, 10, 60, 119):
        expected = values[:, max(0, tick - 37) : tick + 38].mean(axis=1)
        np.testing.assert_allclose(found[:, tick], expected)


class Planted:
    """Keeps the LaggedScorer protocol: the first face leads, and the shot fits the sound or does not."""

    name = "planted"
    crop = CropSpec(4, 1.0, 0.0)
    context_s = 0.5
    least_margin = 1.0
    least_fit = 1.0

    def __init__(self, lag: int) -> None:
        self.lag = lag

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name}

    def score(self, crops: NDArray[np.uint8], audio: NDArray[np.float32]) -> NDArray[np.float64]:
        return self.score_lags(crops, audio)[0]

    def score_lags(
        self, crops: NDArray[np.uint8], audio: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        leads = float(crops[0, 0, 0])
        return np.full(len(crops), leads), planted(self.lag, int(leads), len(crops))


@pytest.mark.parametrize(
    ("lag", "margin", "state"), [(0, 1.0, BY_MARGIN), (26, 1.0, UNDECIDED), (26, 0.0, BY_MARGIN)]
)
def test_sound_that_fits_no_face_decides_nothing(lag: int, margin: float, state: int) -> None:
    scorer = Planted(lag)
    assert isinstance(scorer, LaggedScorer)
    faces = []
    for number, leads in enumerate((5, 0)):
        track = Track(number, 0, times_s=[0.0, TICKS / 25], faces=[])
        faces.append(Seen(track, {0: None}, 0, [np.full((4, 4), leads, np.uint8)] * TICKS))  # type: ignore[dict-item]
    sound = np.random.default_rng(0).normal(0, 0.1, TICKS * 640).astype(np.float32)
    voices = choice.listen(faces, scorer, sound)
    made = choice.speaker(
        faces, voices, shot=0, target=0, span_s=(3.0, 4.0), contexts_s=(0.5,), least_margin=margin
    )
    assert made.state == state
    assert made.margin == 5.0
    assert len(made.rivals) == (2 if state == UNDECIDED else 0)  # all may be the speaker where none fits


def test_where_a_window_is_undecided_a_wider_one_decides() -> None:
    """Both score alike near the window; a second away the first one leads, and then the second one far more."""
    faces = []
    for number in range(2):
        track = Track(number, 0, times_s=[0.0, TICKS / 25], faces=[])
        faces.append(Seen(track, {0: None}, 0, [np.zeros((4, 4), np.uint8)] * TICKS))  # type: ignore[dict-item]
    first, second = np.zeros(TICKS), np.zeros(TICKS)
    first[50:60], second[20:35] = 20.0, 80.0  # the window is 75 to 100
    voices = choice.TrackScores({0: first, 1: second}, np.ones(TICKS, np.bool_))

    def made(*contexts_s: float) -> choice.ChosenFace:
        return choice.speaker(
            faces, voices, shot=0, target=0, span_s=(3.0, 4.0), contexts_s=contexts_s, least_margin=1.0
        )

    assert made(0.5).state == UNDECIDED and made(0.5).margin == 0
    by_wider = made(0.5, 1.0)
    assert by_wider.state == BY_MARGIN and by_wider.seen is faces[0]
    assert by_wider.margin == pytest.approx(200 / 75)  # ten ticks of 20, of 75
    assert made(1.0, 2.5).seen is faces[0]  # the narrowest that decides
    assert made(0.5, 2.5).seen is faces[1]
