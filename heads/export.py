"""A fitted head as one torch module: unscaled features in, calibrated probabilities out; for other runtimes.

The mean of the seeds' probabilities, scaling and masks included, so that whoever runs it needs nothing else.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from dualstream.heads.data.batch import Batch, FeatureSet
from dualstream.heads.fusion.network import resolve
from dualstream.heads.linear.design import CLIP as LINEAR_CLIP
from dualstream.heads.linear.model import LinearModel
from dualstream.heads.search.auto import AutoModel
from dualstream.heads.training.fit import TorchModel
from dualstream.heads.training.tensors import CLIP, STREAMS, thin
from dualstream.heads.variants.registry import TASKS, Task, Trained
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

Inputs = Mapping[str, Tensor]


class HeadGraph(nn.Module):
    """Several seeds' models of one variant as one module.

    Parameters
    ----------
    models
        One a seed.
    sharpness
        Inverse temperature of each task, by which the mean's log-probabilities are multiplied.

    Notes
    -----
    `input_names` are, for each stream that is read: ``video``, its rows, (B, D), or (B, T, D) for a variant
    that reads windows; then ``video_mask`` (B, T), bool, True where a window means something; and
    ``video_present`` (B,), bool. A variant over dialogues also takes ``dialogue`` (B,), int64: utterances of
    one dialogue stand side by side in turn order. `output_names` are the tasks, probabilities (B, C).

    Raises
    ------
    ValueError
        Where a model is of a kind that has no graph.
    """

    def __init__(self, models: Sequence[Trained], sharpness: Mapping[Task, float]) -> None:
        super().__init__()
        self.members = [_member(model) for model in models]
        self.sharpness = dict(sharpness)
        first = self.members[0]
        self.widths, self.windowed = first.widths, first.windowed
        self.input_names = []
        for stream in first.widths:
            self.input_names += [stream, *([f"{stream}_mask"] if self.windowed else []), f"{stream}_present"]
        if first.over_dialogues:
            self.input_names.append("dialogue")
        self.over_dialogues = first.over_dialogues
        self.output_names: list[Task] = [task for task in TASKS if task in first.tasks]

    def forward(self, *values: Tensor) -> tuple[Tensor, ...]:
        """Return the probabilities of each task, in the order of `output_names`."""
        inputs = dict(zip(self.input_names, values, strict=True))
        said = [member(inputs) for member in self.members]
        answers = []
        for task in self.output_names:
            stacked = torch.stack([one[task] for one in said])  # (seeds, B, C)
            answers.append(functional.softmax(self.sharpness[task] * stacked.logsumexp(0), dim=-1))
        return tuple(answers)

    def feed(self, features: FeatureSet) -> tuple[Tensor, ...]:
        """Return the inputs for utterances that stand in the order of their dialogues."""
        found: dict[str, Tensor] = {"dialogue": torch.from_numpy(features.dialogue)}
        rows, counts = thin(features.offsets, self.members[0].max_windows)
        length = int(counts.max()) if len(counts) else 0
        inside = np.arange(length) < counts[:, None]  # (B, T)
        for stream, width in self.widths.items():
            arrays = features.streams.get(stream)
            count = len(features)
            present = np.zeros(count, np.bool_) if arrays is None else arrays.present
            found[f"{stream}_present"] = torch.from_numpy(present.copy())
            if not self.windowed:
                whole = np.zeros((count, width), np.float32) if arrays is None else arrays.utterance
                found[stream] = torch.from_numpy(whole.copy())
                continue
            windows = np.zeros((count, length, width), np.float32)
            mask = np.zeros((count, length), np.bool_)
            if arrays is not None and arrays.windows is not None and arrays.window_present is not None:
                windows[inside] = arrays.windows[rows]
                mask[inside] = arrays.window_present[rows]
                mask &= present[:, None]
            found[stream], found[f"{stream}_mask"] = torch.from_numpy(windows), torch.from_numpy(mask)
        return tuple(found[name] for name in self.input_names)


class _NetworkMember:
    """One trained network, with the scaling that `heads.training.tensors.TensorSet` does before it."""

    def __init__(self, model: TorchModel) -> None:
        self.model = model
        kind = resolve(model.variant)
        self.widths = {stream: model.settings.widths[stream] for stream in STREAMS if stream in kind.streams}
        self.windowed, self.over_dialogues = kind.reads == "windows", kind.whole_dialogues
        self.max_windows = model.settings.max_windows
        self.tasks = model.settings.tasks
        self.scales = {
            stream: (torch.from_numpy(scaler.mean), torch.from_numpy(scaler.spread))
            for stream, scaler in model.scalers.items()
        }

    def __call__(self, inputs: Inputs) -> dict[Task, Tensor]:
        first = inputs[f"{next(iter(self.widths))}_present"]
        fields: dict[str, Any] = {"dialogue": inputs.get("dialogue", torch.zeros_like(first, dtype=torch.int64))}
        for stream in STREAMS:
            fields |= self._stream(stream, inputs, first)
        batch = Batch(**fields)
        return self.model.log_probabilities(batch)

    def _stream(self, stream: str, inputs: Inputs, like: Tensor) -> dict[str, Tensor]:
        count = like.shape[0]
        if stream not in self.widths:
            length = inputs[next(iter(self.widths))].shape[1] if self.windowed else 0
            return {
                stream: torch.zeros(count, length, 0),
                f"{stream}_mask": torch.zeros(count, length, dtype=torch.bool),
                f"{stream}_utterance": torch.zeros(count, 0),
                f"{stream}_present": torch.zeros_like(like),
            }
        rows, present = inputs[stream], inputs[f"{stream}_present"]
        mask = inputs[f"{stream}_mask"] & present.unsqueeze(-1) if self.windowed else present
        scaled = self._scaled(stream, rows).masked_fill(~mask.unsqueeze(-1), 0.0)
        if self.windowed:
            whole = rows.new_zeros(count, rows.shape[-1])
            return {
                stream: scaled,
                f"{stream}_mask": mask,
                f"{stream}_utterance": whole,
                f"{stream}_present": present,
            }
        return {
            stream: rows.new_zeros(count, 0, rows.shape[-1]),
            f"{stream}_mask": torch.zeros(count, 0, dtype=torch.bool),
            f"{stream}_utterance": scaled,
            f"{stream}_present": present,
        }

    def _scaled(self, stream: str, rows: Tensor) -> Tensor:
        kind = self.model.kind.scale
        if kind == "raw":
            return rows
        mean, spread = self.scales[stream]
        scaled = ((rows - mean) / spread).clamp(-CLIP, CLIP)
        return functional.layer_norm(scaled, (len(mean),)) if kind == "normed" else scaled


class _LinearMember:
    """One solved linear model; `LinearModel.predict` in torch."""

    windowed, over_dialogues, max_windows = False, False, 1

    def __init__(self, model: LinearModel) -> None:
        self.model = model
        self.widths: dict[str, int] = {}
        for part in model.parts:
            self.widths |= dict(zip(part.design.streams, part.design.widths, strict=True))
        self.widths = {stream: self.widths[stream] for stream in STREAMS if stream in self.widths}
        self.tasks: tuple[Task, ...] = tuple(model.prior)

    def __call__(self, inputs: Inputs) -> dict[Task, Tensor]:
        parts = self.model.parts
        rows = [self._rows(number, inputs) for number in range(len(parts))]
        there = torch.stack(
            [self._available(number, inputs) for number in range(len(parts))]
        ).float()  # (parts, B)
        complete = there.prod(0)
        some = there * (1 - complete)
        answer = {}
        for task in self.tasks:
            experts = torch.stack([self._expert(number, task, row) for number, row in enumerate(rows)])
            mixing, alone = (_float(getattr(self.model, kind)[task])[:, None] for kind in ("mixing", "alone"))
            weights = complete * mixing + some * alone / some.sum(0).clamp(min=1.0)  # (parts, B)
            mixed = (weights.unsqueeze(-1) * experts).sum(0).log_softmax(-1)
            none = (there.sum(0) == 0).unsqueeze(-1)
            shifted = (mixed + _float(self.model.shift[task])).log_softmax(-1)
            answer[task] = torch.where(none, _float(self.model.prior[task]), shifted)
        return answer

    def _available(self, number: int, inputs: Inputs) -> Tensor:
        masks = [inputs[f"{stream}_present"] for stream in self.model.parts[number].design.streams]
        return torch.stack(masks).any(0)

    def _rows(self, number: int, inputs: Inputs) -> Tensor:
        design = self.model.parts[number].design
        parts, flags, at = [], [], 0
        for name, width, indicator in zip(design.streams, design.widths, design.indicators, strict=True):
            spread = design.spread[at : at + width]
            inverse = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
            missing = ~inputs[f"{name}_present"].unsqueeze(-1)
            scaled = (inputs[name] - _float(design.mean[at : at + width])) * _float(inverse)
            parts.append(scaled.clamp(-LINEAR_CLIP, LINEAR_CLIP).masked_fill(missing, 0.0))
            at += width
            if indicator:
                flags.append(missing.float())
        return torch.cat([*parts, *flags], dim=-1)

    def _expert(self, number: int, task: Task, rows: Tensor) -> Tensor:
        head = self.model.parts[number].heads[task]
        log_p = (rows @ _float(head.weights).t() + _float(head.intercepts)).log_softmax(-1)
        if len(head.seen) == head.classes:
            return log_p
        kept = float(np.log1p(-(head.classes - len(head.seen)) * np.exp(head.unseen)))
        place = np.full(head.classes, len(head.seen))  # classes unseen take the last column
        place[head.seen] = np.arange(len(head.seen))
        unseen = torch.zeros_like(log_p[:, :1]) + head.unseen
        return torch.cat([log_p + kept, unseen], dim=-1).index_select(-1, torch.from_numpy(place))


def _member(model: Trained) -> _NetworkMember | _LinearMember:
    if isinstance(model, AutoModel):
        return _member(model.inner)
    if isinstance(model, TorchModel):
        return _NetworkMember(model)
    if isinstance(model, LinearModel):
        return _LinearMember(model)
    raise ValueError(f"{model.variant} is a {type(model).__name__}, for which there is no graph")


def _float(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
