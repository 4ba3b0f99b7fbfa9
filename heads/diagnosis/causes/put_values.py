"""The cause `put_values`: values that stand in place of what was not known, or did not fit."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.values import PutValue
from dualstream.heads.diagnosis.signs.verdicts import splits_of_kinds

TRIFLE = 0.01  # of a stream's values: fewer in the midst of the others move no head, and are evidence alone


@cause(title="Values that stand for nothing", rank=33, explained_by=("imputed_rows", "label_in_column"))
def put_values(evidence: Evidence) -> Cause | None:
    """One value comes back in many columns, or columns are cut off at both ends, or run over them."""
    return None if evidence.signs is None else found_in(evidence.signs)


def found_in(signs: Signs) -> Cause | None:
    """Return the cause where a stream has such values."""
    mixed = {one.stream for one in splits_of_kinds(signs)}  # columns hold two things: no limit is one
    found = [
        one for one in signs.values if not _is_trifle(one) and not (one.kind == "value" and one.stream in mixed)
    ]
    if not found:
        return None
    return mistake(
        "put_values",
        "; ".join(_words(one) for one in found),
        None,
        "; ".join(dict.fromkeys(_advice(one) for one in found)),
        utterances=[name for one in found for name in signs.called(one.utterances)],
    )


def _is_trifle(one: PutValue) -> bool:
    """Say whether columns stick in few places, amid their other values: far ones widen columns however few."""
    return one.kind == "stuck" and one.share * one.columns < TRIFLE * one.width


def _words(one: PutValue) -> str:
    where = f"{one.columns} of {one.width} {one.stream} columns"
    if one.kind == "ends":
        return (
            f"{one.share:.0%} of the values of {where} stand at the column's least or largest value: cut off there"
        )
    if one.kind == "wrapped":
        return (
            f"{one.share:.1%} of the values of {where}, or more, lie off what the other columns tell by the "
            "column's whole range, and next to it once that is added or taken off: they ran over the end of a "
            "type that was too small, and begin anew at its other end"
        )
    if one.kind == "stuck" and one.value is None:
        return f"{where} hold one value each in {len(one.utterances)} utterances, and others in the others"
    if one.kind == "far":
        return (
            f"{one.share:.2%} of the values of {where}, in {len(one.utterances)} utterances, lie more than 50 "
            "spreads from all others, with nothing between"
        )
    if one.kind == "windows":
        return (
            f"{one.value:g} stands for {one.share:.2%} of the values of {where} in the windows of "
            f"{len(one.utterances)} utterances, far from all else that they hold: their means say nothing"
        )
    return (
        f"{one.value:g} stands for {one.share:.1%} of the values of {where}, in {len(one.utterances)} utterances, "
        "and is no limit of what they hold"
    )


def _advice(one: PutValue) -> str:
    if one.kind == "wrapped":
        return (
            "encode the stream anew in a type that holds its values (the range added or taken off puts some back)"
        )
    if one.kind == "ends":
        return "keep the stream in a type and range that hold its values"
    if one.kind == "stuck":
        return "find out what stopped these columns: in these utterances they say nothing"
    if one.kind == "far":
        return "find out what these values are (dates, codes, another unit) and mark them as missing"
    if one.kind == "windows":
        return "leave such windows out before they are averaged, or mark them as missing (NaN, or no row)"
    return "mark what is not known as missing (NaN, or no row), or find out what cut these rows off"
