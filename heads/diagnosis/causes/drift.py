"""The cause `drift`: dev rows look unlike train rows, and heads fitted on train pay for it."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.causes.two_kinds_of_rows import unlike
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.remedies import interval
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.kinds import TwoKinds
from dualstream.heads.diagnosis.signs.remedies import ALIKE, COLUMNS, SCALE, TREATED
from dualstream.heads.diagnosis.signs.split_treatment import SplitTreatment
from dualstream.heads.diagnosis.signs.verdicts import splits_of_kinds

DRIFT_AUC = 0.75
ALL_NEW_AUC = 0.98  # no people drawn from the same corpus look as new, whether or not it costs
DRIFT_ALPHA = 0.005  # chance that such an area under the curve is luck of the dealing, of each stream


@cause(title="Drift: dev looks unlike train", rank=50, explained_by=("memorised_labels", "wrong_speakers"))
def drift(evidence: Evidence) -> Cause | None:
    """Dev rows look unlike train rows, and heads fitted on train pay for it."""
    if evidence.signs is not None and (of_another_kind := found_in(evidence.signs)) is not None:
        return of_another_kind
    worst = max(evidence.streams, key=lambda name: np.nan_to_num(evidence.spaces[name].drift_auc))
    auc, p_value = evidence.spaces[worst].drift_auc, evidence.spaces[worst].drift_p_value
    if np.isnan(auc) or auc < DRIFT_AUC or p_value > DRIFT_ALPHA:
        return None  # a few dialogues that differ from others are no drift
    drop = evidence.drop_to_dev
    costs = drop is not None and drop.low is not None and drop.low > 0
    if evidence.grouped_by == "speaker" and not costs and auc < ALL_NEW_AUC:
        return None  # new people look a little new; that is named where it clearly costs
    effect = drop.difference if drop else 0.0
    return Cause(
        "drift",
        f"a linear classifier tells dev {worst} rows from train rows with an area under the curve of {auc:.2f} "
        f"(0.5: not at all; p {p_value:.3f} where whole {evidence.grouped_by}s are assigned anew)",
        effect,
        interval(drop),
        (),
        "look for what differs between the splits (episodes, channels, encoder versions)"
        + ("" if evidence.speaker_norm else "; --speaker-norm removes what is constant for a speaker"),
    )


def found_in(signs: Signs) -> Cause | None:
    """Return the cause where dev's rows are of another make than train's: each by itself tells which it is."""
    found = splits_of_kinds(signs)
    treated = [one for one in signs.split_treatments if one.stream not in {kind.stream for kind in found}]
    if not found and treated:
        return _treated(signs, treated)
    if not found:
        return None
    of_kinds = (SCALE, COLUMNS, ALIKE, TREATED)
    remedy = next((signs.remedies[name] for name in of_kinds if name in signs.remedies), None)
    return mistake(
        "drift",
        "; ".join(_words(one) for one in found),
        remedy,
        "extract both splits in one way, or see what was done to one of them alone: "
        + "; ".join(dict.fromkeys(_advice(one) for one in found)),
        utterances=[name for one in found for name in signs.called(one.utterances)],
    )


def _treated(signs: Signs, found: Sequence[SplitTreatment]) -> Cause:
    """Return the cause where one split was treated otherwise than the other, or each by itself."""
    return mistake(
        "drift",
        "; ".join(_told(one) for one in found),
        signs.remedies.get(TREATED),
        "; ".join(dict.fromkeys(HOW_TO_TREAT[one.kind] for one in found)),
        utterances=[name for one in found for name in signs.called(one.utterances)],
    )


HOW_TO_TREAT = {
    "speakers": "normalise the speakers of both splits by themselves, or of none",
    "components": "fit components on train, and turn dev by them",
    "directions": "make the columns of both splits by one encoder, projection or order, fitted on train",
    "centred": "take means and deviations of train for both splits",
    "deviation": "take the deviations of train for both splits",
    "maximum": "take the largest values of train for both splits",
    "spread": "extract both splits with the same settings: augmentation and dropout off",
}


def _told(one: SplitTreatment) -> str:
    whose = f"the {one.stream} columns of {one.of}" if one.of != "each" else f"each split's {one.stream} columns"
    others = {"train": "dev", "dev": "train", "each": ""}[one.of]
    if one.kind == "speakers":
        return (
            f"{one.stream} rows of {one.of} were centred inside of each speaker (all means are 0 in "
            f"{one.share:.0%} of its speakers), those of {others} were not (typically {one.beyond:.2f} "
            "deviations from 0)"
        )
    if one.kind == "directions":
        return (
            f"{one.stream} columns say something else of the classes in dev than in train (likeness "
            f"{one.share:.2f}; of halves of dev's speakers {one.beyond:.2f}), while another stream's say the "
            "same: they point in other directions in each split"
        )
    if one.kind == "spread":
        return (
            f"{one.stream} rows of {one.of} spread {one.share:.2f} times as far around the means of speakers' "
            f"classes as those of {others} (speakers dealt anew: {one.beyond:.2f} times at most)"
        )
    what = {
        "components": f"correlate with each other in no pair, to rounding ({one.share:.0%} of the pairs): they "
        "are principal components that were fitted on these very rows",
        "centred": f"have a mean of 0 to rounding ({one.share:.0%} of them): they were centred by it",
        "deviation": f"have a deviation of 1 to rounding ({one.share:.0%} of them): they were divided by it",
        "maximum": f"have a largest size of 1 ({one.share:.0%} of them): they were divided by it",
    }[one.kind]
    return f"{whose} {what}" + (
        ", each split for itself" if one.of == "each" else f", and those of {others} were not"
    )


def _words(one: TwoKinds) -> str:
    if one.kind == "scale":
        how = f"are {one.factor:,.3g} times as large as the other split's"
    else:
        how = unlike(one) or f"lie {one.distance:.0f} deviations from the other split's, with nothing between"
    return f"{len(one.utterances)} {one.stream} rows of one split {how}"


def _advice(one: TwoKinds) -> str:
    if one.how:
        return "normalise, encode and project both splits by what was fitted on train, or neither"
    of_kind = {"scale": "another unit or gain", "columns": "another order of columns"}
    return of_kind.get(one.kind, "another encoder, other settings or a normalisation of its own")
