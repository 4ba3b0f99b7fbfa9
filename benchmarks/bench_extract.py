"""Measure extraction as a whole: how near it is to the forward pass, to bare ffmpeg, and how its memory grows.

    python benchmarks/bench_extract.py [--part device,decode,memory] [--rounds 5] [--device cpu]

device   frames a second of the whole pipeline (decode, hash, encode, commit) over those of the forward passes
         alone: same network (VGG-16, random weights), precision, batches and torch threads. Goal 0.90.
decode   clips a second of the whole pipeline with encoders that cost nothing, over those of bare ffmpeg processes
         that write the same frames and sound and throw them away, as many side by side. Goal 0.85.
memory   peak resident size of the real command on 100 and on 2,000 short clips (goal: less than 10 % apart), and
         on a clip of one minute and of one hour.

Both sides of a ratio alternate in one run, A B B A; a ratio is the median of the paired ratios. Clips are as
MELD's: 1280x720, h264, AAC 5.1. Beside the ratio of wall times stands that of CPU times, which a busy machine
disturbs less: in `device` of the thread that encodes (decoding has other cores), in `decode` of this process and
all its children.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from bench_media import bare, make_clips
from checkout import ROOT
from dualstream.features.encoder import EncoderOptions, EncoderSpec, StreamFeatures, build
from dualstream.features.media import DecodeSettings, find_ffmpeg
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.extraction.build_shards import ShardJob, make_shards
from dualstream.pipeline.extraction.recipe import ExtractionOptions, Recipe, make_recipe
from dualstream.pipeline.extraction.shards import commit_shard, pack_shard, split_in_shards
from dualstream.pipeline.extraction.staleness import Hasher
from numpy.typing import NDArray


@dataclass
class FreeVideo:
    """A video encoder that costs nothing."""

    spec: EncoderSpec = field(default_factory=lambda: EncoderSpec("free", "video", 100, 100))
    frame_size_px: int = 224
    batch_size: int = 16

    def encode_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Return some of the pixels as they are."""
        return frames[:, 0, :100, 0].astype(np.float32)


@dataclass
class FreeAudio:
    """An audio encoder that costs nothing."""

    spec: EncoderSpec = field(default_factory=lambda: EncoderSpec("free", "audio", 4, 4))
    sample_rate_hz: int = 16_000

    def encode_audio(
        self, audio: NDArray[np.float32], starts_s: NDArray[np.float64], length_s: float, covered_s: Any
    ) -> StreamFeatures:
        """Return zeros."""
        count = len(starts_s)
        rows = np.zeros((count, 4), np.float32)
        return StreamFeatures(rows[0], True, rows, np.ones(count, bool), starts_s + length_s / 2)


def free(stream: str, text: str, options: EncoderOptions) -> Any:
    """Build what costs nothing."""
    return FreeVideo() if stream == "video" else FreeAudio()


Spent = tuple[float, float]  # wall and CPU seconds
Clock = Callable[[], float]


def children_time() -> float:
    """Return CPU seconds of this process and of the children that have ended."""
    mine, theirs = resource.getrusage(resource.RUSAGE_SELF), resource.getrusage(resource.RUSAGE_CHILDREN)
    return mine.ru_utime + mine.ru_stime + theirs.ru_utime + theirs.ru_stime


def extract_all(clips: list[Path], recipe: Recipe, folder: Path, workers: int, clock: Clock) -> Spent:
    """Extract all clips, a shard at a time, and commit each; return the seconds that it took."""
    utterances = [Utterance(f"u{i}", clip.name, "train") for i, clip in enumerate(clips)]
    jobs = [ShardJob(index, group) for index, group in enumerate(split_in_shards(utterances, 32))]
    started_s, started_cpu_s = time.perf_counter(), clock()
    for made in make_shards(jobs, recipe, Hasher(clips[0].parent), workers=workers):
        commit_shard(folder, made.job.index, pack_shard(made.shard))
    return time.perf_counter() - started_s, clock() - started_cpu_s


def paired(one: Callable[[], Spent], other: Callable[[], Spent], rounds: int) -> dict[str, Any]:
    """Return the median seconds of both and of the paired ratio other / one; A B, then B A, and so on."""
    pairs = []
    for number in range(rounds):
        if number % 2:
            second, first = other(), one()
        else:
            first, second = one(), other()
        pairs.append((first, second))
    ratios = [b[0] / a[0] for a, b in pairs]
    return {
        "pipeline_s": round(statistics.median(a[0] for a, _ in pairs), 3),
        "bare_s": round(statistics.median(b[0] for _, b in pairs), 3),
        "cpu_ratio": round(statistics.median(b[1] / a[1] for a, b in pairs), 3),
        "ratio": round(statistics.median(ratios), 3),
        "ratios": [round(ratio, 3) for ratio in sorted(ratios)],
    }


