"""The names and defaults of the first edition's options: each is still there, and means the same."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import click
import pytest
import typer

from dualstream import cli

GOLDEN = json.loads(Path(__file__).with_name("options_0.1.json").read_text())
FACES = {
    "--face-detector",
    "--face-weights",
    "--speaker-scorer",
    "--speaker-weights",
    "--speaker-margin",
    "--speaker-alone",
}
IDENTITY = {"--identity", "--identity-embedder", "--identity-weights"}
ADDED = {
    command: {"--config", "--quiet -q", "--verbose -v"}
    | ({"--like", "--decoding", "--layers"} if command in ("fit-head", "compare") else set())
    | ({"--speaker", "--speaker-per-file"} if command == "predict" else set())
    | (
        {"--table", "--vtt", "--srt", "--elan", "--textgrid", "--audacity", "--rttm"}
        if command == "predict"
        else set()
    )
    | (
        {"--context", "--scramble", "--decoder", "--region", "--region-debug", *FACES, *IDENTITY}
        if command == "extract"
        else set()
    )
    | ({"--rate", "--confidence", "--part", "--ray-address"} if command == "extract" else set())
    | ({"--faces", *FACES} if command == "check" else set())
    | ({"--speaker-from", "--dialogue-from", "--split-from"} if command == "manifest" else set())
    | ({"--table"} if command == "report" else set())
    | ({"--balance", "--balance-strength"} if command in ("fit-head", "compare", "diagnose") else set())
    | (
        {"--measures --no-measures", "--limits --no-limits", "--manifest", "--root"}
        if command == "diagnose"
        else set()
    )
    | ({"--errors"} if command == "evaluate" else set())
    for command in GOLDEN
}
"""What came later, by command."""
NEW_COMMANDS = {"weights", "convert"}
NO_LONGER_REQUIRED = {("predict", "files")}  # new tables may stand in their place


def options_of(name: str) -> dict[str, Any]:
    """Return what a command takes: by its spelling, whether it is an argument, is required, repeats; its default."""
    group = typer.main.get_command(cli.app)
    command = group.get_command(click.Context(group), name)  # type: ignore[attr-defined,arg-type]
    found = {}
    for one in command.params:
        argument = one.param_type_name == "argument"
        spelling = one.name.removesuffix("_path") if argument else " ".join([*one.opts, *one.secondary_opts])
        default = one.get_default(click.Context(command))
        found[spelling] = {
            "argument": argument,
            "required": one.required,
            "repeats": bool(one.multiple or one.nargs != 1),
            "default": str(default) if isinstance(default, Path) else default,
        }
    return found


def test_the_commands_are_the_same() -> None:
    group = typer.main.get_command(cli.app)
    found = group.list_commands(click.Context(group))  # type: ignore[attr-defined,arg-type]
    assert [name for name in found if name not in NEW_COMMANDS] == list(GOLDEN)
    assert set(found) >= NEW_COMMANDS


@pytest.mark.parametrize("command", GOLDEN)
def test_names_and_defaults_are_the_same(command: str) -> None:
    found = options_of(command)
    for name, one in found.items():
        one["required"] |= (command, name) in NO_LONGER_REQUIRED
        one["default"] = None if (command, name) in NO_LONGER_REQUIRED else one["default"]
    assert {name: one for name, one in found.items() if name not in ADDED[command]} == GOLDEN[command]


@pytest.mark.parametrize("command", GOLDEN)
def test_what_is_new_is_listed(command: str) -> None:
    assert set(options_of(command)) - set(GOLDEN[command]) == ADDED[command]
