"""The losses ``logit_adjusted`` and ``balanced_softmax``: cross-entropy of logits shifted by the classes' shares.

The second is the first with an adjustment of 1: the logarithms of counts and of shares differ by a constant.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualstream.heads.losses import Labels, Loss, register_loss

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor


@register_loss("logit_adjusted", options=("adjustment",))
def logit_adjusted(labels: Labels) -> Loss:
    """Rare classes are favoured, as much as `adjustment` says (Menon et al. 2021, https://arxiv.org/abs/2007.07314)."""
    return _shifted(labels.options["adjustment"] * labels.log_share)


@register_loss("balanced_softmax")
def balanced_softmax(labels: Labels) -> Loss:
    """Softmax over counts times exponentials (Ren et al. 2020, https://arxiv.org/abs/2007.10740)."""
    return _shifted(labels.log_share)


def _shifted(shift: NDArray[np.float32]) -> Loss:
    import torch
    from dualstream.heads.losses import _cross_entropy

    added = torch.from_numpy(shift)

    def loss(logits: Tensor, mass: Tensor) -> Tensor:
        return _cross_entropy.cross_entropy(logits + added, mass)

    return loss
