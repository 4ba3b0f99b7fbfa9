"""The figures of a report, drawn from the documents of a run alone. matplotlib comes in when they are drawn."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np
from dualstream.heads.variants.options import TASKS
from dualstream.pipeline.experiments.history import ModelHistory
from dualstream.pipeline.experiments.scores import SplitScores, TaskScores
from dualstream.pipeline.reporting.colours import colours
from dualstream.pipeline.reporting.drawing import (
    BLUE,
    GREEN,
    GRID,
    INK,
    MUTED,
    ORANGE,
    RED,
    DrawnFigure,
    render,
    words_on,
)
from dualstream.pipeline.reporting.tables import PER_CENT, scores_mark

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TASK_COLOUR = {"emotion": BLUE, "sentiment": ORANGE}
MAJORITY_COLOUR = RED
METRIC_WORDS = {
    "accuracy": "accuracy",
    "balanced_accuracy": "UAR (balanced accuracy)",
    "weighted_f1": "weighted F1",
    "macro_f1": "macro F1",
    "log_loss": "log loss",
    "calibrated_log_loss": "calibrated log loss",
    "calibration_error": "calibration error",
}


def score_lines(
    names: Sequence[str], scores: Sequence[SplitScores], metric: str, *, name: str = "scores"
) -> DrawnFigure:
    """Draw each run's score with its 95 % interval, a dot a seed, against the majority line."""
    tasks = [task for task in TASKS if any(task in one.tasks for one in scores)]
    scale = 100 if metric in PER_CENT else 1  # as in the tables

    def draw(figure: Figure) -> None:
        for k, task in enumerate(tasks):
            axes = figure.add_subplot(1, len(tasks), k + 1)
            here = [one.tasks.get(task) for one in scores]
            for y, one in enumerate(here):
                if one is None:
                    continue
                value = one.headline(metric)
                if value.interval is not None:
                    ends = [scale * end for end in value.interval]
                    axes.plot(ends, [y, y], color=TASK_COLOUR[task], lw=2.5, alpha=0.45)
                seeds = [scale * seed for seed in value.seeds]
                axes.plot(seeds, [y] * len(seeds), "|", color=MUTED, ms=7, mew=1)
                axes.plot([scale * value.mean], [y], "o", color=TASK_COLOUR[task], ms=6)
            lines = {
                y: scale * getattr(one.majority, metric) for y, one in enumerate(here) if one and one.majority
            }
            if len(set(lines.values())) > 1:  # rows of different utterances have each a line of their own
                for y, line in lines.items():
                    axes.plot([line, line], [y - 0.4, y + 0.4], color=MAJORITY_COLOUR, lw=1.2, ls=(0, (4, 3)))
            majority = next(iter(lines.values()), None)
            if majority is not None:
                if len(set(lines.values())) == 1:
                    axes.axvline(majority, color=MAJORITY_COLOUR, lw=1.2, ls=(0, (4, 3)))
                axes.annotate(
                    "majority class", (majority, 1.0), xycoords=("data", "axes fraction"), xytext=(3, 2),
                    textcoords="offset points", fontsize=7.5, color=MAJORITY_COLOUR, va="bottom",
                )  # fmt: skip
            axes.set_yticks(range(len(names)), names if k == 0 else [""] * len(names))
            axes.set_ylim(len(names) - 0.5, -0.5)
            axes.set_xlabel(METRIC_WORDS[metric] + (", per cent" if metric in PER_CENT else ""))
            axes.set_title(task, pad=14)
            axes.grid(axis="x", color=GRID, lw=0.8)
            axes.tick_params(axis="y", length=0)
            axes.spines["left"].set_visible(False)
            axes.margins(x=0.08)

    what = METRIC_WORDS[metric]
    caption = f"{what}: mean over seeds (dot), each seed (tick), 95 % interval (bar), majority class (dashed)."
    said = [
        f"{task}, {name}: {scale * one.tasks[task].headline(metric).mean:.1f}"
        for task in tasks
        for name, one in zip(names, scores, strict=True)
        if task in one.tasks
    ]
    drawing = render(draw, 8.6, 1.1 + 0.3 * max(2, len(names)))
    return DrawnFigure(name, f"Scores: {what}", caption, drawing, "; ".join(said))


