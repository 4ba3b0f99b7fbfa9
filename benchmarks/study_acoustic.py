"""The study behind the 192 acoustic columns: other sets in the same run, and what each part of the list brings.

    DUALSTREAM_DATA=FOLDER python benchmarks/study_acoustic.py [compare] [ablation]

prints Markdown tables. One thread. The choice of the columns is studied in study_columns.py, damaged sound in
study_stress.py; all three share the data, the sets and the scoring that stand here.
"""

from __future__ import annotations

import argparse
import hashlib
import inspect
import os
import sys
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import checkout  # noqa: F401
import numpy as np
import soundfile
from dualstream.features.acoustic import COLUMNS, DEFAULT_COLUMNS, GROUPS, LISTS
from dualstream.features.acoustic.frames import SAMPLE_RATE_HZ, measure
from dualstream.features.acoustic.functionals import MODULATIONS, summarise, tracks_of
from numpy.typing import NDArray
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis
from sklearn.linear_model import LogisticRegression
from sklearn.metrics import recall_score
from sklearn.preprocessing import StandardScaler
from sklearn.svm import SVC

from dualstream.cores import one_core

Array = NDArray[np.float64]
Sounds = Sequence[NDArray[np.float32]]
KINDS = ("SVM", "LR")
PENALTIES = (0.003, 0.01, 0.03, 0.1, 0.3, 1.0)


@dataclass(frozen=True)
class SoundCorpus:
    """Sounds with a label and a speaker each, and how many folds by speaker they are scored in."""

    name: str
    sounds: list[NDArray[np.float32]]
    label: NDArray[np.str_]
    speaker: NDArray[np.str_]
    folds: int


@one_core()
def main() -> None:
    """Run the parts that the command line names."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("parts", nargs="*", help="compare, ablation; both by default")
    parts = parser.parse_args().parts or ["compare", "ablation"]
    warnings.filterwarnings("ignore", category=UserWarning)
    both, store = corpora(), Store(None)
    for part in parts:
        started = time.perf_counter()
        if part == "compare":
            print("| set | columns | corpus | linear SVM | logistic regression |\n|---|---|---|---|---|")
            for row in compare(both, store):
                note = " (optimistic: chosen on it)" if row["optimistic"] else ""
                cells = " | ".join(cell(row[kind]) for kind in KINDS)
                print(f"| {row['set']}{note} | {row['columns']} | {row['corpus']} | {cells} |")
        elif part == "ablation":
            print("| group | columns | " + " | ".join(f"{c.name} alone | {c.name} without" for c in both) + " |")
            print("|---|---|" + "---|" * (2 * len(both)))
            for row in ablation(both, store):
                cells = ("" if score is None else f"{score:.3f}" for score in row["cells"])
                print(f"| {row['group']} | {row['columns']} | {' | '.join(cells)} |")
        else:
            sys.exit(f"no part is called {part!r}; there are: compare, ablation")
        print(f"\n({part}: {time.perf_counter() - started:.0f} s)\n", flush=True)


# ---- data


def corpora() -> list[SoundCorpus]:
    """Read EMO-DB and RAVDESS from the folder that DUALSTREAM_DATA names."""
    if not os.environ.get("DUALSTREAM_DATA"):
        sys.exit("DUALSTREAM_DATA is not set; expected the folder that holds emodb/ and ravdess/audio/")
    root = Path(os.environ["DUALSTREAM_DATA"])
    return [read_emodb(root / "emodb"), read_ravdess(root / "ravdess" / "audio")]


def _read(folder: Path) -> list[tuple[str, NDArray[np.float32]]]:
    files = sorted(folder.glob("*.flac"))
    if not files:
        sys.exit(f"{folder} holds no .flac file")
    return [(path.stem, soundfile.read(path, dtype="float32")[0]) for path in files]


def read_emodb(folder: Path) -> SoundCorpus:
    """Read EMO-DB: ten speakers, one fold each."""
    rows = _read(folder)
    return SoundCorpus(
        "EMO-DB", [y for _, y in rows], np.array([n[5] for n, _ in rows]), np.array([n[:2] for n, _ in rows]), 10
    )


def read_ravdess(folder: Path) -> SoundCorpus:
    """Read RAVDESS without calm: sixteen actors, four folds."""
    rows = [(name.split("-"), y) for name, y in _read(folder)]
    rows = [(fields, y) for fields, y in rows if fields[2] != "02"]
    return SoundCorpus(
        "RAVDESS", [y for _, y in rows], np.array([f[2] for f, _ in rows]), np.array([f[6] for f, _ in rows]), 4
    )


# ---- feature sets


def acoustic(sounds: Sounds, columns: Sequence[str] = COLUMNS) -> Array:
    """Return columns of whole sounds, shape (N, columns)."""
    rows = []
    wanted = tracks_of(tuple(columns))
    for sound in sounds:
        tracks = measure(sound, wanted)
        rows.append(summarise(tracks, np.array([0]), np.array([len(tracks.active)]), columns)[0])
    return np.array(rows, np.float64)


def log_mel(sounds: Sounds) -> Array:
    """Return mean, deviation and mean absolute delta of librosa's 64 log-mel bands, shape (N, 192)."""
    import librosa

    rows = []
    for sound in sounds:
        mel = librosa.feature.melspectrogram(y=sound, sr=SAMPLE_RATE_HZ, n_fft=512, hop_length=160, n_mels=64)
        bands = np.log(mel + 1e-6)
        rows.append(np.concatenate([bands.mean(1), bands.std(1), np.abs(np.diff(bands, axis=1)).mean(1)]))
    return np.array(rows, np.float64)


