"""face-api: the network that tells people apart of face-api.js, which is dlib's; weights by folder or file.

King 2017, High quality face recognition with deep metric learning,
http://blog.dlib.net/2017/02/high-quality-face-recognition-with-deep.html. Its published weights are raw numbers,
``face_recognition_model.bin`` with a manifest beside it.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.faces.embedding import AlignSpec, register
from dualstream.features.published import RECOGNITION, licence_of
from dualstream.features.raw_weights import RawWeights
from dualstream.features.weights import UNKNOWN_LICENCE, WeightsRecord
from numpy.typing import NDArray

NAME = "face_recognition_model"
AT_ONCE = 8


@register("face-api", weights=True)
def build(weights: Path | None) -> FaceApiEmbedder:
    """dlib's network as face-api publishes it, face_recognition_model.bin; 40 ms a face; no package."""
    assert weights is not None
    return FaceApiEmbedder(weights)


class FaceApiEmbedder:
    """Keeps the FaceEmbedder protocol; runs on the CPU."""

    name = "face-api"
    # As face-api crops: a square of 1 / 0.45 times the way from an eye to the mouth, 0.43 of it above the middle
    # of eyes and mouth.
    align = AlignSpec(150, (0.5, 0.292), (0.5, 0.705))
    same_person = 0.945

    def __init__(self, weights: Path) -> None:
        import torch
        from dualstream.features.networks.recognition import RecognitionNet, own_name

        try:
            found = RawWeights.find(weights, NAME)
            state, sha256 = found.read()
            wanted = next((one.sha256 for one in RECOGNITION.files if one.name == found.parts[0].name), sha256)
            if sha256 != wanted:
                raise ValueError(f"its sha256 is {sha256}, what was published has {wanted}")
            given = {own_name(name): torch.from_numpy(_own_order(values)) for name, values in state.items()}
            self._net = RecognitionNet().eval().requires_grad_(False)
            self._net.load_state_dict(given)
        except (RuntimeError, ValueError, KeyError) as error:
            raise ValueError(
                f"{weights.name} is not face-api's network that tells people apart: {error}; expected {NAME}.bin "
                f"with {NAME}-weights_manifest.json beside it"
            ) from error
        self._weights = WeightsRecord("file", sha256, licence_of(sha256) or UNKNOWN_LICENCE)

    def to_json(self) -> dict[str, Any]:
        """Return all that shapes its answers."""
        return {
            "name": self.name,
            "version": 1,
            "same_person": self.same_person,
            "weights": self._weights.to_json(),
        }

    def embed(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn aligned RGB faces, shape (B, 150, 150, 3), into rows, shape (B, 128)."""
        import torch

        rows = []
        with torch.inference_mode():
            for first in range(0, len(faces), AT_ONCE):
                part = torch.from_numpy(np.ascontiguousarray(faces[first : first + AT_ONCE]))
                rows.append(self._net(part.permute(0, 3, 1, 2).float()).numpy())
        return np.concatenate(rows)


def _own_order(values: NDArray[np.float32]) -> NDArray[np.float32]:
    """Return a filter, (height, width, in, out), as (out, in, height, width), a matrix (in, out) as (out, in)."""
    order = {4: (3, 2, 0, 1), 2: (1, 0)}.get(values.ndim)
    return np.ascontiguousarray(values.transpose(order)) if order else values.copy()
