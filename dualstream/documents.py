"""Documents: frozen dataclasses inside the program, JSON objects where a file or ``--json`` begins.

A field is a key. Values are JSON's own, other documents, tuples and mappings of them, and NumPy arrays. What a
document does not know is ignored when it is read, and what it lacks takes the field's default: files of other
versions stay readable.
"""

from __future__ import annotations

import dataclasses
import functools
import math
import types
from collections.abc import Iterator, Mapping, Sequence
from typing import (
    Annotated,
    Any,
    ClassVar,
    Literal,
    Self,
    TypeVar,
    Union,
    get_args,
    get_origin,
    get_type_hints,
    is_typeddict,
)

JsonObject = dict[str, Any]
"""A JSON object as it stands in a file: what `to_json` gives and `from_json` takes, and nothing in between."""

T = TypeVar("T")
_ABSENT: Any = object()


class Document:
    """Base of a frozen dataclass that is a JSON object at the disk's edge."""

    FORMAT: ClassVar[str] = ""
    """What the key ``format`` says where the document is a file or is printed; empty: only a part of others."""
    VERSION: ClassVar[int] = 1

    def to_json(self) -> JsonObject:
        """Return JSON values, a key for each field in the order of the fields."""
        return {one.name: plain(getattr(self, one.name)) for one in dataclasses.fields(self)}  # type: ignore[arg-type]

    def stamped(self) -> JsonObject:
        """Return JSON values with ``format`` and ``version`` before them."""
        return {"format": self.FORMAT, "version": self.VERSION} | self.to_json()

    @classmethod
    def from_json(cls, values: JsonObject) -> Self:
        """Read what `to_json` or `stamped` gave.

        Raises
        ------
        ValueError
            Where a key is missing or has a value of another type; it names the key.
        """
        return read_fields(cls, values)

    def __getitem__(self, key: str) -> Any:
        """Return the JSON value of a key, as in the file; code of this program takes the attribute."""
        return self._as_in_file()[key]

    def __iter__(self) -> Iterator[str]:
        """Go over the keys, as in the file."""
        return iter(self._as_in_file())

    def _as_in_file(self) -> JsonObject:
        return self.stamped() if self.FORMAT else self.to_json()


def plain(value: Any) -> Any:
    """Return a value of a document as JSON values; a number that is not finite is None."""
    if hasattr(value, "to_json"):
        return value.to_json()
    if dataclasses.is_dataclass(value):
        return {one.name: plain(getattr(value, one.name)) for one in dataclasses.fields(value)}
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if hasattr(value, "tolist"):  # NumPy's arrays and scalars
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    return None if isinstance(value, float) and not math.isfinite(value) else value


def read_fields(cls: type[T], values: Any) -> T:
    """Make a dataclass of a JSON object.

    Raises
    ------
    ValueError
        As `Document.from_json`.
    """
    if not isinstance(values, Mapping):
        raise ValueError(f"{cls.__name__}: found {_kind(values)}; expected an object")
    hints = _hints(cls)  # type: ignore[arg-type]
    found = {}
    for one in dataclasses.fields(cls):  # type: ignore[arg-type]
        value = values.get(one.name, _ABSENT)
        if value is not _ABSENT:
            found[one.name] = _read(hints[one.name], value, f"{cls.__name__}.{one.name}")
        elif one.default is dataclasses.MISSING and one.default_factory is dataclasses.MISSING:
            raise ValueError(f"{cls.__name__} lacks {one.name!r}")
    return cls(**found)


@functools.cache
def _hints(cls: type) -> dict[str, Any]:
    return get_type_hints(cls)


def _read(hint: Any, value: Any, where: str) -> Any:
    """Return a JSON value as the type of a field."""
    origin, parts = get_origin(hint), get_args(hint)
    if origin is Annotated:
        return _read(parts[0], value, where)
    if origin in (Union, types.UnionType):
        others = [part for part in parts if part is not type(None)]
        if value is None or len(others) > 1:
            return value
        return _read(others[0], value, where)
    if is_typeddict(hint):
        return _mapping(value, where)
    if isinstance(hint, type) and dataclasses.is_dataclass(hint):
        return hint.from_json(value) if hasattr(hint, "from_json") else read_fields(hint, value)
    if origin is not None and origin is not Literal:
        return _read_many(origin, parts, value, where)
    return _read_scalar(hint, value, where)


def _read_many(origin: Any, parts: tuple[Any, ...], value: Any, where: str) -> Any:
    """Return a JSON array or object as the collection that a field has."""
    if origin.__name__ == "ndarray":
        import numpy as np

        return np.asarray(value, dtype=get_args(parts[1])[0])
    if issubclass(origin, Mapping):
        _mapping(value, where)
        return {key: _read(parts[1], item, f"{where}.{key}") for key, item in value.items()}
    if not isinstance(value, Sequence) or isinstance(value, str):
        raise ValueError(f"{where}: found {_kind(value)}; expected an array")
    each = [parts[0]] * len(value) if len(parts) < 2 or parts[1] is Ellipsis else parts
    if len(each) != len(value):
        raise ValueError(f"{where}: found {len(value)} values; expected {len(each)}")
    pairs = enumerate(zip(each, value, strict=True))
    return tuple(_read(part, item, f"{where}[{i}]") for i, (part, item) in pairs)


def _mapping(value: Any, where: str) -> Any:
    if not isinstance(value, Mapping):
        raise ValueError(f"{where}: found {_kind(value)}; expected an object")
    return value


def _read_scalar(hint: Any, value: Any, where: str) -> Any:
    if hint is float and value is None:
        return math.nan  # which JSON does not know
    wanted = {float: int | float, int: int, str: str, bool: bool}.get(hint, object)
    if isinstance(value, wanted) and (hint not in (int, float) or not isinstance(value, bool)):
        return value
    raise ValueError(f"{where}: found {_kind(value)}; expected {hint.__name__}")


def _kind(value: Any) -> str:
    return f"{type(value).__name__} {value!r:.60}"
