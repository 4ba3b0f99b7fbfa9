"""The words of a fit: each field of FitOptions is an option, shown with its one default, and is not ignored."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import pytest
from dualstream.heads.variants.options import REFIT_SEEDS, FitOptions
from dualstream.pipeline.cache import write_cache
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.options.generate import build, options_of
from dualstream.pipeline.options.heads import CompareCommand, DiagnoseCommand, FitHeadCommand
from typer.testing import CliRunner

from dualstream import cli
from tests.pipeline.option_values import values_of
from tests.pipeline.planted_corpus import planted_cache

OTHER: dict[str, Any] = {
    "epochs": 3,
    "batch_size": 8,
    "learning_rate": 0.5,
    "weight_decay": 0.25,
    "hidden": 9,
    "dropout": 0.125,
    "modality_dropout": 0.75,
    "patience": 1,
    "loss": "focal",
    "resample": True,
    "task_balance": "surgery",
    "balance": "ogm_ge",
    "balance_strength": 0.5,
    "watch": "loss",
    "focal_gamma": 1.5,
    "adjustment": 0.75,
    "sentiment_weight": 2.0,
    "penalty": 4.0,
    "decoding": "separate",
    "layers": "mean",
    "max_windows": 7,
    "threads": 1,
}


CACHE = {"cache": Path("cache.h5"), "fusion": "concat"}


def made(cls: type, **values: Any) -> FitOptions:
    """Return the options of the fit that a command is asked for."""
    asked = build(cls, values_of(cls) | CACHE | values)
    return asked.diagnose.diagnosis.fit if cls is DiagnoseCommand else asked.fit


def test_nothing_said_is_the_defaults() -> None:
    assert made(FitHeadCommand) == made(CompareCommand) == FitOptions()
    assert made(DiagnoseCommand) == FitOptions(seeds=REFIT_SEEDS)


def test_each_field_can_be_said() -> None:
    said = made(FitHeadCommand, seeds=3, tasks="sentiment", parameters=["rank=4"], **OTHER)
    assert dataclasses.asdict(said) == OTHER | {
        "seeds": (0, 1, 2),
        "tasks": ("sentiment",),
        "parameters": {"rank": 4},
    }
    named = {one.path[-1] for one in options_of(FitHeadCommand) if one.path[0] == "fit"}
    assert named == set(dataclasses.asdict(FitOptions()))
    (settings,) = [one for one in options_of(FitHeadCommand) if one.path[-1] == "parameters"]
    assert settings.name == "--set"


def test_help_shows_the_defaults() -> None:
    text = CliRunner().invoke(cli.app, ["fit-head", "--help"], env={"COLUMNS": "200"}).stdout
    for option in ("learning_rate", "loss", "patience", "hidden", "adjustment"):
        (line,) = [line for line in text.splitlines() if f"--{option.replace('_', '-')} " in line]
        assert f"[default: {getattr(FitOptions(), option)}]" in line


@pytest.mark.parametrize("words", [{"tasks": "mood"}, {"watch": "weather"}, {"parameters": ["rank"]}])
def test_words_fail_with_what_was_expected(words: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected"):
        made(FitHeadCommand, **words)


def test_a_diagnosis_takes_the_loss_that_failed(tmp_path: Any) -> None:
    write_cache(tmp_path / "cache.h5", planted_cache())
    words = ["diagnose", str(tmp_path / "cache.h5"), "--loss", "squared", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 2
    assert "loss is 'squared'; expected one of: cross_entropy" in result.stderr
