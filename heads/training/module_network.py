"""A plain torch module as a network: every seed has parameters and buffers of its own, in `Weights`.

The module's forward runs for one seed after the other, with that seed's arrays in the place of its own. Dropout
and whatever else draws from torch's generator gets a number of the seed's own in each step, so that what a seed
becomes depends neither on threads nor on the company it is trained in.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from threading import RLock
from typing import TYPE_CHECKING, ClassVar

import torch
from dualstream.heads.data.batch import Batch, Logits
from dualstream.heads.fusion.network import Network, Settings
from dualstream.heads.training.layer_weights import batch_of_seed
from torch import Tensor, nn
from torch.func import functional_call
from torch.nn.parameter import is_lazy

if TYPE_CHECKING:
    from dualstream.heads.training.weights import Dropout, Weights

PREFIX = "module."
_ONE_AT_A_TIME = RLock()  # torch's generator is the process's, and a module holds one seed's arrays at a time


class ModuleNetwork(Network):
    """What `heads.variants.module.register_variant` makes of an ``nn.Module``."""

    has_representation = False
    module: ClassVar[type[nn.Module]]
    """Its constructor takes `Settings`; its forward takes a `Batch` and gives `Logits` (B, classes)."""

    def build(self, weights: Weights, settings: Settings) -> int:
        """Make one module per seed and hold their parameters side by side; return the width of what it gives."""
        for stream in settings.layers:
            weights.layer_logits(stream)
        widths = {name: width // len(settings.layers.get(name, (0,))) for name, width in settings.widths.items()}
        copies = [self._started(seed, replace(settings, widths=widths, layers={})) for seed in weights.seeds]
        self.body = copies[0]
        self.trained = {name for name, value in self.body.named_parameters() if value.requires_grad}
        arrays = [dict(one.named_parameters()) | dict(one.named_buffers()) for one in copies]
        for name, value in arrays[0].items():
            self._check(name, value)
            together = torch.stack([one[name].detach() for one in arrays])
            weights.put(PREFIX + name, together, trained=name in self.trained)
        self.names = list(arrays[0])
        return settings.emotions + settings.sentiments

    def build_heads(self, weights: Weights, settings: Settings) -> None:
        """Nothing: the module has its own."""

    def represent(self, batch: Batch, dropout: Dropout) -> Tensor:
        """Return the logits of both tasks side by side, shape (S, B, E + S')."""
        draws = dropout.draws()
        arrays = {name: self._array(name).unbind() for name in self.names}
        seeds = len(self.weights.seeds)
        with _ONE_AT_A_TIME:
            self.body.train(bool(draws))
            rows = []
            for seed in range(seeds):
                own = {name: each[seed] for name, each in arrays.items()}
                with _drawing_from(draws[seed] if draws else None):
                    own_batch = batch_of_seed(self.weights, batch, seed) if self.settings.layers else batch
                    rows.append(self._joined(functional_call(self.body, own, (own_batch,)), batch))
        return torch.stack(rows)

    def decide(self, representation: Tensor, batch: Batch) -> Logits:
        """Return the logits apart."""
        emotion, sentiment = representation.split((self.settings.emotions, self.settings.sentiments), dim=-1)
        return Logits(emotion=emotion, sentiment=sentiment)

    def _started(self, seed: int, settings: Settings) -> nn.Module:
        with _ONE_AT_A_TIME, _drawing_from(seed):
            return self.module(settings)

    def _array(self, name: str) -> Tensor:
        arrays = self.weights.tensors if name in self.trained else self.weights.buffers
        return arrays[PREFIX + name]

    def _check(self, name: str, value: Tensor) -> None:
        if is_lazy(value):
            raise ValueError(f"{self.settings.variant}: {name} has no shape yet; take it from settings.widths")
        if name in self.trained and value.dtype != torch.float32:
            raise ValueError(f"{self.settings.variant}: {name} is of {value.dtype}; expected torch.float32")

    def _joined(self, found: Logits, batch: Batch) -> Tensor:
        """Return one seed's logits side by side; a task without a head has no columns."""
        count, parts = batch.dialogue.shape[0], []
        for task in self.settings.tasks:
            rows = getattr(found, task, None)
            wanted = (count, getattr(self.settings, f"{task}s"))
            if not isinstance(rows, Tensor) or (not torch.compiler.is_compiling() and rows.shape != wanted):
                what = f"of shape {tuple(rows.shape)}" if isinstance(rows, Tensor) else f"a {type(found).__name__}"
                raise ValueError(
                    f"{self.settings.variant}: forward gives {task} logits {what}; expected Logits with {wanted}"
                )
            parts.append(rows)
        return torch.cat(parts, dim=-1)


@contextmanager
def _drawing_from(seed: int | None) -> Iterator[None]:
    """Let torch's generator start from `seed` meanwhile, and set it back; None: leave it alone."""
    if seed is None:
        yield
        return
    before = torch.default_generator.get_state()
    torch.default_generator.manual_seed(seed)
    try:
        yield
    finally:
        torch.default_generator.set_state(before)
