"""Statistics of tracks that were drawn: against NumPy and SciPy over the very frames that count."""

from __future__ import annotations

import numpy as np
import pytest
from dualstream.features.acoustic import LISTS
from dualstream.features.acoustic.frames import FRAMES_PER_S, Tracks
from dualstream.features.acoustic.functionals import AT_ONCE, MODULATIONS, QUIET, RELATIONS, summarise, tracks_of
from scipy import stats

FRAMES = 240
NAMES = ("pitch", "level", "hnr", "cepstrum1", "flux", "alpha", "h1_a3")
SEGMENTS = [(0, 240), (0, 100), (50, 150), (37, 38), (200, 240)]
STARTS, STOPS = (np.array(ends) for ends in zip(*SEGMENTS, strict=True))


@pytest.fixture
def tracks() -> Tracks:
    rng = np.random.default_rng(0)
    values = rng.gamma(2.0, size=(len(NAMES), FRAMES)).cumsum(axis=1) * 0.05 + rng.normal(
        size=(len(NAMES), FRAMES)
    )
    active = rng.random(FRAMES) < 0.8
    active[:10] = active[-5:] = False
    return Tracks(
        values.astype(np.float32), NAMES, active, active & (rng.random(FRAMES) < 0.6), np.zeros(FRAMES, bool)
    )


def of(tracks: Tracks, column: str) -> np.ndarray:
    return summarise(tracks, STARTS, STOPS, [column])[:, 0]


@pytest.mark.parametrize("prefix", ["", "voiced_"])
@pytest.mark.parametrize(
    ("statistic", "expected"),
    [
        ("mean", np.mean),
        ("std", np.std),
        ("skew", lambda x: np.clip(stats.skew(x), -5, 5)),
        ("p10", lambda x: np.percentile(x, 10)),
        ("p20", lambda x: np.percentile(x, 20)),
        ("p50", np.median),
        ("p80", lambda x: np.percentile(x, 80)),
        ("p90", lambda x: np.percentile(x, 90)),
        ("range", lambda x: np.percentile(x, 90) - np.percentile(x, 10)),
    ],
)
def test_a_statistic_is_of_the_frames_that_count(tracks, prefix, statistic, expected):
    found = of(tracks, f"level.{prefix}{statistic}")
    mask = tracks.voiced if prefix else tracks.active
    for at, (start, stop) in enumerate(SEGMENTS):
        chosen = tracks.values[1, start:stop][mask[start:stop]].astype(float)
        if len(chosen) < 3:
            assert found[at] == 0
        else:
            assert found[at] == pytest.approx(expected(chosen), rel=1e-4, abs=1e-4)


@pytest.mark.parametrize(("kind", "relation"), RELATIONS.items())
def test_a_relation_is_a_slope_in_time_or_a_correlation(tracks, kind, relation):
    name, over, where = relation
    found = of(tracks, f"rhythm.{kind}")
    mask = tracks.voiced if where == "voiced" else tracks.active
    for at, (start, stop) in enumerate(SEGMENTS):
        inside = np.flatnonzero(mask[start:stop]) + start
        y = tracks.values[NAMES.index(name), inside].astype(float)
        if len(inside) < 5:
            assert found[at] == 0
        elif over is None:
            assert found[at] == pytest.approx(np.polyfit(inside / FRAMES_PER_S, y, 1)[0], rel=1e-3)
        else:
            x = tracks.values[NAMES.index(over), inside].astype(float)
            assert found[at] == pytest.approx(np.corrcoef(x, y)[0, 1], abs=1e-4)


def speech(active: str, voiced: str, onsets: str = "") -> Tracks:
    """Return tracks whose flags are written out, # for true, one character a frame."""
    flags = [np.array([one == "#" for one in text.ljust(len(active))]) for text in (active, voiced, onsets)]
    return Tracks(np.zeros((1, len(active)), np.float32), ("level",), *flags)


def rhythm(tracks: Tracks) -> dict[str, float]:
    kinds = ("active", "voiced", "active_onsets", "voiced_onsets", "syllables", "voiced_run", "unvoiced_run")
    whole = summarise(tracks, np.array([0]), np.array([len(tracks.active)]), [f"rhythm.{kind}" for kind in kinds])
    return dict(zip(kinds, whole[0].tolist(), strict=True))


def test_rhythm_by_hand():
    found = rhythm(speech("..####..####..", "..##....###...", "..#..#..#....."))
    span_s = 10 / FRAMES_PER_S  # frames 2 to 11: from first to last speech
    assert found["active"] == pytest.approx(8 / 10) and found["voiced"] == pytest.approx(5 / 10)
    assert found["active_onsets"] == pytest.approx(2 / span_s) and found["voiced_onsets"] == pytest.approx(
        2 / span_s
    )
    assert found["syllables"] == pytest.approx(3 / span_s)
    assert found["voiced_run"] == pytest.approx(np.log((5 + 1) / (2 + 1)))
    assert found["unvoiced_run"] == pytest.approx(np.log((3 + 1) / (2 + 1)))  # 3 frames in 2 runs