def device_part(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the pipeline against its forward passes."""
    clips = make_clips(folder, options.clips, find_ffmpeg())
    wanted = ExtractionOptions(
        video=("vgg16",),
        audio=("none",) if options.video_only else ("acoustic",),
        video_weights=("random:0",),
        device=options.device,
        precision=options.precision,
        threads=options.threads,
    )
    recipe = make_recipe(wanted, build_encoder=build)
    encoder = recipe.plan.video["video"]
    frames_of: list[int] = []
    counted = encoder.encode_frames

    def counting(frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        frames_of.append(len(frames))
        return counted(frames)

    encoder.encode_frames = counting  # type: ignore[method-assign]
    extract_all(clips, recipe, folder, options.workers, time.thread_time)  # warm up, and see the batches
    batches = list(frames_of)
    pixels = np.random.default_rng(0).integers(0, 256, (max(batches), 224, 224, 3), dtype=np.uint8)

    def forward() -> Spent:
        started_s, started_cpu_s = time.perf_counter(), time.thread_time()
        for size in batches:
            counted(pixels[:size])
        return time.perf_counter() - started_s, time.thread_time() - started_cpu_s

    def pipeline() -> Spent:
        return extract_all(clips, recipe, folder, options.workers, time.thread_time)

    result = paired(pipeline, forward, options.rounds)
    frames = sum(batches)
    return {
        "network": "vgg16 random:0",
        "audio": wanted.audio[0],
        "precision": options.precision,
        "device": recipe.environment["processor"],
        "torch_threads": recipe.environment["threads"],
        "workers": options.workers,
        "clips": len(clips),
        "frames": frames,
        "batches": batches,
        "pipeline_frames_per_s": round(frames / result["pipeline_s"], 2),
        "forward_frames_per_s": round(frames / result["bare_s"], 2),
        **result,
    }


def decode_part(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the pipeline with free encoders against bare ffmpeg processes."""
    ffmpeg = find_ffmpeg()
    made = make_clips(folder, 6, ffmpeg)
    clips = []
    for number in range(options.decode_clips):
        clips.append(folder / f"copy{number}.mp4")
        shutil.copy(made[number % len(made)], clips[-1])
    recipe = make_recipe(ExtractionOptions(video=("free",), audio=("free",), device="cpu"), build_encoder=free)
    settings = DecodeSettings()

    def processes() -> Spent:
        started_s, started_cpu_s = time.perf_counter(), children_time()
        with ThreadPoolExecutor(options.workers) as pool:
            list(pool.map(lambda clip: bare(clip, ffmpeg, settings), clips))
        return time.perf_counter() - started_s, children_time() - started_cpu_s

    def pipeline() -> Spent:
        return extract_all(clips, recipe, folder, options.workers, children_time)

    extract_all(clips[:8], recipe, folder, options.workers, children_time)
    result = paired(pipeline, processes, options.rounds)
    return {
        "workers": options.workers,
        "clips": len(clips),
        "pipeline_clips_per_s": round(len(clips) / result["pipeline_s"], 2),
        "bare_clips_per_s": round(len(clips) / result["bare_s"], 2),
        **result,
    }


def memory_part(folder: Path, options: argparse.Namespace) -> dict[str, Any]:
    """Measure the peak resident size of the real command."""
    ffmpeg = find_ffmpeg()

    def draw(name: str, seconds: float, rate: int) -> Path:
        path = folder / name
        picture = f"testsrc2=s=160x120:r={rate}:d={seconds}"
        command = [
            *(ffmpeg, "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", picture),
            *("-f", "lavfi", "-i", f"sine=f=300:r=16000:d={seconds}", "-c:v", "libx264", "-preset", "ultrafast"),
            *("-pix_fmt", "yuv420p", "-c:a", "aac", str(path)),
        ]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        return path

    def peak_mb(names: list[str]) -> float:
        manifest = folder / "manifest.csv"
        rows = "".join(f"u{i},{name},train\n" for i, name in enumerate(names))
        manifest.write_text("id,path,split\n" + rows)
        out = folder / "out"
        shutil.rmtree(out, ignore_errors=True)
        command = [
            *(sys.executable, str(ROOT / "cli.py"), "extract", str(manifest), "--root", str(folder)),
            *("--out", str(out / "cache.h5"), "--video", "cnn5", "--video-weights", "random:0", "--device", "cpu"),
            *("--threads", "1", "--workers", str(options.workers)),
        ]
        process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
        _, status, usage = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
        assert process.returncode == 0, process.returncode
        return usage.ru_maxrss / 1024

    draw("short.mp4", 0.6, 10)
    for number in range(2000):
        shutil.copy(folder / "short.mp4", folder / f"short{number}.mp4")
    few = peak_mb([f"short{number}.mp4" for number in range(100)])
    many = peak_mb([f"short{number}.mp4" for number in range(2000)])
    draw("minute.mp4", 60, 5)
    draw("hour.mp4", 3600, 5)
    minute, hour = peak_mb(["minute.mp4"]), peak_mb(["hour.mp4"])
    return {
        "clips_100_mb": round(few, 1),
        "clips_2000_mb": round(many, 1),
        "growth": round(many / few - 1, 4),
        "minute_mb": round(minute, 1),
        "hour_mb": round(hour, 1),
        "hour_over_minute": round(hour / minute, 3),
    }


PARTS = {"device": device_part, "decode": decode_part, "memory": memory_part}


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--part", default="device,decode,memory")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--clips", type=int, default=24, help="of the device part")
    parser.add_argument("--decode-clips", type=int, default=32, help="of the decode part")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--precision", default="fp32")
    parser.add_argument("--threads", type=int, default=1, help="torch threads of both sides")
    parser.add_argument("--workers", type=int, default=len(os.sched_getaffinity(0)))
    parser.add_argument("--video-only", action="store_true", help="the device part without sound")
    options = parser.parse_args()
    document: dict[str, Any] = {"cpus": os.cpu_count()}
    for part in options.part.split(","):
        with tempfile.TemporaryDirectory() as folder:
            document[part] = PARTS[part](Path(folder), options)
    print(json.dumps(document, indent=2))


if __name__ == "__main__":
    main()
