"""The cause `put_values`: values that stand in place of what was not known, or did not fit."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.values import PutValue


@cause(title="Values that stand for nothing", rank=33, explained_by=("imputed_rows", "label_in_column"))
def put_values(evidence: Evidence) -> Cause | None:
    """One value comes back in many columns, or columns are cut off at both ends."""
    return None if evidence.signs is None else found_in(evidence.signs)


def found_in(signs: Signs) -> Cause | None:
    """Return the cause where a stream has such values."""
    if not signs.values:
        return None
    return mistake(
        "put_values",
        "; ".join(_words(one) for one in signs.values),
        None,
        "; ".join(dict.fromkeys(_advice(one) for one in signs.values)),
        utterances=[name for one in signs.values for name in signs.called(one.utterances)],
    )


def _words(one: PutValue) -> str:
    where = f"{one.columns} of {one.width} {one.stream} columns"
    if one.kind == "ends":
        return (
            f"{one.share:.0%} of the values of {where} stand at the column's least or largest value: cut off there"
        )
    if one.kind == "stuck":
        return f"{where} hold one value each in {len(one.utterances)} utterances, and others in the others"
    if one.kind == "windows":
        return (
            f"{one.value:g} stands for {one.share:.2%} of the values of {where} in the windows of "
            f"{len(one.utterances)} utterances, far from all else that they hold: their means are of no measurement"
        )
    return (
        f"{one.value:g} stands for {one.share:.1%} of the values of {where}, in {len(one.utterances)} utterances, "
        "and is no limit of what they hold"
    )


def _advice(one: PutValue) -> str:
    if one.kind == "ends":
        return "keep the stream in a type and range that hold its values"
    if one.kind == "stuck":
        return "find out what stopped these columns: in these utterances they say nothing"
    if one.kind == "windows":
        return "leave such windows out before they are averaged, or mark them as missing (NaN, or no row)"
    return "mark what is not known as missing (NaN, or no row), or find out what cut these rows off"
