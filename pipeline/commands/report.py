"""report: draw the page and the figures of one run, of several side by side, or of a comparison."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

from dualstream.pipeline import experiments
from dualstream.pipeline.errors import NoCacheError, UsageError
from dualstream.pipeline.experiments.comparison import Comparison
from dualstream.pipeline.options.emit import CommandResult, text_result
from dualstream.pipeline.options.heads import ReportCommand
from dualstream.pipeline.places import require_file_place
from dualstream.pipeline.reporting.report import (
    ReportPage,
    comparison_report,
    comparison_rows,
    run_report,
    run_rows,
)
from dualstream.pipeline.reporting.table_files import check_ending, write_table
from dualstream.pipeline.reporting.tables import Row
from dualstream.pipeline.storage.documents import read_document
from dualstream.pipeline.storage.folders import require_writable

from dualstream.documents import Document

# what the first line of a table holds that was written here
TABLE_SIGNS = {
    ".csv": b"task,scored,variant,",
    ".md": b"(per cent, log loss in nats;",
    ".tex": rb"\usepackage{booktabs}",
}


def run(options: ReportCommand) -> CommandResult:
    """Do what the command line asks."""
    page, *figures = [str(path) for path in report(options.run, out=options.out, tables=options.table)]
    tables = tuple(str(path) for path in options.table)
    return text_result(DrawnReport(page, tuple(figures), tables), "\n".join([page, *figures, *tables]))


@dataclass(frozen=True)
class DrawnReport(Document):
    """What `report` drew."""

    FORMAT: ClassVar[str] = "dualstream report"

    report: str
    """The page."""
    figures: tuple[str, ...]
    tables: tuple[str, ...] = ()
    """Files of the score tables."""


def report(paths: Sequence[Path], *, out: Path | None = None, tables: Sequence[Path] = ()) -> list[Path]:
    """Write report.html and the figures as PNG and PDF; return their paths, the page first.

    Parameters
    ----------
    paths
        Run folders, or one folder that `compare` made.
    out
        The folder to write into; None: the run's own, where one is named.
    tables
        Files for the score tables; their endings say the format: ``.csv``, ``.md`` or ``.tex``.

    Raises
    ------
    NoCacheError
        Where a folder is not there, or is neither a run nor a comparison.
    UsageError
        Where several runs are named and `out` is not, or a table's ending is unknown or another file is there.
    """
    if not paths:
        raise UsageError("name at least one run folder")
    if len(paths) > 1 and out is None:
        raise UsageError("several runs make one page: say where, with --out FOLDER")
    for table in tables:
        check_ending(table)
        require_file_place(table, "--table")
        if not table.absolute().parent.is_dir():
            raise UsageError(f"--table {table}: there is no folder {table.absolute().parent}")
        require_writable(table, "--table")
        _require_own(table)
    page, rows = _drawn(paths)
    for table in tables:
        write_table(table, rows)
    return page.write(out or paths[0], ("png", "pdf"))


def _require_own(table: Path) -> None:
    """Refuse to write over what is no such table: a manifest, a paper."""
    if not table.is_file():
        return
    with open(table, "rb") as file:
        start = file.readline()
    if start and TABLE_SIGNS[table.suffix.lower()] not in start:
        raise UsageError(f"--table {table} already exists and is no table of scores; name another")


def _drawn(paths: Sequence[Path]) -> tuple[ReportPage, list[Row]]:
    """Return the page and the lines of its score tables."""
    kinds = [experiments.format_of(path) for path in paths]
    if kinds == [experiments.COMPARISON_FORMAT]:
        comparison = read_document(paths[0] / experiments.COMPARISON, Comparison)
        return comparison_report(comparison), comparison_rows(comparison)
    if experiments.COMPARISON_FORMAT in kinds:
        raise UsageError("a comparison has a page of its own: name it alone")
    for path, kind in zip(paths, kinds, strict=True):
        if kind is not None and kind != experiments.RUN_FORMAT:
            raise NoCacheError(f"there is no run {path}; fit-head and compare make such folders")
    runs = [experiments.read_run(path) for path in paths]
    return run_report(runs), run_rows(runs)
