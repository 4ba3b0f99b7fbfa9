"""evaluate: score a run on a split that it was not fitted on, and write down each time test was looked at."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import typer
from dualstream.heads.data.speaker_batches import batch_warnings
from dualstream.heads.diagnosis.measures import coalitions
from dualstream.heads.diagnosis.measures.shapley import utterance_values
from dualstream.heads.variants.registry import TASKS, Task, Trained
from dualstream.pipeline import experiments
from dualstream.pipeline.errors import FingerprintMismatchError, NoCacheError, UsageError
from dualstream.pipeline.experiments import Run, integrity, protocol
from dualstream.pipeline.experiments.error_rows import error_rows
from dualstream.pipeline.experiments.evaluation import EvaluatedCache, Evaluation
from dualstream.pipeline.experiments.label_support import LabelSupport, TrainingLabels
from dualstream.pipeline.experiments.predictions import Predictions, write_predictions
from dualstream.pipeline.experiments.presence import ALL, Presence, taken
from dualstream.pipeline.experiments.ranges import Outliers, outliers, read_ranges
from dualstream.pipeline.experiments.run_config import (
    LogEntry,
    LoggedCache,
    LoggedScore,
    LoggedScores,
)
from dualstream.pipeline.experiments.scores import HEADLINE, SplitScores, TaskScores
from dualstream.pipeline.experiments.scoring import EvaluationSet
from dualstream.pipeline.experiments.speaker_prior import batches_of, read_speaker_prior
from dualstream.pipeline.experiments.training_data import Corpus, read_corpus
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
    place = cache or _own_cache(run)
    corpus = read_corpus(place, streams=streams or run.config.streams, speaker_norm=run.config.speaker_norm)
    odd = _check_same(run, corpus, named=cache is not None)
    corpus = _normalised(run, corpus)
    rule = scored or run.config.scored
    candidates = corpus.split(split)
    index = taken(corpus, candidates, rule)
    if not len(index):
        raise UsageError(f"no utterance of {split} has features; with --scored {ALL} the prior would be scored")
    warnings = [*odd, *_known(run, split, same=not odd)]
    reads = corpus.read_by(run.config.variant)
    corpus.require_finite(index, reads)
    joined = [stream for stream in corpus.features.streams if stream in reads]
    if errors and (why := coalitions.why_none(run.config.variant, joined)):
        raise UsageError(f"--errors: {why}")
    models = experiments.read_models(path / experiments.WEIGHTS)
    features = corpus.take(index)
    raw = tuple(model.predict(features) for model in models)
    # what was fitted, scored before or not: dev may lack labels that test has
    tasks: list[Task] = [task for task in TASKS if raw[0].task(task) is not None]
    truth = _recoded(protocol.truth(corpus, index, tasks), corpus, run.config.vocabulary)
    predictions, scores = _evaluation_set(run, corpus, index, Presence.of(corpus, candidates, rule)).score(
        Predictions(
            ids=tuple(corpus.ids[i] for i in index),
            split=split,
            true=truth,
            models=raw,
            names=tuple(f"seed {model.seed}" for model in models),
        ),
        run.config.answering,
        stopped_by=split if split == "dev" and run.metrics.stopped_by == "dev" else None,
    )
    extracted = corpus.as_extracted()
    odd_rows = _far_outside(run, extracted, index)
    known = integrity.memorised(extracted, reads, tasks)
    batches = batches_of(corpus, index, raw, run.config.vocabulary)
    scores = scores.warned(
        *([] if corpus.prior is None else batch_warnings(batches, corpus.prior)),
        *integrity.encoder_warnings(corpus, reads),
        *known.warnings,
        *(text for one in odd_rows for text in one.warnings("scored rows", "the rows that the run was fitted on")),
    )
    before = [entry for entry in run.test_log if entry.split == "test"] if split == "test" else []
    if split == "test":
        experiments.log_test(path, _entry(scores, corpus, split, named=cache is not None))
    write_predictions(path / f"predictions_{split}.csv", predictions, run.config.vocabulary)
    # alone on disk, the scores come with all that must be said of them
    alone = replace(scores, warnings=(*warnings, *scores.warnings))
    write_json(path / f"metrics_{split}.json", alone.stamped())
    if errors:
        _write_errors(run, path, corpus, index, models, joined, split, truth)
    page = path / experiments.REPORT if (path / experiments.REPORT).is_file() else None
    evaluation = Evaluation(
        run=str(path),
        variant=run.config.variant,
        split=split,
        cache=EvaluatedCache(corpus.digest, corpus.fingerprint, same_as_fitted=not odd),
        times_before=len(before),
        earlier_fits=sum(entry.earlier_fit for entry in before),
        scores=scores,
        outliers={one.stream: one for one in odd_rows},
        certainty=known.certainty,
        speakers=tuple(batches),
        warnings=tuple(warnings),
        report=None if page is None else str(page),
    )
    if done is not None:
        done(evaluation)
    if page is not None:  # last: the scores stand and are shown, whatever becomes of the page
        from dualstream.pipeline.reporting.report import run_report

        run_report([experiments.read_run(path)]).write(path)
    return evaluation


def _write_errors(
    run: Run,
    path: Path,
    corpus: Corpus,
    index: NDArray[np.int64],
    models: Sequence[Trained],
    joined: Sequence[str],
    split: str,
    truth: Mapping[Task, NDArray[np.int64]],
) -> None:
    """Write an error browser of the split for each task."""
    for task, labels in truth.items():
        found = coalitions.of_models(models, corpus.take(index), run.config.variant, joined, task)
        rows = error_rows(utterance_values(found, labels), corpus, index, labels, run.config.vocabulary[task])
        browser = ErrorBrowser(
            title=f"What misled {run.config.variant} on {split}",
            lead=f"{len(rows)} labelled utterances of {split}, {task}; those that a stream spoke against most "
            f"come first. Answers are those of the {task} head, means over {len(models)} models.",
            rows=rows,
            streams=joined,
            notes=(NATS,),
            classes=run.config.vocabulary[task],
        )
        if rows:
            browser.write(path, f"errors_{split}_{task}")


def _evaluation_set(run: Run, corpus: Corpus, index: NDArray[np.int64], presence: Presence) -> EvaluationSet:
    """Return what is scored, and what the run's training showed to its models."""
    config = run.config
    # None: runs of older versions did not keep train's counts
    train = None if config.train_counts is None else {t: np.array(config.train_counts[t], np.int64) for t in TASKS}
    return EvaluationSet(
        vocabulary=config.vocabulary,
        groups=corpus.clusters(index, config.stored_folds),
        support=LabelSupport.throughout(TrainingLabels.of_run(config.fitted_on), len(index), train=train),
        presence=presence,
        speaker_norm=corpus.speaker_norm,
    )


