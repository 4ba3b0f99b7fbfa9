"""What gpu_box.py works on: clips as MELD's, drawn on the box by what is there, and networks of random weights."""

from __future__ import annotations

import csv
import importlib.util
import os
import shutil
import subprocess
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np

DISTINCT = 48
LENGTHS_S = (1.5, 2.5, 3.6)  # MELD's quartiles


def has_ffmpeg() -> bool:
    """Tell whether clips can be decoded by ffmpeg's processes."""
    return bool(shutil.which("ffmpeg") or importlib.util.find_spec("imageio_ffmpeg")) and bool(
        importlib.util.find_spec("ffmpeg")
    )


def has_pyav() -> bool:
    """Tell whether clips can be decoded by PyAV."""
    return importlib.util.find_spec("av") is not None


def make_corpus(work: Path, counts: dict[str, int], workers: int) -> dict[str, Any]:
    """Draw clips as MELD's, and give them the names of corpora of so many clips, with two labels."""
    started = time.monotonic()
    draw = draw_by_ffmpeg if has_ffmpeg() else draw_by_pyav
    sources = [work / f"source{number}.mp4" for number in range(min(max(counts.values()), DISTINCT))]
    with ThreadPoolExecutor(workers) as pool:
        list(pool.map(lambda number: draw(sources[number], number), range(len(sources))))
    for name, count in counts.items():
        (work / name).mkdir()
        with open(work / f"{name}.csv", "w", newline="", encoding="utf-8") as file:
            rows = csv.writer(file)
            rows.writerow(["id", "path", "split", "emotion"])
            for number in range(count):
                os.link(sources[number % len(sources)], work / name / f"c{number:05d}.mp4")
                split, label = ("train", "train", "dev")[number % 3], ("joy", "anger")[number // 3 % 2]
                rows.writerow([f"c{number:05d}", f"c{number:05d}.mp4", split, label])
    return {"s": round(time.monotonic() - started, 1), "by": draw.__name__, "distinct": len(sources)}


def draw_by_ffmpeg(path: Path, number: int) -> None:
    """Draw a clip with grain, 2,500 kbit/s, and six channels of tones."""
    seconds = LENGTHS_S[number % len(LENGTHS_S)]
    binary = shutil.which("ffmpeg")
    if binary is None:
        import imageio_ffmpeg

        binary = imageio_ffmpeg.get_ffmpeg_exe()
    tones = "|".join(
        f"0.3*sin(2*PI*{hz}*t)+0.02*random({n})" for n, hz in enumerate((300, 500, 440, 60, 700, 900))
    )
    picture = f"testsrc2=s=1280x720:r=27021/1127:d={seconds},noise=alls=12:allf=t:all_seed={number}"
    command = [binary, "-nostdin", "-v", "error", "-y", "-f", "lavfi", "-i", picture, "-f", "lavfi", "-i",
               f"aevalsrc='{tones}':c=5.1:s=48000:d={seconds}", "-c:v", "libx264", "-b:v", "2500k",
               "-pix_fmt", "yuv420p", "-threads", "1", "-c:a", "aac", "-b:a", "384k", str(path)]  # fmt: skip
    subprocess.run(command, check=True, stdin=subprocess.DEVNULL)


def draw_by_pyav(path: Path, number: int) -> None:
    """Draw the like by PyAV, where there is no ffmpeg."""
    from fractions import Fraction

    import av

    rate, rng = Fraction(27021, 1127), np.random.default_rng(number)
    seconds = LENGTHS_S[number % len(LENGTHS_S)]
    grain = rng.normal(0, 6, (8, 720, 1280, 1))
    ramp = np.add.outer(np.arange(720), np.arange(1280))[:, :, None] * np.array([0.1, 0.2, 0.3])
    with av.open(str(path), "w") as out:
        video = out.add_stream("libx264", rate=rate, options={"threads": "1"})
        video.width, video.height, video.pix_fmt, video.bit_rate = 1280, 720, "yuv420p", 2_500_000
        sound = out.add_stream("aac", rate=48_000, layout="5.1")
        sound.bit_rate = 384_000
        for at in range(round(seconds * rate)):
            picture = (ramp + 9 * at) % 256 + grain[at % len(grain)]
            frame = av.VideoFrame.from_ndarray(picture.clip(0, 255).astype(np.uint8), format="rgb24")
            frame.pts, frame.time_base = at, 1 / rate
            out.mux(video.encode(frame))
        out.mux(video.encode(None))
        hz = np.array([300, 500, 440, 60, 700, 900])[:, None]
        for at in range(0, round(seconds * 48_000), 1024):
            tones = 0.3 * np.sin(2 * np.pi * hz * (at + np.arange(1024)) / 48_000) + rng.normal(0, 0.01, (6, 1024))
            piece = av.AudioFrame.from_ndarray(tones.astype(np.float32), format="fltp", layout="5.1")
            piece.sample_rate, piece.pts, piece.time_base = 48_000, at, Fraction(1, 48_000)
            out.mux(sound.encode(piece))
        out.mux(sound.encode(None))


def make_hf(folder: Path) -> dict[str, Any]:
    """Save networks of random weights, of the sizes of Whisper tiny and ViT base, with their preprocessors."""
    import torch
    from transformers import (
        ViTConfig,
        ViTImageProcessor,
        ViTModel,
        WhisperConfig,
        WhisperFeatureExtractor,
        WhisperModel,
    )

    torch.manual_seed(0)
    WhisperModel(WhisperConfig()).save_pretrained(folder / "tiny-whisper")
    WhisperFeatureExtractor().save_pretrained(folder / "tiny-whisper")
    ViTModel(ViTConfig()).save_pretrained(folder / "vit")
    ViTImageProcessor().save_pretrained(folder / "vit")
    return {"made": ["tiny-whisper", "vit"]}
