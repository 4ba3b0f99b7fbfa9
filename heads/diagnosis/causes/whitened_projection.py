"""The cause `whitened_projection`: a stream's columns are principal components, which standardising whitens."""

from __future__ import annotations

from dualstream.heads.diagnosis.causes import Cause, cause, remedied
from dualstream.heads.diagnosis.evidence import OTHER, TURN, Evidence, Intervention, turn_one
from dualstream.heads.diagnosis.remedies import significant


@cause(title="A whitened projection: principal components, standardised", rank=80)
def whitened_projection(evidence: Evidence) -> Cause | None:
    """A stream's columns are principal components, which standardising whitens; turned they do better."""
    remedies = turning(evidence)
    if not remedies:
        return None
    parts = []
    for name in components(evidence):
        space, turned = evidence.spaces[name], evidence.interventions[turn_one(name)]
        parts.append(
            f"the {space.width} columns of {name} hardly correlate ({space.correlation:.2f}), and "
            f"{space.width / space.steepness:.0f} of them would hold its variance: principal components, which "
            f"standardising whitens, so that noise gets the weight of the signal; {name} alone reaches "
            f"{evidence.scores[name].mean:.1%} with them as they are, {turned.score.mean:.1%} turned"
        )
    parts.append(f"{evidence.fusion} itself, turned: {evidence.interventions[TURN].gain.difference:+.1%}")
    return remedied(
        "whitened_projection",
        "; ".join(parts),
        (*remedies, *significant(evidence, OTHER)),
        "turn them: `project --kind pca-turned` from the same shards; of a table, multiply all columns by one "
        "random rotation, or bring those from before the PCA (`diagnose --against` a cache of these measures it)",
    )


def components(evidence: Evidence) -> list[str]:
    """Return the streams that look like principal components and were refitted turned."""
    return [name for name in evidence.streams if turn_one(name) in evidence.interventions]


def turning(evidence: Evidence) -> tuple[Intervention, ...]:
    """Return the turns that significantly gain, of the joined head and of the streams alone."""
    return significant(evidence, TURN, *(turn_one(name) for name in components(evidence)))
