"""Computational sequences (.csd) as tables: a row per interval, which stands for all of it.

A key is an utterance's id, or ``VIDEO[3]``, a segment of a video, which is the manifest's ``VIDEO_3``. Keys that
are whole videos are cut first: `cut_to_utterances`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import BinaryIO

import numpy as np
from dualstream.features.encoders.table_columns import Columns
from dualstream.features.encoders.table_files import register_reader
from dualstream.features.encoders.table_reading import Rows, TableError, TableReading
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.storage.csd import Sequence, read_csd

_SEGMENT = re.compile(r"(.+)\[(\d+)\]$")


def register() -> None:
    """Have ``table:FILE.csd`` read."""
    register_reader(".csd", _rows)


def id_of(key: str) -> str:
    """Return the utterance that a key is of."""
    found = _SEGMENT.match(key)
    return f"{found[1]}_{found[2]}" if found else key


def cut_to_utterances(sequences: Mapping[str, Sequence], utterances: Iterator[Utterance]) -> dict[str, Sequence]:
    """Return the rows of each utterance on its own clock, by id; those that have none are left out.

    A sequence of its id is taken as it is. Of one that is called as its file is (a whole video), the intervals
    that overlap its span are cut to it.
    """
    by_id = {id_of(key): one for key, one in sequences.items()}
    found: dict[str, Sequence] = {}
    for row in utterances:
        if row.id in by_id:
            found[row.id] = by_id[row.id]
            continue
        whole = sequences.get(Path(row.path).stem) or sequences.get(row.dialogue)
        if whole is None:
            continue
        features, intervals = whole
        if row.start_s is None or row.end_s is None:
            found[row.id] = whole
            continue
        there = np.flatnonzero((intervals[:, 1] > row.start_s) & (intervals[:, 0] < row.end_s))
        if len(there):
            own = np.clip(intervals[there], row.start_s, row.end_s) - row.start_s
            found[row.id] = (features[there], own)
    return found


def _rows(file: BinaryIO, path: Path, how: TableReading) -> Rows:
    """Read a sequence; rows that hold no finite number, as COVAREP's of silence, count as failed."""
    try:
        sequences = read_csd(path)
    except CorruptError as error:
        raise TableError(str(error)) from error
    widths = {features.shape[1] for features, _ in sequences.values()}
    if len(widths) > 1:
        raise TableError(
            f"table {path.name}: its sequences have {sorted(widths)} columns; expected as many in each"
        )
    width = widths.pop()
    ids = [id_of(key) for key, (features, _) in sequences.items() for _ in range(len(features))]
    blocks = [np.concatenate([features, intervals], axis=1) for features, intervals in sequences.values()]
    values = np.concatenate(blocks).astype(np.float64)
    names = (*(f"f{at}" for at in range(width)), "start_s", "end_s")
    columns = Columns(None, (), names, (), None, pooled=True)
    failed = np.asarray(~np.isfinite(values[:, :width]).all(axis=1), dtype=np.bool_)
    return Rows.of(ids, columns, values, list(range(len(ids))), failed)
