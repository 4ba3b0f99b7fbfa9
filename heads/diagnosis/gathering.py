"""Measuring: coverage, alignment and spaces of the features, and heads refitted with one thing changed."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, replace
from itertools import combinations

import numpy as np
from dualstream.heads.data.batch import UNLABELLED, FeatureSet, StreamArrays, stream_order
from dualstream.heads.data.normalisation import LABEL
from dualstream.heads.diagnosis import spaces
from dualstream.heads.diagnosis.coverage import coverage
from dualstream.heads.diagnosis.delays import delays
from dualstream.heads.diagnosis.evidence import TURN, DiagnosisOptions, Evidence
from dualstream.heads.diagnosis.measures import measure
from dualstream.heads.diagnosis.outlying import Outlying, outlying
from dualstream.heads.diagnosis.pairs import Offsets, Pair, of_clock, offsets_between
from dualstream.heads.diagnosis.refit import Pool, compare, grouping, pool
from dualstream.heads.diagnosis.signs.measure import signs
from dualstream.heads.diagnosis.signs.measure import with_limits as limits_of_signs
from dualstream.heads.diagnosis.signs.table import Names
from dualstream.heads.diagnosis.strength import chance_of, complement, strength
from dualstream.heads.diagnosis.subsets import require_streams, worth
from dualstream.heads.diagnosis.trials import (
    DiagnosedHeads,
    Progress,
    changes_of,
    drop_to_dev,
    estimate,
    has_windows,
    other_features,
    single_stream,
    turnings,
)
from dualstream.heads.evaluation.folds import GroupBy
from dualstream.heads.evaluation.majority import majority_lines
from dualstream.heads.evaluation.memorised import Certainty, certainty


def gather(
    train: FeatureSet,
    dev: FeatureSet | None,
    options: DiagnosisOptions,
    *,
    other: tuple[FeatureSet, FeatureSet | None] | None = None,
    extracted: tuple[FeatureSet, FeatureSet | None] | None = None,
    unlabelled: FeatureSet | None = None,
    names: Names | None = None,
    progress: Progress = lambda line: None,
) -> Evidence:
    """Measure everything; `progress` is told what is being fitted.

    `other` holds the same utterances in the same order with features made in another way (extracted densely,
    say): what the head gains by them is measured too. `extracted` holds the same utterances as they were before
    speakers were normalised, where they were: copies, drift and scales are looked for in those, for normalising
    each split by itself hides them. `unlabelled` holds rows of a further split, of which no label is read: they
    tell whether an encoder was fitted on the labels of train where there is no dev. `names` holds what the
    utterances of train and dev are called, and where they stand in their table.

    Raises
    ------
    ValueError
        Where a stream is missing, or there are too few labelled dialogues or speakers to hold any out.
    """
    streams = stream_order(train.streams)
    require_streams(streams, options.fusion)
    by, of_folds = grouping(train, dev, options.folds)
    as_extracted = extracted or (train, dev)
    raw = _raw(as_extracted, unlabelled, by, options, names)
    train, dev, notes = _cleaned(train, dev)
    notes = (*notes, *of_folds)
    found = tuple(_offsets(train, streams, options, progress))
    late_s = delays(streams, [(one.streams, one.curve) for one in found])
    if extracted is not None:
        notes = (*notes, f"{LABEL}; copies, drift, scales and ranks are of the rows before that")
    pooled = _pooled(train, dev, by, options)
    heads = DiagnosedHeads.of(pooled, options, progress)
    planned = changes_of(heads.base, late_s, options, train)
    if TURN in options.interventions:
        planned += turnings(heads.base, [name for name in streams if raw.spaces[name].components], streams)
    if other is not None:
        clean, clean_dev, _ = _cleaned(*other)
        planned.append(other_features(heads.base, pooled, _pooled(clean, clean_dev, by, options)))
    with heads.fitting(planned) as collect:
        seen = signs(*as_extracted, options.task, by=by, names=names, progress=progress)
        collect()
    labelled = sum(
        int((getattr(part, options.task) != UNLABELLED).sum()) for part in (train, dev) if part is not None
    )
    if len(pooled.features) < labelled:
        drawn = f"heads were refitted on {len(pooled.features)} of {labelled} utterances, drawn by whole {by}s"
        notes = (*notes, drawn)
    if single_stream(heads.base, streams[0], streams).prepare is not None:
        others = "the other stream" if len(streams) == 2 else "the other streams"
        notes = (*notes, f"a stream alone: {options.fusion} with {others} hidden")
    evidence = _evidence(
        heads, raw, train, dev, by=by, offsets=found, notes=notes, speaker_norm=extracted is not None
    )
    evidence = replace(evidence, signs=seen)
    if not options.measures:
        return evidence
    return replace(
        evidence, measures=measure(pooled, heads.refits, heads.some, seed=options.seed, progress=progress)
    )


def with_limits(
    evidence: Evidence,
    train: FeatureSet,
    dev: FeatureSet | None,
    options: DiagnosisOptions,
    names: Names | None = None,
) -> Evidence:
    """Return the evidence with the smallest mistakes that would have been found, for where none was."""
    if evidence.signs is None:
        return evidence
    processes = options.processes(evidence.utterances)
    limited = limits_of_signs(evidence.signs, train, dev, options.task, names, processes=processes)
    of_clocks = tuple(one for offsets in evidence.offsets for one in of_clock(offsets))
    return replace(evidence, signs=replace(limited, limits=(*limited.limits, *of_clocks)))


@dataclass(frozen=True, repr=False)
class _Raw:
    """What is looked for in the rows as they were extracted."""

    spaces: dict[str, spaces.Space]
    copies: int
    outlying: tuple[Outlying, ...]
    certainty: tuple[Certainty, ...]


def _raw(
    parts: tuple[FeatureSet, FeatureSet | None],
    unlabelled: FeatureSet | None,
    by: GroupBy,
    options: DiagnosisOptions,
    names: Names | None,
) -> _Raw:
    train, dev = parts
    streams = stream_order(train.streams)
    others = {"dev": dev} if dev is not None else {}
    others |= {"test": unlabelled} if unlabelled is not None else {}
    of_spaces = {name: spaces.space(train, dev, name, by=by, seed=options.seed) for name in streams}
    copies = spaces.copied_rows(train, dev) if dev is not None else 0
    odd = tuple(outlying(train, dev, name, names) for name in streams)
    known = [certainty(train, others, name, options.task, unlabelled=("test",)) for name in streams]
    return _Raw(of_spaces, copies, odd, tuple(one for each in known for one in each.values()))


def _offsets(
    train: FeatureSet, streams: tuple[str, ...], options: DiagnosisOptions, progress: Progress
) -> Iterator[Offsets]:
    """Yield the offsets of each two streams."""
    if has_windows(train):
        progress("offset curve")
    for pair in combinations(streams, 2):
        yield offsets_between(train, pair, hop_s=options.hop_s, max_shift_s=options.max_shift_s, seed=options.seed)


def _pooled(train: FeatureSet, dev: FeatureSet | None, by: GroupBy, options: DiagnosisOptions) -> Pool:
    return pool(
        train, dev, folds=options.folds, task=options.task, by=by, sample=options.sample, seed=options.seed
    )


def _evidence(
    heads: DiagnosedHeads,
    raw: _Raw,
    train: FeatureSet,
    dev: FeatureSet | None,
    *,
    by: GroupBy,
    offsets: tuple[Offsets, ...],
    notes: tuple[str, ...],
    speaker_norm: bool,
) -> Evidence:
    """Put together what was measured of the rows, before and after they were cleaned, and of the heads."""
    options, pooled, refits, rows = heads.options, heads.pooled, heads.refits, heads.rows
    streams = heads.streams
    alone = {name: refits[name] for name in streams}
    of_pair = offsets[0] if len(streams) == 2 else Offsets((streams[0], streams[1]), None, None)
    shapley, coalitions = worth(chance_of(pooled), alone, heads.some, refits["fused"])
    answers = np.concatenate([row.argmax(axis=1) for row in rows["fused"]])
    of_train = getattr(train, options.task)
    majority, train_majority = majority_lines(
        np.bincount(pooled.truth, minlength=pooled.classes),
        getattr(train, f"{options.task}_names"),
        np.bincount(of_train[of_train != UNLABELLED], minlength=pooled.classes),
    )
    assert majority is not None, "a pool without labels was refused"
    return Evidence(
        fusion=options.fusion,
        task=options.task,
        utterances=len(pooled.features),
        groups=len(np.unique(pooled.group)),
        grouped_by=by,
        classes=pooled.classes,
        majority_share=majority.accuracy,
        answered_share=float(np.bincount(answers).max() / len(answers)),
        coverage={name: coverage(pooled.features, name) for name in streams},
        spaces=raw.spaces,
        redundancy=spaces.linear_cka(train, of_pair.streams) if len(streams) == 2 else float("nan"),
        copies=raw.copies,
        dev_utterances=len(dev) if dev is not None else 0,
        curve=of_pair.curve,
        strength=strength(
            pooled, refits["fused"], alone, shapley=shapley, coalitions=coalitions, seed=options.seed
        ),
        complement=complement(pooled, alone),
        scores={name: estimate(rows[name], pooled) for name in ("fused", *streams, "late_sum")},
        train_score=refits["fused"].train_score,
        fused_over_best=compare(rows["fused"], rows[heads.best], pooled),
        best_single=heads.best,
        drop_to_dev=drop_to_dev(heads.base, pooled, rows["fused"]) if dev is not None else None,
        interventions=heads.interventions,
        notes=notes,
        speaker_norm=speaker_norm,
        certainty=raw.certainty,
        outlying=raw.outlying,
        majority=majority,
        train_majority=train_majority,
        second_offset=of_pair.second,
        pairs=tuple(_pair(heads, train, one) for one in offsets) if len(streams) > 2 else (),
    )


def _pair(heads: DiagnosedHeads, train: FeatureSet, offsets: Offsets) -> Pair:
    """Return what two of several streams give joined."""
    pooled, names = heads.pooled, offsets.streams
    joined = heads.some[frozenset(names)].log_probabilities
    better = max(names, key=lambda name: heads.refits[name].score)
    return Pair(
        streams=names,
        score=estimate(joined, pooled),
        over_better=compare(joined, heads.rows[better], pooled),
        complement=complement(pooled, {name: heads.refits[name] for name in names}),
        redundancy=spaces.linear_cka(train, names),
        offsets=offsets,
    )


def _cleaned(train: FeatureSet, dev: FeatureSet | None) -> tuple[FeatureSet, FeatureSet | None, tuple[str, ...]]:
    """Mask rows that are not finite: heads can't be fitted on them, and they are reported apart."""
    masked = 0
    parts: list[FeatureSet | None] = []
    for part in (train, dev):
        if part is None:
            parts.append(None)
            continue
        streams = {}
        for name, stream in part.streams.items():
            bad = stream.present & ~np.isfinite(stream.utterance).all(axis=1)
            masked += int(bad.sum())
            windows, seen = stream.windows, stream.window_present
            if windows is not None and seen is not None:
                seen = seen & np.isfinite(windows).all(axis=1)
                windows = np.where(seen[:, None], windows, 0).astype(np.float32)
            rows = np.where((stream.present & ~bad)[:, None], stream.utterance, 0).astype(np.float32)
            streams[name] = StreamArrays(rows, stream.present & ~bad, windows, seen)
        parts.append(replace(part, streams=streams))
    first = parts[0]
    assert first is not None
    notes = (f"{masked} rows that are not finite were masked before fitting",) if masked else ()
    return first, parts[1], notes
