"""Registries that a test changes, and that are afterwards as they were."""

from __future__ import annotations

from collections.abc import Collection, Iterator
from contextlib import contextmanager
from typing import TypeVar

from dualstream.heads.variants import registry
from dualstream.heads.variants.contract import Variant

from dualstream.discovery import Registry

T = TypeVar("T")


@contextmanager
def scratch(found: Registry[T], only: Collection[str] | None = None) -> Iterator[Registry[T]]:
    """Give a registry to add to, cut down to the names in `only` where they are given; set it back afterwards."""
    found.names()
    before = found._entries
    found._entries = {name: entry for name, entry in before.items() if only is None or name in only}
    try:
        yield found
    finally:
        found._entries = before


@contextmanager
def variants(*added: Variant, only: Collection[str] | None = None) -> Iterator[Registry[Variant]]:
    """Register variants for a while, beside all others or those in `only`."""
    with scratch(registry.VARIANTS, only) as found:
        for variant in added:
            registry.register(variant, __name__)
        yield found
