"""What stage 2 says on the terminal: one run's tables on standard output, progress on standard error."""

from __future__ import annotations

import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from dualstream.heads.search.choice import Choice
from dualstream.heads.variants.contract import ProgressEvent
from dualstream.pipeline.experiments import COMPARISON, REPORT, Run
from dualstream.pipeline.experiments.comparison import Comparison
from dualstream.pipeline.experiments.dry_run import ComparisonPlan, FitHeadPlan, PlannedTask
from dualstream.pipeline.experiments.evaluation import Evaluation
from dualstream.pipeline.experiments.history import ModelHistory
from dualstream.pipeline.reporting import tables
from dualstream.pipeline.reporting.heartbeat import Heartbeat, format_duration
from dualstream.pipeline.reporting.layers import layer_words
from dualstream.pipeline.reporting.report import (
    chosen_name,
    comparison_layers,
    comparison_rows,
    evidence_note,
    evidence_words,
    gain_facts,
    gains_lead,
    run_row,
)
from dualstream.pipeline.reporting.tables import Row

from dualstream.counting import counted

LEAST_SHARE = 0.02  # of all fits that are done before it is said how long the rest takes


def print_run(run: Run) -> None:
    """Print a run's score tables, its classes, how training went, and its warnings."""
    out = tables.console()
    row = run_row(run)
    for task in run.metrics.tasks:
        tables.print_scores(out, task, [row])
        tables.print_classes(out, task, run.metrics)
    layers = [f"layers of {stream}: {words}" for stream, words in layer_words(run.history).items()]
    for line in [*choice_lines(run.config.choice), *history_lines(run.history), *layers]:
        out.print(line, style="dim", markup=False)
    tables.print_warnings(out, run.metrics.warnings)


def print_rows(rows: Sequence[Row], warnings: Sequence[str]) -> None:
    """Print several variants' tables, a table a task, and the warnings."""
    out = tables.console()
    seen = list(dict.fromkeys(task for row in rows if row.scores for task in row.scores.tasks))
    for task in seen:
        tables.print_scores(out, task, rows)
    tables.print_missing(out, rows)
    tables.print_warnings(out, warnings)


def print_written(run: Run) -> None:
    """Say what was done and where it lies."""
    assert run.path is not None
    config = run.config
    out = tables.console()
    seeds = len(config.options.seeds)
    name = chosen_name(config.variant, config.choice)
    how = f"{name}, {counted(seeds, 'seed')}: {config.protocol}"
    lines = [
        f"{how}; no label of the test split was looked at",
        f"fitted in {config.fit_s:.1f} s; run: {run.path}",
    ]
    if config.interrupted:
        when = "the best up to then" if config.options.patience else "as they were then"
        lines.append(f"interrupted: the models are {when}")
    if (run.path / REPORT).is_file():
        lines.append(f"report: {run.path / REPORT}")
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def print_evaluation(evaluation: Evaluation) -> None:
    """Print what `evaluate` found, and loudly how often test was looked at before."""
    out = tables.console()
    rows = [Row(evaluation.variant, evaluation.scores)]
    for task in evaluation.scores.tasks:
        tables.print_scores(out, task, rows)
        tables.print_classes(out, task, evaluation.scores)
    tables.print_warnings(out, [*evaluation.warnings, *evaluation.scores.warnings])
    if evaluation.split != "test":
        return
    if evaluation.times_before:
        out.print(f"!!! {test_times_words(evaluation)}", style="bold red", markup=False, soft_wrap=True)
    else:
        out.print("the first time that this run was scored on test; the run's log says so now", markup=False)
    if evaluation.report:
        out.print(f"on the run's page too: {evaluation.report}", markup=False, soft_wrap=True)


