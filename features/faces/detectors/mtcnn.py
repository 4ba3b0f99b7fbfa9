"""mtcnn: the detector of the package facenet-pytorch, which brings its weights.

Zhang et al. 2016, Joint face detection and alignment using multitask cascaded convolutional networks,
https://arxiv.org/abs/1604.02878. The package pins old versions of torch; with them it is installed apart:
``pip install --no-deps facenet-pytorch``.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.faces.detection import Face, register, tall_face
from dualstream.features.packages import MissingPackageError
from numpy.typing import NDArray

PACKAGE = "facenet-pytorch"
SIDE_PX = 640
SMALLEST_FACE_PX = 30
LEAST_SCORE = 0.95
SIDE_SHARE, DOWN_SHARE = 0.85, 0.07  # BlazeFace's side as a share of this box's height, and how far it lies below


@register("mtcnn", weights=False)
def build(weights: Path | None) -> Mtcnn:
    """MTCNN of facenet-pytorch with the package's own weights; 100 ms a picture."""
    del weights  # the package's own
    return Mtcnn()


class Mtcnn:
    """facenet-pytorch's MTCNN; keeps the FaceDetector protocol."""

    name = "mtcnn"
    side_px = SIDE_PX
    sure_score = LEAST_SCORE

    def __init__(self) -> None:
        if importlib.util.find_spec("facenet_pytorch") is None:
            raise MissingPackageError(
                f"face detector mtcnn needs the package {PACKAGE}, which pins an old torch: pip install --no-deps "
                f"{PACKAGE}; blazeface and yunet need no torch"
            )
        # The module alone: the package's face imports torchvision's data sets and downloads.
        from facenet_pytorch.models.mtcnn import MTCNN

        self._net = MTCNN(keep_all=True, min_face_size=SMALLEST_FACE_PX, device="cpu").eval()

    def to_json(self) -> dict[str, Any]:
        """Return all that shapes its answers."""
        return {
            "name": self.name,
            "version": 1,
            "package": f"{PACKAGE} {importlib.metadata.version(PACKAGE)}",
            "least_score": LEAST_SCORE,
            "smallest_face_px": SMALLEST_FACE_PX,
        }

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Return the faces in an RGB picture, shape (H, W, 3), no side longer than `side_px`; the best first."""
        if min(image.shape[:2]) < SMALLEST_FACE_PX:
            return []
        boxes, scores, points = self._net.detect(np.ascontiguousarray(image), landmarks=True)
        if boxes is None:
            return []
        rows = zip(np.asarray(boxes, float), np.asarray(scores, float), np.asarray(points, float), strict=True)
        faces = [_face(*row) for row in rows if row[1] >= LEAST_SCORE]
        return sorted(faces, key=lambda face: -face.score)


def _face(box: NDArray[np.float64], score: float, points: NDArray[np.float64]) -> Face:
    height = float(box[3] - box[1])
    centre = float(box[0] + box[2]) / 2, float(box[1] + box[3]) / 2
    return tall_face(centre, height, points, float(score), share=SIDE_SHARE, down=DOWN_SHARE)
