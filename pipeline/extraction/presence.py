"""Clips that were there when a run began and are gone when they are read: a mount that went away, not a corpus.

What a network folder takes with it as it goes would be recorded as failed clips, shard after shard, and sealed.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import numpy as np
from dualstream.pipeline.corpus.remote_root import RemoteRoot
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import DualstreamError
from dualstream.pipeline.extraction.staleness import ABSENT, Hasher
from numpy.typing import NDArray

MOST_GONE = 1 / 5  # of a shard's clips: more than that is no accident of single files
REMEDY = (
    "see that the folder, or the network mount that it lies on, is there, and run the same command again; where "
    "these clips are meant to be gone, use --keep-going, and they are recorded as missing"
)


class ClipsGoneError(DualstreamError):
    """More clips than single files explain went away, so nothing of them is sealed."""


@dataclass(frozen=True, repr=False)
class ClipPresence:
    """Which clips were there when the run began."""

    root: Path | RemoteRoot
    hasher: Hasher
    seen: NDArray[np.int64]
    """Hashes of their paths, rising: a path takes ten times that."""

    @classmethod
    def of(cls, root: Path | RemoteRoot, hasher: Hasher, utterances: Iterable[Utterance]) -> ClipPresence:
        """Look where the clips lie; none of them is opened."""
        paths = (path for one in utterances for path in one.files)
        found = (hash(path) for path, _ in groupby(paths) if hasher.stat(path) != ABSENT)
        return cls(root, hasher, np.unique(np.fromiter(found, np.int64)))

    def _were_there(self, paths: Iterable[str]) -> bool:
        hashes = np.array([hash(path) for path in paths])
        places = np.searchsorted(self.seen, hashes, side="right") - 1
        return len(self.seen) > 0 and bool((self.seen[places] == hashes).all())

    def require(self, what: str, clips: Sequence[tuple[Utterance, str, str]]) -> None:
        """Stop before a group of clips is sealed of which too many went away since the run began.

        Parameters
        ----------
        what
            The group, such as ``shard 3``.
        clips
            Utterance, digest of its bytes (empty where they could not be read), and why it failed (empty where it
            did not).

        Raises
        ------
        ClipsGoneError
            Where more than a fifth of the clips were there and can't be read any more.
        """
        gone = [
            (one, reason)
            for one, sha256, reason in clips
            if reason and self._were_there(one.files) and self.hasher.is_gone(one.files, sha256)
        ]
        if len(gone) > MOST_GONE * len(clips):
            first, reason = gone[0]
            raise ClipsGoneError(
                f"{len(gone)} of the {len(clips)} clips of {what} were under {self.root} when this run began and "
                f"can't be read now (the first, {first.path}: {reason}). Nothing of {what} is kept, and what was "
                f"committed before stands; {REMEDY}"
            )


def require_known(root: Path | RemoteRoot, gone: int, total: int) -> None:
    """Stop where too many clips are gone that earlier runs have read, before their shards are made without them.

    Raises
    ------
    ClipsGoneError
        Where that is more than a fifth of the manifest's clips.
    """
    if gone > MOST_GONE * total:
        raise ClipsGoneError(
            f"{gone} of the {total} clips were read by an earlier run and are not under {root} now. Their shards "
            f"stand as they are; {REMEDY}"
        )