def print_comparison(comparison: Comparison, out_folder: Path) -> None:
    """Print a comparison's tables and what was done."""
    print_rows(comparison_rows(comparison), comparison.warnings)
    out = tables.console()
    if comparison.stream_gains:
        out.print(f"what each stream adds, UAR: {gains_lead(comparison)}", markup=False, soft_wrap=True)
        for what, gain in gain_facts(comparison).items():
            out.print(f"  {what}: {gain}", markup=False, soft_wrap=True)
    best = ", ".join(f"{name} for {task}" for task, name in comparison.best_single.items())
    seeds = len(comparison.options.seeds)
    each = f"{counted(seeds, 'seed')} a variant"
    lines = [f"{comparison.protocol}; {each}; no label of the test split was looked at"]
    if best:
        lines.append(f"tested against the best single stream ({best}), chosen on the scored utterances themselves")
        lines.append("intervals of differences are each by itself; p (Holm) is corrected over the rows of a task")
        lines.append(f"rows: single streams, then fusions, each by UAR of {next(iter(comparison.best_single))}")
    lines += [f"{what}: {words}" for what, words in comparison_layers(comparison).items()]
    if comparison.import_torch_s:
        lines.append(f"import torch took {comparison.import_torch_s:.1f} s of the time")
    if comparison.interrupted:
        lines.append("interrupted: the rows that were finished are kept")
    lines.append(f"numbers: {out_folder / COMPARISON}")
    if (out_folder / REPORT).is_file():
        lines.append(f"report: {out_folder / REPORT}")
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)


def test_times_words(evaluation: Evaluation) -> str:
    """Return how often the test split was scored before, and what that means."""
    before, earlier = evaluation.times_before, evaluation.earlier_fits
    times = "once" if before == 1 else f"{before} times"
    words = f"NOT THE FIRST TIME: this run was scored on test {times} before"
    if earlier:
        words += f" ({earlier} of them with fits that this one replaced)"
    return words + "; choosing by what test said makes its scores too good to be true"


def print_plan(planned: FitHeadPlan) -> None:
    """Say what `--dry-run` found: nothing was fitted or written."""
    out = tables.console()
    streams = ", ".join(f"{head} from {name}" for head, name in planned.streams.items())
    what = f"would fit {planned.variant} ({planned.summary}), {counted(planned.models, 'model')}, on {streams}"
    replaces = ", replacing what is there" if planned.replaces else ""
    for line in (what, planned.protocol, f"would write {planned.out}{replaces}"):
        out.print(line, markup=False, soft_wrap=True)
    tables.print_warnings(out, planned.warnings)


def print_comparison_plan(planned: ComparisonPlan) -> None:
    """Say what `compare --dry-run` found: nothing was fitted or written."""
    out = tables.console()
    fitted, left_out = planned.variants, planned.left_out
    mark = tables.answer_mark(speaker_norm=planned.speaker_norm)
    seeds, folds = planned.seeds, planned.folds
    how = counted(seeds, "seed") + (f" in {counted(folds, 'fold')}" if folds else "")
    lines = [
        f"would fit {len(fitted)} of {counted(len(fitted) + len(left_out), 'variant')}{mark}: {', '.join(fitted)}"
    ]
    lines.append(f"{how}: {counted(planned.fits, 'fit')} (solved variants are fitted once for all seeds)")
    if "auto" in fitted:
        lines.append("auto fits its candidates too, by folds of its own")
    if planned.end_to_end:
        lines.append(f"rows of encoders that were trained with their own heads: {', '.join(planned.end_to_end)}")
    lines += [
        f"left out: {reason if reason.startswith(name) else f'{name}: {reason}'}"
        for name, reason in left_out.items()
    ]
    lines.append(planned.protocol)
    lines.append("utterances: " + ", ".join(f"{name or 'blank'} {n}" for name, n in planned.splits.items()))
    lines += [_planned_task(task, one, planned.scored.utterances) for task, one in planned.scored.tasks.items()]
    lines.append(f"would write {planned.out}{', replacing what is there' if planned.replaces else ''}")
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
    tables.print_warnings(out, planned.warnings)


def _planned_task(task: str, one: PlannedTask, utterances: int) -> str:
    words = f"{task}: {one.labelled} of {utterances} scored utterances labelled"
    for name, line in tables.majority_rows(one.majority, one.train_majority):
        values = [(head, tables.majority_score(line, key)) for key, head in tables.METRICS]
        numbers = ", ".join(f"{head} {100 * value:.1f}" for head, value in values if value is not None)
        words += f"; {name}: {numbers} (per cent)"
    return f"{words}; {tables.presence_words(one.labelled, one.without_features)}"


def choice_lines(choice: Choice | None) -> list[str]:
    """Return what `auto` considered and why it chose as it did."""
    if choice is None:
        return []
    lines = [f"auto, by {choice.groups}: {one.candidate}: {evidence_words(one)}" for one in choice.evidence]
    return [*lines, f"({evidence_note(choice)})"]


