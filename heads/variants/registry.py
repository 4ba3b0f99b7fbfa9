"""The registry of fusion variants: found by name, checked, fitted and restored.

A variant is registered by a module of `dualstream.heads.fusion`, one family each, or by a module that an installed
package names under the entry points ``dualstream.variants``. Their import must be cheap: torch comes in when a
variant is fitted.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from dualstream.heads import balances, losses
from dualstream.heads.balances import NONE
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.data.layers import layered as layers_of
from dualstream.heads.variants import joint_model, layered
from dualstream.heads.variants.contract import KINDS, STREAMS, Arrays, Variant
from dualstream.heads.variants.contract import TASKS as TASKS
from dualstream.heads.variants.contract import FitOptions as FitOptions
from dualstream.heads.variants.contract import History as History
from dualstream.heads.variants.contract import Prediction as Prediction
from dualstream.heads.variants.contract import Progress as Progress
from dualstream.heads.variants.contract import Task as Task
from dualstream.heads.variants.contract import Trained as Trained
from dualstream.heads.variants.layer_option import chosen_layers
from dualstream.heads.variants.streams import linear_of, network_of

from dualstream.cores import one_core
from dualstream.discovery import Registry, left_out_words, load
from dualstream.documents import JsonObject

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

TRAINED_ALONE = (
    *("epochs", "batch_size", "learning_rate", "weight_decay", "hidden", "dropout", "modality_dropout"),
    *("patience", "watch", "task_balance", "sentiment_weight", "max_windows", "threads", "balance_strength"),
)
"""Options that mean nothing to a variant that is solved."""
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.-]*")
VARIANTS: Registry[Variant] = Registry(
    "fusion variant", package="dualstream.heads.fusion", group="dualstream.variants"
)


def register(variant: Variant, module: str) -> Variant:
    """Put a variant into the registry, as defined by `module`.

    Raises
    ------
    ValueError
        Where the name is taken, or is none that can be typed: a colon starts a variant's argument.
    """
    if not NAME.fullmatch(variant.name):
        raise ValueError(
            f"a variant is called {variant.name!r}; expected letters, digits, dots, dashes and underscores"
        )
    VARIANTS.add(variant.name, variant, module)
    return variant


def names() -> list[str]:
    """Return the names of all variants, in the order in which tables show them.

    By kind, then by what they read (rows, windows, dialogues), then by module, ours first.
    """

    def place(one: Variant) -> tuple[int, bool, bool]:
        return KINDS.index(one.kind), one.needs_dialogues, one.needs_windows

    return [variant.name for variant in sorted(VARIANTS.entries(), key=place) if not variant.needs_argument]


def singles(streams: Sequence[str]) -> list[str]:
    """Return the variants that read one stream, for each of these, in the order in which tables show them."""
    fixed = {name: get(name).streams for name in names()}
    own = [name for name, reads in fixed.items() if len(reads) == 1 and reads[0] in streams]
    own += [of(stream) for of in (network_of, linear_of) for stream in streams if stream not in STREAMS]
    return sorted(own, key=lambda name: KINDS.index(get(name).kind))


def get(name: str) -> Variant:
    """Return a variant; ``dialogue:concat_norm`` names a variant with an argument.

    Raises
    ------
    ValueError
        Where there is no such variant; the message lists those that are.
    """
    base, _, argument = name.partition(":")
    variant = VARIANTS.find(base)
    if variant is None:
        left_out = left_out_words(load(VARIANTS.package, VARIANTS.group))
        raise ValueError(
            f"no fusion variant is called {name!r}; there are: {', '.join(names())}{left_out}; "
            "if another package has it, install that; single:NAME and linear:NAME read the stream NAME"
        )
    if not argument:
        if variant.needs_argument:
            raise ValueError(f"{base} needs the name of a stream: {base}:NAME")
        return variant
    if variant.argument is None:
        raise ValueError(f"{base} takes no argument; {name!r} was given")
    return variant.argument(argument)


def fit(
    name: str,
    train: FeatureSet,
    dev: FeatureSet | None = None,
    *,
    options: FitOptions | None = None,
    progress: Progress | None = None,
) -> Sequence[Trained]:
    """Fit a variant on `train`, one model a seed; `dev` is looked at for early stopping alone.

    BLAS and torch are held to one thread meanwhile (dualstream/cores.py), and set back as they were.

    Raises
    ------
    ValueError
        Where the variant is unknown, or the corpus lacks what it needs (windows, a stream, dialogues).
    """
    options = options or FitOptions()
    variant = get(name)
    check(name, train, options)
    streams = variant.reads(train.streams)
    train.require_finite(streams)
    if dev is not None:
        dev.require_finite(streams)
    with one_core():
        return layered.fit(variant, name, train, dev, options, progress)


def held_out(
    name: str,
    features: FeatureSet,
    fold: NDArray[np.int64],
    *,
    options: FitOptions,
    progress: Progress | None = None,
    work: dict[Any, Any],
) -> Prediction | None:
    """Answer every utterance by models that saw nothing of its fold; None where that takes a fit a fold.

    Raises
    ------
    ValueError
        As `fit` does.
    """
    variant = get(name)
    check(name, features, options)
    if variant.held_out is None:
        return None
    features.require_finite(variant.reads(features.streams))
    read = layered.held_out_rows(variant, features, options)
    if read is None:
        return None
    with one_core():
        return variant.held_out(name, read, fold, options, progress, work)


def check(name: str, features: FeatureSet, options: FitOptions) -> None:
    """Say before a fit that it can't work: settings, streams, windows.

    Raises
    ------
    ValueError
        Where the variant is unknown, has no such setting or takes other values, or the corpus lacks what it needs.
    """
    variant = get(name)
    unknown = set(options.parameters) - set(variant.parameters)
    if unknown:
        raise ValueError(
            f"{variant.name} has no parameter {sorted(unknown)}; it has: {sorted(variant.parameters) or 'none'}"
        )
    for key, value in options.parameters.items():
        _check_setting(variant, key, value)
    if variant.refuse is not None:
        variant.refuse(name, options)
    if options.balance != NONE:
        _check_balance(variant, name, options.balance)
    chosen_layers(options.layers, layers_of(features))
    streams = variant.reads(features.streams)
    lacking = variant.lacking(features.streams)
    if lacking:
        there = " and ".join(sorted(features.streams)) or "no stream"
        if variant.joins and not set(features.streams) <= set(STREAMS):
            ways = ", ".join(of(one) for one in features.streams for of in (network_of, linear_of))
            raise ValueError(f"{name} joins two streams or more; this corpus has {there} alone, which {ways} read")
        raise ValueError(f"{name} reads the {lacking[0]} stream; this corpus has {there} alone")
    for stream in streams:
        if variant.needs_windows and features.streams[stream].windows is None:
            raise ValueError(f"{name} needs windows; the {stream} stream has only one row per utterance")
    if variant.refuse_streams is not None:
        variant.refuse_streams(name, streams, options)


def is_found_anew(name: str, options: FitOptions) -> bool:
    """Tell whether another process can fit a variant: whether it finds its variant, loss and balance."""
    asked: list[tuple[Registry[Any], str]] = [(VARIANTS, name.partition(":")[0]), (losses.REGISTRY, options.loss)]
    if options.balance != NONE:
        asked.append((balances.REGISTRY, options.balance))
    return all(registry.is_found_anew(one) for registry, one in asked)


def is_closed_form(name: str) -> bool:
    """Return whether a variant is solved, by NumPy and SciPy, and not trained in epochs."""
    return get(name).kind == "solved"


def is_search(name: str) -> bool:
    """Return whether a variant searches among others; False where there is no such variant."""
    variant = VARIANTS.find(name.partition(":")[0])
    return variant is not None and variant.kind == "search"


def unused(name: str, options: FitOptions, default: FitOptions | None = None) -> dict[str, str]:
    """Return which options are not as by default and yet mean nothing to a variant, and why."""
    variant, default = get(name), default or FitOptions()
    reasons: dict[str, str] = {}
    if len(options.tasks) < 2:
        reasons |= dict.fromkeys(("task_balance", "sentiment_weight", "decoding"), "there is one task")
    elif options.task_balance != "fixed":
        reasons["sentiment_weight"] = f"the balance of the tasks is {options.task_balance}"
    idle = [key for key in losses.OPTIONS if key not in losses.get(options.loss).options]
    reasons |= dict.fromkeys(reversed(idle), f"the loss is {options.loss}")
    if options.patience == 0:
        reasons["watch"] = "with a patience of 0 dev is not looked at"
    no_balance = _no_balance(variant, name)
    if no_balance:
        reasons["balance"] = no_balance
    if is_closed_form(name):
        reasons |= dict.fromkeys(TRAINED_ALONE, f"{name} is solved, not trained")
        reasons["seeds"] = f"{name} is solved: every seed is the same model"
    elif variant.kind == "trained":  # a search may fit either kind
        if options.balance == NONE:
            reasons["balance_strength"] = f"the balance of the streams is {NONE}"
        reasons["penalty"] = f"{name} is trained; weight_decay is its penalty"
        if not variant.needs_windows:
            reasons["max_windows"] = f"{name} reads no windows"
        if len(variant.streams) == 1:
            reasons["modality_dropout"] = f"{name} reads one stream"
    return {key: why for key, why in reasons.items() if getattr(options, key) != getattr(default, key)}


def own_options(name: str, options: FitOptions) -> FitOptions:
    """Return options for many variants as one of them takes them.

    They hold the settings that it knows, and a balance of the streams where it can have one.
    """
    variant = get(name)
    parameters = {key: value for key, value in options.parameters.items() if key in variant.parameters}
    return replace(options, parameters=parameters, balance=options.balance if takes_balance(variant) else NONE)


def restore(arrays: Arrays, values: JsonObject) -> Trained:
    """Make a fitted model from what its `state()` gave.

    Raises
    ------
    ValueError
        Where the variant is not there any more, as where a package that registered it is not installed.
    """
    added = (joint_model.PREFIX, *([layered.PREFIX] if "layers" in values else []))
    own = {name: array for name, array in arrays.items() if not name.startswith(added)}
    model = get(values["variant"]).restore(own, values)
    if "layers" in values:
        model = layered.restored(model, arrays, values)
    return joint_model.restored(model, arrays, values["joint"]) if "joint" in values else model


def takes_balance(variant: Variant) -> bool:
    """Return whether a variant trains two streams or more together."""
    return not _no_balance(variant, variant.name)


def _no_balance(variant: Variant, name: str) -> str:
    """Return why there is nothing to balance between the streams of a variant; empty where there is."""
    if variant.kind == "solved":
        return f"{name} is solved, not trained: no stream starves another"
    if variant.kind == "search":
        return f"{name} chooses among heads that are solved too; name one that is trained"
    if len(variant.streams) == 1:
        return f"{name} reads one stream"
    if variant.network is not None and variant.network.wants_held_out:
        return f"{name} trains each stream by itself: no stream starves another"
    return ""


def _check_balance(variant: Variant, name: str, balance: str) -> None:
    """Refuse a balance of the streams where no two streams are trained together."""
    why = _no_balance(variant, name)
    if why:
        raise ValueError(f"balance {balance}: {why}; leave it at {NONE}, or take a variant such as concat_norm")


def _check_setting(variant: Variant, key: str, value: Any) -> None:
    """A setting has the type of its default; whole numbers are counts or widths, 1 or more."""
    default = variant.parameters[key]
    if default is None:
        return
    kinds: dict[type, tuple[str, bool]] = {
        bool: ("true or false", isinstance(value, bool)),
        int: ("a whole number, 1 or more", isinstance(value, int) and not isinstance(value, bool) and value >= 1),
        float: ("a number", isinstance(value, int | float) and not isinstance(value, bool)),
        str: ("a word", isinstance(value, str)),
    }
    expected, fits = kinds[type(default)]
    if not fits:
        raise ValueError(f"{variant.name} has {key}={value!r}; expected {expected}, such as {json.dumps(default)}")
