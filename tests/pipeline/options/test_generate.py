"""Options from dataclasses: names, types, defaults, ranges and help come from one declaration."""

from __future__ import annotations

import functools
import inspect
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal

import pytest
import typer
from annotated_types import Ge, Interval, Le
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.options.generate import Cli, OptionGroup, build, field_docs, parameters_of
from typer.testing import CliRunner

from dualstream.validation import validate


@dataclass(frozen=True)
class Fit:
    """A group of options."""

    epochs: Annotated[int, Ge(1)] = 40
    """Epochs at most."""
    dropout: Annotated[float, Interval(ge=0, lt=1)] = 0.3
    """Chance that a hidden value is dropped."""
    loss: Literal["cross_entropy", "focal"] = "focal"
    """What is minimised.

    More of it on a second line."""
    seeds: tuple[int, ...] = (0, 1, 2)
    penalty: Annotated[float, Ge(0)] | None = None
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        validate(self)


def pairs(texts: list[str]) -> dict[str, str]:
    return dict(text.split("=", 1) for text in texts)


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a command is asked."""

    cache: Annotated[Path, Cli(positional=True)]
    """The cache."""
    out: Path | None = None
    streams: tuple[str, ...] = ("video", "audio")
    weights: Annotated[tuple[Path, ...], Cli(name="with-weights", repeat=True)] = ()
    page: bool = True
    quiet: bool = False
    fit: Annotated[
        Fit,
        OptionGroup(
            "Training",
            without=("dropout",),
            cli={
                "seeds": Cli(read=lambda n: tuple(range(int(n))), show=len),
                "settings": Cli(name="set", repeat=True, read=pairs),
            },
            defaults={"epochs": 12},
        ),
    ]


def run(words: list[str]) -> tuple[Job | None, Any]:
    made: list[Job] = []
    app = typer.Typer()

    def command(**values: Any) -> None:
        made.append(build(Job, values))

    command.__signature__ = inspect.Signature(parameters_of(Job))  # type: ignore[attr-defined]
    app.command()(command)
    done = CliRunner().invoke(app, words, env={"COLUMNS": "100", "NO_COLOR": "1", "TERM": "dumb"})
    return (made[0] if made else None), done


def test_defaults_are_the_dataclass_s() -> None:
    made, _ = run(["a.h5"])
    assert made == Job(cache=Path("a.h5"), fit=Fit(epochs=12))


def test_every_kind_of_value_arrives() -> None:
    words = [
        "a.h5",
        "--out",
        "runs",
        "--streams",
        "audio, face",
        "--with-weights",
        "a.pt",
        "--with-weights",
        "b.pt",
    ]
    words += [
        "--no-page",
        "--quiet",
        "--epochs",
        "3",
        "--loss",
        "cross_entropy",
        "--seeds",
        "2",
        "--penalty",
        "0.5",
    ]
    made, done = run([*words, "--set", "width=8", "--set", "name=a=b"])
    assert made == Job(
        cache=Path("a.h5"), out=Path("runs"), streams=("audio", "face"), weights=(Path("a.pt"), Path("b.pt")),
        page=False, quiet=True,
        fit=Fit(epochs=3, loss="cross_entropy", seeds=(0, 1), penalty=0.5, settings={"width": "8", "name": "a=b"}),
    ), done.output  # fmt: skip


def test_help_comes_from_the_docstrings() -> None:
    _, done = run(["--help"])
    for text in (
        "Epochs at most.",
        "Training",
        "--with-weights",
        "What is minimised.",
        "cross_entropy|focal",
        "12",
    ):
        assert text in done.output
    assert "--dropout" not in done.output and "--no-quiet" not in done.output
    assert field_docs(Fit)["loss"] == "What is minimised. More of it on a second line."


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["a.h5", "--epochs", "0"], "greater than or equal to 1"),
        ([], "Missing argument"),
    ],
)
def test_what_does_not_fit_is_a_usage_error(words, told) -> None:
    made, done = run(words)
    assert made is None and done.exit_code == 2
    assert told in " ".join(done.output.split())


def test_what_the_dataclass_refuses_is_a_usage_error() -> None:
    values = {one.name: one.default for one in parameters_of(Job)} | {"cache": Path("a"), "penalty": float("inf")}
    with pytest.raises(UsageError, match=r"^--penalty is inf; expected 0 or more$"):
        build(Job, values)
    with pytest.raises(UsageError, match=r"^--loss is 'hinge'; expected one of: cross_entropy, focal$"):
        build(Job, values | {"penalty": None, "loss": "hinge"})


@pytest.mark.parametrize(
    ("annotation", "value", "told"),
    [
        (Annotated[float, Interval(ge=0, lt=1)], 1.0, "x is 1.0; expected 0 to below 1"),
        (Annotated[float, Interval(gt=0, le=1)], 0.0, "x is 0.0; expected above 0, at most 1"),
        (Annotated[float, Interval(gt=0)], 0.0, "x is 0.0; expected a number above 0"),
        (Annotated[float, Le(2)], float("nan"), "x is nan; expected at most 2"),
        (Literal["a", "b"], "c", "x is 'c'; expected one of: a, b"),
        (Literal["a", "b"] | None, "c", "x is 'c'; expected one of: a, b"),
    ],
)
def test_ranges_are_checked(annotation, value, told) -> None:
    made = type("Made", (), {"__annotations__": {"x": annotation}})
    with pytest.raises(ValueError, match=f"^{told}$"):
        validate(functools.partial(dataclass(frozen=True)(made))(value))