def confusion(scores: SplitScores, *, name: str = "confusion") -> DrawnFigure:
    """Draw the confusion matrices: the row is the truth, its cells sum to 100 %."""
    tasks = list(scores.tasks)

    def draw(figure: Figure) -> None:
        widths = [max(3, len(scores.tasks[task].names)) for task in tasks]
        grid = figure.add_gridspec(1, len(tasks), width_ratios=widths)
        for k, task in enumerate(tasks):
            one = scores.tasks[task]
            counts = np.asarray(one.confusion, dtype=float)
            total = counts.sum(axis=1, keepdims=True)
            share = np.divide(counts, total, out=np.zeros_like(counts), where=total > 0)
            axes = figure.add_subplot(grid[0, k])
            edges = np.arange(len(share) + 1) - 0.5
            inks = colours(one.names)
            rgb = np.array([_rgb(inks[name].light) for name in one.names])[:, None, :]  # (C, 1, 3), a row's
            axes.pcolormesh(edges, edges, np.dstack([np.broadcast_to(rgb, (*share.shape, 3)), share]))
            axes.invert_yaxis()
            classes = [_short(name) for name in one.names]
            rows = [f"{_short(row.name)}  ({row.support})" for row in one.classes]
            axes.set_xticks(range(len(classes)), classes, rotation=35, ha="right", rotation_mode="anchor")
            axes.set_yticks(range(len(classes)), rows)
            axes.tick_params(length=0, colors=INK)
            for side in axes.spines.values():
                side.set_visible(False)
            if len(classes) <= 12:
                for i, j in np.ndindex(*share.shape):
                    if total[i, 0] > 0:
                        axes.text(
                            j, i, f"{100 * share[i, j]:.0f}", ha="center", va="center", fontsize=8,
                            color=words_on(inks[one.names[i]], share[i, j]),
                        )  # fmt: skip
            axes.set_title(task + scores_mark(scores))
            axes.set_xlabel("predicted")
            axes.set_ylabel("true (utterances)" if k == 0 else "")

    caption = (
        "Of the utterances that are truly of the row's class, how many per cent were called what; mean over "
        "seeds. A row has its class's colour, the fuller the larger the share."
    )
    rows = max(len(scores.tasks[task].names) for task in tasks)
    drawing = render(draw, 8.6, 1.5 + 0.36 * max(4, min(rows, 24)))
    said = "; ".join(f"{task}: {', '.join(_taken_for(scores.tasks[task]))}" for task in tasks)
    return DrawnFigure(name, "Confusion", caption, drawing, said)


def per_class(scores: SplitScores, *, name: str = "per_class") -> DrawnFigure:
    """Draw precision, recall and F1 of each class, per cent, in the order of the tables."""
    tasks = list(scores.tasks)

    def draw(figure: Figure) -> None:
        widths = [max(3, len(scores.tasks[task].names)) for task in tasks]
        grid = figure.add_gridspec(1, len(tasks), width_ratios=widths)
        for k, task in enumerate(tasks):
            rows = scores.tasks[task].classes
            axes = figure.add_subplot(grid[0, k])
            x = np.arange(len(rows))
            inks = colours(row.name for row in rows)
            shades = [inks[row.name].light for row in rows]
            for shift, (key, alpha) in enumerate((("precision", 0.35), ("recall", 0.6), ("F1", 1.0))):
                heights = [100 * getattr(row, key.lower()) for row in rows]
                axes.bar(x + (shift - 1) * 0.27, heights, 0.25, color=shades, alpha=alpha)
                axes.bar([0], [0], 0, color=MUTED, alpha=alpha, label=key)  # for the legend, of no class's colour
            labels = [f"{_short(row.name)}\n({row.support})" for row in rows]
            axes.set_xticks(x, labels, rotation=0 if len(rows) <= 8 else 60, fontsize=7.5)
            axes.set_ylim(0, 100)
            axes.grid(axis="y", color=GRID, lw=0.8)
            axes.set_axisbelow(True)
            axes.tick_params(length=0)
            axes.set_title(task + scores_mark(scores))
            if k == 0:
                figure.legend(*axes.get_legend_handles_labels(), loc="outside upper right", ncols=3, fontsize=8)

    caption = (
        "Precision, recall and F1 by class, from the left, per cent (utterances in brackets), mean over seeds; "
        "each class in its own colour."
    )
    said = "; ".join(
        f"{task}, F1: " + ", ".join(f"{row.name} {100 * row.f1:.0f}" for row in scores.tasks[task].classes)
        for task in tasks
    )
    return DrawnFigure(name, "By class", caption, render(draw, 8.6, 2.9), said)


