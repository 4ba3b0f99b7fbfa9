"""The cause `outlying_rows`: a few rows lie so far outside of the rest that heads are fitted to them."""

from __future__ import annotations

from math import isfinite

from dualstream.heads.diagnosis.causes import Cause, cause
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.outlying import Outlying
from dualstream.heads.diagnosis.signs.verdicts import imputed, splits_of_kinds

SEVERE = 20.0  # times the limit: one such row outweighs hundreds
MANY = 0.005  # of the rows
WIDENS = 2.0  # times as wide, that a column is by these rows: heads divide by it; people reach 1.5
FILLED = 0.1  # of a stream's rows
FEW = 2  # so many say nothing by their number, however few rows there are


@cause(title="Rows far outside of the rest", rank=20, explained_by=("scale_by_group", "two_kinds_of_rows"))
def outlying_rows(evidence: Evidence) -> Cause | None:
    """Rows far outside of the rest: one of them widens a column's deviation until the others look alike."""
    signs = evidence.signs
    # a split whose rows are of another kind than train's is drift, and not some far rows
    others = set() if signs is None else {one.stream for one in splits_of_kinds(signs)}
    if signs is not None:  # the few values of a stream that was filled in don't say what is usual
        others |= {one.stream for one in imputed(signs) if len(one.utterances) >= FILLED * one.rows}
    values = () if signs is None else signs.values
    put = {(one.stream, name) for one in values for name in signs.called(one.utterances)} if signs else set()
    found = [
        one for one in evidence.outlying if is_severe(one) and one.stream not in others and not _are_put(one, put)
    ]
    if not found:
        return None
    parts = [
        f"{one.far} of {one.rows} {one.stream} rows lie far outside of what is usual in train, the farthest "
        f"{one.worst:.3g} times as far as the limit{_effect(one)}"
        for one in found
    ]
    return Cause(
        "outlying_rows",
        "; ".join(parts),
        0.0,
        None,
        (),
        "look at these rows (the notes name them, `inspect` lists them) and extract them again, or leave them out",
        tuple(dict.fromkeys(name for one in found for name in one.utterances)),
    )


def is_severe(one: Outlying) -> bool:
    """Return whether one row lies so far out, or so many do, that heads are fitted to them.

    Rows that double no column's spread move no head: they are counted, and are no cause.
    """
    return (one.worst >= SEVERE or one.far > max(FEW, MANY * one.rows)) and one.widens >= WIDENS


def _are_put(one: Outlying, put: set[tuple[str, str]]) -> bool:
    """Say whether the far rows hold a value that was put there, which is named by itself."""
    return bool(one.utterances) and all((one.stream, name) in put for name in one.utterances)


def _effect(one: Outlying) -> str:
    return f"; with them a column spreads {one.widens:.3g} times as wide" if isfinite(one.widens) else ""
