"""Measures that a reviewer expects of a joined head: how its streams work together, and how far each is used.

None of them names a cause: they describe the head and its streams, on the folds that the diagnosis has fitted
already.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import numpy as np
from dualstream.heads.diagnosis.measures import coalitions
from dualstream.heads.diagnosis.measures.emap import AdditiveProjection, measure_emap
from dualstream.heads.diagnosis.measures.information import Information, measure_information
from dualstream.heads.diagnosis.measures.interaction import Interaction, measure_interaction
from dualstream.heads.diagnosis.measures.probes import Probes, measure_probes
from dualstream.heads.diagnosis.measures.robustness import RobustnessCurve, measure_robustness
from dualstream.heads.diagnosis.measures.shapley import UtteranceValues, utterance_values
from dualstream.heads.diagnosis.refit import Pool, Refit
from dualstream.heads.diagnosis.strength import mean_log_probabilities
from dualstream.heads.evaluation.shapley import Coalition
from numpy.typing import NDArray

from dualstream.cores import one_core
from dualstream.documents import JsonObject, plain

FUSED = "fused"


@dataclass(frozen=True, repr=False)
class Measures:
    """What was measured of a joined head beside its causes."""

    streams: tuple[str, ...]
    additive: AdditiveProjection | None
    """EMAP; None where the head reads whole dialogues, or joins more than four streams."""
    interaction: Interaction | None
    """None likewise."""
    information: Information | None
    """None where it joins more than four streams."""
    probes: Probes | None
    """None where the head is no network with one representation."""
    robustness: tuple[RobustnessCurve, ...]
    left_out: tuple[str, ...] = ()
    """What was not measured, and why."""
    utterances: UtteranceValues | None = field(default=None, compare=False)
    """Of every utterance that heads were refitted on; kept beside the document, in errors.csv. None likewise."""

    def to_json(self) -> JsonObject:
        """Return the values; those of single utterances are in errors.csv."""
        return {
            "streams": list(self.streams),
            "additive": plain(self.additive),
            "interaction": plain(self.interaction),
            "information": plain(self.information),
            "probes": plain(self.probes),
            "robustness": [curve.to_json() for curve in self.robustness],
            "left_out": list(self.left_out),
        }


@one_core()
def measure(
    pooled: Pool,
    refits: Mapping[str, Refit],
    some: Mapping[Coalition, Refit] | None = None,
    *,
    seed: int = 0,
    progress: Callable[[str], None] = lambda line: None,
) -> Measures:
    """Measure everything that the head allows; nothing is fitted but linear probes.

    Parameters
    ----------
    refits
        The joined head as ``fused``, and each stream's head by the stream's name.
    some
        Of three streams or more: heads on several streams, but not all.
    """
    names = tuple(name for name in refits if name != FUSED)
    fused, alone = refits[FUSED], {name: refits[name] for name in names}
    left_out = []
    additive = interaction = of_utterances = information = None
    why = coalitions.why_none(fused.trial.fusion, names)
    if why:
        left_out.append(f"additive projection, interaction and values of single utterances: {why}")
    else:
        progress("additive projection")
        found = coalitions.all_pairs(pooled, fused, names, seed=seed)
        additive, interaction = (
            measure_emap(found, pooled, seed=seed),
            measure_interaction(found, pooled, seed=seed),
        )
        if len(found.rows) < len(pooled.features) or not found.exact:
            progress("values of single utterances")
            found = coalitions.drawn(pooled, fused, names, seed=seed)
        of_utterances = utterance_values(found, pooled.truth[found.rows])
    if 2 <= len(names) <= coalitions.MAX_STREAMS:
        progress("information")
        answers = {name: _answers(one) for name, one in alone.items()}
        of_some = {known: _answers(one) for known, one in (some or {}).items()}
        information = measure_information(
            pooled.truth, answers, _answers(fused), pooled.group, some=of_some, seed=seed
        )
    else:
        left_out.append(f"information decomposition: {len(names)} streams; it takes 2 to {coalitions.MAX_STREAMS}")
    progress("probes")
    probes = measure_probes(pooled, refits, names)
    if probes is None:
        left_out.append(f"probes: {fused.trial.fusion} has no representation that its heads read")
    progress("robustness")
    robustness = measure_robustness(pooled, fused, alone, names, seed=seed)
    return Measures(names, additive, interaction, information, probes, robustness, tuple(left_out), of_utterances)


def _answers(refit: Refit) -> NDArray[np.int64]:
    """Return the likeliest class of every utterance by the seeds' mean probabilities, shape (N,)."""
    return np.asarray(mean_log_probabilities(refit.log_probabilities).argmax(axis=1))
