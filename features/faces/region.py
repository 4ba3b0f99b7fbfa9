"""``--region``: what of the picture an encoder sees, the whole frame, a face, or the face of the one who talks."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.batching import OverlappingEncoder
from dualstream.features.encoder import EncoderSpec, VideoEncoder
from dualstream.features.faces import choice, detection, embedding, scoring
from dualstream.features.faces.choice import ChosenFace
from dualstream.features.faces.detection import FaceDetector, build_detector
from dualstream.features.faces.embedding import unit_rows
from dualstream.features.faces.identity import IdentityMethod, make_identity
from dualstream.features.faces.people import People, Rivals, stacked
from dualstream.features.faces.rows import FaceRows
from dualstream.features.faces.scene import Scene, scenes_of, small_copy
from dualstream.features.faces.scoring import SpeakerScorer, build_scorer, contexts_s
from dualstream.features.faces.watching import DETECTED_EACH_S, FaceWatcher, Seen, Wanted
from dualstream.features.media.assemble import Clip
from dualstream.features.options import FaceOptions, IdentityOptions, Region, require_regions
from dualstream.features.windows import Sampling, WindowPlan
from numpy.typing import NDArray

VERSION = 1
NO_IDENTITY = IdentityOptions()
CROP_SHARE, CROP_DOWN = 1.5, -0.05  # of the encoder's square, in sides of the face's box: all of the head


@dataclass(frozen=True)
class FaceMethod:
    """How faces are found, and how the one who talks is told from the others."""

    detector: FaceDetector
    scorer: SpeakerScorer | None = None
    """None where no stream shows the speaker."""
    margin: float | None = None
    """None: the scorer's own."""
    make: Callable[[], FaceMethod] | None = field(default=None, compare=False, repr=False)
    """Builds it once more, for another process: a detector that runs does not travel."""
    identity: IdentityMethod | None = None
    """How faces are tied to speaker names; None: the sound decides alone."""
    alone: float | None = None
    """What a face that is alone in its shot must score; None: it is taken."""

    def __reduce__(self) -> tuple[Any, ...]:
        if self.make is None:
            raise TypeError("this FaceMethod does not say how it is made, so it can't travel to another process")
        return _made_again, (self.make, self._stated)

    @property
    def _stated(self) -> dict[str, Any]:
        return self.to_json("face" if self.scorer is None else "speaker")

    @property
    def least_margin(self) -> float:
        """By how much the best face of a shot must lead the second one."""
        assert self.scorer is not None
        return self.scorer.least_margin if self.margin is None else self.margin

    def to_json(self, region: Region) -> dict[str, Any]:
        """Return all that shapes the rows of a region, for the fingerprint."""
        shaping: dict[str, Any] = {
            "name": region,
            "version": VERSION,
            "crop": [CROP_SHARE, CROP_DOWN],
            "detected_each_s": DETECTED_EACH_S,
            "detector": self.detector.to_json(),
        }
        if region == "speaker":
            assert self.scorer is not None
            shaping |= {"scorer": self.scorer.to_json(), "least_margin": self.least_margin}
            shaping |= {"least_alone": self.alone} if self.alone is not None else {}
            shaping |= {"identity": dict(self.identity.stated)} if self.identity is not None else {}
        return shaping


def _made_again(make: Callable[[], FaceMethod], stated: dict[str, Any]) -> FaceMethod:
    method = make()
    if method._stated != stated:
        raise ValueError(
            "the weights of the face detector or scorer changed meanwhile; run the same command again"
        )
    return method


def require_parts(options: FaceOptions, identity: IdentityOptions = NO_IDENTITY) -> None:
    """Refuse what `make_method` refuses before it builds anything: names and files that are not there.

    Raises
    ------
    ValueError, FileNotFoundError
        As `make_method`.
    """
    require_regions(options, identity)
    if set(options.region) == {"frame"}:
        return
    detection.REGISTRY.require(options.detector, options.face_weights)
    if "speaker" in options.region:
        scoring.REGISTRY.require(options.scorer, options.speaker_weights)
    if identity.identity:
        embedding.REGISTRY.require(identity.embedder, identity.identity_weights)


def make_method(options: FaceOptions, identity: IdentityOptions = NO_IDENTITY) -> FaceMethod | None:
    """Build what the regions need; None where all of them are the whole frame.

    Raises
    ------
    ValueError, FileNotFoundError
        Where a detector or scorer is unknown, lacks its package or weights, or is not used by any region.
    """
    require_regions(options, identity)
    regions = set(options.region)
    if regions == {"frame"}:
        return None
    detector, again = (
        build_detector(options.detector, options.face_weights),
        partial(_made, options, identity),
    )
    if "speaker" not in regions:
        return FaceMethod(detector, make=again)
    scorer = build_scorer(options.scorer, options.speaker_weights)
    told_apart = make_identity(identity)
    return FaceMethod(detector, scorer, options.speaker_margin, again, told_apart, options.speaker_alone)


def _made(options: FaceOptions, identity: IdentityOptions) -> FaceMethod:
    method = make_method(options, identity)
    assert method is not None
    return method


