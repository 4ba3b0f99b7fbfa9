"""Training curves as a run, a comparison and a report keep them."""

from __future__ import annotations

import math
from dataclasses import dataclass, field

from dualstream.heads.variants.layered import layer_weights
from dualstream.heads.variants.registry import Trained

from dualstream.documents import Document, JsonObject


@dataclass(frozen=True)
class ModelHistory(Document):
    """Training curves of one model."""

    seed: int
    fold: str
    """Empty where the splits decide; ``all``: the fit on everything outside test."""
    columns: dict[str, tuple[float | None, ...]]
    """One value an epoch, by what it is of."""
    best_epoch: int | None
    stopped: str
    """Why it ended."""
    layers: dict[str, dict[str, float]] = field(default_factory=dict)
    """Weight of each layer of a network, by stream and the layer's number; no key where none was weighed."""

    def to_json(self) -> JsonObject:
        """Return JSON values; ``layers`` stands only where some were weighed."""
        return {key: value for key, value in super().to_json().items() if key != "layers" or value}

    @classmethod
    def of(cls, model: Trained, fold: str = "") -> ModelHistory:
        """Return a model's curves."""
        history = model.history
        columns = {name: tuple(_finite(value) for value in values) for name, values in history.columns.items()}
        layers = {
            stream: {str(number): weight for number, weight in by_layer.items()}
            for stream, by_layer in layer_weights(model).items()
        }
        return cls(model.seed, fold, columns, history.best_epoch, history.stopped, layers)

    def column(self, name: str) -> tuple[float | None, ...]:
        """Return a curve; empty where it was not recorded."""
        return self.columns.get(name, ())

    @property
    def epochs(self) -> int:
        """How many were recorded; 0 for variants that are not trained in epochs."""
        return max(map(len, self.columns.values()), default=0)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
