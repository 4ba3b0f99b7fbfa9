"""The cause `duplicates`: utterances, or rows of one stream, that stand twice."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.remedies import COPIES
from dualstream.heads.diagnosis.signs.verdicts import Doubles, across_speakers, across_splits, borrowed, doubles


@cause(title="Utterances that stand twice", rank=42)
def duplicates(evidence: Evidence) -> Cause | None:
    """Utterances, or rows of one stream, that stand twice or nearly; between train and dev they are leakage."""
    return None if evidence.signs is None else found_in(evidence.signs)


def found_in(signs: Signs) -> Cause | None:
    """Return the cause where utterances stand twice, but for those of dev that are copies of train's."""
    whole = {one.stream for one in borrowed(signs)}
    found = [
        one
        for one in doubles(signs)
        if not _leaks(signs, one) and not (len(one.streams) == 1 and one.streams[0] in whole)
    ]
    if not found:
        return None
    return mistake(
        "duplicates",
        "; ".join(_words(signs, one) for one in found),
        signs.remedies.get(COPIES),
        "take one of each pair out of the manifest (or find out why a stream has the same row for both): held-out "
        "scores are too good where the other one was fitted",
        utterances=[name for one in found for pair in one.pairs for name in signs.called(pair)],
    )


def _leaks(signs: Signs, one: Doubles) -> bool:
    return len(one.streams) == len(signs.streams) and len(across_splits(signs, one)) > 0.5 * len(one.pairs)


def _words(signs: Signs, one: Doubles) -> str:
    where = " and ".join(one.streams) + (" at once" if len(one.streams) > 1 else " alone")
    apart = []
    for count, what in (
        (len(across_speakers(signs, one)), "under two speakers' names"),
        (len(across_splits(signs, one)), "in two splits"),
    ):
        if count:
            apart.append(f"{count} {what}")
    return (
        f"{len({pair[1] for pair in one.pairs})} rows ({one.share:.1%}) are "
        f"{'' if one.exact else 'nearly '}the same "
        f"as an earlier one, in {where}" + (f"; {', '.join(apart)}" if apart else "")
    )
