"""yunet: OpenCV's face detector by its ONNX file, through onnxruntime.

Wu, Peng and Yu 2023, YuNet: a tiny millisecond-level face detector, https://doi.org/10.1007/s11633-023-1423-y.
Takes the files of OpenCV's model zoo and of ShiqiYu/libfacedetection.train, of fixed or free size.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.faces.detection import Face, merged, register, tall_face
from dualstream.features.faces.onnx_file import open_onnx
from numpy.typing import NDArray

STRIDES = (8, 16, 32)
OUTPUTS = tuple(f"{what}_{stride}" for what in ("cls", "obj", "bbox", "kps") for stride in STRIDES)
FREE_SIDE_PX = 640  # of pictures for a file of free size
LEAST_SCORE = 0.7
SAME_FACE = 0.3
LARGEST_EXPONENT = 6.0  # of a box's sides, in strides: more than the picture
SIDE_SHARE, DOWN_SHARE = 0.86, 0.06  # BlazeFace's side as a share of this box's height, and how far it lies below


@register("yunet", weights=True)
def build(weights: Path | None) -> YuNet:
    """YuNet from an .onnx file; 5 ms a picture at 640 px, 2 ms at 320 px; extra: faces."""
    assert weights is not None
    return YuNet(weights)


class YuNet:
    """An ONNX file of YuNet; keeps the FaceDetector protocol. A session serves all threads."""

    name = "yunet"
    sure_score = LEAST_SCORE

    def __init__(self, weights: Path) -> None:
        self._session, self._weights, _ = open_onnx(weights, "YuNet's ONNX files")
        outputs = {one.name for one in self._session.get_outputs()}
        (entry,) = self._session.get_inputs()[:1]
        if set(OUTPUTS) != outputs:
            raise ValueError(
                f"{weights.name} is no YuNet that is known here: it gives {', '.join(sorted(outputs))}; expected "
                "face_detection_yunet_2023mar.onnx of OpenCV's model zoo, or one of libfacedetection.train"
            )
        self._input = entry.name
        fixed = isinstance(entry.shape[-1], int)
        self._fixed_px = int(entry.shape[-1]) if fixed else None
        self.side_px = self._fixed_px or FREE_SIDE_PX

    def to_json(self) -> dict[str, Any]:
        """Return all that shapes its answers."""
        return {
            "name": self.name,
            "version": 1,
            "side_px": self.side_px,
            "least_score": LEAST_SCORE,
            "weights": self._weights.to_json(),
        }

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        """Return the faces in an RGB picture, shape (H, W, 3), no side longer than `side_px`; the best first."""
        height, width = (self._fixed_px or -(-side // 32) * 32 for side in image.shape[:2])
        padded = np.zeros((height, width, 3), np.float32)
        padded[: image.shape[0], : image.shape[1]] = image[:, :, ::-1]  # blue first
        values = self._session.run(list(OUTPUTS), {self._input: padded.transpose(2, 0, 1)[None]})
        out = dict(zip(OUTPUTS, (one[0] for one in values), strict=True))
        faces: list[Face] = []
        for stride in STRIDES:
            faces += _faces(out, stride, width // stride)
        return merged(faces, SAME_FACE)


def _faces(out: dict[str, NDArray[np.float32]], stride: int, columns: int) -> list[Face]:
    cls, obj = (np.clip(out[f"{what}_{stride}"][:, 0].astype(np.float64), 0, 1) for what in ("cls", "obj"))
    score = np.sqrt(cls * obj)
    faces = []
    for at in np.flatnonzero(score >= LEAST_SCORE):
        cell = np.array([at % columns, at // columns])
        box = out[f"bbox_{stride}"][at].astype(np.float64)
        centre = (cell + box[:2]) * stride
        height = float(np.exp(min(box[3], LARGEST_EXPONENT))) * stride
        points = (out[f"kps_{stride}"][at].astype(np.float64).reshape(5, 2) + cell) * stride
        middle = float(centre[0]), float(centre[1])
        faces.append(tall_face(middle, height, points, float(score[at]), share=SIDE_SHARE, down=DOWN_SHARE))
    return faces
