"""The cause `label_in_column`: a column that is the label, or an indicator of a class; rows scaled by class."""

from __future__ import annotations

from collections.abc import Sequence

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.class_scaled import ClassScaled
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.label_columns import LabelColumn
from dualstream.heads.diagnosis.signs.remedies import COLUMN
from dualstream.heads.variants.options import Task

SHOWN = 8
WORTH = 0.03  # of balanced accuracy, that heads lose without columns that were rated


@cause(title="A column is the label", rank=12)
def label_in_column(evidence: Evidence) -> Cause | None:
    """A column tells the class by itself, as no measurement does; or all rows hold figures of their class."""
    return None if evidence.signs is None else found_in(evidence.signs, evidence.task)


def found_in(signs: Signs, task: Task) -> Cause | None:
    """Return the cause where a stream has such columns or rows."""
    columns_of = [one for one in signs.label_columns if not one.rated or _are_worth(signs)]
    if not columns_of:
        return _of_classes(signs, task) if signs.class_scaled else None
    parts = [_words(one, task) for one in columns_of if not one.together and not one.rated]
    parts += [
        f"{columns} are the {task} together: answers of a model that was fitted on it, or "
        "columns that add up to it"
        for columns in _by_stream([one for one in columns_of if one.together])
    ]
    parts += [
        f"{columns} tell the {task}, and share nothing with the other columns inside of its classes: they were "
        "rated, as labels are, and not measured"
        for columns in _by_stream([one for one in columns_of if one.rated])
    ]
    return mistake(
        "label_in_column",
        "; ".join(parts) + ": every score is too good",
        signs.remedies.get(COLUMN),
        "take the column out of the table that the stream was read from",
    )


def _are_worth(signs: Signs) -> bool:
    """Say whether heads lose beyond doubt without the columns: a clean tone's pitch stands by itself, too."""
    without = signs.remedies.get(COLUMN)
    gain = None if without is None else without.gain
    return gain is not None and gain.difference <= -WORTH and (gain.high is None or gain.high < 0)


def _of_classes(signs: Signs, task: Task) -> Cause:
    """Return the cause where rows were scaled with the figures of their own class."""
    return mistake(
        "label_in_column",
        "; ".join(_scaled(one, task) for one in signs.class_scaled),
        None,
        "scale the stream anew with figures of all of train's rows, whatever their class",
    )


def _scaled(one: ClassScaled, task: Task) -> str:
    what = {
        "deviation": "one mean and one deviation",
        "range": "one least and one largest value",
    }[one.kind]
    where = "" if one.of == "all" else f" of {one.of}"
    return (
        f"in each of {one.classes} classes{where} the {one.stream} columns have {what}, to rounding "
        f"({one.share:.0%} of them): rows were scaled with the figures of their own {task}, which no new clip has"
    )


def _by_stream(columns: Sequence[LabelColumn]) -> list[str]:
    """Return the columns of each stream in words."""
    found = []
    for stream in dict.fromkeys(one.stream for one in columns):
        names = [one.name for one in columns if one.stream == stream]
        found.append(", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "") + f" of {stream}")
    return found


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
