"""One voice is one face: voices told apart by sound, and planted scores put together by voice."""

from __future__ import annotations

import dataclasses
import itertools
from typing import Any

import numpy as np
import pytest
from dualstream.features.faces import choice, pooling, turns
from dualstream.features.faces.cepstra import cepstra
from dualstream.features.faces.rows import BY_MARGIN, UNDECIDED
from dualstream.features.faces.scoring import CropSpec, ScoreModel, model_of
from dualstream.features.faces.tracks import Track
from dualstream.features.faces.watching import Seen
from numpy.typing import NDArray

MODEL = ScoreModel(
    talking=2.6, face=1.2, stretch=1.6, tick=2.0, settled_ticks=12, change=160.0, resting=-5.0, per_nat=1.9
)
WIDTH = 6


def said(voices: str, seed: int, ticks: int = 50) -> NDArray[np.float64]:
    """Return the cepstra of turns of `ticks` ticks each, a letter for each turn's voice, shape (T, 4, WIDTH)."""
    rng = np.random.default_rng(seed)
    means = {name: np.random.default_rng(ord(name)).normal(0, 1.5, WIDTH) for name in set(voices)}
    return np.concatenate([rng.normal(means[name], 1.0, (ticks, 4, WIDTH)) for name in voices])


def leads(values: list[float], seed: int, ticks: int = 50, faces: int = 2) -> NDArray[np.float64]:
    """Return scores of which the first face leads by a value in each turn, shape (faces, T)."""
    scores = np.random.default_rng(seed).normal(0, 0.5, (faces, len(values) * ticks))
    scores[0] += np.repeat(values, ticks)
    return scores


