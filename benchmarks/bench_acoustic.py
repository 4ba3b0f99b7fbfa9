"""Speed of the acoustic encoder against openSMILE's eGeMAPSv02, on the same sounds, one thread, alternating.

    DUALSTREAM_DATA=FOLDER python benchmarks/bench_acoustic.py [--clips 60] [--rounds 5] [--json]

Without DUALSTREAM_DATA the sounds are made up (noise-like, three seconds each). Times are processor seconds of
this process after one warm-up round; `times real time` is seconds of sound over those; the ratio is paired round
by round.
"""

from __future__ import annotations

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from dualstream.features.acoustic import COLUMNS, AcousticEncoder
from dualstream.features.acoustic.frames import SAMPLE_RATE_HZ, measure
from dualstream.features.acoustic.functionals import tracks_of
from dualstream.features.windows import WindowPlan
from numpy.typing import NDArray

from dualstream.cores import one_core

PLAN = WindowPlan()
Sound = NDArray[np.float32]


@one_core()
def main() -> None:
    """Time the encoders and print a table or JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--clips", type=int, default=60)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    import opensmile

    smile = opensmile.Smile(opensmile.FeatureSet.eGeMAPSv02, opensmile.FeatureLevel.Functionals)
    encoder = AcousticEncoder()

    def encode(sound: Sound, windows: bool = True) -> None:
        duration_s = len(sound) / SAMPLE_RATE_HZ
        starts_s = PLAN.starts_s(duration_s) if windows else np.zeros(0)
        encoder.encode_audio(sound, starts_s, PLAN.length_s, (0.0, duration_s))

    tasks: dict[str, Callable[[Sound], object]] = {
        "eGeMAPSv02, utterance": lambda sound: smile.process_signal(sound, SAMPLE_RATE_HZ),
        "acoustic, utterance and windows": encode,
        "acoustic, utterance": lambda sound: encode(sound, windows=False),
        "acoustic, frames alone": lambda sound: measure(sound, tracks_of(COLUMNS)),
    }
    corpora = _sounds(options.clips)
    results = []
    for corpus, sounds in corpora.items():
        seconds = sum(map(len, sounds)) / SAMPLE_RATE_HZ
        spent: dict[str, list[float]] = {name: [] for name in tasks}
        for _ in range(options.rounds + 1):
            for name, task in tasks.items():
                started = time.process_time()
                for sound in sounds:
                    task(sound)
                spent[name].append(time.process_time() - started)
        base = np.array(spent["eGeMAPSv02, utterance"][1:])
        for name, times in spent.items():
            mine = np.array(times[1:])
            results.append(
                {
                    "corpus": corpus,
                    "what": name,
                    "times_real_time": round(float(np.median(seconds / mine)), 1),
                    "times_egemaps": round(float(np.median(base / mine)), 2),
                    "lowest_times_egemaps": round(float((base / mine).min()), 2),
                }
            )
    if options.json:
        print(json.dumps(results))
        return
    print("| corpus | what | times real time | times eGeMAPSv02 (median, lowest round) |\n|---|---|---|---|")
    for row in results:
        ratio = f"{row['times_egemaps']} ({row['lowest_times_egemaps']})"
        print(f"| {row['corpus']} | {row['what']} | {row['times_real_time']} | {ratio} |")


def _sounds(count: int) -> dict[str, list[Sound]]:
    root = os.environ.get("DUALSTREAM_DATA")
    if root is None:
        rng = np.random.default_rng(0)
        return {"noise": [rng.standard_normal(3 * SAMPLE_RATE_HZ).astype(np.float32) * 0.1 for _ in range(count)]}
    import soundfile

    found = {}
    for name, folder in (("EMO-DB", "emodb"), ("RAVDESS", "ravdess/audio")):
        files = sorted((Path(root) / folder).glob("*.flac"))
        if not files:
            sys.exit(f"{Path(root) / folder} holds no .flac file")
        every = max(1, len(files) // count)
        found[name] = [soundfile.read(path, dtype="float32")[0] for path in files[::every][:count]]
    return found


if __name__ == "__main__":
    main()
