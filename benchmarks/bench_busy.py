"""Each command as a user types it, quiet and beside cores that somebody else has taken, and the ratio.

    python benchmarks/bench_busy.py [--busy 1] [--repeat 3] [--utterances 13708] [--commands auto,check]

A core is taken by a process that spins in Python. Quiet and busy runs take turns in fresh processes; no variable
is set for them, and one that the shell has set for the number of threads is taken away. Wall seconds are medians,
the ratio is the median of the turns' ratios. CPU seconds and involuntary switches stand beside them: they tell
work that grew from work that waited. On a machine with other work on it no run is quiet, and the load that is
printed says so.

Asked for: with one core taken no command takes more than 2 times its quiet time, and auto at most 3 times what its
dearest candidate takes.

Stage 1 reads clips of 2 s that are drawn on the spot, --clips of them.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import bench_fit_head
import numpy as np
from bench_fit_head import make_cache, taken
from checkout import ROOT

LIMIT, AUTO_LIMIT = 2.0, 3.0
WHOLE = 13_708  # utterances of MELD
EMOTIONS = ("joy", "anger", "neutral")


@dataclass(frozen=True)
class ProcessRun:
    """One process from its start to its end."""

    wall_s: float
    cpu_s: float
    switched: int
    """Times that the system took a core away from it."""


def main() -> None:
    """Measure and print a line for each command."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--busy", type=int, default=1, help="cores taken in the busy runs")
    parser.add_argument("--repeat", type=int, default=3, help="turns of one quiet and one busy run")
    parser.add_argument("--utterances", type=int, default=WHOLE, help="of the random cache")
    parser.add_argument("--clips", type=int, default=24)
    parser.add_argument("--commands", default="", help="names of the table's rows; default: all")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        every = commands(Path(folder), arguments.utterances, arguments.clips)
        asked = arguments.commands.split(",") if arguments.commands else list(every)
        unknown = sorted(set(asked) - set(every))
        if unknown:
            parser.error(f"no command here is called {', '.join(unknown)}; there are: {', '.join(every)}")
        print(f"{cores()} cores, load {os.getloadavg()[0]:.1f}, {arguments.utterances} utterances, "
              f"{arguments.clips} clips, {arguments.busy} core(s) taken in the busy runs\n")  # fmt: skip
        print("| command | quiet s | busy s | busy over quiet | CPU s quiet | busy | switches quiet | busy |")
        print("|---|---|---|---|---|---|---|---|")
        quiet = {}
        for name, words in every.items():
            if name in asked:
                quiet[name] = report(name, words, arguments.repeat, arguments.busy)
    candidates = [name for name in quiet if name.startswith("fit-head-")]
    if "auto" in quiet and candidates:
        dearest = max(candidates, key=quiet.__getitem__)
        print(f"\nauto over {dearest}, quiet: {quiet['auto'] / quiet[dearest]:.2f} (asked for: {AUTO_LIMIT:.0f})")


def report(name: str, words: Sequence[str], repeat: int, busy: int) -> float:
    """Take turns, print the line, and return the quiet wall seconds."""
    watch(words)  # files and byte code are read once
    turns = []
    for _ in range(repeat):
        calm = watch(words)
        with taken(busy):
            turns.append((calm, watch(words)))
    ratio = float(np.median([other.wall_s / calm.wall_s for calm, other in turns]))
    calm, other = ([float(np.median([getattr(turn[at], key) for turn in turns])) for key in
                    ("wall_s", "cpu_s", "switched")] for at in (0, 1))  # fmt: skip
    verdict = "" if ratio <= LIMIT else f" (asked for: {LIMIT:.0f})"
    print(
        f"| {name} | {calm[0]:.1f} | {other[0]:.1f} | {ratio:.2f}{verdict} | {calm[1]:.1f} | {other[1]:.1f} "
        f"| {calm[2]:.0f} | {other[2]:.0f} |",
        flush=True,
    )
    return calm[0]


def watch(words: Sequence[str]) -> ProcessRun:
    """Run a command of ours to its end; 3 says that some clips failed, which is no failure here."""
    if words[0] in ("extract", "project", "train-encoder"):
        clear(Path(words[words.index("--out") + 1]))
    environment = {key: value for key, value in os.environ.items() if not key.endswith("_NUM_THREADS")}
    command = [sys.executable, str(ROOT / "cli.py"), *words]
    started_s = time.perf_counter()
    with subprocess.Popen(
        command, cwd=ROOT, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True
    ) as process:
        assert process.stderr is not None
        said = process.stderr.read()
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode not in (0, 3):
        raise SystemExit(f"{' '.join(words)} ended with {process.returncode}: {said[-500:]}")
    return ProcessRun(time.perf_counter() - started_s, used.ru_utime + used.ru_stime, used.ru_nivcsw)


