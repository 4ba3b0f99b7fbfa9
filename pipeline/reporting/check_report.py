"""Findings for a person: a table with the gravest first, and how the classes are spread."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING

from dualstream.heads.evaluation.majority import Majority
from dualstream.pipeline.corpus.checks.balance import TaskBalance
from dualstream.pipeline.corpus.checks.document import CheckDocument
from dualstream.pipeline.corpus.checks.findings import Finding
from dualstream.pipeline.reporting.tables import console, majority_rows

from dualstream.counting import counted

if TYPE_CHECKING:
    from rich.table import Table

EXAMPLES = 3
COLOURS = {"error": "bold red", "warning": "yellow", "note": "cyan"}

_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


def show(document: CheckDocument, findings: Sequence[Finding]) -> None:
    """Print findings, class balance and a line that sums up, on standard output."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    out = console()
    if findings:
        table = Table(box=box.SIMPLE, show_edge=False, pad_edge=False)
        table.add_column("", no_wrap=True)
        table.add_column("count", justify="right", no_wrap=True)
        table.add_column("finding", no_wrap=True)
        table.add_column("what it is, what it means for the results, where")
        for finding in findings:
            rule = finding.rule
            words = Text(f"{rule.what}: {rule.means}")
            if finding.note:
                words.append(f"\n{_printable(finding.note)}")
            words.append(f"\n{_examples(finding)}", style="dim")
            severity = Text(rule.severity, style=COLOURS[rule.severity])
            table.add_row(severity, str(len(finding.cases)), Text(finding.code), words)
        out.print(table)
    for task, spread in document.balance.items():
        out.print(_balance_table(task, spread))
    counts = document.counts
    kinds = ", ".join(counted(counts[severity], severity) for severity in COLOURS)
    out.print(
        f"{counted(document.utterances, 'utterance')} ({document.looked_at}); kinds of finding: {kinds}",
        markup=False,
    )


def _examples(finding: Finding) -> str:
    some = finding.cases[:EXAMPLES]
    shown = [f"{case.subject} ({case.detail})" if case.detail else case.subject for case in some]
    rest = len(finding.cases) - len(shown)
    return _printable("; ".join(shown)) + (f"; … {rest} more" if rest else "")


def _balance_table(task: str, spread: TaskBalance) -> Table:
    from rich import box
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=f"{task}: rows by class", title_justify="left", box=box.SIMPLE, show_edge=False, pad_edge=False
    )
    table.add_column("split")
    names = list(next(iter(spread.splits.values())).counts)
    for name in names:
        table.add_column(Text(_printable(name)), justify="right")
    table.add_column("majority line: always answering one class scores")
    rows = dict(spread.splits)
    if spread.outside_test:
        rows["outside test (--folds)"] = spread.outside_test
    for split, shares in rows.items():
        constant = majority_rows(shares.majority, shares.train_majority)
        lines = "\n".join(f"{_printable(name)}: {_constant(line)}" for name, line in constant)
        table.add_row(split, *(str(shares.counts[name]) for name in names), Text(lines))
    return table


def _constant(line: Majority) -> str:
    return (
        f"accuracy {line.accuracy:.1%}, UAR {line.balanced_accuracy:.1%}, "
        f"weighted F1 {line.weighted_f1:.3f}, macro F1 {line.macro_f1:.3f}"
    )


def _printable(text: str) -> str:
    """Write control characters out, so that no file name can move the cursor."""
    text = _CONTROL.sub(lambda match: match[0].encode("unicode_escape").decode(), text)
    return text.encode("utf-8", "backslashreplace").decode()
