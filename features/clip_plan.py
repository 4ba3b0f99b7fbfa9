"""How every clip of a run is read: by which encoders, over which windows, with which decoder."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from dualstream.features.encoder import AudioEncoder, Encoder, TableEncoder, VideoEncoder
from dualstream.features.faces.region import Crops, FaceReading, RegionEncoder
from dualstream.features.faces.scoring import SAMPLE_RATE_HZ
from dualstream.features.media import Clip, DecodeSettings, read_clip
from dualstream.features.media.pictures import Watcher
from dualstream.features.options import Region
from dualstream.features.scramble import scrambled
from dualstream.features.windows import Sampling, WindowPlan
from numpy.typing import NDArray


class ClipReader(Protocol):
    """What `features.media.read_clip` is, so that tests can put another in its place."""

    def __call__(
        self,
        path: Path,
        *,
        plan: WindowPlan,
        sampling: Sampling,
        settings: DecodeSettings,
        span_s: tuple[float | None, float | None],
        sound: Path | None = None,
        watch: Callable[[float], Watcher] | None = None,
    ) -> Clip: ...


@dataclass(frozen=True)
class ClipPlan:
    """How every clip of a run is read."""

    encoders: Mapping[str, Encoder]
    """By stream name: ``video``, ``audio``, ``video.cnn5`` …"""
    windows: WindowPlan = field(default_factory=WindowPlan)
    sampling: Sampling = field(default_factory=Sampling)
    decode: DecodeSettings | None = field(default_factory=DecodeSettings)
    """None where every stream is a table: no media is read then."""
    reader: ClipReader = read_clip
    scramble_s: float | None = None
    """Length of the pieces that sound is cut into and put in random order, seconds; None: as it is."""
    keep_sound: bool = False
    """Whether begun clips keep their sound, for encoders of another process (travel.py)."""

    def read(self, path: Path, *, span_s: tuple[float, float] | None = None, sound: Path | None = None) -> Clip:
        """Decode a clip, or a span of it, as `decode` says; its sound from `sound` where that is given."""
        assert self.decode is not None
        read = self.reader if sound is None else partial(self.reader, sound=sound)
        return read(
            path,
            plan=self.windows,
            sampling=self.sampling,
            settings=self.decode,
            span_s=span_s or (None, None),
        )

    def heard(self, clip: Clip, utterance_id: str) -> NDArray[np.float32] | None:
        """Return a clip's sound as the encoders hear it: scrambled where that is asked for; None: it has none."""
        if clip.audio is None or clip.audio_covered_s is None or self.scramble_s is None:
            return clip.audio
        assert self.decode is not None and self.decode.sample_rate_hz is not None
        return scrambled(
            clip.audio, clip.audio_covered_s, self.scramble_s, self.decode.sample_rate_hz, key=utterance_id
        )

    def read_regions(
        self,
        path: Path,
        *,
        span_s: tuple[float, float] | None = None,
        sound: Path | None = None,
        scene_px: int = 0,
    ) -> tuple[Clip, dict[Region, Crops]]:
        """Decode a clip as `read` does, and with it the crops of the regions that its encoders see.

        Where some encoders see the whole frame and others faces, the clip is decoded twice, so that the frames are
        those that `read` gives. With `scene_px`, crops hold small pictures of what stands around them.
        """
        faces = {one.region for one in self.video.values() if isinstance(one, RegionEncoder)}
        if not faces:
            return self.read(path, span_s=span_s, sound=sound), {}
        assert self.decode is not None
        method = next(one.method for one in self.video.values() if isinstance(one, RegionEncoder))
        assert self.decode.frame_size_px is not None
        reading = FaceReading(method, self.windows, self.sampling, self.decode.frame_size_px, scene_px)
        watched = replace(self, reader=partial(self.reader, watch=reading.watch)).read(
            path, span_s=span_s, sound=sound
        )
        crops = reading.crops(watched, faces)
        if all(isinstance(one, RegionEncoder) for one in self.video.values()):
            return watched, crops
        return self.read(path, span_s=span_s, sound=sound), crops

    @property
    def video(self) -> dict[str, VideoEncoder]:
        """The encoders of frames, by stream name."""
        return {name: one for name, one in self.encoders.items() if isinstance(one, VideoEncoder)}

    @property
    def audio(self) -> dict[str, AudioEncoder]:
        """The encoders of sound, by stream name."""
        return {name: one for name, one in self.encoders.items() if isinstance(one, AudioEncoder)}

    @property
    def tables(self) -> dict[str, TableEncoder]:
        """The ready-made tables, by stream name."""
        return {name: one for name, one in self.encoders.items() if isinstance(one, TableEncoder)}


def decode_settings(encoders: Mapping[str, Encoder], **choices: Any) -> DecodeSettings | None:
    """Return the settings that serve all of `encoders`, or None where all of them are tables.

    Frames are decoded at the largest side that an encoder takes; an encoder of smaller frames resizes them.
    `choices` are the fields of `DecodeSettings` that no encoder decides.

    Raises
    ------
    ValueError
        Where two audio encoders take different sample rates.
    """
    sizes = [one.frame_size_px for one in encoders.values() if isinstance(one, VideoEncoder)]
    rates = {one.sample_rate_hz for one in encoders.values() if isinstance(one, AudioEncoder)}
    if len(rates) > 1:
        raise ValueError(
            f"the audio encoders take {sorted(rates)} Hz; encoders that are extracted side by side take one rate"
        )
    if not sizes and not rates:
        return None
    if any(isinstance(one, RegionEncoder) and one.region == "speaker" for one in encoders.values()):
        if rates - {SAMPLE_RATE_HZ}:
            raise ValueError(
                f"--region speaker listens at {SAMPLE_RATE_HZ} Hz, and an audio encoder takes {rates.pop()} Hz; "
                "extract that one by itself"
            )
        rates = {SAMPLE_RATE_HZ}  # the sound is read though no encoder takes it
    return DecodeSettings(
        frame_size_px=max(sizes) if sizes else None, sample_rate_hz=rates.pop() if rates else None, **choices
    )
