"""What an encoder is: its spec, the video and audio protocols, and the registry that names them.

A new encoder is one file: a class that keeps one of the protocols, and a builder under a decorator, which says
what the command line must know before anything is built.

    @register("video", "vgg16", weights=True, network=True)
    def build(argument: str, options: EncoderOptions) -> VideoEncoder: ...

The file stands in features/encoders/, or in any installed package with an entry point in the group
``dualstream.encoders``; see docs/extend_encoder.md.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, Protocol, TypedDict, TypeVar, runtime_checkable

import numpy as np
from dualstream.features.faces.people import People
from dualstream.features.faces.rows import FaceRows
from dualstream.features.options import LEAST_CONFIDENCE
from dualstream.features.options import Context as Context
from dualstream.features.options import Precision as Precision
from dualstream.features.single_read import digest_of_file
from dualstream.features.weights import WeightsChoice, WeightsDocument
from numpy.typing import NDArray

from dualstream.discovery import ENCODERS_GROUP, Registry
from dualstream.documents import JsonObject
from dualstream.installation import install_hint

StreamName = Literal["video", "audio"]

VIDEO_WIDTH = 100  # columns of the video stream of our own encoders, after projection
AUDIO_WIDTH = 192  # columns of the audio stream of our own encoders


class SpecDocument(TypedDict, total=False):
    """An encoder's spec as a cache and a fingerprint hold it; caches of other programs may lack keys."""

    name: str
    stream: StreamName
    raw_width: int
    width: int
    version: int
    parameters: JsonObject
    weights: WeightsDocument | None
    has_windows: bool
    column_names: list[str] | None


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
    parameters: JsonObject = field(default_factory=dict)
    """All settings that shape the numbers; JSON values only."""
    weights: WeightsDocument | None = None
    """``{"source": "imagenet" | "file" | "random:SEED", "sha256": ..., "licence": ...}``; None: no weights."""
    has_windows: bool = True
    """False for a stream that knows only one row per utterance (a table without times)."""
    column_names: tuple[str, ...] | None = None
    """Names of the stream's columns, where each has a meaning of its own."""

    def to_json(self) -> SpecDocument:
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
    context: Context = "clip"
    """What the row of a window of sound has heard: its ``clip``, or the ``window`` alone; for encoders that say
    so (`EncoderEntry.context`)."""
    rate_hz: float | None = None
    """Frames per second of tables whose arrays carry no times."""
    confidence: float = LEAST_CONFIDENCE
    """Of rows of OpenFace, from 0 to 1: below it they hold no face."""


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
    faces: FaceRows | None = None
    """Whose face each window shows, where the encoder saw faces."""
    people: People | None = None
    """Whom the faces look like, where they are told apart: shards hold it, for the choice over the corpus."""

    @classmethod
    def nothing(cls, width: int, rows: int) -> StreamFeatures:
        """Return a stream of `width` columns that is masked throughout, over `rows` windows."""
        return cls(
            utterance=np.zeros(width, np.float32),
            present=False,
            windows=np.zeros((rows, width), np.float32),
            window_present=np.zeros(rows, np.bool_),
            time_s=np.full(rows, np.nan),
        )


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

LearnedFromLabels = Callable[[Mapping[str, Any]], bool]
FilesOf = Callable[[str, str | None], list[Path]]
DigestOf = Callable[[Path], str]


def named_files(argument: str, weights: str | None) -> list[Path]:
    """Return the argument and the weights as files.

    Raises
    ------
    FileNotFoundError, ValueError
        Where the weights are a file that is not there, or can't be read as what `WeightsChoice` takes.
    """
    if weights is not None:
        WeightsChoice.parse(weights).require_there()
    return [Path(word) for word in (argument, weights) if word]


@dataclass(frozen=True)
class EncoderEntry:
    """A registered encoder: what is known of it before it is built."""

    stream: StreamName
    name: str
    build: Builder
    weights: bool
    """Whether ``--video-weights`` or ``--audio-weights`` names its weights."""
    network: bool
    """Whether it runs on a device and in a precision; if not, neither shapes its rows."""
    table: bool
    """Whether it keeps the TableEncoder protocol: rows are looked up, no media is read."""
    learned_from_labels: LearnedFromLabels
    """Tells by the spec that a cache keeps whether the weights were fitted on emotion or sentiment labels."""
    folder: bool = False
    """Whether `argument` is a folder, which holds the weights, and settings behind ``@``; the name in its spec has
    the folder's own name."""
    context: bool = False
    """Whether `EncoderOptions.context` matters."""
    packages: tuple[str, ...] = ()
    """Installed packages whose versions may change last digits, beside those that every shard notes."""
    files: FilesOf = named_files
    """Tells by the argument and the weights, as typed, which files the encoder rests on, and refuses those that
    are not there, before anything is imported."""
    digest: DigestOf = digest_of_file
    """Gives the digest that a spec's weights state, of what ``predict --weights`` names."""

    @property
    def summary(self) -> str:
        """First line of the builder's docstring."""
        return (self.build.__doc__ or "").strip().partition("\n")[0]


