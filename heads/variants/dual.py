"""DualHead: one representation in, emotion and sentiment logits out."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualstream.heads.data.batch import Logits

if TYPE_CHECKING:
    import torch
    from dualstream.heads.training.weights import Weights


class DualHead:
    """Both heads as one product: the first columns are emotions, the others sentiments.

    Parameters
    ----------
    weights
        Where the layer's arrays live.
    width
        Columns of the representation.
    emotions, sentiments
        Classes; 0 leaves the head out, and its logits have no columns.
    name
        Of the layer; a variant with several dual heads names each.
    """

    def __init__(self, weights: Weights, width: int, emotions: int, sentiments: int, name: str = "head") -> None:
        if emotions + sentiments == 0:
            raise ValueError("a dual head needs at least one task with classes")
        self.emotions, self.sentiments = emotions, sentiments
        self.layer = weights.linear(name, width, emotions + sentiments)

    def __call__(self, representation: torch.Tensor) -> Logits:
        """Return logits (S, B, E) and (S, B, S') of a representation (S, B, width)."""
        joined = self.layer(representation)  # (S, B, E + S')
        emotion, sentiment = joined.split((self.emotions, self.sentiments), dim=-1)
        return Logits(emotion=emotion, sentiment=sentiment)
