"""Tables for the terminal, drawn with rich from scores documents; the majority line is in every one."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, TextIO

from dualstream.heads.data.normalisation import LABEL
from dualstream.heads.evaluation.majority import Majority
from dualstream.heads.evaluation.statistics import Estimate
from dualstream.heads.variants.options import Task
from dualstream.pipeline.experiments.scores import MissingFeatures, SplitScores, TaskScores

from dualstream.counting import counted

if TYPE_CHECKING:
    from rich.console import Console

METRICS = (
    ("balanced_accuracy", "UAR"),
    ("accuracy", "accuracy"),
    ("weighted_f1", "weighted F1"),
    ("macro_f1", "macro F1"),
    ("log_loss", "log loss"),
    ("calibrated_log_loss", "calibrated log loss"),
    ("calibration_error", "calib. error"),
)
PER_CENT = ("balanced_accuracy", "accuracy", "weighted_f1", "macro_f1", "calibration_error")
CONTRADICTING = "contradicting"
KEPT_LONGEST = (
    *("calib. error", "log loss", "calibrated log loss", "fit", CONTRADICTING),
    *("macro F1", "accuracy", "p (Holm)", "weighted F1", "UAR"),
)
"""Where a terminal is too narrow columns go in this order; others, such as a difference of UAR, go last."""
LABEL_SHARE = 0.32  # of the width, for the names of rows; longer ones take a second line, and no column's place
NARROW = 9  # heads that are no wider stand on one line
GAP, EDGES = 2, 2  # between columns; what the frame takes at both ends
PIPE_WIDTH = 140  # characters assumed where standard output is no terminal, and COLUMNS is not set


@dataclass(frozen=True)
class Row:
    """One line of a table."""

    name: str
    scores: SplitScores | None
    """None for a variant that failed or was not reached."""
    note: str = ""
    """Why there are no scores."""
    extra: dict[str, dict[str, str]] = field(default_factory=dict)
    """By task, cells of further columns by their heads."""
    single: bool = False
    """Whether it reads only one stream."""

    @property
    def title(self) -> str:
        """The name, and how its answers came about where that is not by each model as it is."""
        return self.name + scores_mark(self.scores)


def what_is_scored(scores: SplitScores, task: Task) -> str:
    """Return which utterances a task's scores are of, in words."""
    count = scores.tasks[task].count
    return counted(count, "utterance") + (", out of fold" if scores.split == "folds" else f" of {scores.split}")


TOO_GOOD = "†"  # behind the name of a row whose training was stopped by what is scored
BY_PRIOR = "what a head has nothing to read of is answered by the prior"


def presence_words(count: int, missing: MissingFeatures | None, answered: str = BY_PRIOR) -> str:
    """Return how many of a task's scored utterances had no features, in words; runs of old do not know it."""
    if missing is None:
        return ""
    lacking = {head: number for head, number in missing.streams.items() if number}
    words = f"all {count} have features of {' and '.join(missing.streams)}"
    if lacking:
        each = ", ".join(f"{number} no {head}" for head, number in lacking.items())
        words = f"of {count} scored utterances {each}"
        if len(missing.streams) > 1:
            words += f", {missing.all_streams} {'neither' if len(missing.streams) == 2 else 'none of them'}"
        words += f"; {answered}"
    if missing.left_out:
        words += f"; {missing.left_out} without features are left out"
    return words


def majority_rows(
    majority: Majority | None, train_majority: Majority | None, title: str = "majority"
) -> list[tuple[str, Majority]]:
    """Return a task's majority lines with their names: of what is scored, and train's where that differs."""
    lines = [(title, majority), (f"train's {title}", train_majority)]
    return [(f"{name}: {line.name}", line) for name, line in lines if line]


def majority_score(line: Majority, metric: str) -> float | None:
    """Return what a majority line has of a metric; None for those of probabilities."""
    return getattr(line, metric, None)


def majority_cell(line: Majority, metric: str) -> str:
    """Return a majority line's score as tables show it: per cent, a dash where it has none."""
    value = majority_score(line, metric)
    return "–" if value is None else f"{100 * value:.1f}"


def answer_mark(
    *,
    models: Sequence[str] = ("",),
    joint_decoding: bool = False,
    speaker_norm: bool = False,
    stopped_by: str | None = None,
) -> str:
    """Return what goes behind the name of whatever was scored in another way than each model by itself."""
    words = [models[0]] if models[0].startswith("ensemble") else []
    words += ["joint decoding"] if joint_decoding else []
    words += ["transductive"] if speaker_norm else []
    return (f" ({', '.join(words)})" if words else "") + (f" {TOO_GOOD}" if stopped_by else "")


def scores_mark(scores: SplitScores | None) -> str:
    """Return the mark of scores; empty where there are none."""
    if scores is None:
        return ""
    return answer_mark(
        models=scores.models,
        joint_decoding=scores.joint_decoding,
        speaker_norm=scores.speaker_norm,
        stopped_by=scores.stopped_by,
    )


