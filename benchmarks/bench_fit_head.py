"""fit-head and compare from shell prompt to printed table, on a random cache of MELD's size; where the time goes.

    python benchmarks/bench_fit_head.py [--variants concat,linear_late] [--seeds 5] [--repeat 3] [--threads 2]
    python benchmarks/bench_fit_head.py --compare [--seeds 5] [--workers 2]
    python benchmarks/bench_fit_head.py --streams 3 [--seeds 5] [--workers 2] [--fusions ...] [--epochs 40]
    python benchmarks/bench_fit_head.py --busy 1  # beside so many processes that spin

Wall-clock seconds of a fresh process, the smallest of the repeats (others disturb, nothing helps) and all
of them; CPU seconds beside them, which tell a busy machine from slow code. Asked for: concat with 5 seeds
12 s or less, the linear variants 4 s or less, compare over all variants 300 s or less, on 2 cores; compare over
three streams (100, 192 and 384 columns) at most 1.6 times that over the first two, in CPU seconds.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path

import numpy as np
from checkout import ROOT

SIZES = {"train": 9989, "dev": 1109, "test": 2610}
DIALOGUES = {"train": 1038, "dev": 114, "test": 280}
EMOTION_SHARES = np.array([0.4715, 0.1206, 0.0268, 0.0684, 0.1745, 0.0271, 0.1111])  # MELD's train
EMOTIONS = ["neutral", "surprise", "fear", "sadness", "joy", "disgust", "anger"]
SENTIMENT_OF = np.array([0, 1, 2, 2, 1, 2, 2])  # surprise, which goes both ways, counted as positive
WINDOWS = 8  # on average
WIDTHS = {"video": 100, "audio": 192}
THIRD = {"whisper": 384}
THREE_OVER_TWO = 1.6
LIMIT_S = {"concat": 12.0}
LINEAR_LIMIT_S = 4.0
COMPARE_LIMIT_S = 300.0
SPIN = "while True: pass"

PHASES = """
import json, sys, time
wall, cpu = time.perf_counter(), time.process_time()
marks = {}
def mark(name):
    global wall, cpu
    now, used = time.perf_counter(), time.process_time()
    marks[name] = f"{now - wall:.2f} s, CPU {used - cpu:.2f} s"; wall, cpu = now, used
cache, fusion, seeds, threads, out = sys.argv[1:6]
from dualstream import cli; mark("import cli")
from pathlib import Path
from dualstream.heads.variants import registry
from dualstream.heads.variants.options import FitOptions
from dualstream.pipeline import experiments
from dualstream.pipeline.commands import fit_head as step
from dualstream.pipeline.experiments import fitting, protocol
from dualstream.pipeline.experiments.experiment import Experiment
from dualstream.pipeline.experiments.options import DecodingOptions
from dualstream.pipeline.experiments.scoring import EvaluationSet
from dualstream.pipeline.options.heads import FitHeadOptions
from dualstream.pipeline.experiments.training_data import read_corpus
from dualstream.pipeline.reporting import terminal
registry.names(); mark("import pipeline and registry")
if not fusion.startswith("linear"):
    import torch; mark("import torch")
corpus = read_corpus(Path(cache)); mark("read the cache")
fit = FitOptions(seeds=tuple(range(int(seeds))), threads=int(threads) or None)
plan = protocol.plan(corpus)
outcome = fitting.fit_and_predict(plan, fusion, fit); mark("fit and predict")
answered, scores = EvaluationSet.of(plan).score(outcome.predictions, DecodingOptions())
mark("score and bootstrap")
done = Experiment(fusion, outcome.models, answered, scores, outcome.history, outcome.fit_s, outcome.interrupted,
                  outcome.choice, outcome.chosen)
config = step._config(plan, fit, FitHeadOptions(), done, (), step._cache(corpus, Path(out), Path(cache)))
run = experiments.Run(config, scores, done.history)
sys.stdout, real = open("/dev/null", "w"), sys.stdout
terminal.print_run(run); mark("print the table")
sys.stdout = real
with experiments.new_folder(Path(out), replace=True) as folder:
    experiments.write_run(folder, run, done.models, done.predictions); mark("write the run")
    from dualstream.pipeline.reporting.report import run_report
    whole = experiments.Run(run.config, run.metrics, run.history, (), Path(out))
    run_report([whole]).write(folder); mark("draw the report")
