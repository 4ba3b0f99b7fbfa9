"""Clips of people talking into emotion and sentiment: features extracted once, heads fitted in seconds.

Names are imported when they are first used: ``import dualstream`` itself loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dualstream.installation import checkout
from dualstream.version import __version__

if TYPE_CHECKING:
    from dualstream.api import compare, diagnose, evaluate, export, extract, fit_head, manifest, read_cache
    from dualstream.features.encoder import register as register_encoder
    from dualstream.heads.sklearn import DualHeadClassifier
    from dualstream.heads.variants.registry import register as register_variant
    from dualstream.predictor import Predictor


__all__ = [
    "DualHeadClassifier",
    "Predictor",
    "__version__",
    "compare",
    "diagnose",
    "evaluate",
    "export",
    "extract",
    "fit_head",
    "manifest",
    "read_cache",
    "register_encoder",
    "register_variant",
]

_HOMES = {
    **{
        name: f"dualstream.api:{name}"
        for name in ("compare", "diagnose", "evaluate", "export", "extract", "fit_head", "manifest", "read_cache")
    },
    "DualHeadClassifier": "dualstream.heads.sklearn:DualHeadClassifier",
    "Predictor": "dualstream.predictor:Predictor",
    "register_encoder": "dualstream.features.encoder:register",
    "register_variant": "dualstream.heads.variants.registry:register",
}
"""Where each name that is offered here comes from, as module:name."""

if (_root := checkout()) is not None:
    __path__.append(str(_root))  # there features, heads and pipeline stand beside this folder, not in it


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    module, _, there = _HOMES[name].partition(":")
    return getattr(importlib.import_module(module), there)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
