"""Weights of a stream's layers that networks learn with the rest: a softmax a seed, before the entry layers.

    rows (B, L * D) ──► softmax(logits), shape (S, L) ──► mixed rows (S, B, D) ──► entry layer (S, D, out)

As in SUPERB (Yang et al. 2021, https://arxiv.org/abs/2105.01051); columns are standardised layer by layer, and
where a network reads layer-normed rows, each layer's row is normed by itself, as s3prl's option does.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Protocol

import torch
from torch import Tensor

if TYPE_CHECKING:
    from dualstream.heads.data.batch import Batch

PACE = (
    30.0  # logits move so much faster than other weights: AdamW's 0.001 a step would leave them where they start
)


class SeedArrays(Protocol):
    """What `heads.training.weights.Weights` has of S seeds."""

    seeds: list[int]
    layers: dict[str, int]

    def __getitem__(self, name: str) -> Tensor: ...


@dataclass(frozen=True)
class LayerSpan:
    """Columns of a layer's input that are one stream's layers side by side."""

    stream: str
    start: int
    stop: int
    layers: int

    @property
    def width(self) -> int:
        """Columns of one layer."""
        return (self.stop - self.start) // self.layers


def logits_name(stream: str) -> str:
    """Return the name of the array of a stream's logits."""
    return f"layers.{stream}"


def shares(weights: SeedArrays, stream: str) -> Tensor:
    """Return the weights of a stream's layers, shape (S, L), which sum to 1."""
    return (PACE * weights[logits_name(stream)]).softmax(-1)


def mixed(weights: SeedArrays, x: Tensor, spans: tuple[LayerSpan, ...], *, shared: bool) -> Tensor:
    """Mix the layers in an entry's input, (S, ..., in) or, where all seeds share it, (..., in), to (S, ..., in').

    Layer by layer, so that what a seed gets does not depend on how many there are.
    """
    seeds = len(weights.seeds)
    x = x.unsqueeze(0) if shared else x
    every = [-1] * (x.ndim - 1)
    parts, at = [], 0
    for span in spans:
        if span.start > at:
            parts.append(x[..., at : span.start].expand(seeds, *every))
        by_layer = x[..., span.start : span.stop].unflatten(-1, (span.layers, span.width)).unbind(-2)
        share = shares(weights, span.stream).view(seeds, span.layers, *[1] * (x.ndim - 1)).unbind(1)
        total = share[0] * by_layer[0]
        for weight, layer in zip(share[1:], by_layer[1:], strict=True):
            total = total + weight * layer
        parts.append(total)
        at = span.stop
    if at < x.shape[-1]:
        parts.append(x[..., at:].expand(seeds, *every))
    return torch.cat(parts, dim=-1)


def batch_of_seed(weights: SeedArrays, batch: Batch, seed: int) -> Batch:
    """Return a batch whose streams' layers are mixed by one seed's weights, for a module that takes a `Batch`."""
    streams = dict(batch.streams)
    for stream, count in weights.layers.items():
        share = shares(weights, stream)[seed].unsqueeze(-1)  # (L, 1)
        one = streams[stream]
        windows, rows = (
            (values.unflatten(-1, (count, -1)) * share).sum(-2) for values in (one.windows, one.utterance)
        )
        streams[stream] = replace(one, windows=windows, utterance=rows)
    return replace(batch, streams=streams)
