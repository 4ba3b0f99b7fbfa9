"""The balance ``ogm_ge``: the stream that is ahead takes smaller steps, with noise on its gradient."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

from dualstream.heads.balances import register_balance
from dualstream.heads.balances.modulation import Modulation, truth_shares
from dualstream.heads.balances.step import Balancing

if TYPE_CHECKING:
    from dualstream.heads.balances.step import Step, StreamBalance
    from torch import Tensor


@register_balance("ogm_ge")
def ogm_ge(task: Balancing) -> StreamBalance:
    """The stream that is ahead learns slower, its gradient noisier (Peng et al. 2022, https://arxiv.org/abs/2203.15332).

    `strength` is their alpha. AdamW takes a gradient's size out again, so the step is scaled, not the gradient.
    """
    return OgmGe(task)


class OgmGe(Modulation):
    """k = 1 - tanh(alpha rho) where rho, the stream's share of the truth over the others', is above 1; else 1."""

    noise = True

    def factors(self, step: Step) -> dict[str, Tensor]:
        """Return each stream's factor, by how much of the truth it tells against the others."""
        return self.factors_of(truth_shares(step), step.streams)

    def factors_of(self, shares: Mapping[str, Tensor], streams: Sequence[str]) -> dict[str, Tensor]:
        """Return the factors of streams whose shares of the truth are these, shape (S,) each."""
        factors = {}
        for stream in streams:
            others = [share for name, share in shares.items() if name != stream]
            ratio = shares[stream] / (sum(others) / len(others)).clamp_min(1e-12)  # type: ignore[union-attr]
            ahead = (ratio > 1).float()
            factors[stream] = 1 - ahead * (self.strength * ratio).tanh()
        return factors
