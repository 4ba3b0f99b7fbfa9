"""A diagnosis without the search for mistakes in how the corpus was put together, which takes most of its time."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from dualstream.heads.diagnosis import gathering


@contextmanager
def without_signs() -> Iterator[None]:
    """Leave the signs out, as a decorator or in a block: for tests of what else a diagnosis finds."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(gathering, "signs", lambda *_, **__: None)
        yield
