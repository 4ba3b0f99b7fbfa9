"""Defaults of a command's options from a file: TOML that a person wrote, or what a run was made with."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any, get_args

from dualstream.pipeline.errors import NoCacheError, UsageError
from dualstream.pipeline.options.generate import Option, Preset, options_of


def preset(cls: type, kind: Preset, path: Path) -> dict[str, Any]:
    """Return, by parameter name, what the command line would have been given.

    Raises
    ------
    UsageError
        Where the file can't be read as such, or names an option that the command does not have.
    NoCacheError
        Where there is no such run.
    """
    return from_toml(cls, path) if kind is Preset.CONFIG else from_run(cls, path)


def from_toml(cls: type, path: Path) -> dict[str, Any]:
    """Read a TOML file whose keys are names of options."""
    try:
        with open(path, "rb") as file:
            read = tomllib.load(file)
    except OSError as error:
        raise UsageError(f"--config {path} can't be read: {error.strerror or error}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"--config {path} is not TOML: {error}") from error
    known = {_key(one): one for one in options_of(cls) if one.cli.preset is None}
    unknown = [key for key in read if key.replace("_", "-") not in known]
    if unknown:
        raise UsageError(
            f"--config {path} names {', '.join(map(repr, unknown))}; the options are {', '.join(known)}"
        )
    found = {key: known[key.replace("_", "-")] for key in read}
    return {one.key: _value(one, read[key], path) for key, one in found.items()}


def from_run(cls: type, path: Path) -> dict[str, Any]:
    """Return the options that a run, or a comparison, was made with."""
    from dualstream.pipeline import experiments
    from dualstream.pipeline.storage.documents import read_json

    form = experiments.format_of(path)
    if form == experiments.RUN_FORMAT:
        config = experiments.read_run(path).config
        tree = _protocol(config.to_json()) | {"folds": config.folds, "fusion": config.variant}
        if config.cache.path is not None:
            tree["cache"] = (path / config.cache.path).resolve()
    elif form == experiments.COMPARISON_FORMAT:
        document = read_json(path / experiments.COMPARISON)
        if document["split"] != "dev":
            raise UsageError(f"--like {path} is a comparison over folds, which does not say how they were made")
        tree = _protocol(document)
        tree["fusions"] = [row["variant"] for row in document["rows"] if "end_to_end" not in row]
    elif form is None and path.is_dir():
        experiments.read_run(path)  # says what is damaged
        raise NoCacheError(f"{path} is not a run")
    else:
        raise NoCacheError(f"there is no run {path}; fit-head and compare make such folders")
    options = options_of(cls)
    return {
        one.key: one.write(tree[one.path[-1]])
        for one in options
        if one.path[-1] in tree and tree[one.path[-1]] is not None
    }


def _protocol(config: Mapping[str, Any]) -> dict[str, Any]:
    """Return fields of the options by their names, as a run and a comparison keep them."""
    kept = {name: config[name] for name in ("streams", "speaker_norm") if name in config}
    older = {"decoding": "separate"}  # of runs that don't state it
    return {**older, **config["options"], **config["answering"], **kept, "scored": config.get("scored", "all")}


def _key(one: Option) -> str:
    name = one.path[-1].replace("_", "-")
    return name if one.cli.positional else one.cli.name or name


def _value(one: Option, value: Any, path: Path) -> Any:
    """Return a TOML value as the command line would have given it."""
    flag = get_args(one.parameter.annotation)[0] is bool
    for part in value if isinstance(value, list) else [value]:
        if not isinstance(part, str | int | float) or (isinstance(part, bool) and not flag):
            kind = "a table" if isinstance(part, dict) else f"{part!r}"
            raise UsageError(f"--config {path}: {_key(one)} is {kind}; expected text, a number, or a list of such")
    if one.cli.repeat:
        return [str(part) for part in (value if isinstance(value, list) else [value])]
    if isinstance(value, list) and one.metavar in ("INTEGER", "NUMBER"):
        raise UsageError(f"--config {path}: {_key(one)} is {value}; expected one number")
    return ",".join(map(str, value)) if isinstance(value, list) else value
