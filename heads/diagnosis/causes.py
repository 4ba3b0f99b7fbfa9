"""Rules, one a cause: each names what it saw, how large the effect is, and what mended it.

A rule fires on what is broken by itself (dead columns, copies, frames that were never sampled, a peak of
the offset curve away from zero) or on a remedy that surely gains.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from dualstream.heads.diagnosis.evidence import OTHER, TURN, TURN_ALONE, Evidence, Intervention
from dualstream.heads.diagnosis.remedies import ALPHA, MIN_GAIN, interval, measured, sure
from dualstream.heads.diagnosis.strength import STREAMS
from dualstream.heads.evaluation.statistics import holm

from dualstream.documents import JsonObject

STARVED_SHARE = 0.5  # of an utterance's windows: below it a stream is starved
FED_SHARE = 0.8  # the other stream's share above which the first one's is the odd one
SCALE_RATIO = 10.0  # between the streams' scales, or between the columns of one
DEAD_SHARE = 0.05  # of a stream's columns
BROKEN_ROWS = 0.01  # of the utterances, not finite or unmarked zeros
COPIED_SHARE = 0.02  # of the dev utterances
MISSING_SHARE = 0.5  # of the utterances, in which a stream is not there at all
DRIFT_AUC = 0.75
DRIFT_ALPHA = 0.01  # chance that such an area under the curve is luck of the dealing
OVERFIT_GAP = 0.20  # balanced accuracy on fitted less on held-out rows
ROWS_PER_COLUMN = 3.0  # training utterances a joined column, below which a variant with a hidden layer is large
COLLAPSED_SHARE = 0.85  # of the answers, to one class
USE_FOR_WORTH = 0.7  # of a stream's share in use to its share in worth: below it the head neglects the stream
HIDDEN_GAIN = 0.08  # of balanced accuracy: where no more than this may hide, the streams add nothing to each other


@dataclass(frozen=True)
class Cause:
    """One named cause with what speaks for it."""

    name: str
    """Of heads.diagnosis.conclusion.CAUSES."""
    text: str
    """What was found, in one sentence with its figures."""
    effect: float
    """Balanced accuracy that it costs, as measured by its remedy; 0 where no refit can measure it."""
    interval: tuple[float, float] | None
    remedies: tuple[Intervention, ...]
    """Measured remedies, best first."""
    advice: str
    """What to do."""

    def to_json(self) -> JsonObject:
        """Return the values."""
        return {
            "name": self.name,
            "text": self.text,
            "effect": self.effect,
            "interval": list(self.interval) if self.interval else None,
            "remedies": [remedy.to_json() for remedy in self.remedies],
            "advice": self.advice,
        }


def broken_features(evidence: Evidence) -> Cause | None:
    """Columns or rows that carry nothing: dead, not finite, zeros that pose as values, or not there at all."""
    parts = []
    for name in STREAMS:
        space, coverage = evidence.spaces[name], evidence.coverage[name]
        absent = coverage.saw_nothing - space.not_finite  # rows that aren't finite count as absent there
        if absent > MISSING_SHARE * evidence.utterances:
            parts.append(f"{name} is missing from {absent} of {evidence.utterances} utterances")
        if space.dead_columns > DEAD_SHARE * space.width:
            parts.append(f"{space.dead_columns} of {space.width} {name} columns never change")
        if space.not_finite > BROKEN_ROWS * evidence.utterances:
            parts.append(
                f"{space.not_finite} {name} rows hold NaN or infinity, in {space.not_finite_columns} of "
                f"{space.width} columns"
            )
        if space.zero_rows > BROKEN_ROWS * evidence.utterances:
            parts.append(f"{space.zero_rows} {name} rows are all zeros without being marked as missing")
    if not parts:
        return None
    return Cause(
        "broken_features",
        "; ".join(parts),
        0.0,
        None,
        (),
        "mend the extraction: `inspect` says which encoder and projection made the columns, and why clips failed",
    )


def leakage(evidence: Evidence) -> Cause | None:
    """Dev utterances that stand in train."""
    if evidence.copies <= COPIED_SHARE * max(1, evidence.dev_utterances):
        return None
    share = evidence.copies / evidence.dev_utterances
    return Cause(
        "leakage",
        f"{evidence.copies} of {evidence.dev_utterances} dev utterances ({share:.0%}) have the very features of a "
        "train utterance: dev scores are too good",
        0.0,
        None,
        (),
        "take the copies out of the manifest: `check` lists the spans that splits share",
    )


def drift(evidence: Evidence) -> Cause | None:
    """Dev rows look unlike train rows, and heads fitted on train pay for it."""
    worst = max(STREAMS, key=lambda name: np.nan_to_num(evidence.spaces[name].drift_auc))
    auc, p_value = evidence.spaces[worst].drift_auc, evidence.spaces[worst].drift_p_value
    if np.isnan(auc) or auc < DRIFT_AUC or p_value > DRIFT_ALPHA:
        return None  # a few dialogues that differ from others are no drift
    drop = evidence.drop_to_dev
    costs = drop is not None and drop.low is not None and drop.low > 0
    if evidence.grouped_by == "speaker" and not costs:
        return None  # new people look new; that is named where it surely costs
    effect = drop.difference if drop else 0.0
    return Cause(
        "drift",
        f"a linear classifier tells dev {worst} rows from train rows with an area under the curve of {auc:.2f} "
        f"(0.5: not at all; p {p_value:.3f} where whole {evidence.grouped_by}s are dealt anew)",
        effect,
        interval(drop),
        (),
        "look for what differs between the splits (episodes, channels, encoder versions)"
        + ("" if evidence.speaker_norm else "; --speaker-norm removes what is constant for a speaker"),
    )


def starved_sampling(evidence: Evidence) -> Cause | None:
    """One stream has seen a small part of what the other has seen."""
    seen = {name: evidence.coverage[name].windows_seen for name in STREAMS}
    poor = min(STREAMS, key=lambda name: np.nan_to_num(seen[name], nan=1.0))
    other = "audio" if poor == "video" else "video"
    if not (seen[poor] < STARVED_SHARE and seen[other] > FED_SHARE):
        return None
    single = evidence.coverage[poor].single_row
    remedies = measured(evidence, OTHER)
    gain = remedies[0].gain if remedies else None
    return Cause(
        "starved_sampling",
        f"{poor} has a row for {seen[poor]:.0%} of an utterance's windows, {other} for {seen[other]:.0%}; "
        f"{single:.0%} of the longer utterances have one {poor} row or none",
        gain.difference if gain else 0.0,
        interval(gain),
        remedies,
        "extract again with --sampling aligned; `diagnose --against` that cache measures the gain",
    )


def misaligned(evidence: Evidence) -> Cause | None:
    """The streams agree best at a shift that is not zero."""
    curve = evidence.curve
    if curve is None or curve.verdict != "shifted":
        return None
    low, high = curve.peak_interval_s
    edge = abs(curve.peak_s) == float(np.abs(curve.shift_s).max())
    remedies = measured(evidence, "shift by the best offset")
    gain = remedies[0].gain if remedies else None
    return Cause(
        "misaligned",
        f"the streams agree best with audio {curve.peak_s:+.1f} s against video (95 % interval "
        f"{low:+.1f} to {high:+.1f} s)" + ("; that is as far as was looked (--max-shift)" if edge else ""),
        gain.difference if gain else 0.0,
        interval(gain),
        remedies,
        f"shift audio by {-curve.peak_s:+.1f} s before windows are joined, and mend the clips' time stamps",
    )


def whitened_projection(evidence: Evidence) -> Cause | None:
    """A stream's columns are principal components, which standardising whitens; turned they do better."""
    remedies = _turning(evidence)
    if not remedies:
        return None
    parts = []
    for name in _components(evidence):
        space, turned = evidence.spaces[name], evidence.interventions[TURN_ALONE[name]]
        parts.append(
            f"the {space.width} columns of {name} hardly correlate ({space.correlation:.2f}), and "
            f"{space.width / space.steepness:.0f} of them would hold its variance: principal components, which "
            f"standardising whitens, so that noise gets the weight of the signal; {name} alone reaches "
            f"{evidence.scores[name].mean:.1%} with them as they are, {turned.score.mean:.1%} turned"
        )
    parts.append(f"{evidence.fusion} itself, turned: {evidence.interventions[TURN].gain.difference:+.1%}")
    return _mended(
        "whitened_projection",
        "; ".join(parts),
        (*remedies, *sure(evidence, OTHER)),
        "turn them: `project --kind pca-turned` from the same shards; of a table, multiply all columns by one "
        "random rotation, or bring those from before the PCA (`diagnose --against` a cache of these measures it)",
    )


