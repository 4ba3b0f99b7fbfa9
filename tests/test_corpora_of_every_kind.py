"""Every command of stage 2, as typed, on corpora that lack something: none ends with a traceback.

Either task alone, either stream alone, one class, no dev split, labels missing here and there. What can't be done is
status 2 and a sentence; what can be is done and scores what there is.
"""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from click.testing import Result
from dualstream.pipeline.cache import Cache, read_cache, write_cache
from typer.testing import CliRunner

from dualstream import cli
from tests.pipeline.planted_corpus import planted_cache
from tests.pipeline.spoken_corpus import make_cache, make_clips

QUICK = ["--seeds", "1", "--epochs", "1", "--hidden", "8", "--threads", "1"]


def relabelled(cache: Cache, **columns: Any) -> Cache:
    """Return the cache with other columns; a task without a label has no class."""
    rows = dataclasses.replace(cache.utterances, **columns)
    names = {task: v if (getattr(rows, task) >= 0).any() else [] for task, v in cache.vocabulary.items()}
    return dataclasses.replace(cache, utterances=rows, vocabulary=names)


def _blank(cache: Cache, task: str, split: str = "") -> Cache:
    codes = getattr(cache.utterances, task).copy()
    codes[(np.array(cache.utterances.split) == split) | (split == "")] = -1
    return relabelled(cache, **{task: codes})


def _one_class(cache: Cache) -> Cache:
    same = np.zeros_like(cache.utterances.emotion)
    names = {"emotion": cache.vocabulary["emotion"][:1], "sentiment": cache.vocabulary["sentiment"][:1]}
    return dataclasses.replace(relabelled(cache, emotion=same, sentiment=same), vocabulary=names)


def _holes(cache: Cache) -> Cache:
    emotion, sentiment = cache.utterances.emotion.copy(), cache.utterances.sentiment.copy()
    emotion[::3], sentiment[1::3] = -1, -1
    return relabelled(cache, emotion=emotion, sentiment=sentiment)


def _stream(name: str) -> Callable[[Cache], Cache]:
    return lambda cache: dataclasses.replace(cache, streams={name: cache.streams[name]})


KINDS: dict[str, tuple[Callable[[Cache], Cache], str, dict[str, bool]]] = {
    # what is lacking, a variant that can be fitted, and whether dev and test can be scored by each task
    "sentiment alone": (lambda c: _blank(c, "emotion"), "concat", {"emotion": False, "sentiment": True}),
    "emotion alone": (lambda c: _blank(c, "sentiment"), "concat", {"emotion": True, "sentiment": False}),
    "video alone": (_stream("video"), "video", {"emotion": True, "sentiment": True}),
    "audio alone": (_stream("audio"), "linear_audio", {"emotion": True, "sentiment": True}),
    "one class": (_one_class, "concat", {"emotion": True, "sentiment": True}),
    "holes in the labels": (_holes, "linear", {"emotion": True, "sentiment": True}),
    "dev lacks emotions": (lambda c: _blank(c, "emotion", "dev"), "concat", {"emotion": False, "sentiment": True}),
    "train lacks emotions": (
        lambda c: _blank(c, "emotion", "train"),
        "linear",
        {"emotion": False, "sentiment": True},
    ),
}


def typed(*words: object) -> Result:
    found = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert found.exception is None or isinstance(found.exception, SystemExit), (words, found.exception)
    return found


def done(*words: object) -> Result:
    found = typed(*words)
    assert found.exit_code == 0, (words, found.output)
    return found


