"""fit-head: fit one variant on a cache, score it on dev or by folds, and leave a run folder."""

from __future__ import annotations

import hashlib
import os
import platform
import sys
from collections.abc import Callable
from dataclasses import dataclass, replace
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import ClassVar

import numpy as np
from dualstream.heads.variants import registry
from dualstream.heads.variants.contract import Variant
from dualstream.heads.variants.registry import TASKS, FitOptions, Progress
from dualstream.pipeline import experiments
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments import REPORT, Run, experiment, integrity, protocol
from dualstream.pipeline.experiments.dry_run import FitHeadPlan
from dualstream.pipeline.experiments.experiment import Experiment
from dualstream.pipeline.experiments.history import ModelHistory
from dualstream.pipeline.experiments.interrupt import graceful_interrupt
from dualstream.pipeline.experiments.label_support import TrainingLabels
from dualstream.pipeline.experiments.options import agreed
from dualstream.pipeline.experiments.protocol import Plan
from dualstream.pipeline.experiments.ranges import write_ranges
from dualstream.pipeline.experiments.run_config import FittedCache, FittedOn, LogEntry, RunConfig, SplitCertainty
from dualstream.pipeline.experiments.scores import SplitScores
from dualstream.pipeline.experiments.speaker_prior import SpeakerNorm, write_speaker_prior
from dualstream.pipeline.experiments.training_data import Corpus, read_corpus
from dualstream.pipeline.options.emit import CommandResult
from dualstream.pipeline.options.heads import FitHeadCommand, FitHeadOptions
from dualstream.pipeline.provenance import utc_now
from dualstream.pipeline.reporting import tensorboard, terminal
from dualstream.pipeline.storage.folders import require_writable
from numpy.typing import NDArray

from dualstream.documents import Document, JsonObject


def run(options: FitHeadCommand) -> CommandResult:
    """Do what the command line asks; the scores are shown before the page is drawn."""
    place = options.out or Path("runs") / experiments.folder_name(options.fusion)
    if options.dry_run:
        planned = describe(options.cache, options.fusion, place, fit=options.fit, options=options.protocol)
        return CommandResult(planned, lambda: terminal.print_plan(planned))
    with terminal.ProgressLine() as line:

        def show(found: Run) -> None:
            line.stop()
            if not options.as_json:
                terminal.print_run(found)

        found = fit_head(
            options.cache,
            options.fusion,
            place,
            fit=options.fit,
            options=options.protocol,
            progress=line,
            scored=show,
        )
    status = 130 if found.config.interrupted else 0
    return CommandResult(document(found), lambda: terminal.print_written(found), status)


def fit_head(
    cache: Path,
    fusion: str,
    out: Path,
    *,
    fit: FitOptions | None = None,
    options: FitHeadOptions | None = None,
    progress: Progress | None = None,
    scored: Callable[[Run], None] | None = None,
) -> Run:
    """Fit a variant, score it, and write a run folder.

    Parameters
    ----------
    scored
        Called with the run as soon as it is written, before anything is drawn.

    Raises
    ------
    NoCacheError, CorruptError
        Where there is no cache, or it is damaged.
    UsageError
        Where the words don't fit the cache, or `out` is taken.
    ValueError
        Where the variant is unknown or the corpus lacks what it needs.
    """
    options = options or FitHeadOptions()
    check_request(fusion, out, options)
    corpus = read_corpus(cache, streams=options.streams, speaker_norm=options.speaker_norm)
    return fit_head_on(
        corpus, fusion, out, cache=cache, fit=fit, options=options, progress=progress, scored=scored
    )


def fit_head_on(
    corpus: Corpus,
    fusion: str,
    out: Path,
    *,
    cache: Path | None = None,
    fit: FitOptions | None = None,
    options: FitHeadOptions | None = None,
    progress: Progress | None = None,
    scored: Callable[[Run], None] | None = None,
) -> Run:
    """Do what `fit_head` does, for a corpus in memory."""
    fit, options = fit or FitOptions(), options or FitHeadOptions()
    fit, answering = agreed(fit, options.answering)
    options = replace(options, answering=answering)
    plan = protocol.plan(corpus, options.folds, scored=options.scored)
    _check_fit(fusion, corpus, fit)
    protocol.check_answering(plan, fit, options.answering)
    with graceful_interrupt(progress) as report:
        done = experiment.run(fusion, plan, fit, options.answering, progress=report)
    found = integrity.examine(plan, corpus.read_by(fusion), fit.tasks)
    run = Run(
        config=_config(plan, fit, options, done, found.certainty, _cache(corpus, out, cache)),
        metrics=done.scores.warned(*_ignored(fusion, fit, options), *found.warnings),
        history=done.history,
    )
    with experiments.new_folder(out, replace=options.replace) as folder:
        experiments.write_run(folder, run, done.models, done.predictions)
        write_ranges(folder, found.ranges)
        if plan.corpus.prior is not None:
            write_speaker_prior(folder, plan.corpus.prior)
    whole = experiments.read_run(out)  # with the test log of the run that it replaced
    if scored is not None:
        scored(whole)
    if options.tensorboard is not None:
        tensorboard.write_events(options.tensorboard, out.name, done.history)
    if options.report:  # last: the run stands, whatever becomes of the page, and `report` draws it again
        from dualstream.pipeline.reporting.report import run_report

        run_report([whole]).write(out)
    return whole


