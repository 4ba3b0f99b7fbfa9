"""How much read_clip costs beyond the ffmpeg process that it runs, and what `--decode fast` gives for what.

    python benchmarks/bench_media.py [--ffmpeg PATH] [--clips 6] [--rounds 7] [--readers 1]

1. Clips a second through `read_clip` over those through bare ffmpeg processes that write the same frames and
   the same sound to the null device. Both sides alternate clip by clip in one run, the order changing each time;
   one decoding thread each, `--readers` threads side by side. The clips are as MELD's: 1280x720, 27021/1127 fps,
   AAC 5.1, with grain so that they are as hard to decode.
2. Time and PSNR of `fast` against `exact` on the same clips (and on real ones in $DUALSTREAM_DATA/clips).
"""

from __future__ import annotations

import argparse
import json
import os
import statistics
import subprocess
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from dualstream.features.media import Clip, DecodeSettings, decoder_version, find_ffmpeg, read_clip
from dualstream.features.windows import Sampling, WindowPlan

PLAN, SAMPLING = WindowPlan(), Sampling()
LENGTHS_S = (1.5, 2.5, 3.6)  # MELD's quartiles and the clip of the stated figure


def make_clips(folder: Path, count: int, ffmpeg: str) -> list[Path]:
    """Make clips as MELD's, with film grain."""
    clips = []
    tones = "|".join(
        f"0.3*sin(2*PI*{hz}*t)+0.02*random({at})" for at, hz in enumerate((300, 500, 440, 60, 700, 900))
    )
    for at in range(count):
        duration_s = LENGTHS_S[at % len(LENGTHS_S)]
        picture = f"testsrc2=s=1280x720:r=27021/1127:d={duration_s},noise=alls=12:allf=t:all_seed={at}"
        path = folder / f"clip{at}.mp4"
        command = [
            ffmpeg, "-nostdin", "-v", "error", "-y",
            "-f", "lavfi", "-i", picture,
            "-f", "lavfi", "-i", f"aevalsrc='{tones}':c=5.1:s=48000:d={duration_s}",
            "-c:v", "libx264", "-b:v", "2500k", "-pix_fmt", "yuv420p", "-c:a", "aac", "-b:a", "384k", str(path),
        ]  # fmt: skip
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
        clips.append(path)
    return clips


def bare(path: Path, ffmpeg: str, settings: DecodeSettings) -> None:
    """Run the plain command that a person would write for the same output, thrown away."""
    size = settings.frame_size_px
    fast = ["-skip_frame:v", "noref", "-skip_loop_filter:v", "all"] if settings.speed == "fast" else []
    command = [
        ffmpeg, "-nostdin", "-v", "error", "-y", "-threads", "1", "-filter_threads", "1", *fast, "-i", str(path),
        "-map", "0:v:0", "-vf", f"fps={1 / PLAN.hop_s},scale={size}:{size}:flags=bilinear",
        "-pix_fmt", "rgb24", "-f", "rawvideo", os.devnull,
        "-map", "0:a:0", "-ac", "1", "-ar", str(settings.sample_rate_hz), "-f", "f32le", os.devnull,
    ]  # fmt: skip
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def read(path: Path, ffmpeg: str, settings: DecodeSettings) -> Clip:
    """Read one clip as extract does."""
    return read_clip(path, plan=PLAN, sampling=SAMPLING, settings=settings, ffmpeg=ffmpeg)


def timed(work: Callable[[Path], object], clips: list[Path], readers: int) -> float:
    """Return the seconds that `work` takes over all clips."""
    start = time.perf_counter()
    if readers == 1:
        for clip in clips:
            work(clip)
    else:
        with ThreadPoolExecutor(readers) as pool:
            list(pool.map(work, clips))
    return time.perf_counter() - start


