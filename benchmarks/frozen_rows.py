"""Rows of frozen encoders for studies: a Whisper encoder over EMO-DB and RAVDESS, MobileNetV2 over MOSI.

Computed once and kept in a folder, as they cost minutes; heads and projections are studied on what is kept.
"""

from __future__ import annotations

import csv
import os
import subprocess
import sys
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import soundfile
from checkout import ROOT
from dualstream.features.windows import WindowPlan
from numpy.typing import NDArray

if TYPE_CHECKING:
    import torch

PLAN = WindowPlan()
SAMPLE_RATE_HZ = 16_000
FRAMES_PER_S = 50  # of Whisper's encoder
CONTEXT_S = 10  # that the encoder sees, silence behind the clip: Whisper's own 30 s cost thrice as much
LAYER = 3  # of whisper-tiny.en's four blocks: the best of them for RAVDESS
MEASURE = "head_pitch"  # of the face, in a picture: whether the speaker looks up, ahead or down
THIRDS = ("down", "ahead", "up")
NEAR_S = 0.06  # a measure stands each 0.1 s; a picture without one this near has no label


def folder_of(variable: str) -> Path:
    """Return the folder that DUALSTREAM_DATA or DUALSTREAM_WEIGHTS names; end the program where it is not set."""
    if not os.environ.get(variable):
        sys.exit(f"{variable} is not set; the module's docstring says what it names")
    return Path(os.environ[variable])


@dataclass(frozen=True, repr=False)
class CorpusRows:
    """Raw rows of one corpus as an encoder gives them: windows, and one row for each utterance."""

    name: str
    windows: NDArray[np.float32]
    """Shape (W, R)."""
    offsets: NDArray[np.int64]
    """Shape (N+1,): windows of utterance i are rows ``offsets[i]:offsets[i+1]``."""
    utterance: NDArray[np.float32]
    """Shape (N, R)."""
    label: NDArray[np.str_]
    group: NDArray[np.str_]
    """What folds keep whole: the speaker, or the clip."""
    grouped_by: str
    id: NDArray[np.str_]
    """Of each utterance, shape (N,)."""


def whisper_rows(folder: Path, weights: Path, corpus: str, data: Path) -> CorpusRows:
    """Return the rows of whisper-tiny.en's encoder over ``emodb`` or ``ravdess`` (without calm)."""
    files = sorted((data / corpus / ("audio" if corpus == "ravdess" else "")).glob("*.flac"))
    if corpus == "ravdess":
        files = [path for path in files if path.stem.split("-")[2] != "02"]
    if not files:
        sys.exit(f"{data / corpus} holds no .flac file")

    def make() -> dict[str, NDArray[Any]]:
        encode = whisper(weights)
        sounds = (soundfile.read(path, dtype="float32")[0] for path in files)
        return packed(windowed(encode(sound), len(sound) / SAMPLE_RATE_HZ) for sound in sounds)

    names = [path.stem for path in files]
    field = (lambda n: n[5], lambda n: n[:2]) if corpus == "emodb" else (lambda n: n[6:8], lambda n: n[18:20])
    label, speaker = (np.array([one(name) for name in names]) for one in field)
    kept = kept_rows(folder / f"whisper-{corpus}-layer{LAYER}.npz", make)
    name = {"emodb": "EMO-DB", "ravdess": "RAVDESS"}[corpus]
    return CorpusRows(name, **kept, label=label, group=speaker, grouped_by="speaker", id=np.array(names))


def picture_rows(folder: Path, weights: Path, data: Path) -> CorpusRows:
    """Return the rows of MobileNetV2 over single pictures of MOSI's clips, two a second, made by `extract`.

    The label is the third of the speaker's own range in which `MEASURE` lies, as landmarks measured it. Whole
    clips are held out, not speakers: eight people in eight rooms say little of the pictures of a ninth.
    """
    from dualstream.pipeline.cache import read_cache

    cache = read_cache(_extracted(folder / "mosi.h5", weights, data))
    stream = cache.streams["video"]
    assert stream.windows is not None and stream.window_present is not None and stream.time_s is not None
    clip = np.repeat(np.arange(len(cache.utterances)), np.diff(cache.offsets))
    names = np.array(cache.utterances.id)[clip]
    value = _measured(data / "face_geometry.npz", names, stream.time_s)
    kept = np.flatnonzero(stream.window_present & np.isfinite(value))
    speaker = np.array(cache.utterances.speaker)[clip]
    label = np.empty(len(clip), dtype="<U5")
    for one in np.unique(speaker[kept]):
        own = kept[speaker[kept] == one]
        cuts = np.quantile(value[own], [1 / 3, 2 / 3])
        label[own] = np.array(THIRDS)[np.searchsorted(cuts, value[own])]
    rows = stream.windows[kept]
    offsets = np.arange(len(kept) + 1, dtype=np.int64)  # a picture is a window and an utterance at once
    ids = np.char.add(names[kept], [f"@{at:.2f}" for at in stream.time_s[kept]])
    return CorpusRows("MOSI's pictures", rows, offsets, rows, label[kept], names[kept], "clip", ids)


