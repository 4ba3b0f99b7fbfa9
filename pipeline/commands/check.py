"""check: the data doctor. Says what is wrong with a corpus, and what each fault means for the results."""

from __future__ import annotations

from collections import Counter
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from dualstream.pipeline.corpus.checks import meld
from dualstream.pipeline.corpus.checks.balance import balance
from dualstream.pipeline.corpus.checks.catalogue import SEVERITIES
from dualstream.pipeline.corpus.checks.document import CheckDocument
from dualstream.pipeline.corpus.checks.findings import Finding, by_severity
from dualstream.pipeline.corpus.checks.leakage import examine_leakage
from dualstream.pipeline.corpus.checks.limits import Limits
from dualstream.pipeline.corpus.checks.table import examine_table
from dualstream.pipeline.corpus.manifest import Manifest, ManifestError, read_manifest
from dualstream.pipeline.errors import DONE_WITH_FAILURES, UsageError
from dualstream.pipeline.reporting.check_report import show

__all__ = ["CheckOptions", "Checkup", "main", "show"]

STRICT_FAILURE = 1


@dataclass(frozen=True)
class CheckOptions:
    """How closely the doctor looks."""

    media: bool = True
    """Open every clip; without, the manifest alone is judged."""
    sound: bool = True
    """Decode the sound of every clip, to find silent and clipped ones."""
    strict: bool = False
    """End with status 1 where anything is an error."""
    workers: int = 2
    """Clips that are looked at side by side."""
    ffmpeg: str | None = None
    """The binary; None: the one on PATH, else the one that imageio-ffmpeg brings."""

    def __post_init__(self) -> None:
        if self.workers < 1:
            raise UsageError(f"found {self.workers} workers; expected 1 or more")


@dataclass(frozen=True)
class Checkup:
    """What the doctor found."""

    findings: list[Finding]
    """The gravest first."""
    document: CheckDocument
    """The same as JSON values, with class balance and counts."""
    exit_status: int
    """0; 3 where clips can't be used; 1 where `strict` and anything is an error."""


def main(manifest_path: Path, root: Path | None, options: CheckOptions | None = None) -> Checkup:
    """Examine a manifest, and the clips below `root`.

    Raises
    ------
    ManifestError
        Where the manifest can't be read; it names every fault by row and column.
    UsageError
        Where clips are to be looked at and no root is given.
    """
    options = options or CheckOptions()
    if options.media and root is None:
        raise UsageError("no --root given; name the folder that holds the clips, or give --no-media")
    limits = Limits()
    manifest = read_manifest(manifest_path)
    findings = [*examine_leakage(manifest, limits), *examine_table(manifest, limits)]
    unusable: tuple[str, ...] = ()
    if options.media and root is not None:
        more, unusable = _examine_clips(manifest, root, limits, options)
        findings += more
    else:
        findings += meld.examine_rows(manifest)
    findings = by_severity(findings)
    document = _document(manifest, findings, unusable, options)
    return Checkup(findings, document, _status(findings, unusable, options))


def _examine_clips(
    manifest: Manifest, root: Path, limits: Limits, options: CheckOptions
) -> tuple[list[Finding], tuple[str, ...]]:
    """Return what files and clips show, and the ids of the clips that can't be used."""
    from dualstream.features.media import MediaError, find_ffmpeg
    from dualstream.pipeline.corpus.checks.clips import Facts, gather
    from dualstream.pipeline.corpus.checks.files import examine_files
    from dualstream.pipeline.corpus.checks.media import examine_media
    from dualstream.pipeline.reporting.progress import Progress

    if not root.is_dir():
        raise ManifestError(f"{root} is not a folder; expected the one that the manifest's paths start from")
    try:
        ffmpeg = find_ffmpeg(options.ffmpeg)
    except MediaError as e:
        raise UsageError(str(e)) from e
    facts: list[Facts] = []
    looked = gather(manifest, root, sound=options.sound, workers=options.workers, ffmpeg=ffmpeg)
    with closing(looked), Progress(len({u.files for u in manifest}), what="looking at clips") as progress:
        for some in looked:
            facts += some
            progress.advance(failed=bool(some[0].fault))
    order = {u.id: number for number, u in enumerate(manifest)}
    facts.sort(key=lambda fact: order[fact.utterance.id])
    usable = {fact.utterance.id: not fact.fault for fact in facts}
    sizes = {fact.utterance.id: fact.size_bytes for fact in facts}
    findings = [
        *examine_files(manifest, root),
        *examine_media(facts, limits),
        *meld.examine_rows(manifest, usable),
        *meld.examine_sizes(manifest, sizes, limits),
    ]
    return findings, tuple(name for name, good in usable.items() if not good)


def _document(
    manifest: Manifest, findings: list[Finding], unusable: tuple[str, ...], options: CheckOptions
) -> CheckDocument:
    counts = Counter(finding.kind.severity for finding in findings)
    looked_at = "table and clips" if options.media else "table alone"
    if options.media and not options.sound:
        looked_at = "table and headers of clips"
    return CheckDocument(
        utterances=len(manifest),
        sha256=manifest.sha256,
        looked_at=looked_at,
        counts={severity: counts[severity] for severity in SEVERITIES},
        unusable=unusable,
        findings=tuple(findings),
        balance=balance(manifest),
    )


def _status(findings: list[Finding], unusable: tuple[str, ...], options: CheckOptions) -> int:
    if options.strict and any(finding.kind.severity == "error" for finding in findings):
        return STRICT_FAILURE
    return DONE_WITH_FAILURES if unusable else 0
