"""predict: emotion and sentiment of clips, folders, manifests or long recordings, by a bundle."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from pathlib import Path

from dualstream.features.encode import ClipPlan
from dualstream.features.media import MediaError
from dualstream.features.options import given_options
from dualstream.heads.data.speaker_batches import SpeakerBatch, batch_warnings
from dualstream.heads.data.speaker_prior import SpeakerScales
from dualstream.pipeline.bundles.folder import Bundle, read_bundle
from dualstream.pipeline.bundles.inputs import Item, gather, require_segments
from dualstream.pipeline.bundles.loaded import LoadedBundle, load, speaker_codes
from dualstream.pipeline.bundles.predictions import ANSWERED, FAILED, PredictionReport, UtteranceAnswer
from dualstream.pipeline.bundles.table_inputs import (
    encode_tables,
    is_over_tables,
    load_tables,
    named_tables,
    table_items,
)
from dualstream.pipeline.bundles.timeline import DEFAULT_CONTEXT_S, UNKNOWN, Timeline, clip_timeline, has_timeline
from dualstream.pipeline.errors import DONE_WITH_FAILURES, UsageError
from dualstream.pipeline.extraction.shards import ClipRows
from dualstream.pipeline.options.bundles import ANNOTATIONS, PredictCommand, PredictOptions
from dualstream.pipeline.options.emit import CommandResult, notice
from dualstream.pipeline.places import require_file_place
from dualstream.pipeline.reporting.annotation_files import check_places, write_annotations
from dualstream.pipeline.reporting.prediction_report import answers_of, as_csv, show
from dualstream.pipeline.reporting.progress import Progress
from dualstream.pipeline.storage.documents import write_bytes
from dualstream.pipeline.storage.folders import UnwrittenError, require_writable
from dualstream.pipeline.storage.printable import escaped

from dualstream.cores import one_blas_thread

LONGEST_UTTERANCE_S = 30.0  # twice what --segments silence leaves whole


def run(options: PredictCommand) -> CommandResult:
    """Do what the command line asks."""
    asked = options.predict.timeline_s
    _require_stretch(asked)
    if asked is not None and options.predict.page is None and not options.as_json:
        raise UsageError(f"--timeline {asked:g} stands in --json and on --page: give one of them, or leave it out")
    found = predict(options.bundle, options.files, options.predict, notice=notice)
    return CommandResult(found, lambda: show(found), exit_status(found))


@one_blas_thread()
def predict(
    path: Path,
    files: Sequence[Path],
    options: PredictOptions | None = None,
    *,
    notice: Callable[[str], None] = lambda text: None,
) -> PredictionReport:
    """Answer for every utterance, or say why not; write CSV and page where asked.

    Returns
    -------
    A table or page that can not be written at the end is None there, and ``unwritten`` says why: the answers are
    not lost with it.

    Raises
    ------
    NoCacheError, CorruptError, FingerprintMismatchError
        As `read_bundle` and `make_plan` do.
    UsageError
        Where the words don't fit together, or an output already exists.
    """
    options = options or PredictOptions()
    _check_outputs(files, options)
    bundle = read_bundle(path)
    over_tables = bool(options.table) or is_over_tables(bundle)
    if over_tables:
        _check_table_options(options, notice)
        loaded, context_s = load_tables(bundle, named_tables(bundle, options.table)), None
    else:
        _require_files(files)
        require_segments(options.segments)
        context_s = _context(bundle, options)
        loaded = load(bundle, weights=options.weights, device=options.device, ffmpeg=options.ffmpeg)
    for note in [*loaded.notes, *loaded.warnings]:
        notice(note)
    if over_tables:
        found = predictions_of_tables(loaded, files, speaker=options.speaker)
    else:
        found = predictions_of(
            loaded,
            files,
            root=options.root,
            segments=options.segments,
            speaker=options.speaker,
            speaker_per_file=options.speaker_per_file,
            workers=options.workers,
            ffmpeg=options.ffmpeg,
            on_items=lambda items: check_places(options.annotations, items, replace=options.replace),
        )
    for text in found.warnings:
        notice(text)
    said, timelines = _with_timelines(found, bundle, loaded.plan, context_s)
    report = PredictionReport(
        bundle=escaped(str(path)),
        variant=bundle.variant,
        fingerprint=bundle.fingerprint,
        notes=tuple(loaded.notes),
        warnings=(*loaded.warnings, *found.warnings),
        vocabulary={task: tuple(bundle.vocabulary[task]) for task in bundle.calibration},
        timeline_s=context_s,
        utterances=tuple(said),
        failed=sum(one.status == FAILED for one in said),
        csv=None if options.csv is None else escaped(str(options.csv)),
        page=None if options.page is None else escaped(str(options.page)),
        speakers=tuple(found.speakers),
    )
    report = _write(report, timelines, options)
    for text in report.unwritten:
        notice(text)
    return report


@dataclass(frozen=True, repr=False)
class Predicted:
    """The utterances of a call, and what a bundle says of them."""

    items: list[Item]
    utterances: list[UtteranceAnswer]
    """Of each item what docs/bundle.md says that a document holds."""
    speakers: list[SpeakerBatch]
    """What each speaker was normalised by; empty where heads read rows as they are."""
    warnings: list[str]
    """What must be said of answers that rest on these utterances of the speakers."""
    scales: SpeakerScales | None = None
    """By which speakers were normalised."""


def predictions_of(
    loaded: LoadedBundle,
    files: Sequence[Path],
    *,
    root: Path | None = None,
    segments: str | None = None,
    speaker: str = "",
    speaker_per_file: bool = False,
    workers: int = 2,
    ffmpeg: Path | None = None,
    on_items: Callable[[Sequence[Item]], None] = lambda items: None,
) -> Predicted:
    """Predict the utterances of `files`; those of one speaker are normalised together, where the bundle does.

    Raises
    ------
    UsageError
        Where there is no file, or the options don't fit them.
    """
    _require_files(files)
    _check_speaker(loaded, "--speaker" if speaker else "--speaker-per-file" if speaker_per_file else "")
    items = gather(
        files,
        root=root,
        segments=segments,
        speaker=speaker,
        speaker_per_file=speaker_per_file,
        ffmpeg=None if ffmpeg is None else str(ffmpeg),
    )
    if not items:
        raise UsageError(f"there is no file in {', '.join(map(str, files))}")
    on_items(items)
    asked = [item.utterance for item in items if item.utterance is not None]
    with Progress(len(asked)) as progress:
        rows = loaded.encode(
            asked,
            workers=workers,
            on_clip=lambda failed, frames: progress.advance(failed=failed, frames=frames),
        )
    return _answered(loaded, items, rows, long_files(items, rows))


def predictions_of_tables(loaded: LoadedBundle, files: Sequence[Path], *, speaker: str = "") -> Predicted:
    """Predict the utterances of new tables: those of a manifest, where one is named, else all of them.

    Raises
    ------
    UsageError
        Where other files than one manifest are named.
    """
    if len(files) > 1 or any(path.suffix.lower() != ".csv" for path in files):
        raise UsageError(
            "--table stands in the place of clips; beside it at most one manifest (.csv) says which rows"
        )
    _check_speaker(loaded, "--speaker" if speaker else "")
    items = table_items(loaded, files[0] if files else None, speaker=speaker)
    return _answered(loaded, items, encode_tables(loaded, items))


def _require_files(files: Sequence[Path]) -> None:
    if not files:
        raise UsageError("there is no file at all; name clips, folders, manifests (.csv) or recordings")


def _check_speaker(loaded: LoadedBundle, word: str) -> None:
    """Refuse an option of speakers where heads read rows as they are."""
    if word and loaded.bundle.speaker_prior is None:
        raise UsageError(
            f"{word}: the heads of this bundle read rows as they are, whoever speaks; leave it out, or export a "
            "run that was fitted with --speaker-norm"
        )


def _answered(
    loaded: LoadedBundle, items: list[Item], rows: list[ClipRows], warnings: Sequence[str] = ()
) -> Predicted:
    prior = loaded.bundle.speaker_prior
    answers = loaded.answer(items, rows)
    said = answers_of(loaded.bundle, items, rows, answers)
    batches = loaded.speaker_batches(items, rows, answers)
    more = [] if prior is None else batch_warnings(batches, prior)
    return Predicted(items, said, batches, [*warnings, *more], None if answers is None else answers.scales)


def long_files(items: Sequence[Item], rows: Sequence[ClipRows]) -> list[str]:
    """Return what must be said of files that are far too long for one utterance, and what to type."""
    found = []
    for item, clip in zip((item for item in items if item.utterance is not None), rows, strict=True):
        loose = item.utterance is not None and item.name != item.utterance.id and item.span_s is None
        if loose and clip.duration_s > LONGEST_UTTERANCE_S:
            found.append(
                f"{item.name}: {clip.duration_s:.0f} s are taken for one utterance, and heads are fitted on "
                "utterances of a few seconds; cut it: --segments silence (at pauses), --segments 5 (by length), "
                "or --segments FILE (subtitles, RTTM, TextGrid, EAF)"
            )
    return found


def exit_status(report: PredictionReport) -> int:
    """Return 1 where a table or page is unwritten, 3 where some utterances have a reason for an answer, else 0."""
    if report.unwritten:
        return 1
    return DONE_WITH_FAILURES if report.failed else 0


def _check_table_options(options: PredictOptions, notice: Callable[[str], None]) -> None:
    """Refuse options of clips, where there are only rows; tell of one that does no harm."""
    clips = ("root", "segments", "timeline_s", "weights", "ffmpeg", *ANNOTATIONS)
    used = [name for name in clips if getattr(options, name)]
    if used or options.speaker_per_file or options.device not in ("auto", "cpu"):
        words = ", ".join("--" + name.removesuffix("_s") for name in used) or "--speaker-per-file or --device"
        raise UsageError(f"{words}: this bundle reads tables, and no clip; leave it out")
    for given in given_options(options, ("workers",)):
        notice(f"{given} is for reading clips, and this bundle reads tables: it changes nothing")


def _check_outputs(files: Sequence[Path], options: PredictOptions) -> None:
    annotations = {f"--{kind}": place for kind, place in options.annotations.items()}
    tables = {"--csv": options.csv, "--page": options.page}
    named = {word: place for word, place in tables.items() if place is not None} | annotations
    for word, place in named.items():
        if word in annotations and place.is_dir():
            continue
        if any(os.path.realpath(place) == os.path.realpath(path) for path in files):
            raise UsageError(f"{word} {place} is one of the files to predict; name another")
        require_file_place(place, word)
        if os.path.lexists(place) and not options.replace:
            raise UsageError(f"{word} {place} already exists; name another, or use --replace")
        if not place.absolute().parent.is_dir():
            raise UsageError(f"{word} {place}: there is no folder {place.absolute().parent}")
        require_writable(place, word)
    for (other, same), (word, place) in combinations(named.items(), 2):
        if place == same and not place.is_dir():
            raise UsageError(f"{other} and {word} both name {place}")


def _require_stretch(asked: float | None) -> None:
    if asked is not None and not (math.isfinite(asked) and 0.2 <= asked <= 60):
        raise UsageError(f"--timeline {asked}; expected seconds from 0.2 to 60, such as 3")


def _context(bundle: Bundle, options: PredictOptions) -> float | None:
    asked = options.timeline_s
    _require_stretch(asked)
    if asked is not None and not has_timeline(bundle):
        raise UsageError(
            f"--timeline: {bundle.variant} answers for turns of a dialogue; it has no timeline of a single clip"
        )
    if asked is None and options.page is not None and has_timeline(bundle):
        return DEFAULT_CONTEXT_S
    return asked


def _with_timelines(
    predicted: Predicted, bundle: Bundle, plan: ClipPlan, context_s: float | None
) -> tuple[list[UtteranceAnswer], list[Timeline | None]]:
    """Return each utterance with its timeline, and the timelines, where they are asked for and can be had."""
    items, said = predicted.items, predicted.utterances
    if context_s is None:
        return list(said), [None] * len(items)
    known = [item for item in items if item.utterance is not None]
    codes = iter(speaker_codes([item.speaker for item in known]))
    speakers = [UNKNOWN if item.utterance is None else int(next(codes)) for item in items]
    found: list[UtteranceAnswer] = []
    timelines: list[Timeline | None] = []
    with Progress(sum(one.status == ANSWERED for one in said), what="timelines") as progress:
        for item, one, speaker in zip(items, said, speakers, strict=True):
            timeline = None
            if one.status == ANSWERED:
                assert item.path is not None
                try:
                    timeline = clip_timeline(
                        item.path,
                        item.span_s,
                        bundle,
                        plan,
                        context_s=context_s,
                        sound=item.sound,
                        speaker=speaker,
                        scales=predicted.scales,
                    )
                    one = replace(one, timeline=tuple(timeline.to_json(bundle)))
                except (MediaError, ValueError) as error:  # changed since it was read, or too short a stretch
                    reason = "; ".join(filter(None, [one.reason, f"no timeline: {error}"]))
                    one = replace(one, reason=reason)
                progress.advance(failed=timeline is None)
            found.append(one)
            timelines.append(timeline)
    return found, timelines


def _write(
    report: PredictionReport, timelines: Sequence[Timeline | None], options: PredictOptions
) -> PredictionReport:
    """Write table and page where asked; return the report of what was written."""

    def page(report: PredictionReport) -> str:
        from dualstream.pipeline.reporting.prediction_page import prediction_page

        return prediction_page(report, timelines)

    for key, place, make in (("csv", options.csv, as_csv), ("page", options.page, page)):
        if place is None:
            continue
        try:
            write_bytes(place, make(report).encode())
        except UnwrittenError as error:
            report = report.without(key, str(error))
    return write_annotations(report, options.annotations)