def _components(evidence: Evidence) -> list[str]:
    """Return the streams that look like principal components and were refitted turned."""
    return [name for name in STREAMS if TURN_ALONE[name] in evidence.interventions]


def _turning(evidence: Evidence) -> tuple[Intervention, ...]:
    """Return the turns that surely gain, of the joined head and of the streams alone."""
    return sure(evidence, TURN, *(TURN_ALONE[name] for name in _components(evidence)))


def scale_mismatch(evidence: Evidence) -> Cause | None:
    """One stream's or some columns' numbers are far larger, and scaling them mends the head."""
    scale = {name: evidence.spaces[name].scale for name in STREAMS}
    loud = max(STREAMS, key=lambda name: scale[name])
    soft = "audio" if loud == "video" else "video"
    ratio = scale[loud] / max(scale[soft], 1e-30)
    # What a whitened projection explains is not told twice: its columns spread unevenly by their nature
    explained = _components(evidence) if _turning(evidence) else []
    spread = {
        name: 0.0 if name in explained else float(np.nan_to_num(evidence.spaces[name].scale_spread))
        for name in STREAMS
    }
    uneven = max(STREAMS, key=lambda name: spread[name])
    remedies = sure(evidence, "standardise")
    if max(ratio, spread[uneven]) < SCALE_RATIO or not remedies:
        return None
    found = []
    if ratio >= SCALE_RATIO:
        found.append(f"{loud} values are {ratio:,.0f} times as large as {soft} values")
    if spread[uneven] >= SCALE_RATIO:
        found.append(
            f"columns of {uneven} spread unevenly, the widest tenth {spread[uneven]:,.0f} times the narrowest"
        )
    return _mended(
        "scale_mismatch",
        f"{'; '.join(found)}; the head takes them as they are",
        remedies,
        "standardise each stream: --fusion concat_norm",
    )


