"""The linear variants: ``linear_video`` and ``linear_audio`` read one stream, ``linear`` both side by side,
``linear_late`` each by itself, and mixes their log-probabilities. `dualstream.heads.linear` fits them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.variants.contract import Fit, FitOptions, Progress, Trained, Variant
from dualstream.heads.variants.registry import register
from numpy.typing import NDArray

Layout = tuple[tuple[str, ...], ...]


def _fit(layout: Layout, defaults: dict[str, Any]) -> Fit:
    def fit(
        name: str, train: FeatureSet, dev: FeatureSet | None, options: FitOptions, progress: Progress | None
    ) -> Sequence[Trained]:
        from dualstream.heads.linear import model

        return model.fit(name, train, dev, options, progress, layout=layout, defaults=defaults)

    return fit


def _refuse(defaults: dict[str, Any]) -> Callable[[str, FitOptions], None]:
    def refuse(name: str, options: FitOptions) -> None:
        from dualstream.heads.linear import model

        model.settings_of(name, defaults, options)

    return refuse


def _restore(arrays: dict[str, NDArray[Any]], values: dict[str, Any]) -> Trained:
    from dualstream.heads.linear import model

    return model.restore(arrays, values)


def _register(name: str, summary: str, layout: Layout, parameters: dict[str, Any], paper: str = "") -> None:
    streams = tuple(stream for part in layout for stream in part)
    register(
        Variant(
            name, summary, streams, _fit(layout, parameters), _restore, paper,
            kind="solved", parameters=parameters, refuse=_refuse(parameters),
        ),
        __name__,
    )  # fmt: skip


SETTINGS = {"solver": "logistic", "folds": "auto"}
"""``solver``: logistic, ridge or lda. ``folds``: what is kept whole when a penalty is chosen."""

_register("linear_video", "video alone, a linear head solved to convergence", (("video",),), SETTINGS)
_register("linear_audio", "audio alone, a linear head solved to convergence", (("audio",),), SETTINGS)
_register("linear", "both streams standardised side by side, a linear head", (("video", "audio"),), SETTINGS)
_register(
    "linear_late",
    "one linear head per stream, their calibrated log-probabilities mixed",
    (("video",), ("audio",)),
    {**SETTINGS, "mixing": "mean"},
    "Heskes 1998, Selecting Weighting Factors in Logarithmic Opinion Pools, https://papers.nips.cc/paper/1413",
)
