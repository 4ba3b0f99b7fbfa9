"""Packages as pip leaves them, written into a folder: modules, and a dist-info with entry points."""

from __future__ import annotations

import textwrap
from collections.abc import Mapping
from pathlib import Path


def write_package(
    folder: Path,
    name: str,
    modules: Mapping[str, str],
    entry_points: Mapping[str, Mapping[str, str]] | None = None,
) -> Path:
    """Write an installed package called `name`, version 1.0, below `folder`; return the folder.

    Parameters
    ----------
    modules
        Source by the name of each module of the package; ``__init__`` is empty unless given.
    entry_points
        Values by name, by group.
    """
    package = folder / name
    package.mkdir(parents=True, exist_ok=True)
    for module, source in {"__init__": "", **modules}.items():
        (package / f"{module}.py").write_text(textwrap.dedent(source), "utf-8")
    info = folder / f"{name}-1.0.dist-info"
    info.mkdir(exist_ok=True)
    (info / "METADATA").write_text(f"Metadata-Version: 2.1\nName: {name}\nVersion: 1.0\n")
    lines = []
    for group, points in (entry_points or {}).items():
        lines += [f"[{group}]", *(f"{key} = {value}" for key, value in points.items()), ""]
    (info / "entry_points.txt").write_text("\n".join(lines))
    return folder
