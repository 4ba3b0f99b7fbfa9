"""What finding faces is made of: parts with a name, some of which are built from a file of weights."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, TypeVar

from dualstream.discovery import Registry

T = TypeVar("T")


@dataclass(frozen=True)
class Entry(Generic[T]):
    """A registered part: what is known of it before it is built."""

    name: str
    build: Callable[[Path | None], T]
    weights: bool
    """Whether it needs a file of weights; if not, it takes none."""

    @property
    def summary(self) -> str:
        """First line of the builder's docstring."""
        return (self.build.__doc__ or "").strip().partition("\n")[0]


@dataclass(repr=False, kw_only=True)
class PartRegistry(Registry[Entry[T]]):
    """Parts of one kind, and the option that names their weights."""

    option: str
    """Such as ``--face-weights``, for messages."""
    without: str
    """What is told of a part that takes no file of weights: that it ``has no weights to choose``."""

    def register(
        self, name: str, *, weights: bool
    ) -> Callable[[Callable[[Path | None], T]], Callable[[Path | None], T]]:
        """Put a builder, which takes the file of weights, into the registry under `name`."""

        def add(builder: Callable[[Path | None], T]) -> Callable[[Path | None], T]:
            self.add(name, Entry(name, builder, weights), builder.__module__)
            return builder

        return add

    def require(self, name: str, weights: Path | None) -> Entry[T]:
        """Return the part of that name, which is not built yet.

        Raises
        ------
        ValueError
            Where there is none, it needs weights that are not named, or takes none.
        FileNotFoundError
            Where there is no such file of weights.
        """
        entry = self.get(name)
        if entry.weights and weights is None:
            raise ValueError(
                f"{self.noun} {name} needs a file of weights, which docs/faces.md names: {self.option} FILE"
            )
        if not entry.weights and weights is not None:
            raise ValueError(f"{self.noun} {name} {self.without}; found {self.option} {weights}")
        if weights is not None and not weights.is_file():
            raise FileNotFoundError(f"weights of the {self.noun} {name}: {weights} does not exist")
        return entry

    def build(self, name: str, weights: Path | None) -> T:
        """Build the part of that name.

        Raises
        ------
        ValueError
            As `require`, or where its package is not installed or the weights are not its own.
        FileNotFoundError
            As `require`.
        """
        return self.require(name, weights).build(weights)
