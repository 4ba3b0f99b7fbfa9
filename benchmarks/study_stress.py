"""Damaged sound: trained on clean sound, scored on the same clips as a bad recording would have them.

    DUALSTREAM_DATA=FOLDER python benchmarks/study_stress.py

prints the falls of unweighted average recall on EMO-DB, for `acoustic` and for eGeMAPSv02 where openSMILE is
installed. One thread.
"""

from __future__ import annotations

import time
import warnings
from typing import Any

import checkout  # noqa: F401
import numpy as np
import scipy.fft
from dualstream.features.acoustic.frames import SAMPLE_RATE_HZ
from numpy.typing import NDArray
from scipy import signal
from study_acoustic import KINDS, SoundCorpus, Store, corpora, feature_sets, nested, uar

from dualstream.cores import one_core

STRESS = ("-20 dB", "clipped", "noise 10 dB", "4 kHz", "1 s silence")
HEARD = ("white noise 20 dB", "pink noise 12 dB", "clipped at a third", "3.4 kHz")
"""Damage that columns are chosen with: of the kinds that are scored, none of it the same."""
SETS = ("acoustic", "eGeMAPSv02")


@one_core()
def main() -> None:
    """Damage, score, print."""
    warnings.filterwarnings("ignore", category=UserWarning)
    started = time.perf_counter()
    print(
        "| set | corpus | model | clean | " + " | ".join(STRESS) + " |\n|---|---|---|---|" + "---|" * len(STRESS)
    )
    for row in stress(corpora()[0], Store(None)):
        falls = " | ".join(f"{row[how]:.3f} ({row[how] - row['clean']:+.3f})" for how in STRESS)
        print(f"| {row['set']} | {row['corpus']} | {row['model']} | {row['clean']:.3f} | {falls} |")
    print(f"\n({time.perf_counter() - started:.0f} s)")


def damaged(sound: NDArray[np.float32], how: str, seed: int) -> NDArray[np.float32]:
    """Return the sound as a bad recording would have it; 16-bit samples, as files have."""
    if how == "-20 dB":
        sound = sound * np.float32(0.1)
    elif how in ("clipped", "clipped at a third"):  # the one at a quarter of its peak
        limit = np.abs(sound).max() / (4 if how == "clipped" else 3)
        sound = np.clip(sound, -limit, limit)
    elif how == "noise 10 dB":
        sound = _with_noise(sound, np.random.default_rng(seed).standard_normal(len(sound)), 10)
    elif how == "white noise 20 dB":
        sound = _with_noise(sound, np.random.default_rng((1, seed)).standard_normal(len(sound)), 20)
    elif how == "pink noise 12 dB":
        size = scipy.fft.next_fast_len(len(sound), real=True)
        spectrum = scipy.fft.rfft(np.random.default_rng((2, seed)).standard_normal(size))
        spectrum /= np.sqrt(np.maximum(np.arange(len(spectrum)), 1))
        sound = _with_noise(sound, scipy.fft.irfft(spectrum, size)[: len(sound)], 12)
    elif how == "4 kHz":
        low_pass = signal.butter(10, 4000, fs=SAMPLE_RATE_HZ, output="sos")
        sound = signal.sosfilt(low_pass, sound).astype(np.float32)
    elif how == "3.4 kHz":
        low_pass = signal.butter(8, 3400, fs=SAMPLE_RATE_HZ, output="sos")
        sound = signal.sosfilt(low_pass, sound).astype(np.float32)
    elif how == "1 s silence":
        sound = np.concatenate([np.zeros(SAMPLE_RATE_HZ, np.float32), sound])
    elif how != "clean":
        raise ValueError(f"no such damage: {how!r}; there are: clean, {', '.join((*STRESS, *HEARD))}")
    return (np.round(np.clip(sound, -1, 1) * 32767) / 32768).astype(np.float32)


def all_damaged(corpus: SoundCorpus, how: str) -> list[NDArray[np.float32]]:
    """Return a corpus's sounds damaged, each with a seed of its own."""
    return [damaged(sound, how, seed) for seed, sound in enumerate(corpus.sounds)]


def _with_noise(sound: NDArray[np.float32], noise: NDArray[np.float64], ratio_db: float) -> NDArray[np.float32]:
    power = float((sound.astype(np.float64) ** 2).mean())
    return sound + (noise * np.sqrt(power / 10 ** (ratio_db / 10) / (noise**2).mean())).astype(np.float32)


def stress(corpus: SoundCorpus, store: Store) -> list[dict[str, Any]]:
    """Return the UAR of each set and classifier on clean and on damaged sound, by models of clean sound."""
    rows = []
    for name in [name for name in SETS if name in feature_sets()]:
        x = store.features(name, corpus)
        others = [store.features(name, corpus, how, all_damaged(corpus, how)) for how in STRESS]
        for kind in KINDS:
            scores = [uar(corpus.label, said) for said in nested(kind, x, corpus, others)]
            row = {"set": name, "corpus": corpus.name, "model": kind}
            rows.append(row | dict(zip(("clean", *STRESS), scores, strict=True)))
    return rows


if __name__ == "__main__":
    main()
