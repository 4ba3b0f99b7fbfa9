"""The cause `leakage`: dev utterances that appear in train."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, mistake
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.remedies import COPIES
from dualstream.heads.diagnosis.signs.verdicts import Doubles, across_splits, doubles

COPIED_SHARE = 0.02  # of the dev utterances


@cause(title="Leakage: dev utterances appear in train", rank=40)
def leakage(evidence: Evidence) -> Cause | None:
    """Dev utterances that appear in train, the same or nearly."""
    signs = evidence.signs
    pairs = [] if signs is None else [pair for one in copied(signs) for pair in across_splits(signs, one)]
    twice = {next(i for i in pair if signs.dev[i]) for pair in pairs} if signs is not None else set()
    # of streams with few values (votes, counts) equal rows are chance
    by_chance = signs is not None and bool(signs.copies) and all(one.few_values for one in signs.copies)
    copies = max(0 if by_chance else evidence.copies, len(twice))
    if copies <= COPIED_SHARE * max(1, evidence.dev_utterances):
        return None
    share = copies / evidence.dev_utterances
    like = "the very features of a train utterance"
    if copies > evidence.copies:
        like = f"the features of a train utterance, {evidence.copies} the very same and the others nearly"
    return mistake(
        "leakage",
        f"{copies} of {evidence.dev_utterances} dev utterances ({share:.0%}) have {like}: dev scores are too good",
        None if signs is None else signs.remedies.get(COPIES),
        "take the copies out of the manifest: `check` lists the spans that splits share",
        utterances=() if signs is None else signs.called(sorted(twice)),
    )


def copied(signs: Signs) -> tuple[Doubles, ...]:
    """Return the utterances that stand twice in all streams at once."""
    return tuple(one for one in doubles(signs) if len(one.streams) == len(signs.streams))
