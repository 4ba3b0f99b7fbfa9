"""Clips of people talking into emotion and sentiment: features extracted once, heads fitted in seconds.

Names are imported when they are first used: ``import dualstream`` itself loads nothing heavy.
"""

from __future__ import annotations

import importlib
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualstream.heads.sklearn import DualHeadClassifier
    from dualstream.pipeline.cache import read_cache

__version__ = "0.1.0"

__all__ = ["DualHeadClassifier", "__version__", "read_cache"]

_HOMES = {
    "DualHeadClassifier": "dualstream.heads.sklearn",
    "read_cache": "dualstream.pipeline.cache",
}
"""The module of each name that is offered here."""

_CHECKOUT = Path(__file__).resolve().parent.parent
if (_CHECKOUT / "pyproject.toml").is_file() and (_CHECKOUT / "features").is_dir():
    __path__.append(str(_CHECKOUT))  # there features, heads and pipeline stand beside this folder, not in it


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(importlib.import_module(_HOMES[name]), name)


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
