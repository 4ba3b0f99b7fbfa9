"""The cause `two_kinds_of_rows`: one stream was made in two ways, as by two encoders or at two sampling rates."""

from __future__ import annotations

from collections.abc import Callable

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.intervention import Intervention
from dualstream.heads.diagnosis.signs.class_profiles import ClassGroups
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.kinds import Kind, TwoKinds
from dualstream.heads.diagnosis.signs.pieces import Piece
from dualstream.heads.diagnosis.signs.remedies import ALIKE, PIECES, TURNED
from dualstream.heads.diagnosis.signs.verdicts import class_makes, name_faults, two_makes

COLUMNS = 8  # that are told


@cause(title="Two kinds of rows in one stream", rank=18, explained_by=("imputed_rows", "broken_features"))
def two_kinds_of_rows(evidence: Evidence) -> Cause | None:
    """Rows of a stream lie in two clouds with nothing between, as those of two encoders or sampling rates do."""
    return None if evidence.signs is None else found_in(evidence.signs)


def found_in(signs: Signs) -> Cause | None:
    """Return the cause where a stream has such rows."""
    found = _of_pieces(signs) or of_kind(
        signs,
        "kinds",
        "two_kinds_of_rows",
        _apart,
        signs.remedies.get(ALIKE),
        "look at how these clips were recorded, resampled and encoded, and in which order their columns stand; "
        "extract all of them in one way",
    )
    return found or _of_classes(signs)


def _of_pieces(signs: Signs) -> Cause | None:
    """Return the cause where a piece of the table lies elsewhere.

    It begins in the midst of a speaker: of names that hold several people, somebody else begins there.
    """
    found = signs.pieces
    if not found or any(name_faults(signs)):
        return None
    return mistake(
        "two_kinds_of_rows",
        "; ".join(_piece(signs, one) for one in found),
        signs.remedies.get(PIECES),
        "extract this piece again as the others were: by the same layer, weights and settings",
        utterances=[name for one in found for name in signs.called(one.utterances)],
    )


def _of_classes(signs: Signs) -> Cause | None:
    """Return the cause where the classes of some speakers lie otherwise in one stream."""
    found = class_makes(signs)
    if not found:
        return None
    turned = any(one.columns for one in found)
    return mistake(
        "two_kinds_of_rows",
        "; ".join(_lie_otherwise(signs, one) for one in found),
        signs.remedies.get(TURNED),
        (
            "turn these columns back in these rows, or make all rows by one and the same components"
            if turned
            else "extract the rows of these speakers as those of the others were: by the same layer, weights, "
            "settings and order of columns"
        ),
        utterances=[name for one in found for name in signs.called(one.utterances)],
        speakers=[name for one in found for name in signs.speakers_called(one.speakers)],
    )


def _lie_otherwise(signs: Signs, one: ClassGroups) -> str:
    words = (
        f"in {len(one.utterances)} {one.stream} rows (all of {_people(signs, one.speakers)}) the classes lie "
        f"otherwise than in the others (likeness {one.likeness:.2f}; of the same speakers in another stream "
        f"{one.elsewhere:.2f})"
    )
    if not one.columns:
        return words
    places = ", ".join(map(str, one.columns[:COLUMNS])) + (", …" if len(one.columns) > COLUMNS else "")
    return f"{words}, and alike once {len(one.columns)} columns have the other sign ({places}, from 0)"


def _piece(signs: Signs, one: Piece) -> str:
    first, last = signs.called([one.utterances[0], one.utterances[-1]])
    return (
        f"{len(one.utterances)} {one.stream} rows that follow each other, {first} to about {last}, lie "
        f"{one.distance:.1f} deviations from the others (any other piece of this length {one.others:.1f} at "
        f"most), and begin or end in the midst of a speaker, by a step of {one.step:.1f} times what others have"
    )


def _apart(one: TwoKinds) -> str:
    return unlike(one) or f"lie {one.distance:.0f} deviations from the others, with nothing between"


def unlike(one: TwoKinds) -> str:
    """Say what tells the rows apart but where they lie: a normalisation, or how their columns go together."""
    if one.how:
        return f"have {one.how}"
    if one.function:
        return f"hold {one.function} of what the others would (spreads {one.factor:,.2g} times as wide)"
    if one.likeness is None or one.usual is None:
        return ""
    return (
        f"have columns that correlate otherwise than the others' (likeness {one.likeness:.2f}; of groups of "
        f"speakers drawn at random {one.usual:.2f})"
    )


def of_kind(
    signs: Signs,
    kind: Kind,
    name: str,
    words: Callable[[TwoKinds], str],
    remedy: Intervention | None,
    advice: str,
) -> Cause | None:
    """Return the cause `name` where a stream has two kinds of rows so; a whole split of them is drift.

    `words` says how the rows of the smaller cloud differ.
    """
    found = [one for one in two_makes(signs) if one.kind == kind and one.by != "split"]
    if not found:
        return None
    return mistake(
        name,
        "; ".join(
            f"{len(one.utterances)} {one.stream} rows ({_concerned(signs, one)}) {words(one)}" for one in found
        ),
        remedy,
        advice,
        utterances=[name for one in found for name in signs.called(one.utterances)],
        speakers=[name for one in found for name in signs.speakers_called(one.speakers)],
    )


def _concerned(signs: Signs, one: TwoKinds) -> str:
    """Return whose rows a cloud holds, in words."""
    if one.by == "speaker":
        return f"all of {_people(signs, one.speakers)}"
    return "of any speakers"


def _people(signs: Signs, codes: tuple[int, ...]) -> str:
    names = signs.speakers_called(codes)
    return f"{len(names)} speakers: {', '.join(names[:5])}" + (", …" if len(names) > 5 else "")
