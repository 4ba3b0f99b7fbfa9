"""One pass over a clip's pictures: cuts, detections, tracks, and the crops that windows and scorers want.

A box at an instant depends on detections up to SETTLED_S later (tracks.py), so pictures wait that long, and what
is cropped of them is all that stays: a second of pictures is held, whatever the clip's length.

    pictures   ─────────────────────────────► now
    detected   x   x   x   x   x   x   x   x
    settled    ──────────────────────┤ held ├     crops are taken here
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from dualstream.features.faces.detection import Face, FaceDetector
from dualstream.features.faces.embedding import AlignSpec, aligned
from dualstream.features.faces.scoring import TICKS_PER_S, CropSpec
from dualstream.features.faces.shots import ShotFinder
from dualstream.features.faces.tracks import SETTLED_S, Place, Track, Tracker
from dualstream.features.media.pictures import Picture
from dualstream.features.windows import Targets
from numpy.typing import NDArray

DETECTED_EACH_S = 0.12
MOST_FACES = 8  # of a picture: the largest
MOST_LOOKS = 6  # at a track, for an embedder
SLACK_S = 1e-6


@dataclass(frozen=True, repr=False)
class Wanted:
    """What is to be cropped."""

    targets: Targets
    """Instants of the windows' pictures."""
    size_px: int
    """Side of a window's crop, pixels."""
    share: float
    """Side of a window's crop, in sides of the face's box."""
    down: float
    """How far its centre lies below the box's, in sides of the box."""
    scorer: CropSpec | None
    """What the scorer looks at; None: nothing is scored."""
    align: AlignSpec | None = None
    """How an embedder wants faces; None: nobody is told apart."""
    scene: Callable[[Picture], NDArray[np.uint8]] | None = None
    """Makes of a wanted instant's picture what is kept of it; None: nothing is."""


@dataclass(frozen=True, repr=False)
class Shown:
    """One face in the picture of one wanted instant."""

    place: Place
    box: tuple[float, float, float, float]
    """Of the crop, as shares of the picture's width and height."""
    crop: NDArray[np.uint8]
    """RGB, shape (S, S, 3)."""


@dataclass(repr=False)
class Seen:
    """What was cropped of one track."""

    track: Track
    shown: dict[int, Shown] = field(default_factory=dict)
    """By the number of the wanted instant."""
    first_tick: int = -1
    grey: list[NDArray[np.uint8]] = field(default_factory=list)
    """At each tick from `first_tick` on, for the scorer."""
    looks: list[NDArray[np.uint8]] = field(default_factory=list)
    """Aligned faces of up to MOST_LOOKS wanted instants, spread over the track, for the embedder."""
    _passed: int = 0
    _step: int = 1

    def look(self, face: Callable[[], NDArray[np.uint8]]) -> None:
        """Take the face of a wanted instant: each `_step`-th; where there are too many, every other one goes."""
        if self._passed % self._step == 0:
            if len(self.looks) == MOST_LOOKS:
                self.looks, self._step = self.looks[::2], 2 * self._step
            if self._passed % self._step == 0:
                self.looks.append(face())
        self._passed += 1

    @property
    def size_bytes(self) -> int:
        """Memory of the crops."""
        kept = [*self.grey, *self.looks, *(one.crop for one in self.shown.values())]
        return sum(one.nbytes for one in kept)


@dataclass(frozen=True)
class _Held:
    picture: Picture
    shot: int
    wanted: range
    ticks: range


