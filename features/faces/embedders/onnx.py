"""onnx: a face-recognition network by its ONNX file, such as ArcFace, MobileFaceNet or SFace; extra: faces.

Deng et al. 2019, ArcFace: additive angular margin loss for deep face recognition, https://arxiv.org/abs/1801.07698.
Nearly all such networks take a face of 112 x 112, aligned to the same five points. The file says whether channels
come first or last, and the side of the square; whether a network takes 0 to 255 or -1 to 1 follows from its first
nodes, as insightface reads it: one that begins by subtracting and scaling takes 0 to 255.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.faces.embedding import AlignSpec, register
from dualstream.features.faces.onnx_file import open_onnx
from numpy.typing import NDArray

TEMPLATE_PX = 112  # of the points below
EYES, MOUTH = (55.913, 51.599), (56.140, 92.285)  # midpoints of the five points of insightface's template
SIDES_PX = range(64, 513)
FIRST_NODES = 8
SAME_PERSON = 0.363  # cosine that OpenCV's zoo states for SFace; ArcFace's usual one is 0.3 to 0.4
GRAPH, NODE, OP_TYPE = 7, 1, 4  # numbers of fields in ONNX's protocol buffers


@register("onnx", weights=True)
def build(weights: Path | None) -> OnnxEmbedder:
    """A face-recognition network from an .onnx file: ArcFace, MobileFaceNet, SFace; extra: faces."""
    assert weights is not None
    return OnnxEmbedder(weights)


class OnnxEmbedder:
    """Keeps the FaceEmbedder protocol. A session serves all threads."""

    name = "onnx"
    same_person = SAME_PERSON

    def __init__(self, weights: Path) -> None:
        self._session, self._weights, image = open_onnx(weights, "face-recognition networks in ONNX files")
        inputs, outputs = self._session.get_inputs(), self._session.get_outputs()
        shape = list(inputs[0].shape) if len(inputs) == 1 else []
        layout = _layout(shape)
        if layout is None or len(outputs) != 1 or inputs[0].type != "tensor(float)":
            raise ValueError(
                f"{weights.name} takes {[list(one.shape) for one in inputs]} and gives "
                f"{[list(one.shape) for one in outputs]}; expected a network that turns one picture, "
                "(N, 3, 112, 112) or (N, 112, 112, 3), into one row, such as ArcFace, MobileFaceNet or SFace"
            )
        self._input, self._one_by_one = inputs[0].name, shape[0] == 1
        self._channels_first, side = layout
        self._own_scale = {"Sub", "Mul"} <= set(first_operators(image))
        self.align = AlignSpec(side, _share(EYES), _share(MOUTH))
        self._require_rows(weights.name)

    def to_json(self) -> dict[str, Any]:
        """Return all that shapes its answers."""
        return {
            "name": self.name,
            "version": 1,
            "same_person": self.same_person,
            "size_px": self.align.size_px,
            "channels": "first" if self._channels_first else "last",
            "scale": "0 to 255" if self._own_scale else "-1 to 1",
            "weights": self._weights.to_json(),
        }

    def embed(self, faces: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn aligned RGB faces, shape (B, S, S, 3), into rows, shape (B, E)."""
        values = faces.astype(np.float32)
        if not self._own_scale:
            values = (values - 127.5) / 127.5
        if self._channels_first:
            values = values.transpose(0, 3, 1, 2)
        parts = np.split(values, len(values)) if self._one_by_one else [values]
        said = [self._session.run(None, {self._input: np.ascontiguousarray(one)})[0] for one in parts]
        return np.concatenate([one.reshape(len(one), -1) for one in said]).astype(np.float32)

    def _require_rows(self, name: str) -> None:
        """Raise ValueError where a face does not give a row of at least two finite numbers."""
        size = self.align.size_px
        try:
            rows = self.embed(np.full((2, size, size, 3), 100, np.uint8))
        except Exception as error:  # onnxruntime's own kinds
            raise ValueError(f"{name} refuses faces of {size} x {size}: {error}") from error
        if rows.shape[0] != 2 or rows.shape[1] < 2 or rows.shape[1] > 4096 or not np.isfinite(rows).all():
            raise ValueError(
                f"{name} gives {rows.shape} for two faces; expected a row of 2 to 4,096 numbers for each"
            )


def _layout(shape: list[Any]) -> tuple[bool, int] | None:
    """Return whether channels come first, and the square's side; None where the input is no picture."""
    if len(shape) != 4 or shape.count(3) != 1 or shape.index(3) not in (1, 3):
        return None
    first = shape.index(3) == 1
    sides = shape[2:] if first else shape[1:3]
    known = {one for one in sides if isinstance(one, int)} or {TEMPLATE_PX}  # of free size: the usual one
    side = known.pop()
    return (first, side) if not known and side in SIDES_PX else None


def _share(point: tuple[float, float]) -> tuple[float, float]:
    return point[0] / TEMPLATE_PX, point[1] / TEMPLATE_PX


def first_operators(image: bytes) -> list[str]:
    """Return the kinds of the first nodes of an ONNX file, such as ``Sub`` and ``Mul``."""
    graph = next((value for number, value in _fields(image) if number == GRAPH), b"")
    nodes = [value for number, value in _fields(graph) if number == NODE][:FIRST_NODES]
    return [value.decode() for node in nodes for number, value in _fields(node) if number == OP_TYPE]


def _fields(message: bytes) -> Iterator[tuple[int, bytes]]:
    """Yield number and bytes of the fields of a protocol buffer that are texts or messages."""
    view, at = memoryview(message), 0
    while at < len(view):
        key, at = _number(view, at)
        if key & 7 == 2:
            length, at = _number(view, at)
            yield key >> 3, bytes(view[at : at + length])
            at += length
        elif key & 7 == 0:
            _, at = _number(view, at)
        else:
            at += {1: 8, 5: 4}[key & 7]


def _number(view: memoryview, at: int) -> tuple[int, int]:
    """Return a variable-length integer, and where the next field begins."""
    value = shift = 0
    while True:
        byte = view[at]
        value, shift, at = value | (byte & 0x7F) << shift, shift + 7, at + 1
        if byte < 0x80:
            return value, at
