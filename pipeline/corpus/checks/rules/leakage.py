"""What splits share: stretches of a recording, dialogues, episodes, speakers, lines. From the manifest alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

import numpy as np
from dualstream.pipeline.corpus.checks.findings import Case, Finding, Rule
from dualstream.pipeline.corpus.checks.registry import CheckedCorpus, check, examines
from dualstream.pipeline.corpus.checks.spans import Stretch, overlap, stretch, stretch_of_file
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.utterance import SPLITS, Utterance

from dualstream.counting import counted

SPAN_ACROSS_SPLITS = Rule(
    "span-across-splits",
    severity="error",
    noun="utterance",
    topic="repeats",
    what="the same stretch of the same recording appears in another split too",
    means="what is scored was trained on: scores are too high.",
)
OVERLAP_ACROSS_SPLITS = Rule(
    "overlap-across-splits",
    severity="error",
    noun="utterance",
    topic="repeats",
    what="at least half of it overlaps a stretch in another split",
    means="much of what is scored was trained on: scores are too high.",
)
SPAN_REPEATED = Rule(
    "span-repeated",
    severity="warning",
    noun="utterance",
    topic="repeats",
    what="the same stretch of the same recording appears in its split already",
    means="it weighs double, and where the labels differ no model can be right on both.",
)
OVERLAP_WITHIN_SPLIT = Rule(
    "overlap-within-split",
    severity="note",
    noun="utterance",
    topic="repeats",
    what="at least half of it overlaps another utterance of its split",
    means="both show the same picture and sound; where the labels differ, no model can be right on both.",
)


class _Pair(NamedTuple):
    """Two utterances that share a stretch; `scored` is the one in the split that is scored later."""

    scored: Utterance
    other: Utterance
    how: str


@examines(SPAN_ACROSS_SPLITS, OVERLAP_ACROSS_SPLITS, SPAN_REPEATED, OVERLAP_WITHIN_SPLIT)
def shared_stretches(corpus: CheckedCorpus) -> Iterator[Finding]:
    """Find pairs of utterances from one stretch, or from two that overlap."""
    manifest, limits = corpus.manifest, corpus.limits
    recordings: dict[str, list[tuple[Stretch, Utterance]]] = defaultdict(list)
    shared = _repeated(hash(place.recording) for place, _ in _places(manifest))
    for place, utterance in _places(manifest):
        if hash(place.recording) in shared:
            recordings[place.recording].append((place, utterance))
    seen: set[frozenset[str]] = set()  # two rows may share a video and its sound
    pairs: dict[Rule, list[_Pair]] = defaultdict(list)
    for rows in recordings.values():
        rows.sort(key=lambda row: row[0][1:])
        for i, (place, utterance) in enumerate(rows):
            for other_place, other in rows[i + 1 :]:
                if other_place.start_s >= place.end_s and other_place != place:
                    break  # those that follow start later still
                share = overlap(place, other_place)
                if share < limits.overlap or {utterance.id, other.id} in seen:
                    continue
                seen.add(frozenset((utterance.id, other.id)))
                across = utterance.split != other.split
                scored, kept = sorted((other, utterance), key=lambda u: SPLITS.index(u.split), reverse=True)
                if place == other_place:
                    rule = SPAN_ACROSS_SPLITS if across else SPAN_REPEATED
                    pairs[rule].append(_Pair(scored, kept, f"the same as {kept.id}"))
                else:
                    rule = OVERLAP_ACROSS_SPLITS if across else OVERLAP_WITHIN_SPLIT
                    pairs[rule].append(_Pair(scored, kept, f"{share:.0%} with {kept.id}"))
    for rule, some in pairs.items():
        yield from rule.found(_by_scored(manifest, some), _pair_counts(some))


def _places(manifest: Manifest) -> Iterator[tuple[Stretch, Utterance]]:
    for utterance in manifest:
        yield stretch(utterance), utterance
        for path in utterance.files[1:]:
            yield stretch_of_file(path, utterance), utterance


def _repeated(codes: Iterable[int]) -> set[int]:
    """Return the numbers that stand twice: of most corpora, whose clips are files, that is none of many."""
    found, counts = np.unique(np.fromiter(codes, np.int64), return_counts=True)
    return set(found[counts > 1].tolist())


def _by_scored(manifest: Manifest, pairs: Iterable[_Pair]) -> Iterator[Case]:
    """Yield one case an utterance, in the manifest's order."""
    details: dict[str, list[str]] = defaultdict(list)
    for pair in pairs:
        details[pair.scored.id].append(pair.how)
    for utterance in manifest:
        if utterance.id in details:
            yield Case(utterance.id, "; ".join(details[utterance.id]))


