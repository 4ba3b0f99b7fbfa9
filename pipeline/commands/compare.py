"""compare: fit a list of variants on the same utterances; one table, paired tests, time.

The paired tests hold each variant against the best single stream of the same task: the best on the very
utterances that are scored. Choosing the baseline there flatters the baseline (it is the largest of a few
noisy scores), so that a fusion which wins has won against that too; choosing it in training could pick a
weak one, and a fusion would win by that choice alone.
"""

from __future__ import annotations

import dataclasses
import importlib
import os
import time
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
from dualstream.heads.data.batch import PAIR
from dualstream.heads.evaluation.majority import majority_lines
from dualstream.heads.evaluation.statistics import PairedDifference, holm, smallest_p
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import TASKS, FitOptions, Progress, Task
from dualstream.pipeline import experiments
from dualstream.pipeline.encoder_training.end_to_end import (
    by_method,
    histories,
    predictions_on,
    read_end_to_end,
    row_facts,
)
from dualstream.pipeline.errors import DONE_WITH_FAILURES, UsageError
from dualstream.pipeline.experiments import integrity, protocol
from dualstream.pipeline.experiments.comparison import FAILED, Comparison, PairedTest, VariantRow
from dualstream.pipeline.experiments.dry_run import ComparisonPlan, PlannedScores, PlannedTask
from dualstream.pipeline.experiments.label_support import LabelSupport
from dualstream.pipeline.experiments.options import agreed
from dualstream.pipeline.experiments.parallel import VariantJob, fit_all
from dualstream.pipeline.experiments.predictions import Predictions
from dualstream.pipeline.experiments.protocol import Plan
from dualstream.pipeline.experiments.run_config import CacheOrigin
from dualstream.pipeline.experiments.scores import scored_by
from dualstream.pipeline.experiments.scoring import EvaluationSet, compare_to
from dualstream.pipeline.experiments.stream_gains import WHOLE, stream_gains, variants_without
from dualstream.pipeline.experiments.training_data import Corpus, check_layers, read_corpus
from dualstream.pipeline.options.emit import CommandResult
from dualstream.pipeline.options.heads import CompareCommand, CompareOptions
from dualstream.pipeline.provenance import utc_now
from dualstream.pipeline.reporting import terminal
from dualstream.pipeline.storage.documents import write_json
from numpy.typing import NDArray

ALPHA = 0.05  # what readers of p-values look for


def run(options: CompareCommand) -> CommandResult:
    """Do what the command line asks."""
    if options.dry_run:
        planned = describe(options.cache, options.out, fit=options.fit, options=options.protocol)
        return CommandResult(planned, lambda: terminal.print_comparison_plan(planned))
    with terminal.ProgressLine() as line:
        found = compare(options.cache, options.out, fit=options.fit, options=options.protocol, progress=line)
    status = 130 if found.interrupted else DONE_WITH_FAILURES if failed_rows(found) else 0
    return CommandResult(found, lambda: terminal.print_comparison(found, options.out), status)


