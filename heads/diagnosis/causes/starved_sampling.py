"""The cause `starved_sampling`: one stream has seen a small part of what another has seen."""

from __future__ import annotations

import numpy as np
from dualstream.heads.diagnosis.causes import Cause, cause
from dualstream.heads.diagnosis.evidence import OTHER, Evidence
from dualstream.heads.diagnosis.remedies import interval, measured

STARVED_SHARE = 0.5  # of an utterance's windows: below it a stream is starved
FED_SHARE = 0.8  # another stream's share above which the first one's is the odd one


@cause(title="Starved sampling", rank=60)
def starved_sampling(evidence: Evidence) -> Cause | None:
    """One stream has seen a small part of what another has seen."""
    seen = {name: evidence.coverage[name].windows_seen for name in evidence.streams}
    poor = min(evidence.streams, key=lambda name: np.nan_to_num(seen[name], nan=1.0))
    fed = [name for name in evidence.others_than(poor) if seen[name] > FED_SHARE]
    if not (seen[poor] < STARVED_SHARE and fed):
        return None
    single = evidence.coverage[poor].single_row
    remedies = measured(evidence, OTHER)
    gain = remedies[0].gain if remedies else None
    return Cause(
        "starved_sampling",
        f"{poor} has a row for {seen[poor]:.0%} of an utterance's windows, "
        f"{', '.join(f'{name} for {seen[name]:.0%}' for name in fed)}; "
        f"{single:.0%} of the longer utterances have one {poor} row or none",
        gain.difference if gain else 0.0,
        interval(gain),
        remedies,
        "extract again with --sampling aligned; `diagnose --against` that cache measures the gain",
    )
