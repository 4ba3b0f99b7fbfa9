"""The words of a training: each field of TrainOptions is an option, shown with its one default, and is not ignored."""

from __future__ import annotations

import dataclasses
from typing import Any

import pytest
from dualstream.pipeline.encoder_training.options import TrainOptions
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.options.features import TrainEncoderCommand
from dualstream.pipeline.options.generate import build, options_of
from typer.testing import CliRunner

from dualstream import cli
from tests.pipeline.option_values import values_of

OTHER: dict[str, Any] = {
    "epochs": 3,
    "patience": 1,
    "batch_size": 8,
    "learning_rate": 0.5,
    "weight_decay": 0.25,
    "loss": "focal",
    "resample": True,
    "task_balance": "surgery",
    "sentiment_weight": 2.0,
    "sample_weight": 0.125,
    "unfreeze_every": 2,
    "depth_rate": 0.75,
    "precision": "bf16",
    "seed": 7,
}


def test_nothing_said_is_the_defaults() -> None:
    assert build(TrainOptions, values_of(TrainOptions)) == TrainOptions()


def test_each_field_can_be_said() -> None:
    said = dataclasses.asdict(build(TrainOptions, OTHER | {"unfreeze": "fc7, fc6"}))
    assert said == OTHER | {"unfreeze": ("fc7", "fc6")}
    assert {one.path[-1] for one in options_of(TrainEncoderCommand) if one.path[0] == "training"} == set(said)
    defaults = dataclasses.asdict(TrainOptions())
    assert all(said[name] != defaults[name] for name in said)


def test_help_shows_the_defaults() -> None:
    text = CliRunner().invoke(cli.app, ["train-encoder", "--help"], env={"COLUMNS": "200"}).stdout
    for option in ("epochs", "patience", "learning_rate", "loss", "depth_rate", "precision"):
        (line,) = [line for line in text.splitlines() if f"--{option.replace('_', '-')} " in line]
        assert f"[default: {getattr(TrainOptions(), option)}]" in line


@pytest.mark.parametrize(
    ("words", "said"),
    [
        ({"learning_rate": 0.0}, "learning_rate is 0.0; expected a number above 0"),
        ({"weight_decay": float("nan")}, "weight_decay is nan; expected 0 or more"),
        ({"depth_rate": 2.0}, "depth_rate is 2.0; expected above 0, at most 1"),
    ],
)
def test_words_fail_with_what_was_expected(words: dict[str, Any], said: str) -> None:
    with pytest.raises(ValueError, match=said):
        TrainOptions(**words)
    with pytest.raises(UsageError, match=f"--{said.replace('_', '-')}"):
        build(TrainOptions, values_of(TrainOptions) | words)
