"""bilstm: a bidirectional LSTM over log-mel frames, 96 units each way: a window of sound becomes 192 columns.

sound, 16 kHz ─▶ log-mel, 50 frames a second, 64 bands ─▶ less the train split's mean ─▶ BiLSTM ─▶ mean over time
"""

from __future__ import annotations

from dataclasses import asdict
from typing import TYPE_CHECKING, Any

import numpy as np
from dualstream.features.encoder import AUDIO_WIDTH, EncoderOptions, EncoderSpec, StreamFeatures, register
from dualstream.features.encoders.frozen import usable_device
from dualstream.features.log_mel import (
    BANDS,
    FLOOR,
    FRAMES_PER_S,
    HIGHEST_HZ,
    LOWEST_HZ,
    MIN_COVERED_S,
    SAMPLE_RATE_HZ,
    SPAN,
    LogMelPreparation,
    covered_frames,
    windows_of,
)
from dualstream.features.preparation import Prepared
from dualstream.features.trainable import SampleRows, TrainableEncoder, register_trainable
from dualstream.features.weights import WeightsRecord, fill
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from dualstream.features.media import Clip
    from dualstream.features.networks.bilstm import BiLstm
    from torch import Tensor

BATCH = 64  # windows in a forward pass
SCALER_ROWS = 4096  # samples of sound whose frames give mean and spread


