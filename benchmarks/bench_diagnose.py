"""A whole diagnosis from shell prompt to printed cause, on a random cache of MELD's size.

    python benchmarks/bench_diagnose.py [--fusion concat] [--seeds 2] [--threads 1]

Wall-clock seconds of a fresh process, CPU seconds beside them, which tell a busy machine from slow code, and the
same over a fit of the one variant on the same cache: how many fits a diagnosis costs. Asked for: 120 s or less on
2 cores.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from bench_fit_head import make_cache
from checkout import ROOT

LIMIT_S = 120.0


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--fusion", default="concat")
    parser.add_argument("--seeds", type=int, default=2)
    parser.add_argument("--threads", type=int, help="cores to use (all)")
    arguments = parser.parse_args()
    options = ["--fusion", arguments.fusion, "--seeds", str(arguments.seeds)]
    if arguments.threads:
        options += ["--threads", str(arguments.threads)]
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache.h5"
        rows, windows = make_cache(cache, 0.3)
        print(f"cache: {rows} utterances, {windows} windows; {os.cpu_count()} cores")
        fit_s, fit_cpu_s, _ = watched(["fit-head", str(cache), *options, "--out", f"{folder}/run"])
        wall_s, cpu_s, said = watched(["diagnose", str(cache), *options, "--out", f"{folder}/diagnosis"])
    print(said)
    print(f"fit-head  {fit_s:6.1f} s, {fit_cpu_s:6.1f} s of CPU time")
    print(f"diagnose  {wall_s:6.1f} s, {cpu_s:6.1f} s of CPU time (asked for: {LIMIT_S:.0f} s)")
    print(f"diagnose over fit-head: {wall_s / fit_s:.1f}, of CPU time {cpu_s / fit_cpu_s:.1f}")


def watched(words: list[str]) -> tuple[float, float, str]:
    """Run a command of ours; return wall seconds, CPU seconds, and what it printed."""
    before, started_s = resource.getrusage(resource.RUSAGE_CHILDREN), time.perf_counter()
    command = [sys.executable, str(ROOT / "cli.py"), *words]
    done = subprocess.run(
        command, check=True, capture_output=True, text=True, env={**os.environ, "COLUMNS": "110"}
    )
    wall_s, after = time.perf_counter() - started_s, resource.getrusage(resource.RUSAGE_CHILDREN)
    return wall_s, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime, done.stdout


if __name__ == "__main__":
    main()
