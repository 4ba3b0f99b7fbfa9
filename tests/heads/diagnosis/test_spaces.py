"""Spaces and coverage against numbers that are known from elsewhere."""

import numpy as np
import pytest
from dualstream.heads.diagnosis import spaces
from dualstream.heads.diagnosis.coverage import coverage
from planted_causes import PlantOptions, plant
from scipy.stats import entropy
from sklearn.decomposition import PCA
from sklearn.metrics import roc_auc_score


def test_effective_rank_of_known_spectra():
    rng = np.random.default_rng(0)
    basis = np.linalg.qr(rng.normal(size=(400, 8)))[0]
    flat = basis @ np.diag(np.ones(8))
    assert spaces._effective_rank(flat) == pytest.approx(8)
    one = np.outer(rng.normal(size=400), np.ones(8))
    assert spaces._effective_rank(one) == pytest.approx(1)


@pytest.mark.parametrize(("count", "width"), [(400, 30), (30, 400)])
def test_correlation_and_steepness_by_hand(count, width):
    rng = np.random.default_rng(7)
    rows = rng.normal(size=(count, width)) @ rng.normal(size=(width, width))
    correlations = np.corrcoef(rows.T)[~np.eye(width, dtype=bool)]
    variance = rows.var(axis=0) / rows.var(axis=0).sum()
    found = spaces._decorrelated(rows)
    assert found[0] ** 2 == pytest.approx(max(0, np.mean(correlations**2) - 1 / (count - 1)))
    assert found[1] == pytest.approx(width / 2 ** entropy(variance, base=2))


def test_components_are_told_from_columns_and_from_what_is_turned():
    rng = np.random.default_rng(8)
    rows = rng.normal(size=(300, 40)) * np.geomspace(5, 0.1, 40) @ np.linalg.qr(rng.normal(size=(40, 40)))[0]
    components = PCA(30).fit_transform(rows)
    turn = np.linalg.qr(rng.normal(size=(30, 30)))[0]
    for values, expected in ((rows, False), (components, True), (components @ turn, False)):
        correlation, steepness = spaces._decorrelated(values)
        assert (correlation <= spaces.UNCORRELATED and steepness >= spaces.STEEP) is expected
    noise = rng.normal(size=(300, 40))
    assert spaces._decorrelated(noise)[1] == pytest.approx(1, abs=0.05)  # uncorrelated, and nothing to whiten
    assert np.isnan(spaces._decorrelated(rows[:5])).all()


def test_cka_by_the_kernel_definition():
    """The feature-side sums equal the textbook estimator on explicit kernels."""
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(40, 7)), rng.normal(size=(40, 5))
    k, l = x @ x.T, y @ y.T
    np.fill_diagonal(k, 0)
    np.fill_diagonal(l, 0)
    n = len(x)
    expected = np.trace(k @ l) + k.sum() * l.sum() / ((n - 1) * (n - 2)) - 2 / (n - 2) * (k @ l).sum()
    assert spaces._hsic(x, y) == pytest.approx(expected)


def test_cka_tells_copies_from_strangers():
    train, _ = plant(PlantOptions(seed=2))
    audio = train.streams["audio"]
    train.streams["video"] = audio
    assert spaces.linear_cka(train) == pytest.approx(1)
    rng = np.random.default_rng(3)
    noise = rng.normal(size=audio.utterance.shape).astype(np.float32)
    train.streams["video"] = type(audio)(noise, audio.present)
    assert abs(spaces.linear_cka(train)) < 0.05


def test_auc_is_scikit_learns():
    rng = np.random.default_rng(4)
    label = rng.integers(0, 2, 200)
    score = rng.normal(size=200) + label
    assert spaces._auc(score, label) == pytest.approx(roc_auc_score(label, score))


def test_drift_is_seen_where_it_is_planted():
    steady = spaces.space(*plant(PlantOptions(seed=5)), "video")
    drifted = spaces.space(*plant(PlantOptions(("drift",), seed=5)), "video")
    assert 0.35 < steady.drift_auc < 0.65
    assert drifted.drift_auc > 0.95


def test_of_rows_that_are_all_alike_no_drift_is_told():
    """Nor is it a crash; where one split has another value throughout, that is all the drift there can be."""
    train, dev = plant(PlantOptions(seed=5))
    for part in (train, dev):
        part.streams["video"].utterance[:] = 1
    assert np.isnan(spaces.space(train, dev, "video").drift_auc)
    dev.streams["video"].utterance[:] = 2
    assert spaces.space(train, dev, "video").drift_auc == 1.0


def test_a_few_dialogues_that_differ_are_no_drift():
    """Five dialogues of dev always differ from fifteen others: the area is large, and as large by lot."""
    train, dev = plant(PlantOptions(seed=8, utterances=160, video_width=30, audio_width=30))
    rng = np.random.default_rng(1008)
    for part in (train, dev):
        names, dialogue = np.unique(part.dialogue, return_inverse=True)
        rows = part.streams["video"].utterance
        rows += (rows.std() * rng.normal(size=(len(names), 30)))[dialogue].astype(np.float32)
    found = spaces.space(train, dev, "video")
    assert found.drift_auc > 0.75
    assert found.drift_p_value > 0.05
    drifted = spaces.space(*plant(PlantOptions(("drift",), seed=5)), "video")
    assert drifted.drift_p_value == 1 / 400  # the least that 399 other deals can show


@pytest.mark.filterwarnings("error")
def test_a_stream_that_is_not_there_has_no_dead_columns():
    train, dev = plant(PlantOptions(seed=6, utterances=160))
    video = train.streams["video"]
    train.streams["video"] = type(video)(np.zeros_like(video.utterance), np.zeros_like(video.present))
    found = spaces.space(train, dev, "video")
    assert found.dead_columns == 0
    assert np.isnan(spaces.linear_cka(train))


def test_broken_features_are_counted():
    train, dev = plant(PlantOptions(("broken_features",), seed=6))
    assert spaces.space(train, dev, "audio").dead_columns == 48
    train.streams["video"].utterance[3, 2] = np.nan
    train.streams["video"].utterance[5] = 0
    found = spaces.space(train, dev, "video")
    assert (found.not_finite, found.not_finite_columns) == (1, 1)
    assert (found.zero_rows, found.dead_columns) == (1, 0)


def test_copied_rows_are_counted():
    train, dev = plant(PlantOptions(("leakage",), seed=7))
    assert spaces.copied_rows(train, dev) == round(0.3 * len(dev))
    assert spaces.copied_rows(*plant(PlantOptions(seed=7))) == 0


def test_coverage_of_starved_video():
    train, _ = plant(PlantOptions(("starved_sampling",), seed=8))
    video, audio = coverage(train, "video"), coverage(train, "audio")
    assert audio.windows_seen == 1
    assert video.windows_seen < 0.35
    # frames at 0 and 3 s: utterances of 2 to 6 windows (ends before 3 s) have one, longer ones two
    lengths = np.diff(train.offsets)
    assert video.single_row == pytest.approx(np.mean(lengths <= 6))


def test_an_utterance_without_the_stream_is_not_a_starved_one():
    train, _ = plant(PlantOptions(seed=8, utterances=160))
    video = train.streams["video"]
    gone = np.arange(len(train)) % 3 > 0
    seen = video.window_present & ~np.repeat(gone, np.diff(train.offsets))
    train.streams["video"] = type(video)(video.utterance, video.present & ~gone, video.windows, seen)
    found = coverage(train, "video")
    assert (found.windows_seen, found.single_row) == (1, 0)
    assert found.saw_nothing == gone.sum()
