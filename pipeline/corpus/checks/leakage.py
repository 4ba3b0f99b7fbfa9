"""What splits share: stretches of a recording, dialogues, episodes, speakers, lines. From the manifest alone."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Callable, Iterable, Iterator
from typing import NamedTuple

from dualstream.pipeline.corpus.checks.findings import Case, Finding, found
from dualstream.pipeline.corpus.checks.limits import Limits
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.utterance import SPLITS, Utterance


class Stretch(NamedTuple):
    """Where an utterance was taken from: a span of an episode by the corpus's table, or of a file."""

    recording: str
    start_s: float
    end_s: float


class _Pair(NamedTuple):
    """Two utterances that share a stretch; `scored` is the one in the split that is scored later."""

    scored: Utterance
    other: Utterance
    how: str


def examine_leakage(manifest: Manifest, limits: Limits) -> list[Finding]:
    """Return what the splits share."""
    return [
        *_stretches(manifest, limits),
        *_shared_dialogues(manifest),
        *_known_from_train(manifest, "shared-episode", "episode", lambda u: u.extra.get("episode", "")),
        *_known_from_train(manifest, "shared-speaker", "speaker", lambda u: u.speaker),
        *_same_lines(manifest),
    ]


def table_span(utterance: Utterance) -> tuple[float, float] | None:
    """Return start and end by the corpus's own table, seconds, or None where it has none that can be used."""
    try:
        start_s, end_s = float(utterance.extra["table_start_s"]), float(utterance.extra["table_end_s"])
    except (KeyError, ValueError):
        return None
    return (start_s, end_s) if 0 <= start_s <= end_s < float("inf") else None


def stretch(utterance: Utterance) -> Stretch:
    """Return where an utterance was taken from; a ready-cut clip without a table is a whole recording."""
    span = table_span(utterance)
    if span is not None and utterance.extra.get("episode"):
        return Stretch(utterance.extra["episode"], *span)
    return _of_file(utterance.path, utterance)


def _of_file(path: str, utterance: Utterance) -> Stretch:
    """Return the stretch of a file that an utterance is of."""
    if utterance.start_s is not None and utterance.end_s is not None:
        return Stretch(path, utterance.start_s, utterance.end_s)
    return Stretch(path, 0.0, float("inf"))


def _stretches(manifest: Manifest, limits: Limits) -> Iterator[Finding]:
    """Find pairs of utterances from one stretch, or from two that overlap."""
    recordings: dict[str, list[tuple[Stretch, Utterance]]] = defaultdict(list)
    for utterance in manifest:
        for place in (stretch(utterance), *(_of_file(path, utterance) for path in utterance.files[1:])):
            recordings[place.recording].append((place, utterance))
    seen: set[frozenset[str]] = set()  # two rows may share a video and its sound
    pairs: dict[str, list[_Pair]] = defaultdict(list)
    for rows in recordings.values():
        rows.sort(key=lambda row: row[0][1:])
        for i, (place, utterance) in enumerate(rows):
            for other_place, other in rows[i + 1 :]:
                if other_place.start_s >= place.end_s and other_place != place:
                    break  # those that follow start later still
                share = _overlap(place, other_place)
                if share < limits.overlap or {utterance.id, other.id} in seen:
                    continue
                seen.add(frozenset((utterance.id, other.id)))
                across = utterance.split != other.split
                scored, kept = sorted((other, utterance), key=lambda u: SPLITS.index(u.split), reverse=True)
                if place == other_place:
                    code = "span-across-splits" if across else "span-repeated"
                    pairs[code].append(_Pair(scored, kept, f"the same as {kept.id}"))
                else:
                    code = "overlap-across-splits" if across else "overlap-within-split"
                    pairs[code].append(_Pair(scored, kept, f"{share:.0%} with {kept.id}"))
    for code, some in pairs.items():
        yield from found(code, _by_scored(manifest, some), _pair_counts(some))


def _overlap(a: Stretch, b: Stretch) -> float:
    """Return which share of the shorter stretch both hold, 0 to 1; `a` does not start after `b`."""
    if a == b:
        return 1.0
    shorter_s = min(a.end_s - a.start_s, b.end_s - b.start_s)
    return max(0.0, min(a.end_s, b.end_s) - b.start_s) / shorter_s if shorter_s > 0 else 0.0


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


def _shared_dialogues(manifest: Manifest) -> list[Finding]:
    splits: dict[str, set[str]] = defaultdict(set)
    for utterance in manifest:
        splits[utterance.dialogue].add(utterance.split)
    shared = {name: held for name, held in splits.items() if name and len(held) > 1}
    return found(
        "shared-dialogue", (Case(name, "in " + ", ".join(_ordered(held))) for name, held in shared.items())
    )


def _known_from_train(
    manifest: Manifest, code: str, noun: str, name_of: Callable[[Utterance], str]
) -> list[Finding]:
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
            cases[name].append(f"{counts[split][name]} rows of {split}")
        if known:
            rows = sum(counts[split][name] for name in known)
            notes.append(f"{len(known)} of the {len(counts[split])} {split} {noun}s, with {rows} rows")
    return found(code, (Case(name, ", ".join(parts)) for name, parts in cases.items()), "; ".join(notes))


def _same_lines(manifest: Manifest) -> list[Finding]:
    """Find utterances of dev and test whose (speaker, words) pair occurs in train."""
    said: dict[str, str] = {}
    for utterance in manifest:
        line = utterance.extra.get("line")
        if line and utterance.split == "train":
            said.setdefault(line, utterance.id)
    again = [u for u in manifest if u.split != "train" and u.extra.get("line", "") in said]
    counts = Counter(u.split for u in again)
    note = ", ".join(f"{counts[split]} of {split}" for split in ("test", "dev") if counts[split])
    return found("same-line", (Case(u.id, f"as {said[u.extra['line']]}") for u in again), note)


def _ordered(splits: Iterable[str]) -> list[str]:
    return sorted(splits, key=SPLITS.index)
