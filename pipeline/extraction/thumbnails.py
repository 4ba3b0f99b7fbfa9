"""One small picture of each of a few utterances, read from their clips: for pages, never for features.

Where an encoder saw faces, the picture is of a window that shows one: the whole frame with the crop's box, and the
crop beside it.
"""

from __future__ import annotations

import logging
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import numpy as np
from dualstream.features.faces.drawing import draw_box
from dualstream.features.faces.rows import CHOSEN
from dualstream.features.media import DecodeSettings, MediaError, read_clip
from dualstream.features.media.pictures import Picture
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.pipeline.cache import Cache
from dualstream.pipeline.corpus.clip_files import clip_at
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import DualstreamError
from numpy.typing import NDArray

SIZE_PX = 96

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class ShownFace:
    """The face that an encoder saw in one window."""

    time_s: float
    """Presentation time of its picture on the clip's clock, seconds."""
    box: tuple[float, float, float, float]
    """Left, top, right, bottom of the crop, as shares of the picture."""


def shown_faces(cache: Cache) -> dict[str, ShownFace]:
    """Return each utterance's face of the window nearest to its middle, of the first stream that shows faces."""
    stream = next((one for one in cache.streams.values() if one.faces is not None), None)
    if stream is None or stream.faces is None or stream.time_s is None:
        return {}
    found = {}
    for at, name in enumerate(cache.utterances.id):
        first, end = int(cache.offsets[at]), int(cache.offsets[at + 1])
        shown = first + np.flatnonzero(np.isin(stream.faces.state[first:end], CHOSEN))
        shown = shown[np.isfinite(stream.time_s[shown])]
        if len(shown):
            best = int(shown[np.abs(shown - (first + end - 1) / 2).argmin()])
            left, top, right, bottom = map(float, stream.faces.box[best])
            found[name] = ShownFace(float(stream.time_s[best]), (left, top, right, bottom))
    return found


def middle_frames(
    manifest: Manifest, root: Path, ids: Collection[str], faces: Mapping[str, ShownFace] | None = None
) -> dict[str, NDArray[np.uint8]]:
    """Return a frame from the middle of each utterance, (96, 96, 3), padded with black to a square.

    Of an utterance in `faces` it is the frame of that face with its box, and beside it the crop, (96, 192, 3).
    Utterances that the manifest lacks, or whose clip can't be read, are left out; why is logged.
    """
    found = {}
    for utterance in manifest:
        if utterance.id not in ids:
            continue
        face = (faces or {}).get(utterance.id)
        try:
            frame = _middle(root, utterance) if face is None else _marked(root, utterance, face)
        except (MediaError, DualstreamError, OSError) as error:
            log.warning("%s: no thumbnail: %s", utterance.id, error)
            continue
        if frame is not None:
            found[utterance.id] = frame
    return found


def _middle(root: Path, utterance: Utterance) -> NDArray[np.uint8] | None:
    clip = read_clip(
        clip_at(root, utterance.path),
        plan=WindowPlan(),
        sampling=Sampling("uniform", 1),
        settings=DecodeSettings(frame_size_px=SIZE_PX, sample_rate_hz=None, fit="pad"),
        span_s=(utterance.start_s, utterance.end_s),
    )
    return np.asarray(clip.frames[len(clip.frames) // 2]) if len(clip.frames) else None


class _Nearest:
    """Keeps the picture that is nearest to an instant; a Watcher of features.media.pictures."""

    def __init__(self, time_s: float, longest_s: float) -> None:
        self.time_s, self.longest_s = time_s, longest_s
        self.picture: Picture | None = None

    def see(self, picture: Picture) -> None:
        """Take the next picture."""
        if self.picture is None or abs(picture.time_s - self.time_s) < abs(self.picture.time_s - self.time_s):
            self.picture = picture

    def end(self) -> None:
        """Do nothing."""


def _marked(root: Path, utterance: Utterance, face: ShownFace) -> NDArray[np.uint8] | None:
    """Return the frame of a face with its box, and the crop beside it."""
    clip = read_clip(
        clip_at(root, utterance.path),
        plan=WindowPlan(),
        sampling=Sampling("uniform", 1),
        settings=DecodeSettings(frame_size_px=SIZE_PX, sample_rate_hz=None),
        span_s=(utterance.start_s, utterance.end_s),
        watch=partial(_Nearest, face.time_s),
    )
    picture = clip.watcher.picture if isinstance(clip.watcher, _Nearest) else None
    if picture is None:
        return None
    sides = np.array([picture.width_px, picture.height_px] * 2)
    crop = picture.rgb(tuple(np.array(face.box) * sides), (SIZE_PX, SIZE_PX))
    return np.concatenate([_framed(picture, face), crop], axis=1)


def _framed(picture: Picture, face: ShownFace) -> NDArray[np.uint8]:
    """Return the whole picture in a black square, with the face's box."""
    share = SIZE_PX / max(picture.width_px, picture.height_px)
    width, height = (max(1, round(side * share)) for side in (picture.width_px, picture.height_px))
    frame = picture.rgb((0.0, 0.0, float(picture.width_px), float(picture.height_px)), (width, height))
    draw_box(frame, face.box)
    square = np.zeros((SIZE_PX, SIZE_PX, 3), np.uint8)
    x, y = (SIZE_PX - width) // 2, (SIZE_PX - height) // 2
    square[y : y + height, x : x + width] = frame
    return square
