"""The words of a fit: each field of FitOptions is an option, shown with its one default, and is not ignored."""

from __future__ import annotations

import dataclasses
from typing import Any, get_args

import pytest
from dualstream.heads.variants.options import REFIT_SEEDS, FitOptions
from dualstream.pipeline.cache import write_cache
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.options.options import FitWords, RefitWords
from typer.testing import CliRunner

from dualstream import cli
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
    "watch": "loss",
    "focal_gamma": 1.5,
    "adjustment": 0.75,
    "sentiment_weight": 2.0,
    "penalty": 4.0,
    "max_windows": 7,
    "threads": 1,
}


def test_nothing_said_is_the_defaults() -> None:
    assert get_args(FitWords)[1].make() == FitOptions()
    assert get_args(RefitWords)[1].make() == FitOptions(seeds=REFIT_SEEDS)


def test_each_field_can_be_said() -> None:
    words = get_args(FitWords)[1]
    said = words.make(seeds=3, tasks="sentiment", settings=["rank=4"], **OTHER)
    assert dataclasses.asdict(said) == OTHER | {
        "seeds": (0, 1, 2),
        "tasks": ("sentiment",),
        "parameters": {"rank": 4},
    }
    named = {"settings" if name == "parameters" else name for name in dataclasses.asdict(FitOptions())}
    assert set(words.options()) == named


def test_help_shows_the_defaults() -> None:
    text = CliRunner().invoke(cli.app, ["fit-head", "--help"], env={"COLUMNS": "200"}).stdout
    for option in ("learning_rate", "loss", "patience", "hidden", "adjustment"):
        (line,) = [line for line in text.splitlines() if f"--{option.replace('_', '-')} " in line]
        assert f"[default: {getattr(FitOptions(), option)}]" in line


@pytest.mark.parametrize("words", [{"tasks": "mood"}, {"watch": "weather"}, {"settings": ["rank"]}])
def test_words_fail_with_what_was_expected(words: dict[str, Any]) -> None:
    with pytest.raises(UsageError, match="expected"):
        get_args(FitWords)[1].make(**words)


def test_a_diagnosis_takes_the_loss_that_failed(tmp_path: Any) -> None:
    write_cache(tmp_path / "cache.h5", planted_cache())
    words = ["diagnose", str(tmp_path / "cache.h5"), "--loss", "squared", "--out", str(tmp_path / "out")]
    result = CliRunner().invoke(cli.app, words)
    assert result.exit_code == 2
    assert "loss is 'squared'; expected one of: cross_entropy" in result.stderr
