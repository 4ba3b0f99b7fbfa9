"""The variant `auto`: the best of the others, as cross-validation in train finds (`dualstream.heads.search`)."""

from __future__ import annotations

from dualstream.heads.search import auto
from dualstream.heads.search.options import SelectionOptions
from dualstream.heads.variants.contract import FitOptions, Variant
from dualstream.heads.variants.registry import register


def _refuse(name: str, options: FitOptions) -> None:
    SelectionOptions.of(options.parameters)


register(
    Variant(
        "auto",
        "a fusion significantly better than any single stream, else the best of those, by cross-validation",
        ("video", "audio"),
        auto.fit,
        auto.restore,
        kind="search",
        any_stream=True,
        joins=True,
        refuse=_refuse,
        parameters={
            "candidates": None,  # CANDIDATES
            "repeats": SelectionOptions.repeats,
            "folds": SelectionOptions.folds,
            "metric": SelectionOptions.metric,
            "alpha": SelectionOptions.alpha,
            "sample": SelectionOptions.sample,
            "networks": SelectionOptions.networks,
        },
    ),
    __name__,
)
