"""weights: which published weights there are, and how they come here. Nothing else in dualstream downloads."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import ClassVar

from dualstream.features.published import PUBLISHED, PublishedFile, PublishedWeights, find_published
from dualstream.features.single_read import digest_of_file
from dualstream.pipeline.errors import DualstreamError, UsageError
from dualstream.pipeline.options.emit import CommandResult, notice, text_result
from dualstream.pipeline.options.weights import WeightsCommand
from dualstream.pipeline.reporting.progress import Progress
from dualstream.pipeline.storage.download import AbsentError, Fetcher
from dualstream.pipeline.storage.folders import make_folder
from dualstream.pipeline.storage.lock import locked

from dualstream.documents import Document

MB = 1e6


def run(options: WeightsCommand) -> CommandResult:
    """Do what the command line asks."""
    if options.action == "list":
        listed = WeightsList(tuple(facts_of(one) for one in PUBLISHED.values()))
        return text_result(listed, "\n".join(describe(one) for one in listed.weights))
    found = get(options.name, notice=notice)
    return text_result(found, f"{found.name}: in {found.folder}; use it as {found.use}")


@dataclass(frozen=True)
class WeightsFacts(Document):
    """Published weights: what there is to know of them, and where they are."""

    FORMAT: ClassVar[str] = "dualstream weights"

    name: str
    what: str
    size: int | None
    """Bytes; None: as the server states it."""
    licence: str
    source: str
    folder: str
    """Where they are, or would be."""
    there: bool
    use: str
    """As `extract` takes them."""
    sha256: dict[str, str] | None = None
    """Of each file, once they were fetched."""


@dataclass(frozen=True)
class WeightsList(Document):
    """All weights that can be fetched by name."""

    FORMAT: ClassVar[str] = "dualstream weights list"

    weights: tuple[WeightsFacts, ...]


def facts_of(one: PublishedWeights) -> WeightsFacts:
    """Return what there is to know of weights."""
    return WeightsFacts(
        name=one.name,
        what=one.what,
        size=one.size(),
        licence=one.licence,
        source=one.source,
        folder=str(one.folder()),
        there=one.is_there(),
        use=one.use or f"hf:{one.name}",
    )


def describe(facts: WeightsFacts) -> str:
    """Return the facts as text for a person."""
    size = f"about {facts.size / MB:,.1f} MB" if facts.size else "size as the server states it"
    there = f"in {facts.folder}" if facts.there else f"`dualstream weights get {facts.name}`"
    return (
        f"{facts.name}: {facts.what}\n  {size}; licence: {facts.licence}\n  {facts.source}\n  "
        f"{there}; use it as {facts.use}"
    )


def get(
    name: str, *, fetcher: Fetcher | None = None, notice: Callable[[str], None] = lambda text: None
) -> WeightsFacts:
    """Fetch the files of weights that are not there already, or are damaged; return the facts with digests.

    Raises
    ------
    UsageError
        Where no weights have that name.
    DualstreamError
        Where they can't be fetched, or another run is at it.
    """
    try:
        one = find_published(name)
    except ValueError as error:
        raise UsageError(str(error)) from error
    folder = one.folder()
    size = f"about {one.size() / MB:,.1f} MB" if one.size() else "size unknown"  # type: ignore[operator]
    notice(f"{one.name}: {one.what}; {size}; licence: {one.licence}; from {one.source}, into {folder}")
    make_folder(folder)
    with locked(folder / f".{one.name.replace('/', '--').replace(':', '-')}.lock"):
        digests = {file.name: _fetched(file, folder, fetcher, notice) for file in one.files}
    return replace(facts_of(one), sha256=digests)


def _fetched(file: PublishedFile, folder: Path, fetcher: Fetcher | None, notice: Callable[[str], None]) -> str:
    """Return the digest of a file, which is fetched where it is not there as it was published."""
    target = folder / file.name
    if target.is_file():
        sha256 = digest_of_file(target)
        if sha256.startswith(file.sha256):
            notice(f"{target} is there")
            return sha256
        notice(f"{target} is not what was published: it is fetched again")
    with Progress(max(1, round((file.size or 0) / MB)), what=f"MB of {file.name}") as progress:
        fetcher = replace(fetcher or Fetcher(), on_bytes=lambda count, total: _advance(progress, count, total))
        try:
            return fetcher.fetch(file, target)
        except AbsentError as error:
            if not target.name.endswith(".safetensors"):
                raise
            raise DualstreamError(
                f"{error}. That model has no safetensors there, and other formats may hold code: where you trust "
                "it, transformers writes them (`AutoModel.from_pretrained(NAME).save_pretrained(FOLDER)`)"
            ) from error


def _advance(progress: Progress, count: int, total: int | None) -> None:
    """Note the megabytes that have come."""
    if total is not None:
        progress.expect(max(1, round(total / MB)))
    while progress.rate.done < int(count / MB):
        progress.advance(failed=False)
