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
from typing import Any

import numpy as np
from dualstream.heads.evaluation.majority import majority_lines
from dualstream.heads.evaluation.statistics import holm, smallest_p
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
from dualstream.pipeline.experiments.label_support import Shown
from dualstream.pipeline.experiments.parallel import Work, fit_all
from dualstream.pipeline.experiments.predictions import Predictions
from dualstream.pipeline.experiments.protocol import Plan
from dualstream.pipeline.experiments.scoring import HEADLINE, compare_to, headline, lead_task, score_predictions
from dualstream.pipeline.experiments.training_data import Corpus, read_corpus
from dualstream.pipeline.options.emit import CommandResult
from dualstream.pipeline.options.heads import CompareCommand, CompareOptions
from dualstream.pipeline.reporting import terminal
from dualstream.pipeline.storage.documents import finite, write_json

ALPHA = 0.05  # what readers of p-values look for


def run(options: CompareCommand) -> CommandResult:
    """Do what the command line asks."""
    if options.dry_run:
        planned = describe(options.cache, options.out, fit=options.fit, options=options.protocol)
        return CommandResult(planned, lambda: terminal.print_comparison_plan(planned))
    with terminal.ProgressLine() as line:
        found = compare(options.cache, options.out, fit=options.fit, options=options.protocol, progress=line)
    status = 130 if found["interrupted"] else DONE_WITH_FAILURES if failed_rows(found) else 0
    return CommandResult(found, lambda: terminal.print_comparison(found, options.out), status)


