"""Faces: utterances that show none, several, or nobody that can be told to talk; found where --faces looked."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

import numpy as np
from dualstream.features.faces.rows import CHOSEN, OUT_OF_VIEW, UNDECIDED, FaceRows
from dualstream.pipeline.corpus.checks.findings import Case
from dualstream.pipeline.corpus.checks.registry import CheckedCorpus, check

if TYPE_CHECKING:
    from dualstream.pipeline.corpus.checks.clips import Facts

MOSTLY = 0.5  # share of an utterance's windows from which on it counts


@check(
    "no-face",
    severity="warning",
    noun="utterance",
    topic="clips",
    what="no face in view",
    means="with --region face or speaker its video stream is masked, and variants that need it see none.",
)
def no_face(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find utterances no window of which shows a face."""
    for fact, faces in _looked_at(corpus):
        if not faces.in_view.any():
            yield Case(fact.utterance.id)


@check(
    "several-faces",
    severity="note",
    noun="utterance",
    topic="clips",
    what="several faces in view",
    means="--region frame and face mix the one who talks with the others; --region speaker tells them apart.",
)
def several_faces(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find utterances that show several faces most of the time."""
    for fact, faces in _looked_at(corpus):
        share = float((faces.in_view > 1).mean())
        if share >= MOSTLY:
            yield Case(fact.utterance.id, f"{share:.0%} of its windows, up to {int(faces.in_view.max())} faces")


@check(
    "undecided-speaker",
    severity="warning",
    noun="utterance",
    topic="clips",
    what="nobody leads the other faces by the margin, or the sound fits none of them",
    means="with --region speaker most of its windows are masked; --speaker-margin 0 would decide, and err more.",
)
def undecided_speaker(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find utterances most of whose windows show faces, none of which was chosen."""
    for fact, faces in _looked_at(corpus):
        lost = float((faces.state == UNDECIDED).mean())
        if lost >= MOSTLY:
            kept = float(np.isin(faces.state, CHOSEN).mean())
            yield Case(fact.utterance.id, f"{lost:.0%} of its windows undecided, {kept:.0%} decided")


@check(
    "speaker-out-of-view",
    severity="note",
    noun="utterance",
    topic="clips",
    what="the face that talks is out of view in most windows",
    means="with --region speaker these windows are masked; no margin would show it, the picture does not.",
)
def speaker_out_of_view(corpus: CheckedCorpus) -> Iterator[Case]:
    """Find utterances most of whose windows have a speaker's face that their own picture does not show."""
    for fact, faces in _looked_at(corpus):
        lost = float((faces.state == OUT_OF_VIEW).mean())
        if lost >= MOSTLY:
            yield Case(fact.utterance.id, f"{lost:.0%} of its windows")


def _looked_at(corpus: CheckedCorpus) -> Iterator[tuple[Facts, FaceRows]]:
    """Yield the clips whose faces were looked for."""
    return ((fact, fact.faces) for fact in corpus.readable if fact.faces is not None)