def answer_notes(every: Sequence[SplitScores]) -> list[str]:
    """Return what tables must explain of how these scores came about."""
    notes = []
    stopped = [scores.stopped_by for scores in every if scores.stopped_by]
    if stopped:
        words = f"{TOO_GOOD} {stopped[0]} said when training was to stop: these scores are too good"
        if len(stopped) < len(every):
            words += f", and rows without {TOO_GOOD} at a disadvantage"
        notes.append(f"{words}; --folds has none of that")
    if any(scores.joint_decoding for scores in every):
        notes.append(
            "joint decoding: the answer is the likeliest pair of labels that training showed, log loss and "
            "calibration are of each head before that"
        )
    if any(scores.joint for scores in every):
        notes.append(
            "emotion and sentiment are one answer, a pair that training showed; sentiment's log loss and "
            "calibration are of the joint's marginal"
        )
    if any(scores.speaker_norm for scores in every):
        notes.append(LABEL)
    if any(one.calibrated_log_loss is not None for scores in every for one in scores.tasks.values()):
        notes.append(
            "log loss is of the probabilities as they are, and only some variants calibrate theirs; calibrated "
            "log loss compares: each model at the temperature that fits the other scored groups"
        )
    if any(len(scores.models) > 1 and _all_alike(scores) for scores in every):
        notes.append("±0.0 throughout: solved, one and the same model for every seed")
    return notes


def _all_alike(scores: SplitScores) -> bool:
    """Whether all seeds gave the same probabilities."""
    return all(one.log_loss is not None and one.log_loss.spread == 0 for one in scores.tasks.values())


def console(file: TextIO | None = None) -> Console:
    """Return a console for standard output (or `file`) that is wide enough for a table in a pipe."""
    from rich.console import Console

    stream = file or sys.stdout
    known = stream.isatty() or os.environ.get("COLUMNS", "").isdecimal()
    width = None if known else PIPE_WIDTH
    return Console(file=stream, width=width, highlight=False, soft_wrap=False)


def print_scores(out: Console, task: Task, rows: Sequence[Row], *, title: str = "") -> None:
    """Print one task's table: a row a run, the majority line first, single streams before fusions."""
    from rich import box
    from rich.padding import Padding
    from rich.table import Table
    from rich.text import Text

    scored = [row for row in rows if row.scores is not None and task in row.scores.tasks]
    if not scored:
        return
    first = scored[0].scores
    assert first is not None
    one = first.tasks[task]
    constant = majority_rows(one.majority, one.train_majority)
    names = [*(name for name, _ in constant), *_titles(scored)]
    columns = _columns(task, scored, [line for _, line in constant])
    label_width = min(int(LABEL_SHARE * out.width), max(map(len, names)))
    shown = _fitting(columns, out.width - label_width - EDGES)
    table = Table(
        box=box.SIMPLE_HEAD, title=Text(title or f"{task}: {what_is_scored(first, task)}"),
        title_justify="left", title_style="bold", padding=(0, 1), collapse_padding=True, pad_edge=False,
    )  # fmt: skip
    table.add_column("", width=label_width, overflow="fold")
    for column in shown:
        table.add_column(column.title, justify="right", width=column.width, no_wrap=True)
    best = _best_row(task, scored)
    for i, name in enumerate(names):
        row = scored[i - len(constant)] if i >= len(constant) else None
        after = scored[i + 1 - len(constant)] if len(constant) <= i + 1 < len(names) else None
        ends = after is not None and (row is None or (row.single and not after.single))
        style = "dim" if row is None else "bold" if row is best else ""
        cells = [Text(column.cells[i], style="dim" if row is None else "") for column in shown]
        table.add_row(Text(name, style=style), *cells, end_section=ends)
    out.print(table)
    caption = _caption(scored, one, dropped=[column.head for column in columns if column not in shown])
    out.print(Padding(Text(caption, style="dim"), (0, 0, 1, 0)))


@dataclass(frozen=True)
class _Column:
    """One column of a table on the terminal."""

    head: str
    cells: tuple[str, ...]
    """Of each line of the table; a cell may have two lines."""
    kept: int
    """Where all don't fit, those with the smallest go first."""

    @property
    def title(self) -> str:
        """The head, broken so that it is no wider than it must be."""
        if self.head == CONTRADICTING:
            return "contra-\ndicting"
        return self.head if len(self.head) <= NARROW else self.head.replace(" ", "\n")

    @property
    def width(self) -> int:
        return max(len(line) for text in (self.title, *self.cells) for line in text.split("\n"))