NAME = re.compile(r"[a-z0-9][a-z0-9._-]*")
LIBRARIES = ("torchvision", "timm")  # whose networks are encoders by their names
REGISTRIES: dict[StreamName, Registry[EncoderEntry]] = {
    stream: Registry(f"{stream} encoder", package="dualstream.features.encoders", group=ENCODERS_GROUP)
    for stream in ("video", "audio")
}


def weights_from_file(spec: Mapping[str, Any]) -> bool:
    """Tell by a spec whether its weights came from a file that the user named."""
    return (spec.get("weights") or {}).get("source") == "file"


def register(
    stream: StreamName,
    name: str,
    *,
    weights: bool = False,
    network: bool = False,
    table: bool = False,
    learned_from_labels: LearnedFromLabels = weights_from_file,
    folder: bool = False,
    context: bool = False,
    packages: tuple[str, ...] = (),
    files: FilesOf = named_files,
    digest: DigestOf = digest_of_file,
) -> Callable[[B], B]:
    """Put a builder into the registry under `name`; a name given twice is an error.

    The builder receives what stands behind the colon in ``name:argument`` (or an empty string).

    Parameters
    ----------
    weights
        True where the user names the weights; others are refused ``--video-weights`` and ``--audio-weights``.
    network
        True where `EncoderOptions.device` and `precision` matter.
    table
        True where the encoder looks ready-made rows up; `argument` is then a file.
    learned_from_labels
        Tells by a spec whether the weights were fitted on emotion or sentiment labels, for the warning that
        scores by folds are then too good. By default every file of weights counts as such.
    folder
        True where `argument` is a model's folder, and what follows ``@`` in it is a setting.
    context
        True where `EncoderOptions.context` matters.
    packages
        Installed packages whose versions may change last digits.
    files
        Tells which files an argument and weights stand for, where they are not these files themselves.
    digest
        Gives the digest of weights that are more than one file.

    Raises
    ------
    ValueError
        Where the stream is none, the name can't be typed behind ``--video``, or it is taken.
    """
    if stream not in REGISTRIES:
        raise ValueError(f"encoder {name!r}: stream is {stream!r}; expected {' or '.join(REGISTRIES)}")
    if not NAME.fullmatch(name) or name == "none":
        raise ValueError(
            f"encoder {name!r}: expected small letters, digits, dots, dashes and underscores, not none"
        )

    def add(builder: B) -> B:
        rest = (weights, network, table, learned_from_labels, folder, context, packages, files, digest)
        REGISTRIES[stream].add(name, EncoderEntry(stream, name, builder, *rest), builder.__module__)
        return builder

    return add


def names(stream: StreamName) -> list[str]:
    """Return the names that `build` knows for a stream, sorted."""
    return REGISTRIES[stream].names()


def find(stream: StreamName, text: str) -> EncoderEntry | None:
    """Return the entry of the encoder that `text` names (``vgg16``, ``table:FILE``); None where there is none."""
    return REGISTRIES[stream].find(text.partition(":")[0])


def is_table(spec: Mapping[str, Any]) -> bool:
    """Tell by the spec that a cache keeps whether its encoder looks ready-made rows up."""
    entry = find(spec["stream"], spec["name"])
    return entry is not None and entry.table


def is_learned_from_labels(spec: Mapping[str, Any]) -> bool:
    """Tell by the spec that a cache keeps whether its weights were fitted on emotion or sentiment labels.

    Of an encoder that is not registered here (its package is not installed), every file of weights counts.
    """
    if not spec.get("weights"):
        return False
    entry = find(spec["stream"], spec["name"])
    return (entry.learned_from_labels if entry is not None else weights_from_file)(spec)


def build(stream: StreamName, text: str, options: EncoderOptions) -> Encoder:
    """Build the encoder that `text` names (``vgg16``, ``torchvision:resnet18``, ``table:FILE``).

    Raises
    ------
    ValueError
        Where no such encoder is registered, or it is one of the other stream (the message lists those that
        fit); or where weights are named for an encoder that has none to choose.
    """
    entry = require_known(stream, text)
    if options.weights is not None and not entry.weights:
        raise ValueError(
            f"{stream} encoder {entry.name} has no weights to choose; found {options.weights!r} for {text}"
        )
    return entry.build(text.partition(":")[2], options)


def require_known(stream: StreamName, text: str) -> EncoderEntry:
    """Return the entry of the encoder that `text` names; nothing is built, and torch is not imported.

    Raises
    ------
    ValueError
        Where no such encoder is registered, or it is one of the other stream; the message lists those that fit.
    """
    entry, name = find(stream, text), text.partition(":")[0]
    if entry is None:
        there = REGISTRIES[stream].listed(install_hint("extract"))
        other: StreamName = "audio" if stream == "video" else "video"
        if find(other, text) is not None:
            raise ValueError(
                f"{name!r} is an encoder of {other}; use --{other} {text}, or one of {stream}, which are: {there}"
            )
        near = REGISTRIES[stream].near(name)
        libraries = [f"{one}:{name}" for one in LIBRARIES if find(stream, one) is not None]
        if not near and name and libraries:
            there += f"; a network of that name in a library is {' or '.join(libraries)}"
        raise ValueError(f"no {stream} encoder is called {name!r}{near}; there are: {there}")
    return entry
