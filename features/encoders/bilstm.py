"""bilstm: a bidirectional LSTM over log-mel frames, 96 units each way: a window of sound becomes 192 columns.

sound, 16 kHz ─▶ log-mel, 50 frames a second, 64 bands ─▶ less the train split's mean ─▶ BiLSTM ─▶ mean over time
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
from dualstream.features.cores import one_blas_thread
from dualstream.features.encoder import AUDIO_WIDTH, EncoderOptions, EncoderSpec, StreamFeatures, register, require
from dualstream.features.encoders.frozen import usable_device
from dualstream.features.weights import WeightsRecord, fill
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

SAMPLE_RATE_HZ = 16_000
FRAMES_PER_S = 50
STEP = SAMPLE_RATE_HZ // FRAMES_PER_S  # samples from one frame to the next
SPAN = 512  # samples of a frame, 32 ms
BANDS = 64
LOWEST_HZ, HIGHEST_HZ = 60.0, 7_600.0
FLOOR = 1e-7  # power, of full scale: what is fainter is silence
UNITS = AUDIO_WIDTH // 2  # each way
MIN_COVERED_S = 0.1  # a window is masked where the stream covers less of it
BATCH = 64  # windows in a forward pass


@one_blas_thread()
def log_mel(audio: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the natural logarithm of mel band power, shape (T, BANDS), of mono sound at 16 kHz, shape (S,).

    Frame t stands at t / FRAMES_PER_S seconds; T is at least 1. The loudness stays in: level tells of arousal,
    and training masks what it should not lean on.
    """
    count = max(1, round(len(audio) / STEP))
    padded = np.pad(audio.astype(np.float32), (SPAN // 2, SPAN // 2 + count * STEP))
    frames = np.lib.stride_tricks.sliding_window_view(padded, SPAN)[: count * STEP : STEP]  # (T, SPAN)
    power = np.abs(np.fft.rfft(frames * np.hanning(SPAN).astype(np.float32), axis=1)) ** 2 / SPAN
    bands: NDArray[np.float32] = np.log(power @ _filters().T + FLOOR).astype(np.float32)
    return bands


@lru_cache(maxsize=1)
def _filters() -> NDArray[np.float32]:
    """Triangular mel filters, Slaney's scale, shape (BANDS, SPAN // 2 + 1)."""
    filters = require("librosa.filters", "the bilstm encoder")
    found: NDArray[np.float32] = filters.mel(
        sr=SAMPLE_RATE_HZ, n_fft=SPAN, n_mels=BANDS, fmin=LOWEST_HZ, fmax=HIGHEST_HZ
    )
    return found


class BiLstm(nn.Module):
    """A bidirectional LSTM whose states are averaged over time (Graves and Schmidhuber 2005,
    https://doi.org/10.1016/j.neunet.2005.06.042).

    Notes
    -----
    `mean` and `spread` of the bands, shape (BANDS,), are part of the weights: training takes them from the
    train split, and random weights from a rough guess.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((BANDS,), -6.0))
        self.register_buffer("spread", torch.full((BANDS,), 4.0))
        self.lstm = nn.LSTM(BANDS, UNITS, batch_first=True, bidirectional=True)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Turn log-mel frames, shape (B, T, BANDS), of which the first `lengths`, (B,), count, into (B, 192)."""
        x = (frames - self.mean) / self.spread
        # torch's LSTM keeps a list of its arrays: under functional_call it must see those that are put in
        self.lstm._flat_weights = [getattr(self.lstm, name) for name in self.lstm._flat_weights_names]
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)  # (B, T', 192), zeros behind
        return states.sum(1) / lengths.to(states)[:, None]

    def reset(self, seed: int) -> BiLstm:
        """Draw all weights anew from `seed` as torch's LSTM does; forget gates begin open; return self."""
        generator = torch.Generator().manual_seed(seed)
        bound = UNITS**-0.5
        with torch.no_grad():
            for name, array in self.lstm.named_parameters():
                array.uniform_(-bound, bound, generator=generator)
                if name.startswith("bias_ih"):  # order of the gates: input, forget, cell, output
                    array[UNITS : 2 * UNITS] = 1.0
        return self


def windows_of(
    starts_s: NDArray[np.float64], length_s: float, covered_s: tuple[float, float], frames: int
) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.bool_]]:
    """Return first frame, end frame and presence of each window, shape (K,) each, among a stream's `frames`.

    Frame 0 stands at the start of `covered_s`. A present window has at least one frame.
    """
    overlap_s = np.minimum(starts_s + length_s, covered_s[1]) - np.maximum(starts_s, covered_s[0])
    needed_s = min(MIN_COVERED_S, covered_s[1] - covered_s[0], length_s)
    present = (overlap_s > 0) & (overlap_s >= needed_s - 1e-6)
    first = np.rint((starts_s - covered_s[0]) * FRAMES_PER_S).astype(np.int64).clip(0, max(frames - 1, 0))
    stop = np.rint((starts_s + length_s - covered_s[0]) * FRAMES_PER_S).astype(np.int64)
    return first, np.maximum(stop.clip(0, frames), first + 1), present


