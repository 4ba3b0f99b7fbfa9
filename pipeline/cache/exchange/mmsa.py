"""A cache as MMSA's pickle: train, valid and test, each with arrays (N, T, D) and lists by name.

MMSA (Yu et al., https://github.com/thuiar/MMSA) calls video ``vision``; windows are its frames. What it does
not know stands beside, under names of its own: masks, instants, utterance rows, and under ``dualstream`` the rest.
Arrays are as long as the longest utterance, so that one of minutes makes the file large.
"""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.pipeline.cache.exchange.content import (
    Columns,
    cache_of,
    header_of,
    json_of,
    stream_of,
    utterance_table,
)
from dualstream.pipeline.cache.model import Cache, Stream
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.documents import write_bytes
from dualstream.pipeline.storage.plain_pickle import as_pickle, read_pickle
from numpy.typing import NDArray

MODES = {"train": "train", "dev": "valid", "test": "test"}
NAMES = {"video": "vision"}
POLARITY = {"negative": -1.0, "neutral": 0.0, "positive": 1.0}
HEADER = "dualstream"

Ints = NDArray[np.int64]


def write(cache: Cache, more: Columns, path: Path) -> None:
    """Write the pickle."""
    table = utterance_table(cache, more)
    splits = np.array(cache.utterances.split)
    whole: dict[str, Any] = {
        mode: _mode(cache, table, np.flatnonzero(splits == split)) for split, mode in MODES.items()
    }
    whole[HEADER] = json.dumps({**header_of(cache, "mmsa"), "ids": cache.utterances.id})
    write_bytes(path, as_pickle(whole))


def header_in(data: Any, where: str) -> dict[str, Any] | None:
    """Return what `write` keeps beside the arrays; None in a pickle of others."""
    text = data.get(HEADER) if isinstance(data, dict) else None
    return json_of(text, where) if isinstance(text, str) else None


def read(path: Path) -> Cache:
    """Read what `write` wrote."""
    return cache_in(read_pickle(path), str(path))


def cache_in(data: Any, where: str) -> Cache:
    """Return the cache that a pickle of ours holds.

    Raises
    ------
    CorruptError
        Where it is none of ours, or was changed in ways that make no cache.
    """
    header = header_in(data, where)
    if header is None:
        raise CorruptError(f"{where} was not written by `convert`: it has no {HEADER!r}")
    try:
        modes = {split: data[mode] for split, mode in MODES.items()}
        place = {one: (split, at) for split, rows in modes.items() for at, one in enumerate(rows["id"])}
        order = [place[one] for one in header["ids"]]
        keys = [key for key in modes["train"] if isinstance(modes["train"][key], list)]
        table: Columns = {key: [modes[split][key][at] for split, at in order] for key in keys}
        table["windows"] = [int(modes[split]["windows"][at]) for split, at in order]
        counts = table["windows"]
        start_s = np.concatenate([modes[s]["start_s"][at][:n] for (s, at), n in zip(order, counts, strict=True)])
        streams = {name: _stream(header, name, modes, order, counts) for name in header["streams"]}
    except (KeyError, TypeError, ValueError, IndexError) as error:
        raise CorruptError(f"{where} does not hold the arrays that `convert` writes: {error!r}") from error
    return cache_of(header, table, start_s.tolist(), streams, where)


def _mode(cache: Cache, table: Columns, rows: Ints) -> dict[str, Any]:
    """Return one split: the utterances of `rows`."""
    counts = np.diff(cache.offsets)[rows]
    longest = int(counts.max(initial=1))
    places = cache.offsets[rows][:, None] + np.arange(longest)  # (N, T)
    there = np.arange(longest) < counts[:, None]
    places = np.where(there, places, 0)
    found: dict[str, Any] = {key: [values[row] for row in rows] for key, values in table.items()}
    found["start_s"] = np.where(there, cache.start_s[places], np.nan)
    codes = cache.utterances.sentiment[rows]
    names = [*cache.vocabulary["sentiment"], ""]
    found["raw_text"] = [""] * len(rows)
    found["annotations"] = [names[code] for code in codes.tolist()]
    found["classification_labels"] = codes.astype(np.float32)
    polarity = [POLARITY.get(names[code], np.nan) for code in codes.tolist()]
    found["regression_labels"] = np.array(polarity, dtype=np.float32)
    for name, stream in cache.streams.items():
        called = NAMES.get(name, name)
        found[f"{called}_utterance"] = stream.utterance[rows]
        found[f"{called}_present"] = stream.present[rows]
        if stream.windows is None or stream.time_s is None:
            found[called], found[f"{called}_lengths"] = stream.utterance[rows][:, None], [1] * len(rows)
            continue
        found[called] = np.where(there[:, :, None], stream.windows[places], np.float32(0))
        found[f"{called}_lengths"] = counts.tolist()
        found[f"{called}_time_s"] = np.where(there, stream.time_s[places], np.nan)
        found[f"{called}_mask"] = np.isfinite(found[f"{called}_time_s"])
    return found


def _stream(
    header: dict[str, Any], name: str, modes: dict[str, Any], order: list[tuple[str, int]], counts: list[int]
) -> Stream:
    called, facts = NAMES.get(name, name), header["streams"][name]
    width = int(facts["width"])
    utterance = np.stack([modes[split][f"{called}_utterance"][at] for split, at in order])
    present = np.array([bool(modes[split][f"{called}_present"][at]) for split, at in order], dtype=np.bool_)
    windows, time_s = None, None
    if facts["has_windows"]:
        pairs = list(zip(order, counts, strict=True))
        windows = np.concatenate([modes[split][called][at][:count] for (split, at), count in pairs])
        time_s = np.concatenate([modes[split][f"{called}_time_s"][at][:count] for (split, at), count in pairs])
    if utterance.shape[1:] != (width,) or (windows is not None and windows.shape[1:] != (width,)):
        raise ValueError(f"{called} has other than {width} columns")
    rows = None if windows is None else windows.astype(np.float32)
    return stream_of(header, name, utterance.astype(np.float32), present, rows, time_s)
