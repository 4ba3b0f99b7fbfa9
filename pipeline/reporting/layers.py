"""How much each layer of a network weighs in what a head reads of it, in words."""

from __future__ import annotations

from collections.abc import Sequence

from dualstream.pipeline.experiments.history import ModelHistory


def layer_words(history: Sequence[ModelHistory]) -> dict[str, str]:
    """Return the weights of each stream's layers, by stream: the mean over the models, and their range.

    Of the models that are kept for new utterances where they are there, else of the folds'; empty where no head
    chose or weighed layers.
    """
    weighed = [one for one in history if one.layers]
    kept = [one for one in weighed if one.fold in ("", "all")] or weighed
    words = {}
    for stream in dict.fromkeys(name for one in kept for name in one.layers):
        models = [one.layers[stream] for one in kept if stream in one.layers]
        shown = [f"{number}: {_spread([one[number] for one in models])}" for number in models[0]]
        words[stream] = ", ".join(shown)
    return words


def _spread(values: Sequence[float]) -> str:
    mean = f"{sum(values) / len(values):.2f}"
    low, high = f"{min(values):.2f}", f"{max(values):.2f}"
    return mean if low == high else f"{mean} ({low}–{high})"
