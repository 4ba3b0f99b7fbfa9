"""How a bundle's answer changes over one clip: what it says of a stretch around each moment.

    clip       0 ──────────────────────────────────────── D
    windows    [  0  ][  1  ]  …        k  …                      centres c(k), one a hop
    stretch              [ c(k) - S/2 ────── c(k) + S/2 )         taken for a clip of its own

The point at c(k) is the answer that the head gives where it is shown nothing but that stretch: the frames of the
windows that lie in it, and the sound of it, features made anew. It is no probability that a feeling occurs at that
instant: stretches overlap, and a head that was fitted on whole utterances is shown parts of one.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np
from dualstream.features.batching import FrameBatcher
from dualstream.features.encode import ClipPlan
from dualstream.features.encoder import AudioEncoder, StreamFeatures, VideoEncoder
from dualstream.features.faces.region import Crops, RegionEncoder
from dualstream.features.faces.rows import FaceRows
from dualstream.features.faces.scene import Scene
from dualstream.features.media import Clip
from dualstream.features.options import Region
from dualstream.heads.data.speaker_prior import SpeakerScales
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import Task
from dualstream.pipeline.bundles.folder import Bundle
from dualstream.pipeline.bundles.inference import Features, answer, projected
from dualstream.pipeline.bundles.predictions import TimelinePoint
from numpy.typing import NDArray

from dualstream.cores import one_core

UNKNOWN = -1  # the code of a speaker who is not known
DEFAULT_CONTEXT_S = 3.0  # an utterance of MELD lasts 3.1 s on average
MAX_THUMBNAILS = 8
SCENE_PX = 192  # the longer side of the pictures around the crops of faces


@dataclass(frozen=True, repr=False)
class FaceView:
    """One window to look at: its picture, the faces in it, and the crop that the encoder saw."""

    window: int
    scene: Scene
    crop: NDArray[np.uint8] | None
    """RGB, (S, S, 3); None where the window is masked."""


@dataclass(frozen=True, repr=False)
class Timeline:
    """Answers along one clip."""

    time_s: NDArray[np.float64]
    """Centre of each stretch on the clip's clock, seconds, shape (K,)."""
    span_s: NDArray[np.float64]
    """Its start and end, clipped to the clip, shape (K, 2)."""
    probabilities: dict[Task, NDArray[np.float64]]
    """Calibrated, shape (K, C); NaN where no stream has anything in the stretch."""
    thumbnails: tuple[tuple[float, NDArray[np.uint8]], ...]
    """Time and frame, (S, S, 3), as the encoder saw it."""
    aspect: float
    """Width over height that the picture is shown with."""
    duration_s: float
    faces: FaceRows | None = None
    """Whose face each window shows, where thumbnails are crops of faces."""
    views: tuple[FaceView, ...] = ()
    """A few windows, spread evenly, where thumbnails are crops of faces."""

    def to_json(self, bundle: Bundle) -> list[TimelinePoint]:
        """Return a JSON value for each stretch; those without a stream have no probabilities."""
        points = []
        for k in range(len(self.time_s)):
            point: TimelinePoint = {
                "time_s": float(self.time_s[k]),
                "start_s": float(self.span_s[k, 0]),
                "end_s": float(self.span_s[k, 1]),
            }
            for task, rows in self.probabilities.items():
                there = bool(np.isfinite(rows[k]).all())
                names = bundle.vocabulary[task]
                point[task] = dict(zip(names, map(float, rows[k]), strict=True)) if there else None
            points.append(point)
        return points


def has_timeline(bundle: Bundle) -> bool:
    """Return whether a stretch of a clip means something to the variant: not where it reads whole dialogues."""
    return not registry.get(bundle.variant).needs_dialogues


@one_core()
def clip_timeline(
    path: Path,
    span_s: tuple[float, float] | None,
    bundle: Bundle,
    plan: ClipPlan,
    *,
    context_s: float,
    sound: Path | None = None,
    speaker: int = UNKNOWN,
    scales: SpeakerScales | None = None,
) -> Timeline:
    """Read a clip once more and answer for a stretch of `context_s` seconds around each window's centre.

    Where `sound` is given, that file holds the clip's sound. Where heads read speaker-normalised rows,
    stretches are normalised as the clip was: by `scales`, for the speaker of this code.

    Raises
    ------
    MediaError
        Where the file can't be read any more.
    """
    assert plan.decode is not None
    clip, crops = plan.read_regions(path, span_s=span_s, sound=sound, scene_px=SCENE_PX)
    centres_s = np.minimum(clip.starts_s + plan.windows.length_s / 2, clip.duration_s)  # (K,)
    spans_s = np.stack([centres_s - context_s / 2, centres_s + context_s / 2], axis=1).clip(0.0, clip.duration_s)
    seen = {name: _seen(encoder, clip, crops) for name, encoder in plan.video.items()}
    frame_rows = _frame_rows(seen, plan)
    streams: dict[str, list[StreamFeatures]] = {}
    grids = [_windows(clip, plan, start_s, end_s) for start_s, end_s in spans_s]
    for name, encoder in plan.encoders.items():
        width = encoder.spec.raw_width
        if isinstance(encoder, AudioEncoder):
            raw = [
                _heard(encoder, clip, plan, (start_s, end_s), grid, width)
                for (start_s, end_s), grid in zip(spans_s, grids, strict=True)
            ]
        else:
            raw = [_shown(frame_rows[name], seen[name].window, clip, grid, width) for grid in grids]
        streams[name] = projected(raw, bundle.projections.get(name))
    count = len(spans_s)
    starts = [clip.starts_s[grid] - span[0] for grid, span in zip(grids, spans_s, strict=True)]
    features = Features(starts, streams).feature_set(
        bundle, np.arange(count), np.zeros(count, dtype=np.int64), np.full(count, speaker)
    )
    there = np.any([[one.present for one in rows] for rows in streams.values()], axis=0)
    said = answer(bundle, features, scales).calibrated
    frames = next(iter(seen.values()), _Seen(clip.frames, clip.frame_window, clip.frame_time_s))
    picked = _picked(frames)
    facts = clip.facts
    fit = plan.decode.fit
    stretched = fit == "stretch" and not crops
    aspect = facts.width_px / facts.height_px if stretched and facts.width_px and facts.height_px else 1.0
    return Timeline(
        time_s=centres_s,
        span_s=spans_s,
        probabilities={task: np.where(there[:, None], rows, np.nan) for task, rows in said.items()},
        thumbnails=tuple((float(frames.time_s[at]), frames.frames[at].copy()) for at in picked),
        aspect=float(np.clip(aspect, 0.25, 4.0)),
        duration_s=clip.duration_s,
        faces=frames.faces,
        views=_views(frames),
    )


class _Seen(NamedTuple):
    """What an encoder sees of a clip: frames, or crops, with their windows and times."""

    frames: NDArray[np.uint8]
    window: NDArray[np.int64]
    time_s: NDArray[np.float64]
    faces: FaceRows | None = None
    scenes: Mapping[int, Scene] = {}


def _seen(encoder: VideoEncoder, clip: Clip, crops: Mapping[Region, Crops]) -> _Seen:
    if isinstance(encoder, RegionEncoder):
        one = crops[encoder.region]
        return _Seen(one.frames, one.window, one.time_s, one.faces, one.scenes)
    return _Seen(clip.frames, clip.frame_window, clip.frame_time_s)


def _frame_rows(seen: Mapping[str, _Seen], plan: ClipPlan) -> dict[str, NDArray[np.float32]]:
    if not plan.video:
        return {}
    batcher = FrameBatcher(plan.video)
    batcher.add({name: one.frames for name, one in seen.items()})
    return {name: rows[0] for name, rows in batcher.finish().items()}


def _windows(clip: Clip, plan: ClipPlan, start_s: float, end_s: float) -> NDArray[np.int64]:
    """Return the windows whose centres lie in a stretch; at least the one that is nearest to its middle."""
    centres_s = np.minimum(clip.starts_s + plan.windows.length_s / 2, clip.duration_s)
    inside = np.flatnonzero((centres_s >= start_s) & (centres_s <= end_s))
    if len(inside):
        return inside
    return np.array([int(np.argmin(np.abs(centres_s - (start_s + end_s) / 2)))])


def _shown(
    rows: NDArray[np.float32], window: NDArray[np.int64], clip: Clip, grid: NDArray[np.int64], width: int
) -> StreamFeatures:
    """Return a video stream of some of the clip's windows; its utterance row is the mean of their frames'."""
    every = np.zeros((len(clip.starts_s), width), np.float32)
    mask = np.zeros(len(clip.starts_s), np.bool_)
    every[window], mask[window] = rows, True
    windows, there = every[grid], mask[grid]
    mean = windows[there].mean(axis=0, dtype=np.float64) if there.any() else np.zeros(width)
    return StreamFeatures(
        mean.astype(np.float32), bool(there.any()), windows, there, np.where(there, clip.starts_s[grid], np.nan)
    )


def _heard(
    encoder: AudioEncoder,
    clip: Clip,
    plan: ClipPlan,
    span_s: tuple[float, float],
    grid: NDArray[np.int64],
    width: int,
) -> StreamFeatures:
    """Encode the sound of a stretch as a clip of its own."""
    nothing = StreamFeatures.nothing(width, len(grid))
    if clip.audio is None or clip.audio_covered_s is None:
        return nothing
    covered = max(clip.audio_covered_s[0], span_s[0]), min(clip.audio_covered_s[1], span_s[1])
    if covered[1] - covered[0] <= 0:
        return nothing
    rate = encoder.sample_rate_hz
    first, last = round(span_s[0] * rate), round(span_s[1] * rate)
    starts_s = np.maximum(clip.starts_s[grid] - span_s[0], 0.0)
    said = encoder.encode_audio(
        clip.audio[first:last],
        starts_s,
        plan.windows.length_s,
        (covered[0] - span_s[0], min(covered[1] - span_s[0], (last - first) / rate)),
    )
    sound = said.present and bool(np.isfinite(said.utterance).all())
    mask = said.window_present & np.isfinite(said.windows).all(axis=1) & sound
    return StreamFeatures(
        said.utterance if sound else np.zeros(width, np.float32),
        sound,
        np.where(mask[:, None], said.windows, np.float32(0)),
        mask,
        np.where(mask, said.time_s, np.nan),
    )


def _picked(seen: _Seen) -> NDArray[np.int64]:
    """Return which frames are shown: a few, spread evenly."""
    count = len(seen.frames)
    if not count or seen.frames.shape[1] == 0:
        return np.zeros(0, dtype=np.int64)
    return np.unique(np.linspace(0, count - 1, min(count, MAX_THUMBNAILS)).round().astype(np.int64))


def _views(seen: _Seen) -> tuple[FaceView, ...]:
    """Return windows to look at, masked ones among them: a few, spread evenly."""
    windows = sorted(seen.scenes)
    if not windows:
        return ()
    crops = dict(zip(seen.window.tolist(), seen.frames, strict=True))
    picked = np.unique(np.linspace(0, len(windows) - 1, min(len(windows), MAX_THUMBNAILS)).round().astype(int))
    return tuple(
        FaceView(window, seen.scenes[window], None if window not in crops else crops[window].copy())
        for window in (windows[at] for at in picked)
    )
