"""What each of three streams or more adds to the others: `linear_late` over all of them, and without that one."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from dualstream.heads.evaluation.statistics import PairedDifference, holm
from dualstream.heads.variants.options import Task
from dualstream.heads.variants.streams import joined
from dualstream.pipeline.experiments.comparison import StreamGain

WHOLE = "linear_late"
FEWEST = 3  # streams; of two, what is left without one is a single stream, which has a row of its own


def variants_without(streams: Sequence[str]) -> dict[str, str]:
    """Return by stream the variant that joins all others; empty where there are too few."""
    if len(streams) < FEWEST:
        return {}
    return {one: joined(WHOLE, [other for other in streams if other != one]) for one in streams}


def stream_gains(
    streams: Sequence[str],
    tasks: Sequence[Task],
    compared: Callable[[str, str, Task], PairedDifference | None],
) -> list[StreamGain]:
    """Return the gain of each stream and task, corrected over the streams of a task.

    Parameters
    ----------
    compared
        Compares two variants on a task; None where one of them has no scores.
    """
    gains = []
    for task in tasks:
        found = [
            (stream, without, difference)
            for stream, without in variants_without(streams).items()
            if (difference := compared(WHOLE, without, task)) is not None
        ]
        corrected = holm([one.p_value for _, _, one in found])
        gains += [
            StreamGain(stream, task, WHOLE, without, one.difference, one.interval, one.p_value, one.groups, p_holm)
            for (stream, without, one), p_holm in zip(found, corrected, strict=True)
        ]
    return gains
