"""Shards to one cache: fit the projections on the train split, bring every row through, put rows in order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.encoder import SpecDocument
from dualstream.features.projection import GAUSSIAN, PCA, TURNED, PcaFit, TooFewRowsError, gaussian, turned
from dualstream.features.projection import Projection as Fitted
from dualstream.pipeline.cache import UNLABELLED, Cache, StoredProjection, Stream, Utterances
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.errors import CorruptError, DualstreamError
from dualstream.pipeline.extraction.columns import ClipColumns, StreamColumns, rows_in
from dualstream.pipeline.extraction.identity import FITTED_SPLIT, CorpusIdentity, fit_corpus_identity
from dualstream.pipeline.extraction.projection_choice import ProjectionChoice as ProjectionChoice
from dualstream.pipeline.extraction.shards import KIND, ClipRows, Shard, read_shard_and_digest, shard_path
from dualstream.pipeline.provenance import (
    Environment,
    IdentityDocument,
    ListDigest,
    Provenance,
    RecipeDocument,
    ShardsDocument,
    digest_of,
)
from dualstream.pipeline.storage.sealed import peek_digest
from dualstream.pipeline.storage.texts import Texts
from numpy.typing import NDArray

from dualstream.documents import JsonObject
from dualstream.packed_texts import CodedTexts


@dataclass(frozen=True)
class ShardFolder:
    """The committed shards of one recipe."""

    path: Path
    size: int
    """Utterances in a shard."""
    count: int

    def digest(self) -> str:
        """Return one digest over the digests of all shards, from their headers alone."""
        return digest_of([peek_digest(shard_path(self.path, index), KIND) for index in range(self.count)])

    def to_json(self, digest: str | None = None) -> ShardsDocument:
        """Return what a cache says of its shards; `digest` is that of the bytes that were read of them."""
        return {"sha256": digest or self.digest(), "size": self.size, "count": self.count}

    def read(self, index: int) -> tuple[Shard, str]:
        """Read one shard and its digest; `read_shard` says what may go wrong."""
        return read_shard_and_digest(shard_path(self.path, index))


@dataclass(frozen=True, repr=False)
class Gathered:
    """All rows of a folder, in order, projected."""

    clips: ClipColumns
    offsets: NDArray[np.int64]
    """Shape (N+1,)."""
    streams: dict[str, Stream]
    environments: list[Environment]
    """What the shards were made with, each with the number of its shards."""
    digest: str
    """As `ShardFolder.digest`, over the bytes that the rows were read from."""
    identity: IdentityDocument | None = None
    """Which faces go with which speakers, where speaker names were used."""


@dataclass(frozen=True, repr=False)
class RowsOf:
    """What a manifest says of the utterances of a folder, in order."""

    ids: Sequence[str]
    splits: Sequence[str]
    speakers: Sequence[str]

    @staticmethod
    def of(column: Sequence[str], index: int, size: int) -> Sequence[str]:
        """Return the part of a column that shard `index` holds."""
        return column[index * size : (index + 1) * size]

    def who(self, index: int, size: int) -> tuple[Sequence[str], Sequence[str]]:
        """Return splits and speakers of shard `index`."""
        return self.of(self.splits, index, size), self.of(self.speakers, index, size)


def build_cache(
    manifest: Manifest,
    folder: ShardFolder,
    *,
    document: RecipeDocument,
    fingerprint: str,
    specs: dict[str, SpecDocument],
    choice: ProjectionChoice,
    notice: Callable[[str], None],
    spool: Path | None = None,
) -> Cache:
    """Read all shards and build the cache: in memory, or with its rows in files beside `spool`.

    Parameters
    ----------
    document
        The recipe; `fingerprint` is its digest.
    spool
        The file that the cache is to become; its rows are `RowsOnDisk` then, and those of no more than a block
        are held at a time. None: arrays.
    specs
        `EncoderSpec.to_json` by stream name.
    notice
        Called with what a person should know, such as that there are too few rows for a PCA.

    Raises
    ------
    DualstreamError
        Where a PCA is asked for and the train split has too few rows.
    CorruptError
        Where a shard is damaged, or is not of this manifest.
    """
    columns = manifest.columns
    people = RowsOf(columns.id, columns.split, columns.speaker)
    got = gather(folder, people, specs=specs, choice=choice, notice=notice, spool=spool)
    start_s: Any = got.clips.start_s.rows()
    return Cache(
        utterances=_utterances(manifest, got.clips, as_lists=spool is None),
        offsets=got.offsets,
        start_s=start_s,
        streams=got.streams,
        vocabulary={"emotion": list(manifest.emotions), "sentiment": list(manifest.sentiments)},
        provenance={
            "fingerprint": fingerprint,
            "recipe": document,
            "manifest": {"sha256": manifest.sha256, "utterances": len(manifest)},
            "shards": folder.to_json(got.digest),
            "widths": {name: spec["width"] for name, spec in specs.items()},
            "projection": choice.to_json(),
            "environments": got.environments,
            **({"identity": got.identity} if got.identity else {}),
        },
    )


def project_cache(
    cache: Cache,
    folder: ShardFolder,
    *,
    choice: ProjectionChoice,
    notice: Callable[[str], None],
    spool: Path | None = None,
) -> Cache:
    """Return a cache whose streams come from its shards by another projection; all else stays.

    `spool` is that of `build_cache`.

    Raises
    ------
    DualstreamError, CorruptError
        As `build_cache`.
    """
    widths = cache.provenance["widths"]
    specs: dict[str, SpecDocument] = {
        name: {**stream.spec, "width": widths[name]} for name, stream in cache.streams.items()
    }
    rows = cache.utterances
    people = RowsOf(rows.id, rows.split, rows.speaker)
    got = gather(folder, people, specs=specs, choice=choice, notice=notice, spool=spool)
    if got.digest != cache.provenance["shards"]["sha256"]:
        raise _changed(folder.path)
    provenance: Provenance = {**cache.provenance, "projection": choice.to_json()}
    if got.identity:
        provenance["identity"] = got.identity
    return replace(cache, streams=got.streams, provenance=provenance)


def whitened_words(cache: Cache, path: Path) -> str | None:
    """Return what a person should know of principal components that were not turned; None where there are none."""
    names = [name for name, stream in cache.streams.items() if stream.projection and stream.projection.kind == PCA]
    if not names:
        return None
    return (
        f"stream {', '.join(names)}: principal components as they are; a head that standardises columns whitens "
        f"them, and noise gets the weight of the signal: `project {path} --kind {TURNED}` turns them"
    )


def gather(
    folder: ShardFolder,
    rows: RowsOf,
    *,
    specs: dict[str, SpecDocument],
    choice: ProjectionChoice,
    notice: Callable[[str], None],
    spool: Path | None = None,
) -> Gathered:
    """Fit projections on the train rows of a folder's shards, and bring all rows through. Two passes over them.

    Where faces are chosen by speaker names, a pass before them says which faces go with whom.
    """
    ids = rows.ids
    read = _Reading(folder, rows)
    shards = ((read.shard(at).clips, *rows.who(at, folder.size)) for at in range(folder.count))
    identity = fit_corpus_identity(shards, specs)
    read.identity = identity
    fitted = _fit(read, rows.splits, specs, choice, notice)
    if identity is not None:
        identity.decided.clear()  # the pass over train counted its windows
    new = rows_in(spool)
    clips = ClipColumns(new)
    streams = {name: StreamColumns(new) for name in sorted(specs)}
    environments: dict[str, Environment] = {}
    for index in range(folder.count):
        shard = read.shard(index)
        projected = _projected(shard.clips, fitted)
        clips.append(projected)
        for name, columns in streams.items():
            columns.append([clip.streams[name] for clip in projected])
        environments.setdefault(digest_of(shard.environment), {**shard.environment, "shards": 0})["shards"] += 1
    if len(clips) != len(ids):
        raise CorruptError(f"{folder.path} holds {len(clips)} utterances; expected {len(ids)}")
    if identity is not None:
        notice(identity.told())
    return Gathered(
        clips,
        np.concatenate((np.zeros(1, np.int64), np.cumsum(clips.windows.rows()))),
        {name: columns.stream(name, specs[name], fitted.get(name)) for name, columns in streams.items()},
        list(environments.values()),
        digest_of([read.digests[index] for index in range(folder.count)]),
        identity.to_json() if identity is not None else None,
    )


class _Reading:
    """Shards as they are read, and what was read: a second pass must find the bytes of the first."""

    def __init__(self, folder: ShardFolder, rows: RowsOf) -> None:
        self.folder = folder
        self._rows = rows
        self.identity: CorpusIdentity | None = None
        """Once it is known: shards are then read with undecided windows chosen by it."""
        self.digests: dict[int, str] = {}

    def shard(self, index: int) -> Shard:
        """Read a shard; refuse other utterances than expected, and other bytes than before."""
        folder = self.folder
        shard, digest = folder.read(index)
        if [clip.id for clip in shard.clips] != list(self._rows.of(self._rows.ids, index, folder.size)):
            raise CorruptError(
                f"{shard_path(folder.path, index)} holds other utterances than expected; run extract again"
            )
        if self.digests.setdefault(index, digest) != digest:
            raise _changed(shard_path(folder.path, index))
        if self.identity is None:
            return shard
        speakers = self._rows.of(self._rows.speakers, index, folder.size)
        clips = (self.identity.choose(clip, name) for clip, name in zip(shard.clips, speakers, strict=True))
        return replace(shard, clips=tuple(clips))


def _changed(path: Path) -> DualstreamError:
    return DualstreamError(
        f"{path} changed while it was read: another run writes there. Run the same command again when that is done"
    )


def _fit(
    read: _Reading,
    splits: Sequence[str],
    specs: dict[str, SpecDocument],
    choice: ProjectionChoice,
    notice: Callable[[str], None],
) -> dict[str, StoredProjection]:
    """Fit a projection for each stream whose width differs from what its encoder gives."""
    widths = {}
    for name, spec in specs.items():
        width = choice.widths.get(name, spec["width"])
        if choice.kind != "none" and width != spec["raw_width"]:
            if width > spec["raw_width"]:
                raise DualstreamError(
                    f"stream {name} has {spec['raw_width']} columns before projection; a width of {width} is more"
                )
            widths[name] = int(width)
    fits = {name: PcaFit(specs[name]["raw_width"], width) for name, width in widths.items()}
    seen = {name: ListDigest() for name in widths}
    folder = read.folder
    for index in range(folder.count if widths and choice.kind != GAUSSIAN else 0):
        shard = read.shard(index)
        of_shard = splits[index * folder.size : (index + 1) * folder.size]
        clips = [clip for split, clip in zip(of_shard, shard.clips, strict=True) if split == FITTED_SPLIT]
        for name, fit in fits.items():
            rows = [_rows_to_fit(clip, name) for clip in clips]
            for clip, its in zip(clips, rows, strict=True):
                if len(its):
                    seen[name].append([clip.id, clip.digest()])
            if sum(map(len, rows)):
                fit.partial_fit(np.concatenate(rows))
    return {
        name: _solve(name, fit, specs[name]["raw_width"], widths[name], seen[name], choice, notice)
        for name, fit in fits.items()
    }


def _rows_to_fit(clip: ClipRows, name: str) -> NDArray[np.float32]:
    """Present windows; of a stream without windows, the utterance's row."""
    rows = clip.streams[name]
    if len(rows.window_present):
        return rows.windows[rows.window_present]
    return rows.utterance[None] if rows.present else rows.utterance[None][:0]