def opensmile_set(name: str) -> Callable[[Sounds], Array]:
    """Return openSMILE's functionals of one of its sets."""

    def run(sounds: Sounds) -> Array:
        import opensmile

        smile = opensmile.Smile(getattr(opensmile.FeatureSet, name), opensmile.FeatureLevel.Functionals)
        rows = [smile.process_signal(sound, SAMPLE_RATE_HZ).to_numpy()[0] for sound in sounds]
        return np.nan_to_num(np.array(rows, np.float64))

    return run


def set_name(chosen_on: str) -> str:
    """Return how `extract --audio` calls the columns that were chosen on a corpus."""
    return "acoustic" if chosen_on == DEFAULT_COLUMNS else f"acoustic:{chosen_on}"


def feature_sets() -> dict[str, Callable[[Sounds], Array]]:
    """Return the sets to compare by name; openSMILE's where it is installed."""
    sets: dict[str, Callable[[Sounds], Array]] = {
        set_name(corpus): partial(acoustic, columns=LISTS[corpus]) for corpus in LISTS
    }
    sets["log-mel mean, std, delta"] = log_mel
    if _version("opensmile"):
        sets |= {name: opensmile_set(name) for name in ("eGeMAPSv02", "ComParE_2016")}
    return sets


class Store:
    """Feature sets of corpora, kept in a folder under names that change where what makes them does."""

    def __init__(self, folder: Path | None) -> None:
        self.folder = folder

    def features(self, name: str, corpus: SoundCorpus, how: str = "clean", sounds: Sounds | None = None) -> Array:
        """Return a set of `feature_sets`, measured on `sounds` (`how` names the damage) or on the corpus's own."""
        for chosen_on, columns in LISTS.items():
            if name == set_name(chosen_on):
                return self.columns(corpus, columns, how, sounds)  # by its columns: lists change
        return self._kept(
            name, corpus, how, lambda: feature_sets()[name](corpus.sounds if sounds is None else sounds)
        )

    def columns(
        self, corpus: SoundCorpus, columns: Sequence[str], how: str = "clean", sounds: Sounds | None = None
    ) -> Array:
        """Return these columns of `acoustic`, the list's own or others."""
        name = "acoustic columns " + hashlib.sha256(" ".join(columns).encode()).hexdigest()[:12]
        return self._kept(
            name, corpus, how, lambda: acoustic(corpus.sounds if sounds is None else sounds, columns)
        )

    def _kept(self, name: str, corpus: SoundCorpus, how: str, make: Callable[[], Array]) -> Array:
        if self.folder is None:
            return make()
        key = hashlib.sha256(repr((name, how, len(corpus.sounds), _maker(name))).encode()).hexdigest()[:12]
        words = f"{name}-{corpus.name}-{how}".replace(" ", "_").replace(",", "")
        path = self.folder / f"{words}-{key}.npy"
        if path.exists():
            return np.load(path)
        made = make()
        self.folder.mkdir(parents=True, exist_ok=True)
        new = path.with_name(f"{path.stem}.{os.getpid()}.npy")
        np.save(new, made)
        new.replace(path)
        return made


def _maker(name: str) -> str:
    """Return what changes where a set's numbers do: source of ours, versions of what others made."""
    if name.startswith("acoustic"):
        folder = Path(inspect.getfile(measure)).parent
        which = [path for path in sorted(folder.glob("*.py")) if path.stem not in ("columns", "encoder")]
        text = b"".join(path.read_bytes() for path in which)  # the list itself stands in the name
        return hashlib.sha256(text).hexdigest()
    return (
        f"{_version('librosa')} {inspect.getsource(log_mel)}"
        if name.startswith("log-mel")
        else _version("opensmile")
    )


def _version(package: str) -> str:
    try:
        return version(package)
    except PackageNotFoundError:
        return ""


# ---- scoring


def folds(speaker: NDArray[np.str_], count: int) -> list[NDArray[np.bool_]]:
    """Return masks of the rows to score; speakers are assigned in order, never split."""
    names = np.unique(speaker)
    return [np.isin(speaker, names[i::count]) for i in range(min(count, len(names)))]


def model(kind: str, penalty: float) -> LogisticRegression | SVC:
    """Return an unfitted classifier, classes weighing the same."""
    if kind == "LR":
        return LogisticRegression(C=penalty, max_iter=1000, class_weight="balanced")
    return SVC(kernel="linear", C=penalty / 10, class_weight="balanced")


