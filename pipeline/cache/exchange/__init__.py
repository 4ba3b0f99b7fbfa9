"""A cache in the formats that others read, and back: equal arrays, masks and times.

    parquet, arrow   utterances and windows as two tables, a list per stream, null where it is missing
    csd              CMU SDK: features and intervals by utterance, a file per stream
    npy              MERBench's folders NAME-UTT/ID.npy and NAME-FRA/ID.npy
    mmsa             one pickle of arrays and text: train, valid and test

docs/own_features.md says how each is read elsewhere. What a format has no place for stands in ``config.json``
beside it.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from dualstream.pipeline.cache.exchange import arrays, columns, mmsa, sequences
from dualstream.pipeline.cache.exchange.content import EXCHANGE_FORMAT, Columns, is_ours
from dualstream.pipeline.cache.model import Cache

__all__ = ["EXCHANGE_FORMAT", "FORMATS", "Columns", "Format", "is_ours"]


@dataclass(frozen=True)
class Format:
    """How a cache is written in a format, and read of what was written."""

    write: Callable[[Cache, Columns, Path], None]
    """Cache, columns of predictions by utterance, and the folder (or of `is_file` the file) to write."""
    read: Callable[[Path], Cache]
    is_file: bool = False


FORMATS: dict[str, Format] = {
    "parquet": Format(columns.write_parquet, columns.read_parquet),
    "arrow": Format(columns.write_arrow, columns.read_arrow),
    "csd": Format(sequences.write, sequences.read),
    "npy": Format(arrays.write, arrays.read),
    "mmsa": Format(mmsa.write, mmsa.read, is_file=True),
}
