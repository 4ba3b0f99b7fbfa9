"""What an embedder of faces is, the registry that names those there are, and how a face is aligned for one.

An embedder tells people apart: it turns a face into a row that is near the rows of the same person. A new one is
one file: a class that keeps `FaceEmbedder`, and a builder under a decorator. The file stands in
features/faces/embedders/, or in any installed package with an entry point in the group
``dualstream.face_embedders``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from dualstream.features.faces.detection import Point
from dualstream.features.faces.parts import Entry, PartRegistry
from dualstream.features.media.pictures import Picture
from numpy.typing import NDArray

GROUP = "dualstream.face_embedders"
LEAST_UPRIGHT = 0.15  # sides of the face between eyes and mouth: nearer ones say nothing of how a face is turned
COVER = 1.5  # sides of an aligned square that a square upright in the picture has, so that any turn lies inside


@dataclass(frozen=True)
class AlignSpec:
    """Where eyes and mouth come to lie in the square that an embedder takes."""

    size_px: int
    """Side of the square."""
    eyes: Point
    """Midpoint of the eyes, as shares of the side."""
    mouth: Point
    """Midpoint of the mouth, as shares of the side."""


class FaceEmbedder(Protocol):
    """Aligned faces to rows. `embed` may be called from several threads at once."""

    name: str
    align: AlignSpec
    same_person: float
    """Two rows are of one person where the cosine between them is at least this."""

    def to_json(self) -> dict[str, Any]:
        """Return all that shapes its answers, for the fingerprint: name, version, settings, digest of weights."""
        ...

    def embed(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn aligned RGB faces, shape (B, size_px, size_px, 3), into rows, shape (B, E)."""
        ...


EmbedderEntry = Entry[FaceEmbedder]
REGISTRY: PartRegistry[FaceEmbedder] = PartRegistry(
    "face embedder",
    package="dualstream.features.faces.embedders",
    group=GROUP,
    option="--identity-weights",
    without="has no weights to choose",
)
register, build_embedder = REGISTRY.register, REGISTRY.build


def aligned(picture: Picture, eyes: Point, mouth: Point, side: float, spec: AlignSpec) -> NDArray[np.uint8]:
    """Return a face turned and scaled so that eyes and mouth lie where `spec` says, RGB, shape (S, S, 3).

    Two points fix a turn, a scale and a shift; where they are too near to one another, the face is taken as
    upright.

    Parameters
    ----------
    side
        Of the face's box, pixels.
    """
    from PIL import Image

    above, below = complex(*eyes), complex(*mouth)
    if abs(below - above) < LEAST_UPRIGHT * side:
        middle, half = (above + below) / 2, 0.2j * side
        above, below = middle - half, middle + half
    wanted = complex(*spec.eyes), complex(*spec.mouth)
    turn = (below - above) / (wanted[1] - wanted[0])  # pixels of the picture for a side of the square
    centre = above + (0.5 + 0.5j - wanted[0]) * turn
    reach = abs(turn) * COVER / 2
    box = centre.real - reach, centre.imag - reach, centre.real + reach, centre.imag + reach
    cover_px = round(spec.size_px * COVER)
    upright = Image.fromarray(picture.rgb(box, (cover_px, cover_px)))
    unit = turn / abs(turn) * (cover_px / COVER) / spec.size_px
    shift = cover_px / 2 * (1 + 1j) - unit * spec.size_px / 2 * (1 + 1j)
    matrix = unit.real, -unit.imag, shift.real, unit.imag, unit.real, shift.imag
    size = spec.size_px, spec.size_px
    return np.asarray(upright.transform(size, Image.Transform.AFFINE, matrix, Image.Resampling.BILINEAR))


def unit_rows(rows: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return rows of length 1; rows of zeros, or that are not finite, become zeros."""
    wide = np.where(np.isfinite(rows).all(axis=1, keepdims=True), rows, 0.0).astype(np.float64)
    lengths = np.linalg.norm(wide, axis=1, keepdims=True)
    return (wide / np.where(lengths > 0, lengths, 1.0)).astype(np.float32)
