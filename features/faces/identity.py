"""``--identity``: which of two faces is the speaker's, by who is in view when that speaker's utterances are.

The manifest's speaker names are used: those of train rows to fit, and that of each row to choose. Faces of train
are grouped by what an embedder says of them; a group is tied to the speaker in whose utterances it is seen more
often than chance would have it. In windows that nobody was chosen for, since no face leads by the margin, the face
of the speaker's groups is taken. Windows that the sound decided stay as they are.

    train    faces ──► groups ──► seen in utterances of speaker A: 9 of 10, of others: 1 of 40 ──► tied to A
    any row  an undecided window of A's utterance, one rival of which is in A's groups ──► that one
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from dualstream.features.faces.embedding import FaceEmbedder, build_embedder, unit_rows
from dualstream.features.faces.people import People, stacked
from dualstream.features.faces.rows import BY_IDENTITY, CHOSEN, UNDECIDED, FaceRows
from dualstream.features.options import IdentityOptions
from numpy.typing import NDArray

VERSION = 1
USES = "speaker names of the manifest: of train rows to tie faces to them, of each row to choose"
LEAST_UTTERANCES = 2  # of a speaker that show a group
CHANCE = 0.01  # over all speakers: how likely a group that has nothing to do with any is tied all the same
MOST_GROUPED = 4_000  # faces that groups are found from; the others join the nearest


@dataclass(frozen=True)
class IdentityMethod:
    """How faces are told apart, and that speaker names are used."""

    embedder: FaceEmbedder | None
    """None where there are no speaker names to choose by: the sound decides alone there (``predict``)."""
    stated: Mapping[str, Any]
    """JSON values for the fingerprint."""

    @classmethod
    def of(cls, embedder: FaceEmbedder) -> IdentityMethod:
        """Return the method that this embedder serves."""
        rules = {"least_utterances": LEAST_UTTERANCES, "chance": CHANCE, "most_grouped": MOST_GROUPED}
        return cls(embedder, {"version": VERSION, "uses": USES, "embedder": embedder.to_json(), **rules})


def make_identity(options: IdentityOptions) -> IdentityMethod | None:
    """Build what ``--identity`` needs; None where it is not asked for.

    Raises
    ------
    ValueError, FileNotFoundError
        Where the embedder is unknown or lacks its package or weights.
    """
    if not options.identity:
        return None
    return IdentityMethod.of(build_embedder(options.embedder, options.identity_weights))


@dataclass(frozen=True, repr=False)
class IdentityEvidence:
    """What one utterance of train says of who looks like whom."""

    speaker: str
    looks: NDArray[np.float32]
    """Of all of its faces, shape (T, E)."""
    seen: NDArray[np.bool_]
    """Which of them may be the speaker: those that were chosen; all of them where none was. Shape (T,)."""

    @classmethod
    def of(cls, speaker: str, people: People, faces: FaceRows) -> IdentityEvidence:
        """Return the evidence of one utterance."""
        chosen = np.isin(people.track, faces.track[np.isin(faces.state, CHOSEN)])
        return cls(speaker, people.looks, chosen if chosen.any() else np.ones(len(people.track), np.bool_))


@dataclass(frozen=True, repr=False)
class Identity:
    """Groups of faces, and whose they are."""

    centres: NDArray[np.float32]
    """Of the groups, of length 1, shape (G, E)."""
    owners: tuple[str, ...]
    """The speaker of each group; empty where it is tied to none."""
    same_person: float

    @property
    def tied(self) -> dict[str, int]:
        """Number of groups by speaker, of those that have any."""
        return {name: self.owners.count(name) for name in sorted(set(self.owners) - {""})}

    def is_of(self, looks: NDArray[np.float32], speaker: str) -> NDArray[np.bool_]:
        """Tell which faces are in a group of `speaker`, shape (T,)."""
        own = np.array([bool(speaker) and one == speaker for one in self.owners] + [False])
        return own[nearest(looks, self.centres, self.same_person)]

    def choose(self, people: People, faces: FaceRows, speaker: str) -> tuple[FaceRows, NDArray[np.int64]]:
        """Return whose face each window shows, and the rivals, by number, that are shown now."""
        rivals = people.rivals
        own = np.isin(rivals.track, people.track[self.is_of(people.looks, speaker)])
        counts = np.bincount(rivals.window[own], minlength=len(faces))
        shown = np.flatnonzero(own & (counts[rivals.window] == 1) & (faces.state[rivals.window] == UNDECIDED))
        state, track, box = faces.state.copy(), faces.track.copy(), faces.box.copy()
        at = rivals.window[shown]
        state[at], track[at], box[at] = BY_IDENTITY, rivals.track[shown], rivals.box[shown]
        return FaceRows(box, track, faces.score, faces.margin, faces.in_view, state), shown


def nearest(looks: NDArray[np.float32], centres: NDArray[np.float32], least: float) -> NDArray[np.int64]:
    """Return the number of each face's group, shape (T,); -1 where none is as near as `least`."""
    if not len(looks) or not len(centres):
        return np.full(len(looks), -1)
    cosines = looks @ centres.T  # (T, G)
    best = cosines.argmax(axis=1)
    return np.where(cosines[np.arange(len(looks)), best] >= least, best, -1)


