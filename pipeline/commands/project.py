"""project: bring the rows in the shards to another width or by another road, without touching a clip."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from dualstream.pipeline.cache import Cache, Stream, open_cache, write_cache
from dualstream.pipeline.errors import DualstreamError, FingerprintMismatchError, UsageError
from dualstream.pipeline.extraction.build_cache import ShardFolder, project_cache, whitened_words
from dualstream.pipeline.extraction.options import ProjectionKind, ProjectOptions
from dualstream.pipeline.extraction.projection_choice import ProjectionChoice
from dualstream.pipeline.extraction.shards import shard_path
from dualstream.pipeline.options.emit import CommandResult, notice, text_result
from dualstream.pipeline.options.features import ProjectCommand
from dualstream.pipeline.places import require_file_place
from dualstream.pipeline.storage.folders import require_writable
from dualstream.pipeline.storage.lock import locked
from dualstream.pipeline.storage.sealed import is_sealed, remove_leftovers

from dualstream.counting import counted
from dualstream.documents import Document, JsonObject

NONE: ProjectionKind = "none"
UNSEEDED: tuple[ProjectionKind, ...] = ("pca", NONE)


def run(options: ProjectCommand) -> CommandResult:
    """Do what the command line asks."""
    document = project(options.cache, out=options.out, options=options.projection, notice=notice)
    return text_result(document, describe(document))


@dataclass(frozen=True)
class StreamWidths(Document):
    """A stream's columns, and what they were projected by."""

    raw_width: int
    width: int
    projection: JsonObject | None
    """Its kind, and what it was fitted on."""


@dataclass(frozen=True)
class ProjectReport(Document):
    """What `project` made of a cache."""

    FORMAT: ClassVar[str] = "dualstream projection"

    cache: str
    """The one that was written."""
    projection: ProjectionChoice
    before: dict[str, StreamWidths]
    after: dict[str, StreamWidths] | None = None
    """None, and no key, for a dry run."""

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        return {key: value for key, value in super().to_json().items() if key != "after" or value is not None}


def project(
    path: Path,
    *,
    out: Path | None = None,
    options: ProjectOptions,
    notice: Callable[[str], None] = lambda text: None,
) -> ProjectReport:
    """Fit the projection anew on the train rows in the shards, and write the cache (to `out`, or in place).

    Raises
    ------
    NoCacheError, CorruptError
        Where the cache, or a shard, is not there or not whole.
    UsageError
        Where the options name a stream that the cache lacks, or a folder that holds no shards of it; or where
        something else than a cache stands at `out`.
    FingerprintMismatchError
        Where the cache at `out` is of another extraction.
    DualstreamError
        Where shards are gone or are not those that the cache was made of.
    """
    out = out or path
    cache = open_cache(path)
    _require_place(out, cache)
    folder = _folder(path, cache, options)
    choice = _choice(cache, options)
    report = ProjectReport(str(out), choice, {name: _facts(stream) for name, stream in cache.streams.items()})
    if options.dry_run:
        return report
    with locked(out.with_name(out.name + ".lock")):
        remove_leftovers(out.parent, of=out.name)
        built = project_cache(cache, folder, choice=choice, notice=notice, spool=out)
        write_cache(out, built)
    if whitened := whitened_words(built, out):
        notice(whitened)
    return replace(report, after={name: _facts(stream) for name, stream in built.streams.items()})


def describe(report: ProjectReport) -> str:
    """Return the report as text for a person."""
    lines = [f"{report.cache}: projection {report.projection.kind}"]
    for name, before in report.before.items():
        after = (report.after or {}).get(name)
        lines.append(f"  {name}: {counted(before.width, 'column')}" + (f" → {after.width}" if after else ""))
        if after and after.projection:
            facts = after.projection
            kept = f", {facts['variance_kept']:.1%} of the variance kept" if "variance_kept" in facts else ""
            lines[-1] += f" by {facts['kind']}{kept}"
    return "\n".join(lines)


def _require_place(out: Path, cache: Cache) -> None:
    """Refuse to write over what is no cache of the same extraction."""
    require_file_place(out)
    require_writable(out)
    if not out.exists():
        return
    if not is_sealed(out, "cache"):
        raise UsageError(f"{out} is there and is no cache; choose another --out")
    there = open_cache(out).provenance.get("fingerprint")
    if there != cache.provenance.get("fingerprint"):
        raise FingerprintMismatchError(
            f"{out} holds the rows of another extraction (fingerprint {str(there)[:16]}…); choose another --out, "
            "or remove it"
        )


def _folder(path: Path, cache: Cache, options: ProjectOptions) -> ShardFolder:
    provenance = cache.provenance
    try:
        shards, name = provenance["shards"], provenance["fingerprint"]
        size, count = int(shards["size"]), int(shards["count"])
    except (KeyError, TypeError, ValueError) as error:
        raise UsageError(
            f"{path} does not say which shards it was made of, so it is none of extract's; project takes those"
        ) from error
    base = options.shards or path.with_name(path.name + ".shards")
    folder = ShardFolder(base / name if (base / name).is_dir() else base, size, count)
    if not shard_path(folder.path, 0).exists():
        raise UsageError(
            f"the shards of {path} are not in {base}: name their folder as --shards, or run extract again"
        )
    try:
        found = folder.digest()
    except FileNotFoundError as error:
        raise DualstreamError(f"shard {error.filename} is gone: run extract again") from error
    if found != shards["sha256"]:
        raise DualstreamError(
            f"the shards in {folder.path} are others than {path} was made of ({found[:12]}…, expected "
            f"{str(shards['sha256'])[:12]}…): run extract again, which brings the cache up to date"
        )
    return folder


def _choice(cache: Cache, options: ProjectOptions) -> ProjectionChoice:
    """Return what the cache was made by, changed where the options say so."""
    before = ProjectionChoice.from_json(cache.provenance["projection"]).today()
    unknown = set(options.streams) - set(cache.streams)
    if unknown:
        raise UsageError(
            f"the cache has no stream {', '.join(sorted(unknown))}; it has {', '.join(cache.streams)}"
        )
    kind = options.kind or before.kind
    if options.seed and kind in UNSEEDED:
        raise UsageError(
            f"--seed {options.seed} turns or draws a projection, and {kind} does neither; name another --kind, or "
            "leave it out"
        )
    if options.width is None:
        if options.streams:
            raise UsageError("--stream says which streams get --width; give both")
        return ProjectionChoice(kind, before.widths, options.seed)
    if kind == NONE:
        raise UsageError(
            f"--width {options.width} is for rows that are projected, and with {kind} they stay as the encoders "
            "gave them; name another --kind, or leave it out"
        )
    chosen = options.streams or tuple(
        name for name, stream in cache.streams.items() if stream.spec["raw_width"] > options.width
    )
    if not chosen:
        raise UsageError(
            f"no stream of the cache has more than {counted(options.width, 'column')} before projection"
        )
    widths = {**before.widths, **dict.fromkeys(chosen, options.width)}
    return ProjectionChoice(kind, widths, options.seed)


def _facts(stream: Stream) -> StreamWidths:
    projection = stream.projection
    return StreamWidths(
        raw_width=stream.spec["raw_width"],
        width=int(stream.utterance.shape[1]),
        projection={"kind": projection.kind, **projection.fitted_on} if projection else None,
    )
