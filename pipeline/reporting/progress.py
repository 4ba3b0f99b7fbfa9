"""Progress on standard error: done, rate, time left, failures; a bar on a terminal, plain lines elsewhere."""

from __future__ import annotations

import sys
import time
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any

from dualstream.pipeline.reporting.heartbeat import Heartbeat, format_duration


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
        """Clips a second since the start."""
        return self.done / self.elapsed_s

    @property
    def left_s(self) -> float | None:
        """Seconds that the rest takes at this rate; None before the first clip is done."""
        return (self.total - self.done) / self.clips_per_s if self.done else None


class Progress:
    """A bar on a terminal, a plain line every 30 s where standard error is none. Use it as a context manager."""

    def __init__(self, total: int, *, what: str = "clips", shown: bool | None = None) -> None:
        self.rate = Rate(total)
        self._what = what
        self._shown = sys.stderr.isatty() and not Heartbeat.muted if shown is None else shown
        self._bar: Any = None
        self._task: Any = None
        self._heartbeat = Heartbeat(self.describe, silent=self._shown)

    def __enter__(self) -> Progress:
        self.rate.started_s = time.monotonic()
        self._heartbeat.__enter__()
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
        self._heartbeat.stop()
        if self._bar is not None:
            self._bar.stop()

    def expect(self, total: int) -> None:
        """Note that there are `total` to do."""
        if total != self.rate.total:
            self.rate.total = total
            if self._bar is not None:
                self._bar.update(self._task, total=total)

    def describe(self) -> str:
        """Return where the work is, as a line of text."""
        rate = self.rate
        parts = [f"{self._what}: {rate.done} of {rate.total} done"]
        if rate.done:
            parts.append(f"{rate.clips_per_s:.2g}/s" if rate.clips_per_s < 10 else f"{rate.clips_per_s:.0f}/s")
        if rate.left_s is not None:
            parts.append(f"{format_duration(rate.left_s)} left")
        if rate.failed:
            parts.append(f"{rate.failed} failed")
        return ", ".join(parts)

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
