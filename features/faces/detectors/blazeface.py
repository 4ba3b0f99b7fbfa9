"""blazeface: Google's detector for phones by its tflite file, short or full range, through ai-edge-litert.

Bazarevsky et al. 2019, BlazeFace, https://arxiv.org/abs/1907.05047. A file's outputs tell which of the two it is:

    short range    128 px, 896 boxes: 16x16 cells with 2 each, 8x8 cells with 6 each
    full range     192 px, 2,304 boxes: 48x48 cells with 1 each
"""

from __future__ import annotations

import threading
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.faces.detection import Face, letterboxed, merged, register, square_face
from dualstream.features.packages import require
from dualstream.features.single_read import read_hashed
from dualstream.features.weights import UNKNOWN_LICENCE, WeightsRecord
from numpy.typing import NDArray

LICENCES = {  # of the files that mediapipe 0.10 carries
    "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8": "Apache-2.0",
    "2c3728e6da56f21e21a320433396fb06d40d9088f2247c05e5635a688d45dfe1": "Apache-2.0",
}
SAME_FACE = 0.3  # boxes that overlap by more show one face
LOUDEST_LOGIT = 80.0


@dataclass(frozen=True)
class _ModelKind:
    name: str
    side_px: int
    cells: tuple[tuple[int, int], ...]
    """Cells along a side, and boxes in each."""
    least_score: float
    sure_score: float
    side_share: float = 1.0
    """Of the box's side, and how far it is moved down, in sides: so that both kinds give the same square."""
    down: float = 0.0

    def anchors(self) -> NDArray[np.float32]:
        """Return the boxes' cells, shape (boxes, 2), as shares of the side."""
        rows = []
        for count, boxes in self.cells:
            along = (np.arange(count) + 0.5) / count
            y, x = np.meshgrid(along, along, indexing="ij")
            rows.append(np.repeat(np.stack([x.ravel(), y.ravel()], axis=1), boxes, axis=0))
        return np.concatenate(rows).astype(np.float32)


KINDS = {
    896: _ModelKind("short range", 128, ((16, 2), (8, 6)), 0.5, 0.5, 1.05, -0.04),
    2304: _ModelKind("full range", 192, ((48, 1),), 0.5, 0.6),
}


@register("blazeface", weights=True)
def build(weights: Path | None) -> BlazeFace:
    """BlazeFace, short or full range, from a .tflite file; 3 ms a picture; extra: faces."""
    assert weights is not None
    return BlazeFace(weights)


class BlazeFace:
    """A tflite file of BlazeFace; keeps the FaceDetector protocol, with an interpreter for each thread."""

    name = "blazeface"

    def __init__(self, weights: Path) -> None:
        self._runtime = require("ai_edge_litert.interpreter", "BlazeFace's tflite files", "faces")
        self._image, sha256 = read_hashed(weights)
        self._weights = WeightsRecord("file", sha256, LICENCES.get(sha256, UNKNOWN_LICENCE))
        self._local = threading.local()
        shapes = {int(one["shape"][-1]): one for one in self._interpreter(weights.name).get_output_details()}
        boxes = int(shapes[16]["shape"][1]) if set(shapes) == {16, 1} else 0
        if boxes not in KINDS:
            raise ValueError(
                f"{weights.name} is no BlazeFace that is known here: it gives "
                f"{[tuple(map(int, one['shape'])) for one in shapes.values()]}; expected "
                "face_detection_short_range.tflite or face_detection_full_range_sparse.tflite of mediapipe 0.10"
            )
        self._kind = KINDS[boxes]
        self._anchors = self._kind.anchors()
        self.side_px, self.sure_score = self._kind.side_px, self._kind.sure_score

    def to_json(self) -> dict[str, Any]:
        """Return all that shapes its answers."""
        return {
            "name": self.name,
            "version": 1,
            "kind": self._kind.name,
            "least_score": self._kind.least_score,
            "sure_score": self.sure_score,
            "weights": self._weights.to_json(),
        }

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Return the faces in an RGB picture, shape (H, W, 3), no side longer than `side_px`; the best first."""
        side = self.side_px
        interpreter = self._interpreter()
        interpreter.set_tensor(interpreter.get_input_details()[0]["index"], letterboxed(image, side)[None])
        interpreter.invoke()
        out = {
            int(one["shape"][-1]): interpreter.get_tensor(one["index"])[0]
            for one in interpreter.get_output_details()
        }
        score = 1 / (1 + np.exp(-np.clip(out[1][:, 0].astype(np.float64), -LOUDEST_LOGIT, LOUDEST_LOGIT)))
        found = np.flatnonzero(score >= self._kind.least_score)
        points = out[16][found].astype(np.float64).reshape(-1, 8, 2)  # centre, size, 6 landmarks
        points[:, np.arange(8) != 1] += self._anchors[found, None] * side
        return merged(
            [_face(one, float(score[at]), self._kind) for at, one in zip(found, points, strict=True)], SAME_FACE
        )

    def _interpreter(self, name: str = "") -> Any:
        if not hasattr(self._local, "interpreter"):
            try:
                made = self._runtime.Interpreter(model_content=self._image, num_threads=1)
                made.allocate_tensors()
            except (ValueError, RuntimeError) as error:
                raise ValueError(f"{name} can't be read as a tflite file: {error}") from error
            self._local.interpreter = made
        return self._local.interpreter


def _face(points: NDArray[np.float64], score: float, kind: _ModelKind) -> Face:
    """Return a face from a row of centre, size, right eye, left eye, nose, mouth, right ear, left ear."""
    centre, size, right_eye, left_eye, _, mouth = points[:6]
    eyes = (right_eye + left_eye) / 2
    side = float(size.max()) * kind.side_share
    middle = float(centre[0]), float(centre[1]) + kind.down * side
    return square_face(middle, side, _point(eyes), _point(mouth), score)


def _point(pair: NDArray[np.float64]) -> tuple[float, float]:
    return float(pair[0]), float(pair[1])