def check_request(fusion: str, out: Path, options: FitHeadOptions) -> Variant:
    """Say before anything is read what can't be done; return the variant that is named.

    Raises
    ------
    UsageError
        Where there is no such variant, `out` is taken, or TensorBoard is asked for and missing.
    """
    try:
        chosen = registry.get(fusion)
    except ValueError as error:
        raise UsageError(str(error)) from error
    experiments.check_target(out, replace=options.replace)
    if options.tensorboard is not None:
        tensorboard.check_installed()
        require_writable(options.tensorboard / out.name, "--tensorboard")
    return chosen


def _ignored(fusion: str, fit: FitOptions, options: FitHeadOptions) -> list[str]:
    """Return which options mean nothing to the variant, a line each."""
    words = protocol.ignored_options([fusion], fit, ensemble=options.answering.ensemble)
    if options.tensorboard is not None and registry.is_closed_form(fusion):
        words.append(f"--tensorboard has no effect: {fusion} is solved, and has no curves of training")
    return words


def _check_fit(fusion: str, corpus: Corpus, fit: FitOptions) -> None:
    try:
        registry.check(fusion, corpus.features, fit)
    except ValueError as error:
        lacks = registry.get(fusion).lacking(corpus.features.streams)
        alone = registry.singles(tuple(corpus.features.streams)) if lacks else []
        way = f"; what is there is read by {', '.join(alone)}" if alone else ""
        raise UsageError(f"{error}{way}") from error


def describe(cache: Path, fusion: str, out: Path, *, fit: FitOptions, options: FitHeadOptions) -> FitHeadPlan:
    """Return what `fit_head` would do, without doing it (`--dry-run`)."""
    chosen = check_request(fusion, out, options)
    corpus = read_corpus(cache, streams=options.streams, speaker_norm=options.speaker_norm)
    fit, answering = agreed(fit, options.answering)
    plan = protocol.plan(corpus, options.folds, scored=options.scored, normalise=False)
    _check_fit(fusion, corpus, fit)
    reads = corpus.read_by(fusion)
    corpus.require_finite(np.union1d(plan.fitted_on(), plan.scored), reads)
    protocol.check_answering(plan, fit, answering)
    return FitHeadPlan(
        dry_run=True,
        variant=fusion,
        summary=chosen.summary,
        streams=corpus.streams,
        protocol=plan.describe(watched=protocol.looks_at_dev(fusion, fit)),
        splits=corpus.split_sizes(),
        models=len(fit.seeds) * (len(plan.parts) + (1 if plan.by else 0)),
        options=fit,
        warnings=(*_ignored(fusion, fit, options), *integrity.planned(plan, reads)),
        out=str(out),
        replaces=os.path.lexists(out),
    )


@dataclass(frozen=True)
class RunDocument(Document):
    """A run as one JSON document: what `--json` prints."""

    FORMAT: ClassVar[str] = "dualstream fit"

    run: str
    report: str | None
    config: JsonObject
    """config.json."""
    scores: SplitScores
    history: tuple[ModelHistory, ...]
    test_log: tuple[LogEntry, ...]


def document(run: Run) -> RunDocument:
    """Return a run as one document."""
    assert run.path is not None
    page = run.path / REPORT
    return RunDocument(
        run=str(run.path),
        report=str(page) if page.is_file() else None,
        config=run.config.stamped(),
        scores=run.metrics,
        history=run.history,
        test_log=run.test_log,
    )


def _config(
    plan: Plan,
    fit: FitOptions,
    options: FitHeadOptions,
    done: Experiment,
    certainty: tuple[SplitCertainty, ...],
    cache: FittedCache,
) -> RunConfig:
    corpus = plan.corpus
    return RunConfig(
        variant=done.variant,
        choice=done.choice,
        chosen=done.chosen,
        options=fit,
        folds=plan.by,
        whole_dialogues=True,
        scored=plan.rule,
        protocol=plan.describe(watched=protocol.looks_at_dev(done.variant, fit)),
        streams=corpus.streams,
        widths={head: stream.width for head, stream in corpus.features.streams.items()},
        specs=corpus.specs,
        speaker_norm=corpus.speaker_norm,
        speaker_prior=None if corpus.prior is None else SpeakerNorm.of(corpus.prior),
        answering=options.answering,
        vocabulary={task: tuple(corpus.vocabulary[task]) for task in TASKS},
        cache=cache,
        fitted_on=_fitted_on(corpus, plan.fitted_on()),
        train_counts={task: tuple(counts.tolist()) for task, counts in plan.training_counts().items()},
        versions=_versions(),
        created=utc_now(),
        fit_s=round(done.fit_s, 3),
        interrupted=done.interrupted,
        certainty=certainty,
    )


def _cache(corpus: Corpus, out: Path, cache: Path | None) -> FittedCache:
    return FittedCache(
        name=cache.name if cache else "in memory",
        path=Path(os.path.relpath(cache, out)).as_posix() if cache else None,
        digest=corpus.digest,
        fingerprint=corpus.fingerprint,
        provenance=corpus.provenance,
    )


def _fitted_on(corpus: Corpus, index: NDArray[np.int64]) -> FittedOn:
    text = "\n".join(corpus.ids[i] for i in index)
    seen = TrainingLabels.of(corpus, index)
    return FittedOn(
        utterances=len(index),
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        counts={task: tuple(count.tolist()) for task, count in seen.counts.items()},
        pairs=tuple(map(tuple, seen.pairs.tolist())),
    )


def _versions() -> dict[str, str]:
    found = {"python": platform.python_version(), "numpy": np.__version__}
    for name in ("dualstream", "scipy", "torch"):
        if name == "torch" and "torch" not in sys.modules:
            continue  # a linear head doesn't depend on it
        try:
            found[name] = version(name)
        except PackageNotFoundError:
            continue
    return found
