"""The options of a fit say what they can't be, before anything is fitted."""

from __future__ import annotations

from typing import Any

import pytest
from dualstream.heads.variants.options import FitOptions


@pytest.mark.parametrize(
    ("said", "message"),
    [
        ({"loss": "hinge"}, "loss is 'hinge'; expected one of: cross_entropy"),
        ({"task_balance": "none"}, "expected one of: fixed, uncertainty, surgery"),
        ({"watch": "accuracy"}, "expected one of: score, loss"),
        ({"seeds": ()}, "one seed or more"),
        ({"tasks": ("mood",)}, "'mood'"),
        ({"hidden": 0}, "hidden is 0; expected 1 or more"),
        ({"patience": -1}, "patience is -1; expected 0 or more"),
        ({"learning_rate": float("nan")}, "learning_rate is nan"),
        ({"dropout": 1.0}, "dropout is 1.0"),
        ({"modality_dropout": 1.5}, "modality_dropout is 1.5"),
        ({"penalty": 0.0}, "above 0"),
        ({"penalty": -1.0}, "above 0"),
    ],
)
def test_options_that_make_no_sense_fail(said: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        FitOptions(**said)
