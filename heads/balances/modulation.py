"""Balances that scale the step of each stream's own rows: what the first layers make of that stream."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, ClassVar

from dualstream.heads.balances.step import Balancing, StreamBalance

if TYPE_CHECKING:
    from dualstream.heads.balances.step import Step
    from torch import Tensor


class Modulation(StreamBalance):
    """The optimiser's step of a stream's rows, times a factor of each seed.

    A balance by this scheme says what the factors are; noise on the gradients is drawn here.
    """

    noise: ClassVar[bool] = False
    """Whether rows whose step is held back get Gaussian noise of their gradient's own deviation (GE)."""

    def __init__(self, task: Balancing) -> None:
        self.strength = task.strength
        self._held: list[tuple[str, int, int, Tensor, Tensor]] = []

    def factors(self, step: Step) -> Mapping[str, Tensor]:
        """Return the factor of each stream's step, shape (S,)."""
        raise NotImplementedError

    def before_step(self, step: Step) -> None:
        """Scale each stream's gradients by its factor, and note the weights as they are."""
        import torch

        with torch.no_grad():
            factors = self.factors(step)
            self._held = []
            for stream, factor in factors.items():
                for name, start, stop in step.rows(stream):
                    if self.noise:
                        self._disturb(step, name, start, stop, factor)
                    rows = step.weights[name].detach()[:, start:stop].clone()
                    self._held.append((name, start, stop, rows, factor))

    def after_step(self, step: Step) -> None:
        """Shorten the step of each stream's weights to its factor."""
        import torch

        with torch.no_grad():
            for name, start, stop, rows, factor in self._held:
                now = step.weights[name][:, start:stop]
                now.copy_(rows + factor.view(-1, 1, 1) * (now - rows))
        self._held = []

    @staticmethod
    def _disturb(step: Step, name: str, start: int, stop: int, factor: Tensor) -> None:
        import torch

        grad = step.weights[name].grad
        if grad is None:
            return
        for row, draw in enumerate(step.dropout.draws()):
            if float(factor[row]) >= 1:
                continue
            own = grad[row, start:stop]
            generator = torch.Generator().manual_seed(draw)
            own += own.std() * torch.randn(own.shape, generator=generator)


def truth_shares(step: Step) -> dict[str, Tensor]:
    """Return the probability of the truth where the head is told of one stream, mean over the tasks, (S,) each."""
    import torch

    shares = {}
    for stream in step.streams:
        logits = step.told((stream,))
        found = []
        for task in step.data.losses:
            mass = step.mass(task, stream)
            right = (getattr(logits, task).softmax(-1) * mass).sum((1, 2)) / mass.sum().clamp_min(1e-12)
            found.append(right)
        shares[stream] = torch.stack(found).mean(0).detach()
    return shares
