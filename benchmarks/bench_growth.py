"""How time and memory grow with a corpus: 2,000, 20,000 and 200,000 utterances through every command of stage 1.

    python benchmarks/bench_growth.py [--sizes 2000,20000,200000] [--columns 16] [--width 8]

Streams come from a table, so that what grows is the program's own: reading and checking the manifest, building and
committing shards, sealing the cache, fitting a projection from the shards, verifying all of it, and the second
run, which finds everything done. Each command is a process of its own. `us` is its processor time per utterance,
the time that it needs on nothing (a manifest of ten rows) taken off; `peak_mb` its memory. `growth` is the ratio
of `us` to that of the smallest size: 1 is linear, and above 2 is a fault.
"""

from __future__ import annotations

import argparse
import json
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
from checkout import ROOT

BASE = 10  # utterances of the corpus whose time is taken off
DIALOGUE = 10  # utterances


def make_corpus(folder: Path, count: int, columns: int) -> None:
    """Write empty clips in folders of two labels, and a table with two rows per utterance.

    Nothing of it is kept: the peak of a process that is started begins at what this one holds.
    """
    rng = np.random.default_rng(0)
    for label in ("joy", "anger"):
        (folder / "clips" / label).mkdir(parents=True)
    splits = ("train", "train", "dev", "test")
    with open(folder / "manifest.csv", "w", encoding="utf-8") as file:
        file.write("id,path,split,dialogue,turn,speaker,emotion\n")
        for number in range(count):
            name = _name(number)
            label, dialogue = ("joy", "anger")[number % 2], number // DIALOGUE
            (folder / "clips" / label / f"{name}.wav").touch()
            file.write(f"{name},clips/{label}/{name}.wav,{splits[dialogue % 4]},d{dialogue},{number % DIALOGUE},"
                       f"s{number % 7},{label}\n")  # fmt: skip
    with open(folder / "rows.csv", "w", encoding="utf-8") as file:
        file.write(",".join(["id", "time_s", *(f"c{number}" for number in range(columns))]) + "\n")
        for number in range(2 * count):
            row = rng.standard_normal(columns).round(4)
            file.write(f"{_name(number // 2)},{0.5 + number % 2 * 0.5}," + ",".join(map(str, row)) + "\n")


def _name(number: int) -> str:
    return f"d{number // DIALOGUE}_u{number % DIALOGUE}"


def commands(folder: Path, width: int) -> dict[str, list[str]]:
    """Return the commands, by name, in their order."""
    manifest, cache = folder / "manifest.csv", folder / "cache.h5"
    extract = ["extract", manifest, "--root", folder, "--out", cache, "--video", f"table:{folder / 'rows.csv'}",
               "--audio", "none", "--quiet"]  # fmt: skip
    found = {
        "manifest": ["manifest", "folder", folder / "clips", "--out", folder / "found.csv", "--quiet"],
        "check": ["check", manifest, "--root", folder, "--no-media", "--quiet"],
        "extract": extract,
        "project": [
            "project",
            cache,
            "--kind",
            "pca-turned",
            "--width",
            width,
            "--out",
            folder / "narrow.h5",
            "--quiet",
        ],
        "inspect": ["inspect", cache, "--verify", "--quiet"],
        "second": extract,
    }
    return {name: list(map(str, words)) for name, words in found.items()}


def measured(words: list[str]) -> tuple[float, int]:
    """Run a command; return its processor seconds and its peak memory, MB."""
    process = subprocess.Popen([sys.executable, str(ROOT / "cli.py"), *words], stdout=subprocess.DEVNULL,
                               stderr=subprocess.PIPE, text=True)  # fmt: skip
    assert process.stderr is not None
    said = process.stderr.read()
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3) and words[0] != "check":
        raise RuntimeError(f"{' '.join(words)}: {said[-500:]}")
    return used.ru_utime + used.ru_stime, used.ru_maxrss // 1024


def measure(count: int, columns: int, width: int) -> dict[str, tuple[float, int]]:
    """Run every command on a corpus of that size."""
    folder = Path(tempfile.mkdtemp(prefix="growth_"))
    try:
        make_corpus(folder, count, columns)
        return {name: measured(words) for name, words in commands(folder, width).items()}
    finally:
        shutil.rmtree(folder)


def main() -> None:
    """Measure every size, and print what each command takes per utterance."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--sizes", default="2000,20000,200000")
    parser.add_argument("--columns", type=int, default=16)
    parser.add_argument("--width", type=int, default=8)
    told = parser.parse_args()
    base = measure(BASE, told.columns, min(told.width, 4))
    sizes = [int(size) for size in told.sizes.split(",")]
    report: dict[str, Any] = {}
    for size in sizes:
        found = measure(size, told.columns, told.width)
        for name, (seconds, peak_mb) in found.items():
            spent_us = (seconds - base[name][0]) / size * 1e6
            rows = report.setdefault(name, {"nothing_s": round(base[name][0], 2)})
            rows[size] = {"us": round(spent_us, 1), "peak_mb": peak_mb}
            if size != sizes[0] and rows[sizes[0]]["us"] > 0:
                rows[size]["growth"] = round(spent_us / rows[sizes[0]]["us"], 2)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
