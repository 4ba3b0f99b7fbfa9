"""The help of every command: whole names at 80 columns, panels, what can be named, an example, exit statuses."""

from __future__ import annotations

import re
import shlex

import click
import pytest
import typer
from dualstream.heads.variants import registry
from dualstream.pipeline.corpus import importers
from dualstream.pipeline.errors import EXIT_STATUSES, DualstreamError
from typer.testing import CliRunner

from dualstream import cli

GROUP = typer.main.get_command(cli.app)
COMMANDS = GROUP.list_commands(click.Context(GROUP))  # type: ignore[attr-defined,arg-type]


def help_of(name: str, columns: int = 80) -> str:
    done = CliRunner().invoke(cli.app, [name, "--help"], env={"COLUMNS": str(columns)})
    assert done.exit_code == 0
    return done.stdout


def command(name: str):
    return GROUP.get_command(click.Context(GROUP), name)


@pytest.mark.parametrize("name", COMMANDS)
def test_names_are_whole_and_lines_fit(name: str) -> None:
    lines = help_of(name).splitlines()
    assert max(map(len, lines)) <= 80
    words = {word.strip(",") for line in lines if line.startswith("  ") for word in re.split(r"[\s/]+", line)}
    options = {spelled for one in command(name).params for spelled in (*one.opts, *one.secondary_opts)}
    assert {one for one in options if one.startswith("-")} <= words


@pytest.mark.parametrize("name", COMMANDS)
def test_the_example_is_understood_and_statuses_are_told(name: str) -> None:
    text = help_of(name)
    example = text.partition("\nExample:\n")[2].partition("\n\n")[0].replace("\\\n", " ")
    _, typed, *words = shlex.split(example)
    assert typed == name
    command(name).make_context(name, words)  # raises where an option is not there
    statuses = text.partition("\nExit status:\n")[2]
    assert [int(line.split()[0]) for line in statuses.splitlines()] == list(EXIT_STATUSES)


def test_every_failure_s_status_is_told() -> None:
    assert {one.exit_status for one in (DualstreamError, *DualstreamError.__subclasses__())} <= set(EXIT_STATUSES)


@pytest.mark.parametrize("name", ["fit-head", "compare"])
def test_variants_are_listed(name: str) -> None:
    listed = help_of(name).partition("\nVariants:\n")[2].partition("\n\n")[0]
    assert {one.strip() for one in listed.split(",")} == set(registry.names())


def test_importers_are_listed() -> None:
    listed = help_of("manifest").partition("\nImporters:\n")[2].partition("\n\n")[0]
    assert all(f"  {name}: " in listed for name in importers.names())


def test_options_stand_in_panels() -> None:
    text = help_of("fit-head")
    titles = re.findall(r"^([A-Z]\w+):$", text, re.M)
    assert titles == [
        *("Arguments", "Input", "Protocol", "Training", "Model", "Loss", "Output", "Running", "Common"),
        *("Variants", "Example"),
    ]
    assert "--epochs" in text.partition("\nTraining:\n")[2].partition("\n\n")[0]


def test_ranges_and_defaults_are_shown_unbroken() -> None:
    text = help_of("fit-head")
    for shown in ("[1 or more] [default: 40]", "[0 to below 1]", "[default: 0.3]", "[default: emotion,sentiment]"):
        assert shown in " ".join(text.split())
    for line in text.splitlines():
        assert line.count("[default:") == line.count("[default: "), line


def test_a_narrow_terminal_cuts_nothing() -> None:
    assert "--modality-dropout NUMBER" in help_of("fit-head", columns=60)
