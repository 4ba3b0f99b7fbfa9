"""Where this installation is: what installs an extra of it, and the files that come with it."""

from __future__ import annotations

import shutil
from pathlib import Path

PARTS = ("features", "heads", "pipeline")  # they are beside this folder in a checkout, in it where it is installed
HERE = Path(__file__).resolve().parent


def install_hint(extra: str) -> str:
    """Return what installs an extra. The package is on no index, so it is installed from its checkout."""
    root = checkout()
    if root is None:
        return f"pip install '.[{extra}]' in the checkout of dualstream"
    return f"pip install -e '{root}[{extra}]'"


def checkout() -> Path | None:
    """Return the checkout that this package is imported from; None where it was copied into an environment."""
    root = HERE.parent
    return root if (root / "pyproject.toml").is_file() and (root / "features").is_dir() else None


def packaged(name: str) -> Path:
    """Return where a file that comes with the package is, such as ``data_manifest.csv``."""
    root = checkout()
    return (HERE if root is None else root) / name


def copy_package(folder: Path) -> Path:
    """Copy the code of this package into `folder`, laid out as it is where it is installed; return where."""
    package = folder / "dualstream"
    ignored = shutil.ignore_patterns("__pycache__", "*.pyc")
    shutil.copytree(HERE, package, ignore=ignored)
    if (root := checkout()) is not None:
        for part in PARTS:
            shutil.copytree(root / part, package / part, ignore=ignored)
    return package
