"""The cause `columns_by_group`: some rows of a stream have its columns in another order."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.causes.two_kinds_of_rows import concerned
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.remedies import COLUMNS


@cause(title="Columns in two orders", rank=17)
def columns_by_group(evidence: Evidence) -> Cause | None:
    """Some rows of a stream hold the same columns as the others, in another order."""
    return None if evidence.signs is None else found_in(evidence.signs)


def found_in(signs: Signs) -> Cause | None:
    """Return the cause where a stream has such rows; a whole split of them is drift."""
    found = [one for one in signs.kinds if one.kind == "columns" and one.by != "split"]
    if not found:
        return None
    parts = [
        f"{len(one.utterances)} {one.stream} rows ({concerned(signs, one)}) lie {one.distance:.0f} "
        f"deviations from "
        f"the others, and are like them once their {len(one.order)} columns are put into another order"
        for one in found
    ]
    return mistake(
        "columns_by_group",
        "; ".join(parts),
        signs.remedies.get(COLUMNS),
        "read these rows' columns by their names and not by their places",
        utterances=[name for one in found for name in signs.called(one.utterances)],
        speakers=[name for one in found for name in signs.speakers_called(one.speakers)],
    )
