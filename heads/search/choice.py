"""What `auto` chose, and the table that says why."""

from __future__ import annotations

from dataclasses import dataclass

from dualstream.heads.evaluation import statistics

from dualstream.documents import Document


@dataclass(frozen=True)
class CandidateEvidence(Document):
    """What cross-validation said of one candidate."""

    candidate: str
    single: bool
    """Whether it reads one stream."""
    score: statistics.Estimate | None
    """Out of fold, one value per repeat; None where it was not tried on all folds."""
    against_single: statistics.PairedDifference | None
    """Against the best single stream; None for single streams."""
    corrected_p: float | None
    """The smaller of two, each corrected over all fusions: of that comparison, and of a lower log loss."""
    chosen: bool
    reason: str
    """Why it was chosen or not."""
    log_loss: float | None = None
    """Out of fold, mean over the tasks, in nats; None with `score`, and in runs that did not measure it."""
    tied: bool = False
    """Whether it was among those that the score can't tell apart from the best."""


@dataclass(frozen=True)
class Choice(Document):
    """Which variant, and the table that says why."""

    name: str
    groups: str
    """What was kept whole: ``speaker`` or ``dialogue``."""
    utterances: int
    """That were split into folds."""
    metric: str
    evidence: tuple[CandidateEvidence, ...]
