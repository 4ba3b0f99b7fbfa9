"""Keyword options of the Python functions: the fields of the option dataclasses, by name, nested ones too."""

from __future__ import annotations

import dataclasses
import difflib
import inspect
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

from dualstream.validation import validate

T = TypeVar("T")
F = TypeVar("F", bound=Callable[..., Any])
Kind = type[Any]


def takes(*kinds: Kind, without: Sequence[str] = ()) -> Callable[[F], F]:
    """Say in a function's signature which keyword options it takes: ``help`` and notebooks show them.

    The function has ``**options``; their names and defaults are the fields of `kinds`, but for those of `without`.
    """

    def add(function: F) -> F:
        plain = inspect.signature(function)
        named = [one for one in plain.parameters.values() if one.kind is not inspect.Parameter.VAR_KEYWORD]
        taken = {*plain.parameters, *without}
        more = [
            inspect.Parameter(name, inspect.Parameter.KEYWORD_ONLY, default=default, annotation=one.type)
            for kind in kinds
            for name, one, default in leaves(kind)
            if name not in taken
        ]
        function.__signature__ = plain.replace(parameters=[*named, *more])  # type: ignore[attr-defined]
        return function

    return add


def assemble(kind: type[T], given: Mapping[str, Any]) -> T:
    """Return a `kind` whose fields, and those of the dataclasses in its fields, are as `given` has them.

    A text stands for a path, a number for a text (``folds=4``), a list for a tuple, one text for a tuple of one, a
    list of names for names that stand for themselves (``streams=["whisper", "face"]``).
    Names in `given` that are no fields are left to others: `require_known` refuses those of nobody.

    Raises
    ------
    ValueError, TypeError
        Where a value is out of its range or of another type; the message names the option.
    """
    return _filled(kind, None, given)


def _filled(kind: type[T], base: T | None, given: Mapping[str, Any]) -> T:
    hints = get_type_hints(kind, include_extras=True)
    values: dict[str, Any] = {}
    for one in dataclasses.fields(kind):  # type: ignore[arg-type]
        value = _default(one) if base is None else getattr(base, one.name)
        if one.name in given:
            value = _converted(one.name, given[one.name], hints[one.name])
        if _is_options(value) and any(name in given for name, _, _ in leaves(type(value))):
            value = _filled(type(value), value, given)
        if value is not inspect.Parameter.empty:
            values[one.name] = value
    built = kind(**values)
    validate(built)
    return built


def require_known(
    who: str, given: Mapping[str, Any], kinds: Sequence[Kind], *, without: Sequence[str] = ()
) -> None:
    """Refuse options that no dataclass of `kinds` has.

    Raises
    ------
    TypeError
        Names the first of them, and what is called alike.
    """
    known = {name for kind in kinds for name, _, _ in leaves(kind)}
    known |= {one.name for kind in kinds for one in dataclasses.fields(kind)}
    known -= set(without)
    for name in given:
        if name not in known:
            near = difflib.get_close_matches(name, known, n=1)
            hint = f"; did you mean {near[0]}?" if near else f"; it takes: {', '.join(sorted(known))}"
            raise TypeError(f"{who}() has no option {name!r}{hint}")


def leaves(kind: Kind, base: Any = None) -> Iterator[tuple[str, dataclasses.Field[Any], Any]]:
    """Yield name, field and default of each option that is no dataclass itself."""
    for one in dataclasses.fields(kind):
        value = _default(one) if base is None else getattr(base, one.name)
        if _is_options(value):
            yield from leaves(type(value), value)
        else:
            yield one.name, one, value


def _default(one: dataclasses.Field[Any]) -> Any:
    if one.default is not dataclasses.MISSING:
        return one.default
    return one.default_factory() if one.default_factory is not dataclasses.MISSING else inspect.Parameter.empty


def _is_options(value: Any) -> bool:
    return dataclasses.is_dataclass(value) and not isinstance(value, type)


def _converted(name: str, value: Any, hint: Any) -> Any:
    """Return a path for a text and a tuple for a list, where the field wants those."""
    options = _alternatives(hint)
    if isinstance(value, str) and Path in options and str not in options:
        return Path(value)
    if isinstance(value, int) and not isinstance(value, bool) and str in options and not {int, float} & {*options}:
        return str(value)
    if any(get_origin(one) is Mapping and get_args(one) == (str, str) for one in options) and value is not None:
        return _by_name(name, value)
    wanted = next((one for one in options if get_origin(one) in (tuple, Sequence)), None)
    if wanted is None or value is None:
        return value
    if isinstance(value, str | Path):
        value = (value,)
    if not isinstance(value, Sequence | range):
        raise TypeError(f"{name} is {value!r}; expected several values, such as [{value!r}]")
    of = get_args(wanted)[0]
    return tuple(_converted(name, one, of) for one in value)


def _by_name(name: str, value: Any) -> Mapping[str, str]:
    """Return names, as in ``streams=["whisper", "face"]``, each standing for itself; a mapping as it is."""
    if isinstance(value, Mapping):
        return value
    names = [value] if isinstance(value, str) else list(value) if isinstance(value, Sequence) else None
    if names is None or not all(isinstance(one, str) for one in names) or len(set(names)) < len(names):
        raise TypeError(f"{name} is {value!r}; expected names, each once, or what each of them stands for")
    return {one: one for one in names}


def _alternatives(hint: Any) -> tuple[Any, ...]:
    if get_origin(hint) is Annotated:
        return _alternatives(get_args(hint)[0])
    if get_origin(hint) is Union or type(hint).__name__ == "UnionType":
        return tuple(part for one in get_args(hint) for part in _alternatives(one))
    return (hint,)
