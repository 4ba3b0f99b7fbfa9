"""The cause `label_noise`: a share of the labels can't be right."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import MISTAKES, Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.confusions import Confusions
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.noisy_groups import NoisyGroup
from dualstream.heads.diagnosis.signs.remedies import NOISE
from dualstream.heads.diagnosis.signs.verdicts import confused, contradicted, noise, noisy, renamed_classes
from dualstream.heads.diagnosis.signs.wrong_codes import WrongCodes

SHOWN = 5
OTHERS = (*(name for name in MISTAKES if name != "label_noise"), "outlying_rows", "broken_features", "leakage")


@cause(title="Noise in the labels", rank=49, explained_by=OTHERS)
def label_noise(evidence: Evidence) -> Cause | None:
    """A share of the labels is wrong: where a probe is sure, it is contradicted as often as where it isn't."""
    signs = evidence.signs
    if signs is None:
        return None
    names, found, groups = confused(signs), noise(signs), noisy(signs)
    if names is None and found is None and not groups:
        return None
    if renamed_classes(signs) is not None:
        found = None  # a share of labels drawn at random would say other shares, and which class is called what
    parts = [_words(found)] if found is not None else []
    parts += [_called_otherwise(signs, names)] if names is not None and not parts else []
    return mistake(
        "label_noise",
        "; ".join([*parts, *(_where(signs, groups) if groups else [])]),
        signs.remedies.get(NOISE),
        "look at the utterances that are listed, and label them again or leave them out; of a test "
        "split too, whose "
        "scores the noise limits",
        utterances=signs.called(contradicted(signs)),
        speakers=signs.speakers_called([one.group for one in groups if one.by == "speaker"]),
    )


def _words(found: WrongCodes) -> str:
    low, high = (found.rate * end / max(found.drawn, 1e-9) for end in found.interval)
    return (
        f"about {found.rate:.0%} of the labels are wrong (95 % interval {low:.0%} to {high:.0%}; as "
        f"if {found.drawn:.0%} "
        f"had been drawn at random), {len(found.utterances)} of them found"
    )


def _called_otherwise(signs: Signs, found: Confusions) -> str:
    pairs = [
        f"of {signs.classes[one]!r} {share:.0%} are called {signs.classes[name]!r}"
        for one, name, share in found.pairs[:SHOWN]
    ]
    pairs += [
        f"of {signs.classes[one]!r} {share:.0%} bear other classes' names" for one, share in found.spread[:SHOWN]
    ]
    return (
        f"about {found.rate:.0%} of the labels are wrong, {len(found.utterances)} of them found: "
        f"{', '.join(pairs)} (log-likelihood {found.gain:.0f} above that of right labels, of speakers or "
        "dialogues that were not fitted on)"
    )


def _where(signs: Signs, groups: tuple[NoisyGroup, ...]) -> list[str]:
    """Say in which groups labels are wrong, the worst first."""
    worst = sorted(groups, key=lambda one: -one.rate)
    parts = [
        f"of {_called(signs, one)} about {one.rate:.0%} ({one.interval[0]:.0%} to {one.interval[1]:.0%})"
        for one in worst[:SHOWN]
    ]
    more = f"; and of {len(worst) - SHOWN} more" if len(worst) > SHOWN else ""
    return [f"wrong labels are {', '.join(parts)}{more}"]


def _called(signs: Signs, one: NoisyGroup) -> str:
    if one.by == "split":
        return "dev" if one.group else "train"
    if one.by == "speaker":
        return f"speaker {signs.speaker_names[one.group]}"
    return f"the rows that look like {signs.classes[one.group]!r}"
