"""What an encoder is: its spec, the video and audio protocols, and the registry that names them.

A new encoder is one file: a class that keeps one of the protocols, and a builder under a decorator.

    @register("video", "vgg16")
    def build(argument: str, options: EncoderOptions) -> VideoEncoder: ...
"""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

StreamName = Literal["video", "audio"]
Precision = Literal["fp32", "bf16"]

INSTALL_HINT = "pip install 'dualstream[{}]'"
VIDEO_WIDTH = 100  # columns of the video stream of our own encoders, after projection
AUDIO_WIDTH = 192  # columns of the audio stream of our own encoders


@dataclass(frozen=True)
class EncoderSpec:
    """What an encoder is, in words that go into the fingerprint and the cache."""

    name: str
    """As typed: ``vgg16``, ``torchvision:resnet18``, ``acoustic``, ``table:FILE`` (the file's base name)."""
    stream: StreamName
    raw_width: int
    """Columns that the encoder gives (VGG-16 fc7: 4,096). They live in the shards."""
    width: int
    """Columns of the stream in the cache. Below `raw_width` a projection bridges the two."""
    version: int = 1
    """Raised whenever the same input would give other numbers."""
    parameters: dict[str, Any] = field(default_factory=dict)
    """All settings that shape the numbers; JSON values only."""
    weights: dict[str, Any] | None = None
    """``{"source": "imagenet" | "file" | "random:SEED", "sha256": ..., "licence": ...}``; None: no weights."""
    has_windows: bool = True
    """False for a stream that knows one row an utterance alone (a table without times)."""
    column_names: tuple[str, ...] | None = None
    """Names of the stream's columns, where each has a meaning of its own."""

    def to_json(self) -> dict[str, Any]:
        """Return the spec as JSON values, keys in the order of the fields."""
        return {
            "name": self.name,
            "stream": self.stream,
            "raw_width": self.raw_width,
            "width": self.width,
            "version": self.version,
            "parameters": self.parameters,
            "weights": self.weights,
            "has_windows": self.has_windows,
            "column_names": list(self.column_names) if self.column_names else None,
        }


@dataclass(frozen=True)
class EncoderOptions:
    """What the command line says about how encoders are built."""

    weights: str | None = None
    """``imagenet``, ``random:SEED`` or a file; None: the encoder's own default."""
    device: str = "cpu"
    """``cpu``, ``cuda`` or ``cuda:N``, already decided."""
    precision: Precision = "fp32"


@dataclass(frozen=True)
class StreamFeatures:
    """What one encoder says of one clip, before projection. Rows that mean nothing are masked."""

    utterance: NDArray[np.float32]
    """Vector of the whole utterance, shape (D,); zeros where `present` is False."""
    present: bool
    windows: NDArray[np.float32]
    """One row a window, shape (K, D); shape (0, D) for a stream without windows."""
    window_present: NDArray[np.bool_]
    """Which rows of `windows` mean something, shape (K,), or (0,) for a stream without windows."""
    time_s: NDArray[np.float64]
    """The instant that each window's row stands for, seconds on the clip's clock, shape as
    `window_present`; NaN where absent. Video: the frame's presentation time; audio: the window's centre."""


@runtime_checkable
class VideoEncoder(Protocol):
    """Frames to rows."""

    spec: EncoderSpec
    frame_size_px: int
    """Side of the square frames that it takes, pixels."""
    batch_size: int
    """Frames in one forward pass. Where an encoder also has ``side_by_side = True``, `encode_frames` may be called
    from several threads at once."""

    def encode_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn RGB frames, shape (B, S, S, 3), 0 to 255, into rows, shape (B, raw_width)."""
        ...


@runtime_checkable
class AudioEncoder(Protocol):
    """Samples to rows."""

    spec: EncoderSpec
    sample_rate_hz: int
    """Rate of the samples that it takes, Hz."""

    def encode_audio(
        self,
        audio: NDArray[np.float32],
        starts_s: NDArray[np.float64],
        length_s: float,
        covered_s: tuple[float, float],
    ) -> StreamFeatures:
        """Turn mono samples of a whole clip, shape (S,), full scale ±1, into window rows and one utterance row.

        Sample 0 stands at 0 s on the clip's clock. `starts_s` are the windows' starts, shape (K,), and
        `length_s` their length; a window may pass the end of `audio`. The stream really has sound on the
        half-open span `covered_s` of the clock (outside it `audio` is padding): the utterance vector is
        made from that span alone, and a window that lies outside it is masked.
        """
        ...


@runtime_checkable
class TableEncoder(Protocol):
    """Ready-made rows, looked up by utterance id; no media is read for this stream."""

    spec: EncoderSpec

    def lookup(self, utterance_id: str, starts_s: NDArray[np.float64], length_s: float) -> StreamFeatures:
        """Return the table's rows of one utterance; `present` is False where the table has none."""
        ...

    def extent_s(self, utterance_id: str, length_s: float) -> float | None:
        """Return how far an utterance's rows reach on its clip's clock, seconds; None where no row has a time."""
        ...


