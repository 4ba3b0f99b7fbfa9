"""A frozen network over frames: what all video encoders with weights share.

Preprocessing, precision and device are here; which network it is, is the business of vision.py and cnn.py.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Mapping, Sequence
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any

import numpy as np
from dualstream.features.encoder import EncoderOptions, EncoderSpec
from dualstream.features.weights import WeightsRecord
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from torch import Tensor, nn

CPU_BATCH = 8  # frames; VGG-16 in bf16, one core: 6.35, 6.1, 5.96, 5.91 frames/s in batches of 4, 8, 16, 32
CUDA_BATCH = 64  # 1.6 GB of activations for VGG-16 in float32


class FrozenFrameEncoder:
    """Frames through a network in evaluation mode; keeps the VideoEncoder protocol.

    A row depends on its own frame alone: there is no batch statistic and no dropout. But the kernels that
    torch picks may round otherwise for another batch size (VGG-16 on a CPU: by 1e-6 of the largest entry in
    fp32, 4e-4 in bf16), so whoever wants the same bytes twice composes the same batches. The number of threads
    inside an operation shows too (VGG-16: not; MobileNetV2: in the last digits), so a CPU's cores are better
    used by several batches at once, each on one thread.

    Parameters
    ----------
    net
        Takes (B, 3, S, S) and gives (B, raw_width). It is frozen and moved in place.
    spec
        With `raw_width` as the network has it.
    frame_size_px
        S, the side of the frames that the network takes.
    mean, std
        Of the red, green and blue channel on the scale 0 to 1, three numbers each.
    options
        Device and precision; `weights` has been used up by the builder.
    """

    def __init__(
        self,
        net: nn.Module,
        *,
        spec: EncoderSpec,
        frame_size_px: int,
        mean: Sequence[float],
        std: Sequence[float],
        options: EncoderOptions,
    ) -> None:
        self.spec = spec
        self.frame_size_px = frame_size_px
        self.device = usable_device(options.device)
        self.batch_size = CUDA_BATCH if self.device.type == "cuda" else CPU_BATCH
        self.side_by_side = self.device.type == "cpu"
        self.overlaps = self.device.type == "cuda"
        self._copies: torch.cuda.Stream | None = None
        self.precision = options.precision
        self.network = _freeze(net, self.device, self.precision)
        self._mean, self._std = tuple(mean), tuple(std)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}({self.spec.name!r}, {self.frame_size_px} px to {self.spec.raw_width} columns, "
            f"{self.precision} on {self.device})"
        )

    def encode_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn RGB frames, shape (B, S, S, 3), 0 to 255, into rows, shape (B, raw_width).

        Frames of another side than `frame_size_px` are resized (bilinear, antialiased). More frames than
        `batch_size` go through in batches of that size.

        Raises
        ------
        ValueError
            Where the frames are not uint8 of that shape.
        """
        import torch

        _require_frames(frames)
        rows = np.empty((len(frames), self.spec.raw_width), dtype=np.float32)
        frames = np.require(frames, requirements=["C", "W"])  # what torch can share; a copy where it is not
        with torch.inference_mode(), exact_kernels(self.device), self._autocast():
            for first in range(0, len(frames), self.batch_size):
                batch = torch.from_numpy(frames[first : first + self.batch_size]).to(self.device)
                rows[first : first + self.batch_size] = self._passed(batch).cpu().numpy()  # (B, raw_width)
        return rows

    def begin_frames(self, frames: NDArray[np.uint8]) -> Callable[[], NDArray[np.float32]]:
        """Send at most `batch_size` frames to the GPU, start their pass, and return what waits for the rows.

        Frames go by pinned memory and a stream of their own, so that they travel while the batch before is
        computed; rows come back likewise. They are those of `encode_frames`, to the byte.
        """
        import torch

        _require_frames(frames)
        if self._copies is None:
            self._copies = torch.cuda.Stream(self.device)
        computing = torch.cuda.current_stream(self.device)
        with torch.inference_mode(), exact_kernels(self.device), self._autocast():
            pinned = torch.empty(frames.shape, dtype=torch.uint8, pin_memory=True)
            pinned.numpy()[...] = frames
            with torch.cuda.stream(self._copies):
                batch = pinned.to(self.device, non_blocking=True)
            computing.wait_stream(self._copies)
            batch.record_stream(computing)
            rows = self._passed(batch)
            found = torch.empty(rows.shape, dtype=torch.float32, pin_memory=True)
            found.copy_(rows, non_blocking=True)
            done = torch.cuda.Event(blocking=True)  # waits without a core of its own
            done.record(computing)

        def wait() -> NDArray[np.float32]:
            done.synchronize()
            copy: NDArray[np.float32] = found.numpy().copy()
            return copy

        return wait

    def _passed(self, batch: Tensor) -> Tensor:
        """Return the rows of frames that are on the device, float32, shape (B, raw_width)."""
        rows: Tensor = self.network(preprocess(batch, self.frame_size_px, self._mean, self._std)).float()
        return rows

    def _autocast(self) -> torch.autocast:
        import torch

        return torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")


