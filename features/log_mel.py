"""Log-mel frames of sound at 16 kHz, 50 a second, and which of them lie in which window."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from dualstream.features.packages import require
from dualstream.features.preparation import Prepared, covered_span
from numpy.typing import NDArray

from dualstream.cores import one_blas_thread

SAMPLE_RATE_HZ = 16_000
FRAMES_PER_S = 50
STEP = SAMPLE_RATE_HZ // FRAMES_PER_S  # samples from one frame to the next
SPAN = 512  # samples of a frame, 32 ms
BANDS = 64
LOWEST_HZ, HIGHEST_HZ = 60.0, 7_600.0
FLOOR = 1e-7  # power, of full scale: what is fainter is silence
MIN_COVERED_S = 0.1  # a window is masked where the stream covers less of it


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


class LogMelPreparation:
    """Makes log-mel frames for a network, as a `Preparation`."""

    def prepare(
        self,
        audio: NDArray[np.float32],
        starts_s: NDArray[np.float64],
        length_s: float,
        covered_s: tuple[float, float],
    ) -> Prepared:
        """Keep `Preparation.prepare`; the one input is the frames of the span that has sound."""
        frames, _ = covered_frames(audio, covered_s)
        return Prepared((frames,), covered_span(covered_s, SAMPLE_RATE_HZ, audio.size))

    def warm_up(self) -> None:
        """Import what makes the filters."""
        _filters()


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
    begin, end = covered_span(covered_s, SAMPLE_RATE_HZ, audio.size)
    span_s = (begin / SAMPLE_RATE_HZ, end / SAMPLE_RATE_HZ)
    return (log_mel(audio[begin:end]) if end > begin else np.zeros((0, BANDS), np.float32)), span_s
