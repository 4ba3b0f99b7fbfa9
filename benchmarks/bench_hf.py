"""extract with a speech network of transformers: over its bare forward, times real time, and the cache's size.

    DUALSTREAM_DATA=... DUALSTREAM_WEIGHTS=... python benchmarks/bench_hf.py [--clips 100] [--seconds 3]
        [--layers ,@4,@all] [--decoders ffmpeg,pyav]

CPU time on one thread, of this process and of all that it starts: the worker, and an ffmpeg for each clip unless
PyAV decodes. The bare forward is the feature extractor and the whole encoder on samples that lie in memory, each
clip at its own length. Importing torch, loading the weights and starting the worker are in neither: what a run
over `SHORT_RUN` clips takes is taken off. What an ffmpeg per clip takes by itself is stated beside it.
"""

from __future__ import annotations

import argparse
import os
import resource
import subprocess
import tempfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import checkout  # noqa: F401
import numpy as np
import torch
from dualstream.features import media
from dualstream.features.encoder import EncoderOptions, build
from dualstream.features.media import DecodeSettings, find_ffmpeg, read_clip
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.pipeline.cache import read_cache
from dualstream.pipeline.commands.extract import extract
from dualstream.pipeline.corpus.manifest import Manifest, Utterance, write_manifest
from dualstream.pipeline.extraction.clip_workers import LEAST_CLIPS
from dualstream.pipeline.extraction.options import ExtractionOptions, RunOptions
from numpy.typing import NDArray

MODEL = "whisper-tiny.en"
RATE_HZ = 16_000
DEPTH = 4  # its layers
ROUNDS = 3
SHORT_RUN = LEAST_CLIPS  # clips: as few as one worker process is started for
GOAL = 0.85


