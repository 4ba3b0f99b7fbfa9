"""evaluate: score a run on a split that it was not fitted on, and write down each time test was looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import typer
from dualstream.heads.data.speaker_batches import SpeakerBatch, batch_warnings
from dualstream.heads.diagnosis.measures import coalitions
from dualstream.heads.diagnosis.measures.shapley import utterance_values
from dualstream.heads.variants.registry import TASKS, Prediction, Task, Trained
from dualstream.pipeline import experiments
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments import integrity, protocol
from dualstream.pipeline.experiments.error_rows import error_rows
from dualstream.pipeline.experiments.evaluation import EvaluatedCache, Evaluation
from dualstream.pipeline.experiments.evaluation_target import EvaluationTarget, evaluation_target
from dualstream.pipeline.experiments.label_support import LabelSupport, TrainingLabels
from dualstream.pipeline.experiments.predictions import Predictions, write_predictions
from dualstream.pipeline.experiments.ranges import Outliers, outliers, read_ranges
from dualstream.pipeline.experiments.run_config import (
    LogEntry,
    LoggedCache,
    LoggedScore,
    LoggedScores,
)
from dualstream.pipeline.experiments.scores import HEADLINE, SplitScores, TaskScores
from dualstream.pipeline.experiments.scoring import EvaluationSet
from dualstream.pipeline.experiments.speaker_prior import batches_of
from dualstream.pipeline.experiments.training_data import Corpus
from dualstream.pipeline.options.emit import CommandResult, emit, said_before
from dualstream.pipeline.options.heads import EvaluateCommand
from dualstream.pipeline.provenance import utc_now
from dualstream.pipeline.reporting import terminal
from dualstream.pipeline.reporting.error_browser import NATS, ErrorBrowser
from dualstream.pipeline.storage.documents import write_json
from numpy.typing import NDArray

LOGGED = (HEADLINE, "accuracy", "weighted_f1", "macro_f1")


def run(options: EvaluateCommand) -> CommandResult:
    """Do what the command line asks; the scores are shown before the run's page is drawn again."""

    def done(found: Evaluation) -> None:
        if options.as_json and found.times_before:
            typer.echo(terminal.test_times_words(found), err=True)
        emit(found, options.as_json, lambda: terminal.print_evaluation(found))

    evaluate(
        options.run,
        split=options.split,
        cache=options.cache,
        streams=options.streams or None,
        scored=options.scored,
        errors=options.errors,
        done=done,
    )
    return said_before()


def evaluate(
    path: Path,
    *,
    split: str = "test",
    cache: Path | None = None,
    streams: Mapping[str, str] | None = None,
    scored: str | None = None,
    errors: bool = False,
    done: Callable[[Evaluation], None] | None = None,
) -> Evaluation:
    """Score a run on a split, and log it where the split is test.

    Parameters
    ----------
    path
        The run folder.
    split
        ``test``, or any other split of the cache.
    cache
        Another cache than the one that the run was fitted on; None: that one, whose digest must be the same.
    streams
        Which streams of the other cache stand for those that the run reads; None: as in the run.
    scored
        ``all`` or ``present`` (`pipeline.experiments.presence`); None: as in the run.
    errors
        Leave an error browser in the run folder for each task that has labels.
    done
        Called with what is returned as soon as it is written, before the run's page is drawn again.

    Notes
    -----
    Where the run has a page, it is drawn again, with what test said.

    Raises
    ------
    NoCacheError
        Where the run or its cache is not there.
    FingerprintMismatchError
        Where the cache is not the one that the run was fitted on, or another one that was named has
        other widths or classes.
    UsageError
        Where the cache has no such split, or nothing in it is labelled.
    """
    run = experiments.read_run(path)
    target = evaluation_target(run, split, cache=cache, streams=streams, scored=scored)
    if errors and (why := coalitions.why_none(run.config.variant, target.joined)):
        raise UsageError(f"--errors: {why}")
    models = experiments.read_models(path / experiments.WEIGHTS)
    raw = [model.predict(target.features) for model in models]
    predictions, scores = _score(target, raw, [f"seed {model.seed}" for model in models])
    known = integrity.memorised(target.corpus.as_extracted(), target.reads, list(predictions.true))
    odd_rows = _far_outside(target)
    batches = batches_of(target.corpus, target.index, raw, run.config.vocabulary)
    scores = scores.warned(*_caveats(target, batches, known, odd_rows))
    _write_scores(path, target, predictions, scores)
    if errors:
        _write_errors(path, target, models, predictions.true)
    evaluation = _evaluation(path, target, scores, known, odd_rows, batches)
    if done is not None:
        done(evaluation)
    if evaluation.report is not None:  # last: the scores stand and are shown, whatever becomes of the page
        from dualstream.pipeline.reporting.report import run_report

        run_report([experiments.read_run(path)]).write(path)
    return evaluation


def _score(
    target: EvaluationTarget, raw: Sequence[Prediction], names: Sequence[str]
) -> tuple[Predictions, SplitScores]:
    """Decode and score what each model gave."""
    run, corpus, index = target.run, target.corpus, target.index
    # what was fitted, scored before or not: dev may lack labels that test has
    tasks: list[Task] = [task for task in TASKS if raw[0].task(task) is not None]
    predictions = Predictions(
        ids=tuple(corpus.ids[i] for i in index),
        split=target.split,
        true=_recoded(protocol.truth(corpus, index, tasks), corpus, run.config.vocabulary),
        models=tuple(raw),
        names=tuple(names),
    )
    watched = target.split == "dev" and run.metrics.stopped_by == "dev"
    return _evaluation_set(target).score(
        predictions, run.config.answering, stopped_by=target.split if watched else None
    )


