"""Times: the order of turns, and lengths by the corpus's table or by the span that a row names."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise

from dualstream.pipeline.corpus.checks.findings import Case, Finding, Rule
from dualstream.pipeline.corpus.checks.registry import CheckedCorpus, examines
from dualstream.pipeline.corpus.checks.spans import table_span
from dualstream.pipeline.corpus.utterance import Utterance

TURN_REPEATED = Rule(
    "turn-repeated",
    severity="warning",
    noun="dialogue",
    topic="times",
    what="a turn appears twice",
    means="its order is not known: context may be wrong.",
)
TURN_GAP = Rule(
    "turn-gap",
    severity="note",
    noun="dialogue",
    topic="times",
    what="turns are left out",
    means="the utterance before is not always the one that was answered: context variants see a gap.",
)
TIME_BACKWARDS = Rule(
    "time-backwards",
    severity="note",
    noun="dialogue",
    topic="times",
    what="a later turn begins earlier in the recording",
    means="turns are out of order or times are wrong: the clip may not hold the words that were labelled.",
)
TABLE_TIME_INVALID = Rule(
    "table-time-invalid",
    severity="warning",
    noun="utterance",
    topic="times",
    what="times that can't be read, or an end before its start",
    means="its length and what it overlaps could not be judged.",
)
TABLE_TOO_SHORT = Rule(
    "table-too-short",
    severity="warning",
    noun="utterance",
    topic="times",
    what="hardly any length by its table",
    means="too little to see or hear an emotion in: it is noise in every score.",
)
TABLE_TOO_LONG = Rule(
    "table-too-long",
    severity="warning",
    noun="utterance",
    topic="times",
    what="very long by its table",
    means="the end is probably wrong: the clip then holds far more than what was labelled.",
)


@examines(TURN_REPEATED, TURN_GAP, TIME_BACKWARDS)
def turns(corpus: CheckedCorpus) -> Iterator[Finding]:
    """Find dialogues whose turns repeat, leave numbers out, or run backwards in time."""
    dialogues: dict[str, list[Utterance]] = defaultdict(list)
    for utterance in corpus.manifest:
        if utterance.dialogue and utterance.turn is not None:
            dialogues[utterance.dialogue].append(utterance)
    repeated: list[Case] = []
    gaps: list[Case] = []
    backwards: list[Case] = []
    for name, rows in dialogues.items():
        numbers = sorted(u.turn for u in rows if u.turn is not None)
        twice = sorted({a for a, b in pairwise(numbers) if a == b})
        if twice:
            repeated.append(Case(name, f"turn {', '.join(map(str, twice))}"))
        left_out = sorted(set(range(numbers[-1])) - set(numbers))
        if left_out:
            gaps.append(Case(name, f"{len(left_out)} left out, the first is turn {left_out[0]}"))
        starts = [(u, span[0]) for u in sorted(rows, key=lambda u: u.turn or 0) if (span := table_span(u))]
        early = [b.id for (a, start), (b, next_start) in pairwise(starts) if next_start < start]
        if early:
            backwards.append(Case(name, f"at {', '.join(early)}"))
    yield from TURN_REPEATED.found(repeated)
    yield from TURN_GAP.found(gaps)
    yield from TIME_BACKWARDS.found(backwards)


@examines(TABLE_TIME_INVALID, TABLE_TOO_SHORT, TABLE_TOO_LONG)
def lengths(corpus: CheckedCorpus) -> Iterator[Finding]:
    """Judge lengths by the corpus's table, or by the span that a row names."""
    invalid: list[Case] = []
    short: list[tuple[float, str]] = []
    long: list[tuple[float, str]] = []
    for utterance in corpus.manifest:
        span = table_span(utterance)
        stated = [utterance.extra.get(name, "") for name in ("table_start_s", "table_end_s")]
        if span is None and any(stated):
            invalid.append(Case(utterance.id, f"from {stated[0]!r} to {stated[1]!r}"))
        if span is None and utterance.start_s is not None and utterance.end_s is not None:
            span = utterance.start_s, utterance.end_s
        if span is None:
            continue
        length_s = round(span[1] - span[0], 6)
        if length_s < corpus.limits.short_s:
            short.append((length_s, utterance.id))
        elif length_s > corpus.limits.long_s:
            long.append((length_s, utterance.id))
    yield from TABLE_TIME_INVALID.found(invalid)
    yield from TABLE_TOO_SHORT.found((Case(name, f"{s:.3f} s") for s, name in sorted(short)))
    yield from TABLE_TOO_LONG.found((Case(name, f"{s:.1f} s") for s, name in sorted(long, reverse=True)))
