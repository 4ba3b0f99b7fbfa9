"""What a face detector is, and the registry that names those there are.

A new detector is one file: a class that keeps `FaceDetector`, and a builder under a decorator.

    @register("blazeface", weights=True)
    def build(weights: Path | None) -> FaceDetector: ...

The file stands in features/faces/detectors/, or in any installed package with an entry point in the group
``dualstream.face_detectors``.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from dualstream.features.faces.parts import Entry, PartRegistry
from numpy.typing import NDArray

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


DetectorEntry = Entry[FaceDetector]
REGISTRY: PartRegistry[FaceDetector] = PartRegistry(
    "face detector",
    package="dualstream.features.faces.detectors",
    group=GROUP,
    option="--face-weights",
    without="brings its own weights",
)
register, build_detector = REGISTRY.register, REGISTRY.build


def square_face(centre: Point, side: float, eyes: Point, mouth: Point, score: float) -> Face:
    """Return a face with a square box of `side` pixels around `centre`."""
    half = side / 2
    box = centre[0] - half, centre[1] - half, centre[0] + half, centre[1] + half
    return Face(box, eyes, mouth, score)


def tall_face(
    centre: Point, height: float, points: NDArray[np.float64], score: float, *, share: float, down: float
) -> Face:
    """Return a face by a box around all of it and five points, as YuNet and MTCNN give them.

    Parameters
    ----------
    centre, height
        Of that box, pixels.
    points
        Eyes, nose and corners of the mouth, pixels, shape (5, 2).
    share, down
        The square's side, and how far it lies below the box's centre, as shares of the box's height.
    """
    eyes, mouth = ((float(x), float(y)) for x, y in (points[:2].mean(axis=0), points[3:].mean(axis=0)))
    return square_face((centre[0], centre[1] + down * height), share * height, eyes, mouth, score)


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
