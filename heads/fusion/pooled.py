"""Variants that read one row an utterance: the single streams and the ways to join two rows."""

from __future__ import annotations

from typing import TYPE_CHECKING

from heads.fusion.network import Network, Settings, network

if TYPE_CHECKING:
    import torch

    from heads.batch import Batch
    from heads.weights import Noise, Weights


class _Single(Network):
    """One stream through one hidden layer: what every fusion is measured against."""

    def build(self, weights: Weights, settings: Settings) -> int:
        (stream,) = self.streams
        self.entry = StreamLayer(weights, stream, settings.widths[stream], settings.hidden)
        return settings.hidden

    def represent(self, batch: Batch, noise: Noise) -> torch.Tensor:
        return noise.dropout(self.entry(batch).relu())


@network("video", summary="the video stream alone")
class Video(_Single):
    """The video stream alone."""

    streams = ("video",)


@network("audio", summary="the audio stream alone")
class Audio(_Single):
    """The audio stream alone."""

    streams = ("audio",)


class _Concat(Network):
    """Both rows side by side, with a column each that says whether the stream is missing."""

    def build(self, weights: Weights, settings: Settings) -> int:
        video, audio = settings.widths["video"], settings.widths["audio"]
        spans = {"video": (0, video), "audio": (video, video + audio)}
        self.entry = weights.linear("entry", video + audio + 2, settings.hidden, streams=spans)
        return settings.hidden

    def represent(self, batch: Batch, noise: Noise) -> torch.Tensor:
        missing = absence(batch.video_present), absence(batch.audio_present)
        joined = concat(batch.video_utterance, batch.audio_utterance, *missing)  # (B, Dv + Da + 2)
        return noise.dropout(self.entry.shared(joined).relu())


@network("concat", summary="both rows side by side, as they are: the plain baseline")
class Concat(_Concat):
    """The plain concatenation, columns unscaled: the stream with the larger numbers drowns the other."""

    scale = "raw"


@network("concat_norm", summary="both rows side by side, each standardised and layer-normed first")
class ConcatNorm(_Concat):
    """Concatenation after standardising columns and layer-norming each stream's row.

    Layer norm: Ba et al. 2016, https://arxiv.org/abs/1607.06450. Without gain and offset, which the next
    layer makes superfluous, it is a fixed map and is done once, before training.
    """

    scale = "normed"


class StreamLayer:
    """One stream's row (B, D) to (S, B, out); a missing stream takes a learned row of its own."""

    def __init__(self, weights: Weights, stream: str, width: int, out: int, name: str | None = None) -> None:
        self.stream = stream
        self.layer = weights.linear(name or stream, width + 1, out, streams={stream: (0, width)})

    def __call__(self, batch: Batch) -> torch.Tensor:
        row, present = getattr(batch, f"{self.stream}_utterance"), getattr(batch, f"{self.stream}_present")
        return self.layer.shared(concat(row, absence(present)))


def absence(present: torch.Tensor) -> torch.Tensor:
    """Return the column (B, 1) that is 1 where a stream is missing."""
    return (~present).unsqueeze(-1).float()


def concat(*parts: torch.Tensor) -> torch.Tensor:
    """Join along the last axis."""
    import torch

    return torch.cat(parts, dim=-1)
