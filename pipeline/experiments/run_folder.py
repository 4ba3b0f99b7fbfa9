"""A run folder: what was fitted, on what, how it scored. Nothing in it is a pickle.

    config.json           options, versions, the cache's digest and fingerprint, the vocabularies
    weights.safetensors   every model; its JSON values in the file's own metadata
    predictions_*.csv     one row per utterance and model, log-probabilities in full precision
    metrics.json          scores of the split that models were chosen on
    history.json          training curves, per model
    ranges.safetensors    what was usual in the rows that were fitted on
    speaker_prior.safetensors  what the training speakers showed, where speakers are normalised
    test_log.jsonl        one line for each time the test split was scored
    report.html, figures/  what `report` draws

A folder is written under a temporary name and renamed, so that a run is there whole or not at all.
"""

from __future__ import annotations

import glob
import json
import os
import re
import secrets
import shutil
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import Trained
from dualstream.pipeline.disk import put_in_place, sync, sync_descriptor
from dualstream.pipeline.errors import CorruptError, NoCacheError, UsageError
from dualstream.pipeline.experiments.comparison import Comparison
from dualstream.pipeline.experiments.history import ModelHistory
from dualstream.pipeline.experiments.predictions import Predictions, write_predictions
from dualstream.pipeline.experiments.run_config import LogEntry, RunConfig
from dualstream.pipeline.experiments.scores import SplitScores
from dualstream.pipeline.memory import refuse_shortage
from dualstream.pipeline.processes import is_alive
from dualstream.pipeline.storage.documents import (
    as_document,
    read_document,
    read_json,
    unpack_safetensors,
    write_bytes,
    write_json,
)
from dualstream.pipeline.storage.folders import OF_THE_DISK, UnwrittenError, make_folder, require_writable
from numpy.typing import NDArray

from dualstream.documents import plain

RUN_FORMAT, RUN_VERSIONS = RunConfig.FORMAT, (RunConfig.VERSION, RunConfig.SPEAKER_VERSION)
COMPARISON_FORMAT = Comparison.FORMAT
CONFIG, WEIGHTS, METRICS, HISTORY = "config.json", "weights.safetensors", "metrics.json", "history.json"
COMPARISON = "compare.json"
TEST_LOG = "test_log.jsonl"
REPORT, FIGURES = "report.html", "figures"


@dataclass(frozen=True, repr=False)
class Run:
    """A run in memory."""

    config: RunConfig
    metrics: SplitScores
    history: tuple[ModelHistory, ...] = ()
    """One a model."""
    test_log: tuple[LogEntry, ...] = ()
    path: Path | None = None

    @property
    def name(self) -> str:
        """The folder's name, or the variant's where the run has no folder."""
        return self.path.name if self.path else self.config.variant

    def other_scores(self, split: str) -> SplitScores | None:
        """Return what `evaluate` last said of a split; None where it never did."""
        place = None if self.path is None else self.path / f"metrics_{split}.json"
        return read_document(place, SplitScores) if place is not None and place.is_file() else None


def check_target(path: Path, *, replace: bool, kind: str = RUN_FORMAT) -> None:
    """Say before the work starts that a folder of this kind can't be written to `path`.

    Raises
    ------
    UsageError
        Where something is there and `replace` is False, what is there is of another kind, or nothing could be
        written there.
    """
    require_writable(path)
    if not os.path.lexists(path):
        return
    if not replace:
        raise UsageError(f"{path} already exists; name another --out, or use --replace")
    if format_of(path) != kind:
        raise UsageError(f"{path} is there and is no {kind}, so --replace leaves it alone; name another --out")


def format_of(path: Path) -> str | None:
    """Return what a folder's config.json says that it is; None where there is none that can be read."""
    try:
        found = json.loads((path / CONFIG).read_text(encoding="utf-8"))["format"]
    except (OSError, ValueError, KeyError, TypeError):
        return None
    return str(found)


@contextmanager
def new_folder(path: Path, *, replace: bool = False, kind: str = RUN_FORMAT) -> Iterator[Path]:
    """Give a temporary folder to write a run into; it becomes `path` when the block ends well.

    The test log of a run that is replaced goes on in the new one, each line marked: fitting anew
    doesn't make test unseen.

    Raises
    ------
    UsageError
        As `check_target` and `make_folder`.
    UnwrittenError
        Where the disk is full or refuses; nothing of it stays.
    """
    check_target(path, replace=replace, kind=kind)
    make_folder(path.parent)
    _sweep(path)
    folder = path.parent / f".{path.name}.{os.getpid()}.{secrets.token_hex(8)}.tmp"
    try:
        folder.mkdir()  # as open to others as the umask says
    except OSError as error:
        raise UnwrittenError(path, error) from error
    try:
        yield folder
        old = folder.with_suffix(".old")
        if os.path.lexists(path):
            check_target(path, replace=replace, kind=kind)
            _carry_test_log(path, folder)
            os.rename(path, old)
        try:
            sync(folder)
            put_in_place(folder, path)
        except BaseException:
            if old.exists():
                os.rename(old, path)
            raise
        sync(path.parent)
        shutil.rmtree(old, ignore_errors=True)
    except UnwrittenError as error:  # of a file in a folder that is gone then
        raise UnwrittenError(path, error.error) from error
    except OSError as error:
        if error.errno in OF_THE_DISK:
            raise UnwrittenError(path, error) from error
        raise
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def write_run(folder: Path, run: Run, models: Sequence[Trained], predictions: Predictions) -> None:
    """Write all of a run but its report into a folder."""
    write_json(folder / CONFIG, run.config.stamped())
    write_models(folder / WEIGHTS, models)
    write_predictions(folder / f"predictions_{predictions.split}.csv", predictions, run.config.vocabulary)
    write_json(folder / METRICS, run.metrics.stamped())
    write_json(folder / HISTORY, plain(run.history))