class BiLstmEncoder:
    """A frozen BiLSTM as an `AudioEncoder`: each window alone, and the utterance from all of its frames."""

    sample_rate_hz = SAMPLE_RATE_HZ
    preparation = LogMelPreparation()

    def __init__(self, net: BiLstm, weights: WeightsRecord, options: EncoderOptions) -> None:
        self.device = usable_device(options.device)
        self.precision = options.precision
        self.network = net.eval().requires_grad_(False).to(self.device)
        self.spec = EncoderSpec(
            name="bilstm",
            stream="audio",
            raw_width=AUDIO_WIDTH,
            width=AUDIO_WIDTH,
            parameters={
                "units": AUDIO_WIDTH // 2,
                "bands": BANDS,
                "frames_per_s": FRAMES_PER_S,
                "span_samples": SPAN,
                "band_hz": [LOWEST_HZ, HIGHEST_HZ],
                "floor": FLOOR,
                "min_covered_s": MIN_COVERED_S,
                "precision": options.precision,
            },
            weights=weights.to_json(),
        )

    def encode_audio(
        self,
        audio: NDArray[np.float32],
        starts_s: NDArray[np.float64],
        length_s: float,
        covered_s: tuple[float, float],
    ) -> StreamFeatures:
        """Keep `AudioEncoder.encode_audio`."""
        prepared = self.preparation.prepare(audio, starts_s, length_s, covered_s)
        return self.encode_prepared(prepared, starts_s, length_s)

    def encode_prepared(
        self, prepared: Prepared, starts_s: NDArray[np.float64], length_s: float
    ) -> StreamFeatures:
        """Keep `PreparingEncoder.encode_prepared`."""
        (frames,) = prepared.inputs
        span_s = (prepared.span[0] / SAMPLE_RATE_HZ, prepared.span[1] / SAMPLE_RATE_HZ)
        if not len(frames):
            return StreamFeatures.nothing(AUDIO_WIDTH, len(starts_s))
        rows = np.zeros((len(starts_s), AUDIO_WIDTH), np.float32)
        first, stop, present = windows_of(starts_s, length_s, span_s, len(frames))
        cuts = [frames[a:b] for a, b in zip(first[present], stop[present], strict=True)]
        if cuts:
            rows[present] = np.concatenate([self._encode(cuts[i : i + BATCH]) for i in range(0, len(cuts), BATCH)])
        centres_s = np.where(present, starts_s + length_s / 2, np.nan)
        return StreamFeatures(self._encode([frames])[0], True, rows, present, centres_s)

    def _encode(self, cuts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Turn sequences of frames, shape (T, BANDS) each, into rows, shape (B, 192)."""
        import torch

        lengths = torch.tensor([len(cut) for cut in cuts])
        padded = torch.zeros(len(cuts), int(lengths.max()), BANDS)
        for row, cut in zip(padded, cuts, strict=True):
            row[: len(cut)] = torch.from_numpy(cut)
        autocast = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")
        with torch.inference_mode(), autocast:
            found: NDArray[np.float32] = self.network(padded.to(self.device), lengths).float().cpu().numpy()
        return found


@register("audio", "bilstm", weights=True, network=True)
def build_bilstm(argument: str, options: EncoderOptions) -> BiLstmEncoder:
    """Build the BiLSTM with weights from a file or a seed; it has none of its own.

    Raises
    ------
    ValueError
        Where no weights are named, or the file's tensors are not those of bilstm.
    """
    if argument:
        raise ValueError(f"audio encoder bilstm:{argument} is unknown; expected only bilstm")
    net, record = start_bilstm(options.weights)
    return BiLstmEncoder(net, record, options)


def start_bilstm(weights: str | None) -> tuple[BiLstm, WeightsRecord]:
    """Return the network with the weights that `weights` names, and their record; see `build_bilstm`."""
    from dualstream.features.networks.bilstm import BiLstm

    net = BiLstm()
    return net, fill(net, weights, name="bilstm", stream="audio", columns=AUDIO_WIDTH)


def cut_windows(clip: Clip, length_s: float) -> tuple[NDArray[Any], NDArray[np.int64]]:
    """Take the log-mel frames of each window, (K, T, bands), padded at the end with zeros."""
    longest = round(length_s * FRAMES_PER_S) + 1
    if clip.audio is None or clip.audio_covered_s is None:
        return np.zeros((0, longest, BANDS), np.float32), np.zeros(0, np.int64)
    frames, span_s = covered_frames(clip.audio, clip.audio_covered_s)
    first, stop, present = windows_of(clip.starts_s, length_s, span_s, len(frames))
    present &= len(frames) > 0
    x = np.zeros((int(present.sum()), longest, BANDS), np.float32)
    for row, begin, end in zip(x, first[present], stop[present], strict=True):
        row[: end - begin] = frames[begin:end]
    return x, (stop - first)[present]


@register_trainable("bilstm")
def trainable_bilstm(weights: str | None, augment: bool) -> TrainableEncoder:
    """Train all of it on windows of log-mel frames; it begins with random numbers."""
    import torch
    from dualstream.features.augment import SoundAugmentation, mask_sound

    net, start = start_bilstm(weights or "random:0")
    augmentation = SoundAugmentation() if augment else None

    def prepare(x: Tensor, lengths: Tensor, generator: torch.Generator | None) -> tuple[Tensor, ...]:
        if generator is not None and augmentation is not None:
            x = mask_sound(x, lengths, augmentation, generator, net.mean)
        return x, lengths

    def fit_scale(samples: SampleRows, rows: NDArray[np.int64]) -> None:
        chosen = rows[:: max(1, len(rows) // SCALER_ROWS)]
        x, lengths = samples.gather(chosen)
        frames = x[np.arange(x.shape[1]) < lengths[:, None]].astype(np.float64)  # (frames, bands)
        net.mean.copy_(torch.from_numpy(frames.mean(0)))
        net.spread.copy_(torch.from_numpy(frames.std(0)).clamp_min(1e-3))

    return TrainableEncoder(
        name="bilstm",
        stream="audio",
        net=net,
        width=AUDIO_WIDTH,
        start=start,
        decode={"frame_size_px": None, "sample_rate_hz": SAMPLE_RATE_HZ},
        cut=cut_windows,
        cut_parameters={
            "bands": BANDS,
            "frames_per_s": FRAMES_PER_S,
            "span_samples": SPAN,
            "band_hz": [LOWEST_HZ, HIGHEST_HZ],
            "floor": FLOOR,
        },
        prepare=prepare,
        augmentation=asdict(augmentation) if augmentation else None,
        fit_scale=fit_scale if weights is None or weights.startswith("random") else None,
    )