def action_units(data: Path, ids: Sequence[str]) -> NDArray[np.float32]:
    """Return RAVDESS's mean action units of these utterances, by the names of their sounds, shape (N, 35)."""
    with (data / "ravdess" / "action_units.csv").open(newline="") as lines:
        rows = {"03" + row.pop("clip")[2:]: list(row.values()) for row in csv.DictReader(lines)}
    return np.array([rows[name] for name in ids], dtype=np.float32)  # the films' names begin with 01


def cremad_votes(data: Path) -> tuple[list[dict[str, str]], dict[str, NDArray[Any]]]:
    """Return the lines of CREMA-D's manifest with votes in both streams, and the votes, shape (N, D) each."""
    folder = data / "cremad_votes"
    votes = {}
    for name in ("audio", "video"):
        with np.load(folder / f"{name}_votes.npz") as file:
            votes[name] = dict(zip(file["id"].tolist(), file["features"], strict=True))
    with (folder / "manifest.csv").open(newline="", encoding="utf-8") as lines:
        rows = [row for row in csv.DictReader(lines) if all(row["id"] in one for one in votes.values())]
    return rows, {name: np.array([one[row["id"]] for row in rows]) for name, one in votes.items()}


def _extracted(cache: Path, weights: Path, data: Path) -> Path:
    if not cache.exists():
        words = (
            *("extract", str(data / "manifest.csv"), "--root", str(data), "--audio", "none", "--out", str(cache)),
            *("--video", "torchvision:mobilenet_v2", "--video-weights", str(weights), "--projection", "none"),
        )
        done = subprocess.run([sys.executable, str(ROOT / "cli.py"), *words], cwd=ROOT)
        if done.returncode:
            sys.exit(f"extract ended with status {done.returncode}")
    return cache


def _measured(table: Path, names: NDArray[np.str_], time_s: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return `MEASURE` of the face at each picture's time; NaN where none was measured near it."""
    with np.load(table, allow_pickle=False) as file:
        column = file["features"][:, list(file["columns"]).index(MEASURE)]
        ids, times = file["id"], file["time_s"]
    found = np.full(len(names), np.nan)
    for place, (name, at) in enumerate(zip(names, time_s, strict=True)):
        own = np.flatnonzero(ids == name)
        if len(own) and np.isfinite(at):
            nearest = own[np.abs(times[own] - at).argmin()]
            if abs(times[nearest] - at) < NEAR_S:
                found[place] = column[nearest]
    return found


def whisper(weights: Path) -> Callable[[NDArray[np.float32]], NDArray[np.float32]]:
    """Return a function from sound (16 kHz) to the encoder's frames, shape (T, 384), 50 a second."""
    import torch
    from safetensors.torch import load_file
    from transformers import WhisperConfig, WhisperFeatureExtractor
    from transformers.models.whisper.modeling_whisper import WhisperEncoder

    frames = CONTEXT_S * FRAMES_PER_S
    encoder = WhisperEncoder(WhisperConfig.from_pretrained(weights, max_source_positions=frames)).eval()
    prefix, places = "model.encoder.", "embed_positions.weight"
    arrays = load_file(weights / "model.safetensors")
    state = {k.removeprefix(prefix): v.float() for k, v in arrays.items() if k.startswith(prefix)}
    encoder.load_state_dict({**state, places: state[places][:frames]})
    encoder.layers = encoder.layers[:LAYER]  # what stands behind the layer that is read is not computed
    encoder.layer_norm = torch.nn.Identity()
    mel = WhisperFeatureExtractor.from_pretrained(weights, chunk_length=CONTEXT_S)

    def encode(sound: NDArray[np.float32]) -> NDArray[np.float32]:
        bands = mel(sound, sampling_rate=SAMPLE_RATE_HZ, return_tensors="pt").input_features  # (1, 80, 1000)
        with torch.inference_mode():
            found: torch.Tensor = encoder(bands).last_hidden_state[0]  # (500, 384)
        return found[: max(1, round(len(sound) / SAMPLE_RATE_HZ * FRAMES_PER_S))].numpy()

    return encode


def windowed(frames: NDArray[np.float32], duration_s: float) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Return the frames' means in each window of `PLAN`, shape (K, R), and over all, shape (R,)."""
    bounds = [(s * FRAMES_PER_S, (s + PLAN.length_s) * FRAMES_PER_S) for s in PLAN.starts_s(duration_s)]
    rows = [frames[min(int(a), len(frames) - 1) : int(b)].mean(axis=0) for a, b in bounds]
    return np.stack(rows).astype(np.float32), frames.mean(axis=0)


def packed(clips: Iterator[tuple[NDArray[np.float32], NDArray[np.float32]]]) -> dict[str, NDArray[Any]]:
    """Join the windows and rows of many clips."""
    windows, rows = zip(*clips, strict=True)
    offsets = np.concatenate(([0], np.cumsum([len(one) for one in windows]))).astype(np.int64)
    return {"windows": np.concatenate(windows), "offsets": offsets, "utterance": np.stack(rows)}


def kept_rows(path: Path, make: Callable[[], dict[str, NDArray[Any]]]) -> dict[str, NDArray[Any]]:
    """Return arrays from a file, which is made where it is not there."""
    if not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"draft-{os.getpid()}-{path.name}")
        np.savez(draft, **make())
        draft.replace(path)
    with np.load(path, allow_pickle=False) as file:
        return {name: file[name] for name in file.files}