class FaceWatcher:
    """Keeps the Watcher protocol of features.media.pictures."""

    def __init__(self, detector: FaceDetector, wanted: Wanted) -> None:
        self.wanted = wanted
        self._detector = detector
        self._finder, self._tracker = ShotFinder(), Tracker()
        self._held: deque[_Held] = deque()
        self._last: tuple[Picture, int] | None = None
        self._next_s = 0.0
        self._shot_from_s = 0.0
        self._tick = self._target = 0
        self._seen: dict[int, Seen] = {}
        self.picture_s: dict[int, float] = {}
        """Time of the picture of each wanted instant."""
        self.shot_of: dict[int, int] = {}
        """Shot of the picture of each wanted instant."""
        self.cuts_s: list[float] = []
        """Starts of all shots but the first."""
        self.scenes: dict[int, NDArray[np.uint8]] = {}
        """What is kept of the picture of each wanted instant."""

    def see(self, picture: Picture) -> None:
        """Take the next picture."""
        shot = self._finder.see(picture)
        if self._last is not None:
            self._hold((self._last[0].time_s + picture.time_s) / 2)
            if shot != self._last[1]:
                self._cut(picture.time_s)
        self._last = picture, shot
        if picture.time_s >= self._next_s - SLACK_S:
            self._tracker.see(picture.time_s, shot, self._shot_from_s, self._faces(picture))
            self._next_s = picture.time_s + DETECTED_EACH_S
        self._settle(picture.time_s - SETTLED_S)

    def end(self) -> None:
        """Take all that waits: no picture follows."""
        if self._last is not None:
            self._hold(np.inf)
        self._settle(np.inf)

    def seen(self) -> list[Seen]:
        """Return the tracks that are long and sure enough, with what was cropped of them."""
        kept = self._tracker.kept(self._detector.sure_score)
        return [self._seen[one.number] for one in kept if one.number in self._seen]

    def _faces(self, picture: Picture) -> list[Face]:
        width, height = picture.width_px, picture.height_px
        share = min(1.0, self._detector.side_px / max(width, height))
        size = max(1, round(width * share)), max(1, round(height * share))
        found = self._detector.detect(picture.rgb((0.0, 0.0, float(width), float(height)), size))
        found.sort(key=lambda face: face.box[0] - face.box[2])
        return [face.scaled(width / size[0]) for face in found[:MOST_FACES]]

    def _hold(self, until_s: float) -> None:
        """Keep the last picture, with the instants that it is nearest to."""
        assert self._last is not None
        picture, shot = self._last
        first, target = self._tick, self._target
        if self.wanted.scorer is not None:
            end_s = min(until_s, picture.time_s + 0.5 / TICKS_PER_S)
            self._tick = max(self._tick, int(np.floor(end_s * TICKS_PER_S + SLACK_S)) + 1)
        times_s = self.wanted.targets.time_s
        while self._target < len(times_s) and times_s[self._target] <= until_s + SLACK_S:
            self.picture_s[self._target], self.shot_of[self._target] = picture.time_s, shot
            self._target += 1
        self._held.append(_Held(picture, shot, range(target, self._target), range(first, self._tick)))

    def _cut(self, time_s: float) -> None:
        """End a shot: all its pictures are settled, and the next one begins with a detection."""
        self._tracker.cut(time_s)
        self._settle(np.inf)
        self.cuts_s.append(time_s)
        self._shot_from_s = self._next_s = time_s

    def _settle(self, until_s: float) -> None:
        while self._held and self._held[0].picture.time_s <= until_s:
            held = self._held.popleft()
            if not held.wanted and not held.ticks:
                continue
            if held.wanted and self.wanted.scene is not None:
                self.scenes |= dict.fromkeys(held.wanted, self.wanted.scene(held.picture))
            for track in self._tracker.tracks:
                if track.shot == held.shot and (place := track.place(held.picture.time_s)) is not None:
                    self._crop(track, place, held)

    def _crop(self, track: Track, place: Place, held: _Held) -> None:
        seen = self._seen.setdefault(track.number, Seen(track))
        wanted, picture = self.wanted, held.picture
        if held.wanted:
            box = place.square(wanted.share, wanted.down)
            crop = picture.rgb(box, (wanted.size_px, wanted.size_px))
            width, height = picture.width_px, picture.height_px
            shares = box[0] / width, box[1] / height, box[2] / width, box[3] / height
            for target in held.wanted:
                seen.shown[target] = Shown(place, shares, crop)
            if (spec := wanted.align) is not None:
                eyes = track.eyes(picture.time_s)
                seen.look(lambda: aligned(picture, eyes, place.mouth, place.side, spec))
        if wanted.scorer is not None and held.ticks:
            size = wanted.scorer.size_px
            grey = picture.grey(place.square(wanted.scorer.share, wanted.scorer.down), (size, size))
            if seen.first_tick < 0:
                seen.first_tick = held.ticks.start
            missing = held.ticks.stop - seen.first_tick - len(seen.grey)
            seen.grey += [grey] * missing
