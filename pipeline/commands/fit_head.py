"""fit-head: fit one variant on a cache, score it on dev or by folds, and leave a run folder."""

from __future__ import annotations

import dataclasses
import hashlib
import os
import platform
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import FitOptions, Progress, Variant
from dualstream.pipeline import experiments
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments import REPORT, Run, integrity, protocol
from dualstream.pipeline.experiments.label_support import Seen, Shown
from dualstream.pipeline.experiments.protocol import Outcome, Plan
from dualstream.pipeline.experiments.ranges import write_ranges
from dualstream.pipeline.experiments.scoring import score_predictions
from dualstream.pipeline.experiments.training_data import Corpus, read_corpus
from dualstream.pipeline.options.emit import CommandResult
from dualstream.pipeline.options.heads import FitHeadCommand, FitHeadOptions
from dualstream.pipeline.reporting import tensorboard, terminal
from numpy.typing import NDArray


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
    status = 130 if found.config["interrupted"] else 0
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
    check_words(fusion, out, options)
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
    plan = protocol.plan(corpus, options.folds, scored=options.scored)
    _check_fit(fusion, corpus, fit)
    protocol.check_answering(plan, fit, options.answering)
    with protocol.gentle_interrupt(progress) as report:
        outcome = protocol.fit_and_predict(plan, fusion, fit, report)
    shown = Shown.of(plan)
    predictions = options.answering.apply(outcome.predictions, shown.pairs)
    metrics = score_predictions(
        predictions,
        corpus.vocabulary,
        groups=plan.clusters(),
        shown=shown,
        presence=plan.presence(),
        speaker_norm=corpus.speaker_norm,
        stopped_by=plan.stopped_by(fusion, fit),
    )
    reads = registry.get(fusion).streams
    metrics["warnings"] += [*outcome.caveats(plan, fit), *protocol.unused_words([fusion], fit)]
    found = integrity.examine(plan, reads, fit.tasks)
    metrics["warnings"] += found.warnings
    config = _config(plan, fusion, fit, options, outcome, out, cache) | {"certainty": found.to_json()}
    run = Run(config=config, metrics=metrics, history=outcome.history)
    with experiments.new_folder(out, replace=options.replace) as folder:
        experiments.write_run(folder, run, outcome.models, predictions)
        write_ranges(folder, found.ranges)
    whole = experiments.read_run(out)  # with the test log of the run that it replaced
    if scored is not None:
        scored(whole)
    if options.tensorboard is not None:
        tensorboard.write_events(options.tensorboard, out.name, outcome.history)
    if options.report:  # last: the run stands, whatever becomes of the page, and `report` draws it again
        from dualstream.pipeline.reporting.report import run_report

        run_report([whole]).write(out)
    return whole


def check_words(fusion: str, out: Path, options: FitHeadOptions) -> Variant:
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
    return chosen


def _check_fit(fusion: str, corpus: Corpus, fit: FitOptions) -> None:
    try:
        registry.check(fusion, corpus.features, fit)
    except ValueError as error:
        raise UsageError(str(error)) from error


def describe(cache: Path, fusion: str, out: Path, *, fit: FitOptions, options: FitHeadOptions) -> dict[str, Any]:
    """Return what `fit_head` would do, without doing it (`--dry-run`)."""
    chosen = check_words(fusion, out, options)
    corpus = read_corpus(cache, streams=options.streams, speaker_norm=options.speaker_norm)
    plan = protocol.plan(corpus, options.folds, scored=options.scored)
    _check_fit(fusion, corpus, fit)
    corpus.require_finite(np.union1d(plan.fitted_on(), plan.scored), chosen.streams)
    protocol.check_answering(plan, fit, options.answering)
    return {
        "dry_run": True,
        "variant": fusion,
        "summary": chosen.summary,
        "streams": corpus.streams,
        "protocol": plan.describe(watched=protocol.looks_at_dev(fusion, fit)),
        "splits": corpus.split_sizes(),
        "models": len(fit.seeds) * (len(plan.parts) + (1 if plan.by else 0)),
        "options": dataclasses.asdict(fit),
        "warnings": [*protocol.unused_words([fusion], fit), *integrity.planned(plan, chosen.streams)],
        "out": str(out),
        "replaces": os.path.lexists(out),
    }


def document(run: Run) -> dict[str, Any]:
    """Return a run as one JSON document: what `--json` prints."""
    assert run.path is not None
    return {
        "run": str(run.path),
        "report": str(run.path / REPORT) if (run.path / REPORT).is_file() else None,
        "config": run.config,
        "scores": run.metrics,
        "history": run.history,
        "test_log": run.test_log,
    }


def _config(
    plan: Plan,
    fusion: str,
    fit: FitOptions,
    options: FitHeadOptions,
    outcome: Outcome,
    out: Path,
    cache: Path | None,
) -> dict[str, Any]:
    corpus = plan.corpus
    return {
        "variant": fusion,
        "choice": outcome.choice,
        "options": dataclasses.asdict(fit),
        "folds": plan.by,
        "whole_dialogues": True,
        "scored": plan.rule,
        "protocol": plan.describe(watched=protocol.looks_at_dev(fusion, fit)),
        "streams": corpus.streams,
        "widths": {head: stream.width for head, stream in corpus.features.streams.items()},
        "specs": corpus.specs,
        "speaker_norm": corpus.speaker_norm,
        "answering": dataclasses.asdict(options.answering),
        "vocabulary": corpus.vocabulary,
        "cache": {
            "name": cache.name if cache else "in memory",
            # relative to the run, so that both can move together
            "path": Path(os.path.relpath(cache, out)).as_posix() if cache else None,
            "digest": corpus.digest,
            "fingerprint": corpus.fingerprint,
            "provenance": corpus.provenance,
        },
        "fitted_on": _rows_digest(corpus, plan.fitted_on()),
        "train_counts": {task: counts.tolist() for task, counts in plan.training_counts().items()},
        "versions": _versions(),
        "created": datetime.now(UTC).isoformat(timespec="seconds"),
        "fit_s": round(outcome.fit_s, 3),
        "interrupted": outcome.interrupted,
    }


def _rows_digest(corpus: Corpus, index: NDArray[np.int64]) -> dict[str, Any]:
    text = "\n".join(corpus.ids[i] for i in index)
    return {
        "utterances": len(index),
        "sha256": hashlib.sha256(text.encode()).hexdigest(),
        **Seen.of(corpus, index).to_json(),
    }


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