def _solve(
    name: str,
    fit: PcaFit,
    raw_width: int,
    width: int,
    seen: ListDigest,
    choice: ProjectionChoice,
    notice: Callable[[str], None],
) -> StoredProjection:
    if choice.kind != GAUSSIAN:
        try:
            fitted = turned(fit.fit(), seed=choice.seed) if choice.turns else fit.fit()
            return _stated(fitted, {"split": FITTED_SPLIT, "utterances": len(seen), "sha256": seen.sha256()})
        except TooFewRowsError as error:
            if choice.kind != "auto":
                raise DualstreamError(f"stream {name}: {error}") from error
            notice(
                f"stream {name}: a random Gaussian projection to {width} columns stands in for the PCA: {error}"
            )
    return _stated(gaussian(raw_width, width, seed=choice.seed), {})


def _stated(fitted: Fitted, facts: JsonObject) -> StoredProjection:
    return StoredProjection(fitted.kind, fitted.mean, fitted.components, {**facts, **fitted.facts})


def _projected(clips: Sequence[ClipRows], fitted: dict[str, StoredProjection]) -> list[ClipRows]:
    """Bring a shard's rows through the projections in one product a stream; what is masked stays zeros."""
    streams = [dict(clip.streams) for clip in clips]
    for name, projection in fitted.items():
        raw = [clip.streams[name] for clip in clips]
        road = Fitted(projection.kind, projection.mean, projection.components)
        rows = road.transform(
            np.concatenate([*(one.utterance[None] for one in raw), *(one.windows for one in raw)])
        )
        ends = len(raw) + np.cumsum([len(one.windows) for one in raw])
        for number, (one, windows) in enumerate(zip(raw, np.split(rows, [len(raw), *ends[:-1]])[1:], strict=True)):
            utterance = rows[number] if one.present else np.zeros_like(rows[number])
            if len(windows):
                windows = np.where(one.window_present[:, None], windows, np.float32(0))
            streams[number][name] = replace(one, utterance=utterance, windows=windows)
    return [replace(clip, streams=its) for clip, its in zip(clips, streams, strict=True)]


def _utterances(manifest: Manifest, clips: ClipColumns, *, as_lists: bool) -> Utterances:
    columns = manifest.columns
    texts: dict[str, Any] = {
        name: Texts.of(getattr(columns, name)) for name in ("id", "split", "dialogue", "speaker")
    }
    texts |= {name: getattr(clips, name).texts() for name in ("sha256", "status", "reason")}
    if as_lists:
        texts = {name: list(column) for name, column in texts.items()}

    def codes(labels: CodedTexts, names: Sequence[str]) -> NDArray[np.int16]:
        place = {name: number for number, name in enumerate(names)}
        codes = np.array([place.get(name, UNLABELLED) for name in labels.names], dtype=np.int16)
        return codes[np.asarray(labels.codes)]

    return Utterances(
        turn=np.array(columns.turn, dtype=np.int32),
        emotion=codes(columns.emotion, manifest.emotions),
        sentiment=codes(columns.sentiment, manifest.sentiments),
        duration_s=clips.duration_s.rows(),
        **texts,
    )
