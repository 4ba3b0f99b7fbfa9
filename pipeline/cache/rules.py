"""The rules that a cache's arrays keep beyond names, types and ranks; rows are looked at a block at a time."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import fields
from itertools import pairwise

import numpy as np
from dualstream.features.faces.rows import FaceRows
from dualstream.pipeline.cache.model import UNLABELLED, Cache, Stream, Utterances
from dualstream.pipeline.storage.rows import blocks, rows_in_block
from numpy.typing import NDArray

from dualstream.packed_texts import repeated

STATUSES = ("ok", "failed")
VOCABULARIES = ("emotion", "sentiment")
UTTERANCE_ID = r"[A-Za-z0-9._-]+"
SHA256 = r"(?:[0-9a-f]{64})?"
TEXTS_AT_ONCE = 4096


def check(cache: Cache) -> None:
    """Raise ValueError where a cache breaks a rule that its readers rely on."""
    utterances, count = cache.utterances, len(cache.utterances)
    if count == 0:
        raise ValueError("it holds no utterance")
    for name, column in vars(utterances).items():
        if len(column) != count:
            raise ValueError(f"utterances/{name} has {len(column)} rows; expected {count}")
    _check_texts(utterances)
    for name in VOCABULARIES:
        labels = cache.vocabulary[name]
        codes: NDArray[np.int16] = getattr(utterances, name)
        if len(set(labels)) != len(labels) or "" in labels:
            raise ValueError(f"vocabulary/{name} has a name twice, or an empty one")
        if codes.min() < UNLABELLED or codes.max() >= len(labels):
            raise ValueError(f"utterances/{name} has a code outside -1 to {len(labels) - 1}")
    duration_s = utterances.duration_s
    if np.isinf(duration_s).any() or (duration_s < 0).any():
        raise ValueError("utterances/duration_s has a negative or infinite value")
    _check_windows(cache.offsets, cache.start_s, count)
    if not cache.streams:
        raise ValueError("it holds no stream")
    for stream in cache.streams.values():
        _check_stream(stream, cache.offsets)


def of_windows(values: NDArray[np.bool_], offsets: NDArray[np.int64], span: slice) -> NDArray[np.bool_]:
    """Return a value of each utterance, shape (N,), for each window of a span, as `np.repeat` does for all."""
    first, last = np.searchsorted(offsets, (span.start, span.stop - 1), side="right") - 1
    ends: NDArray[np.int64] = np.clip(offsets[first : last + 2], span.start, span.stop)
    return np.repeat(values[first : last + 1], ends[1:] - ends[:-1])


def _check_texts(utterances: Utterances) -> None:
    if repeated(utterances.id):
        raise ValueError("utterances/id has an id twice")
    _match_all("utterances/id", utterances.id, UTTERANCE_ID, "letters, digits, dot, dash, underscore")
    _match_all("utterances/sha256", utterances.sha256, SHA256, "a SHA-256 in hex, or nothing")
    if unknown := set(utterances.status) - set(STATUSES):
        raise ValueError(f"utterances/status has {sorted(unknown)}; expected {' or '.join(STATUSES)}")


def _match_all(name: str, texts: Iterable[str], pattern: str, expected: str) -> None:
    """Match many texts at once, which is fast, and one by one where that fails, to name the one."""
    part: list[str] = []
    for text in texts:
        part.append(text)
        if len(part) == TEXTS_AT_ONCE:
            _match_part(name, part, pattern, expected)
            part = []
    _match_part(name, part, pattern, expected)


def _match_part(name: str, texts: list[str], pattern: str, expected: str) -> None:
    if re.fullmatch(f"(?:{pattern}\n)*", "\n".join([*texts, ""])) is not None and "\n" not in "".join(texts):
        return
    odd = next((text for text in texts if not re.fullmatch(pattern, text)), "a line break")
    raise ValueError(f"{name} has {odd!r}; expected {expected}")


def _check_windows(offsets: NDArray[np.int64], start_s: NDArray[np.float64], count: int) -> None:
    if offsets.shape != (count + 1,) or offsets[0] != 0 or (np.diff(offsets) < 1).any():
        raise ValueError(f"windows/offsets must be {count + 1} numbers that rise from 0 by at least 1")
    if start_s.shape != (offsets[-1],):
        raise ValueError(f"windows/start_s has shape {start_s.shape}; expected ({offsets[-1]},)")
    before = -np.inf
    for span, starts in blocks(start_s):
        if not np.isfinite(starts).all() or (starts < 0).any():
            raise ValueError("windows/start_s has a negative or non-finite value")
        rises = np.diff(starts, prepend=before) > 0
        firsts = offsets[slice(*np.searchsorted(offsets, (span.start, span.stop)))]
        rises[firsts - span.start] = True  # from one utterance to the next it may fall
        if not rises.all():
            raise ValueError("windows/start_s does not rise inside an utterance")
        before = starts[-1]


def _check_stream(stream: Stream, offsets: NDArray[np.int64]) -> None:
    name, count = stream.name, len(offsets) - 1
    if stream.utterance.ndim != 2 or len(stream.utterance) != count or stream.present.shape != (count,):
        raise ValueError(
            f"stream {name} has {stream.utterance.shape} and {stream.present.shape}; expected {count} rows"
        )
    if stream.utterance.shape[1] < 1:
        raise ValueError(f"stream {name} has no columns")
    if any(rows[~stream.present[span]].any() for span, rows in blocks(stream.utterance)):
        raise ValueError(f"stream {name}: the row of an absent utterance is not zeros")
    parts = (stream.windows, stream.window_present, stream.time_s)
    if stream.windows is None or stream.window_present is None or stream.time_s is None:
        if any(part is not None for part in parts):
            raise ValueError(f"stream {name} must have windows, window_present and time_s together, or none")
    else:
        windows, present, time_s = stream.windows, stream.window_present, stream.time_s
        rows, width = int(offsets[-1]), stream.utterance.shape[1]
        if windows.shape != (rows, width) or present.shape != (rows,) or time_s.shape != (rows,):
            raise ValueError(f"stream {name}: windows have shape {windows.shape}; expected ({rows}, {width})")
        for span, block in blocks(windows):
            _check_rows(stream, block, span, offsets)
    if stream.faces is not None:
        _check_faces(stream, stream.faces, int(offsets[-1]))
    if stream.projection is not None:
        mean, components = stream.projection.mean, stream.projection.components
        if components.shape != (stream.utterance.shape[1], len(mean)):
            raise ValueError(f"stream {name}: projection {components.shape} does not fit mean {mean.shape}")


def _check_rows(stream: Stream, rows: NDArray[np.float32], span: slice, offsets: NDArray[np.int64]) -> None:
    """Look at the windows of a span."""
    assert stream.window_present is not None and stream.time_s is not None
    name, present = stream.name, stream.window_present[span]
    if (np.isfinite(stream.time_s[span]) != present).any():
        raise ValueError(f"stream {name}: time_s must be finite where a window is present, NaN elsewhere")
    if rows[~present].any():
        raise ValueError(f"stream {name}: the row of an absent window is not zeros")
    if (present & ~of_windows(stream.present, offsets, span)).any():
        raise ValueError(f"stream {name}: a window is present in an utterance that is absent")


def _check_faces(stream: Stream, faces: FaceRows, count: int) -> None:
    columns = {one.name: getattr(faces, one.name) for one in fields(FaceRows)}
    for name, column in columns.items():
        if column.shape != (shape := (count, 4) if name == "box" else (count,)):
            raise ValueError(f"faces/{name} has shape {column.shape}; expected {shape}")
    step = rows_in_block(faces.box)
    for start, stop in pairwise([*range(0, count, step), count]):
        block = FaceRows(**{name: column[start:stop] for name, column in columns.items()})
        block.check(stop - start)
        if stream.window_present is None or (stream.window_present[start:stop] & (block.track < 0)).any():
            raise ValueError(f"stream {stream.name}: a window is present that shows no face")
