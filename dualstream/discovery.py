"""How dualstream finds what extends it: modules of its own packages, and entry points of installed packages.

Two kinds of extension point, for features, heads and pipeline alike:

    Registry       modules register themselves by a decorator when they are imported; one module may register
                   several things. Encoders, checks.
    NamedObjects   one module, one thing, called as its file is; imported when it is asked for. Importers.
                   A running program adds one by `add`.

Another package joins in through an entry point of the same group, in its pyproject.toml:

    [project.entry-points."dualstream.encoders"]
    pitch = "acme_pitch.encoder"

A module that starts with an underscore is never looked at. A module whose own third-party package is not
installed is left out, and named when somebody asks for a name that is not there. This module imports nothing
of dualstream, and nothing heavy.
"""

from __future__ import annotations

import ast
import difflib
import importlib
import importlib.metadata
import importlib.util
import inspect
import pkgutil
import sys
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint
from pathlib import Path
from types import ModuleType
from typing import Any, Generic, TypeVar

T = TypeVar("T")

OURS = __name__.partition(".")[0]
ENCODERS_GROUP = "dualstream.encoders"  # here, since --help lists its entry points and imports no encoder


class DiscoveryError(ValueError):
    """An installed package extends dualstream in a way that does not work; the message names the package."""


class UnknownNameError(ValueError):
    """Nothing of that name is registered; the message lists the names there are."""


@dataclass(frozen=True)
class SkippedModule:
    """A module that could not be imported, because a third-party package is missing."""

    where: str
    """Such as ``features.encoders.cnn``, or ``entry point pitch of acme-pitch 1.2``."""
    package: str
    """The top-level package that it lacks."""

    def __str__(self) -> str:
        return f"{self.where} needs {self.package}"


@dataclass(repr=False)
class Registry(Generic[T]):
    """Things by name, registered by the modules of a package and by entry points of a group.

    The modules are imported when the first name is asked for, once in a process.
    """

    noun: str
    """What it holds, in the singular, for messages: ``video encoder``."""
    package: str
    """Name of the package whose modules register."""
    group: str
    """Entry point group, such as ``dualstream.encoders``."""
    first: tuple[str, ...] = ()
    """Names that are listed before the others, in this order."""
    _entries: dict[str, tuple[T, str, ModuleType | None]] = field(default_factory=dict)
    """Each with the module that registered it, by name and as it was then."""

    def add(self, name: str, entry: T, module: str) -> None:
        """Register `entry`, which `module` defines, under `name`.

        Raises
        ------
        ValueError
            Where the name is taken.
        """
        there = sys.modules.get(module)
        if name in self._entries:
            _, other, by = self._entries[name]
            if sys.modules.get(other) is by:  # else its import failed half-way, and is now tried again
                raise ValueError(f"{self.noun} {name!r} is registered twice: by {other} and by {module}")
        self._entries[name] = entry, module, there

    def names(self) -> list[str]:
        """Return all names: those that stand first, then the others, sorted."""
        load(self.package, self.group)
        first = [name for name in self.first if name in self._entries]
        return [*first, *sorted(self._entries.keys() - first)]

    def entries(self) -> list[T]:
        """Return all entries in the order in which they were registered: by module name, ours first."""
        load(self.package, self.group)
        return [entry for entry, *_ in self._entries.values()]

    def find(self, name: str) -> T | None:
        """Return the entry of that name, or None."""
        load(self.package, self.group)
        return self._entries[name][0] if name in self._entries else None

    def get(self, name: str) -> T:
        """Return the entry of that name.

        Raises
        ------
        UnknownNameError
            Where there is none; it lists the names there are, and what was left out.
        """
        found = self.find(name)
        if found is None:
            near = self.near(name)
            raise UnknownNameError(f"no {self.noun} is called {name!r}{near}; there are: {self.listed()}")
        return found

    def module_of(self, name: str) -> str:
        """Return the name of the module that registered `name`, which is there."""
        self.get(name)
        return self._entries[name][1]

    def is_found_anew(self, name: str) -> bool:
        """Tell whether another process finds `name`, which is there: by a module of ours, or by an entry point.

        What a running program registers is its own.
        """
        module = self.module_of(name)
        tops = {point.value.partition(":")[0].partition(".")[0] for point in entry_points(self.group)}
        return module.startswith(f"{self.package}.") or module.partition(".")[0] in tops

    def near(self, name: str) -> str:
        """Return `` (did you mean vgg16?)`` where a name is written much like one that there is."""
        found = difflib.get_close_matches(name, self.names(), n=1)
        return f" (did you mean {found[0]}?)" if found else ""

    def listed(self, hint: str = "") -> str:
        """Return all names in a sentence's words, with what was left out for lack of a package."""
        return ", ".join(self.names()) + left_out_words(load(self.package, self.group), hint)


