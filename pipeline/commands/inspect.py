"""inspect: what a cache holds, how it was made, what is masked, what looks unhealthy, and how labels fall."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.faces.rows import FaceRows
from dualstream.heads.evaluation.majority import majority_lines
from dualstream.heads.variants.options import TASKS, Task
from dualstream.pipeline.cache import Cache, Stream, open_cache
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.experiments.inspection import (
    InspectReport,
    LabelReport,
    MajorityLine,
    MajorityReport,
    OddClip,
    SplitCoverage,
    StreamReport,
)
from dualstream.pipeline.experiments.integrity import random_weights, whitened
from dualstream.pipeline.experiments.mistakes import mistakes
from dualstream.pipeline.experiments.ranges import Outliers
from dualstream.pipeline.experiments.row_blocks import count_not_finite, health, outliers_of, usual_range
from dualstream.pipeline.extraction.shards import read_shard_and_digest, shard_path
from dualstream.pipeline.options.emit import CommandResult, text_result
from dualstream.pipeline.options.features import InspectCommand
from dualstream.pipeline.provenance import Provenance, digest_of, fingerprint, listed
from dualstream.pipeline.reporting.inspection import describe
from numpy.typing import NDArray

from dualstream.counting import counted

SPLITS = ("train", "dev", "test")
SHOWN_COLUMNS = 8
REPEATED = 0.01  # of the utterances; RAVDESS holds one clip twice, 2 of 832, while 27 % of its windows repeat one


def run(options: InspectCommand) -> CommandResult:
    """Do what the command line asks."""
    report = inspect(options.cache, verify=options.verify)
    return text_result(report, describe(report))


def inspect(path: Path, *, verify: bool = False) -> InspectReport:
    """Return what there is to say of a cache.

    Parameters
    ----------
    verify
        Check the fingerprint against the recipe, that present rows are finite, and the shards beside the cache.

    Raises
    ------
    NoCacheError
        Where there is no such file.
    CorruptError
        Where a digest does not hold or the file is not of the format. That is checked without `verify` too.
    """
    cache = open_cache(path)
    utterances = cache.utterances
    splits = [one for one in SPLITS if one in utterances.split]
    splits += sorted(set(utterances.split) - set(splits))
    far = _odd_rows(cache)
    streams = {name: _stream(cache, stream, splits) for name, stream in cache.streams.items()}
    found = mistakes(cache)
    verified, not_verified = _verify(path, cache) if verify else (None, None)
    return InspectReport(
        cache=str(path),
        bytes=path.stat().st_size,
        utterances=len(utterances),
        windows=int(cache.offsets[-1]),
        seconds_of_clips=float(np.nansum(utterances.duration_s)),
        failed=tuple(utterances.failed),
        odd=tuple(
            OddClip(name, reason)
            for name, status, reason in zip(utterances.id, utterances.status, utterances.reason, strict=True)
            if status == "ok" and reason
        ),
        fingerprint=cache.provenance.get("fingerprint"),
        recipe=cache.provenance.get("recipe", {}),
        environments=tuple(cache.provenance.get("environments", [])),
        streams=streams,
        labels={task: _labels(cache, task, splits) for task in TASKS},
        outliers={one.stream: one for one in far},
        warnings=(*_warnings(cache, streams, far), *(one.warning() for one in found)),
        mistakes=found,
        identity=cache.provenance.get("identity"),
        verified=verified,
        not_verified=not_verified,
    )


def _stream(cache: Cache, stream: Stream, splits: list[str]) -> StreamReport:
    lengths = np.diff(cache.offsets)
    place = {name: code for code, name in enumerate(splits)}
    split = np.array([place[name] for name in cache.utterances.split], dtype=np.int16)
    known = None if stream.window_present is None else np.asarray(stream.window_present)
    of_window = np.repeat(split, lengths)
    coverage = {}
    for one, code in place.items():
        here = split == code
        coverage[one] = SplitCoverage(
            utterances=int(here.sum()),
            present=int(stream.present[here].sum()),
            windows=None if known is None else int(lengths[here].sum()),
            windows_present=None if known is None else int(known[of_window == code].sum()),
        )
    rows, present, owner = stream.utterance, stream.present, np.arange(len(split), dtype=np.int32)
    not_finite = count_not_finite(rows, present)
    if stream.windows is not None and known is not None:
        rows, present, owner = stream.windows, known, np.repeat(owner, lengths)
        not_finite += count_not_finite(rows)
    return StreamReport(
        encoder=stream.spec.get("name"),
        weights=stream.spec.get("weights"),
        raw_width=stream.spec.get("raw_width"),
        width=int(stream.utterance.shape[1]),
        layers=stream.layers,
        windows=stream.windows is not None,
        projection={"kind": stream.projection.kind, **stream.projection.fitted_on} if stream.projection else None,
        coverage=coverage,
        health=health(rows, present, owner, not_finite=not_finite),
        faces=None if stream.faces is None else dict(_in_memory(stream.faces).summary()),
    )


def _in_memory(faces: FaceRows) -> FaceRows:
    return FaceRows(**{name: np.asarray(column) for name, column in vars(faces).items()})


def _labels(cache: Cache, task: Task, splits: list[str]) -> LabelReport:
    """Count labels by split, with the majority lines of each (`heads.evaluation.majority`)."""
    names = cache.vocabulary[task]
    codes = np.asarray(getattr(cache.utterances, task))
    split = np.array(cache.utterances.split)
    counts = {
        one: {"unlabelled": int((codes[split == one] < 0).sum())}
        | {name: int((codes[split == one] == code).sum()) for code, name in enumerate(names)}
        for one in splits
    }
    by_split = {one: np.array([counts[one][name] for name in names], dtype=np.int64) for one in splits}
    labelled = {one: found for one, found in by_split.items() if found.any()}
    if not labelled:
        return LabelReport(counts, None)
    base = "train" if "train" in labelled else next(iter(labelled))
    others = [found for one, found in labelled.items() if one != "test"]
    majority = MajorityReport(
        name=names[int(labelled[base].argmax())],
        base=base,
        splits={one: _majority(found, names, labelled.get("train")) for one, found in labelled.items()},
        outside_test=_majority(np.sum(others, axis=0), names, None) if len(others) > 1 else None,
    )
    return LabelReport(counts, majority)


def _majority(scored: NDArray[np.int64], names: Sequence[str], train: NDArray[np.int64] | None) -> MajorityLine:
    """Return the line of the commonest class, and train's where that is another."""
    line, trains = majority_lines(scored, names, train)
    assert line is not None, "a split without labels has no line"
    return MajorityLine(line, trains)


