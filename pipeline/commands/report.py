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
from dualstream.pipeline.reporting.report import comparison_report, run_report
from dualstream.pipeline.storage.documents import read_document

from dualstream.documents import Document


def run(options: ReportCommand) -> CommandResult:
    """Do what the command line asks."""
    page, *figures = [str(path) for path in report(options.run, out=options.out)]
    return text_result(DrawnReport(page, tuple(figures)), "\n".join([page, *figures]))


@dataclass(frozen=True)
class DrawnReport(Document):
    """What `report` drew."""

    FORMAT: ClassVar[str] = "dualstream report"

    report: str
    """The page."""
    figures: tuple[str, ...]


def report(paths: Sequence[Path], *, out: Path | None = None) -> list[Path]:
    """Write report.html and figures/*.png; return their paths, the page first.

    Parameters
    ----------
    paths
        Run folders, or one folder that `compare` made.
    out
        The folder to write into; None: the run's own, where one is named.

    Raises
    ------
    NoCacheError
        Where a folder is not there, or is neither a run nor a comparison.
    UsageError
        Where several runs are named and `out` is not.
    """
    if not paths:
        raise UsageError("name at least one run folder")
    if len(paths) > 1 and out is None:
        raise UsageError("several runs make one page: say where, with --out FOLDER")
    place = out or paths[0]
    kinds = [experiments.format_of(path) for path in paths]
    if kinds == [experiments.COMPARISON_FORMAT]:
        return comparison_report(read_document(paths[0] / experiments.COMPARISON, Comparison)).write(place)
    if experiments.COMPARISON_FORMAT in kinds:
        raise UsageError("a comparison has a page of its own: name it alone")
    for path, kind in zip(paths, kinds, strict=True):
        if kind != experiments.RUN_FORMAT:
            raise NoCacheError(f"there is no run {path}; fit-head and compare make such folders")
    return run_report([experiments.read_run(path) for path in paths]).write(place)
