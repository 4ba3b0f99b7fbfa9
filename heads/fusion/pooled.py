"""Variants that read one row per utterance: the single streams and the ways to join the rows of several."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import TYPE_CHECKING, Any

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, Logits
from dualstream.heads.evaluation.calibration import fit_pool
from dualstream.heads.evaluation.partial import case_masks, partial_cases
from dualstream.heads.fusion.network import Network, Priors, Settings, bound_to
from dualstream.heads.fusion.registration import network
from dualstream.heads.variants.dual import DualHead
from dualstream.heads.variants.registry import Task
from dualstream.heads.variants.streams import streams_named
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch
    from dualstream.heads.data.batch import Batch
    from dualstream.heads.training.weights import Dropout, Weights


PULL = 1.0  # utterances' worth of belief that all streams of `late` deserve the same weight


class _Single(Network):
    """One stream through one hidden layer: what every fusion is measured against."""

    def build(self, weights: Weights, settings: Settings) -> int:
        (stream,) = settings.streams
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


@network("single", summary="only one stream, of any name: single:NAME", needs_argument=True)
class Single(_Single):
    """The stream that the argument names, alone."""

    streams = ("NAME",)

    @classmethod
    def over(cls, argument: str) -> type[Network]:
        """Return the class that reads the stream of this name."""
        return bound_to(cls, streams_named("single", argument, 1))


class _Concat(Network):
    """All rows side by side, with a column for each stream that says whether it is missing."""

    joins = True

    def build(self, weights: Weights, settings: Settings) -> int:
        total = sum(settings.widths.values())
        self.entry = weights.linear(
            "entry", total + len(settings.streams), settings.hidden, streams=spans(settings.widths)
        )
        return settings.hidden

    def represent(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        rows = [one.utterance for one in batch.streams.values()]
        missing = [absence(one.present) for one in batch.streams.values()]
        return dropout.dropout(self.entry.shared(concat(*rows, *missing)).relu())  # (B, sum of D + streams)


@network("concat", summary="the streams' rows side by side, as they are: the plain baseline")
class Concat(_Concat):
    """The plain concatenation, columns unscaled: the stream with the larger numbers drowns the others."""

    scale = "raw"


@network("concat_norm", summary="the streams' rows side by side, each standardised and layer-normed first")
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
    """Models of one stream each that never see each other; what they say is calibrated and mixed afterwards.

    Each stream has a hidden layer and heads of its own, trained side by side on the same utterances. A
    temperature for each stream (Guo et al. 2017, https://arxiv.org/abs/1706.04599) and mixing weights
    of the log-probabilities, a logarithmic opinion pool (Heskes 1998,
    https://proceedings.neurips.cc/paper/1997/hash/7f24d240521d99071c93af3917215ef7-Abstract.html), are then
    solved on utterances that training did not see: dev, or, where dev may not be looked at, part of train.
    The class prior, which each stream's answers hold, is counted once (heads/evaluation/calibration.py): the
    mixture holds as much of it as the loss lets a stream alone hold.
    """

    joins = True
    wants_held_out = True

    def build(self, weights: Weights, settings: Settings) -> int:
        """Make a layer for each stream."""
        self.entries = {
            stream: StreamLayer(weights, stream, settings.widths[stream], settings.hidden)
            for stream in settings.streams
        }
        self.cases = case_masks(len(settings.streams))
        return len(settings.streams) * settings.hidden

    def build_heads(self, weights: Weights, settings: Settings) -> None:
        """Make heads for each stream, and the weights and offsets by which their answers are mixed."""
        sizes = settings.emotions, settings.sentiments
        streams = settings.streams
        self.heads = [DualHead(weights, settings.hidden, *sizes, name=f"head_{stream}") for stream in streams]
        count = len(streams)
        for task in settings.tasks:
            weights.add(f"head_alone.{task}", (count,), fill=1.0)
            weights.add(f"head_mix.{task}", (count,), fill=1 / count)
            classes = getattr(settings, f"{task}s")
            weights.add(f"head_offset.{task}", (1 + count, classes), since="0.2")
            if len(self.cases):
                mean = weights[f"head_mix.{task}"].new_tensor(self.cases / self.cases.sum(1, keepdims=True))
                weights.put(f"head_partial.{task}", mean.expand(len(weights.seeds), -1, -1))
                weights.add(f"head_partial_offset.{task}", (len(self.cases), classes))

    def represent(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        """Return the streams' own representations side by side, shape (S, B, streams * hidden)."""
        return concat(*(dropout.dropout(entry(batch).relu()) for entry in self.entries.values()))

    def decide_training(self, representation: torch.Tensor, batch: Batch) -> list[Logits]:
        """Return each stream's own logits: each learns by itself."""
        parts = representation.split(self.settings.hidden, dim=-1)
        return [head(part) for head, part in zip(self.heads, parts, strict=True)]

    def decide(self, representation: torch.Tensor, batch: Batch) -> Logits:
        """Return the weighted sum of the streams' log-probabilities, by which of them are there."""
        said = self.decide_training(representation, batch)
        there = self._there(batch).float()  # (B, streams)
        count, streams = there.sum(-1, keepdim=True), len(self.settings.streams)
        complete, none = (count == streams).float(), (count == 0).float()
        partial = self._partial(there)  # (B, cases)
        share = (1.0 - complete) * there / count.clamp(min=1.0)
        if len(self.cases):
            share = share * (1.0 - partial.sum(-1, keepdim=True))
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
                added = cases @ offset
                if len(self.cases):
                    weights = weights + partial @ self.weights[f"head_partial.{task}"]
                    added = added + partial @ self.weights[f"head_partial_offset.{task}"]
                parts = [weights[..., [column]] * one for column, one in enumerate(logs)]
                mixed[task] = sum(parts, added)
        return Logits(**mixed)

    def finish(
        self, batches: Sequence[tuple[Batch, dict[Task, NDArray[np.int64]]]], priors: dict[Task, Priors]
    ) -> None:
        """Fit the weights and offsets of the mixture on held-out utterances, for each case of present streams."""
        for task in self.settings.tasks:
            logs, present, truth = self._held_out(batches, task)
            shares, answered = priors[task].shares, priors[task].answered
            every = range(len(self.settings.streams))
            fewer = [list(case) for case in partial_cases(len(every))]
            for case, columns in enumerate([list(every), *([column] for column in every), *fewer]):
                codes = np.where(present[:, columns].all(1), truth, UNLABELLED)
                if (codes == UNLABELLED).all():
                    continue
                held = answered[[1 + column for column in columns]]
                pool = fit_pool(logs[columns], codes, held=held, prior=shares[case], pull=PULL)
                # what a stream alone holds of the prior, by its loss, the mixture is to hold
                offset = pool.offset + answered[case] - shares[case]
                if case <= len(every):
                    self._set(f"head_{'alone' if case else 'mix'}.{task}", columns, pool.weights)
                    self._set(f"head_offset.{task}", case, offset)
                else:
                    row = case - len(every) - 1
                    self._set(f"head_partial.{task}", (row, columns), pool.weights)
                    self._set(f"head_partial_offset.{task}", row, offset)

    def _set(self, name: str, at: Any, values: NDArray[np.float64]) -> None:
        array = self.weights[name][0]
        array[at] = array.new_tensor(values.tolist())

    def _partial(self, there: torch.Tensor) -> torch.Tensor:
        """Return which of the partial cases an utterance is, (B, cases), of which streams it has, (B, streams)."""
        masks = there.new_tensor(self.cases.astype(np.float32))
        return (there.unsqueeze(-2) == masks).all(-1).float()

    def _there(self, batch: Batch) -> torch.Tensor:
        """Return which streams are there, shape (B, streams)."""
        return concat(*(one.present.unsqueeze(-1) for one in batch.streams.values()))

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

    h = g * tanh(video) + (1 - g) * tanh(audio), the gate g from both rows. A missing stream's gate is shut. Of
    three streams or more each has a gate, from all rows; of the streams that are there they sum to 1.
    """

    joins = True
    scale = "normed"

    def build(self, weights: Weights, settings: Settings) -> int:
        """Make a layer for each stream, and the gate that reads all of them."""
        self.entries = {
            stream: StreamLayer(weights, stream, width, settings.hidden)
            for stream, width in settings.widths.items()
        }
        gates = 1 if len(self.entries) == 2 else len(self.entries)
        self.gate = weights.linear(
            "gate",
            sum(settings.widths.values()),
            gates * settings.hidden,
            streams=spans(settings.widths),
            counted=False,
        )
        return settings.hidden

    def represent(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        """Return the mixture of the streams that the gate chooses, shape (S, B, hidden)."""
        streams = batch.streams.values()
        gate = self.gate.shared(concat(*(one.utterance for one in streams)))  # (S, B, gates * hidden)
        entered = [entry(batch).tanh() for entry in self.entries.values()]
        there = [one.present for one in streams]
        if len(entered) == 2:
            return dropout.dropout(self._two(gate.sigmoid(), entered, there))
        shut = concat(*(absence(one) for one in there))  # (B, streams)
        shut = shut * (shut.min(-1, keepdim=True).values < 1)  # nothing is there: all are open
        shares = (gate.unflatten(-1, (len(entered), -1)) - 1e9 * shut.unsqueeze(-1)).softmax(-2)
        return dropout.dropout(sum(shares[..., k, :] * one for k, one in enumerate(entered)))

    @staticmethod
    def _two(gate: torch.Tensor, entered: list[torch.Tensor], there: list[torch.Tensor]) -> torch.Tensor:
        (first, second), (one, other) = entered, there
        first_alone, second_alone = (one & ~other).unsqueeze(-1), (other & ~one).unsqueeze(-1)
        gate = gate * (~(first_alone | second_alone)).float() + first_alone.float()  # faster than masked_fill
        return second + gate * (first - second)


class StreamLayer:
    """One stream's row (B, D) to (S, B, out); a missing stream takes a learned row of its own."""

    def __init__(self, weights: Weights, stream: str, width: int, out: int, name: str | None = None) -> None:
        self.stream = stream
        self.layer = weights.linear(name or stream, width + 1, out, streams={stream: (0, width)})

    def __call__(self, batch: Batch) -> torch.Tensor:
        one = batch.streams[self.stream]
        return self.layer.shared(concat(one.utterance, absence(one.present)))


def spans(widths: Mapping[str, int]) -> dict[str, tuple[int, int]]:
    """Return which columns of the streams side by side are each one's, half-open."""
    ends = list(accumulate(widths.values()))
    return {name: (end - width, end) for (name, width), end in zip(widths.items(), ends, strict=True)}


def absence(present: torch.Tensor) -> torch.Tensor:
    """Return the column (B, 1) that is 1 where a stream is missing."""
    return (~present).unsqueeze(-1).float()


def concat(*parts: torch.Tensor) -> torch.Tensor:
    """Join along the last axis."""
    import torch

    return torch.cat(parts, dim=-1)
