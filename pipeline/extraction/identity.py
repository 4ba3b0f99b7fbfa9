"""``--identity`` over a folder of shards: fitted on train rows, then each undecided window chosen again.

As a projection is: every shard holds what any answer needs, so clips are read once, a killed run goes on, and the
choice is made while shards become a cache.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
from dualstream.features.encode import place_rows
from dualstream.features.encoder import SpecDocument, StreamFeatures
from dualstream.features.faces.identity import Identity, IdentityEvidence, fit_identity
from dualstream.pipeline.extraction.shards import ClipRows
from dualstream.pipeline.provenance import IdentityDocument, digest_of

FITTED_SPLIT = "train"


def identity_of(spec: SpecDocument) -> Mapping[str, Any] | None:
    """Return what a stream's spec states of identity; None where it uses no speaker names."""
    region = spec["parameters"].get("region")
    return region.get("identity") if isinstance(region, dict) else None


@dataclass(repr=False)
class CorpusIdentity:
    """Whose faces are whose in one corpus, and the choice by it."""

    names: tuple[str, ...]
    """Streams that are chosen by it."""
    identity: Identity
    fitted: list[list[str]]
    """Id and digest of the utterances of train that it was fitted on."""
    decided: dict[str, int] = field(default_factory=dict)
    """Windows that were chosen by it, by stream."""

    def choose(self, clip: ClipRows, speaker: str) -> ClipRows:
        """Return a clip whose undecided windows show its speaker's face where that is known."""
        streams = {
            name: self._chosen(name, rows, speaker) if name in self.names else rows
            for name, rows in clip.streams.items()
        }
        return replace(clip, streams=streams)

    def _chosen(self, name: str, rows: StreamFeatures, speaker: str) -> StreamFeatures:
        if rows.people is None or rows.faces is None:
            return rows
        faces, shown = self.identity.choose(rows.people, rows.faces, speaker)
        self.decided[name] = self.decided.get(name, 0) + len(shown)
        if not len(shown):
            return replace(rows, people=None)
        rivals, mask = rows.people.rivals, rows.window_present
        windows = np.concatenate([np.flatnonzero(mask), rivals.window[shown]])
        values = np.concatenate([rows.windows[mask], rivals.rows[shown]])
        times_s = np.concatenate([rows.time_s[mask], rivals.time_s[shown]])
        placed = place_rows(values, windows, times_s, len(mask), rows.windows.shape[1])
        return replace(placed, faces=faces)

    def to_json(self) -> IdentityDocument:
        """Return what the cache says of it; speaker names themselves stand in the cache's own column."""
        return {
            "uses_speaker_names": True,
            "split": FITTED_SPLIT,
            "utterances": len(self.fitted),
            "groups": len(self.identity.owners),
            "tied": self.identity.tied,
            "sha256": digest_of(self.fitted),
            "windows": dict(sorted(self.decided.items())),
        }

    def told(self) -> str:
        """Return what a person should know."""
        groups, tied = len(self.identity.owners), self.identity.tied
        counts = ", ".join(f"{count} of {name}" for name, count in sorted(self.decided.items())) or "0"
        nobody = "" if tied else " (a speaker takes several utterances of train, beside faces of others elsewhere)"
        return (
            f"--identity uses the manifest's speaker names: of {groups} groups of faces in {len(self.fitted)} "
            f"utterances of {FITTED_SPLIT}, {sum(tied.values())} go with {len(tied)} speakers{nobody}; undecided "
            f"windows that show a speaker's face by it: {counts}"
        )


def fit_corpus_identity(
    shards: Iterable[tuple[Sequence[ClipRows], Sequence[str], Sequence[str]]], specs: Mapping[str, SpecDocument]
) -> CorpusIdentity | None:
    """Fit on the train rows of shards, given with splits and speakers; None where no stream asks for it."""
    names = tuple(name for name, spec in sorted(specs.items()) if identity_of(spec) is not None)
    if not names:
        return None
    stated = identity_of(specs[names[0]])
    assert stated is not None
    evidence: list[IdentityEvidence] = []
    fitted: list[list[str]] = []
    for clips, splits, speakers in shards:
        for clip, split, speaker in zip(clips, splits, speakers, strict=True):
            rows = clip.streams[names[0]]  # of every encoder the same faces
            if (
                split == FITTED_SPLIT
                and rows.people is not None
                and rows.faces is not None
                and len(rows.people.track)
            ):
                evidence.append(IdentityEvidence.of(speaker, rows.people, rows.faces))
                fitted.append([clip.id, speaker, clip.digest()])
    return CorpusIdentity(names, fit_identity(evidence, float(stated["embedder"]["same_person"])), fitted)
