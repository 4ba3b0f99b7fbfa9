"""Variants that read one row per utterance: the single streams and the ways to join two rows."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, ClassVar

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, Logits
from dualstream.heads.evaluation.calibration import fit_pool
from dualstream.heads.fusion.network import Network, Priors, Settings
from dualstream.heads.fusion.registration import network
from dualstream.heads.variants.dual import DualHead
from dualstream.heads.variants.options import Parameters
from dualstream.heads.variants.registry import Task
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from dualstream.heads.data.batch import Batch
    from dualstream.heads.training.weights import Dropout, Weights


PULL = 1.0  # utterances' worth of belief that all streams of `late` deserve the same weight


class _Single(Network):
    """One stream through one hidden layer: what every fusion is measured against."""

    def build(self, weights: Weights, settings: Settings) -> int:
        (stream,) = self.streams
        self.entry = StreamLayer(weights, stream, settings.widths[stream], settings.hidden)
        return settings.hidden

    def represent(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        return dropout.dropout(self.entry(batch).relu())


@network("video", summary="only the video stream")
class Video(_Single):
    """The video stream alone."""

    streams = ("video",)


@network("audio", summary="only the audio stream")
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

    def represent(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        missing = absence(batch.video_present), absence(batch.audio_present)
        joined = concat(batch.video_utterance, batch.audio_utterance, *missing)  # (B, Dv + Da + 2)
        return dropout.dropout(self.entry.shared(joined).relu())


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


@network(
    "late",
    summary="a model of each stream, calibrated, their log-probabilities mixed",
    paper="Guo et al. 2017, On Calibration of Modern Neural Networks, https://arxiv.org/abs/1706.04599",
)
class Late(Network):
    """Two models that never see each other; what they say is calibrated and mixed afterwards.

    Each stream has a hidden layer and heads of its own, trained side by side on the same utterances. A
    temperature for each stream (Guo et al. 2017, https://arxiv.org/abs/1706.04599) and mixing weights
    of the log-probabilities, a logarithmic opinion pool (Heskes 1998,
    https://proceedings.neurips.cc/paper/1997/hash/7f24d240521d99071c93af3917215ef7-Abstract.html), are then
    solved on utterances that training did not see: dev, or, where dev may not be looked at, part of train.
    The class prior, which each stream's answers hold, is counted once (heads/evaluation/calibration.py): the
    mixture holds as much of it as the loss lets a stream alone hold.
    """

    wants_held_out = True

    def build(self, weights: Weights, settings: Settings) -> int:
        self.entries = {
            stream: StreamLayer(weights, stream, settings.widths[stream], settings.hidden)
            for stream in self.streams
        }
        return len(self.streams) * settings.hidden

    def build_heads(self, weights: Weights, settings: Settings) -> None:
        sizes = settings.emotions, settings.sentiments
        self.heads = [DualHead(weights, settings.hidden, *sizes, name=f"head_{stream}") for stream in self.streams]
        count = len(self.streams)
        for task in settings.tasks:
            weights.add(f"head_alone.{task}", (count,), fill=1.0)
            weights.add(f"head_mix.{task}", (count,), fill=1 / count)
            weights.add(f"head_offset.{task}", (1 + count, getattr(settings, f"{task}s")), since="0.2")

    def represent(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        return concat(*(dropout.dropout(self.entries[stream](batch).relu()) for stream in self.streams))

    def decide_training(self, representation: torch.Tensor, batch: Batch) -> list[Logits]:
        parts = representation.split(self.settings.hidden, dim=-1)
        return [head(part) for head, part in zip(self.heads, parts, strict=True)]

    def decide(self, representation: torch.Tensor, batch: Batch) -> Logits:
        said = self.decide_training(representation, batch)
        there = self._there(batch).float()  # (B, streams)
        count, streams = there.sum(-1, keepdim=True), len(self.streams)
        complete, none = (count == streams).float(), (count == 0).float()
        share = (1.0 - complete) * there / count.clamp(min=1.0)
        cases = concat(complete, share)  # (B, 1 + streams)
        mixed = {}
        for task in ("emotion", "sentiment"):
            logs = [getattr(logits, task).log_softmax(-1) for logits in said]
            mixed[task] = logs[0]
            if task in self.settings.tasks:
                mix, single, offset = (self.weights[f"head_{kind}.{task}"] for kind in ("mix", "alone", "offset"))
                weights = (
                    complete * mix.unsqueeze(1) + share * single.unsqueeze(1) + none / streams
                )  # (S, B, streams)
                parts = [weights[..., [column]] * one for column, one in enumerate(logs)]
                mixed[task] = sum(parts, cases @ offset)
        return Logits(**mixed)

    def finish(
        self, batches: Sequence[tuple[Batch, dict[Task, NDArray[np.int64]]]], priors: dict[Task, Priors]
    ) -> None:
        for task in self.settings.tasks:
            logs, present, truth = self._held_out(batches, task)
            shares, answered = priors[task].shares, priors[task].answered
            every = range(len(self.streams))
            for case, columns in enumerate([list(every), *([column] for column in every)]):
                codes = np.where(present[:, columns].all(1), truth, UNLABELLED)
                if (codes == UNLABELLED).all():
                    continue
                held = answered[[1 + column for column in columns]]
                pool = fit_pool(logs[columns], codes, held=held, prior=shares[case], pull=PULL)
                kind = "alone" if case else "mix"
                self._set(f"head_{kind}.{task}", columns, pool.weights)
                # what a stream alone holds of the prior, by its loss, the mixture is to hold
                self._set(f"head_offset.{task}", [case], pool.offset + answered[case] - shares[case])

    def _set(self, name: str, rows: list[int], values: NDArray[np.float64]) -> None:
        array = self.weights[name][0]
        array[rows] = array.new_tensor(values.tolist())

    def _there(self, batch: Batch) -> torch.Tensor:
        """Return which streams are there, shape (B, streams)."""
        return concat(*(getattr(batch, f"{stream}_present").unsqueeze(-1) for stream in self.streams))

    def _held_out(
        self, batches: Sequence[tuple[Batch, dict[Task, NDArray[np.int64]]]], task: Task
    ) -> tuple[NDArray[np.float64], NDArray[np.bool_], NDArray[np.int64]]:
        """Return the streams' log-probabilities (streams, N, C), presence (N, streams) and labels (N,)."""
        from dualstream.heads.training.weights import EVAL

        logs, present = [], []
        for batch, _ in batches:
            said = self.decide_training(self.represent(batch, EVAL), batch)
            rows = [getattr(one, task)[0].double().log_softmax(-1).numpy() for one in said]
            logs.append(np.stack(rows))
            present.append(self._there(batch).numpy())
        return (
            np.concatenate(logs, axis=1),
            np.concatenate(present),
            np.concatenate([labels[task] for _, labels in batches]),
        )


@network(
    "gated",
    summary="a learned gate that weighs the streams, unit by unit",
    paper="Arevalo et al. 2017, Gated Multimodal Units for Information Fusion, https://arxiv.org/abs/1702.01992",
)
class Gated(Network):
    """Gated multimodal unit (Arevalo et al. 2017, https://arxiv.org/abs/1702.01992).

    h = g * tanh(video) + (1 - g) * tanh(audio), the gate g from both rows. A missing stream's gate is shut.
    """

    scale = "normed"

    def build(self, weights: Weights, settings: Settings) -> int:
        widths = settings.widths
        self.video = StreamLayer(weights, "video", widths["video"], settings.hidden)
        self.audio = StreamLayer(weights, "audio", widths["audio"], settings.hidden)
        spans = {"video": (0, widths["video"]), "audio": (widths["video"], widths["video"] + widths["audio"])}
        self.gate = weights.linear("gate", sum(widths.values()), settings.hidden, streams=spans, counted=False)
        return settings.hidden

    def represent(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        gate = self.gate.shared(concat(batch.video_utterance, batch.audio_utterance)).sigmoid()  # (S, B, hidden)
        video_alone = (batch.video_present & ~batch.audio_present).unsqueeze(-1)
        audio_alone = (batch.audio_present & ~batch.video_present).unsqueeze(-1)
        gate = gate * (~(video_alone | audio_alone)).float() + video_alone.float()  # faster than masked_fill
        video, audio = self.video(batch).tanh(), self.audio(batch).tanh()
        return dropout.dropout(audio + gate * (video - audio))


@network(
    "lowrank",
    summary="products of the streams, kept to a low rank (LMF)",
    paper="Liu et al. 2018, Efficient Low-rank Multimodal Fusion, https://arxiv.org/abs/1806.00064",
)
class LowRank(Network):
    """Low-rank multimodal fusion, LMF (Liu et al. 2018, https://arxiv.org/abs/1806.00064).

    The outer product of both streams' rows, each with a 1 appended, under a weight tensor of rank r: the
    sum over r of products of two linear maps. The appended 1 is each map's bias.
    """

    scale = "normed"
    parameters: ClassVar[Parameters] = {"rank": 4, "factors": 64}

    def build(self, weights: Weights, settings: Settings) -> int:
        self.rank, width = int(settings.parameters["rank"]), max(1, settings.hidden // 2)
        out = int(settings.parameters["factors"])
        self.entries = {
            stream: StreamLayer(weights, stream, settings.widths[stream], width) for stream in self.streams
        }
        self.factors = {
            stream: weights.linear(f"factor_{stream}", width, self.rank * out) for stream in self.streams
        }
        return out

    def represent(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        video, audio = (
            self.factors[stream](dropout.dropout(self.entries[stream](batch).relu())) for stream in self.streams
        )
        product = video * audio  # (S, B, rank * out)
        return product.unflatten(-1, (self.rank, -1)).sum(-2)


@network(
    "tensor",
    summary="the full outer product of both streams (TFN)",
    paper="Zadeh et al. 2017, Tensor Fusion Network, https://arxiv.org/abs/1707.07250",
)
class TensorFusion(Network):
    """Tensor fusion network, TFN (Zadeh et al. 2017, https://arxiv.org/abs/1707.07250).

    Each stream is brought to a few columns with a 1 appended; their outer product holds the streams alone
    and every pair of their columns.
    """

    scale = "normed"
    parameters: ClassVar[Parameters] = {"columns": 15}

    def build(self, weights: Weights, settings: Settings) -> int:
        columns, width = int(settings.parameters["columns"]), max(1, settings.hidden // 2)
        self.entries, self.narrow = {}, {}
        for stream in self.streams:
            self.entries[stream] = StreamLayer(weights, stream, settings.widths[stream], width)
            self.narrow[stream] = weights.linear(f"narrow_{stream}", width, columns)
        self.after = weights.linear("after", (columns + 1) ** 2, settings.hidden)
        return settings.hidden

    def represent(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        video, audio = (self._narrowed(stream, batch, dropout) for stream in self.streams)
        outer = video.unsqueeze(-1) * audio.unsqueeze(-2)  # (S, B, columns + 1, columns + 1)
        return dropout.dropout(self.after(outer.flatten(-2)).relu())

    def _narrowed(self, stream: str, batch: Batch, dropout: Dropout) -> torch.Tensor:
        row = self.narrow[stream](dropout.dropout(self.entries[stream](batch).relu())).relu()
        return concat(row, row.new_ones(*row.shape[:-1], 1))


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
