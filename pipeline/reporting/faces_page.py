"""Whose face each window shows, to look at: annotated clips, and thumbnails with the scores on one page."""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from html import escape
from pathlib import Path

import numpy as np
from dualstream.features.encode import ClipPlan
from dualstream.features.faces.region import CROP_DOWN, CROP_SHARE, FaceMethod, FaceReading, RegionEncoder
from dualstream.features.faces.rows import STATES, FaceRows, words_of
from dualstream.features.faces.scene import small_copy
from dualstream.features.faces.tracks import Track
from dualstream.features.media import Clip, MediaError, write_clip
from dualstream.features.media.pictures import Picture
from dualstream.pipeline.cache import Cache
from dualstream.pipeline.corpus.clip_files import NoClipError
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.extraction.staleness import Hasher
from dualstream.pipeline.reporting.face_drawing import BOX_WORDS, CURVE_CSS, score_curve, with_boxes
from dualstream.pipeline.reporting.style import html_page
from dualstream.pipeline.storage.documents import write_bytes
from dualstream.pipeline.storage.folders import make_folder
from numpy.typing import NDArray

PAGE = "faces.html"
SIDE_PX, RATE = 320, 12.5  # of an annotated clip: its longer side, and pictures a second
MOST_CLIPS = 40  # that are written and shown
MOST_THUMBNAILS = 10
OWN_CSS = """
.thumbs { display:flex; flex-wrap:wrap; gap:4px }
.thumbs figure { margin:0; font-size:.75rem; color:var(--muted); text-align:center }
.thumbs img { height:96px; display:block; border-radius:3px }
svg { display:block; width:100%; max-width:960px; height:auto; background:var(--soft); border-radius:6px }
svg polyline { fill:none; stroke-width:2 }
"""


@dataclass(frozen=True, repr=False)
class _Shown:
    """One utterance with its faces, and small pictures of it."""

    utterance: Utterance
    faces: FaceRows
    starts_s: NDArray[np.float64]
    length_s: float
    frames: NDArray[np.uint8]
    """Annotated, RATE a second, shape (F, H, W, 3)."""
    clip: Clip
    tracks: tuple[Track, ...] = ()
    """All faces that were found, the chosen ones among them."""
    share: float = 1.0
    """Pixels of a frame for each of the picture that tracks lie in."""

    def window_at(self, time_s: float) -> int:
        """Return the window whose centre is nearest to an instant."""
        return int(np.abs(self.starts_s + self.length_s / 2 - time_s).argmin())


class _Collector:
    """Keeps small copies of pictures, RATE a second, and finds all faces; a Watcher of features.media.pictures."""

    def __init__(self, reading: FaceReading, longest_s: float) -> None:
        self.frames: list[NDArray[np.uint8]] = []
        self.faces = reading.watch(longest_s)
        self.share = 1.0

    def see(self, picture: Picture) -> None:
        """Take the next picture, as often as the rate wants."""
        self.faces.see(picture)
        wanted = int(picture.time_s * RATE) + 1 - len(self.frames)
        if wanted > 0:
            self.frames += [small_copy(picture, SIDE_PX)] * wanted
            self.share = self.frames[-1].shape[1] / picture.width_px

    def end(self) -> None:
        """Learn that no picture follows."""
        self.faces.end()


def write_faces(folder: Path, cache: Cache, manifest: Manifest, plan: ClipPlan, hasher: Hasher) -> list[str]:
    """Write annotated clips and a page of the first MOST_CLIPS utterances; return what could not be shown.

    The clips are decoded once more; what is drawn is what the cache holds.
    """
    make_folder(folder)
    stream = next((one for one in cache.streams.values() if one.faces is not None), None)
    if stream is None or stream.faces is None:
        return ["no stream of the cache shows faces"]
    sections, lost = [], []
    for at, utterance in enumerate(manifest.utterances[:MOST_CLIPS]):
        span = slice(int(cache.offsets[at]), int(cache.offsets[at + 1]))
        rows = FaceRows(**{name: value[span] for name, value in vars(stream.faces).items()})
        try:
            with hasher.held(*utterance.files):
                shown = _read(utterance, rows, cache.start_s[span], plan, hasher)
            if len(shown.frames):
                sound = shown.clip.audio
                rate_hz = (plan.decode.sample_rate_hz if plan.decode else None) or 16_000
                write_clip(folder / f"{utterance.id}.mp4", shown.frames, RATE, sound, rate_hz)
            sections.append(_section(shown))
        except (MediaError, NoClipError) as error:
            lost.append(f"{utterance.id}: {error}")
    write_bytes(folder / PAGE, _page(sections, stream.name).encode())
    return lost


