"""Measure a validated load of a cache of MELD's size against reading its bytes and hashing them once.

    python benchmarks/bench_cache.py [--rounds 15] [--utterances 13708]

The cache is made of random numbers: 13,708 utterances, about 87,000 windows, 100 and 192 columns. Two ways, taken
in turn in one process:

    bytes    numpy.fromfile on the file, and one SHA-256 over what it gives
    load     `read_cache`: digest, whitelist, every array and text, and the rules of the format

The ratio is the median of the paired ratios. The goal is 2 or less. `--help` of the command line is timed beside
it in CPU seconds (goal 0.4), with the modules that it must not import.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from dualstream.pipeline.cache import Cache, Stream, Utterances, read_cache, write_cache

MEAN_WINDOWS = 87_000 / 13_708


def make_cache(count: int) -> Cache:
    """Return a cache of random numbers with `count` utterances."""
    rng = np.random.default_rng(0)
    counts = 1 + rng.poisson(MEAN_WINDOWS - 1, count)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    start_s = np.concatenate([np.arange(k) * 0.5 for k in counts])
    utterances = Utterances(
        id=[f"train_dia{i // 10}_utt{i % 10}" for i in range(count)],
        split=[("train", "dev", "test")[i % 3] for i in range(count)],
        dialogue=[f"train_{i // 10}" for i in range(count)],
        turn=(np.arange(count) % 10).astype(np.int32),
        speaker=[("Ross", "Rachel", "Joey", "Monica")[i % 4] for i in range(count)],
        emotion=rng.integers(0, 7, count).astype(np.int16),
        sentiment=rng.integers(0, 3, count).astype(np.int16),
        duration_s=counts * 0.5 + 0.5,
        sha256=[hashlib.sha256(str(i).encode()).hexdigest() for i in range(count)],
        status=["ok"] * count,
        reason=[""] * count,
    )

    def stream(name: str, width: int) -> Stream:
        present = rng.random(count) > 0.01
        mask = np.repeat(present, counts)
        return Stream(
            name,
            rng.standard_normal((count, width), np.float32) * present[:, None],
            present,
            rng.standard_normal((len(mask), width), np.float32) * mask[:, None],
            mask,
            np.where(mask, start_s + 0.5, np.nan),
            {"name": name, "raw_width": width, "width": width},
        )

    vocabulary = {"emotion": [f"e{i}" for i in range(7)], "sentiment": [f"s{i}" for i in range(3)]}
    streams = {"video": stream("video", 100), "audio": stream("audio", 192)}
    return Cache(utterances, offsets, start_s, streams, vocabulary, {})


def seconds_for_bytes(path: Path) -> float:
    """Time what no reader can do without."""
    started_s = time.perf_counter()
    data = np.fromfile(path, np.uint8)
    hashlib.sha256(data).hexdigest()
    return time.perf_counter() - started_s


def seconds_for_load(path: Path) -> float:
    """Time the validated load of everything."""
    started_s = time.perf_counter()
    cache = read_cache(path)
    spent_s = time.perf_counter() - started_s
    assert len(cache.utterances) > 0
    return spent_s


def help_cost() -> dict[str, object]:
    """Return CPU seconds of ``cli.py --help`` and whether heavy modules were imported."""
    cli = Path(__file__).resolve().parent.parent / "cli.py"
    costs = []
    for _ in range(5):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run([sys.executable, str(cli), "--help"], check=True, stdout=subprocess.DEVNULL)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        costs.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    seen = subprocess.run(
        [sys.executable, "-X", "importtime", str(cli), "--help"], check=True, capture_output=True, text=True
    ).stderr
    imported = {line.rpartition("|")[2].strip() for line in seen.splitlines()}
    return {
        "help_cpu_s": round(statistics.median(costs), 3),
        "help_imports": sorted(imported & {"torch", "librosa", "h5py", "scipy", "torchvision"}),
    }


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--utterances", type=int, default=13_708)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "cache.h5"
        cache = make_cache(options.utterances)
        started_s = time.perf_counter()
        write_cache(path, cache)
        written_s = time.perf_counter() - started_s
        windows = int(cache.offsets[-1])
        del cache
        seconds_for_bytes(path), seconds_for_load(path)  # warm up
        pairs = []
        for number in range(options.rounds):
            if number % 2:
                load_s, bytes_s = seconds_for_load(path), seconds_for_bytes(path)
            else:
                bytes_s, load_s = seconds_for_bytes(path), seconds_for_load(path)
            pairs.append((bytes_s, load_s))
        document = {
            "utterances": options.utterances,
            "windows": windows,
            "bytes": path.stat().st_size,
            "write_s": round(written_s, 3),
            "bytes_s": round(statistics.median(b for b, _ in pairs), 4),
            "load_s": round(statistics.median(s for _, s in pairs), 4),
            "load_over_bytes": round(statistics.median(s / b for b, s in pairs), 3),
            "quartiles": [round(float(q), 3) for q in np.percentile([s / b for b, s in pairs], (25, 75))],
            "cpus": os.cpu_count(),
            **help_cost(),
        }
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
