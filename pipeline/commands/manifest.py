"""manifest: turn a corpus on disk into a manifest, with splits by speaker where the corpus has none."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar, Literal, cast

from dualstream.pipeline.corpus.from_paths import read_paths
from dualstream.pipeline.corpus.importers import importer, passed_over
from dualstream.pipeline.corpus.labels import sentiment_of
from dualstream.pipeline.corpus.left_out import LeftOut
from dualstream.pipeline.corpus.left_out import describe as describe_left_out
from dualstream.pipeline.corpus.manifest import Manifest, ManifestError, is_written, write_manifest
from dualstream.pipeline.corpus.remote_root import RemoteRoot
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.corpus.utterance_columns import UtteranceColumns
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.options.corpus import ManifestCommand, ManifestOptions
from dualstream.pipeline.options.emit import CommandResult, text_result
from dualstream.pipeline.places import require_file_place
from dualstream.pipeline.storage.folders import UnwrittenError, make_folder, require_writable

from dualstream.counting import counted
from dualstream.documents import Document, JsonObject

FOLDER = "folder"  # the importer that reads a store too


def run(options: ManifestCommand) -> CommandResult:
    """Do what the command line asks."""
    report = main(
        options.corpus, options.root, options.out, options.rows, replace=options.replace, dry_run=options.dry_run
    )
    return text_result(report, describe(report))


@dataclass(frozen=True)
class ManifestSummary(Document):
    """What a manifest holds."""

    utterances: int
    splits: dict[str, int]
    dialogues: int
    pairs: int
    """Utterances whose sound is a file of its own."""
    speakers: int
    emotions: dict[str, int]
    sentiments: dict[str, int]
    without_emotion: int
    without_sentiment: int
    sha256: str


@dataclass(frozen=True)
class ManifestReport(Document):
    """What `manifest` made of a corpus."""

    FORMAT: ClassVar[str] = "dualstream manifest"

    corpus: str
    out: str
    written: bool
    state_before: str
    """Of `out`: ``absent``, ``same`` or ``different``."""
    holds: ManifestSummary
    """Its keys stand beside the others."""
    left_out: tuple[LeftOut, ...]
    notes: tuple[str, ...] = ()
    """Where the options did not say all."""

    def to_json(self) -> JsonObject:
        """Return JSON values."""
        own = super().to_json()
        left_out, holds = own.pop("left_out"), own.pop("holds")
        return own | holds | {"left_out": left_out}


def main(
    corpus: str,
    root: Path | RemoteRoot,
    out: Path,
    options: ManifestOptions | None = None,
    *,
    replace: bool = False,
    dry_run: bool = False,
) -> ManifestReport:
    """Make the manifest of a corpus below `root`, write it to `out`, and say what it holds.

    Raises
    ------
    ManifestError
        Where the corpus is not laid out as expected, or `out` holds another manifest and `replace` is not set.
    UsageError
        Where an option names something that the corpus does not have.
    """
    if not root.is_dir():
        raise ManifestError(f"{root} is not a folder; expected the one that holds the corpus")
    if isinstance(root, RemoteRoot) and corpus != FOLDER:
        raise UsageError(
            f"`manifest {corpus}` reads a folder of this machine; only `manifest {FOLDER}` reads {root}"
        )
    if not dry_run:
        require_file_place(out)
        require_writable(out)
    rows = importer(corpus)(cast(Path, root))  # the importer of folders asks for names of files only
    options = options or ManifestOptions()
    told, notes = read_paths(rows, options.patterns)
    manifest = build(told, options)
    if options.sentiment == "none" and manifest.sentiments:
        notes.append(
            "--sentiment none makes none of the emotions; the corpus labels sentiments itself, and those stay"
        )
    state = _state(manifest, out)
    if state == "different" and not (replace or dry_run):
        raise ManifestError(f"{out} holds another manifest; give --replace to write over it, or another --out")
    if state != "same" and not dry_run:
        make_folder(out.parent)
        try:
            write_manifest(manifest, out)
        except OSError as error:
            raise UnwrittenError(out, error) from error
    return ManifestReport(
        corpus=corpus,
        out=str(out),
        written=state != "same" and not dry_run,
        state_before=state,
        holds=summary(manifest),
        left_out=tuple(passed_over(corpus, root, rows)),
        notes=tuple(notes),
    )


def describe(report: ManifestReport) -> str:
    """Put what `main` returned into words for a person."""
    holds = report.holds
    splits = ", ".join(f"{name} {count}" for name, count in holds.splits.items() if count)
    lines = [f"{counted(holds.utterances, 'utterance')}: {splits}"]
    for kind, names, without in (
        ("emotion", holds.emotions, holds.without_emotion),
        ("sentiment", holds.sentiments, holds.without_sentiment),
    ):
        counts = [f"{name} {count}" for name, count in names.items()]
        if without:
            counts.append(f"without {without}")
        lines.append(f"{kind}: {', '.join(counts)}")
    lines.append(f"{counted(holds.speakers, 'speaker')}, {counted(holds.dialogues, 'dialogue')}")
    if holds.pairs:
        lines.append(f"{holds.pairs} of them with their sound in a file of its own (column sound)")
    lines += [*report.notes, *(describe_left_out(one) for one in report.left_out)]
    wrote = "written to" if report.written else "unchanged:" if report.state_before == "same" else "not written:"
    return "\n".join([*lines, f"{wrote} {report.out}"])


def build(rows: Sequence[Utterance], options: ManifestOptions) -> Manifest:
    """Apply the options to a corpus's rows."""
    rows = _split_by_speaker(_without(rows, options.drop), options)
    if options.sentiment == "from-emotion" and not any(row.sentiment for row in rows):
        told = (dataclasses.replace(row, sentiment=sentiment_of(row.emotion)) for row in rows)
        rows = UtteranceColumns.of(told)  # which takes a third of what as many objects do
    return Manifest(rows)


