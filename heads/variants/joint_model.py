"""A fitted model whose two heads answer as one: stored, restored and exported with its joint answer."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.variants.contract import History, Prediction, SeedModule, Trained, module_of
from dualstream.heads.variants.joint import Joint
from numpy.typing import NDArray

from dualstream.documents import JsonObject

NUMBERS = ("concentration", "table", "head", "own")
PREFIX = "joint."  # of a joint's arrays among those of its model


@dataclass(repr=False)
class JointModel:
    """A fitted model of one seed whose two heads answer as one (`heads.variants.contract.Trained`)."""

    inner: Trained
    joint: Joint
    variant: str = field(init=False)
    seed: int = field(init=False)
    history: History = field(init=False)

    def __post_init__(self) -> None:
        self.variant, self.seed, self.history = self.inner.variant, self.inner.seed, self.inner.history

    @property
    def choice(self) -> Any:
        """What `auto` chose (`heads.search.selection.Choice`); None for the others."""
        return getattr(self.inner, "choice", None)

    def predict(self, features: FeatureSet) -> Prediction:
        """Return the joint answer for every utterance."""
        return self.joint.apply(self.inner.predict(features))

    def state(self) -> tuple[dict[str, NDArray[Any]], JsonObject]:
        """Return (arrays, JSON values) from which `heads.variants.registry.restore` makes the same model again."""
        arrays, values = self.inner.state()
        numbers = np.array([getattr(self.joint, name) for name in NUMBERS])
        own = {f"{PREFIX}counts": self.joint.counts, f"{PREFIX}numbers": numbers}
        return arrays | own, values | {"joint": {"lead": self.joint.lead}}

    def to_module(self) -> SeedModule:
        """Return the model as a torch module that takes unscaled features."""
        from dualstream.heads.variants.joint_graph import JointModule

        return JointModule(module_of(self.inner), self.joint)

    def __repr__(self) -> str:
        return f"JointModel({self.inner!r}, {self.joint.lead} leads)"


def restored(inner: Trained, arrays: Mapping[str, NDArray[Any]], values: JsonObject) -> JointModel:
    """Make a joint model of a restored one, from what `JointModel.state` gave.

    Raises
    ------
    ValueError
        Where the table is no table of counts.
    """
    counts = np.asarray(arrays[f"{PREFIX}counts"], dtype=np.int64)
    numbers = arrays[f"{PREFIX}numbers"].tolist()
    lead = values["lead"]
    if counts.ndim != 2 or (counts < 0).any() or lead not in ("emotion", "sentiment"):
        raise ValueError(f"a joint answer has a table of shape {counts.shape}, and {lead!r} leads")
    return JointModel(inner, Joint(counts, **dict(zip(NUMBERS, numbers, strict=True)), lead=lead))
