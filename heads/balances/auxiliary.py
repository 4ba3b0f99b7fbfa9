"""The balance ``auxiliary``: each stream also has to do without the others."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualstream.heads.balances import register_balance
from dualstream.heads.balances.step import Balancing, StreamBalance

if TYPE_CHECKING:
    from dualstream.heads.balances.step import Step
    from dualstream.heads.variants.options import Task
    from torch import Tensor


@register_balance("auxiliary")
def auxiliary(task: Balancing) -> StreamBalance:
    """Each stream's own loss is added, evenly: https://arxiv.org/abs/1905.12681 without its weights."""
    return Auxiliary(task.strength)


class Auxiliary(StreamBalance):
    """Joined loss + strength x the sum of the losses of the same network told of one stream only."""

    def __init__(self, strength: float) -> None:
        self.strength = strength

    def losses(self, step: Step, joint: dict[Task, Tensor]) -> dict[Task, Tensor]:
        """Add each stream's own loss to the joint one."""
        alone = [step.alone(stream) for stream in step.streams]
        return {key: loss + self.strength * sum(one[key] for one in alone) for key, loss in joint.items()}
