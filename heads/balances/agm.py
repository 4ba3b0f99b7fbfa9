"""The balance ``agm``: a stream whose answer runs ahead takes smaller steps, one that falls behind larger ones."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dualstream.heads.balances import register_balance
from dualstream.heads.balances.modulation import Modulation
from dualstream.heads.balances.step import Balancing
from dualstream.heads.evaluation.shapley import Coalition, shapley, subsets

if TYPE_CHECKING:
    from dualstream.heads.balances.step import Step, StreamBalance
    from dualstream.heads.variants.options import Task
    from torch import Tensor

ALPHA = 2.5  # at a strength of 1: what the authors' own example has
MOST = 4.0  # times a plain step: a longer one leaves the place where its gradient holds
LEAST_LOG = math.log(1e-8)  # a smaller probability of the truth counts as this one


@register_balance("agm")
def agm(task: Balancing) -> StreamBalance:
    """Steps follow how far each stream's answer is ahead of itself (AGM, Li et al. 2023, https://arxiv.org/abs/2308.07686).

    A stream's answer is its Shapley value of the head's logits over all coalitions of the streams, 2^N - 1 passes
    without gradients for N streams. A `strength` of 1 is their alpha at 2.5. AdamW takes a gradient's size out
    again, so the step of the stream's rows is scaled, not the gradient through its answer.
    """
    return Agm(task)


class Agm(Modulation):
    """k = exp(alpha (tau - r)): how far a stream is ahead of the others now, r, and was on average so far, tau."""

    def __init__(self, task: Balancing) -> None:
        super().__init__(task)
        self.steps = 0
        self.mean: Tensor | None = None
        """Losses of the streams' answers, mean over the steps so far, shape (streams, S)."""

    def factors(self, step: Step) -> dict[str, Tensor]:
        """Return each stream's factor on its gradients, by how sharp its own answers are."""
        import torch

        logits = {known: step.told(known) for known in coalitions(step.streams)}
        answers = {
            task: responses({known: getattr(one, task) for known, one in logits.items()}, step.streams)
            for task in step.data.losses
        }
        scores = torch.stack([_loss(step, answers, stream) for stream in step.streams])
        return dict(zip(step.streams, self.factors_of(scores), strict=True))

    def factors_of(self, scores: Tensor) -> Tensor:
        """Return the factor of each stream, (streams, S), whose answers have these losses at this step."""
        before = scores if self.mean is None else self.mean
        lead, usual = _lead(scores), _lead(before)
        self.steps += 1
        self.mean = before + (scores - before) / self.steps
        factor: Tensor = (ALPHA * self.strength * (usual - lead)).clamp_max(math.log(MOST)).exp()
        return factor

    def keep(self, rows: Sequence[int]) -> None:
        """Keep the means of some seeds."""
        self.mean = None if self.mean is None else self.mean[:, list(rows)]


def coalitions(streams: Sequence[str]) -> list[Coalition]:
    """Return all coalitions of one stream or more."""
    return [known for known in subsets(streams) if known]


def responses(values: Mapping[Coalition, Tensor], streams: Sequence[str]) -> dict[str, Tensor]:
    """Return the Shapley value of each stream, where no stream at all is worth nothing; they sum to the whole.

    Parameters
    ----------
    values
        By coalition of one stream or more, all of one shape.
    """
    return shapley({Coalition(): 0.0, **values}, streams)


def _loss(step: Step, answers: Mapping[Task, Mapping[str, Tensor]], stream: str) -> Tensor:
    """Return the cross-entropy of a stream's answer, mean over the tasks, (S,), of utterances that have it."""
    import torch

    found = []
    for task, of_streams in answers.items():
        mass = step.mass(task, stream)
        right = of_streams[stream].log_softmax(-1).clamp_min(LEAST_LOG) * mass
        found.append(-right.sum((1, 2)) / mass.sum().clamp_min(1e-12))
    return torch.stack(found).mean(0)


def _lead(scores: Tensor) -> Tensor:
    """Return how far each stream is ahead: exp of the others' mean loss less its own, shape (streams, S)."""
    count = len(scores)
    gap: Tensor = (scores.mean(0) - scores) * count / (count - 1)
    return gap.exp()
