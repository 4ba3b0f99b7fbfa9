"""predict: emotion and sentiment of clips, folders, manifests or long recordings, by a bundle."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from dualstream.features.encode import ClipPlan
from dualstream.features.media import MediaError
from dualstream.heads.data.speaker_batches import SpeakerBatch, batch_warnings
from dualstream.heads.data.speaker_prior import SpeakerScales
from dualstream.pipeline.bundles.folder import Bundle, read_bundle
from dualstream.pipeline.bundles.inputs import Item, gather
from dualstream.pipeline.bundles.loaded import LoadedBundle, load, speaker_codes
from dualstream.pipeline.bundles.predictions import ANSWERED, FAILED, PredictionReport, UtteranceAnswer
from dualstream.pipeline.bundles.timeline import DEFAULT_CONTEXT_S, UNKNOWN, Timeline, clip_timeline, has_timeline
from dualstream.pipeline.errors import DONE_WITH_FAILURES, UsageError
from dualstream.pipeline.options.bundles import PredictCommand, PredictOptions
from dualstream.pipeline.options.emit import CommandResult, notice
from dualstream.pipeline.reporting.prediction_report import answers_of, as_csv, show
from dualstream.pipeline.reporting.progress import Progress
from dualstream.pipeline.storage.documents import write_bytes
from dualstream.pipeline.storage.folders import UnwrittenError, require_writable
from dualstream.pipeline.storage.printable import escaped

from dualstream.cores import one_blas_thread


def run(options: PredictCommand) -> CommandResult:
    """Do what the command line asks."""
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
    context_s = _context(bundle, options)
    loaded = load(bundle, weights=options.weights, device=options.device, ffmpeg=options.ffmpeg)
    for note in [*loaded.notes, *loaded.warnings]:
        notice(note)
    found = predictions_of(
        loaded,
        files,
        root=options.root,
        segments=options.segments,
        speaker=options.speaker,
        speaker_per_file=options.speaker_per_file,
        workers=options.workers,
        ffmpeg=options.ffmpeg,
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
) -> Predicted:
    """Predict the utterances of `files`; those of one speaker are normalised together, where the bundle does.

    Raises
    ------
    UsageError
        Where there is no file, or the options don't fit them.
    """
    prior = loaded.bundle.speaker_prior
    if prior is None and (speaker or speaker_per_file):
        word = "--speaker" if speaker else "--speaker-per-file"
        raise UsageError(
            f"{word}: the heads of this bundle read rows as they are, whoever speaks; leave it out, or export a "
            "run that was fitted with --speaker-norm"
        )
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
    asked = [item.utterance for item in items if item.utterance is not None]
    with Progress(len(asked)) as progress:
        rows = loaded.encode(
            asked,
            workers=workers,
            on_clip=lambda failed, frames: progress.advance(failed=failed, frames=frames),
        )
    answers = loaded.answer(items, rows)
    said = answers_of(loaded.bundle, items, rows, answers)
    batches = loaded.speaker_batches(items, rows, answers)
    warnings = [] if prior is None else batch_warnings(batches, prior)
    return Predicted(items, said, batches, warnings, None if answers is None else answers.scales)


def exit_status(report: PredictionReport) -> int:
    """Return 1 where a table or page is unwritten, 3 where some utterances have a reason for an answer, else 0."""
    if report.unwritten:
        return 1
    return DONE_WITH_FAILURES if report.failed else 0


def _check_outputs(files: Sequence[Path], options: PredictOptions) -> None:
    for word, place in (("--csv", options.csv), ("--page", options.page)):
        if place is None:
            continue
        if any(os.path.realpath(place) == os.path.realpath(path) for path in files):
            raise UsageError(f"{word} {place} is one of the files to predict; name another")
        if os.path.lexists(place) and not options.replace:
            raise UsageError(f"{word} {place} already exists; name another, or use --replace")
        if not place.absolute().parent.is_dir():
            raise UsageError(f"{word} {place}: there is no folder {place.absolute().parent}")
        require_writable(place, word)
    if options.csv is not None and options.csv == options.page:
        raise UsageError(f"--csv and --page both name {options.csv}")


def _context(bundle: Bundle, options: PredictOptions) -> float | None:
    asked = options.timeline_s
    if asked is not None and not (math.isfinite(asked) and 0.2 <= asked <= 60):
        raise UsageError(f"--timeline {asked}; expected seconds from 0.2 to 60, such as 3")
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
    return report
