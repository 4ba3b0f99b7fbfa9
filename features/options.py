"""How clips are read, in plain values that the command line shows without importing NumPy."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Literal, get_args

from annotated_types import Ge, Interval

Precision = Literal["fp32", "bf16"]
Fit = Literal["stretch", "crop", "pad"]
Channels = Literal["auto", "mix", "center"]
Speed = Literal["exact", "fast"]
Decoder = Literal["ffmpeg", "pyav", "nvdec"]
Context = Literal["clip", "window"]
Region = Literal["frame", "face", "speaker"]
REGIONS: tuple[Region, ...] = get_args(Region)

SHORTEST_PIECE_S, LONGEST_PIECE_S = 0.02, 60.0  # of scrambled sound: a frame of speech; most of any utterance
FACE_DETECTOR, SPEAKER_SCORER, IDENTITY_EMBEDDER = "blazeface", "sync", "face-api"  # where none is named
OF_FACES = ("face_detector", "face_weights")
OF_SPEAKERS = ("speaker_scorer", "speaker_weights", "speaker_margin", "speaker_alone")
OF_IDENTITY = ("identity_embedder", "identity_weights")
LEAST_CONFIDENCE = 0.5  # OpenFace's, from 0 to 1: below it a row holds no face


@dataclass(frozen=True, kw_only=True)
class ReadingOptions:
    """Windows over a clip, and how its frames and audio are read. Each default exists here and nowhere else."""

    window_s: float = 1.0
    """Length of a window, seconds."""
    hop_s: float = 0.5
    """Distance between windows, seconds."""
    sampling: str = "aligned"
    """Which frames: aligned (one per window), every:SECONDS, uniform:COUNT."""
    fit: Fit = "stretch"
    """How frames become squares: stretch, crop or pad."""
    channels: Channels = "auto"
    """Audio of many channels: auto (the centre, if it is heard), mix, center."""
    max_clip_s: float = 120.0
    """Only this much of a clip is read, seconds."""


@dataclass(frozen=True, kw_only=True)
class FaceOptions:
    """What of the picture the encoders see. Each default exists here and nowhere else."""

    region: tuple[str, ...] = ("frame",)
    """frame (all of it), face (the largest) or speaker (whoever talks); repeat for more streams."""
    face_detector: str | None = None
    """blazeface (default), yunet, mtcnn, or one of an installed package."""
    face_weights: Path | None = None
    """File of the detector's weights: .tflite for blazeface, .onnx for yunet."""
    speaker_scorer: str | None = None
    """sync (mouth against loudness, no weights; default) or lr-asd (a network)."""
    speaker_weights: Path | None = None
    """File of the scorer's weights: lr-asd's state dict."""
    speaker_margin: Annotated[float, Ge(0)] | None = None
    """By how much the best face of a shot must lead the second one; default: the scorer's own."""
    speaker_alone: Annotated[float, Interval(ge=-100, le=100)] | None = None
    """A face alone in its shot is masked where it scores less than this; default: it is taken (docs/faces.md)."""

    @property
    def detector(self) -> str:
        """Name of what finds faces."""
        return self.face_detector or FACE_DETECTOR

    @property
    def scorer(self) -> str:
        """Name of what tells who talks."""
        return self.speaker_scorer or SPEAKER_SCORER


@dataclass(frozen=True, kw_only=True)
class IdentityOptions:
    """Who a face is, for `--region speaker`. Each default exists here and nowhere else."""

    identity: bool = False
    """Uses speaker names: where no face leads by the margin, take the one that goes with the row's speaker.

    The names of train rows say which faces go with whom (docs/faces.md)."""
    identity_embedder: str | None = None
    """What tells people apart: face-api (default), onnx (ArcFace, SFace …) or one of an installed package."""
    identity_weights: Path | None = None
    """File of its weights: face_recognition_model.bin for face-api, a face-recognition network for onnx."""

    @property
    def embedder(self) -> str:
        """Name of what tells people apart."""
        return self.identity_embedder or IDENTITY_EMBEDDER


def require_regions(options: FaceOptions, identity: IdentityOptions) -> None:
    """Refuse regions that there are not, and options of faces that none of the regions uses.

    Raises
    ------
    ValueError
        Naming the option.
    """
    regions = set(options.region)
    if unknown := sorted(regions - set(REGIONS)):
        raise ValueError(f"--region {unknown[0]!r}; expected {', '.join(REGIONS)}")
    if len(regions) != len(options.region):
        raise ValueError(f"--region names one twice: {', '.join(options.region)}")
    found = f"found --region {', '.join(options.region)}"
    if given := [] if identity.identity else given_options(identity, OF_IDENTITY):
        raise ValueError(f"{given[0]} goes with --identity: give that too, or leave it out")
    if identity.identity and "speaker" not in regions:
        raise ValueError(f"--identity helps to choose the speaker's face: it goes with --region speaker; {found}")
    if given := given_options(options, OF_FACES) if regions == {"frame"} else []:
        raise ValueError(f"{given[0]} goes with --region face or speaker; {found}: name one, or leave it out")
    if given := [] if "speaker" in regions else given_options(options, OF_SPEAKERS):
        raise ValueError(f"{given[0]} goes with --region speaker; {found}: name that, or leave it out")


def given_options(options: object, names: Iterable[str]) -> list[str]:
    """Return those of some options that differ from their defaults, as they are typed: ``--face-weights FILE``."""
    values = ((name, getattr(options, name)) for name in names)
    return [_typed(name, value) for name, value in values if value != getattr(type(options), name)]


def _typed(name: str, value: object) -> str:
    """Return an option as it is typed; a flag stands alone."""
    word = name.replace("_", "-")
    if isinstance(value, bool):
        return f"--{word}" if value else f"--no-{word}"
    return f"--{word} {value}"
