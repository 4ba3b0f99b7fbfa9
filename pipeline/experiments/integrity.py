"""What must be said of every number that rests on a corpus: how its folds are cut, weights, odd rows.

Each warning is made here and nowhere else; commands put them under their tables, on pages and into documents.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from dualstream.features.projection import PCA, TURNED
from dualstream.heads.data.batch import FeatureSet, StreamArrays
from dualstream.heads.evaluation.memorised import certainty
from dualstream.heads.variants.registry import TASKS, Task
from dualstream.pipeline.experiments.corpus_folds import held_apart, shared_between
from dualstream.pipeline.experiments.protocol import Plan
from dualstream.pipeline.experiments.ranges import Ranges, outliers, usual_ranges
from dualstream.pipeline.experiments.run_config import SplitCertainty
from dualstream.pipeline.experiments.training_data import SPEAKER_ONLY, Corpus

WHAT_THAT_MEANS = (
    "its encoder was fitted on these labels, so that no score inside train is honest, nor what is chosen by it"
)
RANDOM = "random:"  # what a source of weights begins with that were drawn
UNREAL = re.compile(r"\b(random|synthetic)\b", re.IGNORECASE)  # what a file of such weights calls itself


@dataclass(frozen=True)
class Findings:
    """What was found."""

    warnings: tuple[str, ...]
    certainty: tuple[SplitCertainty, ...] = ()
    """Of a probe of each stream and task, by the split that is held against train."""
    ranges: Ranges = field(default_factory=dict)
    """What is usual in the rows that are fitted on."""


def examine(plan: Plan, heads: Iterable[str], tasks: Sequence[Task] = TASKS) -> Findings:
    """Return what must be said of heads that read the streams `heads` by a plan."""
    read = [head for head in heads if head in plan.corpus.features.streams]
    corpus = plan.corpus.as_extracted()
    known = memorised(corpus, read, tasks)
    ranges = usual_ranges(corpus.features, plan.fitted_on(), read)
    said = (*planned(plan, read), *known.warnings, *row_warnings(plan, ranges))
    return Findings(said, known.certainty, ranges)


def memorised(corpus: Corpus, heads: Iterable[str], tasks: Sequence[Task] = TASKS) -> Findings:
    """Return whether a stream knows train's labels; of the test split the rows are read, and no label."""
    splits = {name: np.flatnonzero(corpus.splits == name) for name in corpus.split_sizes() if name}
    if "train" not in splits:
        return Findings(())
    rows = _without_windows(corpus.features)
    train = rows.take(splits.pop("train"))
    others = {name: rows.take(index) for name, index in splits.items()}
    found = [
        SplitCertainty(split, one)
        for head in heads
        if head in corpus.features.streams
        for task in tasks
        for split, one in certainty(train, others, head, task, unlabelled=("test",)).items()
    ]
    words = [f"{one.of.describe(one.split)}: {WHAT_THAT_MEANS}" for one in found if one.of.memorised]
    return Findings(tuple(words), tuple(found))


def planned(plan: Plan, heads: Iterable[str]) -> list[str]:
    """Return what can be said before any row is looked at (`--dry-run`)."""
    return [*encoder_warnings(plan.corpus, heads), *fold_warnings(plan)]


def encoder_warnings(corpus: Corpus, heads: Iterable[str]) -> list[str]:
    """Return what must be said of how the rows of those of the streams that the corpus has were made."""
    read = [head for head in heads if head in corpus.specs]
    kinds = {head: corpus.projections[head] for head in read if head in corpus.projections}
    return [*random_weights({head: corpus.specs[head] for head in read}), *whitened(kinds)]


def _without_windows(features: FeatureSet) -> FeatureSet:
    """Return the utterance rows alone: windows may fill the memory, and a split of them is a copy."""
    streams = {name: StreamArrays(one.utterance, one.present) for name, one in features.streams.items()}
    return replace(
        features, streams=streams, offsets=np.zeros(len(features) + 1, np.int64), start_s=features.start_s[:0]
    )


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


def whitened(kinds: Mapping[str, str]) -> list[str]:
    """Return which streams' projections, by their kinds, are principal components that nothing turned."""
    return [
        f"stream {name}: principal components as they are, which heads that standardise whiten: noise gets the "
        f"weight of the signal; `project CACHE --kind {TURNED}` turns them"
        for name, kind in kinds.items()
        if kind == PCA
    ]


def with_random_weights(said: Sequence[str], specs: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Return the warnings of a document, which may be of a time when random weights were not named in it."""
    return [*said, *(text for text in random_weights(specs) if text not in said)]


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
            way = "--folds speaker holds people out"
            if not held_apart(plan.corpus, plan.scored):
                way = "dialogues that they share connect nearly all speakers, so that no folds can hold people out"
            return [
                f"{rows} of {held} scored utterances are of {shared} speakers who appear in several folds: the "
                f"scores are of speakers that the models know, not of new ones; {way}"
            ]
    return []


def row_warnings(plan: Plan, ranges: Ranges) -> list[str]:
    """Return which rows that are fitted on or scored lie far outside of the rest, or hold nothing."""
    looked_at = np.union1d(plan.fitted_on(), plan.scored)
    corpus = plan.corpus.as_extracted()
    odd = outliers(corpus.features, looked_at, ranges, ids=corpus.ids, columns=corpus.column_names)
    return [text for found in odd for text in found.warnings()]