@dataclass(frozen=True)
class NamedObjects:
    """Things that are called as their module is, or as their entry point is; imported when asked for."""

    noun: str
    """What it holds, in the singular, for messages: ``importer``."""
    package: str
    """Name of the package whose modules they are."""
    group: str
    """Entry point group. An entry point names a module, or the thing itself as ``module:attribute``."""
    attribute: str
    """Name of the thing in its module: ``rows``."""
    _added: dict[str, Any] = field(default_factory=dict, repr=False)
    """Things that this process added, by name."""

    def add(self, name: str, thing: Any) -> None:
        """Add a thing under `name`, for as long as this process runs.

        Raises
        ------
        ValueError
            Where the name is taken.
        """
        if name in self.names():
            raise ValueError(f"{self.noun} {name!r} is registered twice: it is there already")
        self._added[name] = thing

    def names(self) -> list[str]:
        """Return all names, sorted; nothing is imported for it."""
        points = (one.name for one in entry_points(self.group))
        return sorted({*module_names(self.package), *points, *self._added})

    def get(self, name: str) -> Any:
        """Return the thing of that name.

        Raises
        ------
        UnknownNameError
            Where there is none; it lists the names there are.
        DiscoveryError
            Where two claim the name, a third-party package is missing, or an entry point can't be loaded.
        """
        if name in self._added:
            return self._added[name]
        modules = [name] if name in module_names(self.package) else []
        points = [point for point in entry_points(self.group) if point.name == name]
        if len(modules) + len(points) > 1:
            owners = [*(f"{self.package}.{one}" for one in modules), *map(_origin, points)]
            raise DiscoveryError(f"{self.noun} {name!r} is given twice: by {' and by '.join(owners)}")
        if modules:
            lacking = _import(f"{self.package}.{name}")
            if lacking is not None:
                raise DiscoveryError(f"{self.noun} {name!r}: {lacking}; install that package")
            return getattr(sys.modules[f"{self.package}.{name}"], self.attribute)
        if points:
            return self._of_entry_point(points[0])
        raise UnknownNameError(f"found no {self.noun} {name!r}; there are {', '.join(self.names())}")

    def summary(self, name: str) -> str:
        """Return the first line of the docstring of the module of that name, which is not imported for it.

        Of a thing that this process added it is the first line of its own docstring.

        Raises
        ------
        UnknownNameError
            Where there is none of that name.
        """
        if name in self._added:
            return (inspect.getdoc(self._added[name]) or "").partition("\n")[0]
        values = [point.value for point in entry_points(self.group) if point.name == name]
        modules = [f"{self.package}.{name}"] if name in module_names(self.package) else values
        if not modules:
            raise UnknownNameError(f"found no {self.noun} {name!r}; there are {', '.join(self.names())}")
        return _docstring(modules[0].partition(":")[0]).partition("\n")[0]

    def _of_entry_point(self, point: EntryPoint) -> Any:
        found = _load_entry_point(point)
        if isinstance(found, SkippedModule):
            raise DiscoveryError(f"{self.noun} {point.name!r}: {found}; install that package")
        if not isinstance(found, ModuleType):
            return found
        if not hasattr(found, self.attribute):
            raise DiscoveryError(f"{_origin(point)} names {point.value}, which has no {self.attribute}")
        return getattr(found, self.attribute)


