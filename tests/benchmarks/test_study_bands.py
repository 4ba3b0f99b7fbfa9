"""A weight for each stream: found where one stream is noise, and its ridge is scikit-learn's."""

import numpy as np
import study_bands as study
from sklearn.linear_model import Ridge


def planted(noise_columns=20):
    """Make 8 speakers, 4 classes: one stream tells the class, the other is noise of many columns."""
    rng = np.random.default_rng(0)
    truth, speaker = np.tile(np.arange(4), 40), np.repeat([f"s{k}" for k in range(8)], 20)
    told = rng.normal(size=(160, 6)) + 1.2 * np.eye(4, 6)[truth]
    return {"told": told, "noise": rng.normal(size=(160, noise_columns))}, truth, speaker


def test_a_stream_of_noise_is_given_no_weight_and_the_score_rises():
    rows, truth, speaker = planted()
    loud, _ = study.predict(rows, truth, speaker, [(1.0, 4.0)], 4)
    banded, chosen = study.predict(rows, truth, speaker, [(1.0, one) for one in study.BANDS], 4)
    assert set(chosen) <= {(1.0, 0.0), (1.0, 0.25)} and (1.0, 0.0) in chosen
    assert study.uar(truth, banded) > study.uar(truth, loud)


def test_one_kernel_is_ridge_regression():
    rows, truth, _ = planted()
    train, test = np.arange(120), np.arange(120, 160)
    found = study.ridge((1.0, 0.0), study.kernels(rows, train, test), truth[train], 4)
    mean, spread = rows["told"][train].mean(0), rows["told"][train].std(0)
    a, b = ((rows["told"][at] - mean) / spread for at in (train, test))
    for penalty, scores in zip(study.PENALTIES, found, strict=True):
        model = Ridge(alpha=penalty * len(train) * a.shape[1]).fit(a, np.eye(4)[truth[train]])
        np.testing.assert_allclose(scores, model.predict(b), atol=1e-8)


def test_a_speakers_own_rows_have_mean_0_and_spread_1():
    rows, _, speaker = planted()
    rows["told"][:, 0] = 3.0  # a column that says nothing stays finite
    made = study.own(rows["told"] + 5.0 * np.repeat(np.arange(8), 20)[:, None], speaker)
    for one in np.unique(speaker):
        np.testing.assert_allclose(made[speaker == one].mean(0), 0.0, atol=1e-9)
        np.testing.assert_allclose(made[speaker == one].std(0)[1:], 1.0)
    assert (study.fold_of(speaker, 4)[speaker == "s5"] == 1).all()
