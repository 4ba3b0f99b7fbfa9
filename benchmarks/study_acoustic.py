"""The study behind the 192 acoustic columns: comparison, ablation, selection, stress.

    DUALSTREAM_DATA=FOLDER python benchmarks/study_acoustic.py [compare] [ablation] [stress] [select]

prints Markdown tables. `select` (half an hour) repeats the choice of the columns inside the training speakers of
every fold and across the corpora; the other parts take minutes. One thread.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import soundfile
from numpy.typing import NDArray
from scipy import signal
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from features.acoustic import COLUMNS, GROUPS
from features.acoustic.columns import FAMILIES
from features.acoustic.frames import SAMPLE_RATE_HZ, measure
from features.acoustic.functionals import MODULATIONS, RHYTHM, summarise

Array = NDArray[np.float64]
PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)
STRESS = ("-20 dB", "clipped", "noise 10 dB", "4 kHz", "1 s silence")


@dataclass(frozen=True)
class Corpus:
    """Sounds with a label and a speaker each, and how many folds by speaker they are scored in."""

    name: str
    sounds: list[NDArray[np.float32]]
    label: NDArray[np.str_]
    speaker: NDArray[np.str_]
    folds: int


def main() -> None:
    """Run the parts that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="compare, ablation, stress, select; all but select by default")
    parts = parser.parse_args().parts or ["compare", "ablation", "stress"]
    if "DUALSTREAM_DATA" not in os.environ:
        sys.exit("DUALSTREAM_DATA is not set; expected the folder that holds emodb/ and ravdess/audio/")
    warnings.filterwarnings("ignore", category=UserWarning)
    root = Path(os.environ["DUALSTREAM_DATA"])
    corpora = [read_emodb(root / "emodb"), read_ravdess(root / "ravdess" / "audio")]
    todo = {"compare": compare, "ablation": ablation, "stress": stress, "select": select}
    for part in parts:
        started = time.perf_counter()
        todo[part](corpora)
        print(f"\n({part}: {time.perf_counter() - started:.0f} s)\n", flush=True)


# ---- data


def _read(folder: Path) -> list[tuple[str, NDArray[np.float32]]]:
    files = sorted(folder.glob("*.flac"))
    if not files:
        sys.exit(f"{folder} holds no .flac file")
    return [(path.stem, soundfile.read(path, dtype="float32")[0]) for path in files]


def read_emodb(folder: Path) -> Corpus:
    """Read EMO-DB: ten speakers, one fold each."""
    rows = _read(folder)
    return Corpus(
        "EMO-DB", [y for _, y in rows], np.array([n[5] for n, _ in rows]), np.array([n[:2] for n, _ in rows]), 10
    )


def read_ravdess(folder: Path) -> Corpus:
    """Read RAVDESS without calm: sixteen actors, four folds."""
    rows = [(name.split("-"), y) for name, y in _read(folder)]
    rows = [(fields, y) for fields, y in rows if fields[2] != "02"]
    return Corpus(
        "RAVDESS", [y for _, y in rows], np.array([f[2] for f, _ in rows]), np.array([f[6] for f, _ in rows]), 4
    )


def damaged(sound: NDArray[np.float32], how: str, seed: int) -> NDArray[np.float32]:
    """Return the sound as a bad recording would have it; 16-bit samples, as files have."""
    if how == "-20 dB":
        sound = sound * np.float32(0.1)
    elif how == "clipped":  # at a quarter of its peak
        limit = np.abs(sound).max() / 4
        sound = np.clip(sound, -limit, limit)
    elif how == "noise 10 dB":
        power = float((sound.astype(np.float64) ** 2).mean())
        noise = np.random.default_rng(seed).standard_normal(len(sound)) * np.sqrt(power / 10)
        sound = sound + noise.astype(np.float32)
    elif how == "4 kHz":
        low_pass = signal.butter(10, 4000, fs=SAMPLE_RATE_HZ, output="sos")
        sound = signal.sosfilt(low_pass, sound).astype(np.float32)
    elif how == "1 s silence":
        sound = np.concatenate([np.zeros(SAMPLE_RATE_HZ, np.float32), sound])
    elif how != "clean":
        raise ValueError(f"no such damage: {how!r}; there are: clean, {', '.join(STRESS)}")
    return (np.round(np.clip(sound, -1, 1) * 32767) / 32768).astype(np.float32)


# ---- feature sets


def acoustic(sounds: Sequence[NDArray[np.float32]], columns: Sequence[str] = COLUMNS) -> Array:
    """Return columns of whole sounds, shape (N, columns)."""
    rows = []
    for sound in sounds:
        tracks = measure(sound)
        rows.append(summarise(tracks, np.array([0]), np.array([len(tracks.active)]), columns)[0])
    return np.array(rows, np.float64)


