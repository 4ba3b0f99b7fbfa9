"""Speech networks of transformers: loaded from a folder, cut at a layer, and run at the sound's own length.

    samples ──► feature extractor ──► network ──► one row of numbers per frame (mostly 20 ms) and layer

Whisper's encoder wants 30 s of input in transformers, and gets silence where there is less; here it runs at the
length that there is, on the first of its positions. No other network is padded either: group norm in wav2vec2,
HuBERT and WavLM takes padding for sound, and rows change.
"""

from __future__ import annotations

import copy
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from dualstream.features.packages import require
from dualstream.features.pretrained.folder import ModelFolder, Named
from dualstream.features.pretrained.layers import Layers, Tap, find_blocks
from dualstream.features.pretrained.loading import EXTRA, LOCAL, WHO, load_config, load_model, quiet, read_tensors
from numpy.typing import NDArray

from dualstream.documents import JsonObject

if TYPE_CHECKING:
    import torch
    from torch import nn

WHISPER = "whisper"
WHISPER_ENCODER = ("model.encoder.", "encoder.")  # before the names of its tensors, by what was saved
LEAST_SAMPLES = 400  # a shorter sound makes no frame in any of the networks that are known
PROBE_S = (1.0, 1.37)  # sounds that tell whether a network has the frames that its configuration states
MEASURED_S = (2.0, 22.0)  # sounds that tell the frames of others: over 20 s, a sample more or less per frame shows
TOLERANCE_FRAMES = 1.5  # by which a network of unknown build may miss an even grid


@dataclass(frozen=True)
class FrameGrid:
    """Where a network's frames stand: the centre of frame t is ``offset + t * step`` samples from the start."""

    step: int
    """Samples from one frame to the next."""
    offset: float
    """Centre of the first frame, samples."""
    least: int
    """Samples that make at least one frame."""


