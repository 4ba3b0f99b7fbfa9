"""Defaults from a file: a TOML file of options, and a run to do again."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from dualstream.pipeline.cache import write_cache
from typer.testing import CliRunner

from dualstream import cli
from tests.pipeline.planted_corpus import planted_cache

FIT = ["--fusion", "lowrank", "--seeds", "2", "--epochs", "3", "--loss", "focal", "--set", "rank=3", "--ensemble"]


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("preset") / "cache.h5"
    write_cache(path, planted_cache())
    return path


@pytest.fixture(scope="module")
def first(cache: Path) -> Path:
    out = cache.parent / "first"
    words = [
        "fit-head",
        cache,
        *FIT,
        "--learning-rate",
        "0.005",
        "--scored",
        "present",
        "--out",
        out,
        "--no-report",
    ]
    assert invoke(*words).exit_code == 0
    return out


def invoke(*words: Any) -> Any:
    return CliRunner().invoke(cli.app, [str(word) for word in words])


def planned(*words: Any) -> dict[str, Any]:
    done = invoke(*words, "--dry-run", "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_run_is_done_again_byte_for_byte(first: Path, tmp_path: Path) -> None:
    again = tmp_path / "again"
    assert invoke("fit-head", "--like", first, "--out", again, "--no-report").exit_code == 0
    names = sorted(path.name for path in first.iterdir() if path.name != "config.json")
    assert "weights.safetensors" in names and "predictions_dev.csv" in names and "metrics.json" in names
    for name in names:
        assert (again / name).read_bytes() == (first / name).read_bytes(), name
    before, after = (json.loads((path / "config.json").read_text()) for path in (first, again))
    for config in (before, after):  # where, when and how fast
        for key in ("created", "fit_s"):
            del config[key]
        config["cache"]["path"] = ""
    assert before == after
    assert before["options"]["loss"] == "focal" and before["options"]["parameters"] == {"rank": 3}


def test_what_is_typed_wins_over_the_run(cache: Path, first: Path, tmp_path: Path) -> None:
    plan = planned("fit-head", cache, "--like", first, "--epochs", "7", "--out", tmp_path / "x")
    assert plan["variant"] == "lowrank"
    assert plan["options"]["learning_rate"] == 0.005 and plan["options"]["epochs"] == 7


def test_folds_of_a_run_are_taken(cache: Path, tmp_path: Path) -> None:
    words = ["--fusion", "linear_late", "--folds", "speaker:3", "--no-report", "--tasks", "emotion"]
    assert invoke("fit-head", cache, *words, "--out", tmp_path / "a").exit_code == 0
    assert invoke("fit-head", "--like", tmp_path / "a", "--out", tmp_path / "b", "--no-report").exit_code == 0
    for name in ("predictions_folds.csv", "metrics.json", "weights.safetensors"):
        assert (tmp_path / "a" / name).read_bytes() == (tmp_path / "b" / name).read_bytes()


def test_a_comparison_takes_the_options_of_a_run_and_of_a_comparison(
    cache: Path, first: Path, tmp_path: Path
) -> None:
    plan = planned("compare", "--like", first, "--fusions", "lowrank", "--out", tmp_path / "c")
    assert plan["options"] == json.loads((first / "config.json").read_text())["options"]
    words = ["--fusions", "linear", "--tasks", "sentiment", "--penalty", "2", "--no-report", "--workers", "1"]
    words += ["--epochs", "1", "--seeds", "1"]
    assert invoke("compare", cache, *words, "--out", tmp_path / "c").exit_code == 0
    plan = planned("compare", cache, "--like", tmp_path / "c", "--out", tmp_path / "d")
    assert plan["options"]["penalty"] == 2.0 and plan["options"]["tasks"] == ["sentiment"]
    assert set(plan["variants"]) == {"video", "audio", "linear_video", "linear_audio", "linear"}
    words[:0] = ["--folds", "speaker:3"]
    assert invoke("compare", cache, *words, "--out", tmp_path / "f").exit_code == 0
    refused = invoke("compare", cache, "--like", tmp_path / "f", "--out", tmp_path / "g")
    assert refused.exit_code == 2 and "a comparison over folds" in refused.stderr


def test_no_such_run_is_told(cache: Path, tmp_path: Path) -> None:
    done = invoke("fit-head", cache, "--like", tmp_path / "none")
    assert done.exit_code == 10 and "there is no run" in done.stderr


def test_a_file_gives_defaults_and_the_command_line_wins(cache: Path, first: Path, tmp_path: Path) -> None:
    file = tmp_path / "fit.toml"
    file.write_text(
        f'cache = "{cache}"\nfusion = "lowrank"\nepochs = 5\nlearning_rate = 1\nseeds = 3\ntasks = ["emotion"]\n'
        'resample = true\nset = ["rank=2"]\nspeaker-norm = true\n'
    )
    plan = planned("fit-head", "--config", file, "--epochs", "4", "--no-resample", "--out", tmp_path / "x")
    options = plan["options"]
    assert plan["variant"] == "lowrank" and options["epochs"] == 4 and options["learning_rate"] == 1.0
    assert options["seeds"] == [0, 1, 2] and options["tasks"] == ["emotion"] and options["resample"] is False
    assert options["parameters"] == {"rank": 2} and options["loss"] == "logit_adjusted"
    for words in (["--config", file, "--like", first], ["--like", first, "--config", file]):
        both = planned("fit-head", *words, "--out", tmp_path / "y")["options"]
        assert both["epochs"] == 5 and both["loss"] == "focal"


@pytest.mark.parametrize(
    ("text", "told"),
    [
        ("epoch = 3\n", "names 'epoch'; the options are quiet, verbose, json, cache, fusion"),
        ("epochs = \n", "is not TOML"),
        ("[fit]\nepochs = 3\n", "names 'fit'"),
        ("epochs = {a = 1}\n", "epochs is a table"),
        ("loss = 'hinge'\n", "--loss is 'hinge'; expected one of: cross_entropy"),
        ("config = 'x.toml'\n", "names 'config'"),
        ("tasks = 'mood'\n", "--tasks 'mood'"),
    ],
)
def test_a_file_that_does_not_fit_is_refused(cache: Path, tmp_path: Path, text: str, told: str) -> None:
    file = tmp_path / "fit.toml"
    file.write_text(text)
    done = invoke(
        "fit-head", cache, "--fusion", "concat", "--config", file, "--out", tmp_path / "run", "--dry-run"
    )
    assert done.exit_code == 2 and told in done.stderr


@pytest.mark.parametrize("text", ["epochs = 0\n", "epochs = 'many'\n", "epochs = true\n", "epochs = 2.5\n"])
def test_values_of_a_file_are_checked_as_typed_ones_are(cache: Path, tmp_path: Path, text: str) -> None:
    file = tmp_path / "fit.toml"
    file.write_text(text)
    done = invoke(
        "fit-head", cache, "--fusion", "concat", "--config", file, "--out", tmp_path / "run", "--dry-run"
    )
    assert done.exit_code == 2 and "epochs" in done.stderr, done.output


def test_no_such_file_is_told(tmp_path: Path) -> None:
    done = invoke("inspect", "cache.h5", "--config", tmp_path / "none.toml")
    assert done.exit_code == 2 and "can't be read" in done.stderr


def test_every_command_takes_a_file(tmp_path: Path) -> None:
    file = tmp_path / "demo.toml"
    file.write_text("dialogues = 3\n")
    done = invoke("demo", "--config", file, "--out", tmp_path / "demo")
    assert done.exit_code == 2 and "a demo of 3 dialogues" in done.stderr