def compare(
    cache: Path,
    out: Path,
    *,
    fit: FitOptions | None = None,
    options: CompareOptions | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Fit variants on a cache, compare them, and write compare.json, a page and figures.

    Returns
    -------
    What compare.json holds. A variant that can't be fitted is a row with its reason.

    Raises
    ------
    NoCacheError, CorruptError
        Where there is no cache, or it is damaged.
    UsageError
        Where a variant is unknown, the words don't fit the cache, or `out` is taken.
    """
    options = options or CompareOptions()
    choose(options.fusions)  # before anything is read
    experiments.check_target(out, replace=options.replace, kind=experiments.COMPARISON_FORMAT)
    corpus = read_corpus(cache, streams=options.streams, speaker_norm=options.speaker_norm)
    chosen = choose(options.fusions, tuple(corpus.streams))
    return compare_on(corpus, out, chosen, cache_name=cache.name, fit=fit, options=options, progress=progress)


def choose(fusions: Sequence[str] | None, streams: Sequence[str] = PAIR) -> list[str]:
    """Return the variants to fit: single streams first and always, then what each of three or more adds.

    Raises
    ------
    UsageError
        Where a name is unknown.
    """
    known = registry.names()
    paired = set(streams) <= set(PAIR)
    try:
        singles = registry.singles(PAIR if paired else streams)
        asked = (
            [name for name in known if paired or _concerns(name, streams)] if fusions is None else list(fusions)
        )
        for name in asked:
            registry.get(name)
    except ValueError as error:
        raise UsageError(str(error)) from error
    without = variants_without(streams)
    return list(dict.fromkeys([*singles, *([WHOLE] if without else []), *without.values(), *asked]))


def _concerns(name: str, streams: Sequence[str]) -> bool:
    """Return whether a variant is no single stream that the corpus lacks."""
    reads = registry.get(name).streams
    return len(reads) > 1 or reads[0] in streams


def compare_on(
    corpus: Corpus,
    out: Path,
    chosen: Sequence[str],
    *,
    cache_name: str = "in memory",
    fit: FitOptions | None = None,
    options: CompareOptions | None = None,
    progress: Progress | None = None,
) -> Comparison:
    """Do what `compare` does, for a corpus in memory."""
    fit, options = fit or FitOptions(), options or CompareOptions()
    fit, answering = agreed(fit, options.answering)
    options = dataclasses.replace(options, answering=answering)
    _check_parameters(chosen, fit)
    check_layers(corpus, fit)
    plan = protocol.plan(corpus, options.folds, scored=options.scored)
    protocol.check_answering(plan, fit, options.answering)
    trained, answers = _end_to_end(plan, fit, options)
    torch_s = _import_torch(chosen)
    work = VariantJob(plan, fit, options.answering)
    rows, predictions, interrupted = fit_all(work, chosen, workers=options.workers, progress=progress)
    rows, predictions = _sorted([*trained, *rows]), {**answers, **predictions}
    classes: dict[Task, int] = {task: len(corpus.vocabulary[task]) for task in TASKS}
    unit, groups = plan.clusters()
    compared = _Compared(predictions, groups, classes)
    tests, best = _paired_tests(rows, compared)
    found = integrity.examine(plan, _streams_read(plan, chosen), fit.tasks)
    comparison = Comparison(
        cache=CacheOrigin(cache_name, corpus.digest, corpus.fingerprint, corpus.provenance),
        streams=corpus.streams,
        specs=corpus.specs,
        speaker_norm=corpus.speaker_norm,
        scored=plan.rule,
        answering=options.answering,
        protocol=plan.describe(watched=any(protocol.looks_at_dev(name, fit) for name in chosen)),
        split=plan.split,
        options=fit,
        import_torch_s=torch_s,
        rows=tuple(rows),
        best_single=best,
        tests=tuple(tests),
        warnings=(
            *_shared_warnings(rows),
            *_powerless(tests, unit),
            *protocol.ignored_options(chosen, fit, ensemble=options.answering.ensemble),
            *found.warnings,
        ),
        certainty=found.certainty,
        interrupted=interrupted,
        created=utc_now(),
        stream_gains=tuple(stream_gains(tuple(corpus.streams), list(best), compared.on)),
    )
    _write(comparison, out, options)
    return comparison


def _write(comparison: Comparison, out: Path, options: CompareOptions) -> None:
    document = comparison.stamped()
    with experiments.new_folder(out, replace=options.replace, kind=experiments.COMPARISON_FORMAT) as folder:
        write_json(folder / experiments.CONFIG, {key: document[key] for key in ("format", "version", "options")})
        write_json(folder / experiments.COMPARISON, document)
    if options.report:  # last: the numbers stand, whatever becomes of the page
        from dualstream.pipeline.reporting.report import comparison_report

        comparison_report(comparison).write(out)


def describe(cache: Path, out: Path, *, fit: FitOptions, options: CompareOptions) -> ComparisonPlan:
    """Return what `compare` would do, without doing it (`--dry-run`); torch is not imported.

    Raises
    ------
    NoCacheError, CorruptError, UsageError
        As `compare` does before its first fit.
    """
    choose(options.fusions)  # before anything is read
    experiments.check_target(out, replace=options.replace, kind=experiments.COMPARISON_FORMAT)
    corpus = read_corpus(cache, streams=options.streams, speaker_norm=options.speaker_norm)
    chosen = choose(options.fusions, tuple(corpus.streams))
    fit, answering = agreed(fit, options.answering)
    _check_parameters(chosen, fit)
    check_layers(corpus, fit)
    plan = protocol.plan(corpus, options.folds, scored=options.scored, normalise=False)
    protocol.check_answering(plan, fit, answering)
    trained, _ = _end_to_end(plan, fit, options)
    fitted, left_out = _applicable(plan, chosen, fit)
    support = LabelSupport.of(plan)
    tasks: dict[Task, PlannedTask] = {}
    for task, true in protocol.truth(corpus, plan.scored, fit.tasks).items():
        names = corpus.vocabulary[task]
        counts = np.bincount(true[true >= 0], minlength=len(names))
        lines = majority_lines(counts, names, support.train[task])
        tasks[task] = PlannedTask(int((true >= 0).sum()), *lines, plan.presence().missing(task, true >= 0))
    parts = len(plan.parts)
    return ComparisonPlan(
        dry_run=True,
        variants=tuple(fitted),
        left_out=left_out,
        end_to_end=tuple(row.variant for row in trained),
        streams=corpus.streams,
        speaker_norm=corpus.speaker_norm,
        protocol=plan.describe(watched=any(protocol.looks_at_dev(name, fit) for name in fitted)),
        seeds=len(fit.seeds),
        folds=parts if plan.by else None,
        fits=sum(parts * (1 if registry.is_closed_form(name) else len(fit.seeds)) for name in fitted),
        splits=corpus.split_sizes(),
        scored=PlannedScores(plan.split, len(plan.scored), tasks),
        options=fit,
        warnings=(
            *protocol.ignored_options(chosen, fit, ensemble=options.answering.ensemble),
            *integrity.planned(plan, _streams_read(plan, fitted)),
        ),
        out=str(out),
        replaces=os.path.lexists(out),
    )


def failed_rows(comparison: Comparison) -> list[str]:
    """Return the variants that failed by a fault of their own, not because the corpus lacks what they need."""
    return [row.variant for row in comparison.rows if row.status == FAILED]


def _end_to_end(
    plan: Plan, fit: FitOptions, options: CompareOptions
) -> tuple[list[VariantRow], dict[str, Predictions]]:
    """Return the rows of encoders that were trained with heads of their own, before anything is fitted.

    Raises
    ------
    UsageError
        Where a file holds no answers for what the plan scores.
    """
    rows, predictions = [], {}
    # their heads read clips, never the cache's rows: --speaker-norm changes nothing in these answers
    target = dataclasses.replace(EvaluationSet.of(plan), speaker_norm=False)
    for name, models in by_method([read_end_to_end(path) for path in options.end_to_end]).items():
        stopped_by = plan.split if any(model.stopped_by_dev for model in models) else None
        predictions[name], scores = target.score(
            predictions_on(models, plan, fit.tasks), options.answering, stopped_by=stopped_by
        )
        facts = row_facts(models, plan)
        if facts.without_answer:
            count = len(facts.without_answer)
            scores = scores.warned(f"{count} utterances gave it no sample; their answer is the classes' shares")
        rows.append(VariantRow(name, True, scores, history=histories(models), end_to_end=facts))
    return rows, predictions


def _applicable(plan: Plan, chosen: Sequence[str], fit: FitOptions) -> tuple[list[str], dict[str, str]]:
    """Return the variants that this corpus allows, and why not the others."""
    looked_at = np.union1d(plan.fitted_on(), plan.scored)
    fitted, left_out = [], {}
    for name in chosen:
        try:
            registry.check(name, plan.corpus.features, registry.own_options(name, fit))
            plan.corpus.require_finite(looked_at, plan.corpus.read_by(name))
        except (ValueError, UsageError) as error:
            left_out[name] = str(error)
        else:
            fitted.append(name)
    return fitted, left_out


def _streams_read(plan: Plan, chosen: Sequence[str]) -> list[str]:
    """Return the streams that any of the variants reads."""
    return list(dict.fromkeys(stream for name in chosen for stream in plan.corpus.read_by(name)))


def _check_parameters(chosen: Sequence[str], fit: FitOptions) -> None:
    known = {key for name in chosen for key in registry.get(name).parameters}
    unknown = sorted(set(fit.parameters) - known)
    if unknown:
        raise UsageError(f"no variant here has a setting {unknown}; there are: {sorted(known) or 'none'}")


def _sorted(rows: list[VariantRow]) -> list[VariantRow]:
    """Order rows: single streams, then fusions, each the best first; what has no scores comes last."""

    def key(row: VariantRow) -> tuple[bool, bool, float]:
        if row.scores is None:
            return (not row.single, True, 0.0)
        return (not row.single, False, -row.scores.mean(row.scores.lead_task))

    return sorted(rows, key=key)


@dataclasses.dataclass(frozen=True, repr=False)
class _Compared:
    """Two variants' answers to the same utterances, held against each other."""

    predictions: Mapping[str, Predictions]
    groups: NDArray[np.int64]
    """What a bootstrap resamples, a code for each utterance that is scored."""
    classes: Mapping[Task, int]

    def on(self, first: str, second: str, task: Task) -> PairedDifference | None:
        """Return the difference on a task; None where one of them has no answers to it."""
        if not {first, second} <= set(self.predictions):
            return None
        one, other = self.predictions[first], self.predictions[second]
        return compare_to(one, other, self.groups, classes=self.classes, tasks=(task,)).get(task)


def _paired_tests(rows: Sequence[VariantRow], compared: _Compared) -> tuple[list[PairedTest], dict[Task, str]]:
    done = {row.variant: row.scores for row in rows if row.scores is not None}
    single = {row.variant for row in rows if row.single}
    tests: list[PairedTest] = []
    best: dict[Task, str] = {}
    for task in scored_by(done):
        scored = [name for name, scores in done.items() if task in scores.tasks]
        singles = [name for name in scored if name in single]
        if not singles:
            continue
        against = best[task] = max(singles, key=lambda name: done[name].mean(task))
        each = {name: compared.on(name, against, task) for name in scored if name != against}
        found = {name: one for name, one in each.items() if one is not None}
        corrected_p = holm([one.p_value for one in found.values()])
        for (name, one), corrected in zip(found.items(), corrected_p, strict=True):
            tests.append(
                PairedTest(name, task, against, one.difference, one.interval, one.p_value, one.groups, corrected)
            )
    return tests, best


def _powerless(tests: Sequence[PairedTest], unit: str) -> list[str]:
    """Return which tasks' tests can't come out below ALPHA whatever the models answer."""
    words = []
    for task in dict.fromkeys(test.task for test in tests):
        own = [test for test in tests if test.task == task]
        groups = own[0].groups
        least = min(1.0, len(own) * smallest_p(groups))
        if least > ALPHA:
            words.append(
                f"{task}: {len(own)} tests over {groups} {unit}{'s' if groups > 1 else ''} can't give a p (Holm) "
                f"below {least:.2g}, whatever is answered: that none is small shows nothing"
            )
    return words


def _shared_warnings(rows: Sequence[VariantRow]) -> list[str]:
    """Return each row's warnings, once where all rows share it."""
    done = [(row.variant, row.scores) for row in rows if row.scores is not None]
    warned: dict[str, list[str]] = {}
    for name, scores in done:
        for warning in scores.warnings:
            warned.setdefault(warning, []).append(name)
    return [
        warning if len(names) == len(done) else f"{', '.join(names)}: {warning}"
        for warning, names in warned.items()
    ]


def _import_torch(chosen: Sequence[str]) -> float:
    """Import torch before anything is timed, where a variant needs it; return the seconds that took."""
    if all(registry.is_closed_form(name) for name in chosen):
        return 0.0
    started = time.perf_counter()
    importlib.import_module("torch")
    return time.perf_counter() - started
