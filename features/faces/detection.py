"""What a face detector is, and the registry that names those there are.

A new detector is one file: a class that keeps `FaceDetector`, and a builder under a decorator.

    @register("blazeface", weights=True)
    def build(weights: Path | None) -> FaceDetector: ...

The file stands in features/faces/detectors/, or in any installed package with an entry point in the group
``dualstream.face_detectors``.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol, TypeVar

import numpy as np
from numpy.typing import NDArray

from dualstream.discovery import Registry

GROUP = "dualstream.face_detectors"
Point = tuple[float, float]
Box = tuple[float, float, float, float]  # left, top, right, bottom, pixels


@dataclass(frozen=True)
class Face:
    """One face in one picture."""

    box: Box
    """From the brows to the chin, and as wide as that is high: BlazeFace's own box, which the
    others' are brought to."""
    eyes: Point
    """Midpoint of the eyes, pixels."""
    mouth: Point
    """Midpoint of the mouth, pixels."""
    score: float
    """0 to 1, as the detector has it."""

    def scaled(self, share: float) -> Face:
        """Return the face as it lies in the picture `share` times as large."""
        return Face(
            (self.box[0] * share, self.box[1] * share, self.box[2] * share, self.box[3] * share),
            (self.eyes[0] * share, self.eyes[1] * share),
            (self.mouth[0] * share, self.mouth[1] * share),
            self.score,
        )


class FaceDetector(Protocol):
    """Pictures to faces. `detect` may be called from several threads at once."""

    name: str
    side_px: int
    """The longest side of the pictures that it wants, pixels; smaller ones are as good."""
    sure_score: float
    """A track is kept where one of its faces scores this much: single weak ones come and go."""

    def to_json(self) -> dict[str, Any]:
        """Return all that shapes its answers, for the fingerprint: name, version, settings, digest of weights."""
        ...

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Return the faces in an RGB picture, shape (H, W, 3), no side longer than `side_px`; the best first."""
        ...


Builder = Callable[[Path | None], FaceDetector]
B = TypeVar("B", bound=Builder)


@dataclass(frozen=True)
class DetectorEntry:
    """A registered detector: what is known of it before it is built."""

    name: str
    build: Builder
    weights: bool
    """Whether it needs a file of weights; if not, its package has them."""

    @property
    def summary(self) -> str:
        """First line of the builder's docstring."""
        return (self.build.__doc__ or "").strip().partition("\n")[0]


REGISTRY: Registry[DetectorEntry] = Registry(
    "face detector", package="dualstream.features.faces.detectors", group=GROUP
)


def register(name: str, *, weights: bool) -> Callable[[B], B]:
    """Put a builder, which takes the file of weights, into the registry under `name`."""

    def add(builder: B) -> B:
        REGISTRY.add(name, DetectorEntry(name, builder, weights), builder.__module__)
        return builder

    return add


def build_detector(name: str, weights: Path | None) -> FaceDetector:
    """Build the detector of that name.

    Raises
    ------
    ValueError
        Where there is none, its package is not installed, or it needs weights that are not named, or has its own.
    FileNotFoundError
        Where there is no such file of weights.
    """
    entry = REGISTRY.get(name)
    if entry.weights and weights is None:
        raise ValueError(
            f"face detector {name} needs a file of weights, which docs/faces.md names: --face-weights FILE"
        )
    if not entry.weights and weights is not None:
        raise ValueError(f"face detector {name} brings its own weights; found --face-weights {weights}")
    if weights is not None and not weights.is_file():
        raise FileNotFoundError(f"weights of the face detector {name}: {weights} does not exist")
    return entry.build(weights)


def square_face(centre: Point, side: float, eyes: Point, mouth: Point, score: float) -> Face:
    """Return a face with a square box of `side` pixels around `centre`."""
    half = side / 2
    box = centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half
    return Face(box, eyes, mouth, score)


def overlap(a: Box, b: Box) -> float:
    """Return the area that two boxes share, over the area that they cover together."""
    width = min(a[2], b[2]) - max(a[0], b[0])
    height = min(a[3], b[3]) - max(a[1], b[1])
    if width <= 0 or height <= 0:
        return 0.0
    both = (a[2] - a[0]) * (a[3] - a[1]) + (b[2] - b[0]) * (b[3] - b[1])
    return width * height / (both - width * height)


def letterboxed(image: NDArray[np.uint8], side: int) -> NDArray[np.float32]:
    """Return a picture in the upper left corner of a black square, -1 to 1, shape (side, side, 3)."""
    square = np.full((side, side, 3), -1.0, np.float32)
    square[: image.shape[0], : image.shape[1]] = image.astype(np.float32) / 127.5 - 1.0
    return square


def merged(faces: list[Face], share: float) -> list[Face]:
    """Average the boxes that overlap by more than `share`, weighted by score; the best face first."""
    left = sorted(faces, key=lambda face: -face.score)
    done = []
    while left:
        best = left[0]
        same = [face for face in left if overlap(face.box, best.box) > share]
        left = [face for face in left if overlap(face.box, best.box) <= share]
        weight = np.array([face.score for face in same])
        rows = np.array([[*face.box, *face.eyes, *face.mouth] for face in same])
        mean = [float(value) for value in weight @ rows / weight.sum()]
        done.append(Face((mean[0], mean[1], mean[2], mean[3]), (mean[4], mean[5]), (mean[6], mean[7]), best.score))
    return done
