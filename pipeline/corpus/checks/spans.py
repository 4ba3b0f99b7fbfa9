"""Where an utterance was taken from: a span of an episode by the corpus's table, or of a file."""

from __future__ import annotations

from typing import NamedTuple

from dualstream.pipeline.corpus.utterance import Utterance


class Stretch(NamedTuple):
    """Where an utterance was taken from: a span of an episode by the corpus's table, or of a file."""

    recording: str
    start_s: float
    end_s: float


def table_span(utterance: Utterance) -> tuple[float, float] | None:
    """Return start and end by the corpus's own table, seconds, or None where it has none that can be used."""
    try:
        start_s, end_s = float(utterance.extra["table_start_s"]), float(utterance.extra["table_end_s"])
    except (KeyError, ValueError):
        return None
    return (start_s, end_s) if 0 <= start_s <= end_s < float("inf") else None


def stretch(utterance: Utterance) -> Stretch:
    """Return where an utterance was taken from; a ready-cut clip without a table is a whole recording."""
    span = table_span(utterance)
    if span is not None and utterance.extra.get("episode"):
        return Stretch(utterance.extra["episode"], *span)
    return stretch_of_file(utterance.path, utterance)


def stretch_of_file(path: str, utterance: Utterance) -> Stretch:
    """Return the stretch of one of its files that an utterance is of."""
    if utterance.start_s is not None and utterance.end_s is not None:
        return Stretch(path, utterance.start_s, utterance.end_s)
    return Stretch(path, 0.0, float("inf"))


def overlap(a: Stretch, b: Stretch) -> float:
    """Return which share of the shorter stretch both hold, 0 to 1; `a` does not start after `b`."""
    if a == b:
        return 1.0
    shorter_s = min(a.end_s - a.start_s, b.end_s - b.start_s)
    return max(0.0, min(a.end_s, b.end_s) - b.start_s) / shorter_s if shorter_s > 0 else 0.0