def chances(found: pooling.Pooled, ticks: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Return the chances over ticks of which some talk."""
    over = found.over(ticks)
    assert over is not None
    return over


def whose(values: list[float], voices: str, seed: int = 0) -> list[int]:
    """Return the likeliest face of each turn; 2: nobody in view."""
    found = pooling.pool(leads(values, seed), said(voices, seed + 100), MODEL)
    turn = np.arange(50 * len(voices)) // 50
    return [int(chances(found, turn == one).argmax()) for one in range(len(voices))]


def test_cepstra_are_those_of_librosas_filters() -> None:
    filters = pytest.importorskip("librosa").filters.mel(sr=16_000, n_fft=512, n_mels=40, htk=True, norm=None)
    scipy_fft, get_window = pytest.importorskip("scipy.fft"), pytest.importorskip("scipy.signal").get_window
    sound = np.random.default_rng(0).normal(0, 0.1, 10 * 640).astype(np.float32)
    samples = np.rint(sound.astype(np.float64) * 32_768)
    samples = np.append(samples[0], samples[1:] - 0.97 * samples[:-1])
    found = cepstra(sound, 10)
    assert found.shape == (10, 4, 16)
    for row in (0, 7, 37):  # of 40; the last two reach behind the sound
        part = samples[row * 160 : row * 160 + 400] * get_window("hamming", 400, fftbins=False)
        power = np.abs(np.fft.rfft(part, 512)) ** 2 / 512
        expected = scipy_fft.dct(np.log(filters.astype(np.float64) @ power + 1), norm="ortho")[1:17]
        np.testing.assert_allclose(found[row // 4, row % 4], expected, atol=1e-4)
    assert cepstra(sound, 0).shape == (0, 4, 16)
    assert np.isfinite(cepstra(np.zeros(0, np.float32), 5)).all()


def test_likelihoods_are_those_of_gaussians_and_of_all_sets_of_stretches() -> None:
    stats = pytest.importorskip("scipy.stats")
    rows = said("AB", 1, 30)
    up_to = turns.Sums.up_to(rows)
    starts, ends = np.array([0, 20, 45]), np.array([20, 45, 60])
    parts = [rows[a:b].reshape(-1, WIDTH) for a, b in zip(starts, ends, strict=True)]
    found = turns.together(up_to.between(starts, ends))
    charge = 0.5 * (WIDTH + WIDTH * (WIDTH + 1) / 2) * np.log(240)
    assert turns.penalty(240, WIDTH) == pytest.approx(charge)
    for bits in range(1, 8):
        chosen = np.concatenate([parts[one] for one in range(3) if bits >> one & 1])
        best = stats.multivariate_normal(chosen.mean(axis=0), np.cov(chosen.T, bias=True))
        shared = 0.5 * len(chosen) * WIDTH * (1 + np.log(2 * np.pi))
        assert found[bits] * charge == pytest.approx(best.logpdf(chosen).sum() + shared, abs=1.0)  # of a ridge
    assert found[0] == 0


def test_a_change_of_voice_is_found_and_one_voice_is_not_split() -> None:
    for seed in range(20):
        assert turns.changes(turns.Sums.up_to(said("AA", seed))) == []
        (found,) = turns.changes(turns.Sums.up_to(said("AB", seed)))
        assert abs(found - 50) <= 2
        several = turns.changes(turns.Sums.up_to(said("ABA", seed)))
        assert len(several) == 2 and np.abs(np.array(several) - [50, 100]).max() <= 2
    assert turns.changes(turns.Sums.up_to(said("A", 0, 10))) == []


@pytest.mark.parametrize(
    ("values", "voices", "expected"),
    [
        ([7.0, 2.5], "AB", [0, 1]),  # the second turn by itself points to the wrong face
        ([0.2, 3.3], "AB", [1, 0]),  # the first one to neither
        ([7.0, 2.5], "AA", [0, 0]),
        ([0.2, 3.3], "AA", [0, 0]),
        ([6.0, 1.5, 5.5], "ABA", [0, 1, 0]),
        ([6.0, 1.5, 1.5, 5.5], "ABBA", [0, 1, 1, 0]),
        ([8.0, -8.0], "AA", [0, 1]),  # scores that contradict strongly win over voices that sound alike
    ],
)
def test_each_voice_goes_to_a_face_of_its_own(values: list[float], voices: str, expected: list[int]) -> None:
    for seed in range(10):
        assert whose(values, voices, seed) == expected


def test_chances_are_those_of_all_ways_written_out() -> None:
    """Of two stretches: every way's likelihood by scipy, with the whole covariance of all scores."""
    normal = pytest.importorskip("scipy.stats").multivariate_normal
    scores, rows = leads([2.0, -0.5], 3), said("AB", 4)
    found = pooling.pool(scores, rows, MODEL)
    end = int((found.stretch == 0).sum())
    assert len(found.chance) == 2
    lengths = [end, 100 - end]
    lead = [(scores[0] - scores[1])[part].mean() for part in (slice(0, end), slice(end, None))]
    one = [1.6**2 + 2.0**2 * 12 / (ticks + 12) for ticks in lengths]
    covariance = 2 * (1.2**2 * np.ones((2, 2)) + np.diag(one))
    parts = [rows[:end].reshape(-1, WIDTH), rows[end:].reshape(-1, WIDTH)]
    charge = 0.5 * (WIDTH + WIDTH * (WIDTH + 1) / 2) * np.log(400)

    def voice(*which: int) -> float:
        if not which:
            return 0.0
        part = np.concatenate([parts[k] for k in which])
        return float(-0.5 * len(part) * np.linalg.slogdet(np.cov(part.T, bias=True))[1] / charge - 2.05)

    weights = {}
    for way in itertools.product(range(3), repeat=2):
        mean = [{0: 2.6, 1: -2.6, 2: 0.0}[face] for face in way]
        weights[way] = normal(mean, covariance).logpdf(lead) - 3 * way.count(2)
        weights[way] += 4 * sum(voice(*(k for k in range(2) if way[k] == face)) for face in range(3))
    top = max(weights.values())
    total = sum(np.exp(one - top) for one in weights.values())
    for stretch, face in itertools.product(range(2), range(3)):
        expected = sum(np.exp(one - top) for way, one in weights.items() if way[stretch] == face) / total
        assert found.chance[stretch, face] == pytest.approx(expected, abs=0.02)


def test_a_voice_that_fits_no_face_is_nobodys() -> None:
    """Of three voices and two faces, the one whose scores say nothing is given to neither surely."""
    for seed in range(10):
        found = pooling.pool(leads([4.0, -4.0, 0.0], seed), said("ABC", seed), MODEL)
        first, second, third = (chances(found, np.arange(150) // 50 == one) for one in range(3))
        assert first[0] > 0.7 and second[1] > 0.7
        assert third[:2].max() < 0.7 and third[2] > 0.3


def test_stretches_in_which_all_faces_rest_are_nobodys_and_turns_meet_between_others() -> None:
    """Breath behind the last word would otherwise go to whom the scorer prefers of two that rest."""
    scores, rows = leads([4.0, -4.0, 3.0], 0), said("ABC", 0)
    scores[:, 100:] -= 12
    found = pooling.pool(scores, rows, MODEL)
    turn = np.arange(150) // 50
    assert found.over(turn == 2) is None
    both = found.over((turn == 1) | (turn == 2))
    alone = found.over(turn == 1)
    assert both is not None and alone is not None
    np.testing.assert_array_equal(both, alone)
    assert found.meet(turn < 2) and not found.meet(turn == 1)
    assert pooling.pool(scores - 20, rows, MODEL).over(turn < 3) is None


def test_a_window_in_which_turns_meet_is_told_by_its_own_scores() -> None:
    """Half of it is the first one's, half the second one's: their chances are even, the louder lead is not."""
    scores = np.concatenate([np.tile([[12.0], [2.0]], 75), np.tile([[2.0], [6.0]], 75)], axis=1)
    faces = seen_of(scores)
    voices = choice.listen(faces, Planted(), two_voices(75))

    def made(start_s: float) -> choice.ChosenFace:
        return choice.speaker(
            faces, voices, shot=0, target=0, span_s=(start_s, start_s + 1), contexts_s=(0.0,), least_margin=1.5
        )

    assert [made(one).seen for one in (0.0, 4.0)] == faces
    assert made(2.52).seen is faces[0]  # 12 ticks of 10, 13 of -4
    assert made(2.52).margin == pytest.approx((12 * 10 - 13 * 4) / 25)


def test_many_faces_and_turns_stay_within_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    seen: list[tuple[int, ...]] = []
    heard = pooling._heard
    monkeypatch.setattr(
        pooling, "_heard", lambda sums, ways, faces: (seen.append(ways.shape), heard(sums, ways, faces))[1]
    )
    for faces in (2, 3, 8):
        found = pooling.pool(leads([3.0, -3.0] * 7, 1, 25, faces), said("ABCDEFG" * 2, 1, 25), MODEL)
        assert found.chance.shape == (seen[-1][1], faces + 1)
        np.testing.assert_allclose(found.chance.sum(axis=1), 1)
    assert max(ways for ways, _ in seen) <= pooling.MOST_WAYS
    assert [stretches for _, stretches in seen] == [8, 6, 4]
    assert list(pooling.pieces(10, 1010, 375)) == [(10, 343), (343, 676), (676, 1010)]
    assert list(pooling.pieces(0, 375, 375)) == [(0, 375)]


class Planted:
    """Keeps the SpeakerScorer protocol: a face's scores are written into its crops."""

    name = "planted"
    crop = CropSpec(4, 1.0, 0.0)
    context_s = 0.5
    least_margin = 1.5
    by_voice = MODEL

    def to_json(self) -> dict[str, Any]:
        return {"name": self.name}

    def score(self, crops: NDArray[np.uint8], audio: NDArray[np.float32]) -> NDArray[np.float64]:
        return crops[:, 0, 0].astype(np.float64) / 10


class ByWindow(Planted):
    """The same without a model of its scores."""

    by_voice = None


def seen_of(scores: NDArray[np.float64], first_tick: int = 0) -> list[Seen]:
    """Return faces whose crops hold their scores, in view in each second's picture."""
    ticks = scores.shape[1]
    faces = []
    for number, row in enumerate(scores):
        track = Track(number, 0, times_s=[first_tick / 25, (first_tick + ticks) / 25], faces=[])
        grey = [np.full((4, 4), round(10 * one), np.uint8) for one in row]
        faces.append(Seen(track, dict.fromkeys(range(99)), first_tick, grey))  # type: ignore[arg-type]
    return faces


def two_voices(ticks: int, seed: int = 0) -> NDArray[np.float32]:
    """Return noise of one colour for `ticks` ticks, then as much of another."""
    noise = np.random.default_rng(seed).normal(0, 0.1, 2 * ticks * 640)
    dull = np.convolve(noise[: ticks * 640], np.ones(6) / 2.5, mode="same")
    return np.concatenate([dull, noise[ticks * 640 :]]).astype(np.float32)


def decided(scorer: Planted, sound: NDArray[np.float32], margin: float = 1.5, first_tick: int = 0) -> list[int]:
    """Return whose each second of six is, -1 where undecided: the left face leads by 7, then by 2.5."""
    scores = np.concatenate([np.tile([[10.0], [3.0]], 75), np.tile([[7.0], [4.5]], 75)], axis=1)
    faces = seen_of(scores, first_tick)
    voices = choice.listen(faces, scorer, sound)
    found = []
    for second in range(6):
        start_s = first_tick / 25 + second
        made = choice.speaker(
            faces, voices, shot=0, target=0, span_s=(start_s, start_s + 1), contexts_s=(0.5,), least_margin=margin
        )
        assert made.state in (BY_MARGIN, UNDECIDED)
        assert (made.margin >= 1.5) or made.state == UNDECIDED or margin == 0
        found.append(made.seen.track.number if made.seen is not None else -1)
    return found


def test_windows_are_decided_by_voice_where_the_scorer_says_how_its_scores_are_spread() -> None:
    sound = two_voices(75)
    assert decided(ByWindow(), sound) == [0] * 6
    assert decided(Planted(), sound) == [0, 0, 0, 1, 1, 1]
    assert decided(Planted(), sound, margin=0.0) == [0, 0, 0, 1, 1, 1]
    assert decided(Planted(), sound, margin=200.0) == [-1] * 6
    assert decided(Planted(), np.random.default_rng(0).normal(0, 0.1, 96_000).astype(np.float32)) == [0] * 6
    later = np.concatenate([np.zeros(50 * 640, np.float32), sound])  # a shot that begins later in the clip
    assert decided(Planted(), later, first_tick=50) == [0, 0, 0, 1, 1, 1]


def test_silence_and_faces_without_scores_are_compared_by_the_window() -> None:
    assert decided(Planted(), np.zeros(96_000, np.float32)) == [-1] * 6
    voices = choice.TrackScores({}, np.ones(150, np.bool_), model=MODEL, audio=two_voices(75))
    assert voices.pooled(seen_of(np.ones((2, 150))), (0, 150), (0, 25)) is None


def test_the_model_is_part_of_what_a_scorer_states() -> None:
    from dualstream.features.faces.scorers.lr_asd import LrAsdScorer

    assert model_of(LrAsdScorer.__new__(LrAsdScorer)) == LrAsdScorer.by_voice
    assert model_of(ByWindow()) is None
    assert dataclasses.asdict(MODEL)["talking"] == 2.6
