"""Damaged sound: trained on clean sound, scored on the same clips as a bad recording would have them.

    DUALSTREAM_DATA=FOLDER python benchmarks/study_stress.py

prints the falls of unweighted average recall on EMO-DB, for `acoustic` and for eGeMAPSv02 where openSMILE is
installed. One thread.
"""

from __future__ import annotations

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import sys
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy import signal

sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from study_acoustic import Corpus, Store, corpora, feature_sets, nested, uar

from features.acoustic.frames import SAMPLE_RATE_HZ

STRESS = ("-20 dB", "clipped", "noise 10 dB", "4 kHz", "1 s silence")
SETS = ("acoustic", "eGeMAPSv02")


def main() -> None:
    """Damage, score, print."""
    warnings.filterwarnings("ignore", category=UserWarning)
    started = time.perf_counter()
    print("| set | corpus | clean | " + " | ".join(STRESS) + " |\n|---|---|---|" + "---|" * len(STRESS))
    for row in stress(corpora()[0], Store(None)):
        falls = " | ".join(f"{row[how]:.3f} ({row[how] - row['clean']:+.3f})" for how in STRESS)
        print(f"| {row['set']} | {row['corpus']} | {row['clean']:.3f} | {falls} |")
    print(f"\n({time.perf_counter() - started:.0f} s)")


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


def stress(corpus: Corpus, store: Store) -> list[dict[str, Any]]:
    """Return the UAR of each set on clean and on damaged sound, by models of clean sound."""
    rows = []
    for name in [name for name in SETS if name in feature_sets()]:
        x, *others = (
            store.features(
                name, corpus, how, [damaged(sound, how, seed) for seed, sound in enumerate(corpus.sounds)]
            )
            for how in ("clean", *STRESS)
        )
        scores = [uar(corpus.label, said) for said in nested("LR", x, corpus, others)]
        rows.append({"set": name, "corpus": corpus.name, **dict(zip(("clean", *STRESS), scores, strict=True))})
    return rows


if __name__ == "__main__":
    main()
