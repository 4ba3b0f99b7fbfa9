"""What `export` made: the report that it prints."""

from __future__ import annotations

from dataclasses import dataclass
from typing import ClassVar

from dualstream.heads.variants.options import Task
from dualstream.pipeline.bundles.manifest import OnnxDocument

from dualstream.documents import Document


@dataclass(frozen=True)
class NeededWeights(Document):
    """Weights of an encoder that a bundle does not carry."""

    stream: str
    encoder: str
    sha256: str


@dataclass(frozen=True)
class ExportReport(Document):
    """What `export` wrote."""

    FORMAT: ClassVar[str] = "dualstream export"

    bundle: str
    variant: str
    models: int
    streams: dict[str, str]
    """The encoder of each stream."""
    calibration: dict[Task, float]
    """Inverse temperature of each task."""
    needs_weights: tuple[NeededWeights, ...]
    onnx: OnnxDocument | None
    """Of the ONNX graph, as config.json has it; None: there is none."""
    files: tuple[str, ...]
