"""Small caches and shards of random numbers, with everything that the format knows in them."""

from __future__ import annotations

import hashlib
from typing import Any

import numpy as np
from dualstream.features.encoder import StreamFeatures
from dualstream.pipeline.cache import Cache, StoredProjection, Stream, Utterances
from dualstream.pipeline.extraction.shards import ClipRows, Shard

RAW_WIDTH = 7


def random_cache(count: int = 12, *, seed: int = 0, video_width: int = 5, audio_width: int = 3) -> Cache:
    """Return a cache with a projected video, an audio with windows and a table without; some rows masked."""
    rng = np.random.default_rng(seed)
    counts = rng.integers(1, 6, count)
    offsets = np.concatenate(([0], np.cumsum(counts))).astype(np.int64)
    start_s = np.concatenate([np.arange(k) * 0.5 for k in counts])
    failed = rng.random(count) < 0.1
    status = np.where(failed, "failed", "ok").tolist()
    utterances = Utterances(
        id=[f"train_dia{i}_utt0" for i in range(count)],
        split=[("train", "dev", "test")[i % 3] for i in range(count)],
        dialogue=[f"dia{i // 3}" for i in range(count)],
        turn=np.arange(count, dtype=np.int32) % 3,
        speaker=["Zoë" if i % 2 else "" for i in range(count)],
        emotion=rng.integers(-1, 3, count).astype(np.int16),
        sentiment=rng.integers(-1, 2, count).astype(np.int16),
        duration_s=np.where(failed, np.nan, counts * 0.5 + 0.5),
        sha256=[hashlib.sha256(str(i).encode()).hexdigest() for i in range(count)],
        status=status,
        reason=["damaged: moov atom not found" if one == "failed" else "" for one in status],
    )
    projection = StoredProjection(
        "gaussian",
        np.zeros(RAW_WIDTH, np.float32),
        rng.standard_normal((video_width, RAW_WIDTH)).astype(np.float32),
        {"seed": 0},
    )
    streams = {
        "video": _stream(rng, "video", video_width, start_s, counts, projection),
        "audio": _stream(rng, "audio", audio_width, start_s, counts, None),
        "video.table-au": _stream(rng, "video.table-au", 2, start_s, counts, None, windowed=False),
    }
    vocabulary = {"emotion": ["neutral", "joy", "anger"], "sentiment": ["neutral", "positive"]}
    recipe = {
        "windows": {"length_s": 1.0, "hop_s": 0.5},
        "streams": {name: one.spec for name, one in streams.items()},
    }
    return Cache(utterances, offsets, start_s, streams, vocabulary, {"fingerprint": "f" * 64, "recipe": recipe})


def _stream(
    rng: np.random.Generator,
    name: str,
    width: int,
    start_s: Any,
    counts: Any,
    projection: StoredProjection | None,
    *,
    windowed: bool = True,
) -> Stream:
    present = rng.random(len(counts)) < 0.8
    mask = np.repeat(present, counts) & (rng.random(len(start_s)) < 0.9)
    utterance = rng.standard_normal((len(counts), width)).astype(np.float32) * present[:, None]
    windows = rng.standard_normal((len(start_s), width)).astype(np.float32) * mask[:, None]
    spec = {"name": name, "raw_width": RAW_WIDTH, "width": width, "has_windows": windowed, "weights": None}
    return Stream(
        name=name,
        utterance=utterance + np.float32(0),  # no negative zeros where masked
        present=present,
        windows=windows + np.float32(0) if windowed else None,
        window_present=mask if windowed else None,
        time_s=np.where(mask, start_s + 0.5, np.nan) if windowed else None,
        spec=spec,
        projection=projection,
    )


def random_shard(count: int = 4, *, seed: int = 0, width: int = 6) -> Shard:
    """Return a shard with a stream of windows and one without; its second clip failed."""
    rng = np.random.default_rng(seed)
    clips = []
    for number in range(count):
        windows = int(rng.integers(1, 5))
        failed = number == 1
        rows = (
            np.zeros((windows, width), np.float32) if failed else rng.standard_normal((windows, width), np.float32)
        )
        mask = np.full(windows, not failed)
        video = StreamFeatures(
            rows.mean(axis=0), not failed, rows, mask, np.where(mask, np.arange(windows) + 0.25, np.nan)
        )
        table = StreamFeatures(
            rng.standard_normal(2, np.float32), True, np.empty((0, 2), np.float32), np.empty(0, bool), np.empty(0)
        )
        clips.append(
            ClipRows(
                id=f"clip{number}",
                sha256=hashlib.sha256(str(number).encode()).hexdigest(),
                duration_s=float("nan") if failed else windows * 0.5 + 0.5,
                starts_s=np.arange(windows) * 0.5,
                streams={"video": video, "audio": table},
                status="failed" if failed else "ok",
                reason="damaged: moov atom not found — ünreadable" if failed else "",
            )
        )
    return Shard("m" * 64, tuple(clips), {"threads": 1})


def assert_same_cache(found: Cache, expected: Cache) -> None:
    """Compare every array, text and JSON of two caches, bit by bit; dtypes too."""
    for name, column in vars(expected.utterances).items():
        _same(getattr(found.utterances, name), column, f"utterances.{name}")
    _same(found.offsets, expected.offsets, "offsets")
    _same(found.start_s, expected.start_s, "start_s")
    assert found.vocabulary == expected.vocabulary
    assert found.provenance == expected.provenance
    assert set(found.streams) == set(expected.streams)
    for key, stream in expected.streams.items():
        other = found.streams[key]
        for part in ("name", "utterance", "present", "windows", "window_present", "time_s", "spec"):
            _same(getattr(other, part), getattr(stream, part), f"{key}.{part}")
        assert (other.projection is None) == (stream.projection is None)
        if stream.projection is not None:
            for part, value in vars(stream.projection).items():
                _same(getattr(other.projection, part), value, f"{key}.projection.{part}")


def _same(found: Any, expected: Any, where: str) -> None:
    if isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype, where
        assert found.shape == expected.shape, where
        assert found.tobytes() == expected.tobytes(), where
    else:
        assert found == expected, where