@dataclass(frozen=True, repr=False)
class SpeechInput:
    """Sound as a network takes it, by the feature extractor that was saved with it; other processes may do it."""

    kind: str
    extractor: Any

    def __call__(self, sounds: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn sounds of one length, shape (B, S), into what the network takes.

        Raises
        ------
        ValueError
            Where the extractor gives something else than the network's first input.
        """
        made = self.extractor(
            list(sounds),
            sampling_rate=self.extractor.sampling_rate,
            padding=False,
            truncation=False,
            return_tensors="np",
        )
        name = self.extractor.model_input_names[0]
        if name not in made or not len(made[name]):
            raise ValueError(f"{type(self.extractor).__name__} gave {sorted(made)}; expected {name}")
        values = np.asarray(made[name], dtype=np.float32)
        if self.kind == WHISPER:  # two frames of 10 ms make one: an odd one at the end has no partner
            values = values[..., : values.shape[-1] // 2 * 2]
        return values


class SpeechModel:
    """A frozen network that turns sound into frames of the layers that are wanted."""

    def __init__(
        self,
        net: nn.Module,
        tap: Tap,
        *,
        kind: str,
        extractor: Any,
        device: torch.device,
        precision: str,
    ) -> None:
        self.kind = kind
        self.layers = tap.layers
        self.sample_rate_hz = int(extractor.sampling_rate)
        self.device = device
        self.precision = precision
        self._net = net.float().eval().requires_grad_(False).to(device)
        self._tap = tap
        self.input = SpeechInput(kind, extractor)
        self.width = int(self.frames(_noise(round(PROBE_S[0] * self.sample_rate_hz))).shape[-1])
        self.grid = self._find_grid()

    def frames(self, sounds: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn sounds of one length, shape (B, S), into frames, shape (B, T, width)."""
        return self.forward(self.input(sounds))

    def forward(self, prepared: NDArray[np.float32]) -> NDArray[np.float32]:
        """Turn what `input` gives into frames, shape (B, T, width)."""
        import torch
        from dualstream.features.encoders.frozen import exact_kernels

        # its own memory: kernels may round otherwise at other addresses
        inputs = torch.tensor(prepared).to(self.device)
        autocast = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")
        with torch.inference_mode(), exact_kernels(self.device), autocast:
            net = self._net if self.kind != WHISPER else at_length(self._net, inputs.shape[-1] // 2)
            found = self.layers.join([one.float() for one in self._tap.run(net, inputs)])
        rows: NDArray[np.float32] = found.cpu().numpy()
        return rows

    def _count(self, samples: int) -> int:
        """Return how many frames noise of so many samples makes."""
        return int(self.frames(_noise(samples)).shape[1])

    def _find_grid(self) -> FrameGrid:
        """Return the grid that the configuration states, where it counts frames right; else the measured one."""
        stated = _stated_grid(self.kind, self._net.config, self.input.extractor)
        if stated is not None:
            grid, field = stated
            lengths = [round(seconds * self.sample_rate_hz) for seconds in PROBE_S]
            if all(self._count(length) == (length - field) // grid.step + 1 for length in lengths):
                return grid
        return self._measure_grid()

    def _measure_grid(self) -> FrameGrid:
        """Return the grid of a network whose build is not known, by the frames of a short and a long sound.

        Raises
        ------
        ValueError
            Where frames do not follow the sound's length: it is no sequence over time.
        """
        rate = self.sample_rate_hz
        short_s, long_s = MEASURED_S
        short, long = self._count(round(short_s * rate)), self._count(round(long_s * rate))
        if long <= short:
            raise ValueError(
                f"a network of kind {self.kind} gives {short} rows for {short_s:g} s and {long} for {long_s:g} s "
                "of sound; expected one that gives a row for each frame of time"
            )
        step = round((long_s - short_s) * rate / (long - short))
        offset = (long_s * rate - (long - 1) * step) / 2
        if abs(short_s * rate - (short - 1) * step - 2 * offset) > 2 * TOLERANCE_FRAMES * step:
            raise ValueError(
                f"a network of kind {self.kind} gives {short} rows for {short_s:g} s and {long} for {long_s:g} s "
                "of sound; expected rows at even distances"
            )
        return FrameGrid(step, offset, self._least(step))

    def _least(self, step: int) -> int:
        """Return the fewest samples, in whole frames, that go through."""
        for samples in range(max(LEAST_SAMPLES, 2 * step), round(PROBE_S[0] * self.sample_rate_hz), step):
            try:
                self._count(samples)
                return samples
            except (RuntimeError, ValueError):
                continue
        return round(PROBE_S[0] * self.sample_rate_hz)

    def settings(self) -> JsonObject:
        """Return what shapes the numbers, as JSON values."""
        return {
            "network": self.kind,
            **self.layers.to_json(),
            "layer_width": self.width // (len(self.layers.wanted) if self.layers.joined == "each" else 1),
            "frames": asdict(self.grid),
            "precision": self.precision,
        }


def load_speech(named: Named, folder: ModelFolder, *, device: torch.device, precision: str) -> SpeechModel:
    """Load the network of a folder up to the layers that are named; nothing is fetched and no code of it is run.

    Raises
    ------
    MissingPackageError
        Where transformers is not installed.
    ValueError
        Where the folder's network takes no sound, lacks tensors, or has no such layers.
    """
    transformers = require("transformers", WHO, EXTRA)
    config = load_config(transformers, folder)
    with quiet(transformers, f"the preprocessor of hf:{folder.path}"):
        extractor = transformers.AutoFeatureExtractor.from_pretrained(str(folder.path), **LOCAL)
    if not hasattr(extractor, "sampling_rate"):
        raise ValueError(
            f"hf:{folder.path} takes no sound: its preprocessor is {type(extractor).__name__}; use it with --video"
        )
    kind = str(config.model_type)
    net: Any
    if kind == WHISPER:
        net, depth = _whisper_encoder(transformers, config, folder), config.encoder_layers
    else:
        net = load_model(transformers, config, folder, unused=("masked_spec_embed", "adapter", "pooler"))
        depth = getattr(config, "num_hidden_layers", None)
        if config.is_encoder_decoder:
            net, depth = net.get_encoder(), None  # the number may be the decoder's
        if hasattr(net, "adapter"):
            net.adapter = None  # it would halve the frames behind the last layer
    blocks = find_blocks(net, depth)
    if blocks is None:
        raise ValueError(
            f"hf:{folder.path}: a network of kind {kind} has no row of {depth} blocks to take layers from"
        )
    tap = Tap(blocks, Layers.parse(named.layers, len(blocks)))
    return SpeechModel(net, tap, kind=kind, extractor=extractor, device=device, precision=precision)


def at_length(encoder: Any, frames: int) -> Any:
    """Return Whisper's encoder for so many frames: the same blocks, the first of its positions."""
    from torch import nn

    view = copy.copy(encoder)
    view.__dict__["_modules"] = dict(encoder._modules)
    view.config = copy.copy(encoder.config)
    view.config.max_source_positions = view.max_source_positions = frames
    view.embed_positions = nn.Embedding.from_pretrained(encoder.embed_positions.weight[:frames])
    return view


def _noise(samples: int) -> NDArray[np.float32]:
    """Return one sound of noise, shape (1, samples)."""
    return (0.1 * np.random.default_rng(0).standard_normal((1, samples))).astype(np.float32)


def _whisper_encoder(transformers: Any, config: Any, folder: ModelFolder) -> nn.Module:
    """Build the encoder alone and fill it: a folder need not hold the decoder."""
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    config = copy.deepcopy(config)
    with quiet(transformers, f"hf:{folder.path}"):
        net: nn.Module = WhisperEncoder(config).float()
    state = read_tensors(folder, WHISPER_ENCODER)
    lacking = [name for name in net.state_dict() if name not in state]
    if lacking:
        raise ValueError(
            f"hf:{folder.path}: the weights lack {', '.join(lacking[:3])} and others of Whisper's encoder "
            f"({len(lacking)} of {len(net.state_dict())})"
        )
    try:
        net.load_state_dict({name: state[name] for name in net.state_dict()})
    except RuntimeError as error:
        raise ValueError(f"hf:{folder.path}: the weights are not those of its configuration: {error}") from error
    return net


def _stated_grid(kind: str, config: Any, extractor: Any) -> tuple[FrameGrid, int] | None:
    """Return the grid of the configuration and the samples that the first frame takes; None: none is stated."""
    if kind == WHISPER:
        step = 2 * int(extractor.hop_length)  # frame t stands at t * step, and is there from its first sample on
        return FrameGrid(step, 0.0, max(LEAST_SAMPLES, int(extractor.n_fft))), step
    kernels, strides = getattr(config, "conv_kernel", None), getattr(config, "conv_stride", None)
    if not isinstance(kernels, Sequence) or not isinstance(strides, Sequence) or len(kernels) != len(strides):
        return None
    step, field = 1, 1
    for kernel, stride in zip(kernels, strides, strict=True):
        field += (int(kernel) - 1) * step
        step *= int(stride)
    return FrameGrid(step, (field - 1) / 2, field), field
