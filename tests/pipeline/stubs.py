"""Encoders that cost nothing and a reader that needs no ffmpeg: for tests of everything around them.

A stub's rows follow from the clip's bytes alone, so that any mix-up of rows, clips or shards shows.
"""

from __future__ import annotations

import hashlib
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.encode import ClipPlan, decode_settings
from dualstream.features.encoder import EncoderOptions, EncoderSpec, StreamFeatures
from dualstream.features.media import Clip, MediaError
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.pipeline.commands.extract import extract
from dualstream.pipeline.corpus.manifest import Manifest, write_manifest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.extraction.recipe import ExtractionOptions, Recipe, make_recipe
from dualstream.pipeline.extraction.request import ExtractReport, RunOptions
from numpy.typing import NDArray

SIDE = 4  # pixels
RATE_HZ = 1000
RAW_WIDTH, WIDTH = 12, 5


@dataclass
class StubVideo:
    """Twelve numbers of a frame; `batches` notes how many frames each forward pass had."""

    spec: EncoderSpec = field(
        default_factory=lambda: EncoderSpec("stub", "video", RAW_WIDTH, WIDTH, parameters={"gain": 1.0})
    )
    frame_size_px: int = SIDE
    batch_size: int = 5
    batches: list[int] = field(default_factory=list)

    def encode_frames(self, frames: NDArray[np.uint8]) -> NDArray[np.float32]:
        self.batches.append(len(frames))
        flat = frames.reshape(len(frames), -1).astype(np.float32)
        rows: NDArray[np.float32] = flat[:, :RAW_WIDTH] / 255
        return rows


@dataclass
class StubAudio:
    """Mean and spread of a window's samples, and of the clip's."""

    spec: EncoderSpec = field(default_factory=lambda: EncoderSpec("stub", "audio", 2, 2))
    sample_rate_hz: int = RATE_HZ

    def encode_audio(
        self,
        audio: NDArray[np.float32],
        starts_s: NDArray[np.float64],
        length_s: float,
        covered_s: tuple[float, float],
    ) -> StreamFeatures:
        spans = [audio[int(s * RATE_HZ) : int((s + length_s) * RATE_HZ)] for s in starts_s]
        mask = np.array([len(span) > 0 for span in spans])
        rows = np.array([[span.mean(), span.std()] if len(span) else [0, 0] for span in spans], dtype=np.float32)
        whole = np.array([audio.mean(), audio.std()], dtype=np.float32)
        return StreamFeatures(whole, True, rows, mask, np.where(mask, starts_s + length_s / 2, np.nan))


@dataclass
class FakeReader:
    """Frames and sound drawn from the digest of the file's bytes; files that begin with ``bad`` can't be read."""

    calls: list[str] = field(default_factory=list)
    delay_s: float = 0.0

    def __call__(
        self,
        path: Path,
        *,
        plan: WindowPlan,
        sampling: Sampling,
        settings: Any,
        span_s: tuple[float | None, float | None] = (None, None),
        sound: Path | None = None,
    ) -> Clip:
        self.calls.append(path.name if sound is None else f"{path.name} + {sound.name}")
        data = path.read_bytes() + (b"" if sound is None else sound.read_bytes())
        if self.delay_s:
            time.sleep(self.delay_s)
        if data.startswith(b"bad"):
            raise MediaError("damaged", f"{path.name}: nothing could be decoded")
        rng = np.random.default_rng(list(hashlib.sha256(data + repr(span_s).encode()).digest()))
        duration_s = float(rng.uniform(0.3, 4.0))
        targets = sampling.targets(plan, duration_s)
        count = len(targets.window)
        silent = data.startswith(b"silent")
        sound = rng.standard_normal(int(duration_s * RATE_HZ)).astype(np.float32)
        return fake_clip(
            duration_s=duration_s,
            starts_s=plan.starts_s(duration_s),
            frames=rng.integers(0, 256, (count, SIDE, SIDE, 3), dtype=np.uint8),
            frame_time_s=targets.time_s,
            frame_window=targets.window,
            audio=None if silent else sound,
            audio_covered_s=None if silent else (0.0, duration_s),
            notes=("no sound: the file has none",) if silent else (),
        )


def fake_clip(**parts: Any) -> Clip:
    """Return a clip of these arrays; what else a clip says of its file is left blank."""
    import dataclasses

    given = {"notes": (), **parts}
    blank = {one.name: None for one in dataclasses.fields(Clip) if one.name not in given}
    return Clip(**given, **blank)


def stub_recipe(
    options: ExtractionOptions,
    *,
    reader: Callable[..., Clip] | None = None,
    video: StubVideo | None = None,
    shard_size: int = 32,
    memo: Path | None = None,
    before_networks: Callable[[ClipPlan], None] | None = None,
) -> Recipe:
    """Build a recipe of stub encoders; the options shape it as they would a real one, and no network is waited for."""

    def build(stream: str, text: str, how: EncoderOptions) -> Any:
        if text != "stub":
            raise ValueError(f"no encoder is called {text!r}")
        return (video or StubVideo()) if stream == "video" else StubAudio()

    made = make_recipe(options, shard_size=shard_size, memo=None, build_encoder=build)
    plan = ClipPlan(
        made.plan.encoders,
        made.plan.windows,
        made.plan.sampling,
        decode_settings(made.plan.encoders, channels=options.channels),
        reader or FakeReader(),
    )
    return Recipe({**made.document, "decoder": "fake"}, made.specs, lambda: plan, lambda: {"threads": 1})


STUBS = ExtractionOptions(video=("stub",), audio=("stub",), device="cpu")


def make_corpus(root: Path, count: int = 9, *, contents: dict[int, bytes] | None = None) -> Path:
    """Write `count` files of random bytes and their manifest; return the manifest's path."""
    root.mkdir(parents=True, exist_ok=True)
    rows = []
    for number in range(count):
        path = f"clip{number}.mp4"
        (root / path).write_bytes((contents or {}).get(number, f"clip {number}".encode()))
        rows.append(
            Utterance(
                f"u{number}",
                path,
                ("train", "train", "dev", "test")[number % 4],
                emotion=("joy", "anger")[number % 2],
                sentiment=("positive", "negative")[number % 2],
                dialogue=f"d{number // 3}",
                turn=number % 3,
            )
        )
    manifest = root / "manifest.csv"
    write_manifest(Manifest(tuple(rows)), manifest)
    return manifest


def run_extract(
    manifest: Path,
    out: Path,
    *,
    options: ExtractionOptions = STUBS,
    reader: Callable[..., Clip] | None = None,
    video: StubVideo | None = None,
    notices: list[str] | None = None,
    **run: Any,
) -> ExtractReport:
    """Extract a stub corpus; three clips a shard unless told otherwise."""

    def recipe(chosen: ExtractionOptions, **how: Any) -> Recipe:
        return stub_recipe(chosen, reader=reader, video=video, **how)

    return extract(
        manifest,
        root=manifest.parent,
        out=out,
        options=options,
        run=RunOptions(**{"shard_size": 3, "workers": 2, **run}),
        notice=(notices if notices is not None else []).append,
        build_recipe=recipe,
    )


def listing(folder: Path) -> Sequence[str]:
    """Return the relative paths of all files below a folder."""
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())
