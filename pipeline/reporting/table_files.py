"""Score tables as files for papers and spreadsheets: CSV, Markdown and LaTeX, with the majority line in each."""

from __future__ import annotations

import csv
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

from dualstream.heads.evaluation.statistics import Estimate
from dualstream.heads.variants.options import Task
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.reporting.tables import (
    METRICS,
    PER_CENT,
    Row,
    majority_rows,
    majority_score,
    what_is_scored,
)
from dualstream.pipeline.storage.documents import write_bytes

IN_LATEX = {
    "\\": r"\textbackslash{}", "{": r"\{", "}": r"\}", "&": r"\&", "%": r"\%", "$": r"\$", "#": r"\#", "_": r"\_",
    "~": r"\textasciitilde{}", "^": r"\textasciicircum{}", "–": "--", "±": r"$\pm$", "†": r"$\dagger$",
}  # fmt: skip


@dataclass(frozen=True)
class Line:
    """One line of a table: a variant, or a majority class."""

    task: Task
    scored: str
    """Which utterances, in words: ``1109 utterances of dev``."""
    name: str
    values: tuple[Estimate | None, ...]
    """In the order of `METRICS`; None where a line has none."""


def write_table(path: Path, rows: Sequence[Row]) -> None:
    """Write score tables in the format that the file's name ends in.

    Raises
    ------
    UsageError
        Where it is none of them.
    """
    check_ending(path)
    write_bytes(path, FORMATS[path.suffix.lower()](list(table_lines(rows))).encode())


def check_ending(path: Path) -> None:
    """Refuse a name that ends in no format of tables."""
    if path.suffix.lower() not in FORMATS:
        raise UsageError(f"--table {path}: the name ends in {path.suffix!r}; expected {', '.join(FORMATS)}")


def table_lines(rows: Sequence[Row]) -> Iterator[Line]:
    """Return the lines of all tasks, each kind of scored utterances with its majority line first."""
    for task in dict.fromkeys(task for row in rows if row.scores for task in row.scores.tasks):
        told = set()
        for row in rows:
            if row.scores is None or task not in row.scores.tasks:
                continue
            one, scored = row.scores.tasks[task], what_is_scored(row.scores, task)
            if scored not in told:
                told.add(scored)
                for name, line in majority_rows(one.majority, one.train_majority):
                    known = [majority_score(line, key) for key, _ in METRICS]
                    values = (None if value is None else Estimate(value, (value,)) for value in known)
                    yield Line(task, scored, name, tuple(values))
            yield Line(task, scored, row.title, tuple(one.metric(key) for key, _ in METRICS))


def _csv(lines: Sequence[Line]) -> str:
    """Return a column for each number; scores in per cent, log losses in nats."""
    out = io.StringIO()
    writer = csv.writer(out, lineterminator="\n")
    parts = ("", " sd", " low", " high")
    writer.writerow(["task", "scored", "variant", *(head + part for _, head in METRICS for part in parts)])
    for line in lines:
        cells: list[str] = []
        for (key, _), value in zip(METRICS, line.values, strict=True):
            low, high = (value.interval if value else None) or (None, None)
            numbers = (value.mean, value.spread, low, high) if value else (None,) * 4
            scale = 100 if key in PER_CENT else 1
            cells += ["" if number is None else f"{scale * number:.6g}" for number in numbers]
        writer.writerow([line.task, line.scored, line.name, *cells])
    return out.getvalue()


def _markdown(lines: Sequence[Line]) -> str:
    parts = []
    for heading, table in _tables(lines):
        heads = ["", *(head for _, head in METRICS)]
        parts.append(f"**{heading}** (per cent, log loss in nats; in brackets 95 % intervals)\n")
        parts.append(f"| {' | '.join(heads)} |")
        parts.append("|---|" + "---:|" * len(METRICS))
        for line in table:
            name = line.name.replace("\\", "\\\\").replace("|", "\\|")
            parts.append(f"| {name} | {' | '.join(_cells(line))} |")
        parts.append("")
    return "\n".join(parts)


def _latex(lines: Sequence[Line]) -> str:
    parts = ["% needs \\usepackage{booktabs}"]
    for heading, table in _tables(lines):
        parts += [
            f"% {heading.replace(chr(10), ' ')}; per cent, log loss in nats; in brackets 95 % intervals",
            f"\\begin{{tabular}}{{l{'r' * len(METRICS)}}}",
            "\\toprule",
            " & ".join(["", *(_escaped(head) for _, head in METRICS)]) + " \\\\",
            "\\midrule",
        ]
        parts += [" & ".join(_escaped(cell) for cell in (line.name, *_cells(line))) + " \\\\" for line in table]
        parts += ["\\bottomrule", "\\end{tabular}", ""]
    return "\n".join(parts)


def _tables(lines: Sequence[Line]) -> Iterator[tuple[str, list[Line]]]:
    """Return the heading and the lines of each task and kind of scored utterances."""
    for task, scored in dict.fromkeys((line.task, line.scored) for line in lines):
        yield f"{task}: {scored}", [line for line in lines if (line.task, line.scored) == (task, scored)]


def _cells(line: Line) -> list[str]:
    """Return ``48.3 ± 1.0 [44.0, 52.3]`` of each score, as far as it is known."""
    cells = []
    for (key, _), value in zip(METRICS, line.values, strict=True):
        scale, digits = (100, 1) if key in PER_CENT else (1, 2)
        words = "–" if value is None else f"{scale * value.mean:.{digits}f}"
        if value is not None and value.spread is not None:
            words += f" ± {scale * value.spread:.{digits}f}"
        if value is not None and value.interval is not None:
            low, high = value.interval
            words += f" [{scale * low:.{digits}f}, {scale * high:.{digits}f}]"
        cells.append(words)
    return cells


def _escaped(text: str) -> str:
    return "".join(IN_LATEX.get(letter, letter) for letter in text)


FORMATS: dict[str, Callable[[Sequence[Line]], str]] = {".csv": _csv, ".md": _markdown, ".tex": _latex}
