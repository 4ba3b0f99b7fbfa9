"""Shards: committed whole or not there, the same bytes for the same rows, damage seen."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import CorruptError, DualstreamError
from dualstream.pipeline.extraction.shards import (
    LONGEST_REASON_BYTES,
    commit_shard,
    members_digest,
    pack_shard,
    read_shard,
    shard_path,
    short_reason,
    split_in_shards,
)
from dualstream.pipeline.storage.sealed import TEMPORARY_SUFFIX, remove_leftovers

from tests.pipeline.caches import random_shard


def utterances(count: int) -> tuple[Utterance, ...]:
    return tuple(Utterance(f"u{i}", f"clips/u{i}.mp4", "train") for i in range(count))


def test_rows_come_back(tmp_path: Path) -> None:
    shard = random_shard(5)
    commit_shard(tmp_path, 3, pack_shard(shard))
    back = read_shard(shard_path(tmp_path, 3))
    assert (back.members, back.environment) == (shard.members, shard.environment)
    for found, expected in zip(back.clips, shard.clips, strict=True):
        assert (found.id, found.sha256, found.status, found.reason) == (
            expected.id,
            expected.sha256,
            expected.status,
            expected.reason,
        )
        np.testing.assert_array_equal(found.starts_s, expected.starts_s)
        np.testing.assert_equal(found.duration_s, expected.duration_s)
        for name, rows in expected.streams.items():
            other = found.streams[name]
            assert other.present == rows.present
            for part in ("utterance", "windows", "window_present", "time_s"):
                assert getattr(other, part).dtype == getattr(rows, part).dtype
                np.testing.assert_array_equal(getattr(other, part), getattr(rows, part))


def test_same_rows_same_bytes() -> None:
    assert pack_shard(random_shard(6)) == pack_shard(random_shard(6))
    assert pack_shard(random_shard(6)) != pack_shard(random_shard(6, seed=1))


def test_digest_sees_every_part() -> None:
    clip = random_shard(3).clips[0]
    video = clip.streams["video"]
    changed = [
        replace(clip, sha256="0" * 64),
        replace(clip, reason="x"),
        replace(clip, duration_s=9.0),
        replace(clip, starts_s=clip.starts_s + 1e-9),
        replace(clip, streams={**clip.streams, "video": replace(video, time_s=video.time_s + 1e-9)}),
        replace(clip, streams={**clip.streams, "video": replace(video, utterance=video.utterance + 1)}),
        replace(clip, streams={**clip.streams, "video": replace(video, window_present=~video.window_present)}),
    ]
    assert len({one.digest() for one in [clip, *changed]}) == len(changed) + 1


def test_damage_is_seen(tmp_path: Path) -> None:
    path = shard_path(tmp_path, 0)
    commit_shard(tmp_path, 0, pack_shard(random_shard()))
    good = path.read_bytes()
    rng = np.random.default_rng(0)
    for _ in range(100):
        byte, bit = int(rng.integers(len(good))), int(rng.integers(8))
        path.write_bytes(good[:byte] + bytes([good[byte] ^ (1 << bit)]) + good[byte + 1 :])
        with pytest.raises(CorruptError):
            read_shard(path)


def test_commit_leaves_no_temporary_file(tmp_path: Path) -> None:
    commit_shard(tmp_path, 0, pack_shard(random_shard()))
    assert [one.name for one in tmp_path.iterdir()] == ["shard-00000.h5"]


def test_failed_commit_keeps_the_old_shard(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commit_shard(tmp_path, 0, pack_shard(random_shard()))
    before = shard_path(tmp_path, 0).read_bytes()

    def full(descriptor: int, data: bytes) -> int:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.write", full)
    with pytest.raises(DualstreamError, match="No space left on device"):
        commit_shard(tmp_path, 0, pack_shard(random_shard(seed=1)))
    monkeypatch.undo()
    assert shard_path(tmp_path, 0).read_bytes() == before
    assert [one.name for one in tmp_path.iterdir()] == ["shard-00000.h5"]


def test_leftovers_of_a_killed_run_go(tmp_path: Path) -> None:
    for name in ("shard-00000.h5" + TEMPORARY_SUFFIX, "notes.txt"):
        (tmp_path / name).write_bytes(b"half")
    (tmp_path / "folder.tmp").mkdir()
    other = tmp_path / ("shard-00000.h5.more" + TEMPORARY_SUFFIX)
    other.touch()
    assert [one.name for one in remove_leftovers(tmp_path, of="shard-00000.h5")] == ["shard-00000.h5.tmp"]
    assert remove_leftovers(tmp_path) == [other]
    assert sorted(one.name for one in tmp_path.iterdir()) == ["folder.tmp", "notes.txt"]


def test_membership_follows_ids_paths_and_spans_alone() -> None:
    group = utterances(3)
    first = members_digest(group)
    assert members_digest(group[::-1]) != first
    assert members_digest((replace(group[0], path="other.mp4"), *group[1:])) != first
    assert members_digest((replace(group[0], start_s=0.0, end_s=1.0), *group[1:])) != first
    relabelled = replace(group[0], emotion="joy", sentiment="positive", split="dev", speaker="x", dialogue="d")
    assert members_digest((relabelled, *group[1:])) == first


def test_shards_follow_the_manifest() -> None:
    groups = split_in_shards(utterances(70), 32)
    assert [len(group) for group in groups] == [32, 32, 6]
    assert [one for group in groups for one in group] == list(utterances(70))


def test_shard_size_fails() -> None:
    with pytest.raises(ValueError, match="expected 1 to 256"):
        split_in_shards(utterances(3), 0)


def test_reasons_are_one_short_line() -> None:
    assert short_reason("bad\nthing\x1b[31m\0 here ") == "bad thing [31m here"
    long = short_reason("é" * 1000)
    assert len(long.encode()) <= LONGEST_REASON_BYTES
    assert long.endswith("é…")