def _caveats(
    target: EvaluationTarget,
    batches: Sequence[SpeakerBatch],
    known: integrity.Findings,
    odd_rows: Sequence[Outliers],
) -> list[str]:
    """Return what must be said of the scores."""
    prior = target.corpus.prior
    return [
        *([] if prior is None else batch_warnings(batches, prior)),
        *integrity.encoder_warnings(target.corpus, target.reads),
        *known.warnings,
        *(text for one in odd_rows for text in one.warnings("scored rows", "the rows that the run was fitted on")),
    ]


def _write_scores(path: Path, target: EvaluationTarget, predictions: Predictions, scores: SplitScores) -> None:
    """Write predictions and scores beside the run; a look at test is logged before."""
    split = target.split
    if split == "test":
        experiments.log_test(path, _entry(scores, target.corpus, split, named=target.named))
    write_predictions(path / f"predictions_{split}.csv", predictions, target.run.config.vocabulary)
    # alone on disk, the scores come with all that must be said of them
    alone = replace(scores, warnings=(*target.warnings, *scores.warnings))
    write_json(path / f"metrics_{split}.json", alone.stamped())


def _evaluation(
    path: Path,
    target: EvaluationTarget,
    scores: SplitScores,
    known: integrity.Findings,
    odd_rows: Sequence[Outliers],
    batches: Sequence[SpeakerBatch],
) -> Evaluation:
    run, corpus, split = target.run, target.corpus, target.split
    before = [entry for entry in run.test_log if entry.split == "test"] if split == "test" else []
    page = path / experiments.REPORT
    return Evaluation(
        run=str(path),
        variant=run.config.variant,
        split=split,
        cache=EvaluatedCache(corpus.digest, corpus.fingerprint, same_as_fitted=not target.odd),
        times_before=len(before),
        earlier_fits=sum(entry.earlier_fit for entry in before),
        scores=scores,
        outliers={one.stream: one for one in odd_rows},
        certainty=known.certainty,
        speakers=tuple(batches),
        warnings=target.warnings,
        report=str(page) if page.is_file() else None,
    )


def _write_errors(
    path: Path, target: EvaluationTarget, models: Sequence[Trained], truth: Mapping[Task, NDArray[np.int64]]
) -> None:
    """Write an error browser of the split for each task."""
    config, joined, split = target.run.config, target.joined, target.split
    for task, labels in truth.items():
        found = coalitions.of_models(models, target.features, config.variant, joined, task)
        values = utterance_values(found, labels)
        rows = error_rows(values, target.corpus, target.index, labels, config.vocabulary[task])
        browser = ErrorBrowser(
            title=f"What misled {config.variant} on {split}",
            lead=f"{len(rows)} labelled utterances of {split}, {task}; those that a stream spoke against most "
            f"come first. Answers are those of the {task} head, means over {len(models)} models.",
            rows=rows,
            streams=joined,
            notes=(NATS,),
            classes=config.vocabulary[task],
        )
        if rows:
            browser.write(path, f"errors_{split}_{task}")


def _evaluation_set(target: EvaluationTarget) -> EvaluationSet:
    """Return what is scored, and what the run's training showed to its models."""
    config, corpus, index = target.run.config, target.corpus, target.index
    # None: runs of older versions did not keep train's counts
    train = None if config.train_counts is None else {t: np.array(config.train_counts[t], np.int64) for t in TASKS}
    return EvaluationSet(
        vocabulary=config.vocabulary,
        groups=corpus.clusters(index, config.stored_folds),
        support=LabelSupport.throughout(TrainingLabels.of_run(config.fitted_on), len(index), train=train),
        presence=target.presence,
        speaker_norm=corpus.speaker_norm,
    )


def _far_outside(target: EvaluationTarget) -> list[Outliers]:
    """Return what lies far outside of the rows that the run was fitted on; nothing where it doesn't say."""
    run, corpus = target.run, target.corpus.as_extracted()
    assert run.path is not None
    widths = {head: width for head, width in run.config.widths.items() if head in target.reads}
    ranges = read_ranges(run.path, widths)
    return outliers(corpus.features, target.index, ranges, ids=corpus.ids, columns=corpus.column_names)


def _recoded(
    truth: dict[Task, np.ndarray], corpus: Corpus, vocabulary: Mapping[Task, Sequence[str]]
) -> dict[Task, np.ndarray]:
    """Return the labels as codes of the run's vocabulary, whatever order the cache has its classes in."""
    answer: dict[Task, np.ndarray] = {}
    for task, codes in truth.items():
        table = np.array([vocabulary[task].index(name) for name in corpus.vocabulary[task]] + [-1])
        answer[task] = table[codes]  # -1, unlabelled, takes the last entry
    return answer


def _entry(scores: SplitScores, corpus: Corpus, split: str, *, named: bool) -> LogEntry:
    def logged(one: TaskScores) -> dict[str, LoggedScore]:
        return {key: LoggedScore(one.headline(key).mean, one.headline(key).interval) for key in LOGGED}

    return LogEntry(
        when=utc_now(),
        split=split,
        cache=LoggedCache(corpus.digest, corpus.fingerprint, named),
        utterances=scores.utterances,
        scores=LoggedScores({task: logged(one) for task, one in scores.tasks.items()}),
    )
