"""The names of the variants without importing them: what the help lists, which does not wait for NumPy."""

from __future__ import annotations

import ast
import importlib.util
from collections.abc import Iterator
from pathlib import Path

FOLDERS = ("fusion", "linear", "search")  # of heads, in the order of tables
REGISTERING = ("network", "register_variant", "_register", "Variant")  # calls whose first argument is a name


def variant_names() -> tuple[str, ...]:
    """Return the names that the sources of heads register, by folder and file.

    ``heads.variants.registry.names`` is what counts; a test holds the two together.
    """
    spec = importlib.util.find_spec("dualstream.heads")
    assert spec is not None
    assert spec.origin is not None
    found: list[str] = []
    for folder in FOLDERS:
        for path in sorted((Path(spec.origin).parent / folder).glob("*.py")):
            found += _registered(ast.parse(path.read_text(encoding="utf-8")))
    return tuple(dict.fromkeys(found))


def _registered(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if not isinstance(node, ast.Call) or not isinstance(node.func, ast.Name) or not node.args:
            continue
        name = node.args[0]
        if any(word.arg == "needs_argument" for word in node.keywords):
            continue
        if node.func.id in REGISTERING and isinstance(name, ast.Constant) and isinstance(name.value, str):
            yield name.value
