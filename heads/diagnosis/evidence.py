"""All that a diagnosis measures before it concludes anything."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from dualstream.heads.diagnosis.alignment import OffsetCurve
from dualstream.heads.diagnosis.coverage import Coverage
from dualstream.heads.diagnosis.delays import delays
from dualstream.heads.diagnosis.intervention import Intervention as Intervention
from dualstream.heads.diagnosis.measures import Measures
from dualstream.heads.diagnosis.offsets import SecondOffset
from dualstream.heads.diagnosis.options import INTERVENTIONS as INTERVENTIONS
from dualstream.heads.diagnosis.options import SHIFT as SHIFT
from dualstream.heads.diagnosis.options import SUBSAMPLE as SUBSAMPLE
from dualstream.heads.diagnosis.options import TURN as TURN
from dualstream.heads.diagnosis.options import DiagnosisOptions as DiagnosisOptions
from dualstream.heads.diagnosis.outlying import Outlying
from dualstream.heads.diagnosis.pairs import Offsets, Pair
from dualstream.heads.diagnosis.refit import METRIC
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.spaces import Space
from dualstream.heads.diagnosis.strength import Complement, Strength
from dualstream.heads.evaluation.folds import GroupBy
from dualstream.heads.evaluation.majority import Majority
from dualstream.heads.evaluation.memorised import Certainty
from dualstream.heads.evaluation.statistics import Estimate, PairedDifference
from dualstream.heads.variants.options import Task

from dualstream.documents import JsonObject

BETTER_BY_WINDOWS = "better stream by windows"  # what windows give without any joining
DROP = "drop a stream"  # the better one alone
TURNED_ALONE = " alone, components turned"
OTHER = "other features"  # the intervention that a second cache stands for


def leave_out(name: str) -> str:
    """Return what the intervention is called that joins all streams but one."""
    return f"without {name}"


def turn_one(name: str) -> str:
    """Return what the intervention is called that turns one stream and fits it alone."""
    return f"{name}{TURNED_ALONE}"


@dataclass(frozen=True, repr=False)
class Evidence:
    """Everything measured, on train and dev only."""

    fusion: str
    task: Task
    utterances: int
    groups: int
    grouped_by: GroupBy
    """What folds and bootstrap keep whole: dialogues, or speakers where dev has none of train's."""
    classes: int
    majority_share: float
    """Share of the commonest class among the labelled utterances."""
    answered_share: float
    """Share of the head's answers that go to its commonest answer."""
    coverage: dict[str, Coverage]
    spaces: dict[str, Space]
    redundancy: float
    """Linear CKA of two streams; NaN of more: `pairs` have theirs."""
    copies: int
    """Dev utterances with the very features of a train utterance."""
    dev_utterances: int
    curve: OffsetCurve | None
    """Of two streams; None where one has no windows, and of more: `pairs` have theirs."""
    strength: Strength
    complement: Complement
    scores: dict[str, Estimate]
    """Balanced accuracy of ``fused``, each stream by its name and ``late_sum``, with intervals."""
    train_score: float
    """Balanced accuracy of the fused head on the rows it was fitted on."""
    fused_over_best: PairedDifference
    """The fused head against the better single stream."""
    best_single: str
    drop_to_dev: PairedDifference | None
    """On dev rows: models that saw other dev groups against models that saw train alone."""
    interventions: dict[str, Intervention]
    notes: tuple[str, ...]
    speaker_norm: bool = False
    """Whether heads read rows normalised by speaker (transductive); coverage and spaces are of the rows before."""
    certainty: tuple[Certainty, ...] = ()
    """How certain a probe of each stream is of train rows and of rows of another split."""
    outlying: tuple[Outlying, ...] = ()
    """Of each stream, the rows far outside of the rest."""
    majority: Majority | None = None
    """Always answering the commonest class of the scored utterances."""
    train_majority: Majority | None = None
    """Always answering train's commonest class, where that is another one."""
    second_offset: SecondOffset | None = None
    """A second offset between two streams, that part of the clips have."""
    signs: Signs | None = None
    """Signs of mistakes in how the corpus was put together."""
    measures: Measures | None = None
    """How the streams work together in the head; None where it was not asked for."""
    pairs: tuple[Pair, ...] = ()
    """Each two of three streams or more; empty where there are two."""

    @property
    def streams(self) -> tuple[str, ...]:
        """The streams, two or more, in the order in which heads join them."""
        return tuple(self.coverage)

    def others_than(self, name: str) -> tuple[str, ...]:
        """Return the other streams."""
        return tuple(other for other in self.streams if other != name)

    @property
    def offsets(self) -> tuple[Offsets, ...]:
        """The offset curve of each two streams."""
        if self.pairs:
            return tuple(pair.offsets for pair in self.pairs)
        first, second = self.streams
        return (Offsets((first, second), self.curve, self.second_offset),)

    @property
    def late_s(self) -> dict[str, float]:
        """By how much each stream runs late that is not on the others' clock, seconds."""
        return delays(self.streams, [(one.streams, one.curve) for one in self.offsets])

    @property
    def adds(self) -> dict[str, PairedDifference]:
        """What each of three streams or more adds to the others: the fused head over one without it."""
        tried = {name: self.interventions.get(leave_out(name)) for name in self.streams}
        return {name: _opposite(one.gain) for name, one in tried.items() if one is not None}

    @property
    def above_chance(self) -> bool:
        """Whether a stream alone, or any join, significantly beats chance."""
        tried = (*self.scores.values(), *(change.score for change in self.interventions.values()))
        return any((score.low or 0.0) > self.strength.chance for score in tried)

    def to_json(self) -> JsonObject:
        """Return the values as JSON."""
        return {
            "fusion": self.fusion,
            "task": self.task,
            "metric": METRIC,
            "utterances": self.utterances,
            "groups": self.groups,
            "grouped_by": self.grouped_by,
            "classes": self.classes,
            "majority_share": self.majority_share,
            "majority": None if self.majority is None else vars(self.majority),
            "train_majority": None if self.train_majority is None else vars(self.train_majority),
            "answered_share": self.answered_share,
            "coverage": {k: v.to_json() for k, v in self.coverage.items()},
            "spaces": {k: v.to_json() for k, v in self.spaces.items()},
            "redundancy": None if np.isnan(self.redundancy) else self.redundancy,
            "copies": self.copies,
            "dev_utterances": self.dev_utterances,
            "offset_curve": self.curve.to_json() if self.curve else None,
            "strength": self.strength.to_json(),
            "complement": self.complement.to_json(),
            "scores": {k: v.to_json() for k, v in self.scores.items()},
            "train_score": self.train_score,
            "fused_over_best": self.fused_over_best.to_json(),
            "best_single": self.best_single,
            "drop_to_dev": self.drop_to_dev.to_json() if self.drop_to_dev else None,
            "interventions": {k: v.to_json() for k, v in self.interventions.items()},
            "notes": list(self.notes),
            "speaker_norm": self.speaker_norm,
            "certainty": [one.to_json() for one in self.certainty],
            "outlying": [one.to_json() for one in self.outlying],
            "second_offset": None if self.second_offset is None else self.second_offset.to_json(),
            "signs": None if self.signs is None else self.signs.to_json(),
            "pairs": [pair.to_json() for pair in self.pairs],
            "late_s": self.late_s,
            "adds": {k: v.to_json() for k, v in self.adds.items()},
        }


def _opposite(gain: PairedDifference) -> PairedDifference:
    low = None if gain.high is None else -gain.high
    high = None if gain.low is None else -gain.low
    return replace(gain, difference=-gain.difference, low=low, high=high)
