"""The cause `imputed_rows`: rows that were filled in where nothing was recorded."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.fills import Fill
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.remedies import FILLED
from dualstream.heads.diagnosis.signs.verdicts import imputed


@cause(title="Rows that were filled in", rank=32)
def imputed_rows(evidence: Evidence) -> Cause | None:
    """Rows of a stream that are its mean, another constant, the row before, interpolated, or predicted."""
    return None if evidence.signs is None else found_in(evidence.signs)


def found_in(signs: Signs) -> Cause | None:
    """Return the cause where a stream has such rows."""
    found = imputed(signs)
    if not found:
        return None
    return mistake(
        "imputed_rows",
        "; ".join(_words(one) for one in found) + "; none is marked as missing",
        signs.remedies.get(FILLED),
        "mark these rows as missing: heads then read the other streams there",
        utterances=[name for one in found for name in signs.called(one.utterances)],
    )


def _words(one: Fill) -> str:
    what = {
        "mean": f"hold the columns' mean ({one.values} different row{'s' if one.values > 1 else ''})",
        "constant": f"hold one of {one.values} constant row{'s' if one.values > 1 else ''}",
        "between": "lie on the line between the rows before and after them: they were interpolated",
        "predicted": "are a linear function of the other streams' rows, which no measured row is: they were "
        "predicted from them",
        "before": "repeat the row of the utterance before them, which no other stream does",
    }[one.kind]
    return f"{len(one.utterances)} of {one.rows} {one.stream} rows ({len(one.utterances) / one.rows:.0%}) {what}"
