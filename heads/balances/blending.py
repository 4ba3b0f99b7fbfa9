"""The balance ``blending``: single-stream losses, weighted by what each generalises and overfits."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dualstream.heads.balances import register_balance
from dualstream.heads.balances.step import Balancing, StreamBalance

if TYPE_CHECKING:
    from dualstream.heads.balances.step import Step
    from dualstream.heads.training.watched import WatchedPart
    from dualstream.heads.variants.options import Task
    from torch import Tensor

EPOCHS = 4  # of a super-epoch: between two looks at what generalises
LEAST_GAIN = 1e-3  # nats: what does not generalise at all keeps this much
LEAST_OVERFITTING = 0.02  # nats: below, a gap is rounding, and its square would decide everything
MOST = 5.0  # times an even share


@register_balance("blending", holds_out=True)
def blending(task: Balancing) -> StreamBalance:
    """Losses weighted by generalisation over overfitting squared (Gradient-Blending, https://arxiv.org/abs/1905.12681).

    The online form: the weights are found anew each few epochs, from losses on train and on 15 % of it, whole
    groups, that are not trained on. A `strength` of 0 leaves all weights even, 1 takes theirs.
    """
    return Blending(task)


class Blending(StreamBalance):
    """Weights G / O^2 of the joined head and of each stream, a sum of which is their number."""

    def __init__(self, task: Balancing) -> None:
        self.task = task
        self.weight: Tensor | None = None
        """Shape (1 + streams, S); None: even."""
        self.before: tuple[Tensor, Tensor] | None = None
        """Losses on train and held out at the last look, (1 + streams, S) each."""

    def losses(self, step: Step, joint: dict[Task, Tensor]) -> dict[Task, Tensor]:
        """Return the weighted sum of the joint loss and each stream's own."""
        every = [joint, *(step.alone(stream) for stream in step.streams)]
        weights = [1.0] * len(every) if self.weight is None else list(self.weight)
        return {key: sum(w * one[key] for w, one in zip(weights, every, strict=True)) for key in joint}  # type: ignore[misc]

    def epoch(self, epoch: int, step: Step) -> None:
        """Estimate the weights anew, every few epochs, by how much each loss generalises and overfits."""
        import torch

        if epoch % EPOCHS:
            return
        watched = self.task.data.watched
        assert watched is not None, "the entry asks for it"
        with torch.no_grad():
            now = self._losses(step, watched.seen), self._losses(step, watched.held_out)
        if self.before is not None:
            gain = (self.before[1] - now[1]).clamp_min(LEAST_GAIN)
            gap = (now[1] - now[0]) - (self.before[1] - self.before[0])
            weight = gain / gap.clamp_min(LEAST_OVERFITTING).square()
            weight = (weight / weight.sum(0) * len(weight)).clamp_max(MOST)
            self.weight = 1 + self.task.strength * (weight - 1)
        self.before = now

    def keep(self, rows: Sequence[int]) -> None:
        """Keep the weights and losses of some seeds."""
        at = list(rows)
        self.weight = None if self.weight is None else self.weight[:, at]
        self.before = None if self.before is None else (self.before[0][:, at], self.before[1][:, at])

    @staticmethod
    def _losses(step: Step, part: WatchedPart) -> Tensor:
        """Return the mean loss over the tasks of all streams and of each, shape (1 + streams, S)."""
        import torch

        found = []
        for known in (step.streams, *((stream,) for stream in step.streams)):
            found.append(torch.stack(part.mean_losses(step.network, known)).mean(0))
        return torch.stack(found)