def weights_in(stated: Mapping[str, Any]) -> dict[str, Mapping[str, Any]]:
    """Return the records of the files of weights that a stated region needs: of ``detector`` and ``scorer``."""
    parts = {part: stated[part].get("weights") for part in ("detector", "scorer") if part in stated}
    return {part: record for part, record in parts.items() if record}


def method_as_stated(stated: Mapping[str, Any], files: Mapping[str, Path]) -> FaceMethod:
    """Build what a spec states of its region, with the files of weights by part; see `weights_in`.

    Of an identity only the statement stays: there are no speaker names to choose by, and nobody is told apart.

    Raises
    ------
    ValueError, FileNotFoundError
        As `make_method`.
    """
    detector = build_detector(stated["detector"]["name"], files.get("detector"))
    again = partial(method_as_stated, dict(stated), dict(files))
    if "scorer" not in stated:
        return FaceMethod(detector, make=again)
    scorer = build_scorer(stated["scorer"]["name"], files.get("scorer"))
    identity = IdentityMethod(None, stated["identity"]) if "identity" in stated else None
    return FaceMethod(detector, scorer, float(stated["least_margin"]), again, identity, stated.get("least_alone"))


class RegionEncoder:
    """A video encoder whose frames are crops of faces; its spec says whose."""

    def __init__(self, encoder: VideoEncoder, region: Region, method: FaceMethod) -> None:
        self.encoder, self.region, self.method = encoder, region, method
        spec: EncoderSpec = encoder.spec
        self.spec = replace(spec, parameters={**spec.parameters, "region": method.to_json(region)})
        self.frame_size_px = encoder.frame_size_px
        self.batch_size = encoder.batch_size
        self.side_by_side = getattr(encoder, "side_by_side", False)
        self.overlaps = isinstance(encoder, OverlappingEncoder) and encoder.overlaps

    @property
    def tells_apart(self) -> bool:
        """Whether its streams hold people, for the choice over the whole corpus."""
        identity = self.method.identity if self.region == "speaker" else None
        return identity is not None and identity.embedder is not None

    def encode_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Turn RGB crops, shape (B, S, S, 3), 0 to 255, into rows, shape (B, raw_width)."""
        return self.encoder.encode_frames(frames)

    def begin_frames(self, frames: NDArray[np.uint8]) -> Callable[[], NDArray[np.float32]]:
        """Keep `OverlappingEncoder.begin_frames`, where the encoder does."""
        assert isinstance(self.encoder, OverlappingEncoder)
        return self.encoder.begin_frames(frames)


@dataclass(frozen=True, repr=False)
class Crops:
    """Crops of one region of a clip, as `Clip` has its frames."""

    frames: NDArray[np.uint8]
    """RGB, shape (F, S, S, 3)."""
    window: NDArray[np.int64]
    """The window that each crop stands for, rising, shape (F,)."""
    time_s: NDArray[np.float64]
    """Presentation time of each crop's picture, seconds, shape (F,)."""
    faces: FaceRows
    """Of every window."""
    people: People | None = None
    """Where faces are told apart; its rivals have no rows yet."""
    rival_frames: NDArray[np.uint8] | None = None
    """Crops of the rivals, shape (R, S, S, 3)."""
    scenes: Mapping[int, Scene] = field(default_factory=dict)
    """What stands around the faces, by window, where that was asked for."""

    @property
    def to_encode(self) -> NDArray[np.uint8]:
        """The crops, and behind them those of the rivals."""
        if self.rival_frames is None or not len(self.rival_frames):
            return self.frames
        return np.concatenate([self.frames, self.rival_frames])

    @property
    def size_bytes(self) -> int:
        """Memory of the pixels."""
        return int(self.frames.nbytes) + (0 if self.rival_frames is None else int(self.rival_frames.nbytes))

    @property
    def count(self) -> int:
        """Number of crops that are to be encoded."""
        return len(self.frames) + (0 if self.rival_frames is None else len(self.rival_frames))

    def released(self) -> Crops:
        """Return them without the pixels."""
        none = self.frames[:0].copy()
        return replace(self, frames=none, rival_frames=None)


