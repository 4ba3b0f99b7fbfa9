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
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from dualstream.features.encoder import AUDIO_WIDTH, Context, EncoderOptions, EncoderSpec, StreamFeatures
from dualstream.features.preparation import Prepared, covered_span
from dualstream.features.pretrained.speech import FrameGrid, SpeechInput, SpeechModel
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
        self.preparation = SpeechPreparation(model.input, model.grid, model.sample_rate_hz, options.context)
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
        prepared = self.preparation.prepare(audio, starts_s, length_s, covered_s)
        return self.encode_prepared(prepared, starts_s, length_s)

    def encode_prepared(
        self, prepared: Prepared, starts_s: NDArray[np.float64], length_s: float
    ) -> StreamFeatures:
        """Keep `PreparingEncoder.encode_prepared`."""
        grid = self.model.grid
        if prepared.samples < grid.least:
            return StreamFeatures.nothing(self.spec.raw_width, len(starts_s))
        windows = np.zeros((len(starts_s), self.spec.raw_width), np.float32)
        spans, present = self.preparation.spans(prepared.span, starts_s, length_s)
        passed = map(self.model.forward, prepared.inputs)
        frames = self._joined(passed, prepared.samples)
        if self.context == "window":
            windows[present] = self._alone(passed, spans[present])
        else:
            windows[present] = pooled(frames, grid, *spans[present].T)
        time_s = np.where(present, starts_s + length_s / 2, np.nan)
        return StreamFeatures(_mean(frames), True, windows, present, time_s)

    def _alone(self, passed: Iterator[NDArray[np.float32]], spans: NDArray[np.int64]) -> NDArray[np.float32]:
        """Return a row for each span of samples that went through the network alone, shape (K, width)."""
        rows = np.empty((len(spans), self.spec.raw_width), np.float32)
        for places, at_once in self.preparation.groups(spans):
            if at_once:
                rows[places] = [_mean(one) for one in next(passed)]
            else:
                rows[places] = [_mean(self._joined(passed, b - a)) for a, b in spans[places]]
        return rows

    def _joined(self, passed: Iterator[NDArray[np.float32]], samples: int) -> NDArray[np.float32]:
        """Return the frames of a sound, shape (T, width): of the next pass, or of several where it is long."""
        grid = self.model.grid
        chunks = cut_chunks(samples, grid, self.sample_rate_hz)
        if len(chunks) == 1:
            return next(passed)[0]
        kept = []
        for number, (first, stop) in enumerate(chunks):
            frames = next(passed)[0]
            centres = first + grid.offset + grid.step * np.arange(len(frames))
            low = (first + chunks[number - 1][1]) / 2 if number else -math.inf
            high = (chunks[number + 1][0] + stop) / 2 if number + 1 < len(chunks) else math.inf
            kept.append(frames[(centres >= low) & (centres < high)])
        return np.concatenate(kept)


@dataclass(frozen=True, repr=False)
class SpeechPreparation:
    """Cuts sound into what goes through a network at once, and makes what the network takes of each cut."""

    input: SpeechInput
    grid: FrameGrid
    sample_rate_hz: int
    context: Context

    def prepare(
        self,
        audio: NDArray[np.float32],
        starts_s: NDArray[np.float64],
        length_s: float,
        covered_s: tuple[float, float],
    ) -> Prepared:
        """Keep `Preparation.prepare`; nothing goes through of sound that is too short for one frame."""
        span = covered_span(covered_s, self.sample_rate_hz, audio.size)
        sound = np.ascontiguousarray(audio[slice(*span)], dtype=np.float32)
        if len(sound) < self.grid.least:
            return Prepared((), span)
        cuts = [np.array([chunk]) for chunk in cut_chunks(len(sound), self.grid, self.sample_rate_hz)]
        if self.context == "window":
            spans, present = self.spans(span, starts_s, length_s)
            cuts += self._alone(spans[present])
        return Prepared(tuple(self.input(np.stack([sound[a:b] for a, b in cut])) for cut in cuts), span)

    def warm_up(self) -> None:
        """Prepare a second of silence, for what is imported at first use."""
        self.input(np.zeros((1, self.sample_rate_hz), np.float32))

    def spans(
        self, span: tuple[int, int], starts_s: NDArray[np.float64], length_s: float
    ) -> tuple[NDArray[np.int64], NDArray[np.bool_]]:
        """Return each window's samples among those of `span`, shape (K, 2), and which windows have enough of them.

        Where each goes through the network alone they are cut to what there is.
        """
        rate, (begin, end) = self.sample_rate_hz, span
        first = np.round(starts_s * rate).astype(np.int64) - begin
        stop = np.round((starts_s + length_s) * rate).astype(np.int64) - begin
        covered = np.minimum(stop, end - begin) - np.maximum(first, 0)
        present = covered >= max(1, min(round(MIN_COVERED_S * rate), end - begin, round(length_s * rate)))
        spans = np.stack([first, stop], axis=1)
        if self.context == "window":
            return spans.clip(0, end - begin), present & (covered >= self.grid.least)
        return spans, present

    def groups(self, spans: NDArray[np.int64]) -> Iterator[tuple[NDArray[np.int64], bool]]:
        """Yield the places of spans of one length, and whether they go through at once, or each in chunks."""
        lengths = spans[:, 1] - spans[:, 0]
        for length in np.unique(lengths):
            (places,) = np.nonzero(lengths == length)
            for group in np.split(places, range(WINDOWS_AT_ONCE, len(places), WINDOWS_AT_ONCE)):
                yield group, length <= round(CHUNK_S * self.sample_rate_hz)

    def _alone(self, spans: NDArray[np.int64]) -> Iterator[NDArray[np.int64]]:
        """Yield the spans that go through at once, shape (B, 2), in the order in which `groups` has them."""
        for places, at_once in self.groups(spans):
            if at_once:
                yield spans[places]
            else:
                for a, b in spans[places]:
                    yield from (a + np.array([cut]) for cut in cut_chunks(b - a, self.grid, self.sample_rate_hz))


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
