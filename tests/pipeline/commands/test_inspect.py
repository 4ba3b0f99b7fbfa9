"""inspect: coverage, health, labels with the majority line; --verify finds what reading does not."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from dualstream.pipeline.cache import Cache, write_cache
from dualstream.pipeline.commands.inspect import inspect
from dualstream.pipeline.errors import CorruptError, NoCacheError
from dualstream.pipeline.reporting.inspection import describe
from sklearn.metrics import accuracy_score, balanced_accuracy_score, f1_score

from tests.pipeline.caches import random_cache
from tests.pipeline.stubs import make_corpus, run_extract


def written(tmp_path: Path, cache: Cache) -> Path:
    path = tmp_path / "cache.h5"
    write_cache(path, cache)
    return path


def test_counts_are_those_of_the_arrays(tmp_path: Path) -> None:
    cache = random_cache(60)
    document = inspect(written(tmp_path, cache))
    json.dumps(document.stamped(), allow_nan=False)
    split, video = np.array(cache.utterances.split), cache.streams["video"]
    assert video.window_present is not None
    of_window = np.repeat(split, np.diff(cache.offsets))
    for name in ("train", "dev", "test"):
        coverage = document["streams"]["video"]["coverage"][name]
        assert coverage["present"] == video.present[split == name].sum()
        assert coverage["windows_present"] == video.window_present[of_window == name].sum()
    assert [one["id"] for one in document["failed"]] == [
        name
        for name, status in zip(cache.utterances.id, cache.utterances.status, strict=True)
        if status == "failed"
    ]
    counts = document["labels"]["emotion"]["counts"]["train"]
    codes = cache.utterances.emotion[split == "train"]
    assert counts == {
        "unlabelled": (codes < 0).sum(),
        **{n: (codes == i).sum() for i, n in enumerate(["neutral", "joy", "anger"])},
    }


def test_notes_on_clips_are_shown(tmp_path: Path) -> None:
    cache = random_cache(60)
    status, reason = list(cache.utterances.status), list(cache.utterances.reason)
    row = status.index("ok")
    reason[row] = "audio stops 3 s early"
    cache = replace(cache, utterances=replace(cache.utterances, reason=reason))
    document = inspect(written(tmp_path, cache))
    assert {"id": cache.utterances.id[row], "note": "audio stops 3 s early"} in document["odd"]
    assert f"  {cache.utterances.id[row]}: audio stops 3 s early" in describe(document).splitlines()


def test_majority_line_equals_sklearn(tmp_path: Path) -> None:
    """Train is mostly joy, test mostly anger: each split has the line of its own class, test train's beside it."""
    cache = random_cache(90)
    split, codes = np.array(cache.utterances.split), cache.utterances.emotion.copy()
    codes[np.flatnonzero(split == "train")[:20]] = 1
    codes[np.flatnonzero(split == "test")[:20]] = 2
    cache = replace(cache, utterances=replace(cache.utterances, emotion=codes))
    document = inspect(written(tmp_path, cache))
    majority = document["labels"]["emotion"]["majority"]
    assert (majority["class"], majority["from"]) == ("joy", "train")
    truth = codes[(split == "test") & (codes >= 0)]
    scores = majority["splits"]["test"]
    for line, name, code in ((scores, "anger", 2), (scores["train_majority"], "joy", 1)):
        said = np.full_like(truth, code)
        assert line["name"] == name
        np.testing.assert_allclose(
            [line["accuracy"], line["balanced_accuracy"], line["weighted_f1"], line["macro_f1"]],
            [
                accuracy_score(truth, said),
                balanced_accuracy_score(truth, said),
                f1_score(truth, said, average="weighted", zero_division=0),
                f1_score(truth, said, average="macro", zero_division=0),
            ],
        )
    assigned = codes[(split != "test") & (codes >= 0)]
    assert majority["outside_test"]["accuracy"] == np.bincount(assigned).max() / len(assigned)
    text = describe(document)
    assert "majority of test: always anger; train's commonest, joy: accuracy" in text


def test_dead_and_repeated_rows_are_warned_of(tmp_path: Path) -> None:
    cache = random_cache(40)
    audio = cache.streams["audio"]
    assert audio.windows is not None and audio.window_present is not None
    windows = audio.windows.copy()
    windows[audio.window_present, 1] = 7.5
    spoilt = replace(cache, streams={**cache.streams, "audio": replace(audio, windows=windows)})
    document = inspect(written(tmp_path, spoilt))
    assert document["streams"]["audio"]["health"]["dead_columns"] == [1]
    assert any("audio: 1 of 3 columns never change" in text for text in document["warnings"])
    windows[audio.window_present] = 7.5
    again = replace(cache, streams={**cache.streams, "audio": replace(audio, windows=windows)})
    assert any("repeat another one" in text for text in inspect(written(tmp_path, again))["warnings"])


def test_clips_that_repeat_another_are_counted_by_utterance(tmp_path: Path) -> None:
    """Silence and a table with one row for each clip repeat windows, which says nothing; whole clips say something."""
    cache = random_cache(40)
    audio = cache.streams["audio"]
    assert audio.windows is not None and audio.window_present is not None
    owner = np.repeat(np.arange(40), np.diff(cache.offsets))
    windows = audio.windows.copy()
    first = np.unique(owner[audio.window_present], return_index=True)[1]
    places = np.flatnonzero(audio.window_present)
    silent = np.setdiff1d(places, places[first])  # all windows but the first of each clip
    windows[silent] = 0.25
    document = inspect(written(tmp_path, replace(cache, streams={"audio": replace(audio, windows=windows)})))
    health = document["streams"]["audio"]["health"]
    assert health["repeated_rows"] == len(silent) - 1 and health["repeated_utterances"] == 0
    assert not any("repeat another one" in text for text in document["warnings"])
    one, other = np.unique(owner[audio.window_present])[:2]
    windows[(owner == other) & audio.window_present] = windows[places[owner[places] == one][0]]
    windows[(owner == one) & audio.window_present] = windows[places[owner[places] == one][0]]
    document = inspect(written(tmp_path, replace(cache, streams={"audio": replace(audio, windows=windows)})))
    assert document["streams"]["audio"]["health"]["repeated_utterances"] == 2
    assert any("audio: 2 of " in text and "repeat another one" in text for text in document["warnings"])


