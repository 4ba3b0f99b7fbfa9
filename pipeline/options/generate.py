"""The command line of a dataclass: each field is an option, with its default, and its docstring as the help.

A field that is itself a dataclass, annotated with `Group`, gives its fields in a panel of their own.
"""

from __future__ import annotations

import ast
import dataclasses
import functools
import inspect
import textwrap
import types
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, TypeVar, Union, get_args, get_origin, get_type_hints

import typer
from dualstream.pipeline.errors import UsageError

from dualstream.validation import Bounds, choices_of

T = TypeVar("T")


@dataclass(frozen=True)
class Cli:
    """How a field appears on the command line, where its name and its type don't say it."""

    name: str = ""
    """The option without dashes; empty: the field's name."""
    positional: bool = False
    """An argument, not an option."""
    repeat: bool = False
    """May be given several times; a sequence without this is one text with commas."""
    read: Callable[[Any], Any] | None = None
    """From the text, or the list of texts where it repeats, to the field's value."""
    show: Callable[[Any], Any] | None = None
    """From the field's default to what the command line shows; its type is the option's type."""
    metavar: str = ""


@dataclass(frozen=True)
class Group:
    """A field that holds a dataclass whose fields are options too."""

    panel: str
    """The title of their part of the help."""
    without: tuple[str, ...] = ()
    """Fields that are not options here and keep their defaults."""
    cli: Mapping[str, Cli] = field(default_factory=dict)
    """How some of its fields appear."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Other defaults than the dataclass has."""


@dataclass(frozen=True, repr=False)
class _Option:
    """One option: the way from the command line to a field."""

    path: tuple[str, ...]
    """The field's name, after those of the groups that it is in."""
    key: str
    """The parameter's name."""
    parameter: inspect.Parameter
    read: Callable[[Any], Any] | None


def parameters_of(cls: type) -> list[inspect.Parameter]:
    """Return a parameter, annotated for Typer, for each option of a dataclass."""
    return [one.parameter for one in _options(cls)]


def build(cls: type[T], values: Mapping[str, Any]) -> T:
    """Make the dataclass of what the command line gave, by parameter name.

    Raises
    ------
    UsageError
        Where a value can't be read, or the dataclass refuses it.
    """
    tree: dict[str, Any] = {}
    for one in _options(cls):  # type: ignore[arg-type]
        value = values[one.key]
        node = tree
        for name in one.path[:-1]:
            node = node.setdefault(name, {})
        if value is not None:  # not given: the dataclass's default stands
            node[one.path[-1]] = value if one.read is None else one.read(value)
    return _make(cls, tree)


def named(cls: type) -> dict[str, tuple[str, ...]]:
    """Return the field, with the groups that it is in, of each parameter."""
    return {one.key: one.path for one in _options(cls)}


def _make(cls: type[T], tree: Mapping[str, Any]) -> T:
    fields, made = _fields(cls), {}  # type: ignore[arg-type]
    for name, value in tree.items():
        kind, group, _ = fields[name]
        made[name] = value if group is None else _make(kind, {**group.defaults, **value})
    try:
        return cls(**made)
    except ValueError as error:
        raise UsageError(str(error)) from error


@functools.cache
def _options(cls: type[Any]) -> tuple[_Option, ...]:
    return tuple(_walk(cls, (), Group("")))


def _walk(cls: type, path: tuple[str, ...], group: Group) -> list[_Option]:
    docs = field_docs(cls)
    found: list[_Option] = []
    for one in dataclasses.fields(cls):
        if one.name in group.without or not one.init:
            continue
        kind, inner, cli = _fields(cls)[one.name]
        if inner is not None:
            found += _walk(kind, (*path, one.name), inner)
            continue
        cli = group.cli.get(one.name, cli)
        default = group.defaults.get(one.name, _default(one))
        found.append(_option((*path, one.name), kind, cli, default, docs.get(one.name, ""), group.panel))
    return found


