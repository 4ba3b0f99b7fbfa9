"""The studies behind docs/acoustic.md: the choice of columns, the damage, the folds; on planted data."""

import numpy as np
import pytest
from scipy.special import logsumexp
from scipy.stats import multivariate_normal

pytest.importorskip("librosa")
from study_acoustic import COLUMNS, SoundCorpus, Store, folds, interval, nested, scored, uar
from study_columns import Judge, candidates, choose, pool
from study_stress import HEARD, STRESS, damaged

RATE_HZ = 16_000


def tone(hz, seconds=1.0):
    return np.sin(2 * np.pi * hz * np.arange(int(seconds * RATE_HZ)) / RATE_HZ).astype(np.float32)


def planted(rows=240, columns=12, seed=0):
    """Three classes that columns 0 and 1 tell apart together, six speakers."""
    rng = np.random.default_rng(seed)
    label = np.arange(rows) % 3
    x = rng.standard_normal((rows, columns))
    x[:, 0] += np.array([0.0, 2.0, 0.0])[label]
    x[:, 1] += np.array([0.0, 0.0, 2.0])[label]
    return x, np.array(["a", "b", "c"])[label], (np.arange(rows) // 3 % 6).astype(str)


def log_likelihood(x, y, speaker, columns, count, shrinkage=0.2, temper=0.4):
    """Score a shrunk discriminant by scipy's Gaussian densities, fold by fold, no elimination."""
    truth = np.unique(y, return_inverse=True)[1]
    scores = np.empty(len(y))
    for held in folds(speaker, count):
        mean, std = x[~held].mean(0), x[~held].std(0)
        z, test = ((x[part] - mean)[:, columns] / std[columns] for part in (~held, held))
        z, test = z.clip(-5, 5), test.clip(-5, 5)
        means = [z[truth[~held] == c].mean(0) for c in range(truth.max() + 1)]
        inner = z - np.array(means)[truth[~held]]
        scatter = inner.T @ inner / len(inner)
        cov = (1 - shrinkage) * scatter + shrinkage * np.diag(np.diag(scatter)) + 1e-6 * np.eye(len(columns))
        logits = temper * np.array([multivariate_normal(m, cov).logpdf(test) for m in means]).T
        scores[held] = (logits - logsumexp(logits, axis=1, keepdims=True))[np.arange(held.sum()), truth[held]]
    return np.mean([scores[truth == c].mean() for c in range(truth.max() + 1)])


def test_judge_gives_the_discriminants_likelihood_column_by_column():
    x, y, speaker = planted()
    judge = Judge(x, y, speaker, 3)
    assert judge.value([0, 4]) == pytest.approx(log_likelihood(x, y, speaker, [0, 4], 3), abs=1e-9)
    grown = judge.fresh()
    grown.add([0, 4])
    grown.add([7])
    assert grown.value([1, 9]) == pytest.approx(log_likelihood(x, y, speaker, [0, 4, 7, 1, 9], 3), abs=1e-9)
    assert judge.value([0, 4]) == pytest.approx(log_likelihood(x, y, speaker, [0, 4], 3), abs=1e-9)  # untouched


def test_judge_hears_damaged_rows_through_models_of_clean_ones():
    x, y, speaker = planted()
    broken = x.copy()
    broken[:, 1] = 0
    clean, both = Judge(x, y, speaker, 3), Judge(x, y, speaker, 3, [broken])
    assert both.value([0]) == pytest.approx(clean.value([0]), abs=1e-9)  # column 0 was not touched
    # the damaged rows alone score far less with column 1, and count a third of the clean ones
    rows = Judge(x, y, speaker, 3, [x])
    assert rows.value([0, 1]) == pytest.approx(clean.value([0, 1]), abs=1e-9)
    damaged_alone = both.value([0, 1]) * 4 / 3 * 3 - clean.value([0, 1]) * 3
    assert damaged_alone < clean.value([0, 1]) - 0.05


def test_choice_takes_what_tells_classes_apart():
    names = pool()
    assert len(names) == len(set(names)) == sum(len(columns) for columns in candidates().values())
    assert set(COLUMNS) <= set(names)
    rng = np.random.default_rng(1)
    label = np.arange(120) % 3
    x = rng.standard_normal((120, len(names)))
    useful = [names.index(c) for c in ("pitch.mean", "level.std")]
    x[:, useful] += 3 * np.array([[0, 0], [1, 0], [0, 1]])[label]
    judge = Judge(x, label.astype(str), (np.arange(120) // 3 % 4).astype(str), 2)
    assert set(choose([judge], names, width=2)) == {"pitch.mean", "level.std"}


def test_nested_answers_come_from_other_speakers():
    """Each speaker's column gives the label away by a sign of its own: worth nothing on others."""
    rng = np.random.default_rng(2)
    speaker = np.arange(400) % 8
    label = np.where(rng.random(400) < 0.5, "a", "b")
    x = rng.standard_normal((400, 8)) * 0.1
    x[np.arange(400), speaker] += np.where(label == "a", 1, -1)
    corpus = SoundCorpus("planted", [], label, speaker.astype(str), 4)
    assert abs(uar(label, nested("LR", x, corpus)[0]) - 0.5) < 0.1
    informed = np.column_stack([x, np.where(label == "a", 1.0, -1.0)])
    assert uar(label, nested("LR", informed, corpus)[0]) > 0.98


def test_interval_resamples_speakers():
    """Half of the speakers all right, half all wrong: the interval is that of 8 coin tosses."""
    speaker = np.repeat(np.arange(8), 20)
    label = np.tile(["a", "b"], 80)
    said = np.where(speaker < 4, label, np.where(label == "a", "b", "a"))
    corpus = SoundCorpus("planted", [], label, speaker.astype(str), 4)
    low, high = interval(corpus, said)
    assert (low, high) == pytest.approx((1 / 8, 7 / 8), abs=0.01)  # binomial(8, 1/2): 2.5 % quantiles 1 and 7
    assert scored(corpus, said)["uar"] == 0.5


@pytest.mark.parametrize("how", [*STRESS, *HEARD])
def test_damage_does_what_its_name_says(how):
    sound = 0.5 * tone(440) + 0.1 * tone(6000)
    found = damaged(sound, how, seed=0)
    level_db = 10 * np.log10((found**2).mean() / (sound**2).mean())
    spectrum = np.abs(np.fft.rfft(found[-RATE_HZ:])) / RATE_HZ * 2  # one bin a hertz
    if how == "-20 dB":
        assert level_db == pytest.approx(-20, abs=0.05)
    elif how == "clipped":
        assert np.abs(found).max() == pytest.approx(np.abs(sound).max() / 4, abs=1e-4)
    elif how == "noise 10 dB":
        assert level_db == pytest.approx(10 * np.log10(1.1), abs=0.1)
    elif how == "white noise 20 dB":
        assert level_db == pytest.approx(10 * np.log10(1.01), abs=0.02)
    elif how == "pink noise 12 dB":
        noise = (found - sound).astype(float)
        assert 10 * np.log10((sound**2).mean() / (noise**2).mean()) == pytest.approx(12, abs=0.1)
        power = np.abs(np.fft.rfft(noise)) ** 2  # the same in each octave
        octaves = [power[100 * 2**k : 200 * 2**k].sum() for k in range(5)]
        assert max(octaves) / min(octaves) < 1.5
    elif how == "clipped at a third":
        assert np.abs(found).max() == pytest.approx(np.abs(sound).max() / 3, abs=1e-4)
    elif how == "3.4 kHz":
        assert spectrum[440] == pytest.approx(0.5, rel=0.02) and spectrum[6000] < 0.1 / 30
    elif how == "4 kHz":
        assert spectrum[440] == pytest.approx(0.5, rel=0.02) and spectrum[6000] < 0.1 / 100
    elif how == "1 s silence":
        assert len(found) == len(sound) + RATE_HZ and not found[:RATE_HZ].any()
    assert np.array_equal(found, damaged(sound, how, seed=0))


def test_unknown_damage_names_the_known():
    with pytest.raises(ValueError, match="noise 10 dB"):
        damaged(tone(100), "echo", seed=0)


def test_store_measures_once(tmp_path, monkeypatch):
    import study_acoustic

    calls = []
    monkeypatch.setattr(study_acoustic, "feature_sets", lambda: {"set": lambda s: calls.append(1) or np.eye(2)})
    corpus = SoundCorpus("planted", [tone(200), tone(300)], np.array(["a", "b"]), np.array(["1", "2"]), 2)
    store = Store(tmp_path)
    assert np.array_equal(store.features("set", corpus), store.features("set", corpus))
    assert len(calls) == 1
    store.features("set", corpus, "4 kHz")
    monkeypatch.setattr(study_acoustic, "_maker", lambda name: "another source")
    store.features("set", corpus)
    assert len(calls) == 3
