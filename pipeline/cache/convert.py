"""A cache as a data frame, tensors, a Parquet file, and the table that a notebook shows."""

from __future__ import annotations

import importlib
import io
from collections import Counter
from collections.abc import Mapping, Sequence
from html import escape
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.storage.documents import write_bytes
from numpy.typing import NDArray

Columns = dict[str, NDArray[Any]]
UTTERANCE = ("id", "split", "dialogue", "turn", "speaker", "emotion", "sentiment")
CLIP = ("duration_s", "status", "reason", "sha256")


class CacheLike(Protocol):
    """What of `model.Cache` is read here, which offers these functions as methods."""

    @property
    def utterances(self) -> Any:
        """As `model.Cache` has them."""
        ...

    @property
    def offsets(self) -> NDArray[np.int64]:
        """Where each utterance's windows begin, shape (N + 1,)."""
        ...

    @property
    def start_s(self) -> NDArray[np.float64]:
        """Where each window begins in its clip, seconds, shape (W,)."""
        ...

    @property
    def streams(self) -> Mapping[str, Any]:
        """The streams by name."""
        ...

    @property
    def vocabulary(self) -> Mapping[str, list[str]]:
        """The class names of each task."""
        ...

    @property
    def provenance(self) -> Mapping[str, Any]:
        """How the cache was made."""
        ...


def utterance_columns(cache: CacheLike) -> Columns:
    """Return one value per utterance under each name."""
    table = _facts(cache, (*UTTERANCE, *CLIP))
    table["windows"] = np.diff(cache.offsets)
    for name, stream in cache.streams.items():
        table[f"has_{name}"] = stream.present
        table |= _features(name, stream, stream.utterance, stream.present)
    return table


def window_columns(cache: CacheLike) -> Columns:
    """Return one value per window under each name; streams without windows are left out."""
    counts = np.diff(cache.offsets)
    table = {name: np.repeat(column, counts) for name, column in _facts(cache, UTTERANCE).items()}
    table["window"] = np.arange(len(cache.start_s)) - np.repeat(cache.offsets[:-1], counts)
    table["start_s"] = cache.start_s
    for name, stream in cache.streams.items():
        if stream.windows is None:
            continue
        table[f"has_{name}"] = stream.window_present
        table[f"time_s:{name}"] = stream.time_s
        table |= _features(name, stream, stream.windows, stream.window_present)
    return table


def data_frame(columns: Mapping[str, Any]) -> Any:
    """Return columns as a pandas data frame; raise UsageError where there is no pandas."""
    return require_package("pandas", "to_pandas", "pip install pandas").DataFrame(dict(columns))


def write_parquet(columns: Columns, path: Path) -> Path:
    """Write columns as a Parquet file; raise UsageError where there is no pyarrow."""
    hint = "pip install pyarrow"
    arrow, parquet = (require_package(name, "to_parquet", hint) for name in ("pyarrow", "pyarrow.parquet"))
    table = arrow.table({name: arrow.array(column) for name, column in columns.items()})
    out = io.BytesIO()
    parquet.write_table(table, out)
    write_bytes(path, out.getvalue())
    return path


def tensors(cache: CacheLike) -> dict[str, Any]:
    """Return copies of all arrays as tensors, by name."""
    torch = require_package("torch", "to_torch", "pip install torch")
    rows = cache.utterances
    arrays: Columns = {
        "emotion": rows.emotion.astype(np.int64),
        "sentiment": rows.sentiment.astype(np.int64),
        "turn": rows.turn.astype(np.int64),
        "duration_s": rows.duration_s,
        "offsets": cache.offsets,
        "start_s": cache.start_s,
    }
    splits = np.array(rows.split)
    arrays |= {f"in_{split}": splits == split for split in dict.fromkeys(rows.split)}
    for name, stream in cache.streams.items():
        arrays |= {name: stream.utterance, f"{name}_present": stream.present}
        if stream.windows is not None:
            arrays[f"{name}_windows"] = stream.windows
            arrays[f"{name}_window_present"] = stream.window_present
            arrays[f"{name}_time_s"] = stream.time_s
    return {name: torch.from_numpy(np.array(array)) for name, array in arrays.items()}


def html_of(cache: CacheLike) -> str:
    """Return two small tables: the streams, and how the labels fall in each split."""
    rows = cache.utterances
    streams = [
        (
            name,
            stream.spec.get("name", ""),
            f"{stream.utterance.shape}",
            "none" if stream.windows is None else f"{stream.windows.shape}",
            f"{int(stream.present.sum())} of {len(rows)}",
        )
        for name, stream in cache.streams.items()
    ]
    splits = list(dict.fromkeys(rows.split))
    labels = []
    for task, names in cache.vocabulary.items():
        codes = getattr(rows, task)
        counts = Counter(zip(rows.split, codes.tolist(), strict=True))
        for code, label in [*enumerate(names), (-1, "unlabelled")]:
            cells = [counts[split, code] for split in splits]
            if code >= 0 or any(cells):
                labels.append((task, label, *map(str, cells)))
    failed = sum(status == "failed" for status in rows.status)
    fingerprint = str(cache.provenance.get("fingerprint", ""))[:16]
    head = f"Cache: {len(rows)} utterances, {int(cache.offsets[-1])} windows, {failed} failed, {fingerprint}…"
    return (
        f"<p><b>{escape(head)}</b></p>"
        + _table(("stream", "encoder", "utterances", "windows", "present"), streams)
        + _table(("task", "class", *splits), labels)
    )


def _facts(cache: CacheLike, names: tuple[str, ...]) -> Columns:
    rows = cache.utterances
    table: Columns = {}
    for name in names:
        column = getattr(rows, name)
        if name in cache.vocabulary:
            classes = np.array([*cache.vocabulary[name], None], dtype=object)
            column = classes[column]  # -1, unlabelled, takes the last entry
        elif isinstance(column, list):
            column = np.array(column, dtype=object)
        table[name] = column
    return table


def _features(name: str, stream: Any, rows: NDArray[np.float32], present: NDArray[np.bool_]) -> Columns:
    rows = np.where(present[:, None], rows, np.float32(np.nan))
    names = stream.spec.get("column_names") or range(rows.shape[1])
    return {f"{name}:{column}": rows[:, at] for at, column in enumerate(names)}


def _table(head: tuple[str, ...], rows: Sequence[tuple[str, ...]]) -> str:
    def line(cells: tuple[str, ...], tag: str) -> str:
        return "<tr>" + "".join(f"<{tag}>{escape(str(cell))}</{tag}>" for cell in cells) + "</tr>"

    body = "".join(line(row, "td") for row in rows)
    return f"<table><thead>{line(head, 'th')}</thead><tbody>{body}</tbody></table>"


def require_package(module: str, who: str, hint: str) -> Any:
    """Import a module; raise UsageError, with what to type, where its package is not installed."""
    try:
        return importlib.import_module(module)
    except ImportError as error:
        raise UsageError(f"{who} needs the package {module.partition('.')[0]}: {hint}") from error
