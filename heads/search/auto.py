"""The variant `auto`: what `heads.search.selection` chooses, fitted and answered for under one name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.search.choice import Choice
from dualstream.heads.search.options import SelectionOptions
from dualstream.heads.search.selection import select
from dualstream.heads.variants import registry
from dualstream.heads.variants.contract import (
    Arrays,
    Exportable,
    FitOptions,
    History,
    Prediction,
    Progress,
    SeedModule,
    Trained,
)

from dualstream.documents import JsonObject


@dataclass(repr=False)
class AutoModel:
    """A model of the chosen variant, and why it was chosen (`heads.variants.registry.Trained`)."""

    variant: str
    seed: int
    history: History
    inner: Trained
    choice: Choice

    @property
    def out_of_fold(self) -> Prediction | None:
        """What the chosen variant says of the training rows out of fold; None where it keeps none."""
        return getattr(self.inner, "out_of_fold", None)

    def predict(self, features: FeatureSet) -> Prediction:
        """Return the chosen variant's log-probabilities."""
        return self.inner.predict(features)

    def state(self) -> tuple[Arrays, JsonObject]:
        """Return (arrays, JSON values) from which `restore` makes the same model again."""
        arrays, values = self.inner.state()
        choice = self.choice.to_json()
        return arrays, {"variant": self.variant, "seed": self.seed, "inner": values, "choice": choice}

    def to_module(self) -> SeedModule:
        """Return the chosen variant's model as a torch module."""
        if not isinstance(self.inner, Exportable):
            raise ValueError(f"auto chose {self.inner.variant}, for which there is no graph")
        return self.inner.to_module()

    def __repr__(self) -> str:
        return f"AutoModel(seed={self.seed}, chosen={self.choice.name!r})"


def fit(
    name: str, train: FeatureSet, dev: FeatureSet | None, options: FitOptions, progress: Progress | None
) -> Sequence[Trained]:
    """Choose a variant, and fit its seeds."""
    selection = SelectionOptions.of(options.parameters)
    choice = select(train, dev, options=options, selection=selection, progress=progress)
    models = registry.fit(choice.name, train, dev, options=replace(options, parameters={}), progress=progress)
    return [AutoModel(name, model.seed, model.history, model, choice) for model in models]


def fit_more(models: Sequence[Trained], features: FeatureSet, options: FitOptions) -> Sequence[Trained]:
    """Fit what `auto` chose again, on more utterances, where it was solved and watches none of them."""
    chosen = models[0]
    if not isinstance(chosen, AutoModel) or not registry.is_closed_form(chosen.inner.variant):
        return models
    again = registry.fit(chosen.inner.variant, features, None, options=replace(options, parameters={}))
    return [AutoModel(chosen.variant, one.seed, one.history, one, chosen.choice) for one in again]


def restore(arrays: Arrays, values: JsonObject) -> Trained:
    """Make a model from what `AutoModel.state` gave."""
    inner = registry.restore(arrays, values["inner"])
    return AutoModel(
        values["variant"], int(values["seed"]), inner.history, inner, Choice.from_json(values["choice"])
    )
