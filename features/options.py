"""How clips are read, in plain values that the command line shows without importing NumPy."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

Precision = Literal["fp32", "bf16"]
Fit = Literal["stretch", "crop", "pad"]
Channels = Literal["auto", "mix", "center"]
Speed = Literal["exact", "fast"]
Decoder = Literal["ffmpeg", "pyav"]
Context = Literal["clip", "window"]

SHORTEST_PIECE_S, LONGEST_PIECE_S = 0.02, 60.0  # of scrambled sound: a frame of speech; most of any utterance


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