Encoder = VideoEncoder | AudioEncoder | TableEncoder
Builder = Callable[[str, EncoderOptions], Encoder]
B = TypeVar("B", bound=Builder)

_REGISTRY: dict[tuple[StreamName, str], Builder] = {}
_NOT_LOADED: dict[str, str] = {}  # module of this package: the package that it lacks


class MissingPackageError(ValueError):
    """An encoder needs a package that is not installed; the message says which extra brings it."""


def register(stream: StreamName, name: str) -> Callable[[B], B]:
    """Put a builder into the registry under `name`; a name given twice is an error.

    The builder receives what stands behind the colon in ``name:argument`` (or an empty string).
    """

    def add(builder: B) -> B:
        if (stream, name) in _REGISTRY:
            raise ValueError(f"{stream} encoder {name!r} is registered twice")
        _REGISTRY[stream, name] = builder
        return builder

    return add


def names(stream: StreamName) -> list[str]:
    """Return the names that `build` knows for a stream, sorted."""
    _load_all()
    return sorted(name for of, name in _REGISTRY if of == stream)


def build(stream: StreamName, text: str, options: EncoderOptions) -> Encoder:
    """Build the encoder that `text` names (``vgg16``, ``torchvision:resnet18``, ``table:FILE``).

    Raises
    ------
    ValueError
        Where no such encoder is registered, or it is one of the other stream; the message lists those that fit.
    """
    _load_all()
    name, _, argument = text.partition(":")
    builder = _REGISTRY.get((stream, name))
    if builder is None:
        lacking = ", ".join(f"features.{module} needs {package}" for module, package in _NOT_LOADED.items())
        hint = f" (left out: {lacking}; {INSTALL_HINT.format('extract')})" if lacking else ""
        there = f"{', '.join(names(stream))}{hint}"
        other: StreamName = "audio" if stream == "video" else "video"
        if (other, name) in _REGISTRY:
            raise ValueError(
                f"{name!r} is an encoder of {other}; say --{other} {text}, or one of {stream}, which are: {there}"
            )
        raise ValueError(f"no {stream} encoder is called {name!r}; there are: {there}")
    return builder(argument, options)


def require(module: str, who: str, extra: str = "extract") -> Any:
    """Import a module of an optional package, late.

    Parameters
    ----------
    module
        Such as ``torchvision.models``.
    who
        Who needs it, for the message.
    extra
        The extra of pyproject.toml that installs it.

    Raises
    ------
    MissingPackageError
        Where the package is not installed.
    """
    try:
        return importlib.import_module(module)
    except ModuleNotFoundError as error:
        package = module.partition(".")[0]
        if error.name is None or error.name.partition(".")[0] != package:
            raise
        raise MissingPackageError(f"{who} need the package {package}: {INSTALL_HINT.format(extra)}") from error


def _load_all() -> None:
    """Import every module of this package, so that its decorators run.

    A module whose own package is not installed is left out, and `build` names it.
    """
    from dualstream.features import encoders

    from dualstream import features

    packages = (features, encoders)
    for package_of, module in ((one, module) for one in packages for module in pkgutil.iter_modules(one.__path__)):
        try:
            importlib.import_module(f"{package_of.__name__}.{module.name}")
        except ModuleNotFoundError as error:
            package = (error.name or "").partition(".")[0]
            if package in ("", "dualstream"):
                raise
            _NOT_LOADED[module.name] = package