print(json.dumps(marks | {"epochs": [one.epochs for one in done.history]}))
"""


def main() -> None:
    """Measure what is asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--variants", default="concat,linear_late")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--repeat", type=int, default=3)
    parser.add_argument("--threads", type=int, help="of a fit; default: as a user types it, without")
    parser.add_argument("--busy", type=int, default=0, help="cores taken by processes that spin meanwhile")
    parser.add_argument("--signal", type=float, default=0.3, help="what the streams tell of the class; 0: nothing")
    parser.add_argument("--compare", action="store_true", help="all variants by the compare command, once")
    parser.add_argument("--workers", type=int, default=os.cpu_count() or 1, help="of compare")
    parser.add_argument("--streams", type=int, choices=(2, 3), default=2, help="3: compare over two, then three")
    parser.add_argument("--fusions", default="all", help="of compare; single streams are always among them")
    parser.add_argument("--epochs", type=int, help="of compare; default: as a user types it, without")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        cache = Path(folder) / "cache.h5"
        rows, windows = make_cache(cache, arguments.signal, WIDTHS | (THIRD if arguments.streams > 2 else {}))
        print(f"cache: {rows} utterances, {windows} windows, {cache.stat().st_size / 1e6:.0f} MB; "
              f"{os.cpu_count()} cores, {arguments.busy} of them taken")  # fmt: skip
        with taken(arguments.busy):
            if arguments.streams > 2:
                bench_three(cache, Path(folder) / "compare", arguments)
                return
            if arguments.compare:
                bench_compare(cache, Path(folder) / "compare", arguments)
                return
            for name in arguments.variants.split(","):
                bench(name, cache, Path(folder) / "run", arguments)


def bench(name: str, cache: Path, out: Path, arguments: argparse.Namespace) -> None:
    """Print the time to the table, the time to the end, and the phases."""
    words = [
        "fit-head",
        str(cache),
        "--fusion",
        name,
        "--seeds",
        str(arguments.seeds),
        "--out",
        str(out),
        "--replace",
    ]
    threads = [] if arguments.threads is None else ["--threads", str(arguments.threads)]
    command = [sys.executable, str(ROOT / "cli.py"), *words, *threads]
    tables, ends, cpus = zip(*(watch(command) for _ in range(arguments.repeat)), strict=True)
    limit = LIMIT_S.get(name, LINEAR_LIMIT_S if name.startswith("linear") else None)
    verdict = "" if limit is None else f" (asked for: {limit:.0f} s or less)"
    times = ", ".join(f"{t:.2f}" for t in tables)
    print(f"\n{name}, {arguments.seeds} seeds: table after {min(tables):.2f} s{verdict}, all of {times}")
    print(f"  run folder and report written after {min(ends):.2f} s; {min(cpus):.2f} s of CPU time in all")
    found = subprocess.run(
        [
            sys.executable,
            "-c",
            PHASES,
            str(cache),
            name,
            str(arguments.seeds),
            str(arguments.threads or 0),
            str(out),
        ],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=True,
    )
    for phase, value in json.loads(found.stdout.splitlines()[-1]).items():
        print(f"  {phase:<30}{value}")


def bench_three(cache: Path, out: Path, arguments: argparse.Namespace) -> None:
    """Print what compare takes over two streams and over three, and their ratio."""
    cpu_s = {}
    for streams in (list(WIDTHS), [*WIDTHS, *THIRD]):
        columns = " + ".join(str((WIDTHS | THIRD)[name]) for name in streams)
        print(f"\n{len(streams)} streams, {columns} columns")
        cpu_s[len(streams)] = bench_compare(cache, out, arguments, "--streams", ",".join(streams), "--replace")
    print(f"\nthree streams over two: {cpu_s[3] / cpu_s[2]:.2f} of the CPU time "
          f"(asked for: {THREE_OVER_TWO} or less)")  # fmt: skip


