"""Numbers, text and arrays out of a pickle that others made, without ever running what it says.

A pickle is a program: Python's own reader calls whatever functions it names. Here its instructions are listed
(`pickletools.genops`, which runs nothing) and carried out by hand, and those few are known that make lists,
dictionaries, text, numbers and NumPy's arrays. All else is refused by name and place, and so is any function.
"""

from __future__ import annotations

import mmap
import re
import struct
from collections.abc import Callable, Sequence
from pathlib import Path
from pickle import dumps
from pickletools import genops
from typing import Any

import numpy as np
from dualstream.pipeline.errors import CorruptError
from numpy.typing import NDArray

MAX_DEPTH = 50
ADMITTED = "numbers, text and arrays of them, never code"

_DTYPE = re.compile(r"[<>|=]?([?biufSUO]|b1)\d*")
_MARK = object()
_NAMES = {
    **{(f"numpy.{core}.multiarray", "_reconstruct"): "array" for core in ("core", "_core")},
    **{(f"numpy.{core}.multiarray", "scalar"): "scalar" for core in ("core", "_core")},
    **{(f"numpy.{core}.numeric", "_frombuffer"): "buffer" for core in ("core", "_core")},
    ("numpy", "ndarray"): "ndarray",
    ("numpy", "dtype"): "dtype",
    ("_codecs", "encode"): "encode",
    ("collections", "OrderedDict"): "dict",
    **{(module, "bytes"): "no bytes" for module in ("builtins", "__builtin__")},  # how an older one says b""
}
"""What a pickle may name, and what is made of it here; no function of that name is ever called."""


class _Refused(ValueError):
    """The pickle says something that is not admitted."""


class _Name:
    """A name that a pickle may use."""

    def __init__(self, kind: str) -> None:
        self.kind = kind


class _Kind:
    """A dtype: its text, and the byte order that comes after it."""

    def __init__(self, text: Any) -> None:
        if not isinstance(text, str) or not _DTYPE.fullmatch(text):
            raise _Refused(f"an array of {text!r}")
        self.text = text

    def take(self, state: Any) -> None:
        """Take what a pickle adds to the text."""
        if not isinstance(state, tuple) or len(state) < 5 or any(one is not None for one in state[2:5]):
            raise _Refused("an array of records")
        order = state[1] if state[1] in ("<", ">") else ""
        self.text = order + self.text.lstrip("<>|=")

    def dtype(self) -> np.dtype[Any]:
        """Return it as NumPy knows it."""
        return np.dtype(self.text)

    @property
    def of_objects(self) -> bool:
        """Whether it holds Python's own objects."""
        return "O" in self.text


class _Array:
    """An array whose contents come later."""

    def __init__(self) -> None:
        self.state: tuple[Any, ...] = ()

    def take(self, state: Any) -> None:
        """Take shape, kind and contents."""
        if not isinstance(state, tuple) or len(state) != 5 or not isinstance(state[2], _Kind):
            raise _Refused("an array in a form that is not known")
        self.state = state


def read_pickle(path: Path) -> Any:
    """Return what a pickle holds: dictionaries, lists, tuples, text, numbers, None, and arrays.

    Raises
    ------
    CorruptError
        Where it holds anything else, above all code, or is not whole.
    """
    try:
        with path.open("rb") as file, mmap.mmap(file.fileno(), 0, access=mmap.ACCESS_READ) as data:
            return _plain(_carried_out(data, path), {}, 0)
    except _Refused as error:
        raise CorruptError(f"{path} holds {error}; only {ADMITTED}, is read from a pickle") from error
    except (ValueError, IndexError, KeyError, TypeError, OverflowError, AssertionError, struct.error) as error:
        why = f" ({error})" if isinstance(error, ValueError) else ""  # the others say nothing to a person
        raise CorruptError(
            f"{path} is not a whole pickle: it was cut, or is a file of another kind{why}"
        ) from error


def as_pickle(value: Any) -> bytes:
    """Return a pickle of plain values and arrays, for programs that want one; protocol 4."""
    return dumps(value, protocol=4)


def _carried_out(data: Any, path: Path) -> Any:
    machine = _Machine()
    for opcode, argument, place in genops(data):
        name = opcode.name
        if name == "STOP":
            return machine.stack.pop()
        act = _ACTS.get(name)
        try:
            if act is None:
                raise _Refused(f"an instruction {name}")
            act(machine, argument)
        except _Refused as error:
            raise _Refused(f"{error} (at byte {place})") from None
    raise ValueError("it does not end")


