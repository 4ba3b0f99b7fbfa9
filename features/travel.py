"""A plan for another process: with what decodes, finds faces, describes or prepares sound, and without networks.

Networks stay where the device is, tables where their rows are: `complete_clip` adds both to a clip that came back.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace

import numpy as np
from dualstream.features.clip_plan import ClipPlan
from dualstream.features.encoder import AudioEncoder, Encoder, EncoderSpec, VideoEncoder
from dualstream.features.faces.region import RegionEncoder
from dualstream.features.preparation import OnlyPrepares, PreparingEncoder
from numpy.typing import NDArray


class ElsewhereEncoder:
    """Stands for a video encoder of another process: it says which frames are wanted, and encodes none."""

    def __init__(self, spec: EncoderSpec, frame_size_px: int) -> None:
        self.spec, self.frame_size_px, self.batch_size = spec, frame_size_px, 1

    def encode_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        """Refuse: the frames go back to where the encoder is."""
        raise NotImplementedError(f"{self.spec.name} is an encoder of another process")


def without_networks(plan: ClipPlan, stays: Callable[[Encoder], bool]) -> ClipPlan:
    """Return a plan that begins clips as `plan` does, but for what `complete_clip` and batches of frames add.

    Parameters
    ----------
    stays
        Tells which encoders of sound are left out; the sound is then kept, but where all of these say how it is
        prepared (preparation.py): that is done there.
    """
    encoders = dict(_travelling(plan.encoders, stays))
    return replace(plan, encoders=encoders, keep_sound=any(name not in encoders for name in plan.audio))


def warm_up(plan: ClipPlan) -> None:
    """Have encoders and reader import what their first clip would wait for: those that have a method `warm_up`."""
    for one in (plan.reader, *plan.encoders.values()):
        if (act := getattr(one, "warm_up", None)) is not None:
            act()


def _travelling(encoders: Mapping[str, Encoder], stays: Callable[[Encoder], bool]) -> list[tuple[str, Encoder]]:
    found: list[tuple[str, Encoder]] = []
    for name, one in encoders.items():
        if isinstance(one, RegionEncoder):
            found.append((name, RegionEncoder(_stand_in(one.encoder), one.region, one.method)))
        elif isinstance(one, VideoEncoder):
            found.append((name, _stand_in(one)))
        elif isinstance(one, AudioEncoder) and not stays(one):
            found.append((name, one))
        elif isinstance(one, PreparingEncoder):
            found.append((name, OnlyPrepares(one.spec, one.sample_rate_hz, one.preparation)))
    return found


def _stand_in(encoder: VideoEncoder) -> ElsewhereEncoder:
    return ElsewhereEncoder(encoder.spec, encoder.frame_size_px)