def covered_frames(
    audio: NDArray[np.float32], covered_s: tuple[float, float]
) -> tuple[NDArray[np.float32], tuple[float, float]]:
    """Return the log-mel frames of the span that has sound, and the span in whole samples, seconds.

    No frames, shape (0, BANDS), where the span holds not one sample.
    """
    begin = min(max(round(covered_s[0] * SAMPLE_RATE_HZ), 0), audio.size)
    end = min(max(round(covered_s[1] * SAMPLE_RATE_HZ), begin), audio.size)
    span_s = (begin / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ)
    return (log_mel(audio[begin:end]) if end > begin else np.zeros((0, BANDS), np.float32)), span_s


class BiLstmEncoder:
    """A frozen BiLSTM as an `AudioEncoder`: each window alone, and the utterance from all of its frames."""

    sample_rate_hz = SAMPLE_RATE_HZ

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
                "units": UNITS,
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
        frames, span_s = covered_frames(audio, covered_s)
        rows = np.zeros((len(starts_s), AUDIO_WIDTH), np.float32)
        if not len(frames):
            nothing = np.zeros(len(starts_s), np.bool_)
            return StreamFeatures(
                np.zeros(AUDIO_WIDTH, np.float32), False, rows, nothing, np.full(len(starts_s), np.nan)
            )
        first, stop, present = windows_of(starts_s, length_s, span_s, len(frames))
        cuts = [frames[a:b] for a, b in zip(first[present], stop[present], strict=True)]
        if cuts:
            rows[present] = np.concatenate([self._encode(cuts[i : i + BATCH]) for i in range(0, len(cuts), BATCH)])
        centres_s = np.where(present, starts_s + length_s / 2, np.nan)
        return StreamFeatures(self._encode([frames])[0], True, rows, present, centres_s)

    def _encode(self, cuts: list[NDArray[np.float32]]) -> NDArray[np.float32]:
        """Turn sequences of frames, shape (T, BANDS) each, into rows, shape (B, 192)."""
        lengths = torch.tensor([len(cut) for cut in cuts])
        padded = torch.zeros(len(cuts), int(lengths.max()), BANDS)
        for row, cut in zip(padded, cuts, strict=True):
            row[: len(cut)] = torch.from_numpy(cut)
        autocast = torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=self.precision == "bf16")
        with torch.inference_mode(), autocast:
            found: NDArray[np.float32] = self.network(padded.to(self.device), lengths).float().cpu().numpy()
        return found


@register("audio", "bilstm")
def build_bilstm(argument: str, options: EncoderOptions) -> BiLstmEncoder:
    """Build the BiLSTM with weights from a file or a seed; it has none of its own.

    Raises
    ------
    ValueError
        Where no weights are named, or the file's tensors are not those of bilstm.
    """
    if argument:
        raise ValueError(f"audio encoder bilstm:{argument} is unknown; expected bilstm alone")
    net, record = start_bilstm(options.weights)
    return BiLstmEncoder(net, record, options)


def start_bilstm(weights: str | None) -> tuple[BiLstm, WeightsRecord]:
    """Return the network with the weights that `weights` names, and their record; see `build_bilstm`."""
    net = BiLstm()
    return net, fill(net, weights, name="bilstm", stream="audio", columns=AUDIO_WIDTH)
