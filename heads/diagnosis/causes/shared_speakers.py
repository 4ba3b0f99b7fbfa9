"""The cause `shared_speakers`: dev holds speakers of train, and knowing them makes its score too good."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.remedies import MIN_GAIN, interval
from dualstream.heads.diagnosis.signs.remedies import SHARED
from dualstream.heads.diagnosis.signs.verdicts import SHARED as SHARED_SHARE


@cause(title="Splits share speakers", rank=48, explained_by=("wrong_speakers", "label_in_column", "wrong_join"))
def shared_speakers(evidence: Evidence) -> Cause | None:
    """Speakers stand in train and dev, and heads are significantly worse for speakers that they haven't seen."""
    signs = evidence.signs
    if signs is None or signs.shared is None or signs.shared.share < SHARED_SHARE or SHARED not in signs.remedies:
        return None
    remedy = signs.remedies[SHARED]
    gain = remedy.gain
    if gain.difference > -MIN_GAIN or gain.high is None or gain.high >= 0:
        return None
    return Cause(
        "shared_speakers",
        f"{signs.shared.share:.0%} of the dev utterances are of {len(signs.shared.speakers)} "
        f"speakers who are in train "
        f"too; heads that haven't heard a speaker score {-gain.difference:.1%} less: dev scores are "
        f"too good by about "
        "that",
        gain.difference,
        interval(gain),
        (remedy,),
        "give each speaker to one split, or use --folds speaker; unless the heads are meant for these very people",
        signs.called(signs.shared.utterances),
        signs.speakers_called(signs.shared.speakers),
    )
