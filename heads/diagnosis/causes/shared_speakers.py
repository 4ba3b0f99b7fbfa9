"""The cause `shared_speakers`: dev holds speakers of train, and knowing them makes its score too good."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.remedies import MIN_GAIN, interval
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.remedies import SHARED
from dualstream.heads.diagnosis.signs.verdicts import SHARED as SHARED_SHARE
from dualstream.heads.diagnosis.signs.verdicts import SHOWN, renamed, speakers_told


@cause(title="Splits share speakers", rank=48, explained_by=("wrong_speakers", "label_in_column", "wrong_join"))
def shared_speakers(evidence: Evidence) -> Cause | None:
    """Speakers stand in train and dev, and heads are significantly worse for speakers that they haven't seen.

    Not where rows tell no speaker from another: there is nothing to know them by.
    """
    signs = evidence.signs
    if signs is not None and renamed(signs):
        return _renamed(signs)
    if signs is None or signs.shared is None or signs.shared.share < SHARED_SHARE or SHARED not in signs.remedies:
        return None
    if not speakers_told(signs):
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


def _renamed(signs: Signs) -> Cause:
    """Return the cause where people of train have other names in dev: folds and splits by name don't part them."""
    pairs = renamed(signs)
    codes = {code for one in pairs for code in one.speakers}
    dev = [place for place, code in enumerate(signs.speaker) if code in codes and signs.dev[place]]
    names = "; ".join(" is ".join(signs.speakers_called(one.speakers)) for one in pairs[:SHOWN])
    names += "; …" if len(pairs) > SHOWN else ""
    remedy = signs.remedies.get(SHARED)
    gain = None if remedy is None else remedy.gain
    costs = "" if gain is None else f"; heads that haven't heard a person score {-gain.difference:.1%} less"
    return mistake(
        "shared_speakers",
        f"{len(pairs)} people of train are in dev under other names ({names}), with {len(dev)} of its "
        f"{sum(signs.dev)} utterances: the first lie {pairs[0].distance:.1f} apart, as the halves of one speaker "
        f"do ({pairs[0].halves:.1f}) and no two speakers ({pairs[0].usual:.1f}){costs}: dev scores are too good",
        remedy,
        "give each person one name, and to one split",
        utterances=signs.called(dev),
        speakers=signs.speakers_called(sorted(codes)),
    )
