"""What a clip costs: decoding by ffmpeg and PyAV beside their bare floors, and the run beside its workers.

    python benchmarks/bench_workers.py [--clips 160] [--rounds 5] [--part decoders,run] [--cases free,wide,…]

decoders  processor time of all processes per clip as MELD's, of one decoding thread: `read_clip` by ffmpeg and by
          PyAV, exact and fast, and beside each the bare decoding of the same streams, in milliseconds, and the
          median of the paired ratios. Bare ffmpeg scales frames and resamples; bare PyAV decodes and drops.
run       processor time per clip of the run's own process and of all others, and clips a second with 1 and with 2
          workers: encoders that cost nothing (free: a few columns of sound; wide: 4,096 columns of frames, as
          VGG-16 has), `acoustic`, and whisper-tiny.en where DUALSTREAM_WEIGHTS has it (and without the forward
          passes, timed inside the run). What a run of 8 clips takes is taken off.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import checkout  # noqa: F401
import numpy as np
from bench_media import bare, make_clips
from dualstream.features.encoder import EncoderSpec, register
from dualstream.features.media import DecodeSettings, find_ffmpeg, read_clip
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.pipeline.commands.extract import extract
from dualstream.pipeline.corpus.manifest import Manifest, Utterance, write_manifest
from dualstream.pipeline.extraction import clip_workers
from dualstream.pipeline.extraction.options import ExtractionOptions, RunOptions

SHORT_RUN = 8  # clips
WIDE = 4096  # columns


class WideEncoder:
    """Costs nothing, and gives rows as wide as those of VGG-16."""

    def __init__(self) -> None:
        self.spec = EncoderSpec("wide", "video", WIDE, WIDE)
        self.frame_size_px, self.batch_size = 224, 8
        self._rows = np.random.default_rng(0).standard_normal((self.batch_size, WIDE), dtype=np.float32)

    def encode_frames(self, frames: np.ndarray) -> np.ndarray:
        """Return rows that are there already."""
        return self._rows[: len(frames)]


register("video", "wide", network=True)(lambda argument, options: WideEncoder())


def cpu_ms() -> tuple[float, float]:
    """Return the processor time of this process, and of its children that have ended, milliseconds."""
    used = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    own, others = (1000 * (one.ru_utime + one.ru_stime) for one in used)
    return own, others


def spent_ms(task: Callable[[], object]) -> float:
    """Return the processor time that a task takes in all processes, milliseconds."""
    before = sum(cpu_ms())
    task()
    return sum(cpu_ms()) - before


def bare_pyav(path: Path, speed: str) -> None:
    """Decode both streams and drop what comes."""
    import av

    with av.open(str(path)) as file:
        streams = [file.streams.video[0], file.streams.audio[0]]
        for stream in streams:
            stream.codec_context.thread_count = 1
        if speed == "fast":
            streams[0].codec_context.options = {"skip_frame": "noref", "skip_loop_filter": "all"}
        for packet in file.demux(streams):
            packet.decode()


def ours_and_floor(path: Path, settings: DecodeSettings, ffmpeg: str) -> tuple[float, float]:
    """Return the processor time of reading a clip, and of its bare decoding, milliseconds."""
    how: dict[str, Any] = {"plan": WindowPlan(), "sampling": Sampling(), "settings": settings, "ffmpeg": ffmpeg}
    ours = spent_ms(lambda: read_clip(path, **how))
    if settings.decoder == "pyav":
        return ours, spent_ms(lambda: bare_pyav(path, settings.speed))
    return ours, spent_ms(lambda: bare(path, ffmpeg, settings))


def decoders(clips: list[Path], rounds: int) -> dict[str, Any]:
    """Measure both decoders at both speeds beside their floors."""
    ffmpeg, report = find_ffmpeg(), {}
    for speed in ("exact", "fast"):
        for decoder in ("ffmpeg", "pyav"):
            settings = DecodeSettings(speed=speed, decoder=decoder)  # type: ignore[arg-type]
            pairs = []
            for number in range(rounds + 1):
                for path in clips:
                    pair = ours_and_floor(path, settings, ffmpeg)
                    pairs += [pair] if number else []  # the first round loads what is loaded late
            report[f"{decoder} {speed}"] = {
                "ms": round(statistics.mean(one for one, _ in pairs), 1),
                "bare_ms": round(statistics.mean(one for _, one in pairs), 1),
                "over_bare": round(statistics.median(one / other for one, other in pairs), 3),
            }
    return report


def run_once(folder: Path, clips: list[Path], count: int, workers: int, **options: Any) -> np.ndarray:
    """Extract `count` clips in worker processes; return own and other processor time and wall time, ms."""
    rows = [Utterance(f"c{number:05d}", clips[number % len(clips)].name, "train") for number in range(count)]
    write_manifest(Manifest(tuple(rows)), folder / "manifest.csv")
    with tempfile.TemporaryDirectory() as out:
        before, started = np.array(cpu_ms()), time.monotonic()
        how = ExtractionOptions(**options)
        at_once = RunOptions(workers=workers, projection="none")
        extract(folder / "manifest.csv", root=folder, out=Path(out) / "cache.h5", options=how, run=at_once)
        return np.array([*(np.array(cpu_ms()) - before), 1000 * (time.monotonic() - started)])


def run(folder: Path, clips: list[Path], count: int, only: str) -> dict[str, Any]:
    """Measure runs with several encoders, and what each clip adds to them."""
    clip_workers.LEAST_CLIPS = 0
    report: dict[str, Any] = {}
    cases: dict[str, dict[str, Any]] = {
        "free": {"video": ("none",), "audio": ("acoustic",), "max_clip_s": 0.05},
        "wide": {"video": ("wide",), "audio": ("none",)},
        "acoustic": {"video": ("none",), "audio": ("acoustic",)},
    }
    whisper = Path(os.environ.get("DUALSTREAM_WEIGHTS", "")) / "whisper-tiny.en"
    if whisper.is_dir():
        cases["whisper-tiny"] = {"video": ("none",), "audio": (f"hf:{whisper}",)}
    for name, options in cases.items():
        if only and name not in only.split(","):
            continue
        run_once(folder, clips, SHORT_RUN, 1, **options)  # imports what is loaded late
        for workers in (1, 2):
            few, few_network = timed(folder, clips, SHORT_RUN, workers, **options)
            many, many_network = timed(folder, clips, SHORT_RUN + count, workers, **options)
            own, others, wall = (many - few) / count
            network = (many_network - few_network) / count
            report[f"{name}, {workers} workers"] = {
                "own_ms_per_clip": round(float(own), 2),
                **({"own_beside_the_network_ms_per_clip": round(float(own) - network, 2)} if network else {}),
                "others_ms_per_clip": round(float(others), 1),
                "clips_per_s": round(1000 / float(wall), 1),
            }
    return report


def timed(folder: Path, clips: list[Path], count: int, workers: int, **options: Any) -> tuple[np.ndarray, float]:
    """Return what `run_once` gives, and the processor time of the network's forward passes in that run, ms."""
    from dualstream.features.pretrained.layers import Tap

    spent, forward = [0.0], Tap.run

    def run_timed(self: Tap, *arguments: Any, **named: Any) -> Any:
        started = time.thread_time()
        try:
            return forward(self, *arguments, **named)
        finally:
            spent[0] += 1000 * (time.thread_time() - started)

    Tap.run = run_timed  # type: ignore[method-assign]
    try:
        return run_once(folder, clips, count, workers, **options), spent[0]
    finally:
        Tap.run = forward  # type: ignore[method-assign]


def main() -> None:
    """Measure what is asked for, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--clips", type=int, default=160)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--part", default="decoders,run")
    parser.add_argument("--cases", default="", help="of the runs; default: all")
    told = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        clips = make_clips(folder, 3, find_ffmpeg())
        report: dict[str, Any] = {"cpus": os.cpu_count(), "torch_threads": 1, "decoding_threads": 1}
        if "decoders" in told.part:
            report["decoders"] = decoders(clips, told.rounds)
        if "run" in told.part:
            report["run"] = run(folder, clips, told.clips, told.cases)
    print(json.dumps(report, indent=1))


if __name__ == "__main__":
    main()
