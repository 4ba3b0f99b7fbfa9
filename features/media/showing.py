"""Which picture shows which tick: the nearest one does, and the last one whatever is behind it."""

from __future__ import annotations

from dualstream.features.media.decode import MICROSECOND, TIE_US, Job

MICRO = (1, MICROSECOND)
Base = tuple[int, int]  # a time base as numerator and denominator: this runs for each picture and piece of sound


class NotPlainError(Exception):
    """Something about a file is unusual; the message says what."""


def rescaled(time: int, base: Base, to: Base) -> int:
    """Return a time of one base in another, to the nearest whole number, halves away from 0 (``av_rescale_q``)."""
    above, below = base[0] * to[1], base[1] * to[0]
    whole = (2 * abs(time) * above + below) // (2 * below)
    return whole if time >= 0 else -whole


class Showing:
    """The wanted ticks that pictures show, which come in the order that they are shown in.

    Parameters
    ----------
    job : Job
        Which ticks are wanted, and how much of the file is read.
    offset_us : int
        From the file's clock to the clip's, microseconds.
    base : Base
        Of the pictures' times.
    """

    def __init__(self, job: Job, offset_us: int, base: Base) -> None:
        self.is_over = False
        self._job, self._base = job, base
        self._offset = rescaled(offset_us, MICRO, base)
        self._limit = rescaled(round(job.limit_s * MICROSECOND), MICRO, base)
        self._first: int | None = None
        self._before_us: int | None = None
        self._last_us: int | None = None
        self._from = 0

    def take(self, pts: int | None) -> int | None:
        """Take the next picture, by its time; return that in microseconds, None before a span and behind the end.

        Raises
        ------
        NotPlainError
            Where it has no time, or one before the file's start, or before the last picture's.
        """
        if pts is None:
            raise NotPlainError("a picture has no time")
        at = pts + self._offset
        if at < 0:
            if self._job.seek_us:
                return None
            raise NotPlainError("a picture comes before the start")
        self._first = at if self._first is None else self._first
        if at - self._first >= self._limit:
            self.is_over = True
            return None
        found = rescaled(at, self._base, MICRO)
        if self._last_us is not None and found <= self._last_us:
            raise NotPlainError("the pictures' times do not rise")
        self._before_us, self._last_us = self._last_us, found
        return found

    def before(self) -> list[int]:
        """Return the ticks that the picture before the last one taken shows."""
        if self._before_us is None or self._last_us is None:
            return []
        until = min(self._first_tick((self._before_us + self._last_us) // 2 + TIE_US), self._job.ticks.count)
        found = self._wanted(self._from, until)
        self._from = max(self._from, until)
        return found

    def rest(self) -> list[int]:
        """Return the tick that the last picture shows once more: whoever wants a later one finds it there."""
        return self._wanted(self._from, self._job.ticks.count)[:1]

    def _wanted(self, first: int, behind: int) -> list[int]:
        wanted = self._job.wanted_rows
        return [tick for tick in range(first, behind) if wanted is None or tick in wanted]

    def _first_tick(self, moved_us: int) -> int:
        """Return the first tick at or behind an instant, as `Ticks.chosen` does."""
        ticks = self._job.ticks
        return -((ticks.first_us - moved_us) * ticks.step.denominator // (MICROSECOND * ticks.step.numerator))
