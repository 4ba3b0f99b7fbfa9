"""Variants over streams that hold a network's layers: chosen, averaged or weighed before a variant reads them.

Networks learn the weights with the rest (`heads.training.layer_weights`); for all others they are chosen in
training (`heads.linear.layer_choice`), and the variant is fitted on rows of one layer's width.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.data.layers import LayerMix, layered, mixed_streams
from dualstream.heads.variants.contract import (
    Arrays,
    FitOptions,
    History,
    Prediction,
    Progress,
    SeedModule,
    Trained,
    Variant,
    module_of,
)
from dualstream.heads.variants.layer_option import ALL, LEARNED, MEAN, chosen_layers
from numpy.typing import NDArray

from dualstream.documents import JsonObject

PREFIX = "layers."  # of a mix's arrays among those of its model
LayerWeights = dict[str, dict[int, float]]
"""By stream: weight of each layer, by its number."""


@dataclass(repr=False)
class LayeredModel:
    """A fitted model of one seed that reads mixed layers (`heads.variants.contract.Trained`)."""

    below: Trained
    mixes: dict[str, LayerMix]
    """By stream."""
    variant: str = field(init=False)
    seed: int = field(init=False)
    history: History = field(init=False)

    def __post_init__(self) -> None:
        self.variant, self.seed, self.history = self.below.variant, self.below.seed, self.below.history

    @property
    def out_of_fold(self) -> Prediction | None:
        """What the model says of the training rows out of fold; None where it keeps none."""
        return getattr(self.below, "out_of_fold", None)

    def predict(self, features: FeatureSet) -> Prediction:
        """Return log-probabilities for every utterance, whatever streams it lacks."""
        features.require_finite(self.mixes)
        return self.below.predict(mixed_streams(features, self.mixes))

    def state(self) -> tuple[Arrays, JsonObject]:
        """Return (arrays, JSON values) from which `heads.variants.registry.restore` makes the same model again."""
        arrays, values = self.below.state()
        for stream, mix in self.mixes.items():
            arrays[f"{PREFIX}{stream}.weights"] = mix.weights
            if mix.mean is not None and mix.spread is not None:
                arrays |= {f"{PREFIX}{stream}.mean": mix.mean, f"{PREFIX}{stream}.spread": mix.spread}
        return arrays, values | {"layers": {name: list(mix.layers) for name, mix in self.mixes.items()}}

    def to_module(self) -> SeedModule:
        """Return the model as a torch module that takes unscaled features."""
        from dualstream.heads.variants.layered_graph import LayeredModule

        return LayeredModule(module_of(self.below), self.mixes)

    def __repr__(self) -> str:
        return f"LayeredModel({self.below!r}, {self.mixes!r})"


def restored(below: Trained, arrays: Mapping[str, NDArray[Any]], values: JsonObject) -> LayeredModel:
    """Make a model of a restored one, from what `LayeredModel.state` gave."""
    mixes = {
        name: LayerMix(
            tuple(int(one) for one in numbers),
            np.asarray(arrays[f"{PREFIX}{name}.weights"], np.float64),
            arrays.get(f"{PREFIX}{name}.mean"),
            arrays.get(f"{PREFIX}{name}.spread"),
        )
        for name, numbers in values["layers"].items()
    }
    return LayeredModel(below, mixes)


def fit(
    variant: Variant,
    name: str,
    train: FeatureSet,
    dev: FeatureSet | None,
    options: FitOptions,
    progress: Progress | None,
) -> Sequence[Trained]:
    """Fit a variant on `train`, the layers of its streams read as the options say."""
    chosen = chosen_layers(options.layers, layered(train))
    if not chosen or variant.kind == "search":  # a search fits others, which come here by themselves
        return variant.fit(name, train, dev, options, progress)
    mixes = _mixes(variant, chosen, train, dev, options)
    inside = {stream for stream, how in chosen.items() if how == LEARNED and stream not in mixes}
    train, dev = _read(train, mixes, inside, variant), None if dev is None else _read(dev, mixes, inside, variant)
    models = variant.fit(name, train, dev, options, progress)
    return [LayeredModel(model, mixes) for model in models] if mixes else models


def held_out_rows(variant: Variant, features: FeatureSet, options: FitOptions) -> FeatureSet | None:
    """Return `features` as the variant reads them in every fold; None where every fold learns layer weights."""
    chosen = chosen_layers(options.layers, layered(features))
    read = variant.reads(features.streams)
    if any(how == LEARNED and stream in read for stream, how in chosen.items()):
        return None
    return _read(features, _mixes(variant, chosen, features, None, options), (), variant)


def layer_weights(model: Trained) -> LayerWeights:
    """Return the weights by which a fitted model reads layers; empty where its streams have none."""
    found: LayerWeights = {}
    for at in ("inner", "below"):  # a joint answer, `auto` and mixed layers stand over another model
        if hasattr(model, at):
            found |= layer_weights(getattr(model, at))
    for stream, mix in getattr(model, "mixes", {}).items():
        found[stream] = dict(zip(mix.layers, mix.weights.tolist(), strict=True))
    network = getattr(model, "network", None)
    if network is not None:
        found |= network.weights.layer_shares(network.settings.layers)
    return found


def _mixes(
    variant: Variant, chosen: Mapping[str, str], train: FeatureSet, dev: FeatureSet | None, options: FitOptions
) -> dict[str, LayerMix]:
    """Return how layers are mixed before the variant sees them; networks learn theirs themselves."""
    mixes, read = {}, variant.reads(train.streams)
    for stream, how in chosen.items():
        numbers = train.streams[stream].layers
        if stream not in read or how == ALL:
            continue
        if how == MEAN:
            mixes[stream] = LayerMix.average(numbers)
        elif how != LEARNED:
            mixes[stream] = LayerMix.single(numbers, int(how))
        elif variant.network is None:
            from dualstream.heads.linear.layer_choice import choose_layers

            mixes[stream] = choose_layers(train, stream, dev, options)
    return mixes


def _read(
    features: FeatureSet, mixes: dict[str, LayerMix], inside: Collection[str], variant: Variant
) -> FeatureSet:
    """Return features with mixed layers; only streams of `inside` still say that they have any."""
    features = mixed_streams(features, mixes, windows=variant.needs_windows)
    streams = {
        name: one if name in inside or not one.layers else replace(one, layers=())
        for name, one in features.streams.items()
    }
    return replace(features, streams=streams)
