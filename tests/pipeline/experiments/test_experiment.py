"""An experiment is one thing, whichever command asks for it; and runs of older versions are read."""

from __future__ import annotations

import dataclasses
import json
from pathlib import Path

import pytest
from dualstream.heads.variants.registry import FitOptions
from dualstream.pipeline import experiments
from dualstream.pipeline.commands.compare import CompareOptions, compare_on
from dualstream.pipeline.commands.fit_head import FitHeadOptions, fit_head_on
from dualstream.pipeline.commands.report import report
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.experiments import experiment, protocol
from dualstream.pipeline.experiments.comparison import Comparison
from dualstream.pipeline.experiments.protocol import DecodingOptions
from dualstream.pipeline.experiments.training_data import corpus_of
from dualstream.pipeline.storage.documents import read_document

from tests.pipeline.planted_corpus import planted_cache

FIT = FitOptions(seeds=(0, 1), epochs=2, patience=1, hidden=16, threads=1)
PLAIN = FitHeadOptions(report=False)
HOW = {"report": False, "answering": DecodingOptions(ensemble=True, joint_decoding=True), "folds": "dialogue:3"}


@pytest.mark.parametrize("speaker_norm", [False, True])
def test_every_command_has_the_same_scores(tmp_path: Path, speaker_norm: bool) -> None:
    """fit-head, compare in this process, compare in others (once: each imports torch), and the experiment itself."""
    corpus = corpus_of(planted_cache(), speaker_norm=speaker_norm)
    done = experiment.run("concat", protocol.plan(corpus, "dialogue:3"), FIT, HOW["answering"], for_new=False)
    assert done.scores.speaker_norm is speaker_norm and done.scores.joint_decoding
    expected = done.scores.to_json()
    run = fit_head_on(corpus, "concat", tmp_path / "run", fit=FIT, options=FitHeadOptions(**HOW))
    assert run.metrics["tasks"] == expected["tasks"] and run.metrics["speaker_norm"] is speaker_norm
    assert run.metrics.warnings[: len(done.scores.warnings)] == done.scores.warnings
    for workers in (1, 2) if speaker_norm else (1,):
        found = compare_on(
            corpus,
            tmp_path / f"{workers}",
            ["video", "concat"],
            fit=FIT,
            options=CompareOptions(workers=workers, **HOW),
        )
        (row,) = [row for row in found.rows if row.variant == "concat"]
        assert row.scores is not None and row.scores.to_json() == expected
        assert list(row.to_json()) == list(done.row.to_json())


def test_an_experiment_that_is_kept_has_a_model_of_each_seed() -> None:
    plan = protocol.plan(corpus_of(planted_cache()), "dialogue:3")
    kept = experiment.run("concat", plan, FIT, DecodingOptions())
    assert [model.seed for model in kept.models] == [0, 1]
    assert [one.fold for one in kept.history].count("all") == 2  # fitted again, on everything outside test
    scored = experiment.run("concat", plan, FIT, DecodingOptions(), for_new=False)
    assert "all" not in [one.fold for one in scored.history]
    assert scored.scores.to_json() == kept.scores.to_json()


def test_a_comparison_comes_back_as_it_was(tmp_path: Path) -> None:
    corpus = corpus_of(planted_cache(sizes={"train": 120, "dev": 40}))
    fit = dataclasses.replace(FIT, parameters={"candidates": "linear_video,linear_audio,linear", "repeats": 1})
    chosen = ["linear_video", "linear_audio", "auto", "aligned"]
    found = compare_on(corpus, tmp_path / "cmp", chosen, fit=fit, options=CompareOptions(report=False))
    read = read_document(tmp_path / "cmp" / "compare.json", Comparison)
    assert read.to_json() == found.to_json() == json.loads(json.dumps(found.to_json()))
    assert [type(row.scores) for row in read.rows] == [type(row.scores) for row in found.rows]


# Runs of older versions: documents without the keys that were added since


def old(path: Path, *gone: str) -> None:
    """Take keys out of a document, wherever they stand."""

    def without(value: object) -> object:
        if isinstance(value, dict):
            return {key: without(item) for key, item in value.items() if key not in gone}
        return [without(item) for item in value] if isinstance(value, list) else value

    path.write_text(json.dumps(without(json.loads(path.read_text()))))


def test_a_run_of_an_older_version_is_read_and_drawn(tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit_head_on(corpus_of(planted_cache()), "concat", run, fit=FIT, options=PLAIN)
    added = ("train_counts", "scored", "whole_dialogues", "certainty", "choice", "interrupted", "watch")
    old(run / "config.json", *added)
    old(
        run / "metrics.json",
        "format",
        "version",
        "without_features",
        "train_majority",
        "calibrated_log_loss",
        "stopped_by",
        "speaker_norm",
    )
    found = experiments.read_run(run)
    assert found.config.train_counts is None and found.config.scored == "all" and not found.metrics.states_stopping
    assert found.metrics.tasks["emotion"].without_features is None
    assert (run / "report.html") in report([run])


def test_a_document_that_lacks_what_it_must_have_is_corrupt(tmp_path: Path) -> None:
    run = tmp_path / "run"
    fit_head_on(corpus_of(planted_cache()), "linear", run, fit=FIT, options=PLAIN)
    old(run / "metrics.json", "balanced_accuracy")
    with pytest.raises(CorruptError, match=r"metrics\.json is not what it should be: TaskScores lacks 'balanced_"):
        experiments.read_run(run)