def bench_compare(cache: Path, out: Path, arguments: argparse.Namespace, *more: str) -> float:
    """Print the time to compare's last table, and each variant's own; return all CPU seconds."""
    words = ["compare", str(cache), "--seeds", str(arguments.seeds), "--workers", str(arguments.workers), *more]
    words += ["--fusions", arguments.fusions]
    words += [] if arguments.epochs is None else ["--epochs", str(arguments.epochs)]
    table_s, end_s, cpu_s = watch([sys.executable, str(ROOT / "cli.py"), *words, "--out", str(out)])
    document = json.loads((out / "compare.json").read_text())
    print(
        f"compare, {len(document['rows'])} variants, {arguments.seeds} seeds, {arguments.workers} at a time: "
        f"table after {table_s:.0f} s (asked for: {COMPARE_LIMIT_S:.0f} s or less), all written after "
        f"{end_s:.0f} s, {cpu_s:.0f} s of CPU time\n\n| variant | fit s |\n|---|---|"
    )
    for row in document["rows"]:
        print(
            f"| {row['variant']} | {row['fit_s']:.1f} |"
            if row["scores"]
            else f"| {row['variant']} | {row['reason']} |"
        )
    peak = resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20
    print(f"the largest process so far held {peak:.2f} GiB")
    return cpu_s


def watch(command: list[str]) -> tuple[float, float, float]:
    """Return seconds until the last table stands, until the process has ended, and its CPU seconds."""
    before = os.times()
    started = time.perf_counter()
    table_s = 0.0
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, cwd=ROOT) as process:
        assert process.stdout is not None
        for line in process.stdout:
            if "majority" in line:
                table_s = time.perf_counter() - started
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} ended with {process.returncode}")
    end_s, after = time.perf_counter() - started, os.times()
    cpu_s = after.children_user + after.children_system - before.children_user - before.children_system
    return table_s, end_s, cpu_s


@contextmanager
def taken(count: int) -> Iterator[None]:
    """Keep so many cores busy."""
    spinning = [subprocess.Popen([sys.executable, "-c", SPIN]) for _ in range(count)]
    try:
        yield
    finally:
        for one in spinning:
            one.kill()
            one.wait()


def make_cache(path: Path, signal: float, widths: Mapping[str, int] = WIDTHS) -> tuple[int, int]:
    """Write a random cache of MELD's size; return its utterances and windows."""
    from dualstream.pipeline.cache import Cache, Stream, Utterances, write_cache

    rng = np.random.default_rng(0)
    count = sum(SIZES.values())
    split = np.repeat(list(SIZES), list(SIZES.values()))
    place = np.concatenate([np.arange(n) for n in SIZES.values()])
    dialogue = np.concatenate([np.sort(rng.integers(0, DIALOGUES[name], n)) for name, n in SIZES.items()])
    windows = np.clip(rng.lognormal(np.log(WINDOWS) - 0.25, 0.7, count).round().astype(int), 1, 64)
    offsets = np.concatenate([[0], np.cumsum(windows)]).astype(np.int64)
    starts = (np.arange(offsets[-1]) - np.repeat(offsets[:-1], windows)) * 0.5
    emotion = rng.choice(7, size=count, p=EMOTION_SHARES / EMOTION_SHARES.sum())
    streams = {}
    for name, width in widths.items():
        centres = signal * rng.normal(size=(7, width)) / np.sqrt(width) * 4
        rows = rng.normal(size=(offsets[-1], width)) + np.repeat(centres[emotion], windows, axis=0)
        utterance = np.add.reduceat(rows, offsets[:-1]) / windows[:, None]
        streams[name] = Stream(
            name=name,
            utterance=utterance.astype(np.float32),
            present=np.ones(count, bool),
            windows=rows.astype(np.float32),
            window_present=np.ones(offsets[-1], bool),
            time_s=starts + 0.5,
            spec={
                "name": "random",
                "stream": name if name in WIDTHS else "audio",
                "raw_width": width,
                "width": width,
                "has_windows": True,
            },
        )
    write_cache(
        path,
        Cache(
            utterances=Utterances(
                id=[f"{s}_{i}" for s, i in zip(split, place, strict=True)],
                split=split.tolist(),
                dialogue=[f"dia{d}" for d in dialogue],
                turn=place.astype(np.int32),
                speaker=[f"speaker{s}" for s in rng.integers(0, 300, count)],
                emotion=emotion.astype(np.int16),
                sentiment=SENTIMENT_OF[emotion].astype(np.int16),
                duration_s=windows * 0.5 + 0.5,
                sha256=["a" * 64] * count,
                status=["ok"] * count,
                reason=[""] * count,
            ),
            offsets=offsets,
            start_s=starts,
            streams=streams,
            vocabulary={"emotion": EMOTIONS, "sentiment": ["neutral", "positive", "negative"]},
            provenance={"fingerprint": "0" * 64},
        ),
    )
    return count, int(offsets[-1])


if __name__ == "__main__":
    main()