def paired(
    one: Callable[[Path], object], other: Callable[[Path], object], clips: list[Path], rounds: int, readers: int
) -> tuple[float, float, list[float]]:
    """Return the median seconds a clip of both, and `other` over `one` of every pair; A B, then B A, and so on."""
    groups = [[clip] for clip in clips] if readers == 1 else [clips]
    seconds: tuple[list[float], list[float]] = ([], [])
    ratios = []
    for at in range(rounds):
        for group in groups:
            order = [(0, one), (1, other)] if at % 2 == 0 else [(1, other), (0, one)]
            pair = {which: timed(work, group, readers) / len(group) for which, work in order}
            seconds[0].append(pair[0])
            seconds[1].append(pair[1])
            ratios.append(pair[1] / pair[0])
    return statistics.median(seconds[0]), statistics.median(seconds[1]), ratios


def psnr_db(a: np.ndarray, b: np.ndarray) -> float:
    """Return the peak signal-to-noise ratio of two sets of 8-bit frames, decibels."""
    error = np.mean((a.astype(np.float64) - b.astype(np.float64)) ** 2)
    return float("inf") if error == 0 else float(10 * np.log10(255**2 / error))


def main() -> None:
    """Measure and print one JSON document."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--ffmpeg", default=None)
    parser.add_argument("--clips", type=int, default=6)
    parser.add_argument("--rounds", type=int, default=7)
    parser.add_argument("--readers", type=int, default=1)
    options = parser.parse_args()
    ffmpeg = find_ffmpeg(options.ffmpeg)
    exact = DecodeSettings()
    fast = replace(exact, speed="fast")
    with tempfile.TemporaryDirectory() as folder:
        clips = make_clips(Path(folder), options.clips, ffmpeg)
        read(clips[0], ffmpeg, exact)  # warm up imports and the disk cache
        ours, plain, ratios = paired(
            lambda c: read(c, ffmpeg, exact),
            lambda c: bare(c, ffmpeg, exact),
            clips,
            options.rounds,
            options.readers,
        )
        _, _, gain = paired(
            lambda c: read(c, ffmpeg, fast),
            lambda c: read(c, ffmpeg, exact),
            clips,
            options.rounds,
            options.readers,
        )
        result = {
            "ffmpeg": decoder_version(ffmpeg),
            "decoding_threads": 1,
            "readers": options.readers,
            "cpus": os.cpu_count(),
            "read_clip_s": round(ours, 4),
            "bare_ffmpeg_s": round(plain, 4),
            "read_clip_over_bare": round(statistics.median(ratios), 3),
            "quartiles": [round(q, 3) for q in np.percentile(ratios, (25, 75))],
            "exact_over_fast_time": round(statistics.median(gain), 3),
            "fast_psnr_db": {"made": same_instants_psnr(clips, ffmpeg, exact, fast)},
        }
        data = os.environ.get("DUALSTREAM_DATA")
        if data:
            real = sorted(Path(data, "clips").glob("*.m[op]*"))
            result["fast_psnr_db"]["real"] = same_instants_psnr(real, ffmpeg, exact, fast)
    print(json.dumps(result, indent=2))


def same_instants_psnr(
    clips: list[Path], ffmpeg: str, exact: DecodeSettings, fast: DecodeSettings
) -> dict[str, float]:
    """Compare the frames of windows that both have: as they come, and where both chose the same picture."""
    every, same = [], []
    for path in clips:
        a, b = read(path, ffmpeg, exact), read(path, ffmpeg, fast)
        _, at_a, at_b = np.intersect1d(a.frame_window, b.frame_window, return_indices=True)
        for i, j in zip(at_a, at_b, strict=True):
            value = min(psnr_db(a.frames[i], b.frames[j]), 99.0)
            every.append(value)
            if abs(a.frame_time_s[i] - b.frame_time_s[j]) < 1e-6:
                same.append(value)
    return {
        "median": round(float(np.median(every)), 1),
        "median_same_picture": round(float(np.median(same)), 1) if same else float("nan"),
        "share_same_picture": round(len(same) / max(1, len(every)), 3),
    }


if __name__ == "__main__":
    main()