def log_mel(sounds: Sequence[NDArray[np.float32]]) -> Array:
    """Return mean, deviation and mean absolute delta of librosa's 64 log-mel bands, shape (N, 192)."""
    import librosa

    rows = []
    for sound in sounds:
        mel = librosa.feature.melspectrogram(y=sound, sr=SAMPLE_RATE_HZ, n_fft=512, hop_length=160, n_mels=64)
        bands = np.log(mel + 1e-6)
        rows.append(np.concatenate([bands.mean(1), bands.std(1), np.abs(np.diff(bands, axis=1)).mean(1)]))
    return np.array(rows, np.float64)


def opensmile_set(name: str) -> Callable[[Sequence[NDArray[np.float32]]], Array]:
    """Return openSMILE's functionals of one of its sets."""

    def run(sounds: Sequence[NDArray[np.float32]]) -> Array:
        import opensmile

        smile = opensmile.Smile(getattr(opensmile.FeatureSet, name), opensmile.FeatureLevel.Functionals)
        rows = [smile.process_signal(sound, SAMPLE_RATE_HZ).to_numpy()[0] for sound in sounds]
        return np.nan_to_num(np.array(rows, np.float64))

    return run


# ---- scoring


def _folds(speaker: NDArray[np.str_], count: int) -> list[NDArray[np.bool_]]:
    """Return masks of the rows to score; speakers are dealt out in order, never split."""
    names = np.unique(speaker)
    return [np.isin(speaker, names[i::count]) for i in range(min(count, len(names)))]


def _model(kind: str, penalty: float) -> LogisticRegression | SVC:
    if kind == "LR":
        return LogisticRegression(C=penalty, max_iter=1000, class_weight="balanced")
    return SVC(kernel="linear", C=penalty / 10, class_weight="balanced")


def _scaled(train: Array, *others: Array) -> list[Array]:
    """Standardise by the training rows; more columns than rows are rotated into their span (exact for L2)."""
    scaler = StandardScaler().fit(train)
    parts = [scaler.transform(x) for x in (train, *others)]
    if train.shape[1] > train.shape[0]:
        basis = np.linalg.svd(parts[0], full_matrices=False)[2].T
        parts = [x @ basis for x in parts]
    return parts


def _uar(truth: NDArray[np.str_], said: NDArray[np.str_]) -> float:
    return float(recall_score(truth, said, average="macro", labels=np.unique(truth), zero_division=0))


def best_penalty(kind: str, x: Array, y: NDArray[np.str_], speaker: NDArray[np.str_], folds: int = 4) -> float:
    """Choose the penalty by cross-validation over the speakers of these rows."""
    said = {c: np.empty_like(y) for c in PENALTIES}
    for held in _folds(speaker, folds):
        train, test = _scaled(x[~held], x[held])
        for c in PENALTIES:
            said[c][held] = _model(kind, c).fit(train, y[~held]).predict(test)
    return max(PENALTIES, key=lambda c: _uar(y, said[c]))


def nested(kind: str, x: Array, corpus: Corpus, others: Sequence[Array] = ()) -> list[NDArray[np.str_]]:
    """Predict every row from the other folds' speakers, the penalty chosen inside them.

    `others` are the same rows measured on damaged sound: scored by the models of `x`.
    """
    said = [np.empty_like(corpus.label) for _ in (x, *others)]
    for held in _folds(corpus.speaker, corpus.folds):
        y = corpus.label[~held]
        penalty = best_penalty(kind, x[~held], y, corpus.speaker[~held])
        train, *tests = _scaled(x[~held], x[held], *(other[held] for other in others))
        model = _model(kind, penalty).fit(train, y)
        for out, test in zip(said, tests, strict=True):
            out[held] = model.predict(test)
    return said


