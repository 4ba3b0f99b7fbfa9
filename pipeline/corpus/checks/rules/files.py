"""Files: paths that lead to no clip, and clips that no row names."""

from __future__ import annotations

from collections.abc import Iterator

from dualstream.pipeline.corpus.checks.findings import ANSWERED, Case
from dualstream.pipeline.corpus.checks.registry import CheckedCorpus, check
from dualstream.pipeline.corpus.checks.rules.meld import surplus
from dualstream.pipeline.storage.tree import is_hidden

SPAN_TOLERANCE_S = 0.05  # a span may end a frame after the last packet


@check(
    "missing",
    severity="error",
    noun="utterance",
    topic="files",
    what="no file at the path",
    means=f"extract records it as failed; {ANSWERED}",
)
def missing(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find rows whose path leads to no file."""
    return _faulty(corpus, "missing")


@check(
    "escapes-root",
    severity="error",
    noun="utterance",
    topic="files",
    what="the path leads out of the data root through a link",
    means="extract refuses it: put the file itself below the root, or name the real folder as the root.",
)
def escapes_root(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find rows whose path leaves the data root."""
    return _faulty(corpus, "escapes-root")


@check(
    "unreadable",
    severity="error",
    noun="utterance",
    topic="files",
    what="the file can't be read as a clip",
    means=f"extract records it as failed, with this reason; {ANSWERED}",
)
def unreadable(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find rows whose file is no clip."""
    return _faulty(corpus, "unreadable")


@check(
    "span-beyond-end",
    severity="error",
    noun="utterance",
    topic="files",
    what="the span ends after its file does",
    means="less is decoded than the table says, or nothing.",
)
def span_beyond_end(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find rows whose span is longer than their file."""
    for fact in corpus.readable:
        assert fact.probe is not None
        end_s, duration_s = fact.utterance.end_s, fact.probe.duration_s
        if end_s is not None and end_s > duration_s + SPAN_TOLERANCE_S:
            yield Case(fact.utterance.id, f"to {end_s:.3f} s of {duration_s:.3f} s")


@check(
    "extra-file",
    severity="note",
    noun="file",
    topic="files",
    what="a clip that no row names",
    means="nothing reads it; its row may be missing.",
)
def extra_file(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find clips that the manifest leaves out and that are no known ones of MELD."""
    return (Case(path) for path in surplus(corpus).rest)


@check(
    "hidden-file",
    severity="note",
    noun="file",
    topic="files",
    what="a hidden twin such as ._name.mp4",
    means="nothing reads it: archives from a Mac hold them.",
)
def hidden_file(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find hidden files that are called as clips are."""
    return (Case(path) for path in corpus.extra_files if is_hidden(path))


def _faulty(corpus: CheckedCorpus, fault: str) -> Iterator[Case]:
    return (Case(fact.utterance.id, fact.reason) for fact in corpus.clips if fact.fault == fault)
