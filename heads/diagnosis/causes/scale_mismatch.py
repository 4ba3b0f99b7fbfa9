"""The cause `scale_mismatch`: one stream's or some columns' numbers are far larger than the others'."""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise

import numpy as np
from dualstream.heads.diagnosis.causes import Cause, cause, remedied
from dualstream.heads.diagnosis.causes.whitened_projection import components, turning
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.remedies import significant

SCALE_RATIO = 10.0  # between the streams' scales, or between the columns of one


@cause(
    title="Scale mismatch",
    rank=90,
    explained_by=("outlying_rows", "scale_by_group", "columns_by_group", "label_in_column"),
)
def scale_mismatch(evidence: Evidence) -> Cause | None:
    """One stream's or some columns' numbers are far larger, and scaling them fixes the head."""
    loud, soft, ratio = _gap({name: evidence.spaces[name].scale for name in evidence.streams})
    # What a whitened projection explains is not told twice: its columns spread unevenly by their nature
    explained = components(evidence) if turning(evidence) else []
    spread = {
        name: 0.0 if name in explained else float(np.nan_to_num(evidence.spaces[name].scale_spread))
        for name in evidence.streams
    }
    uneven = max(evidence.streams, key=lambda name: spread[name])
    remedies = significant(evidence, "standardise")
    if max(ratio, spread[uneven]) < SCALE_RATIO or not remedies:
        return None
    found = []
    if ratio >= SCALE_RATIO:
        found.append(f"{loud} values are {ratio:,.0f} times as large as {soft} values")
    if spread[uneven] >= SCALE_RATIO:
        found.append(
            f"columns of {uneven} spread unevenly, the widest tenth {spread[uneven]:,.0f} times the narrowest"
        )
    return remedied(
        "scale_mismatch",
        f"{'; '.join(found)}; the head takes them as they are",
        remedies,
        "standardise each stream: --fusion concat_norm",
    )


def _gap(scale: Mapping[str, float]) -> tuple[str, str, float]:
    """Return the streams above and below the widest gap between scales, and how many times it is wide."""
    order = sorted(scale, key=lambda name: scale[name])
    ratios = [scale[upper] / max(scale[lower], 1e-30) for lower, upper in pairwise(order)]
    cut = 1 + ratios.index(max(ratios))
    sides = ([name for name in scale if name in part] for part in (order[cut:], order[:cut]))
    loud, soft = (" and ".join(side) for side in sides)
    return loud, soft, ratios[cut - 1]
