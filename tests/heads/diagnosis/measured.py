"""What a diagnosis would have measured where nothing is wrong, to be changed in one place by a test."""

from __future__ import annotations

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np
from dualstream.heads.diagnosis.alignment import OffsetCurve
from dualstream.heads.diagnosis.coverage import Coverage
from dualstream.heads.diagnosis.evidence import Evidence, Intervention
from dualstream.heads.diagnosis.spaces import Space
from dualstream.heads.diagnosis.strength import Complement, Strength
from dualstream.heads.evaluation.statistics import Estimate, PairedDifference

NAN = float("nan")
STREAMS = ("video", "audio")


def gain(difference: float, half: float = 0.01, p_value: float | None = None) -> PairedDifference:
    """Return a difference with an interval of so much to each side, and a p that fits it."""
    low, high = difference - half, difference + half
    clear = low > 0 or high < 0
    return PairedDifference(difference, low, high, (0.0001 if clear else 0.5) if p_value is None else p_value, 40)


def change(
    name: str, difference: float, half: float = 0.01, *, over_best: float = 0.0, score: float = 0.6
) -> Intervention:
    """Return a change that was refitted and gains so much."""
    return Intervention(name, f"do {name}", estimate(score), gain(difference, half), gain(over_best, 0.02))


def estimate(mean: float, half: float = 0.03) -> Estimate:
    return Estimate(mean, (mean,), mean - half, mean + half)


def space(stream: str, **changes: Any) -> Space:
    healthy = Space(
        stream=stream, width=20, scale=1.0, scale_spread=2.0, effective_rank=15.0, correlation=0.3, steepness=1.2,
        dead_columns=0, not_finite=0, not_finite_columns=0, zero_rows=0, drift_auc=0.5, drift_p_value=NAN,
    )  # fmt: skip
    return replace(healthy, **changes)


def seen(stream: str, **changes: Any) -> Coverage:
    healthy = Coverage(
        stream, utterances_present=1.0, windows_seen=1.0, rows_per_utterance=5.0, single_row=0.0, saw_nothing=0
    )
    return replace(healthy, **changes)


def curve(verdict: str, peak_s: float = 0.0, interval_s: tuple[float, float] = (0.0, 0.0)) -> OffsetCurve:
    shifts = np.arange(-4, 5) * 0.5
    flat = np.zeros(9)
    return OffsetCurve(shifts, flat, flat, flat, peak_s, interval_s, 0.001, verdict)  # type: ignore[arg-type]


def worth(
    *, video: float = 0.5, audio: float = 0.5, fused: float = 0.6, use: tuple[float, float] = (0.1, 0.1)
) -> Strength:
    """Return what streams give alone and joined; `use` is what the head loses without video and without audio."""
    lean = tuple(
        SimpleNamespace(stream=name, shuffled=loss, masked=loss) for name, loss in zip(STREAMS, use, strict=True)
    )
    alone, shapley = {"video": video, "audio": audio}, {"video": 0.15, "audio": 0.2}
    return Strength(0.25, alone, fused, shapley, lean, {})  # type: ignore[arg-type]


def evidence(*changes: Intervention, **fields: Any) -> Evidence:
    """Return the evidence of a head that does its work on 400 utterances, and what was refitted."""
    tried = {one.name: one for one in (change("join late", 0.0, over_best=0.1), *changes)}
    healthy = Evidence(
        fusion="concat", task="emotion", utterances=400, groups=40, grouped_by="dialogue", classes=4,
        majority_share=0.4, answered_share=0.45, coverage={name: seen(name) for name in STREAMS},
        spaces={name: space(name) for name in STREAMS}, redundancy=0.1, copies=0, dev_utterances=100,
        curve=curve("aligned"), strength=worth(), complement=Complement({"video": 0.2, "audio": 0.2}, 0.3, 0.3, 0.7, 0.1),
        scores={"fused": estimate(0.6), "video": estimate(0.5), "audio": estimate(0.5), "late_sum": estimate(0.6)},
        train_score=0.65, fused_over_best=gain(0.1), best_single="audio", drop_to_dev=None, interventions=tried,
        notes=(),
    )  # fmt: skip
    return replace(healthy, **fields)


def with_spaces(
    *changes: Intervention, video: dict[str, Any] | None = None, audio: dict[str, Any] | None = None, **fields: Any
) -> Evidence:
    """Return evidence in which something is odd about a stream's rows."""
    return evidence(
        *changes,
        spaces={"video": space("video", **(video or {})), "audio": space("audio", **(audio or {}))},
        **fields,
    )
