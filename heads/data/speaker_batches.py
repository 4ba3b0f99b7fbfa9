"""What each speaker brought to be normalised by, and what was answered: where normalising may have misled.

A speaker's utterances of one emotion look like a speaker who always talks so. Answers that are all of one class,
of a few utterances or more, may be right, or may be such a batch: normalisation can't tell, so it says so.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from dualstream.heads.data.speaker_prior import SpeakerPrior
from numpy.typing import NDArray

from dualstream.counting import counted

FEW = 10  # utterances of a speaker: with fewer the gain is less than half (docs/heads.md)
ONE_CLASS_FROM = 3  # utterances of a speaker: two alike are no sign of anything
NAMED = 3  # speakers that a warning names


@dataclass(frozen=True)
class SpeakerBatch:
    """One speaker's utterances, as they were normalised together."""

    speaker: str
    """Empty: those whose speaker is not known, by the prior alone."""
    utterances: int
    """With features."""
    share: float
    """How much of the speaker's mean came from these utterances, 0 to 1; the rest is the training speakers'."""
    answers: dict[str, dict[str, int]] = field(default_factory=dict)
    """How often each class was answered, by task."""

    def of_one_class(self, task: str) -> str | None:
        """Return the class that all answers are of, where that is worth a word."""
        found = self.answers.get(task, {})
        enough = bool(self.speaker) and self.utterances >= ONE_CLASS_FROM
        return next(iter(found)) if enough and len(found) == 1 else None


def speaker_batches(
    speakers: Sequence[str],
    there: NDArray[np.bool_],
    prior: SpeakerPrior,
    answers: Mapping[str, Sequence[str]],
) -> list[SpeakerBatch]:
    """Count utterances and answers by speaker, in order of appearance.

    Parameters
    ----------
    speakers
        Of each of N utterances; empty where unknown.
    there
        Which utterances have features, shape (N,); the others have no part in it.
    answers
        The class that is answered, by task.
    """
    rows: dict[str, list[int]] = {}
    for i in np.flatnonzero(there):
        rows.setdefault(speakers[int(i)], []).append(int(i))
    return [
        SpeakerBatch(
            name,
            len(own),
            prior.share(len(own)) if name else 0.0,
            {task: dict(Counter(said[i] for i in own).most_common()) for task, said in answers.items()},
        )
        for name, own in rows.items()
    ]


def batch_warnings(batches: Sequence[SpeakerBatch], prior: SpeakerPrior) -> list[str]:
    """Return what must be said of answers that rest on these batches."""
    words = []
    unknown = sum(one.utterances for one in batches if not one.speaker)
    if unknown:
        words.append(
            f"{unknown} utterances are of unknown speakers: they were normalised by the training rows only"
        )
    few = [one for one in batches if one.speaker and one.utterances < FEW]
    if few:
        shown = _named([f"{one.speaker}: {one.utterances}, {one.share:.0%} of the mean its own" for one in few])
        words.append(
            f"{len(few)} of {sum(bool(one.speaker) for one in batches)} speakers have fewer than {FEW} utterances "
            f"({shown}): speaker normalisation leaves most of such a speaker's offset in place, as the training "
            f"speakers' rows count for up to {prior.weight:g} utterances"
        )
    for task in next((list(one.answers) for one in batches), []):
        alike = [(one, named) for one in batches if (named := one.of_one_class(task)) is not None]
        if alike:
            shown = _named([f"{one.speaker}: {one.utterances} of {named}" for one, named in alike])
            words.append(
                f"all answers of {task} are of one class for {counted(len(alike), 'speaker')} ({shown}): "
                "normalisation can't tell utterances of one class from the speaker's own way of talking, and "
                "is least sure there; bring utterances of several classes"
            )
    return words


def _named(each: Sequence[str]) -> str:
    return "; ".join(each[:NAMED]) + ("; …" if len(each) > NAMED else "")
