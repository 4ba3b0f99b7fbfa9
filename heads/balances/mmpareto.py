"""The balance ``mmpareto``: single-stream losses whose gradients may not work against the joined one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualstream.heads.balances import register_balance
from dualstream.heads.balances.step import Balancing, StreamBalance

if TYPE_CHECKING:
    from dualstream.heads.balances.step import Step
    from dualstream.heads.variants.options import Task
    from torch import Tensor

TINY = 1e-20


@register_balance("mmpareto")
def mmpareto(task: Balancing) -> StreamBalance:
    """Each stream's own loss is added, conflicts solved (MMPareto, Wei & Hu 2024, https://arxiv.org/abs/2405.17730).

    On the rows of the first layers that belong to a stream, a joined and a single-stream gradient that point apart
    give way to the shortest one between them, as long as their sum was: it lowers both losses. The layers above,
    which the paper has once for each loss, follow the sum. Their constant factor is left out: AdamW takes it out
    of a gradient again. `strength` weighs the single-stream losses, 1 in the paper.
    """
    return MMPareto(task.strength)


class MMPareto(StreamBalance):
    """Joined loss + strength x the sum of single-stream losses, with Pareto gradients on each stream's rows."""

    def __init__(self, strength: float) -> None:
        self.strength = strength
        self._own: list[tuple[str, int, int, Tensor]] = []
        """Array, first row, end row, and the gradient of that stream's own loss."""

    def losses(self, step: Step, joint: dict[Task, Tensor]) -> dict[Task, Tensor]:
        """Return the joint losses, and note each stream's own gradients."""
        import torch

        alone = {stream: step.alone(stream) for stream in step.streams}
        self._own = []
        for stream, losses in alone.items():
            places = list(step.rows(stream))
            if not places:  # a module of no layers that are told apart by stream
                continue
            total = torch.stack([self._weight(step, task) * loss.sum() for task, loss in losses.items()]).sum()
            arrays = [step.weights[name] for name, _, _ in places]
            found = torch.autograd.grad(self.strength * total, arrays, retain_graph=True, allow_unused=True)
            for (name, start, stop), grad in zip(places, found, strict=True):
                if grad is not None:
                    self._own.append((name, start, stop, grad[:, start:stop]))
        return {key: loss + self.strength * sum(one[key] for one in alone.values()) for key, loss in joint.items()}

    def before_step(self, step: Step) -> None:
        """Turn each stream's gradients to where its own and the joint loss both fall."""
        import torch

        with torch.no_grad():
            for name, start, stop, own in self._own:
                grad = step.weights[name].grad
                if grad is not None:
                    whole = grad[:, start:stop]
                    for row, (both, single) in enumerate(zip(whole.clone(), own, strict=True)):
                        whole[row] = pareto(both - single, single)
        self._own = []

    @staticmethod
    def _weight(step: Step, task: Task) -> float:
        """Return what a task's loss weighs in the sum of the two, where that is fixed."""
        options = step.data.options
        return options.sentiment_weight if task == "sentiment" and options.task_balance == "fixed" else 1.0


def pareto(joint: Tensor, single: Tensor) -> Tensor:
    """Join two gradients of the same weights: their sum, or, where they conflict, a step that lowers both losses.

    That is the point nearest to zero between them (two objectives' min-norm solution, Désidéri 2012), made as long
    as the sum was where it is shorter.
    """
    whole = joint + single
    dot = (joint * single).sum()
    if float(dot) >= 0:  # a gradient of nothing conflicts with nothing
        return whole
    apart = (joint - single).square().sum().clamp_min(TINY)
    share = ((single.square().sum() - dot) / apart).clamp(0.0, 1.0)
    nearest = 2 * (share * joint + (1 - share) * single)
    longer = (whole.norm() / nearest.norm().clamp_min(TINY)).clamp_min(1.0)
    return nearest if float(nearest.norm()) < float(TINY**0.5) else nearest * longer
