"""A tiny corpus of drawn faces and voices, extracted and fitted: what export and predict are tested on."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from dualstream.features import media
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.commands import extract, fit_head, project
from dualstream.pipeline.corpus.manifest import Manifest, Utterance, write_manifest
from dualstream.pipeline.corpus.synthetic import FRAME_RATE_HZ, SAMPLE_RATE_HZ, Script, Speaker, perform
from dualstream.pipeline.extraction.recipe import ExtractionOptions

SENTIMENT = {"joy": "positive", "anger": "negative"}
CLIPS = 12
DURATION_S = 1.6


def make_clips(root: Path) -> Manifest:
    """Draw the clips below `root`; the last one has no sound. Return their manifest, written as manifest.csv."""
    (root / "clips").mkdir(parents=True)
    rows = []
    for number in range(CLIPS):
        emotion = ("joy", "anger")[number % 2]
        rng = np.random.default_rng((7, number))
        cast = Speaker.draw(np.random.default_rng(number // 4))
        frames, audio = perform(Script(emotion, DURATION_S, 0.2, 1.4), cast, rng)
        path = f"clips/{number:02d}.mp4"
        silent = number == CLIPS - 1
        media.write_clip(root / path, frames, FRAME_RATE_HZ, None if silent else audio, SAMPLE_RATE_HZ)
        rows.append(
            Utterance(
                id=f"c{number:02d}", path=path, split="train" if number < 8 else "dev",
                dialogue=f"d{number // 4}", turn=number % 4, speaker=f"s{number // 4}",
                emotion=emotion, sentiment=SENTIMENT[emotion],
            )
        )  # fmt: skip
    manifest = Manifest(tuple(rows))
    write_manifest(manifest, root / "manifest.csv")
    return manifest


def make_cache(root: Path, kind: str = "pca-turned") -> Path:
    """Extract the clips (cnn5 of random weights, acoustic), and project the video to 10 columns."""
    cache = root / "cache.h5"
    options = ExtractionOptions(video=("cnn5",), video_weights=("random:0",), device="cpu", threads=1)
    run = extract.RunOptions(workers=1)
    extract.extract(root / "manifest.csv", root=root, out=cache, options=options, run=run)
    narrow = project.ProjectOptions(kind=kind, width=10, streams=("video",))
    project.project(cache, options=narrow)
    return cache


def fit(cache: Path, fusion: str, out: Path, **changes: object) -> Path:
    """Fit a run of two seeds, without a report."""
    options = fit_head.FitHeadOptions(report=False, **changes)  # type: ignore[arg-type]
    fit_head.fit_head(cache, fusion, out, fit=FitOptions(seeds=(0, 1), epochs=4, threads=1), options=options)
    return out
