"""Clips of faces ($DUALSTREAM_DATA): their pictures, and pairs side by side, of which it is known who talks."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from dualstream.features.faces.scoring import SAMPLE_RATE_HZ, TICKS_PER_S
from dualstream.features.faces.voice import TICK
from dualstream.features.media import Clip, DecodeSettings, read_clip, write_clip
from dualstream.features.media.pictures import Picture
from dualstream.features.windows import Sampling, WindowPlan
from numpy.typing import NDArray

DATA = Path(os.environ.get("DUALSTREAM_DATA", ""))
PLAN, SETTINGS = WindowPlan(), DecodeSettings(frame_size_px=112)
COMPOSITE_PX = 288
SEEN_BEFORE = (  # when rules and bounds were settled
    ("clips/pwij3p.mpg", "clips/bbaf2n.mpg", "both"),
    ("clips/sbia1a.mpg", "clips/lwbsza.mpg", "both"),
    ("mosi/clips/5W7Z1C_fDaE_10.mp4", "mosi/clips/8OtFthrtaJM_13.mp4", "both"),
    ("mosi/clips/8qrpnFRGt2A_10.mp4", "mosi/clips/_dI--eQ6qVU_14.mp4", "both"),
    ("mosi/clips/8OtFthrtaJM_18.mp4", "mosi/clips/_dI--eQ6qVU_19.mp4", "size"),
    ("mosi/clips/5W7Z1C_fDaE_15.mp4", "mosi/clips/8qrpnFRGt2A_15.mp4", "size"),
    ("mosi/clips/8qrpnFRGt2A_2.mp4", "mosi/clips/8OtFthrtaJM_22.mp4", "leaves"),
    ("mosi/clips/_dI--eQ6qVU_23.mp4", "mosi/clips/5W7Z1C_fDaE_2.mp4", "shifted"),
)
HELD_OUT = (  # scored once, when all was settled; the clips are others, MOSI's people are the same eight
    ("clips/WDA_AlexandriaOcasioCortez_000.mp4", "clips/WDA_KatieHill_000.mp4", "still"),
    ("mosi/clips/5W7Z1C_fDaE_8.mp4", "mosi/clips/1DmNV9C1hbY_6.mp4", "still"),
    ("clips/WDA_KatieHill_000.mp4", "clips/WDA_AlexandriaOcasioCortez_000.mp4", "both"),
    ("mosi/clips/1DmNV9C1hbY_8.mp4", "mosi/clips/8qrpnFRGt2A_8.mp4", "both"),
    ("mosi/clips/2iD-tVS8NPw_8.mp4", "mosi/clips/5W7Z1C_fDaE_8.mp4", "both"),
    ("mosi/clips/6_0THN4chvY_8.mp4", "mosi/clips/8OtFthrtaJM_8.mp4", "both"),
    ("mosi/clips/8OtFthrtaJM_9.mp4", "mosi/clips/2iD-tVS8NPw_9.mp4", "size"),
    ("mosi/clips/_dI--eQ6qVU_8.mp4", "mosi/clips/6_0THN4chvY_9.mp4", "leaves"),
    ("mosi/clips/5W7Z1C_fDaE_9.mp4", "mosi/clips/_dI--eQ6qVU_9.mp4", "shifted"),
    ("mosi/clips/8qrpnFRGt2A_9.mp4", "mosi/clips/1DmNV9C1hbY_9.mp4", "shifted"),
)


@dataclass
class Collector:
    """Keeps each `step`-th picture."""

    step: int = 10
    pictures: list[Picture] = field(default_factory=list)
    count: int = 0

    def see(self, picture: Picture) -> None:
        """Take the next picture."""
        if self.count % self.step == 0:
            self.pictures.append(picture)
        self.count += 1

    def end(self) -> None:
        """Keep what there is: nothing waits."""


def pictures(path: Path, step: int = 10) -> tuple[list[Picture], Clip]:
    """Return each `step`-th picture of a clip, and the clip."""
    clip = read_clip(path, plan=PLAN, sampling=Sampling(), settings=SETTINGS, watch=lambda _: Collector(step))
    assert isinstance(clip.watcher, Collector)
    return clip.watcher.pictures, clip


def grid(path: Path) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """Return a clip's pictures, 25 a second, as squares, and its sound."""
    shown, clip = pictures(path, 1)
    assert clip.audio is not None
    times_s = np.array([one.time_s for one in shown])
    frames = []
    for tick in range(int(min(clip.duration_s, 5.0) * TICKS_PER_S)):
        one = shown[int(np.abs(times_s - tick / TICKS_PER_S).argmin())]
        side = min(one.width_px, one.height_px)
        x, y = (one.width_px - side) / 2, (one.height_px - side) / 2
        frames.append(one.rgb((x, y, x + side, y + side), (COMPOSITE_PX, COMPOSITE_PX)))
    return np.stack(frames), clip.audio


def composite(left: Path, right: Path, kind: str, out: Path) -> list[tuple[float, float, str]]:
    """Write two clips side by side, twice: first the left one is heard, then the right one; return the truth."""
    (a, sound_a), (b, sound_b) = grid(left), grid(right)
    ticks = min(len(a), len(b), len(sound_a) // TICK, len(sound_b) // TICK)
    a, b = a[:ticks], b[:ticks]
    heard_left, heard_right = (a, b), (a, b)
    if kind == "still":  # the listener is a still picture
        heard_left, heard_right = (a, np.repeat(b[:1], ticks, axis=0)), (np.repeat(a[:1], ticks, axis=0), b)
    if kind == "size":
        small = np.full_like(b, 60)
        small[:, 60:204, 72:216] = b[:, ::2, ::2]
        heard_left = heard_right = a, small
    if kind == "leaves":
        heard_right = np.full_like(a, 60), b
    frames = np.concatenate([np.concatenate(pair, axis=2) for pair in (heard_left, heard_right)])
    sound = np.concatenate([sound_a[: ticks * TICK], sound_b[: ticks * TICK]])
    if kind == "shifted":
        sound = np.roll(sound, SAMPLE_RATE_HZ)
    write_clip(out, frames, TICKS_PER_S, sound, SAMPLE_RATE_HZ)
    half = ticks / TICKS_PER_S
    return [(0.0, half, "left"), (half, 2 * half, "right")]
