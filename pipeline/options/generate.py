"""The command line of a dataclass: each field is an option, with its default, and its docstring as the help.

A field that is itself a dataclass, annotated with `OptionGroup`, gives its fields in a panel of their own.
"""

from __future__ import annotations

import ast
import dataclasses
import enum
import functools
import inspect
import sys
import types
from collections.abc import Callable, Mapping, Sequence
from dataclasses import MISSING, dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, TypeVar, Union, get_args, get_origin, get_type_hints

import typer
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.options import parse

from dualstream.validation import Bounds, choices_of

T = TypeVar("T")
ARGUMENTS = "Arguments"


class Preset(enum.IntEnum):
    """An option that names a file of other options' values; the larger one wins over the smaller."""

    LIKE = 1
    CONFIG = 2


@dataclass(frozen=True)
class Cli:
    """How a field appears on the command line, where its name and its type don't say it."""

    name: str = ""
    """The option without dashes; empty: the field's name."""
    short: str = ""
    """A letter that stands for it too."""
    positional: bool = False
    """An argument, not an option."""
    repeat: bool = False
    """May be given several times; a sequence without this is one text with commas."""
    count: bool = False
    """A number that says how often it is given."""
    negatable: bool = False
    """A flag that has its opposite too; always so where True is the default."""
    read: Callable[[Any], Any] | None = None
    """From the text, or the list of texts where it repeats, to the field's value."""
    show: Callable[[Any], Any] | None = None
    """From the field's default to what the command line shows; its type is the option's type."""
    write: Callable[[Any], Any] | None = None
    """From any value of the field to what `read` takes; None: `show`."""
    panel: str = ""
    """The title of its part of the help; empty: that of its group."""
    preset: Preset | None = None
    metavar: str = ""
    known: Callable[[], Sequence[str]] | None = None
    """Names that shells complete, where a registry has them and no ``Literal``."""


@dataclass(frozen=True)
class OptionGroup:
    """A field that holds a dataclass whose fields are options too."""

    panel: str
    """The title of their part of the help."""
    panels: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """The fields that are in another part."""
    without: tuple[str, ...] = ()
    """Fields that are not options here and keep their defaults."""
    cli: Mapping[str, Cli] = field(default_factory=dict)
    """How some of its fields appear."""
    groups: Mapping[str, OptionGroup] = field(default_factory=dict)
    """Its fields that are groups and aren't annotated so."""
    defaults: Mapping[str, Any] = field(default_factory=dict)
    """Other defaults than the field's own default has, or the dataclass where the field has none."""

    def panel_of(self, name: str) -> str:
        """Return the title of a field's part of the help."""
        return next((title for title, names in self.panels.items() if name in names), self.panel)


@dataclass(frozen=True, repr=False)
class Option:
    """One option: the way from the command line to a field, and what the help says of it."""

    path: tuple[str, ...]
    """The field's name, after those of the groups that it is in."""
    parameter: inspect.Parameter
    cli: Cli
    name: str
    """As it is typed; of an argument, its name in capitals."""
    metavar: str
    text: str
    """What the help says."""
    panel: str
    read: Callable[[Any], Any] | None
    bounds: Bounds | None

    @property
    def key(self) -> str:
        """The parameter's name."""
        return self.parameter.name

    @property
    def spelled(self) -> tuple[str, ...]:
        """The ways in which it is typed, such as ``--quiet`` and ``-q``; none of an argument."""
        return tuple(word for part in self.name.split(", ") for word in part.split("/") if word.startswith("-"))

    @property
    def required(self) -> bool:
        """Whether there is no default."""
        return self.parameter.default is inspect.Parameter.empty

    def write(self, value: Any) -> Any:
        """Return what the command line takes for a value of the field."""
        write = self.cli.write or self.cli.show
        if write is not None:
            return write(value)
        if isinstance(value, tuple | list):
            texts = [str(one) for one in value]
            return texts if self.cli.repeat else ",".join(texts)
        return value


def parameters_of(cls: type) -> list[inspect.Parameter]:
    """Return a parameter, annotated for Typer, for each option of a dataclass."""
    return [one.parameter for one in options_of(cls)]


def build(cls: type[T], values: Mapping[str, Any]) -> T:
    """Make the dataclass of what the command line gave, by parameter name.

    Raises
    ------
    UsageError
        Where a value can't be read, or the dataclass refuses it.
    """
    tree: dict[str, Any] = {}
    for one in options_of(cls):
        value = values[one.key]
        node = tree
        for name in one.path[:-1]:
            node = node.setdefault(name, {})
        if value is not None:  # not given: the dataclass's default stands
            node[one.path[-1]] = value if one.read is None else one.read(value)
    try:
        return _make(cls, tree, OptionGroup(""), MISSING)
    except ValueError as error:
        raise UsageError(_in_options(str(error), cls)) from error


