"""The cause `columns_by_group`: some rows of a stream have its columns in another order."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause
from dualstream.heads.diagnosis.causes.two_kinds_of_rows import of_kind, unlike
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.remedies import COLUMNS


@cause(title="Columns in two orders", rank=17)
def columns_by_group(evidence: Evidence) -> Cause | None:
    """Some rows of a stream hold the same columns as the others, in another order."""
    return None if evidence.signs is None else found_in(evidence.signs)


def found_in(signs: Signs) -> Cause | None:
    """Return the cause where a stream has such rows."""
    return of_kind(
        signs,
        "columns",
        "columns_by_group",
        lambda one: (
            (unlike(one) or f"lie {one.distance:.0f} deviations from the others")
            + f", and are like them once their {len(one.order)} columns are put into another order"
        ),
        signs.remedies.get(COLUMNS),
        "read these rows' columns by their names and not by their places",
    )
