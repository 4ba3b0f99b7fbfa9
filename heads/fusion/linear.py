"""The linear variants: ``linear_video``, ``linear_audio`` and ``linear:NAME`` read one stream, ``linear`` all side
by side, ``linear_late`` each by itself, and mixes their log-probabilities; ``lda_late`` and ``linear_lda_late`` do
so with shrinkage discriminants, and with both. `dualstream.heads.linear` fits them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from dualstream.heads.data.batch import PAIR, FeatureSet
from dualstream.heads.variants.contract import Arrays, FitOptions, Prediction, Progress, Trained, Variant
from dualstream.heads.variants.options import Parameters
from dualstream.heads.variants.registry import get, register
from dualstream.heads.variants.streams import streams_named

from dualstream.documents import JsonObject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

Layout = tuple[tuple[str, ...], ...]
SETTINGS = {"solver": "logistic", "folds": "auto"}
"""``solver``: logistic, ridge or lda. ``folds``: what is kept whole when a penalty is chosen."""


@dataclass(frozen=True)
class _Linear:
    """One variant: how streams are laid out, its settings, what solves each part. NumPy comes in with a fit."""

    streams: tuple[str, ...]
    """Those it reads; empty: those of the corpus."""
    late: bool
    """Whether each stream is a part of its own."""
    defaults: Parameters
    solvers: tuple[Any, ...] = ()
    """A set of parts for each of them; empty: one, solved as the setting says."""

    def how(self, name: str, features: FeatureSet) -> dict[str, Any]:
        streams = self.streams or get(name).reads(features.streams)
        layout: Layout = tuple((stream,) for stream in streams) if self.late else (streams,)
        solvers = tuple(solver for solver in self.solvers for _ in layout)
        return {"layout": layout * max(1, len(self.solvers)), "defaults": self.defaults, "solvers": solvers}

    def fit(
        self, name: str, train: FeatureSet, dev: FeatureSet | None, options: FitOptions, progress: Progress | None
    ) -> Sequence[Trained]:
        from dualstream.heads.linear import model

        return model.fit(name, train, dev, options, progress, **self.how(name, train))

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

        return crossfit.held_out(name, features, fold, options, progress, work, **self.how(name, features))

    def refuse(self, name: str, options: FitOptions) -> None:
        from dualstream.heads.linear import model

        model.settings_of(name, self.defaults, options, self.solvers)


def _restore(arrays: Arrays, values: JsonObject) -> Trained:
    from dualstream.heads.linear import model

    return model.restore(arrays, values)


def _register(
    name: str,
    summary: str,
    streams: tuple[str, ...],
    parameters: Parameters,
    paper: str = "",
    *,
    late: bool = False,
    solvers: tuple[str, ...] = (),
) -> None:
    """Register a variant; one without `streams` joins those of the corpus."""
    register(_variant(name, summary, _Linear(streams, late, parameters, solvers), paper), __name__)


def _variant(name: str, summary: str, one: _Linear, paper: str) -> Variant:
    def over(argument: str) -> Variant:
        streams = streams_named(name, argument, 2 if one.late else 1)
        return _variant(f"{name}:{argument}", summary, replace(one, streams=streams), paper)

    joins = not one.streams
    return Variant(
        name, summary, one.streams or PAIR, one.fit, _restore, paper,
        kind="solved", joins=joins, argument=over if joins else None, parameters=one.defaults,
        refuse=one.refuse, held_out=one.held_out,
    )  # fmt: skip


POOL = "Heskes 1998, Selecting Weighting Factors in Logarithmic Opinion Pools, https://papers.nips.cc/paper/1413"
SHRINKAGE = (
    "Ledoit & Wolf 2004, A well-conditioned estimator for large-dimensional covariance matrices, "
    "https://doi.org/10.1016/S0047-259X(03)00096-4"
)
MIXED = {"folds": "auto", "mixing": "mean"}

_register("linear_video", "video alone, a linear head solved to convergence", ("video",), SETTINGS)
_register("linear_audio", "audio alone, a linear head solved to convergence", ("audio",), SETTINGS)
_register("linear", "all streams standardised side by side, a linear head", (), SETTINGS)
_register(
    "linear_late",
    "one linear head per stream, their calibrated log-probabilities mixed",
    (),
    {**SETTINGS, "mixing": "mean"},
    POOL,
    late=True,
)
_register(
    "lda_late",
    "one shrinkage discriminant per stream, their calibrated log-probabilities mixed",
    (),
    MIXED,
    SHRINKAGE,
    late=True,
    solvers=("lda",),
)
_register(
    "linear_lda_late",
    "a logistic head and a shrinkage discriminant per stream, their log-probabilities mixed",
    (),
    MIXED,
    POOL,
    late=True,
    solvers=("logistic", "lda"),
)