def _read(
    utterance: Utterance, rows: FaceRows, starts_s: NDArray[np.float64], plan: ClipPlan, hasher: Hasher
) -> _Shown:
    assert plan.decode is not None
    place, sound = hasher.places(utterance, plan.decode)
    span = None if utterance.start_s is None or utterance.end_s is None else (utterance.start_s, utterance.end_s)
    method = next(one.method for one in plan.video.values() if isinstance(one, RegionEncoder))
    reading = FaceReading(FaceMethod(method.detector), plan.windows, plan.sampling, size_px=2)
    watching = replace(plan, reader=partial(plan.reader, watch=partial(_Collector, reading)))
    clip = watching.read(place, span_s=span, sound=sound)
    frames, tracks, share = [], [], 1.0
    if isinstance(clip.watcher, _Collector):
        frames, share = clip.watcher.frames, clip.watcher.share
        tracks = [one.track for one in clip.watcher.faces.seen()]
    stacked = np.stack(frames) if frames else np.zeros((0, 2, 2, 3), np.uint8)
    shown = _Shown(utterance, rows, starts_s, plan.windows.length_s, stacked, clip, tuple(tracks), share)
    drawn = [_annotated(shown, number) for number in range(len(stacked))]
    return replace(shown, frames=np.stack(drawn)) if drawn else shown


def _annotated(shown: _Shown, number: int) -> NDArray[np.uint8]:
    """Return a picture with boxes and words of the window that is nearest to it."""
    frame, window = shown.frames[number], shown.window_at(number / RATE)
    sides = [frame.shape[1], frame.shape[0]] * 2
    others = []
    for track in shown.tracks:
        place = track.place(number / RATE) if track.number != shown.faces.track[window] else None
        if place is not None:
            left, top, right, bottom = (
                side * shown.share / length
                for side, length in zip(place.square(CROP_SHARE, CROP_DOWN), sides, strict=True)
            )
            others.append((left, top, right, bottom))
    return with_boxes(frame, shown.faces, window, others)


def _page(sections: Sequence[str], stream: str) -> str:
    shown = "".join(sections) or "<p>No clip could be shown.</p>"
    body = (
        f"<h1>Faces of the stream {escape(stream)}</h1>"
        f"<p>{BOX_WORDS} Windows without a green box are masked.</p>"
        f"{shown}"
    )
    return html_page("Faces", body, css=OWN_CSS + CURVE_CSS)


def _section(shown: _Shown) -> str:
    states = [f"{count} {name}" for name, count in shown.faces.summary().items() if name in STATES]
    picked = np.unique(np.linspace(0, len(shown.faces) - 1, MOST_THUMBNAILS).round().astype(int))
    thumbs = "".join(_thumbnail(shown, int(window)) for window in picked) if len(shown.frames) else ""
    title = f"{escape(shown.utterance.id)} {escape(shown.utterance.speaker)}".strip()
    return (
        f"<section><h2>{title}</h2><p>{', '.join(states)}</p><div class=thumbs>{thumbs}</div>"
        f"{score_curve(shown.faces, shown.starts_s + shown.length_s / 2)}</section>"
    )


def _thumbnail(shown: _Shown, window: int) -> str:
    from PIL import Image

    centre_s = float(shown.starts_s[window]) + shown.length_s / 2
    frame = shown.frames[min(round(centre_s * RATE), len(shown.frames) - 1)]
    data = io.BytesIO()
    Image.fromarray(frame).save(data, "JPEG", quality=80)
    source = base64.b64encode(data.getvalue()).decode()
    caption = escape(f"{centre_s:.1f} s: {words_of(shown.faces, window)}")
    picture = f'<img alt="{caption}" src="data:image/jpeg;base64,{source}">'
    return f"<figure>{picture}<figcaption>{caption}</figcaption></figure>"
