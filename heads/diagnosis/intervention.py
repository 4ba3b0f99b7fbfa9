"""A change of a corpus or a head that was tried, with what it gained."""

from __future__ import annotations

from dataclasses import dataclass

from dualstream.heads.evaluation.statistics import Estimate, PairedDifference

from dualstream.documents import JsonObject


@dataclass(frozen=True, repr=False)
class Intervention:
    """One change, refitted, against the head as it is."""

    name: str
    remedy: str
    """What a user does to have it."""
    score: Estimate
    """Balanced accuracy with its interval."""
    gain: PairedDifference
    """Over the head as it is, on the same utterances."""
    over_best: PairedDifference
    """Over the better single stream, on the same utterances. Where a change on windows significantly beats its
    utterance rows, over the same stream by windows: what windows give by themselves is no gain of joining."""

    def to_json(self) -> JsonObject:
        """Return the values."""
        return {
            "name": self.name,
            "remedy": self.remedy,
            "score": self.score.to_json(),
            "gain": self.gain.to_json(),
            "over_best": self.over_best.to_json(),
        }
