"""Progress on standard error, drawn on a terminal only: done, rate, time left, failures so far."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any


@dataclass
class Rate:
    """How fast clips go by, and what that says of the rest."""

    total: int
    """Clips to do in this run."""
    done: int = 0
    failed: int = 0
    frames: int = 0
    started_s: float = field(default_factory=time.monotonic)

    @property
    def elapsed_s(self) -> float:
        """Seconds since the start, above 0."""
        return max(time.monotonic() - self.started_s, 1e-9)

    @property
    def clips_per_s(self) -> float:
        return self.done / self.elapsed_s

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes at this rate; None before the first clip is done."""
        return (self.total - self.done) / self.clips_per_s if self.done else None


class Progress:
    """A bar on a terminal; nothing where standard error is none. Use as a context."""

    def __init__(self, total: int, *, what: str = "clips", shown: bool | None = None) -> None:
        self.rate = Rate(total)
        self._what = what
        self._shown = sys.stderr.isatty() if shown is None else shown
        self._bar: Any = None
        self._task: Any = None

    def __enter__(self) -> Progress:
        if self._shown:
            from rich.console import Console
            from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(
                TextColumn("{task.description}"),
                BarColumn(),
                MofNCompleteColumn(),
                TextColumn("{task.fields[rate]}"),
                TimeRemainingColumn(),
                TextColumn("{task.fields[failures]}"),
                console=Console(stderr=True),
                transient=False,
            )
            self._bar.start()
            self._task = self._bar.add_task(self._what, total=self.rate.total, rate="", failures="")
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._bar is not None:
            self._bar.stop()

    def advance(self, *, failed: bool, frames: int = 0) -> None:
        """Note one clip more."""
        self.rate.done += 1
        self.rate.failed += failed
        self.rate.frames += frames
        if self._bar is not None:
            rate = f"{self.rate.clips_per_s:.1f}/s"
            if frames:
                rate += f", {self.rate.frames / self.rate.elapsed_s:.0f} frames/s"
            failures = f"[red]{self.rate.failed} failed[/red]" if self.rate.failed else ""
            self._bar.update(self._task, completed=self.rate.done, rate=rate, failures=failures)


def spoken_duration(seconds: float) -> str:
    """Return seconds in words that fit their size: ``850 ms``, ``12 s``, ``3 min 20 s``, ``2 h 5 min``."""
    if seconds < 1:
        return f"{seconds * 1000:.0f} ms"
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"