def options_of(cls: type) -> tuple[Option, ...]:
    """Return the options of a dataclass, in the order of its fields."""
    return _options_of(cls)


@functools.cache
def _options_of(cls: Any) -> tuple[Option, ...]:
    return tuple(_walk(cls, (), OptionGroup(""), {}))


def _in_options(message: str, cls: type) -> str:
    """Return what a dataclass says against a value, with the option in the place of the field."""
    name, _, rest = message.partition(" ")
    found = next((one.name for one in options_of(cls) if one.path[-1] == name and rest.startswith("is ")), name)
    return f"{found.partition('/')[0]} {rest}"


def _make(cls: type[T], tree: Mapping[str, Any], group: OptionGroup, default: Any) -> T:
    fields, made = _fields(cls, group), {}
    for one in dataclasses.fields(cls):  # type: ignore[arg-type]
        name = one.name
        kind, inner, _ = fields[name]
        if inner is not None and name in tree:
            made[name] = _make(kind, tree[name], inner, _default(one, default))
        elif name in tree:
            made[name] = tree[name]
        elif name in group.defaults:
            made[name] = group.defaults[name]
    return cls(**made) if default is MISSING else dataclasses.replace(default, **made)


def _walk(cls: type, path: tuple[str, ...], group: OptionGroup, defaults: Mapping[str, Any]) -> list[Option]:
    texts = _helps(cls)
    found: list[Option] = []
    for one in dataclasses.fields(cls):
        if one.name in group.without or not one.init:
            continue
        kind, inner, cli = _fields(cls, group)[one.name]
        default = defaults.get(one.name, _default(one))
        if inner is not None:
            own = {} if default is MISSING else vars(default)
            found += _walk(kind, (*path, one.name), inner, {**own, **inner.defaults})
            continue
        panel = cli.panel or group.panel_of(one.name)
        found.append(_option((*path, one.name), kind, cli, default, texts.get(one.name, ""), panel))
    return found


def _option(path: tuple[str, ...], hint: Any, cli: Cli, default: Any, text: str, panel: str) -> Option:
    name = cli.name or path[-1].replace("_", "-")
    base, read, shown = _shape(hint, cli, default)
    choices = [str(one) for one in choices_of(hint)]
    if choices and not all(one in text for one in choices):
        text = f"{text} One of {'|'.join(choices)}.".strip()
    spelled, extra = [f"--{name}"], {"help": text, "rich_help_panel": panel or None, **_limits(hint, base)}
    if cli.positional:
        spelled = [path[-1].upper()]
        info: Any = typer.Argument(metavar=spelled[0], **extra)
    else:
        if base is bool and (shown is True or cli.negatable):
            spelled = [f"--{name}/--no-{name}"]
        spelled += [f"-{cli.short}"] if cli.short else []
        if choices or cli.known is not None:
            extra["autocompletion"] = cli.known or (lambda: choices)
        if cli.preset is not None:
            extra |= {"is_eager": True, "callback": _noting(cli.preset)}
        info = typer.Option(*spelled, count=cli.count, **extra)
    parameter = inspect.Parameter(
        path[-1],
        inspect.Parameter.KEYWORD_ONLY,
        default=inspect.Parameter.empty if shown is MISSING else shown,
        annotation=Annotated[base, info],
    )
    metavar = "NAME" if cli.known is not None else cli.metavar
    metavar = metavar or ("" if base is bool or cli.count or cli.positional else _metavar(base, choices))
    return Option(
        path, parameter, cli, ", ".join(spelled), metavar, text, panel or "Options", read, Bounds.of(hint)
    )


def _noting(kind: Preset) -> Callable[..., Any]:
    """Return the callback that takes the defaults of other options from a file (`HelpfulCommand.take`)."""

    def note(ctx: typer.Context, value: Path | None) -> Path | None:
        if value is not None and not ctx.resilient_parsing:
            ctx.command.take(ctx, kind, value)  # type: ignore[attr-defined]
        return value

    return note


def _limits(hint: Any, base: Any) -> dict[str, Any]:
    bounds = Bounds.of(hint)
    if bounds is None or base not in (int, float, int | None, float | None):
        return {}
    return {"min": bounds.lower, "max": bounds.upper}  # an open bound is for `validate` to refuse