def test_speech_from_the_first_frame_on_has_no_onset_there():
    assert rhythm(speech("####", "    "))["active_onsets"] == 0


def test_nobody_speaks():
    assert set(rhythm(speech("....", "....")).values()) == {0.0}


def test_a_rise_is_not_a_fall():
    line = np.concatenate([np.arange(50.0), 49 - np.arange(50.0)])[None].astype(np.float32)
    tracks = Tracks(line, ("level",), *np.ones((2, 100), bool), np.zeros(100, bool))
    rise, fall, move = summarise(
        tracks, np.array([10, 60, 10]), np.array([40, 90, 90]), [f"level.{k}" for k in ("rise", "fall", "move")]
    ).T
    np.testing.assert_allclose(rise[:2], [1, 0], atol=0.02)  # one unit a frame; the filter ends at 3 deviations
    np.testing.assert_allclose(fall[:2], [0, 1], atol=0.02)
    assert move[2] == pytest.approx(rise[2] + fall[2])


@pytest.mark.parametrize("hz", [30, 20, 14, 9, 7, 5, 4, 3.3, 2.2, 1.5, 1.0])
def test_a_tremor_is_as_large_in_each_band_as_a_difference_of_gaussians_lets_it_through(hz):
    time_s = np.arange(3000) / FRAMES_PER_S
    wave = (30 * np.sin(2 * np.pi * hz * time_s))[None].astype(np.float32)
    tracks = Tracks(wave, ("level",), *np.ones((2, 3000), bool), np.zeros(3000, bool))
    found = np.exp(
        summarise(tracks, np.array([500]), np.array([2500]), [f"level.{name}" for name in MODULATIONS])[0]
    )
    passed = [np.exp(-2 * (np.pi * np.sqrt(blur) * hz / FRAMES_PER_S) ** 2) for blur in (0, 1, 5, 21, 85, 341)]
    # each Gaussian is put upon the one before: variances 1, 1 + 4, 1 + 4 + 16 ...
    np.testing.assert_allclose(found, 30 / np.sqrt(2) * -np.diff(passed) + QUIET, rtol=0.02, atol=0.15)


def test_what_does_not_move_has_no_modulation():
    tracks = Tracks(np.full((1, 50), 7, np.float32), ("level",), *np.ones((2, 50), bool), np.zeros(50, bool))
    found = summarise(tracks, np.array([0]), np.array([50]), [f"level.{name}" for name in MODULATIONS])
    np.testing.assert_allclose(found, np.log(QUIET), rtol=1e-5)


def test_nothing_that_is_not_finite_comes_out():
    values = np.array([[1e30] * 20 + [-1e30] * 20], np.float32)
    tracks = Tracks(values, ("level",), *np.ones((2, 40), bool), np.zeros(40, bool))
    columns = [f"level.{kind}" for kind in ("mean", "std", "skew", "range", "rise", *MODULATIONS)]
    assert np.isfinite(summarise(tracks, np.array([0, 5]), np.array([40, 6]), columns)).all()


def test_columns_come_in_the_order_they_are_asked_for(tracks):
    one = summarise(tracks, STARTS, STOPS, ["level.mean", "pitch.p50"])
    other = summarise(tracks, STARTS, STOPS, ["pitch.p50", "level.mean"])
    np.testing.assert_array_equal(one, other[:, ::-1])


def test_how_many_are_summed_at_a_time_changes_nothing(tracks, monkeypatch):
    columns = [f"{name}.{kind}" for name in NAMES for kind in ("mean", "p50", "mod5", "rise")] + [
        "rhythm.pitch_slope"
    ]
    at_once = summarise(tracks, STARTS, STOPS, columns)
    assert FRAMES * len(NAMES) < AT_ONCE
    monkeypatch.setattr("dualstream.features.acoustic.functionals.AT_ONCE", 2 * FRAMES)
    np.testing.assert_array_equal(summarise(tracks, STARTS, STOPS, columns), at_once)


@pytest.mark.parametrize(
    ("columns", "tracks"),
    [(("level.mean", "level.p50"), {"level"}), (("rhythm.active",), set()), (("rhythm.pitch_slope",), {"pitch"}),
     (("rhythm.h1_level", "hnr.mean"), {"h1_a3", "level", "hnr"})],
)  # fmt: skip
def test_which_tracks_columns_are_made_of(columns, tracks):
    assert tracks_of(columns) == tracks


@pytest.mark.parametrize("corpus", LISTS)
def test_a_list_has_192_columns_each_once(corpus):
    assert len(LISTS[corpus]) == len(set(LISTS[corpus])) == 192