def _option(path: tuple[str, ...], hint: Any, cli: Cli, default: Any, text: str, panel: str) -> _Option:
    name = cli.name or path[-1].replace("_", "-")
    base, read, shown = _shape(hint, cli, default)
    bounds = Bounds.of(hint)
    limits: dict[str, Any] = {}
    if bounds is not None and base in (int, float, int | None, float | None):
        limits = {"min": bounds.lower, "max": bounds.upper}  # an open bound is for `validate` to refuse
    extra: dict[str, Any] = {"help": text, "rich_help_panel": panel or None, **limits}
    if cli.metavar:
        extra["metavar"] = cli.metavar
    required = shown is dataclasses.MISSING
    if cli.positional:
        info: Any = typer.Argument(**extra)
    else:
        spelled = f"--{name}/--no-{name}" if base is bool and shown is True else f"--{name}"
        info = typer.Option(spelled, **extra)
    parameter = inspect.Parameter(
        path[-1],
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if required else shown,
        annotation=Annotated[base, info],
    )
    return _Option(path, path[-1], parameter, read)


def _shape(hint: Any, cli: Cli, default: Any) -> tuple[Any, Callable[[Any], Any] | None, Any]:
    """Return the option's type, how its value becomes the field's, and the default that is shown."""
    missing = default is dataclasses.MISSING
    if cli.show is not None and not missing:
        shown = cli.show(default)
        return type(shown), cli.read, shown
    if cli.read is not None:
        return (list[str] if cli.repeat else str) | None, cli.read, default if missing else None
    core, optional = _core(hint)
    if get_origin(core) is tuple:
        item = get_args(core)[0]
        if cli.repeat:
            return list[item] | None if optional or not default else list[item], tuple, _listed(default)  # type: ignore[valid-type]
        return str, _names, default if missing else ",".join(map(str, default))
    return (core | None if optional else core), None, default


def _listed(default: Any) -> Any:
    return default if default is dataclasses.MISSING else (list(default) or None)


def _names(text: str) -> tuple[str, ...]:
    return tuple(name for part in text.split(",") if (name := part.strip()))


def _core(hint: Any) -> tuple[Any, bool]:
    """Return a hint without ``Annotated`` and ``| None``, and whether None is allowed."""
    if get_origin(hint) is Annotated:
        return _core(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        parts = [part for part in get_args(hint) if part is not type(None)]
        assert len(parts) == 1, f"{hint} is of several types; annotate the field with Cli(read=...)"
        return _core(parts[0])[0], True
    known = hint in (bool, int, float, str, Path) or get_origin(hint) is tuple or choices_of(hint)
    assert known, f"{hint} has no form on the command line; annotate the field with Cli(read=...)"
    return hint, False


def _default(one: dataclasses.Field[Any]) -> Any:
    return one.default if one.default_factory is dataclasses.MISSING else one.default_factory()


@functools.cache
def _fields(cls: type[Any]) -> dict[str, tuple[Any, Group | None, Cli]]:
    """Return the type, the group and the form of each field."""
    found = {}
    for name, hint in get_type_hints(cls, include_extras=True).items():
        notes = getattr(hint, "__metadata__", ())
        group = next((one for one in notes if isinstance(one, Group)), None)
        cli = next((one for one in notes if isinstance(one, Cli)), Cli())
        found[name] = (get_args(hint)[0] if group is not None else hint, group, cli)
    return found


def field_docs(cls: type) -> dict[str, str]:
    """Return the docstring under each field of a dataclass and of those that it extends, on one line."""
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if not dataclasses.is_dataclass(base):
            continue
        (definition,) = ast.parse(textwrap.dedent(inspect.getsource(base))).body
        assert isinstance(definition, ast.ClassDef)
        for one, after in zip(definition.body, definition.body[1:], strict=False):
            if isinstance(one, ast.AnnAssign) and isinstance(one.target, ast.Name) and isinstance(after, ast.Expr):
                text = ast.literal_eval(after.value) if isinstance(after.value, ast.Constant) else ""
                docs[one.target.id] = " ".join(str(text).split())
    return docs