def load(package: str, group: str) -> tuple[SkippedModule, ...]:
    """Import every module of a package and every entry point of a group, once; return what was left out.

    Raises
    ------
    DiscoveryError
        Where an entry point can't be loaded, for another reason than a missing third-party package.
    """
    if (package, group) not in _LOADED:
        left_out = [lacking for name in module_names(package) if (lacking := _import(f"{package}.{name}"))]
        left_out += [
            found for point in entry_points(group) if isinstance(found := _load_entry_point(point), SkippedModule)
        ]
        _LOADED[package, group] = tuple(left_out)
    return _LOADED[package, group]


def module_names(package: str) -> list[str]:
    """Return the names of a package's modules, sorted, without those that begin with an underscore."""
    found = importlib.import_module(package)
    return sorted(one.name for one in pkgutil.iter_modules(found.__path__) if not one.name.startswith("_"))


def entry_points(group: str) -> list[EntryPoint]:
    """Return the entry points of a group over all installed packages, by name; nothing is imported for it."""
    return sorted(importlib.metadata.entry_points(group=group), key=lambda point: (point.name, _origin(point)))


def origins(group: str) -> list[tuple[str, Path | None]]:
    """Return of each entry point of a group its words and the folder (or file) of its top-level package.

    Nothing is imported for it; None where the package is not to be found.
    """
    found = []
    for point in entry_points(group):
        spec = importlib.util.find_spec(point.value.partition(":")[0].partition(".")[0])
        place = Path(spec.origin) if spec is not None and spec.origin else None
        is_folder = place is not None and place.name == "__init__.py"
        found.append((f"{_origin(point)} = {point.value}", place.parent if place and is_folder else place))
    return found


def left_out_words(left_out: tuple[SkippedModule, ...], hint: str = "") -> str:
    """Return `` (left out: ...; hint)``, or nothing where nothing was left out."""
    if not left_out:
        return ""
    return f" (left out: {', '.join(map(str, left_out))}{f'; {hint}' if hint else ''})"


_LOADED: dict[tuple[str, str], tuple[SkippedModule, ...]] = {}


def _docstring(module: str) -> str:
    """Return a module's docstring from its source; empty where there is none or it can't be read."""
    try:
        spec = importlib.util.find_spec(module)
        source = Path(spec.origin).read_text("utf-8") if spec is not None and spec.origin else ""
        return ast.get_docstring(ast.parse(source)) or ""
    except (ImportError, OSError, SyntaxError, ValueError):
        return ""


def _import(module: str) -> SkippedModule | None:
    try:
        importlib.import_module(module)
    except ModuleNotFoundError as error:
        missing = _missing_package(error, OURS)
        if missing is None:
            raise
        return SkippedModule(module.removeprefix(f"{OURS}."), missing)
    return None


def _load_entry_point(point: EntryPoint) -> Any:
    """Return what an entry point names, or a LeftOut where it lacks a third-party package."""
    try:
        return point.load()
    except ModuleNotFoundError as error:
        missing = _missing_package(error, point.value.partition(":")[0].partition(".")[0], OURS)
        if missing is None:
            raise DiscoveryError(f"{_origin(point)} can't be loaded: {error}") from error
        return SkippedModule(_origin(point), missing)
    except Exception as error:
        raise DiscoveryError(
            f"{_origin(point)} can't be loaded: {type(error).__name__}: {error}; repair or uninstall it"
        ) from error


def _missing_package(error: ModuleNotFoundError, *own: str) -> str | None:
    """Return the top-level package that an import lacked; None where it is one of `own`, which is a bug."""
    package = (error.name or "").partition(".")[0]
    return None if package in ("", *own) else package


def _origin(point: EntryPoint) -> str:
    distribution = f" of {point.dist.name} {point.dist.version}" if point.dist else ""
    return f"entry point {point.name}{distribution}"