def test_rows_that_are_not_finite_are_warned_of_and_fail_to_verify(tmp_path: Path) -> None:
    cache = random_cache(20)
    video = cache.streams["video"]
    rows = video.utterance.copy()
    rows[np.flatnonzero(video.present)[0], 0] = np.inf
    streams = {**cache.streams, "video": replace(video, utterance=rows)}
    path = written(tmp_path, replace(cache, streams=streams, provenance={}))
    assert "stream video: NaN or infinity in 1 row" in inspect(path)["warnings"]
    with pytest.raises(CorruptError, match="NaN or infinity"):
        inspect(path, verify=True)


def test_wrong_fingerprint_fails_to_verify(tmp_path: Path) -> None:
    path = written(tmp_path, random_cache(20))  # its fingerprint is made up
    inspect(path)
    with pytest.raises(CorruptError, match="fingerprint"):
        inspect(path, verify=True)


def test_verify_reads_the_shards(tmp_path: Path) -> None:
    out = tmp_path / "out" / "cache.h5"
    corpus = make_corpus(tmp_path / "clips", 9)
    run_extract(corpus, out)
    document = inspect(out, verify=True)
    assert document["verified"][-1] == "3 shards, and that the cache was made of them"
    assert document["not_verified"] == []
    text = describe(document)
    assert "majority accuracy" in text and "stub" in text and "by pca fitted on" in text
    assert "of the variance kept), turned" in text and not document["warnings"]
    run_extract(corpus, out, projection="pca")
    (warning,) = inspect(out)["warnings"]
    assert "stream video: principal components as they are" in warning and "--kind pca-turned" in warning
    assert "of the variance kept), as they are" in describe(inspect(out))
    shard = sorted(out.parent.rglob("shard-*.h5"))[1]
    data = bytearray(shard.read_bytes())
    data[3000] ^= 4
    shard.write_bytes(data)
    with pytest.raises(CorruptError, match="shard-00001"):
        inspect(out, verify=True)
    (tmp_path / "clips" / "clip0.mp4").write_bytes(b"new")
    shard.unlink()
    document = inspect(out, verify=True)
    assert document["verified"][-1] == "2 of 3 shards, each by itself"
    (text,) = document["not_verified"]
    assert "there is no shard-00001.h5" in text and "extract makes them again" in text
    lines = describe(document).splitlines()
    assert lines[-2:] == [f"verified: {document['verified'][-1]}", f"not verified: {text}"]
    for one in out.parent.rglob("shard-*.h5"):
        one.unlink()
    document = inspect(out, verify=True)
    assert not any("shard" in text for text in document["verified"])
    assert "none of the 3 is in" in document["not_verified"][0]


def test_shards_of_another_cache_verify_nothing(tmp_path: Path) -> None:
    one, other = tmp_path / "a" / "cache.h5", tmp_path / "b" / "cache.h5"
    run_extract(make_corpus(tmp_path / "clips", 6), one)
    run_extract(make_corpus(tmp_path / "others", 6, contents={2: b"other bytes"}), other)
    for shard in one.parent.rglob("shard-*.h5"):
        shard.write_bytes(next(other.parent.rglob(shard.name)).read_bytes())
    document = inspect(one, verify=True)
    assert "are others; extract brings it up to date" in document["not_verified"][0]
    assert document["verified"][-1] == "2 shards, each by itself"


def test_failures_are_listed(tmp_path: Path) -> None:
    out = tmp_path / "out" / "cache.h5"
    run_extract(make_corpus(tmp_path / "clips", 6, contents={2: b"bad"}), out)
    assert "u2: damaged: clip2.mp4: nothing could be decoded" in describe(inspect(out))


def test_no_cache_fails(tmp_path: Path) -> None:
    with pytest.raises(NoCacheError):
        inspect(tmp_path / "none.h5")


def test_mistakes_that_need_no_fit_are_named_with_their_utterances(tmp_path: Path) -> None:
    """Filled rows, and a column that is the label; of clean random rows nothing is said."""
    cache = random_cache(200, audio_width=12)
    assert inspect(written(tmp_path, cache)).mistakes == ()
    audio = cache.streams["audio"]
    rows = audio.utterance.copy()
    there = np.flatnonzero(audio.present)
    rows[there[:40]] = rows[there].mean(axis=0)
    rows[there, 5] = cache.utterances.emotion[there]
    spoilt = replace(cache, streams={**cache.streams, "audio": replace(audio, utterance=rows)})
    (tmp_path / "cache.h5").unlink()
    report = inspect(written(tmp_path, spoilt))
    found = {one.cause: one for one in report.mistakes}
    assert set(found) == {"label_in_column", "imputed_rows"}
    assert "column 5 of audio alone tells the emotion in 100%" in found["label_in_column"].text
    assert found["imputed_rows"].utterances == tuple(cache.utterances.id[i] for i in there[:40])
    assert any(text.startswith("Rows that were filled in: 40 of") for text in report.warnings)
