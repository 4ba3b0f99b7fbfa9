"""config.json of a bundle: what an answer rests on, and the digests of the files beside it."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass, field
from typing import ClassVar, NotRequired, TypedDict

import numpy as np
from dualstream.features.encoder import SpecDocument
from dualstream.heads.data.batch import PAIR
from dualstream.heads.variants.registry import TASKS, Task
from dualstream.pipeline.experiments.run_config import FittedOn
from dualstream.pipeline.experiments.speaker_prior import SpeakerNorm
from dualstream.pipeline.provenance import RecipeDocument
from numpy.typing import NDArray

from dualstream.documents import Document, JsonObject

MOST_SHARPNESS = 1e9
STREAM_NAME = re.compile(r"[\w][\w.+-]*")  # weights lie in a file of that name


@dataclass(frozen=True)
class Calibration(Document):
    """How sure one task's answers may be: log-probabilities times `sharpness`, then normalised."""

    sharpness: float
    """Inverse temperature, 0 or more; 1 leaves all as it is."""
    split: str
    """What it was fitted on: ``dev``, or ``folds`` for out-of-fold answers."""
    utterances: int
    """Labelled ones; 0: nothing was fitted."""
    log_loss: tuple[float, float] | None = None
    """Before and after on those same utterances, nats."""


class OnnxParity(TypedDict):
    """How far the graph is from the heads."""

    batches: int
    largest_difference: float
    """Of a calibrated probability."""


class OnnxDocument(TypedDict):
    """What there is to say of an ONNX graph."""

    opset: int
    inputs: dict[str, list[int | str]]
    """Shape of each, without the batch; ``time`` is of any length."""
    outputs: dict[str, int | list[int]]
    """Classes of each task; of ``pairs`` those of both."""
    parity: OnnxParity
    lead: NotRequired[Task]
    """Where emotion and sentiment are one answer: the task that is decided first."""


@dataclass(frozen=True)
class BundleProjection(Document):
    """What a stream was projected by; the arrays are in projections.safetensors."""

    kind: str
    fitted_on: JsonObject
    """Split, rows and digest over them, or the seed."""


@dataclass(frozen=True)
class CarriedWeights(Document):
    """An encoder's weights that were copied into the bundle."""

    sha256: str
    """Of the copy: the spec has that of the file which was copied."""


@dataclass(frozen=True)
class BundleStream(Document):
    """One stream of a bundle."""

    name: str
    """In the cache that the heads were fitted on."""
    spec: SpecDocument
    """Of its encoder; the width is that after projection."""
    projection: BundleProjection | None
    carried: CarriedWeights | None
    """None: the weights are not in the bundle."""


@dataclass(frozen=True)
class BundleManifest(Document):
    """All that a clip's answer rests on."""

    FORMAT: ClassVar[str] = "dualstream bundle"
    SPEAKER_VERSION: ClassVar[int] = 2
    """Of bundles that normalise speakers: older programs, which would not, refuse it."""

    variant: str
    """The fusion variant, argument included."""
    streams: dict[str, BundleStream]
    """By the name that heads know it by: ``video``, ``audio``, or its own in the cache."""
    recipe: RecipeDocument
    """All that shaped the numbers: what the fingerprint is computed from."""
    recipe_sections: dict[str, str]
    """A digest for each part of the recipe."""
    fingerprint: str
    """Of the extraction that the heads were fitted on."""
    vocabulary: dict[Task, tuple[str, ...]]
    """Class names of each task, in code order."""
    calibration: dict[Task, Calibration]
    """Of each task that has a head."""
    joint_pairs: tuple[tuple[bool, ...], ...] | None
    """Emotion and sentiment pairs that training showed, where answers are decoded jointly."""
    fitted_on: FittedOn
    created_with: dict[str, str]
    """Versions."""
    onnx: OnnxDocument | None = None
    """None: there is no graph."""
    speaker_norm: SpeakerNorm | None = None
    """How speakers are normalised; None: they are not."""
    warnings: tuple[str, ...] = ()
    """What must be said of any answer; bundles of older versions have none."""
    files: dict[str, str] = field(default_factory=dict)
    """SHA-256 of each file beside config.json, but for the card."""

    def __post_init__(self) -> None:
        if not self.streams:
            raise ValueError("there are no streams; expected one or more")
        for name, one in self.streams.items():
            _check_stream(name, one)
        lacking = [task for task in TASKS if task not in self.vocabulary]
        if lacking:
            raise ValueError(f"there are no classes of {lacking[0]}")
        for task, how in self.calibration.items():
            if task not in TASKS or not (math.isfinite(how.sharpness) and 0 <= how.sharpness < MOST_SHARPNESS):
                raise ValueError(f"the calibration of {task} has a sharpness of {how.sharpness}")

    def stamped(self) -> JsonObject:
        """Return JSON values with ``format`` and ``version`` before them."""
        version = self.VERSION if self.speaker_norm is None else self.SPEAKER_VERSION
        return super().stamped() | {"version": version}

    @property
    def pairs(self) -> NDArray[np.bool_] | None:
        """`joint_pairs` as an array, shape (E, S)."""
        return None if self.joint_pairs is None else np.array(self.joint_pairs, dtype=np.bool_)


def _check_stream(name: str, one: BundleStream) -> None:
    """Refuse a stream that stands for one of another kind, or whose name is no file's."""
    if not STREAM_NAME.fullmatch(name):
        raise ValueError(f"a stream is called {name!r}; expected letters, digits, dots, dashes and underscores")
    if (name in PAIR and one.spec["stream"] != name) or not isinstance(one.spec["name"], str):
        raise ValueError(f"the encoder of {name} is one of {one.spec['stream']}")
    if name not in PAIR and one.name != name:
        raise ValueError(
            f"{name} stands for {one.name}; only {' and '.join(PAIR)} stand for streams of other names"
        )