def scaled(train: Array, *others: Array) -> list[Array]:
    """Standardise by the training rows; more columns than rows are rotated into their span (exact for L2)."""
    scaler = StandardScaler().fit(train)
    parts = [scaler.transform(x) for x in (train, *others)]
    if train.shape[1] > train.shape[0]:
        basis = np.linalg.svd(parts[0], full_matrices=False)[2].T
        parts = [x @ basis for x in parts]
    return parts


def uar(truth: NDArray[np.str_], said: NDArray[np.str_]) -> float:
    """Return the mean over classes of the share that was found."""
    return float(recall_score(truth, said, average="macro", labels=np.unique(truth), zero_division=0))


def best_penalty(kind: str, x: Array, y: NDArray[np.str_], speaker: NDArray[np.str_], count: int = 4) -> float:
    """Choose the penalty by cross-validation over the speakers of these rows."""
    said = {c: np.empty_like(y) for c in PENALTIES}
    for held in folds(speaker, count):
        train, test = scaled(x[~held], x[held])
        for c in PENALTIES:
            said[c][held] = model(kind, c).fit(train, y[~held]).predict(test)
    return max(PENALTIES, key=lambda c: uar(y, said[c]))


def nested(kind: str, x: Array, corpus: SoundCorpus, others: Sequence[Array] = ()) -> list[NDArray[np.str_]]:
    """Predict every row from the other folds' speakers, the penalty chosen inside them.

    `others` are the same rows measured on damaged sound: scored by the models of `x`.
    """
    said = [np.empty_like(corpus.label) for _ in (x, *others)]
    for held in folds(corpus.speaker, corpus.folds):
        y = corpus.label[~held]
        penalty = best_penalty(kind, x[~held], y, corpus.speaker[~held])
        train, *tests = scaled(x[~held], x[held], *(other[held] for other in others))
        fitted = model(kind, penalty).fit(train, y)
        for out, test in zip(said, tests, strict=True):
            out[held] = fitted.predict(test)
    return said


def interval(corpus: SoundCorpus, said: NDArray[np.str_], draws: int = 2000, seed: int = 0) -> tuple[float, float]:
    """Return the 95 % interval of UAR under resampling of speakers."""
    rng = np.random.default_rng(seed)
    names, classes = np.unique(corpus.speaker), np.unique(corpus.label)
    hit = np.array(
        [[((said == c) & (corpus.label == c) & (corpus.speaker == s)).sum() for c in classes] for s in names]
    )
    all_ = np.array([[((corpus.label == c) & (corpus.speaker == s)).sum() for c in classes] for s in names])
    pick = rng.integers(0, len(names), (draws, len(names)))
    with np.errstate(invalid="ignore"):
        values = np.nanmean(hit[pick].sum(1) / all_[pick].sum(1), axis=1)
    return float(np.percentile(values, 2.5)), float(np.percentile(values, 97.5))


def scored(corpus: SoundCorpus, said: NDArray[np.str_]) -> dict[str, float]:
    """Return ``{"uar", "low", "high"}``: the score and its 95 % interval."""
    low, high = interval(corpus, said)
    return {"uar": uar(corpus.label, said), "low": low, "high": high}


def cell(score: dict[str, float]) -> str:
    """Write what `scored` returns."""
    return f"{score['uar']:.3f} [{score['low']:.3f}, {score['high']:.3f}]"


# ---- parts


def compare(corpora: Sequence[SoundCorpus], store: Store, leave_out: Sequence[str] = ()) -> list[dict[str, Any]]:
    """Compare whole feature sets, scored alike."""
    rows = []
    for corpus in corpora:
        for name in [name for name in feature_sets() if name not in leave_out]:
            x = store.features(name, corpus)
            answers = {kind: scored(corpus, nested(kind, x, corpus)[0]) for kind in KINDS}
            optimistic = name == set_name(corpus.name.lower().replace("-", ""))
            row = {"set": name, "columns": x.shape[1], "corpus": corpus.name, "optimistic": optimistic}
            rows.append(row | answers)
    return rows


def ablation(corpora: Sequence[SoundCorpus], store: Store) -> list[dict[str, Any]]:
    """Score each group of columns alone, and all the others without it; shrunk linear discriminant, no choices."""
    measured = [store.features("acoustic", corpus) for corpus in corpora]
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
    rows = []
    for name, inside in groups.items():
        cells = [
            discriminant(x[:, part], corpus) if part.any() else None
            for corpus, x in zip(corpora, measured, strict=True)
            for part in (inside, ~inside)
        ]
        rows.append({"group": name, "columns": int(inside.sum()), "cells": cells})
    return rows


def discriminant(x: Array, corpus: SoundCorpus) -> float:
    """Return the UAR of a linear discriminant with shrinkage 0.3."""
    said = np.empty_like(corpus.label)
    for held in folds(corpus.speaker, corpus.folds):
        train, test = scaled(x[~held], x[held])
        said[held] = (
            LinearDiscriminantAnalysis(solver="lsqr", shrinkage=0.3).fit(train, corpus.label[~held]).predict(test)
        )
    return uar(corpus.label, said)


if __name__ == "__main__":
    main()
