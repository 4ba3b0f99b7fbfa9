"""What `predict` says of each utterance: JSON values, rows of a CSV file, a table on the terminal."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from dualstream.heads.variants.registry import Task
from dualstream.pipeline.bundles.folder import Bundle
from dualstream.pipeline.bundles.inference import Answers
from dualstream.pipeline.bundles.inputs import Item
from dualstream.pipeline.bundles.predictions import (
    ANSWERED,
    FAILED,
    PredictionReport,
    TaskAnswer,
    UtteranceAnswer,
)
from dualstream.pipeline.experiments.ranges import odd_rows
from dualstream.pipeline.extraction.shards import ClipRows
from dualstream.pipeline.storage.printable import escaped
from numpy.typing import NDArray


def answers_of(
    bundle: Bundle, items: Sequence[Item], rows: Sequence[ClipRows], answers: Answers | None
) -> list[UtteranceAnswer]:
    """Return the answer for each item; `rows` and `answers` are those of the items that are utterances."""
    found = []
    at = 0
    for item in items:
        if item.utterance is None:
            found.append(unanswered(item, item.reason))
            continue
        assert answers is not None
        found.append(answered(bundle, item, rows[at], answers, at))
        at += 1
    return found


def answered(bundle: Bundle, item: Item, clip: ClipRows, answers: Answers, at: int) -> UtteranceAnswer:
    """Return the utterance in row `at` of the answers; its reason where nothing that the head reads is there."""
    assert item.utterance is not None
    streams = {name: bool(clip.streams[name].present) for name in bundle.streams}
    reason = clip.reason
    for path in item.utterance.files:
        reason = reason.replace(path, Path(path).name)  # `path` and `sound` have it in full
    if clip.status == "failed":
        return unanswered(item, reason)
    if not any(streams.values()):
        missing = f"it has no {' and no '.join(streams)}, which is what {bundle.variant} reads"
        return unanswered(item, f"no_streams: {missing}: {reason}")
    return replace(
        _head(item, ANSWERED, reason),
        speaker=escaped(item.speaker) if item.speaker and answers.scales is not None else None,
        streams=streams,
        far_outside=tuple(far_outside(bundle, clip)),
        duration_s=clip.duration_s if math.isfinite(clip.duration_s) else None,
        sha256=clip.sha256,
        emotion=_task(bundle, "emotion", answers, at) if "emotion" in answers.codes else None,
        sentiment=_task(bundle, "sentiment", answers, at) if "sentiment" in answers.codes else None,
    )


def far_outside(bundle: Bundle, clip: ClipRows) -> list[str]:
    """Return in which streams a clip lies far outside of what the heads were fitted on, with the columns."""
    words = []
    for name, usual in bundle.ranges.items():
        one = clip.streams[name]
        columns = bundle.streams[name].spec.get("column_names")
        present = np.array([one.present])
        odd = odd_rows(name, one.utterance[None], present, [clip.id], usual, columns)
        for row in odd.far:
            values = ", ".join(f"{column} {value:.4g}" for column, value in row.columns.items())
            words.append(f"{name} {row.excess:.3g} times beyond the limit" + (f" ({values})" if values else ""))
        words += [f"{name} is all zeros" for _ in odd.zeros]
    return words


def note(one: UtteranceAnswer) -> str:
    """Return what a person must know of an utterance: what was odd in it, and how far it lies outside."""
    far = one.far_outside
    words = [one.reason, f"far outside of what the heads were fitted on: {'; '.join(far)}" if far else ""]
    return "; ".join(filter(None, words))


def _task(bundle: Bundle, task: Task, answers: Answers, at: int) -> TaskAnswer:
    names = bundle.vocabulary[task]
    code = int(answers.codes[task][at])
    sure = answers.calibrated[task][at]

    def named(values: NDArray[np.float64]) -> dict[str, float]:
        return dict(zip(names, map(float, values), strict=True))

    plain = answers.plain.task(task)
    assert plain is not None
    seeds = {}
    for model, one in zip(bundle.models, answers.seeds, strict=True):
        log_p = one.task(task)
        assert log_p is not None
        seeds[f"seed {model.seed}"] = named(np.exp(log_p[at]))
    return TaskAnswer(
        answer=names[code],
        probability=float(sure[code]),
        probabilities=named(sure),
        uncalibrated=named(np.exp(plain[at])),
        seeds=seeds,
    )


def unanswered(item: Item, reason: str) -> UtteranceAnswer:
    """Return an utterance that has a reason in place of an answer."""
    return _head(item, FAILED, escaped(reason))


def _head(item: Item, status: str, reason: str) -> UtteranceAnswer:
    span = item.span_s or (None, None)
    path = None if item.path is None else escaped(str(item.path))
    sound = None if item.sound is None else escaped(str(item.sound))
    return UtteranceAnswer(item.name, path, span[0], span[1], status, reason, sound)


def as_csv(report: PredictionReport) -> str:
    """Return one row per utterance: calibrated probabilities, and what is missing."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    tasks = report.vocabulary
    header = ["name", "path", "start_s", "end_s", "status", "reason", "missing"]
    for task, names in tasks.items():
        header += [task, *(f"{task}_p:{name}" for name in names)]
    writer.writerow([*header, "far_outside", "warnings"])
    warnings = "; ".join(report.warnings)
    for one in report.utterances:
        cells = (one.name, one.path, one.start_s, one.end_s, one.status, one.reason)
        row: list[object] = [*("" if cell is None else cell for cell in cells), " ".join(one.missing)]
        for task, names in tasks.items():
            said = one.task(task)
            row += (
                [said.answer, *(said.probabilities[name] for name in names)] if said else [""] * (1 + len(names))
            )
        writer.writerow([*row, "; ".join(one.far_outside), warnings])
    return text.getvalue()


def show(report: PredictionReport) -> None:
    """Print a table, one line per utterance, and what a person should know."""
    from dualstream.pipeline.reporting.tables import console
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = console()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    tasks = list(report.vocabulary)
    for head in ("utterance", *tasks, "streams", ""):
        table.add_column(head, overflow="fold")
    for one in report.utterances:
        answers = [one.task(task) for task in tasks]
        said = [f"{each.answer} {each.probability:.2f}" if each else "–" for each in answers]
        streams = (one.streams or {}).items()
        there = ", ".join(name if present else f"{name} missing" for name, present in streams)
        style = "red" if one.status == FAILED else ""
        table.add_row(*(Text(cell, style=style) for cell in (one.name, *said, there, escaped(note(one)))))
    out.print(table)
    count = len(report.utterances)
    lines = [f"{count - report.failed} of {count} answered by {report.variant}, {report.bundle}"]
    annotations = [place for places in report.annotations.values() for place in places]
    lines += [f"written: {place}" for place in (report.csv, report.page, *annotations) if place]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