class _Machine:
    """The stack and the memo of a pickle."""

    def __init__(self) -> None:
        self.stack: list[Any] = []
        self.memo: dict[int, Any] = {}

    def since_mark(self) -> list[Any]:
        """Take what lies above the last mark."""
        at = len(self.stack) - 1
        while self.stack[at] is not _MARK:
            at -= 1
            if at < 0:
                raise ValueError("a mark is missing")
        above = self.stack[at + 1 :]
        del self.stack[at:]
        return above

    def push(self, value: Any) -> None:
        """Lay a value on the stack."""
        self.stack.append(value)

    def name(self, module: Any, name: Any) -> None:
        """Take a name that the pickle uses."""
        kind = _NAMES.get((module, name)) if isinstance(module, str) and isinstance(name, str) else None
        if kind is None:
            raise _Refused(f"{module}.{name}")
        self.push(_Name(kind))

    def make(self) -> None:
        """Make what a name stands for, of its arguments."""
        arguments, name = self.stack.pop(), self.stack.pop()
        if not isinstance(name, _Name) or not isinstance(arguments, tuple):
            raise _Refused(f"a call of {type(name).__name__}")
        self.push(_MAKERS[name.kind](*arguments))

    def build(self) -> None:
        """Give an array or a dtype its contents."""
        state, target = self.stack.pop(), self.stack[-1]
        if not isinstance(target, _Array | _Kind):
            raise _Refused(f"contents of {type(target).__name__}")
        target.take(state)

    def extend(self, values: Sequence[Any]) -> None:
        """Append to the list below."""
        target = self.stack[-1]
        if not isinstance(target, list):
            raise _Refused(f"appending to {type(target).__name__}")
        target.extend(values)

    def update(self, values: Sequence[Any]) -> None:
        """Put pairs into the dictionary below."""
        target = self.stack[-1]
        if not isinstance(target, dict):
            raise _Refused(f"entries of {type(target).__name__}")
        target.update(_pairs(values))


def _pairs(values: Sequence[Any]) -> dict[Any, Any]:
    keys = values[::2]
    if any(not isinstance(key, str | int | float | bytes | type(None)) for key in keys):
        raise _Refused("a dictionary whose keys are no text and no number")
    return dict(zip(keys, values[1::2], strict=True))


def _encode(text: Any, encoding: Any) -> bytes:
    if encoding not in ("latin1", "latin-1") or not isinstance(text, str):
        raise _Refused(f"text in {encoding!r}")
    return text.encode("latin-1")


def _scalar(kind: Any, data: Any = b"") -> Any:
    if not isinstance(kind, _Kind) or kind.of_objects:
        raise _Refused("a number in a form that is not known")
    return np.frombuffer(_raw(data), dtype=kind.dtype(), count=1)[0].item()


def _buffer(data: Any, kind: Any, shape: Any, order: Any) -> _Array:
    made = _Array()
    made.take((1, shape, kind, order == "F", data))
    return made


def _new_array(subtype: Any, shape: Any, kind: Any) -> _Array:
    if not isinstance(subtype, _Name) or subtype.kind != "ndarray":
        raise _Refused("an array of another class")
    return _Array()


def _refuse_call(*arguments: Any) -> Any:
    raise _Refused("a call of numpy.ndarray")


_MAKERS: dict[str, Callable[..., Any]] = {
    "array": _new_array,
    "scalar": _scalar,
    "buffer": _buffer,
    "ndarray": _refuse_call,
    "dtype": lambda text, *flags: _Kind(text),
    "encode": _encode,
    "dict": dict,
    "no bytes": lambda: b"",
}


def _constant(machine: _Machine, argument: Any) -> None:
    machine.push(argument)


def _tuple(count: int) -> Callable[[_Machine, Any], None]:
    def act(machine: _Machine, argument: Any) -> None:
        taken = tuple(machine.stack[-count:])
        if len(taken) < count or any(one is _MARK for one in taken):
            raise ValueError("the stack is empty")
        del machine.stack[-count:]
        machine.push(taken)

    return act


def _put(machine: _Machine, argument: Any) -> None:
    machine.memo[len(machine.memo) if argument is None else int(argument)] = machine.stack[-1]


def _set_item(machine: _Machine, argument: Any) -> None:
    value, key = machine.stack.pop(), machine.stack.pop()
    machine.update([key, value])


def _append(machine: _Machine, argument: Any) -> None:
    machine.extend([machine.stack.pop()])


def _drop(machine: _Machine, argument: Any) -> None:
    machine.since_mark()


def _stack_name(machine: _Machine, argument: Any) -> None:
    name, module = machine.stack.pop(), machine.stack.pop()
    machine.name(module, name)