def one_stream_dominates(evidence: Evidence) -> Cause | None:
    """The head neglects a stream that is worth something."""
    worth = {"video": evidence.strength.video, "audio": evidence.strength.audio}
    gains = {name: worth[name] - evidence.strength.chance for name in STREAMS}
    share = evidence.strength.lean_share
    total = sum(max(0.0, gain) for gain in gains.values())
    remedies = sure(evidence, "equalise widths", "modality dropout", "join late")
    if total <= 0 or not remedies:
        return None
    for name in STREAMS:
        expected = max(0.0, gains[name]) / total
        other = "audio" if name == "video" else "video"
        if gains[name] > 2 * MIN_GAIN and share[name] < USE_FOR_WORTH * expected:
            return _mended(
                "one_stream_dominates",
                f"{name} alone reaches {worth[name]:.1%}, {expected:.0%} of what both streams give above chance, "
                f"but makes up {share[name]:.0%} of what the head uses; the rest is {other}",
                remedies,
                "give both streams the same weight at the entrance, or hide the strong one now and then",
            )
    return None


def too_little_data(evidence: Evidence) -> Cause | None:
    """The variant learns its training rows by heart."""
    if evidence.fusion.startswith("linear"):
        return None  # its penalty was chosen on rows that were not fitted
    if not evidence.above_chance:
        return None  # nothing says that there is anything to learn
    gap = evidence.train_score - evidence.strength.fused
    columns = sum(evidence.spaces[name].width for name in STREAMS)
    rows = evidence.utterances
    if gap < OVERFIT_GAP or rows > ROWS_PER_COLUMN * columns:
        return None
    remedies = measured(evidence, "regularise")
    balanced = sure(evidence, "equalise widths", "join late")
    if balanced and remedies and balanced[0].gain.difference > remedies[0].gain.difference + MIN_GAIN:
        return None  # what is learnt by heart is one wide stream, not the corpus
    return Cause(
        "too_little_data",
        f"{rows} utterances for {columns} columns: {evidence.train_score:.1%} on rows that were fitted, "
        f"{evidence.strength.fused:.1%} on others",
        remedies[0].gain.difference if remedies else 0.0,
        interval(remedies[0].gain) if remedies else None,
        remedies,
        "more utterances, fewer columns (`project --width`), or a linear head",
    )