def curves(history: Sequence[ModelHistory], *, name: str = "curves") -> DrawnFigure | None:
    """Draw training: losses, dev score, and the cosine between the tasks' gradients. None where nothing is."""
    runs = [one for one in history if one.epochs]
    losses = [c for c in ("train_loss", "dev_loss") if any(one.column(c) for one in runs)]
    panels: list[tuple[str, list[str]]] = [("loss", losses)] if losses else []
    for column, title in (("dev_score", "dev score"), ("task_cosine", "cosine of the tasks' gradients")):
        if any(_numbers(one.column(column)) for one in runs):
            panels.append((title, [column]))
    if not panels:
        return None

    def draw(figure: Figure) -> None:
        for k, (title, columns) in enumerate(panels):
            axes = figure.add_subplot(1, len(panels), k + 1)
            for column in columns:
                colour = {"train_loss": MUTED, "task_cosine": GREEN}.get(column, TASK_COLOUR["emotion"])
                _curve_bundle(axes, [one.column(column) for one in runs], colour, column)
            if title != "loss":
                best = [one.best_epoch + 1 for one in runs if one.best_epoch is not None]
                if best and columns == ["dev_score"]:
                    axes.axvline(float(np.median(best)), color=MUTED, lw=1, ls=(0, (2, 2)))
            if columns == ["task_cosine"]:
                axes.axhline(0, color=MAJORITY_COLOUR, lw=1)
                axes.set_ylim(-1.02, 1.02)
            if len(columns) > 1:
                axes.legend(fontsize=8)
            axes.set_title(title)
            axes.set_xlabel("epoch")
            axes.grid(color=GRID, lw=0.8)

    caption = (
        "A thin line a model, the thick line their mean while at least half of them train; the dotted line is the "
        "median of the best epochs. Training's loss is the sum over the tasks, dev's the mean; the dev score is "
        "the mean of the tasks' macro F1. Below zero, the tasks' gradients pull the shared "
        "representation in opposite directions."
    )
    return DrawnFigure(name, "Training", caption, render(draw, 8.6, 2.7))


def _curve_bundle(axes: Axes, lines: Sequence[Sequence[float | None]], colour: str, label: str) -> None:
    drawn = [np.array([np.nan if v is None else v for v in line], dtype=float) for line in lines if line]
    if not drawn:
        return
    longest = max(len(line) for line in drawn)
    grid = np.full((len(drawn), longest), np.nan)
    for row, line in zip(grid, drawn, strict=True):
        row[: len(line)] = line
    seen = ~np.isnan(grid)
    mean = np.where(seen, grid, 0).sum(axis=0) / np.maximum(seen.sum(axis=0), 1)
    mean[2 * seen.sum(axis=0) < len(drawn)] = np.nan  # the few that train longest are no mean of all
    axes.plot(np.arange(1, longest + 1), mean, color=colour, lw=2, label=label.replace("_", " "), zorder=3)
    for line in drawn[:25]:
        axes.plot(np.arange(1, len(line) + 1), line, color=colour, lw=0.7, alpha=0.4)


def _numbers(column: Sequence[float | None]) -> bool:
    return any(value is not None for value in column)


def _taken_for(one: TaskScores) -> list[str]:
    """Return, of each class that was there, how much was found and what it was most often taken for."""
    words = []
    for code, row in enumerate(np.asarray(one.confusion, dtype=float)):
        if row.sum() == 0:
            continue
        share = 100 * row / row.sum()
        wrong = int(np.argmax(np.where(np.arange(len(row)) == code, -1, row)))
        missed = (
            f", taken for {one.names[wrong]} {share[wrong]:.0f} %" if share[wrong] > 0 and wrong != code else ""
        )
        words.append(f"{one.names[code]} found {share[code]:.0f} %{missed}")
    return words


def _rgb(colour: str) -> tuple[float, ...]:
    return tuple(int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5))


def _short(text: str, limit: int = 14) -> str:
    return text if len(text) <= limit else text[: limit - 1] + "…"
