"""Run folders: whole or not there, never written over unasked, no pickle, and read back as they were."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import pickletools
import subprocess
import sys
from collections.abc import Iterator

import numpy as np
import pytest
from dualstream.heads.variants.registry import FitOptions, History, Prediction
from dualstream.pipeline import experiments
from dualstream.pipeline.errors import CorruptError, NoCacheError, UsageError
from dualstream.pipeline.experiments import Run
from dualstream.pipeline.experiments.predictions import Predictions, read_predictions, write_predictions
from dualstream.pipeline.experiments.protocol import DecodingOptions
from dualstream.pipeline.experiments.run_config import (
    FittedCache,
    FittedOn,
    LogEntry,
    LoggedCache,
    LoggedScores,
    RunConfig,
)
from dualstream.pipeline.experiments.scores import SplitScores
from dualstream.pipeline.storage.documents import write_json

from tests.pipeline.planted_corpus import EMOTIONS, SENTIMENTS, Constant, constant_variant
from tests.registries import variants

VOCABULARY = {"emotion": EMOTIONS, "sentiment": SENTIMENTS}
CONFIG = RunConfig(
    variant="constant",
    options=FitOptions(),
    protocol="",
    streams={},
    vocabulary={task: tuple(names) for task, names in VOCABULARY.items()},
    cache=FittedCache("in memory", None, "", "", {}),
    fitted_on=FittedOn(0, "", {}, ()),
    versions={},
    created="",
    fit_s=0.0,
    widths={},
    specs={},
    answering=DecodingOptions(),
)
SCORES = SplitScores(split="dev", utterances=7, unit="utterance", models=("seed 0", "seed 1"), tasks={})


@pytest.fixture(autouse=True)
def constant() -> Iterator[None]:
    with variants(constant_variant()):
        yield


def log_p(seed: int, count: int, classes: int) -> np.ndarray:
    rows = np.random.default_rng(seed).normal(size=(count, classes))
    return rows - np.log(np.exp(rows).sum(axis=1, keepdims=True))


def predictions(count: int = 7) -> Predictions:
    models = tuple(Prediction(log_p(s, count, 3), log_p(s + 9, count, 3)) for s in range(2))
    true = {"emotion": np.arange(count) % 4 - 1, "sentiment": np.arange(count) % 3}
    return Predictions(tuple(f"u{i}" for i in range(count)), "dev", true, models, ("seed 0", "seed 1"))


def models() -> list[Constant]:
    return [
        Constant("constant", seed, History(), np.log(np.array([0.5, 0.3, 0.2])), np.log(np.array([0.1, 0.2, 0.7])))
        for seed in (0, 1)
    ]


def written(path, **kwargs) -> None:
    run = Run(CONFIG, SCORES)
    with experiments.new_folder(path, **kwargs) as folder:
        experiments.write_run(folder, run, models(), predictions())


def test_run_comes_back_as_it_was(tmp_path) -> None:
    written(tmp_path / "runs" / "one")
    run = experiments.read_run(tmp_path / "runs" / "one")
    assert (run.name, run.config["variant"], run.metrics) == ("one", "constant", SCORES)
    assert run.config == CONFIG
    restored = experiments.read_models(tmp_path / "runs" / "one" / experiments.WEIGHTS)
    assert [model.seed for model in restored] == [0, 1]
    np.testing.assert_array_equal(restored[0].emotion, models()[0].emotion)
    assert [name for name in os.listdir(tmp_path / "runs") if name != "one"] == []


def test_predictions_come_back_bit_by_bit(tmp_path) -> None:
    given = predictions()
    write_predictions(tmp_path / "p.csv", given, VOCABULARY)
    found = read_predictions(tmp_path / "p.csv", VOCABULARY)
    assert (found.ids, found.split, found.names) == (given.ids, given.split, given.names)
    for task in ("emotion", "sentiment"):
        np.testing.assert_array_equal(found.true[task], given.true[task])
        for one, other in zip(found.models, given.models, strict=True):
            np.testing.assert_array_equal(one.task(task), other.task(task))


def test_predictions_of_one_task_and_of_certainty(tmp_path) -> None:
    sure = np.array([[0.0, -np.inf, -np.inf]])
    given = Predictions(("u",), "dev", {"sentiment": np.array([2])}, (Prediction(None, sure),), ("seed 0",))
    write_predictions(tmp_path / "p.csv", given, VOCABULARY)
    found = read_predictions(tmp_path / "p.csv", VOCABULARY)
    assert found.models[0].emotion is None
    np.testing.assert_array_equal(found.models[0].sentiment, [[0.0, -1e4, -1e4]])


def test_predictions_of_another_vocabulary_fail(tmp_path) -> None:
    write_predictions(tmp_path / "p.csv", predictions(), VOCABULARY)
    with pytest.raises(CorruptError, match="not a table of predictions"):
        read_predictions(tmp_path / "p.csv", {**VOCABULARY, "emotion": ["calm", "joy", "anger"]})


def test_a_run_is_not_written_over(tmp_path) -> None:
    written(tmp_path / "one")
    with pytest.raises(UsageError, match="--replace"):
        written(tmp_path / "one")
    written(tmp_path / "one", replace=True)
    assert os.listdir(tmp_path) == ["one"]


@pytest.mark.parametrize("mask", [0o077, 0o027, 0o002])
def test_a_run_is_as_open_to_others_as_the_umask_says(tmp_path, mask: int) -> None:
    before = os.umask(mask)
    try:
        written(tmp_path / "one")
        written(tmp_path / "one", replace=True)
    finally:
        os.umask(before)
    for path in (tmp_path / "one", *(tmp_path / "one").rglob("*")):
        assert path.stat().st_mode & mask == 0, path
    assert (tmp_path / "one").stat().st_mode & 0o777 == 0o777 & ~mask


@pytest.mark.parametrize("what", ["folder", "file", "link", "comparison"])
def test_replace_leaves_alone_what_is_no_run(tmp_path, what: str) -> None:
    target = tmp_path / "mine"
    if what == "file":
        target.write_text("precious")
    elif what == "link":
        target.symlink_to(tmp_path / "nowhere")
    else:
        target.mkdir()
        (target / "thesis.txt").write_text("precious")
        if what == "comparison":
            write_json(target / experiments.CONFIG, {"format": experiments.COMPARISON_FORMAT})
    with pytest.raises(UsageError, match="leaves it alone"):
        written(target, replace=True)
    assert os.listdir(tmp_path) == ["mine"]


def test_a_failure_while_writing_leaves_nothing(tmp_path) -> None:
    def fail(folder) -> None:
        (folder / "half").write_text("a")
        raise RuntimeError

    with pytest.raises(RuntimeError), experiments.new_folder(tmp_path / "one") as folder:
        fail(folder)
    assert os.listdir(tmp_path) == []


def test_a_failure_while_replacing_leaves_the_old_run(tmp_path) -> None:
    written(tmp_path / "one")
    before = (tmp_path / "one" / experiments.WEIGHTS).read_bytes()
    with pytest.raises(KeyboardInterrupt), experiments.new_folder(tmp_path / "one", replace=True):
        raise KeyboardInterrupt
    assert (tmp_path / "one" / experiments.WEIGHTS).read_bytes() == before
    assert os.listdir(tmp_path) == ["one"]


def test_the_folder_that_comes_first_stays(tmp_path) -> None:
    with pytest.raises(UsageError, match="already exists"), experiments.new_folder(tmp_path / "one"):
        written(tmp_path / "one")  # another process is quicker
    assert experiments.read_run(tmp_path / "one").config["variant"] == "constant"
    assert os.listdir(tmp_path) == ["one"]


def test_what_a_killed_process_left_is_swept(tmp_path) -> None:
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    (tmp_path / f".one.{dead.pid}.abc.tmp").mkdir()
    (tmp_path / f".one.{os.getppid()}.abc.tmp").mkdir()  # of a process that lives
    (tmp_path / f".other.{dead.pid}.abc.tmp").mkdir()
    written(tmp_path / "one")
    left = sorted(os.listdir(tmp_path))
    assert left == sorted([f".one.{os.getppid()}.abc.tmp", f".other.{dead.pid}.abc.tmp", "one"])


def test_replacing_a_run_does_not_make_test_unseen(tmp_path) -> None:
    written(tmp_path / "one")
    look = LogEntry("then", "test", LoggedCache("d"), 7, LoggedScores({}))
    experiments.log_test(tmp_path / "one", look)
    written(tmp_path / "one", replace=True)
    assert experiments.read_test_log(tmp_path / "one") == [dataclasses.replace(look, earlier_fit=True)]


def test_no_file_of_a_run_is_a_pickle(tmp_path) -> None:
    written(tmp_path / "one")
    for path in (tmp_path / "one").rglob("*"):
        with pytest.raises((ValueError, UnicodeDecodeError)):  # pickletools reads every pickle protocol
            pickletools.dis(path.read_bytes(), out=io.StringIO())


def test_arrays_of_objects_are_refused(tmp_path) -> None:
    model = models()[0]
    model.emotion = np.array([{"a": 1}], dtype=object)
    with pytest.raises(TypeError, match="object"):
        experiments.write_models(tmp_path / "w.safetensors", [model])
    assert os.listdir(tmp_path) == []


def test_missing_and_foreign_folders_fail(tmp_path) -> None:
    with pytest.raises(NoCacheError, match="no run"):
        experiments.read_run(tmp_path / "none")
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "config.json").write_text('{"format": "something"}')
    with pytest.raises(NoCacheError, match=r"is not a run: its config\.json says 'something'"):
        experiments.read_run(tmp_path / "other")


def test_a_later_version_fails(tmp_path) -> None:
    written(tmp_path / "one")
    config = json.loads((tmp_path / "one" / experiments.CONFIG).read_text())
    write_json(tmp_path / "one" / experiments.CONFIG, {**config, "version": 3})
    with pytest.raises(CorruptError, match="version 3; this program reads 1 and 2"):
        experiments.read_run(tmp_path / "one")


@pytest.mark.parametrize("name", [experiments.METRICS, experiments.HISTORY, experiments.TEST_LOG])
def test_damaged_documents_fail(tmp_path, name: str) -> None:
    written(tmp_path / "one")
    (tmp_path / "one" / name).write_text('{"half": ')
    with pytest.raises(CorruptError, match=name):
        experiments.read_run(tmp_path / "one")


def test_every_truncation_of_the_weights_is_noticed(tmp_path) -> None:
    experiments.write_models(tmp_path / "w.safetensors", models())
    whole = (tmp_path / "w.safetensors").read_bytes()
    for length in range(0, len(whole), 7):
        (tmp_path / "cut").write_bytes(whole[:length])
        with pytest.raises(CorruptError):
            experiments.read_models(tmp_path / "cut")


def test_numbers_that_are_not_finite_become_null(tmp_path) -> None:
    write_json(tmp_path / "x.json", {"a": np.float32("nan"), "b": [float("inf"), np.int64(3)], "c": np.eye(1)})
    assert json.loads((tmp_path / "x.json").read_text()) == {"a": None, "b": [None, 3], "c": [[1.0]]}


@pytest.mark.parametrize(
    ("text", "name"),
    [("concat", "concat"), ("dialogue:concat", "dialogue-concat"), ("../up", "up"), ("..", "run"), ("a/b", "a-b")],
)
def test_folder_names_stay_inside(text: str, name: str) -> None:
    assert experiments.folder_name(text) == name
