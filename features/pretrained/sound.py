"""Sound through a speech network: one forward per clip at its own length, frames pooled into windows.

    clip      0 ──────────────────────────────── 70 s         above 30 s in chunks that overlap by 4 s:
    chunk 0   [═════════════════╌]                            of each overlap the outer halves are dropped
    chunk 1                [╌═════════════════╌]
    chunk 2                               [╌═══════════]

A window's row is the mean of the frames whose centres it holds. Each frame has heard its whole chunk (``context``
``clip``); with ``window`` each window is put through the network alone.
"""

from __future__ import annotations

import math

import numpy as np
from dualstream.features.encoder import AUDIO_WIDTH, EncoderOptions, EncoderSpec, StreamFeatures
from dualstream.features.pretrained.speech import FrameGrid, SpeechModel
from dualstream.features.weights import WeightsRecord
from numpy.typing import NDArray

from dualstream.documents import JsonObject

CHUNK_S = 30.0  # the most that goes through at once: Whisper has positions for no more
EDGE_S = 2.0  # of each chunk that is dropped where another chunk has heard it from further inside
MIN_COVERED_S = 0.1  # a window is masked where the stream covers less of it
WINDOWS_AT_ONCE = 16  # of equal length, for ``context`` ``window``


class SpeechEncoder:
    """A `SpeechModel` as an `AudioEncoder`."""

    def __init__(
        self,
        model: SpeechModel,
        *,
        name: str,
        record: WeightsRecord,
        settings: JsonObject,
        options: EncoderOptions,
    ) -> None:
        self.model = model
        self.sample_rate_hz = model.sample_rate_hz
        self.context = options.context
        each = model.layers.joined == "each"
        self.spec = EncoderSpec(
            name=name,
            stream="audio",
            raw_width=model.width,
            width=model.width if each else min(AUDIO_WIDTH, model.width),
            parameters={
                **model.settings(),
                **settings,
                "context": self.context,
                "chunk_s": CHUNK_S,
                "edge_s": EDGE_S,
                "min_covered_s": MIN_COVERED_S,
            },
            weights=record.to_json(),
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.spec.name!r}, {self.spec.raw_width} columns, {self.model.device})"

    def encode_audio(
        self,
        audio: NDArray[np.float32],
        starts_s: NDArray[np.float64],
        length_s: float,
        covered_s: tuple[float, float],
    ) -> StreamFeatures:
        """Keep `AudioEncoder.encode_audio`; sound that is too short for one frame is masked."""
        rate, grid = self.sample_rate_hz, self.model.grid
        begin = min(max(round(covered_s[0] * rate), 0), audio.size)
        end = min(max(round(covered_s[1] * rate), begin), audio.size)
        sound = np.ascontiguousarray(audio[begin:end], dtype=np.float32)
        if len(sound) < grid.least:
            return StreamFeatures.nothing(self.spec.raw_width, len(starts_s))
        windows = np.zeros((len(starts_s), self.spec.raw_width), np.float32)
        first = np.round(starts_s * rate).astype(np.int64) - begin
        stop = np.round((starts_s + length_s) * rate).astype(np.int64) - begin
        covered = np.minimum(stop, len(sound)) - np.maximum(first, 0)
        present = covered >= max(1, min(round(MIN_COVERED_S * rate), len(sound), round(length_s * rate)))
        frames = chunked_frames(self.model, sound)
        if self.context == "window":
            present &= covered >= grid.least
            spans = np.stack([first, stop], axis=1).clip(0, len(sound))[present]
            windows[present] = self._alone(sound, spans)
        else:
            windows[present] = pooled(frames, grid, first[present], stop[present])
        time_s = np.where(present, starts_s + length_s / 2, np.nan)
        return StreamFeatures(_mean(frames), True, windows, present, time_s)

    def _alone(self, sound: NDArray[np.float32], spans: NDArray[np.int64]) -> NDArray[np.float32]:
        """Put each span of samples through the network alone, those of one length together; rows (K, width)."""
        rows = np.empty((len(spans), self.spec.raw_width), np.float32)
        lengths = spans[:, 1] - spans[:, 0]
        for length in np.unique(lengths):
            (places,) = np.nonzero(lengths == length)
            for group in np.split(places, range(WINDOWS_AT_ONCE, len(places), WINDOWS_AT_ONCE)):
                cuts = np.stack([sound[first:stop] for first, stop in spans[group]])
                if length <= round(CHUNK_S * self.sample_rate_hz):
                    rows[group] = [_mean(one) for one in self.model.frames(cuts)]
                else:
                    rows[group] = [_mean(chunked_frames(self.model, one)) for one in cuts]
        return rows


def chunked_frames(model: SpeechModel, sound: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return the frames of a sound, shape (T, width): of one forward, or of several chunks where it is long."""
    chunks = cut_chunks(len(sound), model.grid, model.sample_rate_hz)
    if len(chunks) == 1:
        return model.frames(sound[None])[0]
    kept = []
    for number, (first, stop) in enumerate(chunks):
        frames = model.frames(sound[None, first:stop])[0]
        centres = first + model.grid.offset + model.grid.step * np.arange(len(frames))
        low = (first + chunks[number - 1][1]) / 2 if number else -math.inf
        high = (chunks[number + 1][0] + stop) / 2 if number + 1 < len(chunks) else math.inf
        kept.append(frames[(centres >= low) & (centres < high)])
    return np.concatenate(kept)


def cut_chunks(samples: int, grid: FrameGrid, rate_hz: int) -> list[tuple[int, int]]:
    """Return the chunks of a sound, half-open, samples; their starts lie on the grid of frames.

    Each is `CHUNK_S` long at most, neighbours share `2 * EDGE_S` or more, and all are of about one length.
    """
    most = round(CHUNK_S * rate_hz) // grid.step * grid.step
    if samples <= most:
        return [(0, samples)]
    shared = round(2 * EDGE_S * rate_hz)
    count = math.ceil((samples - shared) / (most - shared - grid.step))
    last = samples - most
    starts = [-(-round(last * number / (count - 1)) // grid.step) * grid.step for number in range(count)]
    return [(start, min(start + most, samples)) for start in starts]


def pooled(
    frames: NDArray[np.float32], grid: FrameGrid, first: NDArray[np.int64], stop: NDArray[np.int64]
) -> NDArray[np.float32]:
    """Return the mean of the frames whose centres lie in each half-open span of samples, shape (K, width).

    A span between two centres takes the nearest frame.
    """
    begin = np.ceil((first - grid.offset) / grid.step).astype(np.int64).clip(0, len(frames))
    end = np.ceil((stop - grid.offset) / grid.step).astype(np.int64).clip(0, len(frames))
    nearest = np.round(((first + stop) / 2 - grid.offset) / grid.step).astype(np.int64).clip(0, len(frames) - 1)
    begin, end = np.where(end > begin, begin, nearest), np.where(end > begin, end, nearest + 1)
    return np.stack([_mean(frames[a:b]) for a, b in zip(begin, end, strict=True)]) if len(begin) else frames[:0]


def _mean(frames: NDArray[np.float32]) -> NDArray[np.float32]:
    """Mean over frames, shape (T, width), summed in float64."""
    mean: NDArray[np.float32] = frames.mean(axis=0, dtype=np.float64).astype(np.float32)
    return mean