def summary(manifest: Manifest) -> ManifestSummary:
    """Count what a manifest holds."""
    columns = manifest.columns
    emotions, sentiments, splits = columns.emotion.counts(), columns.sentiment.counts(), columns.split.counts()
    return ManifestSummary(
        utterances=len(manifest),
        splits={split: splits[split] for split in ("train", "dev", "test")},
        dialogues=len(set(columns.dialogue.names) - {""}),
        pairs=sum(len(u.files) > 1 for u in manifest),
        speakers=len(set(columns.speaker.names) - {""}),
        emotions={name: emotions[name] for name in manifest.emotions},
        sentiments={name: sentiments[name] for name in manifest.sentiments},
        without_emotion=emotions[""],
        without_sentiment=sentiments[""],
        sha256=manifest.sha256,
    )


def _without(rows: Sequence[Utterance], drop: Sequence[str]) -> Sequence[Utterance]:
    if not drop:
        return rows
    known = {row.emotion for row in rows} - {""}
    unknown = [name for name in drop if name not in known]
    if unknown:
        raise UsageError(
            f"no utterance is labelled {', '.join(unknown)}; "
            f"the emotions are {', '.join(sorted(known)) or 'not told'}"
        )
    kept = UtteranceColumns.of(row for row in rows if row.emotion not in drop)
    if not len(kept):
        raise UsageError("every utterance would be dropped")
    return kept


def _split_by_speaker(rows: Sequence[Utterance], options: ManifestOptions) -> Sequence[Utterance]:
    split_of = dict.fromkeys(options.dev_speakers, "dev") | dict.fromkeys(options.test_speakers, "test")
    if not split_of:
        return rows
    if len({row.split for row in rows}) > 1:
        raise UsageError("the corpus has splits of its own; leave --dev-speakers and --test-speakers out")
    known = {row.speaker for row in rows} - {""}
    unknown = [name for name in split_of if name not in known]
    if unknown:
        speakers = ", ".join(sorted(known)) or "none, since the corpus names no speakers"
        raise UsageError(f"found no speaker {', '.join(unknown)}; there are {speakers}")
    return [dataclasses.replace(row, split=split_of.get(row.speaker, row.split)) for row in rows]


def _state(manifest: Manifest, out: Path) -> Literal["absent", "same", "different"]:
    if not out.exists():
        return "absent"
    return "same" if is_written(manifest, out) else "different"
