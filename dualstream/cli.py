"""dualstream's command line: one line per command. Each is imported when it runs."""

from __future__ import annotations

from contextlib import AbstractContextManager
from typing import Annotated, Any

import typer

from dualstream.pipeline.options import bundles, corpus, exchange, features, heads, weights
from dualstream.pipeline.options.command import App, Command, add_command
from dualstream.pipeline.reporting.heartbeat import Heartbeat, silenced
from dualstream.version import __version__

COMMANDS = "dualstream.pipeline.commands"

app = App(
    name="dualstream",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)


def _print_version(asked: bool) -> None:
    if asked:
        typer.echo(f"dualstream {__version__}")
        raise typer.Exit


@app.callback()
def main(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version.")
    ] = False,
) -> None:
    """Clips of people talking into emotion and sentiment: extract features once, fit heads in seconds."""


def during(name: str, quiet: bool) -> AbstractContextManager[Any]:
    """Return what goes on around a command: a line every 30 s, or nothing at all on the way."""
    return silenced() if quiet else Heartbeat(lambda: f"{name}: at work")


for command in (
    # Stage 1: media to cache.
    Command("manifest", corpus.ManifestCommand, f"{COMMANDS}.manifest"),
    Command("check", corpus.CheckCommand, f"{COMMANDS}.check"),
    Command("extract", features.ExtractCommand, f"{COMMANDS}.extract"),
    Command("project", features.ProjectCommand, f"{COMMANDS}.project"),
    Command("inspect", features.InspectCommand, f"{COMMANDS}.inspect"),
    Command("train-encoder", features.TrainEncoderCommand, f"{COMMANDS}.train_encoder"),
    Command("weights", weights.WeightsCommand, f"{COMMANDS}.weights"),
    # Stage 2: cache to decisions.
    Command("fit-head", heads.FitHeadCommand, f"{COMMANDS}.fit_head"),
    Command("compare", heads.CompareCommand, f"{COMMANDS}.compare"),
    Command("evaluate", heads.EvaluateCommand, f"{COMMANDS}.evaluate"),
    Command("report", heads.ReportCommand, f"{COMMANDS}.report"),
    Command("diagnose", heads.DiagnoseCommand, f"{COMMANDS}.diagnose"),
    Command("export", bundles.ExportCommand, f"{COMMANDS}.export"),
    Command("predict", bundles.PredictCommand, f"{COMMANDS}.predict"),
    Command("convert", exchange.ConvertCommand, f"{COMMANDS}.convert"),
    Command("demo", corpus.DemoCommand, f"{COMMANDS}.demo"),
):
    add_command(app, command, during)
