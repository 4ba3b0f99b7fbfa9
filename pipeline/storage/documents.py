"""Small files of runs and reports, written whole or not at all: JSON that a person can read, and bytes."""

from __future__ import annotations

import contextlib
import json
import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from dualstream.pipeline.disk import put_in_place, sync
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.folders import UnwrittenError
from numpy.typing import NDArray

from dualstream.documents import Document

D = TypeVar("D", bound=Document)


def write_json(path: Path, document: Any) -> None:
    """Write JSON that a person can read, with numbers that are not finite as null."""
    text = json.dumps(finite(document), indent=1, ensure_ascii=False, allow_nan=False)
    write_bytes(path, (text + "\n").encode())


def read_json(path: Path) -> Any:
    """Read a JSON document of a run."""
    try:
        return json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError as error:
        raise CorruptError(f"{path} is missing") from error
    except ValueError as error:
        raise CorruptError(f"{path} is not JSON: {error}") from error


def read_document(path: Path, kind: type[D]) -> D:
    """Read a document of its kind; `format` and `version` need not be there.

    Raises
    ------
    CorruptError
        Where the file is missing or damaged, or is no such document.
    """
    return as_document(read_json(path), kind, path)


def as_document(values: Any, kind: type[D], path: Path) -> D:
    """Return what was read of `path` as a document of its kind; see `read_document`."""
    try:
        return kind.from_json(values)
    except (KeyError, TypeError, ValueError, AttributeError) as error:
        raise CorruptError(f"{path} is not what it should be: {error}") from error


def write_bytes(path: Path, data: bytes) -> None:
    """Write a file whole or not at all."""
    with replacing(path) as temporary:
        temporary.write_bytes(data)


def finite(value: Any) -> Any:
    """Return JSON values with NumPy's scalars and arrays as Python's, and what is not finite as None."""
    if isinstance(value, dict):
        return {str(key): finite(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return finite(value.tolist())
    if isinstance(value, list | tuple):
        return [finite(item) for item in value]
    if isinstance(value, np.generic):
        return finite(value.item())
    return _finite(value) if isinstance(value, float) else value


def unpack_safetensors(data: bytes) -> tuple[dict[str, NDArray[Any]], dict[str, str]]:
    """Return the arrays and the metadata of a safetensors image.

    Raises
    ------
    SafetensorError
        Where it is none.
    """
    from safetensors.numpy import load

    arrays = {name: np.array(array) for name, array in load(data).items()}  # which checks the header
    header = json.loads(data[8 : 8 + int.from_bytes(data[:8], "little")])
    return arrays, dict(header.get("__metadata__") or {})


@contextmanager
def replacing(path: Path) -> Iterator[Path]:
    """Give a temporary name to write to; it becomes `path` when the block ends well.

    Raises
    ------
    UnwrittenError
        Where the disk is full or refuses.
    """
    temporary = path.with_name(f".{path.name}.{os.getpid()}.tmp")
    try:
        yield temporary
        sync(temporary)
        put_in_place(temporary, path)
    except OSError as error:
        raise UnwrittenError(path, error) from error
    finally:
        with contextlib.suppress(OSError):  # of a folder that is read-only
            temporary.unlink(missing_ok=True)


def _finite(value: float) -> float | None:
    return float(value) if math.isfinite(value) else None
