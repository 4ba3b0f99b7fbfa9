"""Training an encoder: samples a second of the whole loop over those of the bare network, forward and backward.

The floor is the network alone, on a batch that lies on the device already, with the gradients of the arrays that
train. The loop adds: gathering samples from disk, augmentation, heads, losses, task balance, gradient cutting,
AdamW. Epochs of the loop and stretches of the floor alternate; ratios are taken round by round.

    python benchmarks/bench_training.py --encoder vgg16 --device cuda --precision bf16 --batch-size 64
    python benchmarks/bench_training.py --encoder cnn5 --steps 8
"""

from __future__ import annotations

import argparse
import statistics
import tempfile
import time
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
import torch
from dualstream.features import log_mel
from dualstream.features.encoders.frozen import usable_device
from dualstream.features.trainable import TrainableEncoder, build_trainable
from dualstream.pipeline.encoder_training.document import EpochNews
from dualstream.pipeline.encoder_training.engine import EncoderTraining
from dualstream.pipeline.encoder_training.objective import SampleLabels
from dualstream.pipeline.encoder_training.options import TrainOptions
from dualstream.pipeline.encoder_training.samples import Samples
from dualstream.pipeline.encoder_training.schedule import depths

CLASSES = 7
PER_UTTERANCE = 4  # samples
TARGET = 0.85  # of the floor, on a GPU


def main() -> None:
    """Alternate epochs and floors, and print their ratio."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--encoder", default="cnn5", help="cnn5, vgg16 or bilstm")
    parser.add_argument("--device", default="cpu", help="cpu, cuda or cuda:N")
    parser.add_argument("--precision", default="fp32", choices=("fp32", "bf16"))
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--steps", type=int, default=12, help="steps of an epoch")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--unfreeze", default="fc7,fc6,block5", help="blocks of vgg16 that train beside its layer")
    parser.add_argument("--threads", type=int, default=1, help="of torch, on a CPU")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    device = usable_device(options.device)
    blocks = tuple(options.unfreeze.split(",")) if options.encoder == "vgg16" and options.unfreeze else ()
    warm_up = len(blocks) + 1  # epochs until every block trains, and the kernels are chosen
    how = TrainOptions(
        epochs=warm_up + options.rounds,
        patience=0,
        batch_size=options.batch_size,
        unfreeze=blocks,
        precision=options.precision,
    )
    samples, labels = drawn(options.encoder, options.batch_size * options.steps)
    floor = Floor(build_trainable(options.encoder, "random:0"), samples, how, device)
    loops, floors = [], []

    def look(news: EpochNews) -> None:
        bare = floor.rate(options.steps)
        if news.record.epoch > warm_up:
            loops.append(len(samples) / news.train_seconds)
            floors.append(bare)

    with tempfile.TemporaryDirectory() as folder:
        EncoderTraining(
            build_trainable(options.encoder, "random:0"), samples, labels, how, device=device,
            identity="benchmark", checkpoint=Path(folder) / "checkpoint.safetensors", checkpoint_s=1e9,
            report=look,
        ).run()  # fmt: skip
    where = torch.cuda.get_device_name(device) if device.type == "cuda" else f"cpu, {options.threads} threads"
    print(f"{options.encoder}, {options.precision}, batches of {options.batch_size}, {where}")
    print(f"floor {statistics.median(floors):.1f} samples/s, loop {statistics.median(loops):.1f} samples/s")
    ratios = sorted(loop / bare for loop, bare in zip(loops, floors, strict=True))
    print(f"ratio {statistics.median(ratios):.3f}, {ratios[0]:.3f} to {ratios[-1]:.3f} over {len(ratios)} rounds")
    if device.type == "cuda":
        print(f"target {TARGET} of the floor: {'reached' if statistics.median(ratios) >= TARGET else 'MISSED'}")


def drawn(encoder: str, count: int) -> tuple[Samples, SampleLabels]:
    """Return noise with labels: frames of the encoder's size, or a second of log-mel frames."""
    rng = np.random.default_rng(0)
    size = build_trainable(encoder, "random:0").decode["frame_size_px"]
    lengths = np.ones(count, np.int64)
    if size is None:
        x = rng.normal(-6, 4, (count, log_mel.FRAMES_PER_S + 1, log_mel.BANDS)).astype(np.float32)
        lengths = rng.integers(log_mel.FRAMES_PER_S // 2, log_mel.FRAMES_PER_S + 1, count)
    else:
        x = rng.integers(0, 256, (count, size, size, 3), np.uint8)
    owner = np.arange(count) // PER_UTTERANCE
    utterances = int(owner[-1]) + 1
    codes = np.arange(utterances) % CLASSES
    train = np.ones(utterances, np.bool_)
    labels = SampleLabels(codes, codes % 3, {"emotion": CLASSES, "sentiment": 3}, train, ~train)
    return Samples((x,), lengths, owner, ("",) * utterances, ()), labels


class Floor:
    """The bare network, forward and backward, on one batch that stays where it is."""

    def __init__(self, one: TrainableEncoder, samples: Samples, how: TrainOptions, device: torch.device) -> None:
        self.net = one.net.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.net.train()
        trained = depths(one, how)
        for name, array in self.net.named_parameters():
            array.requires_grad_(name in trained)
        x, lengths = samples.gather(np.arange(how.batch_size))
        self.inputs = one.prepare(torch.from_numpy(x).to(device), torch.from_numpy(lengths), None)
        self.device, self.bf16, self.batch_size = device, how.precision == "bf16", how.batch_size

    def rate(self, steps: int) -> float:
        """Return samples a second over `steps` passes."""
        self._wait()
        started_s = time.perf_counter()
        for _ in range(steps):
            self.net.zero_grad(set_to_none=True)
            with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.bf16):
                rows = self.net(*self.inputs)
            rows.float().sum().backward()
        self._wait()
        return self.batch_size * steps / (time.perf_counter() - started_s)

    def _wait(self) -> None:
        if self.device.type == "cuda":
            torch.cuda.synchronize(self.device)


if __name__ == "__main__":
    main()
