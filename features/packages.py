"""Optional packages, imported late: one that is missing is named together with the extra that brings it."""

from __future__ import annotations

import importlib
from typing import Any

from dualstream.installation import install_hint


class MissingPackageError(ValueError):
    """An optional package is not installed; the message says which extra brings it."""


def require(module: str, who: str, extra: str = "extract") -> Any:
    """Import a module of an optional package, late.

    Parameters
    ----------
    module
        Such as ``torchvision.models``.
    who
        Who needs it, for the message.
    extra
        The extra of pyproject.toml that installs it.

    Raises
    ------
    MissingPackageError
        Where the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingPackageError(f"{who} need the package {package}: {install_hint(extra)}") from error
