"""The decorator that registers a Network class as a variant, which `heads.training.fit` fits and restores.

Torch comes in with `heads.training.fit`, when the first variant is fitted: listing the variants costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace

from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.fusion.network import Network, bound_to
from dualstream.heads.variants.contract import Arrays, FitOptions, Progress, Trained, Variant
from dualstream.heads.variants.registry import register
from dualstream.heads.variants.streams import streams_named

from dualstream.documents import JsonObject


def network(
    name: str, *, summary: str, paper: str = "", needs_argument: bool = False
) -> Callable[[type[Network]], type[Network]]:
    """Register a `Network` class as the variant `name`."""

    def wrap(made: type[Network]) -> type[Network]:
        variant = replace(variant_of(name, made, summary, paper), needs_argument=needs_argument)
        register(variant, made.__module__)
        return made

    return wrap


def variant_of(name: str, made: type[Network], summary: str, paper: str = "") -> Variant:
    """Return a `Network` class as a variant, which is not registered yet."""
    over: Callable[[str], type[Network]] | None = None
    if "over" in vars(made):
        over = made.over
    elif made.joins:
        over = lambda argument: bound_to(made, streams_named(name, argument, 2))  # noqa: E731
    return Variant(
        name=name,
        summary=summary,
        streams=made.streams,
        fit=_fit,
        restore=_restore,
        paper=paper,
        needs_windows=made.reads == "windows",
        joins=made.joins,
        needs_dialogues=made.whole_dialogues,
        parameters=made.parameters,
        argument=None
        if over is None
        else (lambda argument: variant_of(f"{name}:{argument}", over(argument), summary, paper)),
        network=made,
        refuse_streams=made.refuse,
    )


def _fit(
    name: str,
    train: FeatureSet,
    dev: FeatureSet | None,
    options: FitOptions,
    progress: Progress | None,
) -> Sequence[Trained]:
    from dualstream.heads.training.fit import fit_network

    return fit_network(name, train, dev, options, progress)


def _restore(arrays: Arrays, values: JsonObject) -> Trained:
    from dualstream.heads.training.fit import restore_network

    return restore_network(arrays, values)
