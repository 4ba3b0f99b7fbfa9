"""The cause `wrong_labels`: some speakers' labels name other classes than those of the others."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.label_maps import LabelMap
from dualstream.heads.diagnosis.signs.remedies import LABELS

SHOWN = 5


@cause(
    title="Labels of other meaning for some speakers",
    rank=46,
    explained_by=("scale_by_group", "columns_by_group", "two_kinds_of_rows", "label_in_column"),
)
def wrong_labels(evidence: Evidence) -> Cause | None:
    """Some speakers' labels are shifted or swapped against the others'."""
    signs = evidence.signs
    if signs is None or not signs.label_maps or any(one.source and " row" in one.best for one in signs.joins):
        return None
    return mistake(
        "wrong_labels",
        "; ".join(_words(signs, one) for one in signs.label_maps),
        signs.remedies.get(LABELS),
        "look at how the labels of these speakers were coded: the classes are the others' under "
        "other names (or the "
        "others' are, where both are about as many)",
        utterances=[name for one in signs.label_maps for name in signs.called(one.utterances)],
        speakers=[name for one in signs.label_maps for name in signs.speakers_called(one.speakers)],
    )


def _words(signs: Signs, one: LabelMap) -> str:
    names = signs.speakers_called(one.speakers) or one.splits
    who = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    pairs = ", ".join(
        f"{own!r} is what others call {theirs!r}" for own, theirs in list(one.classes.items())[:SHOWN]
    )
    return (
        f"of {len(names)} {'speakers' if one.speakers else 'splits'} ({who}) {pairs} (t {one.t:.1f} on rows apart)"
    )