def _odd_rows(cache: Cache) -> list[Outliers]:
    """Return what lies far outside of train's rows (of all, where there is no train), utterances and windows."""
    train = np.array([name == "train" for name in cache.utterances.split])
    learned_from = train if train.any() else np.ones(len(train), dtype=bool)
    found = []
    for name, stream in cache.streams.items():
        columns = stream.spec.get("column_names")
        levels: list[tuple[str, Any, NDArray[np.bool_], NDArray[np.bool_], Sequence[str]]]
        levels = [(name, stream.utterance, stream.present, learned_from, cache.utterances.id)]
        if stream.windows is not None and stream.window_present is not None:
            ids, known = (
                _WindowNames(cache.utterances.id, cache.offsets),
                np.repeat(learned_from, np.diff(cache.offsets)),
            )
            levels.append((f"{name} windows", stream.windows, np.asarray(stream.window_present), known, ids))
        for what, rows, present, known, names in levels:
            usual = usual_range(rows, present & known)
            if usual is not None:
                found.append(outliers_of(what, rows, present, names, usual, columns))
    return found


@dataclass(frozen=True)
class _WindowNames(Sequence[str]):
    """Names of windows, made where they are asked for: there may be millions."""

    ids: Sequence[str]
    offsets: NDArray[np.int64]

    def __len__(self) -> int:
        return int(self.offsets[-1])

    def __getitem__(self, at: Any) -> Any:
        owner = int(np.searchsorted(self.offsets, at, side="right")) - 1
        return f"{self.ids[owner]} window {at - int(self.offsets[owner])}"


