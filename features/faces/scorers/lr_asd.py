"""lr-asd: the active speaker network LR-ASD (features/networks/lr_asd.py), trained on AVA; weights by file.

The network prefers some faces to others, whatever is said: a lively mouth scores high beside any voice. So each
face is also scored against its own sound shifted, and what it loses by a shift of a second or so is added to its
score. What is heard is computed once and shifted, so that 25 lags cost little beside what is seen. Of one-second
windows of pairs of faces that both talk 0.83 are right with it, 0.75 without.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from dualstream.features.faces.fit import LAGS
from dualstream.features.faces.mfcc import mfcc
from dualstream.features.faces.scoring import SAMPLE_RATE_HZ, TICKS_PER_S, CropSpec, ScoreModel, register
from dualstream.features.faces.voice import TICK
from dualstream.features.memory import raise_shortage
from dualstream.features.weights import UNKNOWN_LICENCE, WeightsRecord, load_file
from numpy.typing import NDArray

if TYPE_CHECKING:
    from torch import Tensor

LICENCES = {"85e6c77fc981595234790d1e128ebb60352d37726b2445e0ef8891e2512fe9e3": "MIT"}  # trained on AVA
CHUNK_TICKS, CONTEXT_TICKS = 200, 25  # at a time, and what is seen of the neighbours: memory stays below 0.3 GB
ROWS_PER_TICK = 4  # of MFCC
COMPARED = (-34, -22, 22, 34)  # lags, ticks, of which the score is made


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
    least_fit = 1.5
    wider_s = (1.0,)
    by_voice = ScoreModel(
        talking=2.6, face=1.2, stretch=1.6, tick=2.0, settled_ticks=12, change=160.0, resting=-5.0, per_nat=1.9
    )

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
        return {
            "name": self.name,
            "version": 4,
            "least_fit": self.least_fit,
            "wider_s": list(self.wider_s),
            "by_voice": asdict(self.by_voice),
            "weights": self._weights.to_json(),
        }

    def score(self, crops: NDArray[np.uint8], audio: NDArray[np.float32]) -> NDArray[np.float64]:
        """Return how much more each tick looks like talking than like not, in logits, shape (T,)."""
        return self.score_lags(crops, audio)[0]

    def score_lags(
        self, crops: NDArray[np.uint8], audio: NDArray[np.float32]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return `score`, and how much each tick looks like talking at each lag, in logits, shape (L, T)."""
        import torch

        ticks = len(crops)
        sound = np.zeros(ticks * TICK, np.float32)
        sound[: len(audio)] = audio[: len(sound)]
        rows = torch.from_numpy(mfcc(sound, ROWS_PER_TICK * ticks))
        with torch.inference_mode():
            seen = _in_chunks(ticks, lambda a, b: self._net.see(torch.from_numpy(crops[a:b])))
            heard = _in_chunks(ticks, lambda a, b: self._net.hear(rows[ROWS_PER_TICK * a : ROWS_PER_TICK * b]))
            shifted = torch.cat([torch.roll(heard, lag, 1) for lag in LAGS])  # (L, T, 128)
            logits = _in_chunks(
                ticks, lambda a, b: self._net.compare(shifted[:, a:b], seen[:, a:b].expand(len(LAGS), -1, -1))
            )
        by_lag = logits.numpy().astype(np.float64)
        true, *compared = (by_lag[LAGS.index(lag)] for lag in (0, *COMPARED))
        return 2 * true - np.mean(compared, axis=0), by_lag


def _in_chunks(ticks: int, compute: Callable[[int, int], Tensor]) -> Tensor:
    """Return what is computed of all ticks, shape (B, T, …), chunk by chunk, each with what is beside it."""
    import torch

    parts = []
    for first in range(0, ticks, CHUNK_TICKS):
        start, end = max(0, first - CONTEXT_TICKS), min(ticks, first + CHUNK_TICKS + CONTEXT_TICKS)
        parts.append(compute(start, end)[:, first - start :][:, : min(CHUNK_TICKS, ticks - first)])
    return torch.cat(parts, 1)


assert SAMPLE_RATE_HZ == 16_000 and TICKS_PER_S == 25  # what the weights expect