def history_lines(history: Sequence[ModelHistory]) -> list[str]:
    """Return how training went, in a line or two: epochs, why it ended, how the tasks' gradients agreed."""
    trained = [one for one in history if one.epochs]
    if not trained:
        return []
    best = [one.best_epoch + 1 for one in trained if one.best_epoch is not None]
    ends = list(dict.fromkeys(one.stopped for one in trained if one.stopped))
    words = [f"trained {_range([one.epochs for one in trained])} epochs"]
    if best:
        words.append(f"best {_range(best)}")
    if ends:
        words.append(f"ended by {', '.join(ends)}")
    cosines = [v for one in trained for v in one.column("task_cosine") if v is not None]
    if cosines:
        words.append(f"cosine of the tasks' gradients {sum(cosines) / len(cosines):+.2f} on average")
    return ["; ".join(words)]


class ProgressLine:
    """Where a fit is, on standard error: one line drawn on a terminal, a plain one every 30 s elsewhere.

    Use it as a context manager, and as the callback of a fit; `stop` takes it away before a table comes.
    """

    def __init__(self) -> None:
        self._status: Any = None
        self._event: ProgressEvent = {}
        self._began_s: float | None = None  # of the first fit, behind the reading of the cache
        drawn = sys.stderr.isatty() and not Heartbeat.muted
        self._heartbeat = Heartbeat(self._describe, silent=drawn)
        if drawn:
            from rich.console import Console

            self._status = Console(file=sys.stderr).status("reading the cache")

    def __enter__(self) -> ProgressLine:
        self._heartbeat.__enter__()
        if self._status is not None:
            self._status.start()
        return self

    def __exit__(self, *reason: object) -> None:
        self.stop()

    def __call__(self, event: ProgressEvent) -> None:
        """Report an event of a fit."""
        self._event = event
        self._began_s = time.monotonic() if self._began_s is None else self._began_s
        if self._status is None:
            return
        from rich.text import Text

        self._status.update(Text(self._describe()))

    def stop(self) -> None:
        """Take the line away."""
        self._heartbeat.stop()
        if self._status is not None:
            self._status.stop()

    def _describe(self) -> str:
        if not self._event or self._began_s is None:
            return "reading the cache"
        share = share_done(self._event) if {"of", "side_by_side"} & set(self._event) else 0.0  # else unknown
        left_s = time_left_s(share, time.monotonic() - self._began_s)
        return event_words(self._event) + ("" if left_s is None else f", about {format_duration(left_s)} left")


def share_done(event: ProgressEvent) -> float:
    """Return how much of all fits an event says is done, 0 to 1: variants count alike, and so do epochs."""
    if "side_by_side" in event:
        inside = sum(share_done({**one, "of": 1, "done": 0}) for one in event["side_by_side"])
        return float((event["done"] + inside) / event["of"])
    epochs = event.get("epochs") or 1
    epoch = min((event.get("epoch") or 0) / epochs, 1.0)
    fold = (event["fold"] - 1 + epoch) / event["folds"] if "fold" in event else epoch
    return float((event["done"] + fold) / event["of"]) if "of" in event else float(fold)


def time_left_s(share: float, elapsed_s: float) -> float | None:
    """Return how long the rest takes at this pace; None where too little is done to tell, or all."""
    return elapsed_s * (1 - share) / share if LEAST_SHARE <= share < 1 else None


def event_words(event: ProgressEvent) -> str:
    """Return a fit's event in words: variant, fold, epoch, loss, dev score; several fitted in parallel."""
    if "side_by_side" in event:
        running = "; ".join(event_words(one) for one in event["side_by_side"])
        done = f"{event['done']} of {counted(event['of'], 'variant')} done"
        return f"{done}; {running}" if running else done
    words = [str(event.get("variant", ""))]
    if "of" in event:
        words[0] = f"variant {event['done'] + 1} of {event['of']}: {words[0]}"
    if "fold" in event:
        words.append(f"fold {event['fold']} of {event['folds']}")
    if event.get("epoch") is not None:
        words.append(f"epoch {event['epoch']} of {event.get('epochs', '?')}")
    for key in ("train_loss", "dev_score"):
        if event.get(key) is not None:
            words.append(f"{key.replace('_', ' ')} {event[key]:.3f}")
    return ", ".join(words)


def _range(numbers: list[int]) -> str:
    return str(min(numbers)) if min(numbers) == max(numbers) else f"{min(numbers)} to {max(numbers)}"
