"""A cache as the CMU SDK's computational sequences: NAME.csd has a row per present window, with its interval.

NAME-UTT.csd has a row per utterance, over all of it, and labels.csd the labels' codes (−1: unlabelled).
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.pipeline.cache.exchange.content import Columns, cache_of, read_tables, stream_of, write_tables
from dualstream.pipeline.cache.model import Cache, Stream
from dualstream.pipeline.cache.rules import VOCABULARIES
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.csd import Sequence, csd_bytes, read_csd
from dualstream.pipeline.storage.documents import write_bytes
from numpy.typing import NDArray

LABELS = "labels.csd"


def write(cache: Cache, more: Columns, folder: Path) -> None:
    """Write the sequences of every stream, and of the labels."""
    write_tables(folder, cache, more, "csd")
    length_s = window_length_s(cache)
    spans = _spans(cache, length_s)
    for name, stream in sorted(cache.streams.items()):
        names = stream.spec.get("column_names") or []
        facts = {
            "dimension names": list(names),
            "computational sequence description": str(stream.spec.get("name")),
        }
        write_bytes(
            folder / f"{name}-UTT.csd",
            csd_bytes(f"{name}-UTT", _whole(cache.utterances.id, stream.utterance, stream.present, spans), facts),
        )
        if stream.windows is not None:
            write_bytes(folder / f"{name}.csd", csd_bytes(name, _windows(cache, stream, length_s), facts))
    codes = np.stack([getattr(cache.utterances, name) for name in VOCABULARIES], axis=1)
    everyone = np.ones(len(codes), dtype=np.bool_)
    classes: dict[str, Any] = {
        "dimension names": list(VOCABULARIES),
        "classes": {name: cache.vocabulary[name] for name in VOCABULARIES},
    }
    labels = _whole(cache.utterances.id, codes.astype(np.float32), everyone, spans)
    write_bytes(folder / LABELS, csd_bytes("labels", labels, classes))


def read(folder: Path) -> Cache:
    """Read what `write` wrote: each row goes to the window whose interval it has."""
    header, utterances, windows = read_tables(folder)
    start_s = np.array(windows["start_s"], dtype=np.float64)
    counts = np.array(utterances["windows"], dtype=np.int64)
    offsets = np.concatenate(([0], np.cumsum(counts)))
    streams: dict[str, Stream] = {}
    for name, facts in header["streams"].items():
        width = int(facts["width"])
        present = np.array(utterances[f"has_{name}"], dtype=np.bool_)
        whole = read_csd(folder / f"{name}-UTT.csd") if present.any() else {}
        rows = np.zeros((len(counts), width), dtype=np.float32)
        flat, time_s = None, None
        if facts["has_windows"]:
            flat = np.zeros((len(start_s), width), dtype=np.float32)
            time_s = np.array(windows[f"{name}_time_s"], dtype=np.float64)
        own = read_csd(folder / f"{name}.csd") if time_s is not None and np.isfinite(time_s).any() else {}
        for at, utterance_id in enumerate(utterances["id"]):
            if present[at]:
                rows[at] = _of(whole, utterance_id, folder / f"{name}-UTT.csd", width)[0][0]
            inside = slice(offsets[at], offsets[at + 1])
            if flat is not None and time_s is not None and np.isfinite(time_s[inside]).any():
                features, intervals = _of(own, utterance_id, folder / f"{name}.csd", width)
                place = offsets[at] + np.searchsorted(start_s[inside], intervals[:, 0])
                if (start_s[np.minimum(place, offsets[at + 1] - 1)] != intervals[:, 0]).any():
                    raise CorruptError(f"{folder}: an interval of {name}, {utterance_id}, is of no window")
                flat[place] = features
        streams[name] = stream_of(header, name, rows, present, flat, time_s)
    return cache_of(header, utterances, windows["start_s"], streams, str(folder))


def window_length_s(cache: Cache) -> float:
    """Return how long the cache's windows are, as its recipe says."""
    recipe = cache.provenance.get("recipe")
    return float(recipe["windows"]["length_s"]) if recipe and "windows" in recipe else 1.0


def _spans(cache: Cache, length_s: float) -> NDArray[np.float64]:
    """Return start and end of each utterance, to the end of its windows where its duration is unknown."""
    last_s = cache.start_s[cache.offsets[1:] - 1] + length_s
    duration_s = cache.utterances.duration_s
    end_s = np.where(np.isfinite(duration_s) & (duration_s > 0), duration_s, last_s)
    return np.stack([np.zeros_like(end_s), end_s], axis=1)


def _whole(
    ids: list[str], rows: NDArray[np.float32], present: NDArray[np.bool_], spans: NDArray[np.float64]
) -> Iterator[tuple[str, Sequence]]:
    for at in np.flatnonzero(present):
        yield ids[at], (rows[at][None], spans[at][None])


def _windows(cache: Cache, stream: Stream, length_s: float) -> Iterator[tuple[str, Sequence]]:
    assert stream.windows is not None and stream.window_present is not None
    for at, utterance_id in enumerate(cache.utterances.id):
        inside = np.arange(cache.offsets[at], cache.offsets[at + 1])
        there = inside[stream.window_present[inside]]
        if len(there):
            start_s = cache.start_s[there]
            yield utterance_id, (stream.windows[there], np.stack([start_s, start_s + length_s], axis=1))


def _of(sequences: dict[str, Sequence], key: str, path: Path, width: int) -> Sequence:
    found = sequences.get(key)
    if found is None or found[0].shape[1] != width:
        raise CorruptError(f"{path} has no rows of {width} columns for {key}")
    return found