def _warnings(cache: Cache, streams: Mapping[str, StreamReport], odd: Sequence[Outliers]) -> list[str]:
    found = []
    for name, stream in streams.items():
        health = stream.health
        if health.not_finite:
            found.append(f"stream {name}: NaN or infinity in {counted(health.not_finite, 'row')}")
        if health.dead_columns:
            dead = health.dead_columns
            shown = ", ".join(map(str, dead[:SHOWN_COLUMNS])) + (", …" if len(dead) > SHOWN_COLUMNS else "")
            found.append(f"stream {name}: {len(dead)} of {stream.width} columns never change ({shown})")
        there = int(cache.streams[name].present.sum())
        if health.repeated_utterances > REPEATED * there:
            repeated = f"{health.repeated_utterances} of {there} utterances repeat another one in every row"
            found.append(
                f"stream {name}: {repeated}: are clips there twice, or can't the encoder tell them apart?"
            )
        for split, coverage in stream.coverage.items():
            if coverage.utterances and not coverage.present:
                found.append(f"stream {name} is absent from all of {split}")
    found += whitened({name: one.projection.kind for name, one in cache.streams.items() if one.projection})
    found += random_weights({name: stream.spec for name, stream in cache.streams.items()})
    found += [text for one in odd for text in one.warnings(against="the rest")]
    if len({str(environment) for environment in cache.provenance.get("environments", [])}) > 1:
        found.append(
            "parts of the cache were made with different packages, threads or processors: last digits differ"
        )
    return found


def _verify(path: Path, cache: Cache) -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Check what reading does not; return what holds, and what could not be checked and why.

    Raises
    ------
    CorruptError
        Where something does not hold.
    """
    done = ["the SHA-256 over all bytes, the format, and its rules"]
    provenance = cache.provenance
    if "recipe" in provenance:
        if fingerprint(provenance["recipe"]) != provenance.get("fingerprint"):
            raise CorruptError(f"{path}: the fingerprint is not that of the recipe beside it")
        done.append("the fingerprint of the recipe")
    for name, stream in cache.streams.items():
        parts = [("utterance rows", stream.utterance)]
        parts += [("window rows", stream.windows)] if stream.windows is not None else []
        for what, rows in parts:
            if count_not_finite(rows):
                raise CorruptError(f"{path}: {what} of stream {name} hold NaN or infinity")
    done.append("that all rows are finite")
    there, lacking = _verify_shards(path, provenance)
    return (*done, *there), tuple(lacking)


def _verify_shards(path: Path, provenance: Provenance) -> tuple[list[str], list[str]]:
    shards = provenance.get("shards")
    if not isinstance(shards, dict):
        return [], ["its shards: it does not say which it was made of"]
    folder = path.with_name(path.name + ".shards") / str(provenance.get("fingerprint"))
    count = int(shards["count"])
    there = [index for index in range(count) if shard_path(folder, index).exists()]
    whole = "the cache is whole without them, but project needs them: extract makes them again"
    if not there:
        return [], [f"its shards: none of the {count} is in {folder}; {whole}"]
    digests = [read_shard_and_digest(shard_path(folder, index))[1] for index in there]
    if len(there) < count:
        gone = [f"shard-{index:05d}.h5" for index in range(count) if index not in there]
        return [f"{len(there)} of {count} shards, each by itself"], [
            f"that the cache was made of its shards: in {folder} there is no {listed(gone)}; {whole}"
        ]
    if digest_of(digests) != shards["sha256"]:
        return [f"{count} shards, each by itself"], [
            f"that the cache was made of its shards: those in {folder} are others; extract brings it up to date"
        ]
    return [f"{count} shards, and that the cache was made of them"], []