def _require_frames(frames: NDArray[np.uint8]) -> None:
    square = frames.ndim == 4 and frames.shape[3] == 3 and frames.shape[1] == frames.shape[2] > 0
    if frames.dtype != np.uint8 or not square:
        raise ValueError(
            f"frames are {frames.dtype} of shape {frames.shape}; expected uint8 of shape (B, S, S, 3)"
        )


def frame_encoder(
    net: nn.Module,
    name: str,
    record: WeightsRecord,
    *,
    parameters: Mapping[str, Any],
    raw_width: int,
    width: int,
    size_px: int,
    mean: Sequence[float],
    std: Sequence[float],
    options: EncoderOptions,
) -> FrozenFrameEncoder:
    """Return the encoder of a network with the spec that says so.

    Parameters
    ----------
    net
        As `FrozenFrameEncoder` takes it.
    name
        As ``--video`` takes it.
    record
        Of the network's weights.
    parameters
        What shapes its numbers beside side, mean, std and precision, which are put to it.
    raw_width, width
        Columns as the network has them, and as `extract` keeps them.
    size_px, mean, std
        Of the frames, as `FrozenFrameEncoder` takes them.
    """
    spec = EncoderSpec(
        name=name,
        stream="video",
        raw_width=raw_width,
        width=width,
        parameters={
            **parameters,
            "frame_size_px": size_px,
            "mean": list(mean),
            "std": list(std),
            "precision": options.precision,
        },
        weights=record.to_json(),
    )
    return FrozenFrameEncoder(net, spec=spec, frame_size_px=size_px, mean=mean, std=std, options=options)


def preprocess(frames: Tensor, size_px: int, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Turn uint8 RGB frames, shape (B, S, S, 3), into normalised float32, shape (B, 3, size_px, size_px).

    The answer is stored channels-last, as the frames are. Training uses the same function.
    """
    import torch
    from torch.nn.functional import interpolate

    x = frames.permute(0, 3, 1, 2).to(torch.float32)  # (B, 3, S, S), memory still (B, S, S, 3)
    if x.shape[-1] != size_px and len(x):
        x = interpolate(x, size=(size_px, size_px), mode="bilinear", antialias=True, align_corners=False)
    shift, scale = (_constants(tuple(255.0 * one for one in values), x.device) for values in (mean, std))
    return ((x - shift) / scale).contiguous(memory_format=torch.channels_last)


@functools.lru_cache(maxsize=64)
def _constants(values: tuple[float, ...], device: torch.device) -> Tensor:
    """Return one number per channel on a device; made once: a copy there waits for all that is computed."""
    import torch

    with torch.inference_mode(False):
        return torch.tensor(values, device=device).view(1, 3, 1, 1)


def usable_device(text: str) -> torch.device:
    """Return the device that `text` names; raise ValueError where this machine has none such."""
    import torch

    try:
        device = torch.device(text)
    except RuntimeError as error:
        raise ValueError(f"device is {text!r}; expected cpu, cuda or cuda:N") from error
    if device.type not in ("cpu", "cuda"):
        raise ValueError(f"device is {text!r}; expected cpu, cuda or cuda:N")
    if device.type == "cuda" and (device.index or 0) >= torch.cuda.device_count():
        raise ValueError(
            f"device is {text!r}, but torch {torch.__version__} sees {torch.cuda.device_count()} CUDA devices; "
            "use --device cpu, or install a torch build and a driver that fit"
        )
    return device


def _freeze(net: nn.Module, device: torch.device, precision: str) -> nn.Module:
    """Put a network into evaluation mode, channels-last, without gradients, on its device.

    For bf16 the big matrices are stored as bf16 once; autocast would round them to the same numbers in every
    pass. Norms keep float32 parameters: their statistics lose too much in bf16.
    """
    import torch
    from torch import nn

    net = net.eval().requires_grad_(False).to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
    if precision == "bf16":
        for module in net.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                module.to(torch.bfloat16)
    return net


def exact_kernels(device: torch.device) -> AbstractContextManager[None]:
    """Hold cuDNN to repeatable kernels and to real float32 (its default is TF32) while frames are encoded."""
    from torch.backends import cudnn

    if device.type != "cuda":
        return nullcontext()
    flags: AbstractContextManager[None] = cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags
