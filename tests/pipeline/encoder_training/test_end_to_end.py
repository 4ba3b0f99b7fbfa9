"""compare --end-to-end: an encoder's own answers as a row, and what does not belong beside a cache."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline.cache import Cache, write_cache
from dualstream.pipeline.commands.compare import CompareOptions, compare_on
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.encoder_training.end_to_end import METADATA, PREFIX, answers_note
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments.training_data import Corpus, corpus_of
from dualstream.pipeline.reporting.report import comparison_rows
from safetensors.numpy import save_file
from typer.testing import CliRunner

from dualstream import cli
from tests.pipeline.planted_corpus import EMOTIONS, SENTIMENTS, constant_variant, planted_cache
from tests.registries import variants

WRONG_EVERY = 4  # one answer in four is the next class


@pytest.fixture(autouse=True)
def one_variant() -> Iterator[None]:
    """Cut the registry down to one that answers the majority class."""
    with variants(constant_variant(), only=()):
        yield


@pytest.fixture
def cache() -> Cache:
    return planted_cache()


def utterances(cache: Cache) -> list[Utterance]:
    rows = cache.utterances
    return [
        Utterance(name, "x.mp4", split, None, None, "", None, "", EMOTIONS[emotion], SENTIMENTS[sentiment])
        for name, split, emotion, sentiment in zip(rows.id, rows.split, rows.emotion, rows.sentiment, strict=True)
        if split in ("train", "dev")
    ]


def weights(
    path: Path,
    cache: Cache,
    *,
    seed: int = 0,
    epochs: int = 3,
    patience: int = 4,
    leave_out: int = 0,
    change: Callable[[dict[str, Any], dict[str, Any]], None] = lambda document, note: None,
) -> Path:
    """Write a file as train-encoder does, of answers that are right but for one in `WRONG_EVERY`."""
    known = utterances(cache)
    dev = np.array([i for i, one in enumerate(known) if one.split == "dev"])[leave_out:]
    tensors = {"conv.weight": np.zeros((2, 2), np.float32)}
    for task, names in (("emotion", EMOTIONS), ("sentiment", SENTIMENTS)):
        said = np.array([names.index(getattr(known[i], task)) for i in dev])
        wrong = np.arange(leave_out, leave_out + len(dev)) % WRONG_EVERY == 0
        said = np.where(wrong, (said + 1) % len(names), said)
        p = np.full((len(dev), len(names)), 0.1)
        p[np.arange(len(dev)), said] = 0.8
        tensors[PREFIX + task] = np.log(p)
    document = {
        "encoder": "cnn5",
        "recipe": {
            "start": {"source": f"random:{seed}"},
            "training": {"seed": seed, "epochs": epochs, "patience": patience},
        },
        "vocabulary": {"emotion": EMOTIONS, "sentiment": SENTIMENTS},
        "history": [{"train_loss": 1.0, "dev_score": 0.5, "dev_loss": 1.1}],
        "best_epoch": 1,
        "stopped": "epochs",
    }
    note = answers_note(known, [cache.utterances.sha256[cache.utterances.id.index(one.id)] for one in known], dev)
    note = json.loads(json.dumps(note))
    change(document, note)
    save_file(tensors, path, metadata={"document": json.dumps(document), METADATA: json.dumps(note)})
    return path


def compared(tmp_path: Path, corpus: Corpus, *files: Path, **options: Any) -> dict[str, Any]:
    how = CompareOptions(report=False, end_to_end=files, **options)
    return compare_on(corpus, tmp_path / "cmp", ["constant"], fit=FitOptions(seeds=(0,)), options=how)


def test_its_answers_are_a_row_that_is_scored_and_tested_like_the_others(tmp_path: Path, cache: Cache) -> None:
    found = compared(tmp_path, corpus_of(cache), weights(tmp_path / "w.safetensors", cache))
    row, other = found["rows"]
    assert (row["variant"], row["single"], other["variant"]) == ("end-to-end cnn5", True, "constant")
    for task in ("emotion", "sentiment"):
        scores = row["scores"]["tasks"][task]
        assert scores["accuracy"]["mean"] == pytest.approx(0.75) and scores["count"] == 80
        assert scores["log_loss"]["mean"] == pytest.approx(-(0.75 * np.log(0.8) + 0.25 * np.log(0.1)))
        assert scores["accuracy"]["interval"] is not None
        assert found["best_single"][task] == "end-to-end cnn5"
    (test,) = (one for one in found["tests"] if one["task"] == "emotion")
    assert (test["variant"], test["against"]) == ("constant", "end-to-end cnn5") and test["p_value"] < 0.01
    assert row["end_to_end"]["weights"][0]["name"] == "w.safetensors" and row["end_to_end"]["streams"] == []
    assert row["history"][0]["columns"]["dev_score"] == [0.5]
    assert comparison_rows(found)[0].extra["emotion"]["fit"] == ""  # nothing was fitted here


def test_whether_dev_chose_the_epoch_is_said_beside_the_scores(tmp_path: Path, cache: Cache) -> None:
    files = [weights(tmp_path / f"{patience}.safetensors", cache, patience=patience) for patience in (4, 0)]
    found = compared(tmp_path, corpus_of(cache), *files)
    by = {row["end_to_end"]["weights"][0]["name"]: row for row in found["rows"] if "end_to_end" in row}
    watched, whole = by["4.safetensors"]["scores"], by["0.safetensors"]["scores"]
    assert (watched["stopped_by"], whole["stopped_by"]) == ("dev", None)


def test_a_stream_of_the_same_weights_is_named(tmp_path: Path, cache: Cache) -> None:
    from dualstream.features.single_read import digest_of_file

    path = weights(tmp_path / "w.safetensors", cache)
    video = cache.streams["video"]
    spec = {**video.spec, "weights": {"source": "file", "sha256": digest_of_file(path), "licence": ""}}
    own = dataclasses.replace(cache, streams={**cache.streams, "video": dataclasses.replace(video, spec=spec)})
    (row, _) = compared(tmp_path, corpus_of(own), path)["rows"]
    assert row["end_to_end"]["streams"] == ["video"]


def test_seeds_share_a_row_and_other_trainings_do_not(tmp_path: Path, cache: Cache) -> None:
    files = [weights(tmp_path / f"{seed}.safetensors", cache, seed=seed) for seed in (0, 1)]
    files.append(weights(tmp_path / "long.safetensors", cache, epochs=9))
    found = compared(tmp_path, corpus_of(cache), *files)
    models = {row["variant"]: row["scores"]["models"] for row in found["rows"] if row["variant"] != "constant"}
    assert models == {"end-to-end cnn5 (0)": ["seed 0", "seed 1"], "end-to-end cnn5 (long)": ["seed 0"]}
    with pytest.raises(UsageError, match="repeat a seed"):
        compared(tmp_path / "again", corpus_of(cache), files[0], files[0])


def test_what_has_no_answer_gets_the_shares_of_the_classes(tmp_path: Path, cache: Cache) -> None:
    corpus = corpus_of(cache)
    (row, _) = compared(tmp_path, corpus, weights(tmp_path / "w.safetensors", cache, leave_out=4))["rows"]
    assert row["end_to_end"]["without_answer"] == [f"dev_{i:04d}" for i in range(4)]
    assert any("4 utterances" in text for text in row["scores"]["warnings"])
    train, dev = (np.array(corpus.features.emotion)[corpus.split(name)] for name in ("train", "dev"))
    commonest = np.bincount(train).argmax()
    right = 0.75 * 80 - 3 + (dev[:4] == commonest).sum()  # of the first four, three were right
    assert row["scores"]["tasks"]["emotion"]["accuracy"]["mean"] == pytest.approx(right / 80)


def test_one_task_alone(tmp_path: Path, cache: Cache) -> None:
    options = CompareOptions(report=False, end_to_end=(weights(tmp_path / "w.safetensors", cache),))
    fit = FitOptions(seeds=(0,), tasks=("sentiment",))
    (row, *_) = compare_on(corpus_of(cache), tmp_path / "cmp", ["constant"], fit=fit, options=options)["rows"]
    assert list(row["scores"]["tasks"]) == ["sentiment"]


def other_label(document: dict[str, Any], note: dict[str, Any]) -> None:
    note["dev"]["sha256"] = "0" * 64


def more_train(document: dict[str, Any], note: dict[str, Any]) -> None:
    note["train"] = {"count": 241, "sha256": "0" * 64}


def other_clip(document: dict[str, Any], note: dict[str, Any]) -> None:
    note["utterances"][3][1] = "b" * 64


def other_words(document: dict[str, Any], note: dict[str, Any]) -> None:
    document["vocabulary"] = {"emotion": ["joy", "rage"], "sentiment": SENTIMENTS}


@pytest.mark.parametrize(
    ("change", "said"),
    [
        (
            other_label,
            "another manifest: its dev has 80 labelled utterances, the cache's 80, and they are not the",
        ),
        (more_train, "another manifest: its train has 241 labelled utterances, the cache's 240"),
        (other_clip, "other bytes of 1 clip: dev_0003"),
        (other_words, "its classes of emotion are joy, rage; the cache's neutral, joy, anger"),
    ],
)
def test_what_does_not_fit_is_refused_by_name(tmp_path: Path, cache: Cache, change: Any, said: str) -> None:
    path = weights(tmp_path / "w.safetensors", cache, change=change)
    with pytest.raises(UsageError, match=said):
        compared(tmp_path, corpus_of(cache), path)


def test_folds_are_refused(tmp_path: Path, cache: Cache) -> None:
    path = weights(tmp_path / "w.safetensors", cache)
    with pytest.raises(UsageError, match="clips that it has seen; compare without --folds"):
        compared(tmp_path, corpus_of(cache), path, folds="speaker:3")


def test_files_without_answers_are_refused(tmp_path: Path, cache: Cache) -> None:
    path = tmp_path / "w.safetensors"
    with pytest.raises(UsageError, match="no such file"):
        compared(tmp_path, corpus_of(cache), path)
    save_file({"x": np.zeros(1, np.float32)}, path)
    with pytest.raises(UsageError, match="no train-encoder wrote it"):
        compared(tmp_path, corpus_of(cache), path)
    save_file({"x": np.zeros(1, np.float32)}, path, metadata={"document": json.dumps({"encoder": "cnn5"})})
    with pytest.raises(UsageError, match="holds no answers for dev"):
        compared(tmp_path, corpus_of(cache), path)


def test_command(tmp_path: Path, cache: Cache) -> None:
    write_cache(tmp_path / "c.h5", cache)
    path = weights(tmp_path / "w.safetensors", cache)
    words = ["compare", str(tmp_path / "c.h5"), "--fusions", "constant", "--seeds", "1", "--end-to-end", str(path)]
    done = CliRunner().invoke(cli.app, [*words, "--out", str(tmp_path / "cmp")])
    assert done.exit_code == 0, done.output
    assert "end-to-end cnn5" in done.stdout and "75.0" in done.stdout
    page = (tmp_path / "cmp" / "report.html").read_text()
    assert "end-to-end cnn5" in page