def read_run(path: Path) -> Run:
    """Read a run's documents; `read_models` reads its weights.

    Raises
    ------
    NoCacheError
        Where there is no such folder, or it is not a run.
    CorruptError
        Where a document of the run can't be read.
    """
    if path.is_file():
        raise NoCacheError(f"{path} is a file; expected a run, a folder that `fit-head` makes")
    if not (path / CONFIG).is_file():
        raise NoCacheError(f"there is no run {path}: no {CONFIG} in it; `fit-head` makes one")
    config = read_json(path / CONFIG)
    if not isinstance(config, dict) or config.get("format") != RUN_FORMAT:
        kind = config.get("format") if isinstance(config, dict) else None
        raise NoCacheError(f"{path} is not a run: its {CONFIG} says {str(kind)[:80]!r}; `fit-head` makes runs")
    if config.get("version") not in RUN_VERSIONS:
        known = " and ".join(map(str, RUN_VERSIONS))
        raise CorruptError(f"{path} is a run of version {config.get('version')}; this program reads {known}")
    return Run(
        config=as_document(config, RunConfig, path / CONFIG),
        metrics=read_document(path / METRICS, SplitScores),
        history=tuple(as_document(one, ModelHistory, path / HISTORY) for one in read_json(path / HISTORY)),
        test_log=tuple(read_test_log(path)),
        path=path,
    )


def write_models(path: Path, models: Sequence[Trained]) -> None:
    """Write fitted models into one safetensors file; their JSON values go into its metadata."""
    from safetensors.numpy import save

    arrays: dict[str, NDArray[Any]] = {}
    values = []
    for i, model in enumerate(models):
        own, value = model.state()
        arrays.update({f"{i}/{name}": _plain(array) for name, array in own.items()})
        values.append({"arrays": sorted(own), "values": value})
    metadata = {"dualstream": json.dumps(values, allow_nan=False, sort_keys=True)}
    write_bytes(path, save(arrays, metadata))


def read_models(path: Path) -> list[Trained]:
    """Restore the fitted models of a safetensors file that `write_models` made.

    Raises
    ------
    CorruptError
        Where the file is not of that kind or is damaged.
    """
    try:
        data = path.read_bytes()
    except FileNotFoundError as error:
        raise CorruptError(f"{path} is missing") from error
    return models_of(data, path)


def models_of(data: bytes, path: Path) -> list[Trained]:
    """Restore fitted models from the bytes of their file; see `read_models`. `path` is what errors call it."""
    from safetensors import SafetensorError

    try:
        arrays, metadata = unpack_safetensors(data)
        values = json.loads(metadata["dualstream"])
        return [
            registry.restore({name: arrays[f"{i}/{name}"] for name in one["arrays"]}, one["values"])
            for i, one in enumerate(values)
        ]
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        refuse_shortage(error, f"while {path} is read")
        raise CorruptError(f"{path} does not hold the models of a run: {error}") from error


def log_test(path: Path, entry: LogEntry) -> None:
    """Add a line to the run's test log, on disk before this returns."""
    line = json.dumps(entry.to_json(), ensure_ascii=False, allow_nan=False, sort_keys=True) + "\n"
    with (path / TEST_LOG).open("a", encoding="utf-8") as file:
        file.write(line)
        file.flush()
        sync_descriptor(file.fileno())


def read_test_log(path: Path) -> list[LogEntry]:
    """Return each scoring of the test split, oldest first."""
    log = path / TEST_LOG
    if not log.is_file():
        return []
    try:
        lines = [json.loads(line) for line in log.read_text(encoding="utf-8").splitlines() if line.strip()]
    except ValueError as error:
        raise CorruptError(f"{log} has a line that is not JSON: {error}") from error
    return [as_document(line, LogEntry, log) for line in lines]


def folder_name(text: str) -> str:
    """Return a name that is safe for a folder: ``dialogue:concat_norm`` becomes ``dialogue-concat_norm``."""
    return re.sub(r"[^A-Za-z0-9._-]", "-", text).lstrip(".-") or "run"


def _plain(array: NDArray[Any]) -> NDArray[Any]:
    if array.dtype.hasobject:
        raise TypeError(f"a model's state has an array of dtype {array.dtype}; expected numbers")
    return np.asarray(array, order="C")


def _sweep(path: Path) -> None:
    """Take away temporary folders of `path` whose process was killed."""
    for left in path.parent.glob(f".{glob.escape(path.name)}.*.tmp"):
        owner = left.name.removeprefix(f".{path.name}.").partition(".")[0]
        if owner.isdigit() and not is_alive(int(owner)):
            shutil.rmtree(left, ignore_errors=True)


def _carry_test_log(old: Path, new: Path) -> None:
    for entry in read_test_log(old):
        log_test(new, replace(entry, earlier_fit=True))
