"""Drawn faces: the crop that an encoder saw and the other faces as boxes on a picture, scores as curves."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from dualstream.features.faces.drawing import CHOSEN_INK, OTHER_INK, draw_box
from dualstream.features.faces.rows import CHOSEN, FaceRows, words_of
from dualstream.features.faces.scene import Box
from numpy.typing import NDArray

WIDTH, HEIGHT = 960, 80
CURVE_CSS = ".masked { fill:var(--orange); fill-opacity:.2 }\n"
BOX_WORDS = "A green box is the crop that the encoder saw, thin orange ones are other faces."


def with_boxes(
    frame: NDArray[np.uint8], faces: FaceRows, window: int, others: Iterable[Box], *, words: bool = True
) -> NDArray[np.uint8]:
    """Return a picture, (H, W, 3), with the box of one window's crop, those of `others` thin, and its words.

    Boxes are left, top, right, bottom as shares of the picture.
    """
    drawn = frame.copy()
    chosen = bool(faces.state[window] in CHOSEN)
    for box in others:
        draw_box(drawn, box, chosen=False)
    if chosen:
        draw_box(drawn, faces.box[window])
    return _with_words(drawn, words_of(faces, window), CHOSEN_INK if chosen else OTHER_INK) if words else drawn


def _with_words(picture: NDArray[np.uint8], text: str, ink: tuple[int, int, int]) -> NDArray[np.uint8]:
    from PIL import Image, ImageDraw

    image = Image.fromarray(picture)
    pen = ImageDraw.Draw(image)
    pen.rectangle(pen.textbbox((3, 2), text), fill=(0, 0, 0))  # light letters on a light wall can't be read
    pen.text((3, 2), text, fill=ink)
    return np.asarray(image)


def score_curve(faces: FaceRows, centres_s: NDArray[np.float64]) -> str:
    """Draw score and margin over time, each from its least to its largest; masked windows in the ground.

    Below them stand the ranges, and the instants of the first and the last window's centre.
    """
    count = len(faces)
    step = WIDTH / max(count, 1)
    ground = "".join(
        f'<rect x="{k * step:.1f}" y="0" width="{step:.1f}" height="{HEIGHT}" class="masked"/>'
        for k in range(count)
        if faces.state[k] not in CHOSEN
    )
    drawn = [
        (name, values, ink)
        for name, values, ink in (
            ("blue: score of the best face", faces.score, "blue"),
            ("green: its margin", faces.margin, "green"),
        )
        if np.isfinite(values).sum() > 1
    ]
    lines = [_line(values, step, ink) for _, values, ink in drawn]
    ranges = [f"{name}, {np.nanmin(values):.2f} to {np.nanmax(values):.2f}" for name, values, _ in drawn]
    words = "; ".join([*ranges, "shaded: masked", f"from {centres_s[0]:.1f} to {centres_s[-1]:.1f} s"])
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" role="img" aria-label="score and margin over time">{ground}'
        f'{"".join(lines)}</svg><p class="note">{words}</p>'
    )


def _line(values: NDArray[np.float32], step: float, ink: str) -> str:
    known = np.isfinite(values)
    least, spread = float(values[known].min()), float(np.ptp(values[known])) or 1.0
    points = " ".join(
        f"{(k + 0.5) * step:.1f},{HEIGHT - 6 - (HEIGHT - 12) * (float(values[k]) - least) / spread:.1f}"
        for k in np.flatnonzero(known)
    )
    return f'<polyline points="{points}" style="stroke:var(--{ink})"/>'