_CONSTANTS = (
    "INT", "BININT", "BININT1", "BININT2", "LONG", "LONG1", "LONG4", "FLOAT", "BINFLOAT",
    "STRING", "BINSTRING", "SHORT_BINSTRING", "UNICODE", "BINUNICODE", "SHORT_BINUNICODE", "BINUNICODE8",
    "BINBYTES", "SHORT_BINBYTES", "BINBYTES8", "BYTEARRAY8",
)  # fmt: skip
_ACTS: dict[str, Callable[[_Machine, Any], None]] = {
    **dict.fromkeys(_CONSTANTS, _constant),
    **dict.fromkeys(("PROTO", "FRAME"), lambda machine, argument: None),
    **dict.fromkeys(("PUT", "BINPUT", "LONG_BINPUT", "MEMOIZE"), _put),
    **dict.fromkeys(
        ("GET", "BINGET", "LONG_BINGET"), lambda machine, argument: machine.push(machine.memo[int(argument)])
    ),
    "NONE": lambda machine, argument: machine.push(None),
    "NEWTRUE": lambda machine, argument: machine.push(True),
    "NEWFALSE": lambda machine, argument: machine.push(False),
    "MARK": lambda machine, argument: machine.push(_MARK),
    "POP": lambda machine, argument: machine.stack.pop(),
    "POP_MARK": _drop,
    "DUP": lambda machine, argument: machine.push(machine.stack[-1]),
    "EMPTY_LIST": lambda machine, argument: machine.push([]),
    "EMPTY_DICT": lambda machine, argument: machine.push({}),
    "EMPTY_TUPLE": lambda machine, argument: machine.push(()),
    "LIST": lambda machine, argument: machine.push(machine.since_mark()),
    "DICT": lambda machine, argument: machine.push(_pairs(machine.since_mark())),
    "TUPLE": lambda machine, argument: machine.push(tuple(machine.since_mark())),
    "TUPLE1": _tuple(1),
    "TUPLE2": _tuple(2),
    "TUPLE3": _tuple(3),
    "APPEND": _append,
    "APPENDS": lambda machine, argument: machine.extend(machine.since_mark()),
    "SETITEM": _set_item,
    "SETITEMS": lambda machine, argument: machine.update(machine.since_mark()),
    "GLOBAL": lambda machine, argument: machine.name(*str(argument).split(" ", 1)),
    "STACK_GLOBAL": _stack_name,
    "REDUCE": lambda machine, argument: machine.make(),
    "BUILD": lambda machine, argument: machine.build(),
}


def _plain(value: Any, known: dict[int, Any], depth: int) -> Any:
    """Return plain values in the place of what stands for arrays; what is shared stays shared."""
    if depth > MAX_DEPTH:
        raise _Refused(f"lists that are nested more than {MAX_DEPTH} times, or hold themselves")
    if isinstance(value, str | int | float | bytes | bytearray | type(None)):
        return value
    if id(value) in known:
        return known[id(value)]
    if isinstance(value, _Array):
        found: Any = _values(value, known, depth)
    elif isinstance(value, dict):
        found = {key: _plain(one, known, depth + 1) for key, one in value.items()}
    elif isinstance(value, list | tuple):
        found = type(value)(_plain(one, known, depth + 1) for one in value)
    else:
        raise _Refused(f"a {type(value).__name__.strip('_').lower()} by itself")
    known[id(value)] = found
    return found


def _values(array: _Array, known: dict[int, Any], depth: int) -> NDArray[Any] | list[Any]:
    """Return an array; one of Python's objects as a list, where it has one axis."""
    if not array.state:
        raise _Refused("an array without contents")
    _, shape, kind, fortran, data = array.state
    if not isinstance(shape, tuple) or any(type(one) is not int or one < 0 for one in shape):
        raise _Refused(f"an array of shape {shape!r}")
    if kind.of_objects:
        if not isinstance(data, list) or len(shape) != 1 or len(data) != shape[0]:
            raise _Refused("an array of objects with several axes")
        return [_plain(one, known, depth + 1) for one in data]
    dtype = kind.dtype()
    raw = _raw(data)
    size = 1
    for one in shape:
        size *= one
    if len(raw) != size * dtype.itemsize:
        raise ValueError(f"an array of shape {shape} has {len(raw)} bytes; expected {size * dtype.itemsize}")
    if not size or not dtype.itemsize:
        return np.zeros(shape, dtype=dtype)
    return np.frombuffer(raw, dtype=dtype).reshape(shape, order="F" if fortran else "C")


def _raw(data: Any) -> bytes | bytearray:
    if isinstance(data, str):  # Python 2's bytes
        return data.encode("latin-1")
    if not isinstance(data, bytes | bytearray):
        raise _Refused("an array whose contents are no bytes")
    return data
