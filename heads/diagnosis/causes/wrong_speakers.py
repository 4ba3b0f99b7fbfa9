"""The cause `wrong_speakers`: the named speakers are not those who speak, or aren't named."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import OF_COLUMNS, Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.verdicts import misnamed, name_faults

OTHERS = (*OF_COLUMNS, "duplicates", "wrong_labels")


@cause(title="Wrong or missing speakers", rank=47, explained_by=(*OTHERS, "leakage"))
def wrong_speakers(evidence: Evidence) -> Cause | None:
    """The names say nothing of the groups that utterances fall into, or are wrong in part."""
    signs = evidence.signs
    if signs is None:
        return None
    advice = "read the speakers' names anew: folds that don't keep speakers whole give scores that are too good"
    faults = list(name_faults(signs))
    if faults:
        return mistake(
            "wrong_speakers",
            "; ".join(faults),
            None,
            advice,
            utterances=signs.called(_places(signs)),
            speakers=signs.speakers_called(_people(signs)),
        )
    part = misnamed(signs)
    if part is None:
        return None
    return mistake(
        "wrong_speakers",
        f"about {part.rate:.0%} of the utterances are named after another speaker than all streams "
        f"tell (they tell "
        f"{part.accuracy:.0%} of the others' names)",
        None,
        advice,
        utterances=signs.called(part.utterances),
    )


def _places(signs: Signs) -> list[int]:
    found = [place for one in signs.two_people for place in one.utterances]
    return found + (list(signs.many_people.utterances) if signs.many_people is not None else [])


def _people(signs: Signs) -> list[int]:
    """Return the names that are two people's or many's, and those that are someone else in dev."""
    found = [one.speaker for one in signs.two_people]
    found += [signs.many_people.speaker] if signs.many_people is not None else []
    return found + (list(signs.renumbered.speakers) if signs.renumbered is not None else [])
