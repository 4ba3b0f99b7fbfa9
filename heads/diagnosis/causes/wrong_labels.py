"""The cause `wrong_labels`: some speakers' labels name other classes than those of the others."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import DISTORTING, Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.label_maps import LabelMap
from dualstream.heads.diagnosis.signs.lost_classes import LostClass
from dualstream.heads.diagnosis.signs.remedies import LABELS, NOISE
from dualstream.heads.diagnosis.signs.verdicts import moved_rows, noisy

SHOWN = 5


@cause(
    title="Labels of other meaning for some speakers",
    rank=46,
    explained_by=DISTORTING,
)
def wrong_labels(evidence: Evidence) -> Cause | None:
    """Some speakers' labels are shifted or swapped against the others'."""
    signs = evidence.signs
    if signs is None or any(one.source and " row" in one.best for one in moved_rows(signs)):
        return None
    if signs.label_maps:
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
    return _one_name_for_two(signs)


def _one_name_for_two(signs: Signs) -> Cause | None:
    """Return the cause where some speakers, or a split, call two classes by one name."""
    groups = [one for one in noisy(signs) if one.merged is not None and one.by == "split"]
    if not signs.lost_classes and not groups:
        return None
    parts = [_lost(signs, one) for one in signs.lost_classes]
    for one in groups if not parts else ():
        like, called = one.merged or (0, 0)
        parts.append(
            f"{'dev' if one.group else 'train'} has hardly any {signs.classes[like]!r}, and {len(one.utterances)} "
            f"of its utterances that look so are called {signs.classes[called]!r}"
        )
    lost = [place for one in signs.lost_classes for place in one.utterances]
    return mistake(
        "wrong_labels",
        "; ".join(parts),
        signs.remedies.get(NOISE),
        "find out how these labels were coded: two classes have one name there",
        utterances=signs.called(lost or [place for one in groups for place in one.utterances]),
        speakers=[name for one in signs.lost_classes for name in signs.speakers_called(one.speakers)],
    )


def _lost(signs: Signs, one: LostClass) -> str:
    names = signs.speakers_called(one.speakers)
    who = ", ".join(names[:SHOWN]) + (", …" if len(names) > SHOWN else "")
    return (
        f"{len(names)} speakers ({who}) have hardly any {signs.classes[one.lost]!r}, and {one.share:.0%} of their "
        f"{signs.classes[one.called]!r} look like it, of the other speakers' {one.usual:.0%} (p {one.p_value:.2g})"
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
