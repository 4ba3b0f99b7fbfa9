"""What `predict` says of each utterance: JSON values, rows of a CSV file, a table on the terminal."""

from __future__ import annotations

import csv
import io
import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.heads.variants.registry import TASKS, Task
from dualstream.pipeline.bundles.folder import Bundle
from dualstream.pipeline.bundles.inference import Answers
from dualstream.pipeline.bundles.inputs import Item, shown
from dualstream.pipeline.experiments.ranges import odd_rows
from dualstream.pipeline.extraction.shards import ClipRows
from numpy.typing import NDArray


def documents_of(
    bundle: Bundle, items: Sequence[Item], rows: Sequence[ClipRows], answers: Answers | None
) -> list[dict[str, Any]]:
    """Return a document for each item; `rows` and `answers` are those of the items that are utterances."""
    documents = []
    at = 0
    for item in items:
        if item.utterance is None:
            documents.append(unanswered(item, item.reason))
            continue
        assert answers is not None
        documents.append(answered(bundle, item, rows[at], answers, at))
        at += 1
    return documents


def answered(bundle: Bundle, item: Item, clip: ClipRows, answers: Answers, at: int) -> dict[str, Any]:
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
    document: dict[str, Any] = {
        **_head(item),
        "status": "ok",
        "reason": reason,
        "streams": streams,
        "far_outside": far_outside(bundle, clip),
        "duration_s": clip.duration_s if math.isfinite(clip.duration_s) else None,
        "sha256": clip.sha256,
    }
    for task in TASKS:
        document[task] = _task(bundle, task, answers, at) if task in answers.codes else None
    return document


def far_outside(bundle: Bundle, clip: ClipRows) -> list[str]:
    """Return in which streams a clip lies far outside of what the heads were fitted on, with the columns."""
    words = []
    for name, usual in bundle.ranges.items():
        one = clip.streams[name]
        columns = bundle.streams[name]["spec"].get("column_names")
        present = np.array([one.present])
        odd = odd_rows(name, one.utterance[None], present, [clip.id], usual, columns)
        for row in odd.far:
            values = ", ".join(f"{column} {value:.4g}" for column, value in row.columns.items())
            words.append(f"{name} {row.excess:.3g} times beyond the limit" + (f" ({values})" if values else ""))
        words += [f"{name} is all zeros" for _ in odd.zeros]
    return words


def note(one: dict[str, Any]) -> str:
    """Return what a person must know of an utterance: what was odd in it, and how far it lies outside."""
    far = one.get("far_outside")
    words = [one["reason"], f"far outside of what the heads were fitted on: {'; '.join(far)}" if far else ""]
    return "; ".join(filter(None, words))


def _task(bundle: Bundle, task: Task, answers: Answers, at: int) -> dict[str, Any]:
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
    return {
        "answer": names[code],
        "probability": float(sure[code]),
        "probabilities": named(sure),
        "uncalibrated": named(np.exp(plain[at])),
        "seeds": seeds,
    }


def unanswered(item: Item, reason: str) -> dict[str, Any]:
    """Return an utterance that has a reason in place of an answer."""
    return {**_head(item), "status": "failed", "reason": shown(reason)}


def _head(item: Item) -> dict[str, Any]:
    span = item.span_s or (None, None)
    path = None if item.path is None else shown(str(item.path))
    sound = {} if item.sound is None else {"sound": shown(str(item.sound))}
    return {"name": item.name, "path": path, **sound, "start_s": span[0], "end_s": span[1]}


def as_csv(document: dict[str, Any]) -> str:
    """Return a row an utterance: calibrated probabilities, and what is missing."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    tasks = document["vocabulary"]
    header = ["name", "path", "start_s", "end_s", "status", "reason", "missing"]
    for task, names in tasks.items():
        header += [task, *(f"{task}_p:{name}" for name in names)]
    writer.writerow([*header, "far_outside", "warnings"])
    warnings = "; ".join(document["warnings"])
    for one in document["utterances"]:
        missing = " ".join(name for name, there in one.get("streams", {}).items() if not there)
        cells = [one[key] for key in ("name", "path", "start_s", "end_s", "status", "reason")]
        row = ["" if cell is None else cell for cell in cells] + [missing]
        for task, names in tasks.items():
            said = one.get(task)
            row += (
                [said["answer"], *(said["probabilities"][name] for name in names)]
                if said
                else [""] * (1 + len(names))
            )
        writer.writerow([*row, "; ".join(one.get("far_outside", ())), warnings])
    return text.getvalue()


def show(document: dict[str, Any]) -> None:
    """Print a table, a line an utterance, and what a person should know."""
    from dualstream.pipeline.reporting.tables import console
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = console()
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1), pad_edge=False)
    tasks = list(document["vocabulary"])
    for head in ("utterance", *tasks, "streams", ""):
        table.add_column(head, overflow="fold")
    for one in document["utterances"]:
        said = [
            f"{one[task]['answer']} {one[task]['probability']:.2f}" if one.get(task) else "–" for task in tasks
        ]
        there = ", ".join(
            name if present else f"{name} missing" for name, present in one.get("streams", {}).items()
        )
        style = "red" if one["status"] == "failed" else ""
        table.add_row(*(Text(cell, style=style) for cell in (one["name"], *said, there, shown(note(one)))))
    out.print(table)
    count = len(document["utterances"])
    lines = [f"{count - document['failed']} of {count} answered by {document['variant']}, {document['bundle']}"]
    lines += [f"written: {document[key]}" for key in ("csv", "page") if document[key]]
    for line in lines:
        out.print(line, markup=False, soft_wrap=True)
