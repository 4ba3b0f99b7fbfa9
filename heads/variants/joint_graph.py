"""A joint answer as a torch module: the graph of `heads.variants.joint.Joint.apply`, for other runtimes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from dualstream.heads.variants.contract import SeedModule, Task
from dualstream.heads.variants.joint import FLOOR, Joint
from torch import Tensor

PAIRS = "pairs"  # name of what the graph says of pairs, beside the tasks


class JointModule:
    """A seed's module whose two heads answer as one; it also gives ``pairs``, log-probabilities (B, E, S)."""

    def __init__(self, inner: SeedModule, joint: Joint) -> None:
        self.inner, self.joint = inner, joint
        self.widths, self.windowed = inner.widths, inner.windowed
        self.over_dialogues, self.max_windows, self.tasks = inner.over_dialogues, inner.max_windows, inner.tasks
        kept, parts = joint.leak
        self.allowed = torch.from_numpy(joint.allowed)
        self.bias = torch.from_numpy(np.where(joint.allowed, joint.table * joint.ratio(), -np.inf))
        self.kept, self.parts = torch.from_numpy(kept), torch.from_numpy(parts)

    def __call__(self, inputs: Mapping[str, Tensor]) -> dict[Task, Tensor]:
        """Return log-probabilities (B, C) of both tasks, and of the pairs that may be answered."""
        said = self.inner(inputs)
        emotion, sentiment = said["emotion"], said["sentiment"]
        bias, kept, parts = (one.to(sentiment.dtype) for one in (self.bias, self.kept, self.parts))
        logits = bias + self.joint.head * sentiment.clamp_min(FLOOR).unsqueeze(1)  # (B, E, S)
        follow = torch.where(self.allowed, torch.log_softmax(logits, dim=-1) + kept, parts)
        joint = emotion.clamp_min(FLOOR).unsqueeze(2) + follow
        if self.joint.lead == "sentiment":
            joint = joint + (sentiment.clamp_min(FLOOR) - joint.logsumexp(1)).unsqueeze(1)
            emotion = joint.logsumexp(2)
        else:
            own = self.joint.own
            sentiment = torch.log_softmax(
                (1 - own) * joint.logsumexp(1) + own * sentiment.clamp_min(FLOOR), dim=-1
            )
        pairs = torch.where(self.allowed, joint, torch.full_like(joint, 2 * FLOOR))
        return {"emotion": emotion, "sentiment": sentiment, PAIRS: pairs}  # type: ignore[dict-item]
