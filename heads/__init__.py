"""Tensors to decisions. Nothing here knows of files, media or processes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualstream.heads.sklearn import DualHeadClassifier

__all__ = ["DualHeadClassifier"]


def __getattr__(name: str) -> Any:
    # scikit-learn takes a second to import: who doesn't ask for the classifier doesn't wait for it
    if name == "DualHeadClassifier":
        from dualstream.heads.sklearn import DualHeadClassifier

        return DualHeadClassifier
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