def _pair_counts(pairs: Iterable[_Pair]) -> str:
    """Count utterances by pair of splits: ``3 of test with train, 2 of dev with train``."""
    seen = {(pair.scored.id, pair.scored.split, pair.other.split) for pair in pairs}
    counts = Counter((split, other) for _, split, other in seen)
    order = sorted(counts, key=lambda key: (-SPLITS.index(key[0]), SPLITS.index(key[1])))
    return ", ".join(f"{counts[key]} of {key[0]} with {key[1]}" for key in order)


@check(
    "shared-dialogue",
    severity="error",
    noun="dialogue",
    topic="repeats",
    what="the dialogue appears in several splits",
    means="utterances of one conversation are alike: scores are too high.",
)
def shared_dialogue(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find dialogues that appear in several splits."""
    splits: dict[str, set[str]] = defaultdict(set)
    for utterance in corpus.manifest:
        splits[utterance.dialogue].add(utterance.split)
    for name, held in splits.items():
        if name and len(held) > 1:
            yield Case(name, "in " + ", ".join(sorted(held, key=SPLITS.index)))


SHARED_EPISODE = Rule(
    "shared-episode",
    severity="warning",
    noun="episode",
    topic="repeats",
    what="an episode of test or dev that train has too",
    means="rooms, clothes and sound mix are known from training: expect less on new episodes.",
)
SHARED_SPEAKER = Rule(
    "shared-speaker",
    severity="warning",
    noun="speaker",
    topic="repeats",
    what="a speaker of test or dev whom train has too",
    means="scores tell how well known speakers are recognised, not new ones.",
)
SAME_LINE = Rule(
    "same-line",
    severity="warning",
    noun="utterance",
    topic="repeats",
    what="the same speaker says the same words in train",
    means="short stock phrases mostly; a model that memorises them gains on these.",
)


@examines(SAME_LINE)
def same_line(corpus: CheckedCorpus) -> list[Finding]:
    """Find utterances of dev and test whose (speaker, words) pair occurs in train."""
    said: dict[str, str] = {}
    for utterance in corpus.manifest:
        line = utterance.extra.get("line")
        if line and utterance.split == "train":
            said.setdefault(line, utterance.id)
    again = [u for u in corpus.manifest if u.split != "train" and u.extra.get("line", "") in said]
    counts = Counter(u.split for u in again)
    note = ", ".join(f"{counts[split]} of {split}" for split in ("test", "dev") if counts[split])
    return SAME_LINE.found((Case(u.id, f"as {said[u.extra['line']]}") for u in again), note)


@examines(SHARED_EPISODE)
def shared_episode(corpus: CheckedCorpus) -> list[Finding]:
    """Find the episodes of dev and test that occur in train too."""
    return _known_from_train(corpus.manifest, SHARED_EPISODE, lambda u: u.extra.get("episode", ""))


@examines(SHARED_SPEAKER)
def shared_speaker(corpus: CheckedCorpus) -> list[Finding]:
    """Find the speakers of dev and test that occur in train too."""
    return _known_from_train(corpus.manifest, SHARED_SPEAKER, lambda u: u.speaker)


def _known_from_train(manifest: Manifest, rule: Rule, name_of: Callable[[Utterance], str]) -> list[Finding]:
    """Find the names of dev and test that occur in train too."""
    counts: dict[str, Counter[str]] = {split: Counter() for split in SPLITS}
    for utterance in manifest:
        if name := name_of(utterance):
            counts[utterance.split][name] += 1
    cases: dict[str, list[str]] = defaultdict(list)
    notes = []
    for split in ("test", "dev"):
        known = [name for name in counts[split] if name in counts["train"]]
        for name in known:
            cases[name].append(f"{counted(counts[split][name], 'row')} of {split}")
        if known:
            rows = sum(counts[split][name] for name in known)
            notes.append(
                f"{len(known)} of the {len(counts[split])} {split} {rule.noun}s, with {counted(rows, 'row')}"
            )
    return rule.found((Case(name, ", ".join(parts)) for name, parts in cases.items()), "; ".join(notes))
