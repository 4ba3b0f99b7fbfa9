"""How long will it take? A few clips are decoded and a batch or two encoded, and the rest is arithmetic."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.features.encoder import VideoEncoder
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.extraction.clip_workers import clip_reading
from dualstream.pipeline.extraction.recipe import Recipe
from dualstream.pipeline.extraction.staleness import ABSENT, Hasher

from dualstream.documents import Document

MEASURED_CLIPS = 5


@dataclass(frozen=True)
class TimeEstimate(Document):
    """What a run would make, from a few clips measured."""

    clips: int
    """Clips to decode and encode."""
    absent: int
    """Of these, clips without a file: they would fail."""
    measured: int
    """Clips that the estimate rests on."""
    windows: int
    """Windows of all of them, about."""
    shard_bytes: int
    """Size of their shards, about."""
    seconds: float | None
    """Time for all of them, about; None where nothing could be measured."""


def estimate(
    utterances: Sequence[Utterance], recipe: Recipe, hasher: Hasher, *, workers: int, batches: int = 1
) -> TimeEstimate:
    """Measure a few clips spread over `utterances`; `workers` share the decoding, `batches` the encoding on a CPU.

    The longer of the two decides where they run side by side: on a CPU both want the same cores, so they add up
    there.
    """
    if not utterances:
        return TimeEstimate(0, 0, 0, 0, 0, 0.0)
    plan = recipe.plan
    if plan.decode is None:
        return TimeEstimate(len(utterances), 0, 0, len(utterances), 0, 0.0)
    there = [one for one in utterances if hasher.stat(*one.files) != ABSENT]
    picked = (
        [there[i] for i in sorted({*np.linspace(0, len(there) - 1, MEASURED_CLIPS, dtype=int)})] if there else []
    )
    decode_s, frames, windows, measured = 0.0, 0, 0, 0
    with contextlib.closing(clip_reading(plan, hasher, clips=len(picked), workers=1)) as reading:
        for number, one in enumerate(picked[:1] + picked):  # the first one warms up what is loaded late
            started_s = time.perf_counter()
            clip = reading.read(one, plan)
            if number == 0 or clip.failure:
                continue
            decode_s += time.perf_counter() - started_s
            frames += clip.begun.frame_count
            windows += len(clip.begun.starts_s)
            measured += 1
    absent = len(utterances) - len(there)
    if not measured:
        return TimeEstimate(len(utterances), absent, 0, 0, 0, None)
    share = len(there) / measured
    on_cpu = recipe.document["device"] != "cuda"
    encode_s = sum(_seconds_a_frame(one) for one in plan.video.values()) * frames * share
    encode_s /= batches if on_cpu else 1
    waiting_s = decode_s * share / workers
    row_bytes = sum(4 * encoder.spec.raw_width + 9 for encoder in plan.encoders.values())
    return TimeEstimate(
        clips=len(utterances),
        absent=absent,
        measured=measured,
        windows=round(windows * share),
        shard_bytes=round((windows * share + len(utterances)) * row_bytes),
        seconds=waiting_s + encode_s if on_cpu else max(waiting_s, encode_s),
    )


def _seconds_a_frame(encoder: VideoEncoder) -> float:
    """Time one full batch, after one for warming up."""
    side = encoder.frame_size_px
    frames = np.zeros((encoder.batch_size, side, side, 3), np.uint8)
    encoder.encode_frames(frames)
    started_s = time.perf_counter()
    encoder.encode_frames(frames)
    return (time.perf_counter() - started_s) / len(frames)
