"""Which candidate wins, by what each predicted for held-out utterances.

A fusion is taken only where it is significantly better than the best single stream: the paired test on held-out
answers, corrected over all fusions (Holm), says so at the level `alpha`. Else a single stream is taken.

Among those that may be taken, the best by score and all that the paired test can't tell apart from it are tied,
and of those the one with the lowest held-out log loss is taken: with a dozen speakers a score of right and wrong
answers can't rank candidates two points apart, and how much probability each gave to the truth still can.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from dualstream.heads.evaluation import statistics
from dualstream.heads.search.choice import CandidateEvidence
from dualstream.heads.search.options import is_single
from numpy.typing import NDArray

Counts = NDArray[np.float64]


@dataclass(frozen=True, repr=False)
class Record:
    """What a candidate predicted for held-out utterances, one repeat after the other."""

    counts: list[Counts] = field(default_factory=list)
    """Confusion counts of all tasks by group, shape (G, cells)."""
    losses: list[float] = field(default_factory=list)
    """Log loss, mean over the tasks."""

    @property
    def stack(self) -> Counts:
        """Counts of all repeats, shape (repeats, G, cells)."""
        return np.stack(self.counts)

    @property
    def log_loss(self) -> float:
        """Mean over the repeats."""
        return float(np.mean(self.losses))


@dataclass(frozen=True, repr=False)
class Ranking:
    """The winner, and what it won by."""

    chosen: str
    fallback: str
    """The single stream that is taken where no fusion is significantly better."""
    significant: tuple[str, ...]
    """Fusions that are significantly better than the best single stream."""
    tied: tuple[str, ...]
    """What the log loss decided between, the winner among them."""
    scores: dict[str, float]
    against_single: dict[str, statistics.PairedDifference]
    corrected_p: dict[str, float]

    def reason(self, name: str, streams: Sequence[str]) -> str:
        """Say why a candidate was chosen or not; `streams` are those of the corpus."""
        if name == self.chosen and name in self.significant:
            if len(self.tied) == 1:
                return "best of those significantly better than any single stream"
            best = max(self.significant, key=self.scores.__getitem__)
            return f"lowest log loss of those that can't be told apart from {best}"
        if name == self.fallback:
            return "best single stream" if len(streams) > 1 else f"best of {streams[0]}, the only stream"
        if is_single(name):
            tied = name in self.tied and not self.significant
            return "its log loss is higher" if tied else "another single stream is better"
        if name not in self.significant:
            return "not significantly better than the best single"
        return "significantly better, but " + ("its log loss is higher" if name in self.tied else "not the best")


def rank(records: dict[str, Record], statistic: statistics.Statistic, alpha: float) -> Ranking:
    """Apply the rule that the module states to candidates of which one at least reads a single stream."""
    stacks = {name: record.stack for name, record in records.items()}
    scores = {name: float(statistic(stack.sum(1)).mean()) for name, stack in stacks.items()}

    def told_apart(name: str, best: str) -> bool:
        if name == best:
            return False
        # resampling is for intervals, which nobody asked for here
        return statistics.compare(stacks[best], stacks[name], statistic, resamples=1).p_value <= alpha

    def contest(names: Sequence[str]) -> tuple[str, tuple[str, ...]]:
        best = max(names, key=scores.__getitem__)
        tied = tuple(name for name in names if not told_apart(name, best))
        return min(tied, key=lambda name: records[name].log_loss), tied

    singles = [name for name in stacks if is_single(name)]
    fusions = [name for name in stacks if not is_single(name)]
    best_single = max(singles, key=scores.__getitem__)
    gaps = {name: statistics.compare(stacks[name], stacks[best_single], statistic) for name in fusions}
    corrected = dict(zip(fusions, statistics.holm([gaps[name].p_value for name in fusions]), strict=True))
    significant = [name for name in fusions if gaps[name].difference > 0 and corrected[name] <= alpha]
    fallback, tied = contest(singles)
    chosen = fallback
    if significant:
        chosen, tied = contest(significant)
    return Ranking(chosen, fallback, tuple(significant), tied, scores, gaps, corrected)


def table(
    asked: Sequence[str],
    records: dict[str, Record],
    ranking: Ranking,
    reasons: dict[str, str],
    statistic: statistics.Statistic,
    streams: Sequence[str],
) -> tuple[CandidateEvidence, ...]:
    """Return a row for each candidate; `reasons` says why those without a record were not tried."""
    return tuple(
        CandidateEvidence(
            candidate=name,
            single=is_single(name),
            score=statistics.estimate(records[name].stack, statistic) if name in records else None,
            log_loss=records[name].log_loss if name in records else None,
            against_single=ranking.against_single.get(name),
            corrected_p=ranking.corrected_p.get(name),
            tied=name in ranking.tied and len(ranking.tied) > 1,
            chosen=name == ranking.chosen,
            reason=reasons[name] if name in reasons else ranking.reason(name, streams),
        )
        for name in asked
    )
