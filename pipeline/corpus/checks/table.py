"""Faults of labels, turns and lengths that the manifest alone shows."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterator
from itertools import pairwise

from dualstream.pipeline.corpus.checks.findings import Case, Finding, found
from dualstream.pipeline.corpus.checks.leakage import table_span
from dualstream.pipeline.corpus.checks.limits import Limits
from dualstream.pipeline.corpus.labels import EMOTIONS, SENTIMENTS, canonical_emotion, sentiment_of
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.utterance import SPLITS, Utterance

TASKS = {"emotion": EMOTIONS, "sentiment": SENTIMENTS}


def examine_table(manifest: Manifest, limits: Limits) -> list[Finding]:
    """Return what is wrong with labels, turns and lengths."""
    return [
        *_splits(manifest),
        *_labels(manifest),
        *_classes(manifest, limits),
        *_pairs(manifest),
        *_unknown(manifest, "speaker-unknown", lambda u: u.speaker),
        *_unknown(manifest, "dialogue-unknown", lambda u: u.dialogue),
        *_turns(manifest),
        *_lengths(manifest, limits),
    ]


def label_of(utterance: Utterance, task: str) -> str:
    """Return an utterance's emotion or sentiment, empty where it has none."""
    return utterance.emotion if task == "emotion" else utterance.sentiment


def _splits(manifest: Manifest) -> list[Finding]:
    held = {u.split for u in manifest}
    return found("split-missing", (Case(split) for split in SPLITS if split not in held))


def _labels(manifest: Manifest) -> Iterator[Finding]:
    missing: list[Case] = []
    bare: list[Case] = []
    odd: list[Case] = []
    foreign: list[Case] = []
    for task, known in TASKS.items():
        counts = Counter(label_of(u, task) for u in manifest)
        names = set(counts) - {""}
        if not names:
            bare.append(Case(task))
            continue
        missing += [Case(u.id, f"no {task}") for u in manifest if not label_of(u, task)]
        for name in sorted(names):
            plain = canonical_emotion(name) if task == "emotion" else name.lower()
            if name != plain and (plain in known or plain in names):
                odd.append(Case(name, f"{counts[name]} rows; {plain} is the usual {task}"))
            elif name not in known:
                foreign.append(Case(name, f"{counts[name]} rows, {task}"))
    yield from found("unlabelled", bare)
    yield from found("label-missing", missing)
    yield from found("label-spelling", odd)
    yield from found("label-foreign", foreign)


def _classes(manifest: Manifest, limits: Limits) -> Iterator[Finding]:
    """Find classes that a split lacks, or hardly has."""
    untrained: list[Case] = []
    unscored: list[Case] = []
    rare: list[Case] = []
    held = [split for split in SPLITS if any(u.split == split for u in manifest)]
    for task in TASKS:
        counts = {split: Counter(label_of(u, task) for u in manifest if u.split == split) for split in held}
        names = {name for some in counts.values() for name in some} - {""}
        for name in sorted(names):
            for split in held:
                count = counts[split][name]
                least = limits.rare_train if split == "train" else limits.rare_scored
                if 0 < count < least:
                    rare.append(Case(name, f"{count} rows of {split}, {task}"))
            if "train" in held and not counts["train"][name]:
                untrained.append(Case(name, task))
            lacking = [split for split in held if split != "train" and not counts[split][name]]
            if lacking and counts.get("train", Counter())[name]:
                unscored.append(Case(name, f"{task}, none in {' and '.join(lacking)}"))
    yield from found("class-untrained", untrained)
    yield from found("class-unscored", unscored)
    yield from found("class-rare", rare)


def _pairs(manifest: Manifest) -> Iterator[Finding]:
    """Find rows whose two labels fight, and emotions that settle the sentiment."""
    both = [u for u in manifest if u.emotion and u.sentiment]
    fighting = [u for u in both if {sentiment_of(u.emotion), u.sentiment} == {"positive", "negative"}]
    yield from found("sentiment-contradicts", (Case(u.id, f"{u.emotion}, {u.sentiment}") for u in fighting))
    seen: dict[str, Counter[str]] = defaultdict(Counter)
    for utterance in both:
        seen[utterance.emotion][utterance.sentiment] += 1
    settled = {emotion: next(iter(found_)) for emotion, found_ in seen.items() if len(found_) == 1}
    rows = sum(u.emotion in settled for u in both)
    note = f"{rows} of the {len(both)} rows with both labels"
    yield from found("sentiment-follows", (Case(e, f"always {s}") for e, s in sorted(settled.items())), note)


def _unknown(manifest: Manifest, code: str, name_of: Callable[[Utterance], str]) -> list[Finding]:
    return found(code, (Case(u.id) for u in manifest if not name_of(u)))


def _turns(manifest: Manifest) -> Iterator[Finding]:
    dialogues: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in manifest:
        if utterance.dialogue and utterance.turn is not None:
            dialogues[utterance.dialogue].append(utterance)
    repeated: list[Case] = []
    gaps: list[Case] = []
    backwards: list[Case] = []
    for name, rows in dialogues.items():
        turns = sorted(u.turn for u in rows if u.turn is not None)
        twice = sorted({a for a, b in pairwise(turns) if a == b})
        if twice:
            repeated.append(Case(name, f"turn {', '.join(map(str, twice))}"))
        left_out = sorted(set(range(turns[-1])) - set(turns))
        if left_out:
            gaps.append(Case(name, f"{len(left_out)} left out, the first is turn {left_out[0]}"))
        starts = [(u, span[0]) for u in sorted(rows, key=lambda u: u.turn or 0) if (span := table_span(u))]
        early = [b.id for (a, start), (b, next_start) in pairwise(starts) if next_start < start]
        if early:
            backwards.append(Case(name, f"at {', '.join(early)}"))
    yield from found("turn-repeated", repeated)
    yield from found("turn-gap", gaps)
    yield from found("time-backwards", backwards)


def _lengths(manifest: Manifest, limits: Limits) -> Iterator[Finding]:
    """Judge lengths by the corpus's table, or by the span that a row names."""
    invalid: list[Case] = []
    short: list[tuple[float, str]] = []
    long: list[tuple[float, str]] = []
    for utterance in manifest:
        span = table_span(utterance)
        stated = [utterance.extra.get(name, "") for name in ("table_start_s", "table_end_s")]
        if span is None and any(stated):
            invalid.append(Case(utterance.id, f"from {stated[0]!r} to {stated[1]!r}"))
        if span is None and utterance.start_s is not None and utterance.end_s is not None:
            span = utterance.start_s, utterance.end_s
        if span is None:
            continue
        length_s = round(span[1] - span[0], 6)
        if length_s < limits.short_s:
            short.append((length_s, utterance.id))
        elif length_s > limits.long_s:
            long.append((length_s, utterance.id))
    yield from found("table-time-invalid", invalid)
    yield from found("table-too-short", (Case(name, f"{s:.3f} s") for s, name in sorted(short)))
    yield from found("table-too-long", (Case(name, f"{s:.1f} s") for s, name in sorted(long, reverse=True)))
