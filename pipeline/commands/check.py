"""check: the data doctor. Says what is wrong with a corpus, and what each fault means for the results."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

from dualstream.features.options import OF_FACES, OF_SPEAKERS, FaceOptions, given_options
from dualstream.pipeline.corpus.checks.balance import balance
from dualstream.pipeline.corpus.checks.document import CheckDocument
from dualstream.pipeline.corpus.checks.findings import SEVERITIES, Finding
from dualstream.pipeline.corpus.checks.registry import CheckedCorpus, examine
from dualstream.pipeline.corpus.manifest import Manifest, find_manifest, read_manifest
from dualstream.pipeline.corpus.remote_root import RemoteRoot
from dualstream.pipeline.errors import DONE_WITH_FAILURES, UsageError
from dualstream.pipeline.options.corpus import CheckCommand, CheckOptions
from dualstream.pipeline.options.emit import CommandResult, notice
from dualstream.pipeline.reporting.check_report import show

if TYPE_CHECKING:
    from dualstream.features.faces.region import FaceMethod

__all__ = ["CheckOptions", "Checkup", "main", "run", "show"]

STRICT_FAILURE = 1


@dataclass(frozen=True)
class Checkup:
    """What the doctor found."""

    findings: list[Finding]
    """The gravest first."""
    document: CheckDocument
    """The same as JSON values, with class balance and counts."""
    exit_status: int
    """0; 3 where clips can't be used; 1 where `strict` and anything is an error."""


def run(options: CheckCommand) -> CommandResult:
    """Do what the command line asks."""
    found = main(options.manifest, options.root, options.check, face=options.face, notice=notice)
    return CommandResult(found.document, lambda: show(found.document, found.findings), found.exit_status)


def main(
    manifest_path: Path,
    root: Path | RemoteRoot | None,
    options: CheckOptions | None = None,
    *,
    face: FaceOptions | None = None,
    notice: Callable[[str], None] = lambda text: None,
) -> Checkup:
    """Examine a manifest, and the clips below `root`.

    Raises
    ------
    ManifestError
        Where the manifest can't be read; it names every fault by row and column.
    UsageError
        Where clips are to be looked at and no root is given, the root is no directory, or options do not fit.
    """
    options = options or CheckOptions()
    if options.media and root is None:
        raise UsageError("no --root given; name the folder that holds the clips, or give --no-media")
    if not options.media and options.ffmpeg is not None:
        raise UsageError(f"--ffmpeg {options.ffmpeg} opens clips, which --no-media leaves alone: leave one out")
    if root is not None and (options.media or isinstance(root, Path)) and not root.is_dir():
        raise UsageError(f"--root {root} is not a directory; give the folder that the manifest's paths start from")
    for text in _idle(root, options):
        notice(text)
    manifest = read_manifest(find_manifest(manifest_path, notice))
    method = _method(options, face or FaceOptions())
    opened = options.media and root is not None
    corpus = _opened(manifest, root, options, method) if opened and root is not None else CheckedCorpus(manifest)
    findings = examine(corpus)
    unusable = tuple(fact.utterance.id for fact in corpus.clips if fact.fault)
    document = _document(manifest, findings, unusable, options)
    return Checkup(findings, document, _status(findings, unusable, options))


def _idle(root: Path | RemoteRoot | None, options: CheckOptions) -> list[str]:
    """Return what a person should know of options of clips where none is opened: they change nothing."""
    if options.media:
        return []
    given = [] if root is None else [f"--root {root}"]
    given += given_options(options, ("sound", "workers"))
    return [f"{one} is for clips, and --no-media opens none: it changes nothing" for one in given]


def _method(options: CheckOptions, face: FaceOptions) -> FaceMethod | None:
    """Build what finds faces; None where they are not asked for."""
    if not options.faces:
        if given := given_options(face, (*OF_FACES, *OF_SPEAKERS)):
            raise UsageError(f"{given[0]} goes with --faces: give that too, or leave it out")
        return None
    if not options.media:
        raise UsageError("--faces opens the clips; it does not go with --no-media")
    from dualstream.features.faces.region import make_method

    try:
        return make_method(replace(face, region=("speaker",)))
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error


def _opened(
    manifest: Manifest, root: Path | RemoteRoot, options: CheckOptions, method: FaceMethod | None
) -> CheckedCorpus:
    """Look at every clip, and at the files below `root` that no row names."""
    from dualstream.features.media import MediaError, find_ffmpeg
    from dualstream.pipeline.corpus.checks.clips import Facts, gather
    from dualstream.pipeline.corpus.checks.files import extra_files
    from dualstream.pipeline.reporting.progress import Progress

    try:
        ffmpeg = find_ffmpeg(options.ffmpeg)
    except MediaError as e:
        raise UsageError(str(e)) from e
    facts: list[Facts] = []
    looked = gather(manifest, root, sound=options.sound, workers=options.workers, ffmpeg=ffmpeg, faces=method)
    with closing(looked), Progress(len({u.files for u in manifest}), what="looking at clips") as progress:
        for some in looked:
            facts += some
            progress.advance(failed=bool(some[0].fault))
    order = {u.id: number for number, u in enumerate(manifest)}
    facts.sort(key=lambda fact: order[fact.utterance.id])
    return CheckedCorpus(manifest, clips=tuple(facts), extra_files=extra_files(manifest, root))


def _document(
    manifest: Manifest, findings: list[Finding], unusable: tuple[str, ...], options: CheckOptions
) -> CheckDocument:
    counts = Counter(finding.rule.severity for finding in findings)
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
    if options.strict and any(finding.rule.severity == "error" for finding in findings):
        return STRICT_FAILURE
    return DONE_WITH_FAILURES if unusable else 0
