"""The losses ``cross_entropy`` and ``weighted``."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from dualstream.heads.losses import Labels, Loss, register_loss

if TYPE_CHECKING:
    from torch import Tensor


@register_loss("cross_entropy")
def cross_entropy(labels: Labels) -> Loss:
    """Every utterance counts alike."""
    from dualstream.heads.losses import _cross_entropy

    return _cross_entropy.cross_entropy


@register_loss("weighted")
def weighted(labels: Labels) -> Loss:
    """Classes count alike: utterances weigh by the inverse frequency of their class."""
    import torch
    from dualstream.heads.losses import _cross_entropy

    counts = labels.counts
    weights = (counts.sum() / max(int((counts > 0).sum()), 1) / np.maximum(counts, 1.0)).astype(np.float32)
    by_class = torch.from_numpy(weights)

    def loss(logits: Tensor, mass: Tensor) -> Tensor:
        return _cross_entropy.cross_entropy(logits, mass * by_class)

    return loss