def clear(out: Path) -> None:
    """Remove what a run left at `out` and beside it: the next one is to do all of its work."""
    for path in out.parent.glob(out.name + "*"):
        shutil.rmtree(path) if path.is_dir() else path.unlink()


def commands(folder: Path, utterances: int, clips: int) -> dict[str, list[str]]:
    """Make what the commands read, and return their words by name."""
    cache = folder / "cache.h5"
    shrink(utterances)
    make_cache(cache, 0.3)
    manifest, root = draw(folder / "clips", clips)
    out = f"{folder}/out"
    fit = {
        name: ["fit-head", str(cache), "--fusion", name, "--out", f"{out}/{name}", "--replace", "--no-report"]
        for name in ("linear_video", "linear_late", "concat", "aligned", "auto")
    }
    by_speaker = [*fit["linear_late"], "--folds", "speaker-only:4"]  # dialogues connect all speakers, as in MELD
    network = ["--video", "torchvision:mobilenet_v2", "--video-weights", "random:0"]
    extract = ["extract", manifest, "--root", root, "--projection", "gaussian"]
    made, run, bundle = f"{folder}/made.h5", f"{out}/of-clips", f"{folder}/bundle"
    for words in (
        [*extract, *network, "--out", made],
        ["fit-head", made, "--fusion", "linear_late", "--out", run, "--no-report"],
        ["export", run, "--out", bundle],
        fit["linear_late"],
    ):
        watch(words)
    return {
        "check": ["check", manifest, "--root", root],
        "extract-acoustic": [*extract, "--video", "none", "--out", f"{folder}/sound.h5"],
        "extract-mobilenet_v2": [*extract, *network, "--out", f"{folder}/pictures.h5"],
        "train-encoder": ["train-encoder", manifest, "--root", root, "--encoder", "cnn5", "--epochs", "2",
                          "--out", f"{folder}/cnn5.safetensors"],
        "project": ["project", made, "--out", f"{folder}/projected.h5"],
        "inspect": ["inspect", str(cache)],
        **{f"fit-head-{name}": words for name, words in fit.items() if name != "auto"},
        "fit-head-linear_late-by-speaker": by_speaker,
        "auto": fit["auto"],
        "evaluate": ["evaluate", f"{out}/linear_late", "--split", "dev"],
        "diagnose": ["diagnose", str(cache), "--out", f"{out}/diagnosis"],
        "compare": ["compare", str(cache), "--fusions", "linear,concat,aligned", "--out", f"{out}/compare",
                    "--replace", "--no-report"],
        "predict": ["predict", bundle, root],
    }  # fmt: skip


def shrink(utterances: int) -> None:
    """Let `make_cache` draw so many utterances, in MELD's shares."""
    share = utterances / WHOLE
    for sizes in (bench_fit_head.SIZES, bench_fit_head.DIALOGUES):
        sizes.update({name: max(9, round(count * share)) for name, count in sizes.items()})


def draw(root: Path, clips: int) -> tuple[str, str]:
    """Draw clips of noise and tones in three splits; return the manifest and its root."""
    from dualstream.features.media import write_clip
    from dualstream.pipeline.corpus.manifest import Manifest, write_manifest
    from dualstream.pipeline.corpus.utterance import Utterance

    root.mkdir(parents=True)
    rng = np.random.default_rng(0)
    rows = []
    for number in range(clips):
        frames = rng.integers(0, 256, (20, 240, 320, 3), dtype=np.uint8)
        time_s = np.arange(32_000) / 16_000
        tone = 0.3 * np.sin(2 * np.pi * (200 + 20 * number) * time_s) + 0.01 * rng.normal(size=32_000)
        write_clip(root / f"{number}.mp4", frames, 10, tone.astype(np.float32), 16_000)
        rows.append(
            Utterance(
                f"u{number}",
                f"{number}.mp4",
                ("train", "train", "dev", "test")[number % 4],
                dialogue=f"d{number // 4 % 5}-{number % 4}",
                speaker=f"s{number % 7}",
                emotion=EMOTIONS[number % 3],
            )
        )
    write_manifest(Manifest(tuple(rows)), root / "manifest.csv")
    return str(root / "manifest.csv"), str(root)


def cores() -> int:
    """Return how many cores this process may use."""
    return len(os.sched_getaffinity(0))


if __name__ == "__main__":
    main()
