"""The decorator that registers a Network class as a variant, which `heads.training.fit` fits and restores.

Torch comes in with `heads.training.fit`, when the first variant is fitted: listing the variants costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.fusion.network import Network
from dualstream.heads.variants.contract import Arrays, FitOptions, Progress, Trained, Variant
from dualstream.heads.variants.registry import register

from dualstream.documents import JsonObject


def network(name: str, *, summary: str, paper: str = "") -> Callable[[type[Network]], type[Network]]:
    """Register a `Network` class as the variant `name`."""

    def wrap(made: type[Network]) -> type[Network]:
        register(variant_of(name, made, summary, paper), made.__module__)
        return made

    return wrap


def variant_of(name: str, made: type[Network], summary: str, paper: str = "") -> Variant:
    """Return a `Network` class as a variant, which is not registered yet."""
    takes_argument = "over" in vars(made)
    return Variant(
        name=name,
        summary=summary,
        streams=made.streams,
        fit=_fit,
        restore=_restore,
        paper=paper,
        needs_windows=made.reads == "windows",
        needs_dialogues=made.whole_dialogues,
        parameters=made.parameters,
        argument=(lambda argument: variant_of(f"{name}:{argument}", made.over(argument), summary, paper))
        if takes_argument
        else None,
        network=made,
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
