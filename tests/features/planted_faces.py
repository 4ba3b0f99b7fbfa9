"""Drawn faces whose truth is known: squares of pure colours with a mouth that opens, and a detector that sees colours.

A face's colour names it (red, green, blue), so that a crop tells whose it is; the sound's bursts are drawn from a
seed, and so are the mouths that follow nothing. Pictures are made without ffmpeg.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.faces.detection import Face, square_face
from dualstream.features.media.pictures import Picture
from numpy.typing import NDArray

RATE, AUDIO_HZ = 25.0, 16_000
WIDTH, HEIGHT = 192, 96
COLOURS = ((220, 30, 30), (30, 200, 30), (40, 40, 230))
Mouth = Callable[[float], float]


@dataclass(frozen=True)
class Drawn:
    """One face from `start_s` to `end_s`."""

    colour: int
    x: float
    """Left edge, pixels."""
    mouth: Mouth
    """How far it is open at a time, 0 to 1."""
    side: float = 48.0
    start_s: float = 0.0
    end_s: float = 1e9
    y: float = 20.0


def bursts(seed: int, duration_s: float, rate_hz: float = 3.5) -> Mouth:
    """Return an envelope of syllables at random times, 0 to 1."""
    rng = np.random.default_rng(seed)
    gaps = rng.uniform(0.4, 1.8, int(duration_s * rate_hz * 2) + 4) / rate_hz
    at = np.cumsum(gaps)
    width = rng.uniform(0.05, 0.12, len(at))
    height = rng.uniform(0.4, 1.0, len(at))
    return lambda t: float(min(1.0, (height * np.exp(-0.5 * ((t - at) / width) ** 2)).sum()))


def rest(t: float) -> float:
    """Stay shut."""
    return 0.0


def voice(envelope: Mouth, duration_s: float, seed: int = 0) -> NDArray[np.float32]:
    """Return noise that is as loud as an envelope."""
    rng = np.random.default_rng(seed)
    ticks = np.arange(0, duration_s, 0.01)
    level = np.interp(np.arange(round(duration_s * AUDIO_HZ)) / AUDIO_HZ, ticks, [envelope(t) for t in ticks])
    return (0.2 * level * rng.standard_normal(len(level)) + 1e-4 * rng.standard_normal(len(level))).astype(
        np.float32
    )


def image(faces: Sequence[Drawn], time_s: float, background: int = 60, seed: int = 0) -> NDArray[np.uint8]:
    """Return an RGB picture, shape (HEIGHT, WIDTH, 3), with a little noise."""
    rng = np.random.default_rng(seed + round(time_s * 1000))
    canvas = np.full((HEIGHT, WIDTH, 3), background, np.float32)
    for one in faces:
        if not one.start_s <= time_s < one.end_s:
            continue
        x, y, side = round(one.x), round(one.y), round(one.side)
        canvas[y : y + side, x : x + side] = COLOURS[one.colour]
        top, height = y + round(0.68 * side), round(0.04 * side + 0.22 * side * one.mouth(time_s))
        canvas[top : top + height, x + side // 3 : x + 2 * side // 3] = np.array(COLOURS[one.colour]) * 0.25
    noisy = canvas + rng.normal(0, 1.5, canvas.shape)
    return np.clip(noisy, 0, 255).astype(np.uint8)


def picture(rgb: NDArray[np.uint8], time_s: float) -> Picture:
    """Return an RGB picture as planes of BT.601, limited range."""
    red, green, blue = (rgb[:, :, at].astype(np.float64) for at in range(3))
    y = 16 + (65.738 * red + 129.057 * green + 25.064 * blue) / 256
    u = 128 + (-37.945 * red - 74.494 * green + 112.439 * blue) / 256
    v = 128 + (112.439 * red - 94.154 * green - 18.285 * blue) / 256
    half = [plane.reshape(HEIGHT // 2, 2, WIDTH // 2, 2).mean(axis=(1, 3)) for plane in (u, v)]
    return Picture(time_s, *(np.rint(plane).astype(np.uint8) for plane in (y, *half)))


def whose(crop: NDArray[np.uint8]) -> int:
    """Return the number of the colour that a crop shows most of, by its middle."""
    size = crop.shape[0]
    middle = crop[size // 3 : size // 2, size // 3 : 2 * size // 3].reshape(-1, 3).astype(float).mean(axis=0)
    return int(np.argmin([np.abs(middle - np.array(colour)).sum() for colour in COLOURS]))


class ColourDetector:
    """Keeps the FaceDetector protocol: finds the squares of pure colour."""

    name = "colour"
    side_px = WIDTH
    sure_score = 0.5

    def __init__(self, weights: Path | None = None) -> None:
        self.sha256 = hashlib.sha256(weights.read_bytes()).hexdigest() if weights else None

    def to_json(self) -> dict[str, Any]:
        weights = {"source": "file", "sha256": self.sha256, "licence": "none"} if self.sha256 else None
        return {"name": self.name, "version": 1, "weights": weights}

    def detect(self, image: NDArray[np.uint8]) -> list[Face]:
        found = []
        for colour in COLOURS:
            near = (np.abs(image.astype(int) - np.array(colour)).sum(axis=2) < 90) | (
                np.abs(image.astype(int) - np.array(colour) * 0.25).sum(axis=2) < 30
            )
            rows, columns = np.flatnonzero(near.mean(axis=1) > 0.03), np.flatnonzero(near.mean(axis=0) > 0.05)
            if len(rows) < 8 or len(columns) < 8:
                continue
            side = float(columns[-1] - columns[0] + 1)
            x, y = float(columns[0]) + side / 2, float(rows[0]) + side / 2
            found.append(square_face((x, y), side, (x, y - 0.2 * side), (x, y + 0.25 * side), 0.9))
        return found
