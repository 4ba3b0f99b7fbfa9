"""Fits of parts that several variants have in common, done once while `sharing`: each stream's head is a part of
``linear:NAME``, of ``linear_late`` and of what ``linear_late`` is without another stream. So is the choice of a
stream's layers, which all solved variants that read it make alike.

A fit is found again by its inputs' bytes, so that it is the same whoever asks first.
"""

from __future__ import annotations

import hashlib
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, TypeVar

import numpy as np
from numpy.typing import NDArray

T = TypeVar("T")
MOST = 32  # fits that are kept: heads and out-of-fold answers, a megabyte each at MELD's size


@dataclass(repr=False)
class SharedFits:
    """The fits that were made, the latest last."""

    kept: OrderedDict[str, tuple[Any, float]] = field(default_factory=OrderedDict)
    """What was fitted, and the seconds that took."""
    reused_s: float = 0.0
    """Seconds that fits took which were then found again, each time that they were."""


_SHARED: ContextVar[SharedFits | None] = ContextVar("shared_fits", default=None)


@contextmanager
def sharing(fits: SharedFits | None = None) -> Iterator[SharedFits]:
    """Share fits with whatever is fitted meanwhile in this thread."""
    fits = fits or SharedFits()
    token = _SHARED.set(fits)
    try:
        yield fits
    finally:
        _SHARED.reset(token)


def reused_s() -> float:
    """Return how long what was found again had taken, in seconds; 0 where nothing is shared."""
    fits = _SHARED.get()
    return 0.0 if fits is None else fits.reused_s


def once(settings: object, arrays: Iterable[NDArray[Any] | None], make: Callable[[], T]) -> T:
    """Return what `make` gives, or gave of the same settings and arrays."""
    fits = _SHARED.get()
    if fits is None:
        return make()
    key = _digest(settings, arrays)
    if key in fits.kept:
        found, took_s = fits.kept[key]
        fits.kept.move_to_end(key)
        fits.reused_s += took_s
        answer: T = found
        return answer
    started = time.perf_counter()
    made = make()
    fits.kept[key] = made, time.perf_counter() - started
    if len(fits.kept) > MOST:
        fits.kept.popitem(last=False)
    return made


def _digest(settings: object, arrays: Iterable[NDArray[Any] | None]) -> str:
    sha = hashlib.sha256(repr(settings).encode())
    for array in arrays:
        sha.update(b"none" if array is None else f"{array.dtype} {array.shape}".encode())
        if array is not None:
            sha.update(np.ascontiguousarray(array).data)
    return sha.hexdigest()
