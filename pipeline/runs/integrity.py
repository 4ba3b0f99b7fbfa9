"""What must be said of every number that rests on a corpus: how its folds are cut, weights, odd rows.

Each warning is made here and nowhere else; commands put them under their tables, on pages and into documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import Any

import numpy as np

from pipeline.runs.corpus import SPEAKER_ONLY, Corpus, shared_between
from pipeline.runs.protocol import Plan
from pipeline.runs.ranges import outliers, usual_ranges

RANDOM = "random:"  # what a source of weights begins with that were drawn
UNREAL = re.compile(r"\b(random|synthetic)\b", re.IGNORECASE)  # what a file of such weights calls itself


def warnings(plan: Plan, heads: Iterable[str]) -> list[str]:
    """Return what must be said of heads that read the streams `heads` by a plan."""
    read = [head for head in heads if head in plan.corpus.features.streams]
    return [*planned(plan, read), *row_warnings(plan, read)]


def planned(plan: Plan, heads: Iterable[str]) -> list[str]:
    """Return what can be said before any row is looked at (`--dry-run`)."""
    return [*random_weights(specs_read(plan.corpus, heads)), *fold_warnings(plan)]


def random_weights(specs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return which streams' encoders have weights that nobody trained: their features say nothing of a method."""
    found = []
    for name, spec in specs.items():
        source = str((spec.get("weights") or {}).get("source", ""))
        licence = str((spec.get("weights") or {}).get("licence", ""))
        kind = "random" if source.startswith(RANDOM) else next(iter(UNREAL.findall(licence)), "").lower()
        if kind:
            found.append(
                f"the encoder of {name} ({spec.get('name')}) has {kind} weights ({source}): for dry runs; what "
                "rests on it is no result"
            )
    return found


def fold_warnings(plan: Plan) -> list[str]:
    """Return what stands on both sides of the folds."""
    if plan.by is None:
        return []
    kind = plan.by.partition(":")[0]
    held = len(plan.scored)
    if kind == SPEAKER_ONLY:
        rows, shared = shared_between(plan.corpus, plan.parts, "dialogue")
        if rows:
            return [
                f"{rows} of {held} scored utterances are of {shared} dialogues that folds by {SPEAKER_ONLY} cut: "
                "the models have the partners' half of them, and scores are too good; --folds speaker keeps them "
                "whole, where speakers are not all connected"
            ]
    if kind == "dialogue":
        rows, shared = shared_between(plan.corpus, plan.parts, "speaker")
        if rows:
            return [
                f"{rows} of {held} scored utterances are of {shared} speakers who stand in several folds: the "
                "scores are of speakers that the models know, not of new ones"
            ]
    return []


def row_warnings(plan: Plan, heads: Iterable[str]) -> list[str]:
    """Return which rows that are fitted on or scored lie far outside of the rest, or hold nothing."""
    fitted = plan.fitted_on()
    ranges = usual_ranges(plan.corpus, fitted, heads)
    looked_at = np.union1d(fitted, plan.scored)
    return [text for found in outliers(plan.corpus, looked_at, ranges) for text in found.warnings()]


def specs_read(corpus: Corpus, heads: Iterable[str]) -> dict[str, dict[str, Any]]:
    """Return the encoder specs of those of the streams that the corpus has."""
    return {head: corpus.specs[head] for head in heads if head in corpus.specs}