def compare(
    cache: Path,
    out: Path,
    *,
    fit: FitOptions | None = None,
    options: CompareOptions | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Fit variants on a cache, compare them, and write compare.json, a page and figures.

    Returns
    -------
    The document of compare.json: ``{"protocol", "split", "rows", "best_single", "tests", "warnings",
    "interrupted", ...}``. A variant that can't be fitted is a row with its reason.

    Raises
    ------
    NoCacheError, CorruptError
        Where there is no cache, or it is damaged.
    UsageError
        Where a variant is unknown, the words don't fit the cache, or `out` is taken.
    """
    options = options or CompareOptions()
    chosen = choose(options.fusions)
    experiments.check_target(out, replace=options.replace, kind=experiments.COMPARISON_FORMAT)
    corpus = read_corpus(cache, streams=options.streams, speaker_norm=options.speaker_norm)
    return compare_on(corpus, out, chosen, cache_name=cache.name, fit=fit, options=options, progress=progress)


def choose(fusions: Sequence[str] | None) -> list[str]:
    """Return the variants to fit, single streams first and always.

    Raises
    ------
    UsageError
        Where a name is unknown.
    """
    known = registry.names()
    asked = list(fusions) if fusions is not None else known
    try:
        singles = [name for name in known if len(registry.get(name).streams) == 1]
        for name in asked:
            registry.get(name)
    except ValueError as error:
        raise UsageError(str(error)) from error
    return list(dict.fromkeys([*singles, *asked]))


def compare_on(
    corpus: Corpus,
    out: Path,
    chosen: Sequence[str],
    *,
    cache_name: str = "in memory",
    fit: FitOptions | None = None,
    options: CompareOptions | None = None,
    progress: Progress | None = None,
) -> dict[str, Any]:
    """Do what `compare` does, for a corpus in memory."""
    fit, options = fit or FitOptions(), options or CompareOptions()
    _check_parameters(chosen, fit)
    plan = protocol.plan(corpus, options.folds, scored=options.scored)
    protocol.check_answering(plan, fit, options.answering)
    trained, answers = _end_to_end(plan, fit, options)
    torch_s = _import_torch(chosen)
    work = Work(plan, fit, options.answering)
    rows, predictions, interrupted = fit_all(work, chosen, workers=options.workers, progress=progress)
    rows, predictions = _sorted([*trained, *rows]), {**answers, **predictions}
    tests, best = _paired_tests(plan, rows, predictions)
    found = integrity.examine(plan, _streams_read(chosen), fit.tasks)
    document = {
        "format": experiments.COMPARISON_FORMAT,
        "version": 1,
        "cache": {
            "name": cache_name,
            "digest": corpus.digest,
            "fingerprint": corpus.fingerprint,
            "provenance": corpus.provenance,
        },
        "streams": corpus.streams,
        "specs": corpus.specs,
        "speaker_norm": corpus.speaker_norm,
        "scored": plan.rule,
        "answering": dataclasses.asdict(options.answering),
        "protocol": plan.describe(watched=any(protocol.looks_at_dev(name, fit) for name in chosen)),
        "split": plan.split,
        "options": dataclasses.asdict(fit),
        "import_torch_s": torch_s,
        "metric": HEADLINE,
        "rows": rows,
        "best_single": best,
        "tests": tests,
        "warnings": [
            *_shared_warnings(rows),
            *_powerless(tests, plan.clusters()[0]),
            *protocol.unused_words(chosen, fit),
            *found.warnings,
        ],
        "certainty": found.to_json(),
        "interrupted": interrupted,
    }
    document = finite(document)
    with experiments.new_folder(out, replace=options.replace, kind=experiments.COMPARISON_FORMAT) as folder:
        write_json(folder / experiments.CONFIG, {key: document[key] for key in ("format", "version", "options")})
        write_json(folder / experiments.COMPARISON, document)
    if options.report:  # last: the numbers stand, whatever becomes of the page
        from dualstream.pipeline.reporting.report import comparison_report

        comparison_report(document).write(out)
    return document


def describe(cache: Path, out: Path, *, fit: FitOptions, options: CompareOptions) -> dict[str, Any]:
    """Return what `compare` would do, without doing it (`--dry-run`); torch is not imported.

    Raises
    ------
    NoCacheError, CorruptError, UsageError
        As `compare` does before its first fit.
    """
    chosen = choose(options.fusions)
    experiments.check_target(out, replace=options.replace, kind=experiments.COMPARISON_FORMAT)
    corpus = read_corpus(cache, streams=options.streams, speaker_norm=options.speaker_norm)
    _check_parameters(chosen, fit)
    plan = protocol.plan(corpus, options.folds, scored=options.scored)
    protocol.check_answering(plan, fit, options.answering)
    trained, _ = _end_to_end(plan, fit, options)
    fitted, left_out = _applicable(plan, chosen, fit)
    shown = Shown.of(plan)
    tasks = {}
    for task, true in protocol.truth(corpus, plan.scored, fit.tasks).items():
        names = corpus.vocabulary[task]
        counts = np.bincount(true[true >= 0], minlength=len(names))
        lines = [None if one is None else vars(one) for one in majority_lines(counts, names, shown.train[task])]
        tasks[task] = {
            "labelled": int((true >= 0).sum()),
            "majority": lines[0],
            "train_majority": lines[1],
            "without_features": plan.presence().to_json(task, true >= 0),
        }
    parts = len(plan.parts)
    return {
        "dry_run": True,
        "variants": fitted,
        "left_out": left_out,
        "end_to_end": [row["variant"] for row in trained],
        "streams": corpus.streams,
        "speaker_norm": corpus.speaker_norm,
        "protocol": plan.describe(watched=any(protocol.looks_at_dev(name, fit) for name in fitted)),
        "seeds": len(fit.seeds),
        "folds": parts if plan.by else None,
        "fits": sum(parts * (1 if registry.solved(name) else len(fit.seeds)) for name in fitted),
        "splits": corpus.split_sizes(),
        "scored": {"split": plan.split, "utterances": len(plan.scored), "tasks": tasks},
        "options": dataclasses.asdict(fit),
        "warnings": [*protocol.unused_words(chosen, fit), *integrity.planned(plan, _streams_read(fitted))],
        "out": str(out),
        "replaces": os.path.lexists(out),
    }


def failed_rows(document: dict[str, Any]) -> list[str]:
    """Return the variants that failed by a fault of their own, not because the corpus lacks what they need."""
    return [row["variant"] for row in document["rows"] if row["status"] == "failed"]


def _end_to_end(
    plan: Plan, fit: FitOptions, options: CompareOptions
) -> tuple[list[dict[str, Any]], dict[str, Predictions]]:
    """Return the rows of encoders that were trained with heads of their own, before anything is fitted.

    Raises
    ------
    UsageError
        Where a file holds no answers for what the plan scores.
    """
    rows, predictions = [], {}
    shown = Shown.of(plan)
    for name, models in by_method([read_end_to_end(path) for path in options.end_to_end]).items():
        answered = options.answering.apply(predictions_on(models, plan, fit.tasks), shown.pairs)
        scores = score_predictions(
            answered,
            plan.corpus.vocabulary,
            groups=plan.clusters(),
            shown=shown,
            presence=plan.presence(),
            stopped_by=plan.split if any(model.stopped_by_dev for model in models) else None,
        )
        facts = row_facts(models, plan)
        if facts["without_answer"]:
            count = len(facts["without_answer"])
            scores["warnings"].append(f"{count} utterances gave it no sample; their answer is the classes' shares")
        predictions[name] = answered
        rows.append({
            "variant": name, "single": True, "status": "done", "reason": "", "scores": scores, "fit_s": None,
            "choice": None, "history": histories(models), "end_to_end": facts,
        })  # fmt: skip
    return rows, predictions


def _applicable(plan: Plan, chosen: Sequence[str], fit: FitOptions) -> tuple[list[str], dict[str, str]]:
    """Return the variants that this corpus allows, and why not the others."""
    looked_at = np.union1d(plan.fitted_on(), plan.scored)
    fitted, left_out = [], {}
    for name in chosen:
        known = registry.get(name)
        own = {key: value for key, value in fit.parameters.items() if key in known.parameters}
        try:
            registry.check(name, plan.corpus.features, dataclasses.replace(fit, parameters=own))
            plan.corpus.require_finite(looked_at, known.streams)
        except (ValueError, UsageError) as error:
            left_out[name] = str(error)
        else:
            fitted.append(name)
    return fitted, left_out


def _streams_read(chosen: Sequence[str]) -> list[str]:
    """Return the streams that any of the variants reads."""
    return list(dict.fromkeys(stream for name in chosen for stream in registry.get(name).streams))


def _check_parameters(chosen: Sequence[str], fit: FitOptions) -> None:
    known = {key for name in chosen for key in registry.get(name).parameters}
    unknown = sorted(set(fit.parameters) - known)
    if unknown:
        raise UsageError(f"no variant here has a setting {unknown}; there are: {sorted(known) or 'none'}")


def _sorted(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Order rows: single streams, then fusions, each the best first; what has no scores comes last."""

    def key(row: dict[str, Any]) -> tuple[bool, bool, float]:
        if row["scores"] is None:
            return (not row["single"], True, 0.0)
        return (not row["single"], False, -headline(row["scores"], lead_task(row["scores"])))

    return sorted(rows, key=key)


def _paired_tests(
    plan: Plan, rows: Sequence[dict[str, Any]], predictions: Mapping[str, Predictions]
) -> tuple[list[dict[str, Any]], dict[Task, str]]:
    done = [row for row in rows if row["scores"] is not None]
    _, groups = plan.clusters()
    classes: dict[Task, int] = {task: len(plan.corpus.vocabulary[task]) for task in TASKS}
    tests: list[dict[str, Any]] = []
    best: dict[Task, str] = {}
    for task in dict.fromkeys(task for row in done for task in row["scores"]["tasks"]):
        singles = [row for row in done if row["single"] and task in row["scores"]["tasks"]]
        if not singles:
            continue
        against = max(singles, key=lambda row: headline(row["scores"], task))["variant"]
        best[task] = against
        own = []
        for row in done:
            name = row["variant"]
            if name == against or task not in row["scores"]["tasks"]:
                continue
            found = compare_to(predictions[name], predictions[against], groups, classes=classes, tasks=(task,))
            own.append({"variant": name, "task": task, "against": against, **found[task]})
        for test, corrected in zip(own, holm([test["p_value"] for test in own]), strict=True):
            tests.append({**test, "p_holm": corrected})
    return tests, best


def _powerless(tests: Sequence[dict[str, Any]], unit: str) -> list[str]:
    """Return which tasks' tests can't come out below ALPHA whatever the models answer."""
    words = []
    for task in dict.fromkeys(test["task"] for test in tests):
        own = [test for test in tests if test["task"] == task]
        groups = own[0]["groups"]
        least = min(1.0, len(own) * smallest_p(groups))
        if least > ALPHA:
            words.append(
                f"{task}: {len(own)} tests over {groups} {unit}{'s' if groups > 1 else ''} can't give a p (Holm) "
                f"below {least:.2g}, whatever is answered: that none is small shows nothing"
            )
    return words


def _shared_warnings(rows: Sequence[dict[str, Any]]) -> list[str]:
    """Return each row's warnings, once where all rows share it."""
    done = [row for row in rows if row["scores"] is not None]
    answer: dict[str, list[str]] = {}
    for row in done:
        for warning in row["scores"]["warnings"]:
            answer.setdefault(warning, []).append(row["variant"])
    return [
        warning if len(names) == len(done) else f"{', '.join(names)}: {warning}"
        for warning, names in answer.items()
    ]


def _import_torch(chosen: Sequence[str]) -> float:
    """Import torch before anything is timed, where a variant needs it; return the seconds that took."""
    if all(registry.solved(name) for name in chosen):
        return 0.0
    started = time.perf_counter()
    importlib.import_module("torch")
    return time.perf_counter() - started