def _metavar(base: Any, choices: list[str]) -> str:
    kinds = {get_origin(one) or one for one in (get_args(base) or (base,))}
    if list in kinds:
        kinds = {kind for one in (get_args(base) or ()) for kind in (get_args(one) or (one,))}
    if choices:
        return "NAME"
    return next((word for kind, word in _METAVARS.items() if kind in kinds), "TEXT")


_METAVARS = {Path: "PATH", int: "INTEGER", float: "NUMBER"}


def _shape(hint: Any, cli: Cli, default: Any) -> tuple[Any, Callable[[Any], Any] | None, Any]:
    """Return the option's type, how its value becomes the field's, and the default that is shown."""
    if cli.show is not None and default is not MISSING:
        shown = cli.show(default)
        return type(shown), cli.read, shown
    if cli.read is not None:
        return (list[str] if cli.repeat else str) | None, cli.read, default if default is MISSING else None
    core, optional = _core(hint)
    if get_origin(core) is tuple:
        item = get_args(core)[0]
        if cli.repeat:
            return list[item] | None if optional or not default else list[item], tuple, _listed(default)  # type: ignore[valid-type]
        return str, parse.names, default if default is MISSING else ",".join(map(str, default))
    return (core | None if optional else core), None, default


def _listed(default: Any) -> Any:
    return default if default is MISSING else (list(default) or None)


def _core(hint: Any) -> tuple[Any, bool]:
    """Return a hint without ``Annotated`` and ``| None``, and whether None is allowed; choices are text."""
    if get_origin(hint) is Annotated:
        return _core(get_args(hint)[0])
    if get_origin(hint) in (Union, types.UnionType):
        parts = [part for part in get_args(hint) if part is not type(None)]
        assert len(parts) == 1, f"{hint} is of several types; annotate the field with Cli(read=...)"
        return _core(parts[0])[0], True
    if get_origin(hint) is Literal:  # that it is one of them, the dataclass says
        return str, False
    known = hint in (bool, int, float, str, Path) or get_origin(hint) is tuple
    assert known, f"{hint} has no form on the command line; annotate the field with Cli(read=...)"
    return hint, False


def _default(one: dataclasses.Field[Any], within: Any = MISSING) -> Any:
    """Return a field's default; `within`: that of the dataclass that holds it."""
    if within is not MISSING:
        return getattr(within, one.name)
    return one.default_factory() if callable(one.default_factory) else one.default


def _fields(cls: type[Any], group: OptionGroup) -> dict[str, tuple[Any, OptionGroup | None, Cli]]:
    """Return the type, the group and the form of each field."""
    found = {}
    for name, hint in _hints(cls).items():  # type: ignore[arg-type]
        notes = getattr(hint, "__metadata__", ())
        inner = group.groups.get(name, next((one for one in notes if isinstance(one, OptionGroup)), None))
        cli = group.cli.get(name, next((one for one in notes if isinstance(one, Cli)), Cli()))
        plain = get_args(hint)[0] if inner is not None and notes else hint
        found[name] = (plain, inner, cli)
    return found


@functools.cache
def _hints(cls: Any) -> dict[str, Any]:
    return get_type_hints(cls, include_extras=True)


def field_docs(cls: type) -> dict[str, str]:
    """Return the docstring under each field of a dataclass and of those that it extends, on one line."""
    return {name: " ".join(text.split()) for name, text in _docs(cls).items()}


def _helps(cls: type) -> dict[str, str]:
    """Return the first paragraph of each field's docstring, on one line."""
    return {name: " ".join(inspect.cleandoc(text).split("\n\n")[0].split()) for name, text in _docs(cls).items()}


def _docs(cls: type) -> dict[str, str]:
    docs: dict[str, str] = {}
    for base in reversed(cls.__mro__):
        if dataclasses.is_dataclass(base):
            docs |= _docs_in(sys.modules[base.__module__].__file__ or "").get(base.__qualname__, {})
    return docs


@functools.cache
def _docs_in(file: str) -> dict[str, dict[str, str]]:
    """Return the docstrings under the fields of each class at the top of a file."""
    tree = ast.parse(Path(file).read_text(encoding="utf-8"))
    return {one.name: dict(_docs_of(one)) for one in tree.body if isinstance(one, ast.ClassDef)}


def _docs_of(definition: ast.ClassDef) -> list[tuple[str, str]]:
    pairs = zip(definition.body, definition.body[1:], strict=False)
    return [
        (one.target.id, str(after.value.value))
        for one, after in pairs
        if isinstance(one, ast.AnnAssign)
        and isinstance(one.target, ast.Name)
        and isinstance(after, ast.Expr)
        and isinstance(after.value, ast.Constant)
    ]