def interval(corpus: Corpus, said: NDArray[np.str_], draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of UAR under resampling of speakers."""
    rng = np.random.default_rng(seed)
    names, classes = np.unique(corpus.speaker), np.unique(corpus.label)
    hit = np.array(
        [[((said == c) & (corpus.label == c) & (corpus.speaker == s)).sum() for c in classes] for s in names]
    )
    all_ = np.array([[((corpus.label == c) & (corpus.speaker == s)).sum() for c in classes] for s in names])
    pick = rng.integers(0, len(names), (draws, len(names)))
    with np.errstate(invalid="ignore"):
        uar = np.nanmean(hit[pick].sum(1) / all_[pick].sum(1), axis=1)
    return float(np.percentile(uar, 2.5)), float(np.percentile(uar, 97.5))


def show(corpus: Corpus, said: NDArray[np.str_]) -> str:
    """Write a UAR with its interval."""
    low, high = interval(corpus, said)
    return f"{_uar(corpus.label, said):.3f} [{low:.3f}, {high:.3f}]"


# ---- parts


def compare(corpora: list[Corpus]) -> None:
    """Compare whole feature sets, scored alike."""
    sets: dict[str, Callable[[Sequence[NDArray[np.float32]]], Array]] = {
        "acoustic": acoustic,
        "log-mel mean, std, delta": log_mel,
        "eGeMAPSv02": opensmile_set("eGeMAPSv02"),
        "ComParE_2016": opensmile_set("ComParE_2016"),
    }
    print("| set | columns | corpus | linear SVM | logistic regression |\n|---|---|---|---|---|")
    for corpus in corpora:
        print(f"| majority class | 0 | {corpus.name} | {1 / len(np.unique(corpus.label)):.3f} | |")
        for name, measure_all in sets.items():
            if corpus.name != "EMO-DB" and name == "ComParE_2016":
                continue
            x = measure_all(corpus.sounds)
            cells = [show(corpus, nested(kind, x, corpus)[0]) for kind in ("SVM", "LR")]
            print(f"| {name} | {x.shape[1]} | {corpus.name} | {' | '.join(cells)} |", flush=True)


def ablation(corpora: list[Corpus]) -> None:
    """Score each group of columns alone, and all the others without it; shrunk linear discriminant, no choices."""
    measured = [acoustic(corpus.sounds) for corpus in corpora]
    kinds = np.array([column.split(".")[1].removeprefix("voiced_") for column in COLUMNS])
    groups = {"all": np.ones(len(COLUMNS), bool)}
    groups |= {f"family {name}": np.isin(COLUMNS, columns) for name, columns in GROUPS.items()}
    groups |= {
        "statistics: mean, percentiles": np.isin(kinds, ("mean", "p20", "p50", "p80")),
        "statistics: deviations": kinds == "std",
        "statistics: modulations": np.isin(kinds, MODULATIONS),
        "statistics: slopes": np.isin(kinds, ("rise", "fall", "move")),
        "statistics of voiced frames": np.array([".voiced_" in column for column in COLUMNS]),
    }
    print("| group | columns | " + " | ".join(f"{c.name} alone | {c.name} without" for c in corpora) + " |")
    print("|---|---|" + "---|" * (2 * len(corpora)))
    for name, inside in groups.items():
        cells = []
        for corpus, x in zip(corpora, measured, strict=True):
            for part in (inside, ~inside):
                cells.append(f"{discriminant(x[:, part], corpus):.3f}" if part.any() else "")
        print(f"| {name} | {inside.sum()} | {' | '.join(cells)} |", flush=True)


def discriminant(x: Array, corpus: Corpus) -> float:
    """Return the UAR of a linear discriminant with shrinkage 0.3."""
    said = np.empty_like(corpus.label)
    for held in _folds(corpus.speaker, corpus.folds):
        train, test = _scaled(x[~held], x[held])
        said[held] = (
            LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(train, corpus.label[~held]).predict(test)
        )
    return _uar(corpus.label, said)


def stress(corpora: list[Corpus]) -> None:
    """Train on clean sound, score on damaged sound; falls of UAR."""
    print("| set | corpus | clean | " + " | ".join(STRESS) + " |\n|---|---|---|" + "---|" * len(STRESS))
    for corpus in corpora[:1]:
        for name, measure_all in (("acoustic", acoustic), ("eGeMAPSv02", opensmile_set("eGeMAPSv02"))):
            x, *others = (
                measure_all([damaged(sound, how, seed) for seed, sound in enumerate(corpus.sounds)])
                for how in ("clean", *STRESS)
            )
            clean, *scores = (_uar(corpus.label, said) for said in nested("LR", x, corpus, others))
            falls = " | ".join(f"{score:.3f} ({score - clean:+.3f})" for score in scores)
            print(f"| {name} | {corpus.name} | {clean:.3f} | {falls} |", flush=True)


# ---- the choice of the columns

STATISTICS = (
    *(p + s for p in ("", "voiced_") for s in ("mean", "std", "p20", "p50", "p80", *MODULATIONS)),
    *("rise", "fall", "move"),
)


def candidates() -> dict[str, tuple[str, ...]]:
    """Return what the selection chooses from: one statistic of one family of tracks at a time."""
    bundles = {
        f"{family}.{statistic}": tuple(f"{track}.{statistic}" for track in tracks.split())
        for family, tracks in FAMILIES.items()
        for statistic in STATISTICS
    }
    return bundles | {
        "rhythm.counts": tuple(f"rhythm.{s}" for s in RHYTHM[:7]),
        "rhythm.relations": tuple(f"rhythm.{s}" for s in RHYTHM[7:]),
    }


class Judge:
    """Cross-validated log-likelihood of a shrunk linear discriminant on any subset of columns, in milliseconds."""

    def __init__(self, x: Array, y: NDArray[np.str_], speaker: NDArray[np.str_], folds: int) -> None:
        classes = np.unique(y)
        self.parts = []
        for held in _folds(speaker, folds):
            scaler = StandardScaler().fit(x[~held])
            z, test = scaler.transform(x[~held]).clip(-5, 5), scaler.transform(x[held]).clip(-5, 5)
            truth = np.searchsorted(classes, y)
            means = np.array([z[truth[~held] == c].mean(0) for c in range(len(classes))])
            inner = z - means[truth[~held]]
            self.parts.append((inner.T @ inner / len(inner), means, test, truth[held]))

    def __call__(self, columns: list[int], shrinkage: float = 0.2, temper: float = 0.4) -> float:
        scores, truths = [], []
        for scatter, means, test, truth in self.parts:
            s = scatter[np.ix_(columns, columns)] * (1 - shrinkage)
            s[np.diag_indices(len(columns))] = np.diag(scatter)[columns] + 1e-6
            weights = np.linalg.solve(s, means[:, columns].T)
            logits = temper * (test[:, columns] @ weights - 0.5 * (means[:, columns].T * weights).sum(0))
            logits -= logits.max(1, keepdims=True)
            logits -= np.log(np.exp(logits).sum(1, keepdims=True))
            scores.append(logits[np.arange(len(truth)), truth])
            truths.append(truth)
        score, truth = np.concatenate(scores), np.concatenate(truths)
        return float(np.mean([score[truth == c].mean() for c in np.unique(truth)]))


def choose(judges: Sequence[Judge], pool: Sequence[str], width: int = 192) -> list[str]:
    """Add the bundle that gains most log-likelihood per root of its columns, until `width` columns are there."""
    index = {name: i for i, name in enumerate(pool)}
    left = {bundle: [index[c] for c in columns] for bundle, columns in candidates().items()}
    chosen: list[int] = []
    current, gains, step = -10.0, dict.fromkeys(left, np.inf), 0
    while fits := [b for b in left if len(left[b]) <= width - len(chosen)]:
        fits.sort(key=lambda b: -gains[b])
        values = {}
        for bundle in fits if step % 12 == 0 else fits[:25]:  # gains mostly shrink: re-judge the likeliest
            values[bundle] = sum(judge(chosen + left[bundle]) for judge in judges)
            gains[bundle] = (values[bundle] - current) / len(left[bundle]) ** 0.5
        best = max(values, key=lambda b: gains[b])
        chosen, current, step = chosen + left.pop(best), values[best], step + 1
    return [pool[i] for i in chosen]


def select(corpora: list[Corpus]) -> None:
    """Choose columns on both corpora (the list that stands), on each for the other, and nested in every fold."""
    pool = [column for columns in candidates().values() for column in columns]
    measured = [acoustic(corpus.sounds, pool) for corpus in corpora]

    def judge(which: int, rows: NDArray[np.bool_] | None = None) -> Judge:
        corpus, x = corpora[which], measured[which]
        rows = np.ones(len(x), bool) if rows is None else rows
        return Judge(x[rows], corpus.label[rows], corpus.speaker[rows], min(corpus.folds, 5))

    whole = [judge(0), judge(1)]
    both = choose(whole, pool)
    print("Chosen on both:", " ".join(both), "\n", flush=True)
    print("| columns chosen on | scored on | linear SVM | logistic regression |\n|---|---|---|---|")
    lists = {"both": both, "EMO-DB": choose(whole[:1], pool), "RAVDESS": choose(whole[1:], pool)}
    for chosen_on, columns in lists.items():
        at = [pool.index(c) for c in columns]
        for corpus, x in zip(corpora, measured, strict=True):
            cells = [show(corpus, nested(kind, x[:, at], corpus)[0]) for kind in ("SVM", "LR")]
            note = "" if chosen_on not in ("both", corpus.name) else " (optimistic: chosen on it)"
            print(f"| {chosen_on} | {corpus.name}{note} | {' | '.join(cells)} |", flush=True)
    for which, corpus in enumerate(corpora):
        said = {kind: np.empty_like(corpus.label) for kind in ("SVM", "LR")}
        halves = replace(corpus, folds=min(corpus.folds, 5))  # pairs of EMO-DB's speakers: half the time
        for held in _folds(halves.speaker, halves.folds):
            at = [pool.index(c) for c in choose([judge(which, ~held), whole[1 - which]], pool)]
            x = measured[which][:, at]
            for kind, out in said.items():
                penalty = best_penalty(kind, x[~held], corpus.label[~held], corpus.speaker[~held])
                train, test = _scaled(x[~held], x[held])
                out[held] = _model(kind, penalty).fit(train, corpus.label[~held]).predict(test)
        cells = " | ".join(show(corpus, out) for out in said.values())
        print(f"| the other corpus and the training speakers of the fold | {corpus.name} | {cells} |", flush=True)


if __name__ == "__main__":
    main()
