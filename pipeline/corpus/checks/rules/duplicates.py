"""Duplicates: files of the same bytes under different paths; the first, or train's, is the original."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterator
from typing import TYPE_CHECKING

from dualstream.pipeline.corpus.checks.findings import Case
from dualstream.pipeline.corpus.checks.registry import CheckedCorpus, check
from dualstream.pipeline.corpus.utterance import SPLITS

if TYPE_CHECKING:
    from dualstream.pipeline.corpus.checks.clips import Facts


@check(
    "duplicate-across-splits",
    severity="error",
    noun="utterance",
    topic="repeats",
    what="its file's very bytes appear in another split too",
    means="what is scored was trained on: scores are too high.",
)
def duplicate_across_splits(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find copies of a clip of another split."""
    return _copies(corpus, across=True)


@check(
    "duplicate",
    severity="warning",
    noun="utterance",
    topic="repeats",
    what="its file's very bytes appear in its split already",
    means="it weighs double, and where the labels differ one is wrong.",
)
def duplicate(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find copies of a clip of the same split."""
    return _copies(corpus, across=False)


def _copies(corpus: CheckedCorpus, *, across: bool) -> Iterator[Case]:
    """Yield the copies of whole files whose original is of another split, or of the same."""
    same: dict[str, list[Facts]] = defaultdict(list)
    for fact in corpus.clips:
        if fact.sha256 and fact.utterance.start_s is None:
            same[fact.sha256].append(fact)
    for some in same.values():
        original, *others = sorted(some, key=lambda fact: SPLITS.index(fact.utterance.split))
        for other in others:
            if other.utterance.files != original.utterance.files and across == (
                other.utterance.split != original.utterance.split
            ):
                yield _case(other, original)


def _case(copy: Facts, original: Facts) -> Case:
    labels = "" if _labels(copy) == _labels(original) else ", with other labels"
    return Case(copy.utterance.id, f"as {original.utterance.id}{labels}")


def _labels(fact: Facts) -> tuple[str, str]:
    return fact.utterance.emotion, fact.utterance.sentiment
