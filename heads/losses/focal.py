"""The loss ``focal``."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualstream.heads.losses import Labels, Loss, register_loss

if TYPE_CHECKING:
    from torch import Tensor


@register_loss("focal", options=("focal_gamma",))
def focal(labels: Labels) -> Loss:
    """What is classified well counts less (Lin et al. 2017, https://arxiv.org/abs/1708.02002)."""
    gamma = labels.options["focal_gamma"]

    def loss(logits: Tensor, mass: Tensor) -> Tensor:
        log_p = logits.log_softmax(dim=-1)
        # 1 - p is kept off 0, where a fractional power has no derivative
        discount = (1.0 - log_p.exp()).clamp_min(1e-6) ** gamma
        return -(discount * log_p * mass).sum((1, 2)) / mass.sum().clamp_min(1e-12)

    return loss