def collapse(evidence: Evidence) -> Cause | None:
    """Nearly all answers are one class."""
    if evidence.answered_share < COLLAPSED_SHARE:
        return None
    remedies = sure(evidence, "rebalance classes")
    if not remedies:
        return None
    return _mended(
        "collapse",
        f"{evidence.answered_share:.0%} of the answers are one class; the commonest class has "
        f"{evidence.majority_share:.0%} of the utterances",
        remedies,
        "weigh the classes: --loss balanced_softmax",
    )


def no_complement(evidence: Evidence) -> Cause | None:
    """The second stream adds nothing that the first doesn't say."""
    best = evidence.scores[evidence.best_single].mean
    joins = [item.over_best for item in evidence.interventions.values() if item.name in JOINING]
    joins.append(evidence.fused_over_best)
    gain = max(join.difference for join in joins)
    # "Nothing to gain" takes more than no gain found: what might hide in the plainest joins must be small
    plain = (evidence.fused_over_best, evidence.interventions["join late"].over_best)
    may_hide = max(join.high if join.high is not None else 1.0 for join in plain)
    # So many joins are tried that one in six corpora would have a lucky one: corrected (Holm)
    corrected = holm([join.p_value for join in joins])
    joins_help = any(
        join.difference >= MIN_GAIN and p_value <= ALPHA for join, p_value in zip(joins, corrected, strict=True)
    )
    best_low = evidence.scores[evidence.best_single].low or 0.0
    if joins_help or may_hide > HIDDEN_GAIN or best_low <= evidence.strength.chance:
        return None
    other = "audio" if evidence.best_single == "video" else "video"
    return Cause(
        "no_complement",
        f"{evidence.best_single} alone reaches {best:.1%}; no way of joining {other} to it brings more than "
        f"{max(gain, 0):.1%} (redundancy of the streams, linear CKA: {evidence.redundancy:.2f})",
        0.0,
        None,
        (),
        f"use --fusion {evidence.best_single}: nothing is lost by it",
    )


def _mended(name: str, text: str, remedies: tuple[Intervention, ...], advice: str) -> Cause:
    gain = remedies[0].gain
    return Cause(name, text, gain.difference, interval(gain), remedies, advice)


JOINING = ("standardise", "equalise widths", "modality dropout", "align windows", "regularise", "join late")
RULES: tuple[Callable[[Evidence], Cause | None], ...] = (
    broken_features,
    leakage,
    drift,
    starved_sampling,
    misaligned,
    whitened_projection,
    scale_mismatch,
    one_stream_dominates,
    too_little_data,
    collapse,
    no_complement,
)
