"""The cause `label_in_column`: a column that is the label, or an indicator of a class."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.label_columns import LabelColumn
from dualstream.heads.diagnosis.signs.remedies import COLUMN
from dualstream.heads.variants.options import Task

SHOWN = 8


@cause(title="A column is the label", rank=12)
def label_in_column(evidence: Evidence) -> Cause | None:
    """A column tells the class by itself, as no measurement does."""
    return None if evidence.signs is None else found_in(evidence.signs, evidence.task)


def found_in(signs: Signs, task: Task) -> Cause | None:
    """Return the cause where a stream has such columns."""
    if not signs.label_columns:
        return None
    parts = [_words(one, task) for one in signs.label_columns if not one.together]
    for stream in dict.fromkeys(one.stream for one in signs.label_columns if one.together):
        names = [one.name for one in signs.label_columns if one.together and one.stream == stream]
        shown = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
        parts.append(
            f"{shown} of {stream} are the {task} together: answers of a model that was fitted on it, or "
            "columns that add up to it"
        )
    return mistake(
        "label_in_column",
        "; ".join(parts) + ": every score is too good",
        signs.remedies.get(COLUMN),
        "take the column out of the table that the stream was read from",
    )


def _words(one: LabelColumn, task: Task) -> str:
    if one.indicates:
        return f"{one.name} of {one.stream} is the indicator of {one.indicates!r}"
    if one.group:
        return (
            f"{one.name} of {one.stream} alone tells {', '.join(one.group)} from all other classes in "
            f"{one.accuracy:.0%}, the best of the other columns its best group in {one.usual:.0%}"
        )
    return (
        f"{one.name} of {one.stream} alone tells the {task} in {one.accuracy:.0%}, the best of the "
        f"other columns in {one.usual:.0%}"
    )
