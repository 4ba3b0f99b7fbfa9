"""The linear variants: ``linear_video`` and ``linear_audio`` read one stream, ``linear`` both side by side,
``linear_late`` each by itself, and mixes their log-probabilities; ``lda_late`` and ``linear_lda_late`` do so with
shrinkage discriminants, and with both. `dualstream.heads.linear` fits them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.variants.contract import Arrays, FitOptions, Prediction, Progress, Trained, Variant
from dualstream.heads.variants.options import Parameters
from dualstream.heads.variants.registry import register

from dualstream.documents import JsonObject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Layout = tuple[tuple[str, ...], ...]
SETTINGS = {"solver": "logistic", "folds": "auto"}
"""``solver``: logistic, ridge or lda. ``folds``: what is kept whole when a penalty is chosen."""


@dataclass(frozen=True)
class _Linear:
    """One variant: what its parts read, its settings, and what solves each part. NumPy comes in with a fit."""

    layout: Layout
    defaults: Parameters
    solvers: tuple[Any, ...] = ()
    """Of each part; empty: as the setting says."""

    @property
    def how(self) -> dict[str, Any]:
        return {"layout": self.layout, "defaults": self.defaults, "solvers": self.solvers}

    def fit(
        self, name: str, train: FeatureSet, dev: FeatureSet | None, options: FitOptions, progress: Progress | None
    ) -> Sequence[Trained]:
        from dualstream.heads.linear import model

        return model.fit(name, train, dev, options, progress, **self.how)

    def held_out(
        self,
        name: str,
        features: FeatureSet,
        fold: NDArray[np.int64],
        options: FitOptions,
        progress: Progress | None,
        work: dict[Any, Any],
    ) -> Prediction:
        from dualstream.heads.linear import crossfit

        return crossfit.held_out(name, features, fold, options, progress, work, **self.how)

    def refuse(self, name: str, options: FitOptions) -> None:
        from dualstream.heads.linear import model

        model.settings_of(name, self.defaults, options, self.solvers)


def _restore(arrays: Arrays, values: JsonObject) -> Trained:
    from dualstream.heads.linear import model

    return model.restore(arrays, values)


def _register(
    name: str,
    summary: str,
    layout: Layout,
    parameters: Parameters,
    paper: str = "",
    solvers: tuple[str, ...] = (),
) -> None:
    """Register a variant; with `solvers`, as many parts for each of them as the layout has."""
    each = tuple(solver for solver in solvers for _ in layout)
    one = _Linear(layout * max(1, len(solvers)), parameters, each)
    streams = tuple(stream for part in layout for stream in part)
    register(
        Variant(
            name, summary, streams, one.fit, _restore, paper,
            kind="solved", parameters=parameters, refuse=one.refuse, held_out=one.held_out,
        ),
        __name__,
    )  # fmt: skip


LATE = (("video",), ("audio",))
POOL = "Heskes 1998, Selecting Weighting Factors in Logarithmic Opinion Pools, https://papers.nips.cc/paper/1413"
SHRINKAGE = (
    "Ledoit & Wolf 2004, A well-conditioned estimator for large-dimensional covariance matrices, "
    "https://doi.org/10.1016/S0047-259X(03)00096-4"
)
MIXED = {"folds": "auto", "mixing": "mean"}

_register("linear_video", "video alone, a linear head solved to convergence", (("video",),), SETTINGS)
_register("linear_audio", "audio alone, a linear head solved to convergence", (("audio",),), SETTINGS)
_register("linear", "both streams standardised side by side, a linear head", (("video", "audio"),), SETTINGS)
_register(
    "linear_late",
    "one linear head per stream, their calibrated log-probabilities mixed",
    LATE,
    {**SETTINGS, "mixing": "mean"},
    POOL,
)
_register(
    "lda_late",
    "one shrinkage discriminant per stream, their calibrated log-probabilities mixed",
    LATE,
    MIXED,
    SHRINKAGE,
    solvers=("lda",),
)
_register(
    "linear_lda_late",
    "a logistic head and a shrinkage discriminant per stream, their log-probabilities mixed",
    LATE,
    MIXED,
    POOL,
    solvers=("logistic", "lda"),
)
