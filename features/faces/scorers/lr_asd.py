"""lr-asd: the active speaker network LR-ASD (features/networks/lr_asd.py), trained on AVA; weights by file.

The network prefers some faces to others, whatever is said: a lively mouth scores high beside any voice. So each
face is also scored against its own sound shifted by a second or so, and what it loses by that is added to its
score. Of one-second windows of pairs of MOSI's faces 0.83 are right with it, 0.78 without.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.faces.mfcc import mfcc
from dualstream.features.faces.scoring import SAMPLE_RATE_HZ, TICKS_PER_S, CropSpec, register
from dualstream.features.faces.voice import TICK
from dualstream.features.memory import raise_shortage
from dualstream.features.weights import UNKNOWN_LICENCE, WeightsRecord, load_file
from numpy.typing import NDArray

LICENCES = {"85e6c77fc981595234790d1e128ebb60352d37726b2445e0ef8891e2512fe9e3": "MIT"}  # trained on AVA
CHUNK_TICKS, CONTEXT_TICKS = 200, 25  # at a time, and what is seen of the neighbours: memory stays below 0.3 GB
ROWS_PER_TICK = 4  # of MFCC
SHIFTS = (-35, -22, 22, 35)  # ticks by which the sound is shifted for comparison


@register("lr-asd", weights=True)
def build(weights: Path | None) -> LrAsdScorer:
    """LR-ASD from its state dict, trained on AVA; 0.25 s of a core for each second of a face."""
    assert weights is not None
    return LrAsdScorer(weights)


class LrAsdScorer:
    """Keeps the SpeakerScorer protocol; runs on the CPU."""

    name = "lr-asd"
    crop = CropSpec(112, 1.0, 0.0)
    context_s = 0.5
    least_margin = 1.5

    def __init__(self, weights: Path) -> None:
        from dualstream.features.networks.lr_asd import LrAsd

        state, sha256, licence = load_file(weights)
        self._weights = WeightsRecord("file", sha256, licence or LICENCES.get(sha256, UNKNOWN_LICENCE))
        self._net = LrAsd().eval().requires_grad_(False)
        try:
            self._net.load_state_dict(state)
        except RuntimeError as error:
            raise_shortage(error)
            raise ValueError(
                f"weights file {weights.name} is not one of LR-ASD: {error}; expected the state dict that its "
                "authors publish (keys model.visualEncoder.…)"
            ) from error

    def to_json(self) -> dict[str, Any]:
        """Return all that shapes its answers."""
        return {"name": self.name, "version": 1, "weights": self._weights.to_json()}

    def score(self, crops: NDArray[np.uint8], audio: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how much more each tick looks like talking than like not, in logits, shape (T,)."""
        import torch

        ticks = len(crops)
        sound = np.zeros(ticks * TICK, np.float32)
        sound[: len(audio)] = audio[: len(sound)]
        rows = [mfcc(np.roll(sound, shift * TICK), ROWS_PER_TICK * ticks) for shift in (0, *SHIFTS)]
        scores = []
        with torch.inference_mode():
            for first in range(0, ticks, CHUNK_TICKS):
                start, end = max(0, first - CONTEXT_TICKS), min(ticks, first + CHUNK_TICKS + CONTEXT_TICKS)
                seen = self._net.see(torch.from_numpy(np.ascontiguousarray(crops[start:end])))
                true, *shifted = (
                    self._net.compare(self._net.hear(torch.from_numpy(part)), seen).numpy().astype(np.float64)
                    for part in (one[ROWS_PER_TICK * start : ROWS_PER_TICK * end] for one in rows)
                )
                said = 2 * true - np.mean(shifted, axis=0)
                scores.append(said[first - start :][: min(CHUNK_TICKS, ticks - first)])
        return np.concatenate(scores) if scores else np.zeros(0)


assert SAMPLE_RATE_HZ == 16_000 and TICKS_PER_S == 25  # what the weights expect