@dataclass(frozen=True, repr=False)
class FaceReading:
    """The faces of one clip, while it is read and afterwards."""

    method: FaceMethod
    plan: WindowPlan
    sampling: Sampling
    size_px: int
    """Side of the crops, pixels."""
    scene_px: int = 0
    """Longer side of the small pictures that are kept of the windows; 0: none are."""

    def watch(self, longest_s: float) -> FaceWatcher:
        """Return what is to be shown every picture of a clip of which at most `longest_s` seconds are read."""
        scorer = self.method.scorer
        targets = self.sampling.targets(self.plan, longest_s)
        embedder = self.method.identity.embedder if self.method.identity else None
        align = embedder.align if embedder else None
        scene = partial(small_copy, longer_px=self.scene_px) if self.scene_px else None
        looked_at = scorer.crop if scorer else None
        wanted = Wanted(targets, self.size_px, CROP_SHARE, CROP_DOWN, looked_at, align, scene)
        return FaceWatcher(self.method.detector, wanted)

    def crops(self, clip: Clip, regions: set[Region]) -> dict[Region, Crops]:
        """Return the crops of each region, once the clip is read."""
        count = len(clip.starts_s)
        watcher = clip.watcher
        if not isinstance(watcher, FaceWatcher):  # no pictures
            nothing = np.zeros((0, self.size_px, self.size_px, 3), np.uint8)
            empty = Crops(nothing, np.zeros(0, np.int64), np.zeros(0), FaceRows.nothing(count))
            return {one: replace(empty, people=People() if self._tells_apart(one) else None) for one in regions}
        shown = self._shown(clip, watcher)
        scenes = scenes_of(watcher, shown)
        found = {}
        for region in sorted(regions):
            choices = self._choices(region, clip, watcher, shown)
            found[region] = replace(self._placed(count, watcher, shown, choices), scenes=scenes)
            if self._tells_apart(region):
                found[region] = self._with_people(found[region], watcher, shown, choices)
        return found

    def _tells_apart(self, region: Region) -> bool:
        identity = self.method.identity if region == "speaker" else None
        return identity is not None and identity.embedder is not None

    def _with_people(
        self, crops: Crops, watcher: FaceWatcher, shown: Mapping[int, int], choices: Mapping[int, ChosenFace]
    ) -> Crops:
        """Add whom the faces look like, and the rivals of undecided windows."""
        assert self.method.identity is not None and self.method.identity.embedder is not None
        embedder = self.method.identity.embedder
        seen = watcher.seen()
        lines = [(target, one) for target in sorted(shown) for one in choices[target].rivals]
        frames = [one.shown[target].crop for target, one in lines]
        rivals = Rivals(
            np.array([shown[target] for target, _ in lines], np.int32),
            np.array([one.track.number for _, one in lines], np.int32),
            np.array([one.shown[target].box for target, one in lines], np.float32).reshape(-1, 4),
            np.array([watcher.picture_s[target] for target, _ in lines], np.float64),
            np.zeros((len(lines), 0), np.float32),
        )
        people = People(
            np.array([one.track.number for one in seen], np.int32), _looks(seen, embedder.embed), rivals
        )
        return replace(crops, people=people, rival_frames=np.stack(frames) if frames else None)

    def _shown(self, clip: Clip, watcher: FaceWatcher) -> dict[int, int]:
        """Return the window of each wanted instant that has a picture near enough, as whole frames are chosen."""
        targets = watcher.wanted.targets
        reach_s = max(self.plan.length_s / 2, clip.picture_gap_s) + 1e-6
        return {
            target: int(targets.window[target])
            for target, time_s in watcher.picture_s.items()
            if targets.window[target] < len(clip.starts_s) and abs(time_s - targets.time_s[target]) <= reach_s
        }

    def _choices(
        self, region: Region, clip: Clip, watcher: FaceWatcher, shown: Mapping[int, int]
    ) -> dict[int, ChosenFace]:
        faces = watcher.seen()
        if region == "face":
            return {target: choice.largest(faces, target) for target in shown}
        scorer = self.method.scorer
        assert scorer is not None
        voices = choice.listen(faces, scorer, clip.audio)
        return {
            target: choice.speaker(
                faces,
                voices,
                shot=watcher.shot_of[target],
                target=target,
                span_s=(float(clip.starts_s[window]), float(clip.starts_s[window]) + self.plan.length_s),
                contexts_s=contexts_s(scorer),
                least_margin=self.method.least_margin,
                least_alone=self.method.alone,
            )
            for target, window in shown.items()
        }

    def _placed(
        self, count: int, watcher: FaceWatcher, shown: Mapping[int, int], choices: Mapping[int, ChosenFace]
    ) -> Crops:
        faces = FaceRows.nothing(count)
        frames, windows, times_s = [], [], []
        for target in sorted(shown):
            window, made = shown[target], choices[target]
            faces.state[window], faces.in_view[window] = made.state, made.in_view
            faces.score[window], faces.margin[window] = made.score, made.margin
            if made.seen is not None:
                one = made.seen.shown[target]
                faces.box[window], faces.track[window] = one.box, made.seen.track.number
                frames.append(one.crop)
                windows.append(window)
                times_s.append(watcher.picture_s[target])
        pixels = np.stack(frames) if frames else np.zeros((0, self.size_px, self.size_px, 3), np.uint8)
        return Crops(pixels, np.array(windows, dtype=np.int64), np.array(times_s, dtype=np.float64), faces)


def _looks(seen: Sequence[Seen], embed: Callable[[NDArray[np.uint8]], NDArray[np.float32]]) -> NDArray[np.float32]:
    """Return the mean of what an embedder says of each track's looks, of length 1, shape (T, E)."""
    said = [unit_rows(embed(np.stack(one.looks))) if one.looks else None for one in seen]
    width = next((one.shape[1] for one in said if one is not None), 0)
    means = [np.zeros((1, width), np.float32) if one is None else one.mean(axis=0, keepdims=True) for one in said]
    return unit_rows(stacked(means))
