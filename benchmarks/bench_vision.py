"""Measure encoders of frames: bf16 with channels-last against float32, and our calls against the bare network.

    python benchmarks/bench_vision.py [--network vgg16] [--device cpu] [--threads 1] [--batch 8] [--rounds 5]

Four ways through the same network with the same random weights, taken in turn in one process, A B C D A B C D:

    plain    torchvision's module as it comes: float32, channels first, frames already normalised
    fp32     `encode_frames` in float32 (channels-last, uint8 frames in, rows out)
    bf16     `encode_frames` in bf16
    bare16   the bf16 network alone under autocast, frames already normalised

A ratio is the median over rounds of the paired ratio, so that a busy machine slows both sides alike.
"""

from __future__ import annotations

import argparse
import json
import statistics
import time
from collections.abc import Callable

import checkout  # noqa: F401
import numpy as np
import torch
import torchvision
from dualstream.features.encoder import EncoderOptions
from dualstream.features.encoders.frozen import FrozenFrameEncoder, preprocess
from dualstream.features.encoders.vision import build_torchvision


def main() -> None:
    """Measure the encoder against the bare network, and print it."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--network", default="vgg16", help="a torchvision classification network")
    parser.add_argument("--device", default="cpu")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--batch", type=int, default=None, help="frames in one pass; default: the encoder's own")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--json", action="store_true")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)

    fp32, bf16 = (
        build_torchvision(
            options.network,
            EncoderOptions(weights="random:0", device=options.device, precision=precision),  # type: ignore[arg-type]
        )
        for precision in ("fp32", "bf16")
    )
    fp32.batch_size = bf16.batch_size = options.batch or fp32.batch_size
    size_px = fp32.frame_size_px
    shape = (fp32.batch_size, size_px, size_px, 3)
    frames = np.random.default_rng(0).integers(0, 256, shape, dtype=np.uint8)
    plain = torchvision.models.get_model(options.network).eval().to(fp32.device)
    pixels = torch.from_numpy(frames).to(fp32.device)
    normalised = preprocess(pixels, size_px, fp32.spec.parameters["mean"], fp32.spec.parameters["std"])
    channels_first = normalised.contiguous(memory_format=torch.contiguous_format)

    seconds = alternate(
        {
            "plain": lambda: forward(plain, channels_first, fp32, autocast=False),
            "fp32": lambda: fp32.encode_frames(frames),
            "bf16": lambda: bf16.encode_frames(frames),
            "bare16": lambda: forward(bf16.network, normalised, bf16, autocast=True),
        },
        options.rounds,
    )
    exact, rounded = fp32.encode_frames(frames), bf16.encode_frames(frames)
    found = {
        "network": options.network,
        "device": str(fp32.device),
        "threads": options.threads,
        "batch": fp32.batch_size,
        "torch": torch.__version__,
        "frames_per_s": {name: len(frames) / statistics.median(times) for name, times in seconds.items()},
        "bf16_over_fp32": ratio(seconds["fp32"], seconds["bf16"]),
        "bf16_over_plain": ratio(seconds["plain"], seconds["bf16"]),
        "fp32_over_plain": ratio(seconds["plain"], seconds["fp32"]),
        "bf16_over_its_bare_network": ratio(seconds["bare16"], seconds["bf16"]),
        "bf16_least_correlation": float(min(np.corrcoef(a, b)[0, 1] for a, b in zip(exact, rounded, strict=True))),
    }
    if options.json:
        print(json.dumps(found, indent=2))
        return
    print(
        f"{options.network} on {found['device']}, {options.threads} threads, batches of {fp32.batch_size}, "
        f"torch {torch.__version__}"
    )
    for name, rate in found["frames_per_s"].items():
        print(f"  {name:8} {rate:8.2f} frames/s")
    for name in ("bf16_over_fp32", "bf16_over_plain", "fp32_over_plain", "bf16_over_its_bare_network"):
        print(f"  {name:28} {found[name]:.2f}")
    print(f"  rows of bf16 and fp32 correlate by {found['bf16_least_correlation']:.5f} or more")


def forward(net: torch.nn.Module, x: torch.Tensor, of: FrozenFrameEncoder, *, autocast: bool) -> None:
    """Pass a batch through the network, and wait for it."""
    with torch.inference_mode(), torch.autocast(of.device.type, torch.bfloat16, enabled=autocast):
        net(x)
    if of.device.type == "cuda":
        torch.cuda.synchronize(of.device)


def alternate(ways: dict[str, Callable[[], object]], rounds: int) -> dict[str, list[float]]:
    """Run all ways in turn, `rounds` times after one for warming up; return seconds by way and round."""
    seconds: dict[str, list[float]] = {name: [] for name in ways}
    for number in range(rounds + 1):
        for name, way in ways.items():
            began = time.perf_counter()
            way()
            if number:
                seconds[name].append(time.perf_counter() - began)
    return seconds


def ratio(over: list[float], under: list[float]) -> float:
    """Return the median ratio of two lists of times."""
    return statistics.median(a / b for a, b in zip(over, under, strict=True))


if __name__ == "__main__":
    main()
