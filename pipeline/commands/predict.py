"""predict: emotion and sentiment of clips, folders, manifests or long recordings, by a bundle."""

from __future__ import annotations

import math
import os
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from dualstream.features.encode import ClipPlan
from dualstream.features.encoder import StreamFeatures
from dualstream.features.media import MediaError
from dualstream.heads.cores import one_blas_thread, one_core
from dualstream.pipeline.bundles.folder import Bundle, read_bundle
from dualstream.pipeline.bundles.inference import Answers, Features, answer, make_plan, projected, recipe_of
from dualstream.pipeline.bundles.inputs import Item, gather, shown
from dualstream.pipeline.bundles.predictions import ANSWERED, FAILED, PredictionReport, UtteranceAnswer
from dualstream.pipeline.bundles.timeline import DEFAULT_CONTEXT_S, Timeline, clip_timeline, has_timeline
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import DONE_WITH_FAILURES, UsageError
from dualstream.pipeline.experiments import integrity
from dualstream.pipeline.extraction.build_shards import ShardJob, make_shards
from dualstream.pipeline.extraction.recipe import ExtractionOptions, Recipe
from dualstream.pipeline.extraction.shards import ClipRows, split_in_shards
from dualstream.pipeline.extraction.staleness import Hasher
from dualstream.pipeline.reporting.prediction_report import answered, as_csv, unanswered
from dualstream.pipeline.reporting.progress import Progress
from dualstream.pipeline.storage.documents import write_bytes
from dualstream.pipeline.storage.folders import UnwrittenError, require_writable
from numpy.typing import NDArray


@dataclass(frozen=True)
class PredictOptions:
    """What `predict` is told beside bundle and files."""

    root: Path | None = None
    """The folder that a manifest's paths start from; None: the manifest's own."""
    segments: str | None = None
    """``silence`` or seconds; None: a file is one utterance."""
    timeline_s: float | None = None
    """Length of the stretches whose answers make a clip's timeline, seconds; None: 3 with a page, else none."""
    csv: Path | None = None
    page: Path | None = None
    replace: bool = False
    """Write over `csv` and `page`."""
    weights: tuple[Path, ...] = ()
    """Files of encoder weights that the bundle does not carry."""
    device: str = "auto"
    ffmpeg: Path | None = None
    workers: int = 2
    """Clips decoded side by side."""


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
        Where the words don't fit together, or an output is there already.
    """
    options = options or PredictOptions()
    _check_outputs(files, options)
    bundle = read_bundle(path)
    context_s = _context(bundle, options)
    plan, notes = make_plan(bundle, weights=options.weights, device=_device(options.device), ffmpeg=options.ffmpeg)
    warnings = integrity.with_random_weights(
        bundle.document.get("warnings", []), {name: one["spec"] for name, one in bundle.streams.items()}
    )
    for note in [*notes, *warnings]:
        notice(note)
    ffmpeg = None if options.ffmpeg is None else str(options.ffmpeg)
    items = gather(files, root=options.root, segments=options.segments, ffmpeg=ffmpeg)
    if not items:
        raise UsageError(f"there is no file in {', '.join(map(str, files))}")
    recipe = recipe_of(bundle, plan)
    asked = [item.utterance for item in items if item.utterance is not None]
    rows = _rows(asked, bundle, recipe, workers=options.workers)
    answers = _answers(bundle, items, rows)
    said: list[UtteranceAnswer] = []
    at = 0
    for item in items:
        if item.utterance is None:
            said.append(unanswered(item, item.reason))
            continue
        assert answers is not None
        said.append(answered(bundle, item, rows[at], answers, at))
        at += 1
    said, timelines = _with_timelines(items, said, bundle, plan, context_s)
    report = PredictionReport(
        bundle=shown(str(path)),
        variant=bundle.variant,
        fingerprint=bundle.fingerprint,
        notes=tuple(notes),
        warnings=tuple(warnings),
        vocabulary={task: tuple(bundle.vocabulary[task]) for task in bundle.calibration},
        timeline_s=context_s,
        utterances=tuple(said),
        failed=sum(one.status == FAILED for one in said),
        csv=None if options.csv is None else shown(str(options.csv)),
        page=None if options.page is None else shown(str(options.page)),
    )
    report = _write(report, timelines, options)
    for text in report.unwritten:
        notice(text)
    return report


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
            raise UsageError(f"{word} {place} is there already; name another, or say --replace")
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


def _device(text: str) -> str:
    if text != "auto":
        return text
    import torch

    return "cuda" if torch.cuda.is_available() else "cpu"


@one_core()
def _rows(asked: Sequence[Utterance], bundle: Bundle, recipe: Recipe, *, workers: int) -> list[ClipRows]:
    """Bring clips through stage 1 and their projections, in batches as `extract` cuts a manifest of these rows."""
    groups = split_in_shards(asked, recipe.document["shard_size"])
    jobs = [ShardJob(index, group) for index, group in enumerate(groups)]
    done: list[ClipRows] = []
    with Progress(len(asked)) as progress:
        made = make_shards(
            jobs,
            recipe,
            Hasher(Path(os.path.abspath(os.sep))),
            workers=workers,
            batches=ExtractionOptions().batches,
            on_clip=lambda failed, frames: progress.advance(failed=failed, frames=frames),
        )
        for one in made:  # raw rows of one batch at a time: those of a large network are wide
            clips = one.shard.clips
            streams: dict[str, list[StreamFeatures]] = {
                name: projected([clip.streams[name] for clip in clips], bundle.projections.get(name))
                for name in bundle.streams
            }
            for at, clip in enumerate(clips):
                done.append(replace(clip, streams={name: rows[at] for name, rows in streams.items()}))
    return done


def _answers(bundle: Bundle, items: Sequence[Item], rows: Sequence[ClipRows]) -> Answers | None:
    if not rows:
        return None
    streams = {name: [clip.streams[name] for clip in rows] for name in bundle.streams}
    features = Features([clip.starts_s for clip in rows], streams)
    known = [item for item in items if item.utterance is not None]
    return answer(bundle, features.feature_set(bundle, *_dialogues(known)))


def _dialogues(items: Sequence[Item]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return codes of dialogues, and turns: a manifest's own; segments of one recording follow one another."""
    codes: dict[tuple[str, ...], int] = {}
    dialogue, turn = [], []
    for number, item in enumerate(items):
        one = item.utterance
        assert one is not None
        key: tuple[str, ...] = ("alone", str(number))
        if item.recording:
            key = ("recording", item.recording)
        elif one.dialogue:
            key = ("dialogue", one.split, one.dialogue)
        dialogue.append(codes.setdefault(key, len(codes)))
        turn.append(number if one.turn is None else one.turn)
    return np.array(dialogue, dtype=np.int64), np.array(turn, dtype=np.int64)


def _with_timelines(
    items: Sequence[Item],
    said: Sequence[UtteranceAnswer],
    bundle: Bundle,
    plan: ClipPlan,
    context_s: float | None,
) -> tuple[list[UtteranceAnswer], list[Timeline | None]]:
    """Return each utterance with its timeline, and the timelines, where they are asked for and can be had."""
    if context_s is None:
        return list(said), [None] * len(items)
    found: list[UtteranceAnswer] = []
    timelines: list[Timeline | None] = []
    with Progress(sum(one.status == ANSWERED for one in said), what="timelines") as progress:
        for item, one in zip(items, said, strict=True):
            timeline = None
            if one.status == ANSWERED:
                assert item.path is not None
                try:
                    timeline = clip_timeline(
                        item.path, item.span_s, bundle, plan, context_s=context_s, sound=item.sound
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