def fit_identity(evidence: Sequence[IdentityEvidence], same_person: float) -> Identity:
    """Group the faces of train, and tie groups to speakers by who is seen with whom."""
    looks = stacked([one.looks for one in evidence])
    looks = looks[np.any(looks != 0, axis=1)]
    centres = _centres(looks, same_person)
    named = [one for one in evidence if one.speaker and len(one.looks)]
    seen = np.zeros((len(named), len(centres)), np.bool_)
    for row, one in zip(seen, named, strict=True):
        groups = nearest(one.looks, centres, same_person)
        row[groups[one.seen & (groups >= 0)]] = True
    return Identity(centres, _owners(seen, [one.speaker for one in named]), same_person)


def _centres(looks: NDArray[np.float32], same_person: float) -> NDArray[np.float32]:
    """Group faces by average linkage, up to the distance at which two are of one person."""
    from scipy.cluster.hierarchy import fcluster, linkage

    if len(looks) > MOST_GROUPED:
        looks = looks[np.linspace(0, len(looks) - 1, MOST_GROUPED).round().astype(int)]
    if len(looks) < 2:
        return looks
    # Of rows of length 1 the squared distance is 2 - 2 cosines; its mean over pairs is what is compared.
    distances = 1.0 - (looks @ looks.T)[np.triu_indices(len(looks), 1)].astype(np.float64)
    of = fcluster(linkage(np.maximum(distances, 0.0), "average"), 1.0 - same_person, "distance")
    return unit_rows(np.stack([looks[of == group].mean(axis=0) for group in np.unique(of)]))


def _owners(seen: NDArray[np.bool_], speakers: Sequence[str]) -> tuple[str, ...]:
    """Return the speaker of each group, by Fisher's exact test, one-sided; empty where chance would do as well.

    Parameters
    ----------
    seen
        Whether an utterance shows a group, shape (U, G).
    """
    from scipy.stats import hypergeom

    names = sorted(set(speakers))
    if not names or not seen.shape[1]:
        return ("",) * seen.shape[1]
    by = np.array([[one == name for one in speakers] for name in names])  # (S, U)
    together = by.astype(np.int64) @ seen  # (S, G): utterances of the speaker that show the group
    chance = hypergeom.sf(together - 1, len(speakers), seen.sum(axis=0)[None], by.sum(axis=1)[:, None])
    chance = np.where(together >= LEAST_UTTERANCES, chance, 1.0)
    best = chance.argmin(axis=0)
    return tuple(
        names[one] if chance[one, group] * len(names) < CHANCE else "" for group, one in enumerate(best.tolist())
    )
