"""A solved linear model as a torch module, for other runtimes; torch is imported here alone in this family."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from dualstream.heads.data.batch import stream_order
from dualstream.heads.linear.design import CLIP, Design
from dualstream.heads.linear.head import LinearHead
from dualstream.heads.linear.partial import PartialPools
from dualstream.heads.variants.contract import Task
from numpy.typing import NDArray
from torch import Tensor, nn


class LinearModule(nn.Module):
    """One solved linear model; `heads.linear.model.LinearModel.predict` in torch.

    Parameters
    ----------
    parts
        Of each part the design and its heads by task.
    weights
        ``prior``, ``mixing``, ``alone``, ``offset`` and ``shift`` of the model, by task.
    partial
        How some of the parts are mixed, by task.
    """

    windowed, over_dialogues, max_windows = False, False, 1

    def __init__(
        self,
        parts: Sequence[tuple[Design, dict[Task, LinearHead]]],
        weights: Mapping[str, dict[Task, NDArray[np.float64]]],
        partial: Mapping[Task, PartialPools],
    ) -> None:
        super().__init__()
        self.parts, self.weights, self.partial = parts, weights, partial
        widths: dict[str, int] = {}
        for design, _ in parts:
            widths |= dict(zip(design.streams, design.widths, strict=True))
        self.widths = {stream: widths[stream] for stream in stream_order(widths)}
        self.tasks: tuple[Task, ...] = tuple(weights["prior"])

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[Task, Tensor]:
        """Return log-probabilities (B, C); `heads.export.HeadGraph` says what `inputs` holds."""
        numbers = range(len(self.parts))
        rows = [self._rows(number, inputs) for number in numbers]
        there = torch.stack([self._available(number, inputs) for number in numbers]).float()  # (parts, B)
        complete = there.prod(0)
        share = there * (1 - complete) / there.sum(0).clamp(min=1.0)  # of each part, where some are missing
        cases = torch.cat([complete.unsqueeze(0), share]).t()  # (B, 1 + parts)
        answer = {}
        for task in self.tasks:
            experts = torch.stack([self._expert(number, task, row) for number, row in enumerate(rows)])
            mixing, alone = (_float(self.weights[kind][task])[:, None] for kind in ("mixing", "alone"))
            weights = complete * mixing + share * alone  # (parts, B)
            offset = cases @ _float(self.weights["offset"][task])
            for parts, own, added in zip(*self._partial(task), strict=True):
                case = ((there > 0) == parts.unsqueeze(-1)).all(0)  # (B,)
                weights = torch.where(case, own.unsqueeze(-1), weights)
                offset = torch.where(case.unsqueeze(-1), added, offset)
            mixed = ((weights.unsqueeze(-1) * experts).sum(0) + offset).log_softmax(-1)
            none = (there.sum(0) == 0).unsqueeze(-1)
            shifted = (mixed + _float(self.weights["shift"][task])).log_softmax(-1)
            answer[task] = torch.where(none, _float(self.weights["prior"][task]), shifted)
        return answer

    def _partial(self, task: Task) -> tuple[Tensor, Tensor, Tensor]:
        pools = self.partial[task]
        return torch.from_numpy(pools.parts), _float(pools.weights), _float(pools.offset)

    def _available(self, number: int, inputs: Mapping[str, Tensor]) -> Tensor:
        masks = [inputs[f"{stream}_present"] for stream in self.parts[number][0].streams]
        return torch.stack(masks).any(0)

    def _rows(self, number: int, inputs: Mapping[str, Tensor]) -> Tensor:
        design, _ = self.parts[number]
        parts, flags, at = [], [], 0
        for name, width, indicator in zip(design.streams, design.widths, design.indicators, strict=True):
            spread = design.spread[at : at + width]
            inverse = np.divide(1, spread, out=np.zeros_like(spread), where=spread > 0)
            missing = ~inputs[f"{name}_present"].unsqueeze(-1)
            scaled = (inputs[name] - _float(design.mean[at : at + width])) * _float(inverse)
            parts.append(scaled.clamp(-CLIP, CLIP).masked_fill(missing, 0.0))
            at += width
            if indicator:
                flags.append(missing.float())
        return torch.cat([*parts, *flags], dim=-1)

    def _expert(self, number: int, task: Task, rows: Tensor) -> Tensor:
        head = self.parts[number][1][task]
        log_p = (rows @ _float(head.weights).t() + _float(head.intercepts)).log_softmax(-1)
        if len(head.seen) == head.classes:
            return log_p
        kept = float(np.log1p(-(head.classes - len(head.seen)) * np.exp(head.unseen)))
        place = np.full(head.classes, len(head.seen))  # classes unseen take the last column
        place[head.seen] = np.arange(len(head.seen))
        unseen = torch.zeros_like(log_p[:, :1]) + head.unseen
        return torch.cat([log_p + kept, unseen], dim=-1).index_select(-1, torch.from_numpy(place))


def _float(array: NDArray[Any]) -> Tensor:
    return torch.from_numpy(np.ascontiguousarray(array, dtype=np.float32))
