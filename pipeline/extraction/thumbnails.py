"""One small picture of each of a few utterances, read from their clips: for pages, never for features."""

from __future__ import annotations

import logging
from collections.abc import Collection
from pathlib import Path

import numpy as np
from dualstream.features.media import DecodeSettings, MediaError, read_clip
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.pipeline.corpus.manifest import Manifest, clip_at
from dualstream.pipeline.errors import DualstreamError
from numpy.typing import NDArray

SIZE_PX = 96

log = logging.getLogger(__name__)


def middle_frames(manifest: Manifest, root: Path, ids: Collection[str]) -> dict[str, NDArray[np.uint8]]:
    """Return a frame from the middle of each utterance, (96, 96, 3), padded with black to a square.

    Utterances that the manifest lacks, or whose clip can't be read, are left out; why is logged.
    """
    settings = DecodeSettings(frame_size_px=SIZE_PX, sample_rate_hz=None, fit="pad")
    found = {}
    for utterance in manifest:
        if utterance.id not in ids:
            continue
        try:
            clip = read_clip(
                clip_at(root, utterance.path),
                plan=WindowPlan(),
                sampling=Sampling("uniform", 1),
                settings=settings,
                span_s=(utterance.start_s, utterance.end_s),
            )
        except (MediaError, DualstreamError, OSError) as error:
            log.warning("%s: no thumbnail: %s", utterance.id, error)
            continue
        if len(clip.frames):
            found[utterance.id] = np.asarray(clip.frames[len(clip.frames) // 2])
    return found