@pytest.mark.slow
@pytest.mark.parametrize("kind", KINDS)
def test_scores_from_inspect_to_report(kind: str, tmp_path: Path) -> None:
    change, fusion, scored = KINDS[kind]
    cache, run, compared = tmp_path / "c.h5", tmp_path / "run", tmp_path / "cmp"
    write_cache(cache, change(planted_cache(sizes={"train": 60, "dev": 30, "test": 30})))
    labels = json.loads(done("inspect", cache, "--json").stdout)["labels"]
    done("inspect", cache)
    expected = [task for task, is_scored in scored.items() if is_scored]
    assert all(labels[task]["majority"] for task in expected)
    for folds in ([], ["--folds", "dialogue:3"]):
        own = ["--out", run, "--replace", "--no-report", *QUICK]
        done("fit-head", cache, "--fusion", fusion, "--dry-run", *own, *folds)
        found = json.loads(done("fit-head", cache, "--fusion", fusion, "--json", *own, *folds).stdout)
        assert set(expected) <= set(found["scores"]["tasks"])
        several = ["--fusions", "linear,concat", "--out", compared, "--replace", "--no-report", *QUICK, *folds]
        done("compare", cache, "--dry-run", *several)
        found = json.loads(done("compare", cache, "--json", *several).stdout)
        assert any(row["status"] == "done" for row in found["rows"])
        assert not [row for row in found["rows"] if row["status"] == "failed"]
    done("fit-head", cache, "--fusion", fusion, "--out", run, "--replace", *QUICK)
    for split in ("test", "dev", "train"):
        found = json.loads(done("evaluate", run, "--split", split, "--json").stdout)
        assert found["scores"]["tasks"]
    done("evaluate", run)
    assert "On the test split" in (run / "report.html").read_text()
    done("report", run, "--out", tmp_path / "page")
    done("report", compared)
    if kind in ("sentiment alone", "one class"):
        diagnosed = typed(
            "diagnose",
            cache,
            "--fusion",
            "linear",
            "--folds",
            3,
            "--seeds",
            1,
            "--no-limits",
            "--out",
            tmp_path / "d",
        )
        assert diagnosed.exit_code == (2 if kind == "one class" else 0), diagnosed.output
        if kind == "sentiment alone":
            assert json.loads((tmp_path / "d" / "diagnosis.json").read_text())["evidence"]["task"] == "sentiment"


@pytest.mark.parametrize("what", ["no dev", "nothing labelled", "test unlabelled"])
def test_what_can_t_be_done_is_a_sentence(what: str, tmp_path: Path) -> None:
    cache, run = planted_cache(sizes={"train": 60, "dev": 30, "test": 30}), tmp_path / "run"
    if what == "no dev":
        splits = ["train" if one == "dev" else one for one in cache.utterances.split]
        cache = relabelled(cache, split=splits)
    else:
        for task in ("emotion", "sentiment"):
            cache = _blank(cache, task, "" if what == "nothing labelled" else "test")
    write_cache(tmp_path / "c.h5", cache)
    done("inspect", tmp_path / "c.h5")
    fit = typed("fit-head", tmp_path / "c.h5", "--fusion", "linear", "--out", run, "--seeds", 1, "--no-report")
    compare = typed(
        "compare", tmp_path / "c.h5", "--fusions", "linear", "--out", tmp_path / "cmp", "--no-report", *QUICK
    )
    said = {"no dev": "--folds speaker", "nothing labelled": "there is nothing to score", "test unlabelled": ""}[
        what
    ]
    for found in (fit, compare):
        assert found.exit_code == (2 if said else 0) and said in found.output, found.output
    if what == "test unlabelled":
        found = typed("evaluate", run)
        assert found.exit_code == 2 and "no utterance of test is labelled" in found.stderr
        assert not (run / "test_log.jsonl").exists()
    if what == "no dev":
        done(
            "fit-head",
            tmp_path / "c.h5",
            "--fusion",
            "linear",
            "--out",
            run,
            "--folds",
            "dialogue:3",
            "--seeds",
            1,
        )
        done("evaluate", run)


@pytest.fixture(scope="module")
def spoken(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("spoken")
    make_clips(root)
    make_cache(root)
    return root


CLIPPED = ["sentiment alone", "emotion alone", "video alone", "audio alone", "one class", "train lacks emotions"]


@pytest.mark.parametrize("kind", CLIPPED)
def test_bundles_answer_for_clips(kind: str, spoken: Path, tmp_path: Path) -> None:
    """Through export to predict: a task that nobody labelled is neither calibrated nor answered."""
    change, fusion, scored = KINDS[kind]
    write_cache(tmp_path / "c.h5", change(read_cache(spoken / "cache.h5")))
    run, bundle = tmp_path / "run", tmp_path / "bundle"
    done("fit-head", tmp_path / "c.h5", "--fusion", fusion, "--out", run, "--no-report", *QUICK)
    exported = json.loads(done("export", run, "--out", bundle, "--json").stdout)
    assert set(exported["calibration"]) == {task for task, is_scored in scored.items() if is_scored}
    words = ["predict", bundle, spoken / "clips" / "00.mp4", "--timeline", 0.5, "--page", tmp_path / "p.html"]
    (one,) = json.loads(done(*words, "--csv", tmp_path / "p.csv", "--json").stdout)["utterances"]
    assert one["status"] == "ok"
    found = json.loads(done("evaluate", run, "--split", "dev", "--json").stdout)
    assert set(found["scores"]["tasks"]) == {task for task, is_scored in scored.items() if is_scored}
    for task, is_scored in scored.items():
        assert (one.get(task) is not None) is is_scored
    assert (tmp_path / "p.html").is_file() and (tmp_path / "p.csv").is_file()