def _columns(task: Task, scored: Sequence[Row], constant: Sequence[Majority]) -> list[_Column]:
    """Return all columns of a task: the metrics, contradictions where known, what rows have of their own."""
    columns = []
    for key, head in METRICS:
        cells = [majority_cell(line, key) for line in constant]
        known = [row.scores.tasks[task].metric(key) for row in scored if row.scores]
        cells += [estimate_cell(value, per_cent=key in PER_CENT) for value in known]
        columns.append(_Column(head, tuple(cells), KEPT_LONGEST.index(head)))
    blank = [""] * len(constant)
    if any(row.scores and row.scores.contradiction for row in scored):
        rates = [row.scores.contradiction if row.scores else None for row in scored]
        cells = [f"{100 * rate.mean:.1f}" if rate else "" for rate in rates]
        columns.append(_Column(CONTRADICTING, (*blank, *cells), KEPT_LONGEST.index(CONTRADICTING)))
    for head in dict.fromkeys(head for row in scored for head in row.extra.get(task, {})):
        cells = [row.extra.get(task, {}).get(head, "") for row in scored]
        kept = KEPT_LONGEST.index(head) if head in KEPT_LONGEST else len(KEPT_LONGEST)
        columns.append(_Column(head, (*blank, *cells), kept))
    return columns


def _fitting(columns: Sequence[_Column], width: int) -> list[_Column]:
    """Return the columns that fit into so many characters, in their order; at least one."""
    shown = list(columns)
    while len(shown) > 1 and sum(column.width + GAP for column in shown) > width:
        shown.remove(min(shown, key=lambda column: column.kept))
    return shown


def _best_row(task: Task, scored: Sequence[Row]) -> Row | None:
    """Return the row of the highest UAR where several can be compared."""
    if len(scored) < 2 or len({what_is_scored(row.scores, task) for row in scored if row.scores}) > 1:
        return None
    return max(scored, key=lambda row: row.scores.mean(task, "balanced_accuracy") if row.scores else 0)


def print_classes(out: Console, task: Task, scores: SplitScores) -> None:
    """Print precision, recall and F1 of each class."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    table.add_column(Text(task + scores_mark(scores)))
    for head in ("precision", "recall", "F1", "true", "answered"):
        table.add_column(Text(head), justify="right")
    for one in scores.tasks[task].classes:
        numbers = [f"{100 * value:.1f}" for value in (one.precision, one.recall, one.f1)]
        table.add_row(Text(one.name), *numbers, str(one.support), f"{one.answered:.0f}")
    out.print(table)


def print_missing(out: Console, rows: Sequence[Row]) -> None:
    """Print the rows without scores, each with its reason."""
    from rich.text import Text

    for row in rows:
        if row.scores is None:
            out.print(Text(f"{row.name}: {row.note or 'not scored'}", style="magenta"), soft_wrap=True)


def print_warnings(out: Console, warnings: Sequence[str]) -> None:
    """Print each warning on a line of its own."""
    from rich.text import Text

    for warning in warnings:
        out.print(Text(f"warning: {warning}", style="yellow"), soft_wrap=True)


def estimate_cell(value: Estimate | None, *, per_cent: bool) -> str:
    """Return ``48.3 ±1.0`` and below it the interval ``44.0–52.3``, each where there is one."""
    if value is None:
        return "–"
    scale, digits = (100.0, 1) if per_cent else (1.0, 2)
    text = f"{scale * value.mean:.{digits}f}"
    if value.spread is not None:
        text += f" ±{scale * value.spread:.{digits}f}"
    if value.interval is not None:
        low, high = value.interval
        text += f"\n{scale * low:.{digits}f}–{scale * high:.{digits}f}"
    return text


def difference_interval(interval: tuple[float, float]) -> str:
    """Return ``+1.2 to +5.6``, points of per cent, for the interval of a difference of scores."""
    low, high = interval
    return f"{100 * low:+.1f} to {100 * high:+.1f}"


def _titles(rows: Sequence[Row]) -> list[str]:
    """Return the rows' titles; an ensemble or joint decoding of all rows alike stands in the caption alone."""
    if len({scores_mark(row.scores) for row in rows}) > 1:
        return [row.title for row in rows]
    return [
        row.name + (answer_mark(speaker_norm=one.speaker_norm, stopped_by=one.stopped_by) if one else "")
        for row in rows
        for one in [row.scores]
    ]


def _caption(rows: Sequence[Row], one: TaskScores, *, dropped: Sequence[str]) -> str:
    every = [row.scores for row in rows if row.scores is not None]
    scores = every[0]
    seeds = len(scores.models)
    parts = [words] if (words := presence_words(one.count, one.without_features)) else []
    parts.append("per cent, log loss in nats")
    parts.append(f"mean ± deviation over {seeds} seeds" if seeds > 1 else f"one model ({scores.models[0]})")
    if one.accuracy.interval is not None:
        parts.append(f"below: 95 % interval, bootstrap over {one.groups} {scores.unit}s")
    if scores.contradiction:
        labels = f"{100 * scores.contradiction.labels:.1f} in the labels"
        parts.append(f"contradicting: emotion–sentiment pairs never seen in training ({labels})")
    parts += answer_notes(every)
    if dropped:
        parts.append(f"in the report, or on a wider terminal: {', '.join(dropped)}")
    return "; ".join(parts)
