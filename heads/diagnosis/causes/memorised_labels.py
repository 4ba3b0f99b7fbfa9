"""The cause `memorised_labels`: a stream's encoder was fitted on the labels that heads are fitted on."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.verdicts import knowing_labels, moved_rows, splits_of_kinds

ADVICE = "use an encoder that was not fitted on these labels"


@cause(
    title="An encoder was fitted on these labels",
    rank=10,
    explained_by=("wrong_labels", "wrong_speakers", "duplicates"),
)
def memorised_labels(evidence: Evidence) -> Cause | None:
    """A stream knows its training labels: its rows are tighter around their classes than rows of other splits."""
    elsewhere: set[str] = set()  # where a probe of train is lost anyhow
    if evidence.signs is not None:
        elsewhere |= {one.stream for one in splits_of_kinds(evidence.signs) if not one.only_spreads}
        elsewhere |= {one.stream for one in evidence.signs.split_treatments if one.kind != "spread"}
        elsewhere |= {one.moved for one in moved_rows(evidence.signs)}  # rows of other utterances
    found = [one for one in evidence.certainty if one.memorised and one.stream not in elsewhere]
    if not found:
        return None if evidence.signs is None else _of_some(evidence.signs)
    return Cause(
        "memorised_labels",
        "; ".join(one.describe("other rows") for one in found),
        0.0,
        None,
        (),
        f"{ADVICE}, or fit it inside each fold; until then believe no score inside train: not of folds, nor what "
        "`auto` chooses by them",
    )


def _of_some(signs: Signs) -> Cause | None:
    """Return the cause where a stream knows the labels of some speakers."""
    found = knowing_labels(signs)
    if not found:
        return None
    return mistake(
        "memorised_labels",
        "; ".join(
            f"{one.stream} tells the classes of {len(one.speakers)} speakers by each other's at "
            f"{one.told[0]:.0%}, of all other speakers at {one.told[1]:.0%}, though their classes lie alike in "
            f"another stream (likeness {one.elsewhere:.2f}, here {one.likeness:.2f})"
            for one in found
        ),
        None,
        f"{ADVICE}; until then believe no score of these speakers, nor of folds that hold any of them",
        utterances=[name for one in found for name in signs.called(one.utterances)],
        speakers=[name for one in found for name in signs.speakers_called(one.speakers)],
    )
