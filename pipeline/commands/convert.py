"""convert: a cache in the formats that others read, and what others made as a cache."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import numpy as np
from dualstream.heads.variants.decode import decode
from dualstream.heads.variants.ensemble import ensemble
from dualstream.heads.variants.registry import TASKS
from dualstream.pipeline import experiments
from dualstream.pipeline.cache import Cache, read_cache_and_digest, write_cache
from dualstream.pipeline.cache.exchange import EXCHANGE_FORMAT, FORMATS, Columns, is_ours, mmsa
from dualstream.pipeline.cache.exchange.content import HEADER, read_header
from dualstream.pipeline.corpus.manifest import read_manifest
from dualstream.pipeline.errors import FingerprintMismatchError, NoCacheError, UsageError
from dualstream.pipeline.experiments import Run
from dualstream.pipeline.experiments.predictions import Predictions, read_predictions
from dualstream.pipeline.extraction.csd_tables import cut_to_utterances
from dualstream.pipeline.extraction.mmsa_tables import STREAMS, write_tables
from dualstream.pipeline.extraction.options import ExtractionOptions
from dualstream.pipeline.extraction.table_cache import cache_of_tables
from dualstream.pipeline.options.emit import CommandResult, notice, text_result
from dualstream.pipeline.options.exchange import ConvertCommand, ConvertOptions
from dualstream.pipeline.places import require_file_place
from dualstream.pipeline.storage.csd import csd_bytes, read_csd
from dualstream.pipeline.storage.documents import write_bytes
from dualstream.pipeline.storage.folders import make_folder, require_writable
from dualstream.pipeline.storage.lock import locked
from dualstream.pipeline.storage.plain_pickle import read_pickle
from dualstream.pipeline.storage.sealed import is_sealed, remove_leftovers

from dualstream.cores import one_blas_thread
from dualstream.counting import counted
from dualstream.documents import Document

CACHE = "cache"


@dataclass(frozen=True)
class ConversionReport(Document):
    """What `convert` made of what."""

    FORMAT: ClassVar[str] = "dualstream conversion"

    source: str
    source_kind: str
    """``cache``, or the format that was read."""
    out: str
    out_kind: str
    utterances: int
    windows: int
    """Of a cut csd its rows."""
    streams: tuple[str, ...]
    predicted: int
    """Utterances that a prediction of the run went along with."""
    notes: tuple[str, ...]


def run(options: ConvertCommand) -> CommandResult:
    """Do what the command line asks."""
    found = convert(options.source, options.out, options.convert, notice=notice)
    return text_result(found, describe(found))


@one_blas_thread()
def convert(
    source: Sequence[Path],
    out: Path,
    options: ConvertOptions | None = None,
    *,
    notice: Callable[[str], None] = lambda text: None,
) -> ConversionReport:
    """Convert a cache to a format, or what is in a format to a cache.

    Raises
    ------
    NoCacheError
        Where there is no such cache or run.
    CorruptError
        Where a file is not whole, or holds what is not admitted.
    UsageError
        Where the words don't fit together, or what is to be written exists.
    """
    options = options or ConvertOptions()
    if len(source) == 1 and not source[0].exists():
        if str(source[0]) in FORMATS:
            raise UsageError(
                f"{source[0]} is a format; name a file of it too: convert {source[0]} FILE --out {out}"
            )
        raise NoCacheError(f"there is no cache {source[0]}; make one with extract")
    if len(source) == 1 and not (source[0].is_dir() and is_ours(source[0])):
        return _to_format(source[0], out, options)
    kind, path = _named(source)
    if not path.exists():
        raise NoCacheError(f"there is no {path}")
    if is_sealed(path, CACHE):
        raise UsageError(
            f"{path} is a cache, not {kind}; a cache is converted by: convert {path} --to {kind} --out {out}"
        )
    if options.to is not None or options.run is not None:
        raise UsageError("--to and --run are for a cache; found a format to read: leave them out")
    if kind == "csd" and not path.is_dir():
        return _cut(path, out, options)
    if options.manifest is not None:
        raise UsageError("--manifest is for csd of whole videos; leave it out")
    _check_cache_target(out, options)
    data = read_pickle(path) if kind == "mmsa" else None
    foreign = kind == "mmsa" and mmsa.header_in(data, str(path)) is None
    if options.rate is not None and not foreign:
        raise UsageError("--rate is for mmsa of others; a cache's own windows have their times: leave it out")
    make_folder(out.parent)
    with locked(out.with_name(out.name + ".lock")):
        remove_leftovers(out.parent, of=out.name)
        notes: list[str] = []
        if foreign:
            cache = _of_mmsa(data, path, out, options, notes, notice)
        else:
            cache = mmsa.cache_in(data, str(path)) if kind == "mmsa" else FORMATS[kind].read(path)
        write_cache(out, cache)
    return _report(path, kind, out, CACHE, cache, notes=notes)


def describe(report: ConversionReport) -> str:
    """Return what was done, for a person."""
    told = f", {report.predicted} with predictions" if report.predicted else ""
    lines = [
        f"{report.out}: {report.out_kind} of {report.source}, {counted(report.utterances, 'utterance')}, "
        f"{counted(report.windows, 'row' if report.out_kind == report.source_kind else 'window')}, "
        f"{', '.join(report.streams)}{told}"
    ]
    return "\n".join([*lines, *report.notes])


def _report(
    source: Path,
    source_kind: str,
    out: Path,
    out_kind: str,
    cache: Cache,
    *,
    predicted: int = 0,
    notes: Sequence[str] = (),
) -> ConversionReport:
    windows = int(cache.offsets[-1])
    sizes = len(cache.utterances), windows, tuple(sorted(cache.streams))
    return ConversionReport(str(source), source_kind, str(out), out_kind, *sizes, predicted, tuple(notes))


def _named(source: Sequence[Path]) -> tuple[str, Path]:
    """Return format and path of what is read."""
    if len(source) == 1:
        return str(read_header(source[0] / HEADER)["kind"]), source[0]
    if len(source) != 2 or str(source[0]) not in FORMATS:
        raise UsageError(
            f"expected a cache and --to FORMAT, or a format and a path: one of {', '.join(FORMATS)}; found "
            f"{' '.join(map(str, source))}"
        )
    kind, path = str(source[0]), source[1]
    if path.is_dir() and not is_ours(path) and kind in ("npy", "parquet", "arrow"):
        raise UsageError(
            f"{path} was not written by convert; `extract MANIFEST --audio table:{path}` reads features of others"
        )
    if path.is_dir() and kind not in ("npy", "parquet", "arrow") and not is_ours(path):
        raise UsageError(f"{path} is a folder; expected a file of {kind}")
    return kind, path


def _to_format(path: Path, out: Path, options: ConvertOptions) -> ConversionReport:
    if options.to is None:
        raise UsageError(f"--to says what {path} is converted to: {', '.join(FORMATS)}")
    if options.manifest is not None or options.rate is not None:
        raise UsageError("--manifest and --rate are for what is read from others; leave them out")
    how = FORMATS[options.to]
    if how.is_file:
        _check_file_target(out, options)
    else:
        experiments.check_target(out, replace=options.replace, kind=EXCHANGE_FORMAT)
    cache, digest = read_cache_and_digest(path)
    predicted = {} if options.run is None else _predictions(options.run, cache, digest)
    told = sum(one is not None for one in next(iter(predicted.values()), []))
    if how.is_file:
        make_folder(out.parent)
        how.write(cache, predicted, out)
    else:
        with experiments.new_folder(out, replace=options.replace, kind=EXCHANGE_FORMAT) as folder:
            how.write(cache, predicted, folder)
    faces = sorted(name for name, stream in cache.streams.items() if stream.faces is not None)
    notes = [
        f"{name}: whose face each window shows stays in {path}, no format has a place for it" for name in faces
    ]
    return _report(path, CACHE, out, options.to, cache, predicted=told, notes=notes)


def _check_file_target(out: Path, options: ConvertOptions) -> None:
    require_file_place(out)
    require_writable(out)
    if out.exists() and not options.replace:
        raise UsageError(f"{out} already exists; name another --out, or use --replace")


def _check_cache_target(out: Path, options: ConvertOptions) -> None:
    require_file_place(out)
    require_writable(out)
    if out.exists() and not options.replace:
        raise UsageError(f"{out} already exists; name another --out, or use --replace")
    if out.exists() and not is_sealed(out, CACHE):
        raise UsageError(f"{out} is there and is no cache, so --replace leaves it alone; name another --out")


def _predictions(path: Path, cache: Cache, digest: str) -> Columns:
    """Return, by utterance, what a run answers for those it did not see, the mean of its seeds; None for others.

    Raises
    ------
    FingerprintMismatchError
        Where the run was fitted on another cache.
    """
    found = experiments.read_run(path)
    if found.config.cache.digest != digest:
        raise FingerprintMismatchError(f"{path} was fitted on another cache; name the one that it was fitted on")
    vocabulary = found.config.vocabulary
    columns: Columns = {}
    place = {one: at for at, one in enumerate(cache.utterances.id)}
    for file in _held_out(found, path):
        held = read_predictions(file, vocabulary)
        mean = ensemble(list(held.models))
        for task, codes in zip(TASKS, decode(mean), strict=True):
            log_p = mean.task(task)
            if codes is None or log_p is None:
                continue
            names = list(vocabulary[task])
            values = {f"predicted_{task}": [names[code] for code in codes.tolist()]}
            values |= {f"p_{task}:{name}": np.exp(log_p[:, at]).tolist() for at, name in enumerate(names)}
            for name, column in values.items():
                _place(columns.setdefault(name, [None] * len(place)), column, held, place)
    if not columns:
        raise UsageError(f"{path} holds no predictions")
    return columns


def _held_out(run: Run, path: Path) -> list[Path]:
    """Return a run's answers for test, where it was scored last on the run's own cache, then for what it held out.

    `evaluate` leaves others beside them: of rows that heads were fitted on, or of another cache.
    """
    scored = [entry for entry in run.test_log if entry.split == "test" and not entry.earlier_fit]
    same = bool(scored) and scored[-1].cache.digest == run.config.cache.digest
    splits = [*(["test"] if same else []), run.metrics.split]
    places = [path / f"predictions_{split}.csv" for split in splits]
    return [place for place in places if place.is_file()]


def _place(column: list[object], values: Sequence[object], held: Predictions, place: dict[str, int]) -> None:
    for utterance_id, value in zip(held.ids, values, strict=True):
        column[place[utterance_id]] = value


def _of_mmsa(
    data: object, path: Path, out: Path, options: ConvertOptions, notes: list[str], notice: Callable[[str], None]
) -> Cache:
    """Write manifest and tables beside the cache, and look them up."""
    folder = out.with_name(out.name + ".tables")
    if folder.exists() and not options.replace:
        raise UsageError(f"{folder} already exists; name another --out, or use --replace")
    make_folder(folder)
    made = write_tables(data, folder, rate_hz=options.rate, where=str(path))
    streams = {stream: made.folders.get(name) for name, stream in STREAMS.items()}
    named = {name: (f"table:{place}",) if place else ("none",) for name, place in streams.items()}
    if all(place is None for place in streams.values()):
        named["audio"] = (f"table:{made.folders['text']}",)
        notes.append("text stands in the stream audio: there is no vision and no audio")
    elif "text" in made.folders:
        notes.append(
            f"text is no stream of the cache; it lies in {made.folders['text']} (extract --audio table:…)"
        )
    for name, count in made.not_finite.items():
        notes.append(f"{name}: {count} numbers that are not finite are 0, as MMSA reads them")
    if options.rate is None:
        notes.append("no windows: each utterance is the mean of its frames; --rate HZ keeps them")
    rate = "" if options.rate is None else repr(options.rate)
    options_of = ExtractionOptions(video=named["video"], audio=named["audio"], rate=rate)
    return cache_of_tables(made.manifest, options_of, out.with_name(out.name + ".shards"), notice)


def _cut(path: Path, out: Path, options: ConvertOptions) -> ConversionReport:
    """Cut a computational sequence of whole videos to a manifest's utterances."""
    if options.manifest is None:
        raise UsageError(
            f"{path}: `extract --audio table:{path}` reads it where its keys are the manifest's ids; where they "
            "are whole videos, --manifest FILE cuts it to utterances"
        )
    if options.rate is not None:
        raise UsageError(f"--rate {options.rate:g} is for mmsa; a csd's rows have their times: leave it out")
    if out.suffix.lower() != ".csd":
        raise UsageError(f"--out {out}: a csd that is cut is a .csd again; name one")
    _check_file_target(out, options)
    manifest = read_manifest(options.manifest)
    found = cut_to_utterances(read_csd(path), iter(manifest))
    if not found:
        raise UsageError(f"{path} has no key that is an id, a file or a dialogue of {options.manifest}")
    make_folder(out.parent)
    write_bytes(out, csd_bytes(out.stem, found.items(), {}))
    rows = sum(len(features) for features, _ in found.values())
    missing = len(manifest) - len(found)
    notes = (f"{missing} of {counted(len(manifest), 'utterance')} have no interval",) if missing else ()
    return ConversionReport(str(path), "csd", str(out), "csd", len(found), rows, (out.stem,), 0, notes)
