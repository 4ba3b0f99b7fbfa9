"""Which candidate wins, by what each predicted for held-out utterances.

A fusion is taken only where it is significantly better than the best single stream: its score is higher, and a
paired test on held-out predictions, corrected over all fusions (Holm), says so at the level `alpha`, of the score
or of the log loss. Else a single stream is taken.

Among those that may be taken, three questions in turn. Which can the paired test not tell apart from the best by
score? Of these, which can it not tell apart from the one with the lowest log loss? Of these, the first in the list
of candidates is taken, where the mixture of several solvers stands before its parts. A score of right and wrong
answers can't rank candidates that are two points apart with a dozen speakers; how much probability each gave to
the truth often can, and where it can't either, a mixture is the safest.
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
    losses: list[Counts] = field(default_factory=list)
    """Log loss, mean over the tasks: what each group adds to it, shape (G,)."""

    @property
    def stack(self) -> Counts:
        """Counts of all repeats, shape (repeats, G, cells)."""
        return np.stack(self.counts)

    @property
    def log_loss(self) -> float:
        """Mean over the repeats."""
        return float(np.sum(self.losses) / len(self.losses))

    @property
    def loss_stack(self) -> Counts:
        """What each group adds to the log loss, shape (repeats, G, 1)."""
        return np.stack(self.losses)[..., None]


@dataclass(frozen=True, repr=False)
class Ranking:
    """The winner, and what it won by."""

    chosen: str
    fallback: str
    """The single stream that is taken where no fusion is significantly better."""
    significant: tuple[str, ...]
    """Fusions that are significantly better than the best single stream."""
    tied: tuple[str, ...]
    """Those that the score can't tell apart from the best, the winner among them."""
    close: tuple[str, ...]
    """Those of them that the log loss can't tell apart from the lowest, the winner first."""
    scores: dict[str, float]
    against_single: dict[str, statistics.PairedDifference]
    corrected_p: dict[str, float]

    def reason(self, name: str, streams: Sequence[str]) -> str:
        """Say why a candidate was chosen or not; `streams` are those of the corpus."""
        taken = "chosen" if name == self.chosen else "close" if name in self.close else "tied"
        if name == self.chosen and name in self.significant:
            if len(self.tied) == 1:
                return "best of those significantly better than any single stream"
            best = max(self.significant, key=self.scores.__getitem__)
            lowest = "lowest log loss" if len(self.close) == 1 else "first of those with the lowest log loss"
            return f"{lowest} of those that can't be told apart from {best}"
        if name == self.fallback:
            return "best single stream" if len(streams) > 1 else f"best of {streams[0]}, the only stream"
        words = {"close": f"not to be told apart from {self.chosen}", "tied": "its log loss is higher"}
        if is_single(name):
            contested = name in self.tied and not self.significant
            return words[taken] if contested else "another single stream is better"
        if name not in self.significant:
            return "not significantly better than the best single"
        return "significantly better, but " + (words[taken] if name in self.tied else "not the best")


def rank(
    records: dict[str, Record], order: Sequence[str], statistic: statistics.Statistic, alpha: float
) -> Ranking:
    """Apply the rule that the module states to candidates of which one at least reads a single stream."""
    stacks = {name: record.stack for name, record in records.items()}
    scores = {name: float(statistic(stack.sum(1)).mean()) for name, stack in stacks.items()}
    fusions = [name for name in stacks if not is_single(name)]
    singles = [name for name in stacks if is_single(name)]
    best_single = max(singles, key=scores.__getitem__)
    gaps = {name: statistics.compare(stacks[name], stacks[best_single], statistic) for name in fusions}
    sharp = min(singles, key=lambda name: records[name].log_loss)
    by_score = statistics.holm([gaps[name].p_value for name in fusions])
    by_loss = statistics.holm([_p_of_loss(records[name], records[sharp]) for name in fusions])
    corrected = [min(pair) for pair in zip(by_score, by_loss, strict=True)]
    by_name = dict(zip(fusions, corrected, strict=True))
    significant = [name for name in fusions if gaps[name].difference > 0 and by_name[name] <= alpha]

    def contest(names: Sequence[str]) -> tuple[str, tuple[str, ...], tuple[str, ...]]:
        best = max(names, key=scores.__getitem__)
        tied = [name for name in names if name == best or not _told_apart(stacks, name, best, statistic, alpha)]
        lowest = min(tied, key=lambda name: records[name].log_loss)
        close = [name for name in tied if _p_of_loss(records[lowest], records[name]) > alpha]
        close.sort(key=list(order).index)
        return close[0], tuple(tied), tuple(close)

    fallback, tied, close = contest(singles)
    chosen = fallback
    if significant:
        chosen, tied, close = contest(significant)
    return Ranking(chosen, fallback, tuple(significant), tied, close, scores, gaps, by_name)


def _told_apart(
    stacks: dict[str, Counts], name: str, best: str, statistic: statistics.Statistic, alpha: float
) -> bool:
    # resampling is for intervals, which nobody asked for here
    return statistics.compare(stacks[best], stacks[name], statistic, resamples=1).p_value <= alpha


def _p_of_loss(record: Record, other: Record) -> float:
    """Return the p-value of a log loss being lower than another; 1 where it isn't."""
    gap = statistics.compare(record.loss_stack, other.loss_stack, _total, resamples=1)
    return gap.p_value if gap.difference < 0 else 1.0


def _total(losses: Counts) -> Counts:
    return losses[..., 0]


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