def cpu_s() -> NDArray[np.float64]:
    """Return the CPU time of this process, and of its children that have ended, seconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    return np.array([one.ru_utime + one.ru_stime for one in used])


def make_corpus(root: Path, clips: int, seconds: float, source: Path) -> Path:
    """Join EMO-DB's clips to clips of `seconds` and write them as FLAC; return their manifest."""
    voices = [read_clip(path, plan=WindowPlan(), sampling=Sampling(), settings=DecodeSettings(frame_size_px=None))
              for path in sorted(source.glob("*.flac"))[: 2 + clips // 10]]  # fmt: skip
    sound = np.concatenate([one.audio for one in voices if one.audio is not None])
    rows = []
    for number in range(clips):
        first = number * round(0.7 * RATE_HZ)
        part = np.take(sound, np.arange(first, first + round(seconds * RATE_HZ)), mode="wrap")
        media.write_clip(root / f"{number}.flac", None, 25, part, RATE_HZ, audio_codec="flac")
        rows.append(Utterance(f"c{number:03d}", f"{number}.flac", "train", emotion=("joy", "anger")[number % 2]))
    write_manifest(Manifest(tuple(rows)), root / "manifest.csv")
    return root / "manifest.csv"


def bare_s(sounds: Sequence[NDArray[np.float32]], folder: Path) -> float:
    """Return the CPU time of the whole network's forward on every sound."""
    model: Any = build("audio", f"hf:{folder}@{DEPTH}", EncoderOptions())
    started_s = cpu_s()
    for one in sounds:
        model.model.frames(one[None])
    return float((cpu_s() - started_s).sum())


def bare_decoding_s(paths: Sequence[Path]) -> float:
    """Return the CPU time of an ffmpeg for every clip that decodes it into a pipe and does nothing else."""
    binary, started_s = find_ffmpeg(), cpu_s()
    for path in paths:
        command = [binary, "-v", "error", "-nostdin", "-threads", "1", "-i", str(path), "-f", "f32le", "-"]
        subprocess.run(command, stdout=subprocess.PIPE, check=True)
    return float((cpu_s() - started_s)[1])


def extract_s(root: Path, audio: str, decoder: Any, out: Path) -> NDArray[np.float64]:
    """Return the CPU time of a run, less that of a short one: of this process, and of all that it starts."""
    options = ExtractionOptions(video=("none",), audio=(audio,), device="cpu", threads=1, decoder=decoder)
    run = RunOptions(workers=1, projection="none" if audio.endswith("@all") else "gaussian")
    used = []
    for manifest in ("manifest.csv", "short.csv"):
        started_s = cpu_s()
        extract(root / manifest, root=root, out=out.with_name(f"{manifest}.{out.name}"), options=options, run=run)
        used.append(cpu_s() - started_s)
    return used[0] - used[1]


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__.partition("\n")[0])  # type: ignore[union-attr]
    parser.add_argument("--clips", type=int, default=100)
    parser.add_argument("--seconds", type=float, default=3.0)
    parser.add_argument("--layers", default=f",@{DEPTH},@all", help="empty: the default layer")
    parser.add_argument("--decoders", default="ffmpeg,pyav")
    asked = parser.parse_args()
    if not {"DUALSTREAM_DATA", "DUALSTREAM_WEIGHTS"} <= os.environ.keys():
        print(f"nothing is measured: it takes EMO-DB below DUALSTREAM_DATA and {MODEL} below DUALSTREAM_WEIGHTS")
        return
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as scratch:
        measure(asked, Path(os.environ["DUALSTREAM_WEIGHTS"]) / MODEL, Path(scratch))


def measure(asked: argparse.Namespace, folder: Path, root: Path) -> None:
    """Measure each layer with each decoder, and print it."""
    total = SHORT_RUN + asked.clips
    manifest = make_corpus(root, total, asked.seconds, Path(os.environ["DUALSTREAM_DATA"]) / "emodb")
    lines = manifest.read_text().splitlines(keepends=True)
    (root / "short.csv").write_text("".join(lines[: 1 + SHORT_RUN]))
    paths = [root / f"{number}.flac" for number in range(SHORT_RUN, total)]
    settings = DecodeSettings(frame_size_px=None)
    sounds = []
    for path in paths:
        clip = read_clip(path, plan=WindowPlan(), sampling=Sampling(), settings=settings)
        assert clip.audio is not None
        sounds.append(clip.audio)
    decoding = min(bare_decoding_s(paths) for _ in range(ROUNDS))
    print(f"{asked.clips} clips of {asked.seconds:g} s; an ffmpeg each, bare: {decoding:.2f} s CPU")
    for layers in asked.layers.split(","):
        bare = min(bare_s(sounds, folder) for _ in range(ROUNDS))
        for decoder in asked.decoders.split(","):
            outs = [root / f"{layers}{decoder}{number}.h5" for number in range(ROUNDS)]
            taken = [extract_s(root, f"hf:{folder}{layers}", decoder, out) for out in outs]
            report(f"{MODEL}{layers}, {decoder}", bare, min(taken, key=np.sum), sum(map(len, sounds)) / RATE_HZ)
        report_size(root / f"manifest.csv.{outs[0].name}", total)


def report(name: str, bare: float, taken: NDArray[np.float64], total_s: float) -> None:
    """Print what a run took beside the bare forward."""
    print(
        f"{name}: extract {taken.sum():.2f} s CPU ({taken[1]:.2f} s of it outside of the run's own process), bare "
        f"forward {bare:.2f} s; bare / extract {bare / taken.sum():.2f} (asked for: {GOAL} or more); "
        f"{total_s / taken.sum():.0f} times real time"
    )


def report_size(path: Path, clips: int) -> None:
    """Print how large a cache is, and its shards."""
    width = read_cache(path).streams["audio"].utterance.shape[1]
    shards = sum(one.stat().st_size for one in Path(f"{path}.shards").rglob("*") if one.is_file())
    print(
        f"  per 1,000 utterances: cache {path.stat().st_size / clips / 1e3:.1f} MB ({width} columns), "
        f"shards {shards / clips / 1e3:.1f} MB"
    )


if __name__ == "__main__":
    main()
