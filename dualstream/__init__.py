"""Clips of people talking into emotion and sentiment: features extracted once, heads fitted in seconds.

Names are imported when they are first used: ``import dualstream`` itself loads nothing heavy.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

from dualstream.installation import checkout
from dualstream.version import __version__

if TYPE_CHECKING:
    from dualstream.api import check, compare, diagnose, evaluate, export, extract, fit_head, manifest, read_cache
    from dualstream.features.encoder import register as register_encoder
    from dualstream.features.trainable import register_trainable
    from dualstream.heads.diagnosis.causes import cause as register_cause
    from dualstream.heads.losses import register_loss
    from dualstream.heads.sklearn import DualHeadClassifier
    from dualstream.heads.variants.module import register_variant
    from dualstream.pipeline.corpus.checks.registry import check as register_check
    from dualstream.pipeline.corpus.importers import register_importer
    from dualstream.predictor import Predictor


__all__ = [
    "DualHeadClassifier",
    "Predictor",
    "__version__",
    "check",
    "compare",
    "diagnose",
    "evaluate",
    "export",
    "extract",
    "fit_head",
    "manifest",
    "read_cache",
    "register_cause",
    "register_check",
    "register_encoder",
    "register_importer",
    "register_loss",
    "register_trainable",
    "register_variant",
]

_HOMES = {
    **{
        name: f"dualstream.api:{name}"
        for name in (
            "check",
            "compare",
            "diagnose",
            "evaluate",
            "export",
            "extract",
            "fit_head",
            "manifest",
            "read_cache",
        )
    },
    "DualHeadClassifier": "dualstream.heads.sklearn:DualHeadClassifier",
    "Predictor": "dualstream.predictor:Predictor",
    "register_cause": "dualstream.heads.diagnosis.causes:cause",
    "register_check": "dualstream.pipeline.corpus.checks.registry:check",
    "register_encoder": "dualstream.features.encoder:register",
    "register_importer": "dualstream.pipeline.corpus.importers:register_importer",
    "register_loss": "dualstream.heads.losses:register_loss",
    "register_trainable": "dualstream.features.trainable:register_trainable",
    "register_variant": "dualstream.heads.variants.module:register_variant",
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