def _normalised(run: Run, corpus: Corpus) -> Corpus:
    """Return the corpus with its speakers normalised as the run's were: by its prior, or as older versions did."""
    if not run.config.speaker_norm:
        return corpus
    if run.config.speaker_prior is None:
        return corpus.normalised_by_rule_1()
    assert run.path is not None
    return corpus.normalised(np.empty(0, np.int64), read_speaker_prior(run.path))


def _far_outside(run: Run, corpus: Corpus, index: NDArray[np.int64]) -> list[Outliers]:
    """Return what lies far outside of the rows that the run was fitted on; nothing where it doesn't say."""
    assert run.path is not None
    reads = corpus.read_by(run.config.variant)
    widths = {head: width for head, width in run.config.widths.items() if head in reads}
    ranges = read_ranges(run.path, widths)
    return outliers(corpus.features, index, ranges, ids=corpus.ids, columns=corpus.column_names)


def _own_cache(run: Run) -> Path:
    stored = run.config.cache.path
    assert run.path is not None
    if stored is None:
        raise UsageError(f"{run.path} was fitted on a cache that was never a file; name one: --cache FILE")
    place = (run.path / stored).resolve()
    if not place.is_file():
        raise NoCacheError(
            f"the cache that {run.path} was fitted on is not at {place} any more; say where it is: --cache FILE"
        )
    return place


def _check_same(run: Run, corpus: Corpus, *, named: bool) -> list[str]:
    """Return what is odd about scoring this run on this cache; raise where it makes no sense."""
    fitted = run.config.cache
    same = corpus.digest == fitted.digest
    if same and corpus.streams == run.config.streams:
        return []
    if not named and not same:
        raise FingerprintMismatchError(
            f"the cache changed since {run.path} was fitted: its digest is {corpus.digest[:16]}…, the run's is "
            f"{fitted.digest[:16]}…; fit again, or name the cache if you mean it: --cache FILE"
        )
    widths = {head: stream.width for head, stream in corpus.features.streams.items()}
    if widths != run.config.widths:
        raise FingerprintMismatchError(
            f"the run was fitted on streams of widths {run.config.widths}; this cache has {widths}"
        )
    for task in TASKS:
        unknown = sorted(set(corpus.vocabulary[task]) - set(run.config.vocabulary[task]))
        if unknown:
            raise FingerprintMismatchError(
                f"this cache has {task} classes that the run never saw: {', '.join(unknown)}; "
                f"it knows {', '.join(run.config.vocabulary[task])}"
            )
    if same:
        given, read = (", ".join(names.values()) for names in (corpus.streams, run.config.streams))
        return [f"these are not the streams that the run was fitted on: {given} stand for {read}"]
    warnings = ["this is not the cache that the run was fitted on"]
    if corpus.fingerprint != fitted.fingerprint or corpus.specs != run.config.specs:
        warnings.append(
            "its features were made in another way (fingerprint "
            f"{corpus.fingerprint[:16] or 'not stated'}, the run's {fitted.fingerprint[:16] or 'not stated'}): "
            "the scores are of features that the models were not fitted for"
        )
    return warnings


def _known(run: Run, split: str, *, same: bool) -> list[str]:
    """Return what must be said of a split whose labels had a part in the fit; nothing of test, which has none."""
    config = run.config
    if split == "test":
        return []
    where = "" if same else f"the {split} split of the cache that it was fitted on: where these are its clips, "
    if split == "train" or config.folds is not None:
        return [f"{where}this run was fitted on these utterances: the scores say how well it knows them, not more"]
    if split == "dev" and config.choice is not None and config.options.patience > 0:
        return [f"{where}auto chose {config.choice.name} with dev's labels among others: its scores are too good"]
    if split == "dev" and protocol.looks_at_dev(config.variant, config.options):
        return [f"{where}{protocol.WATCHED}"]
    return []


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
