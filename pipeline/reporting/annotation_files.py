"""Where `predict` writes files for annotation tools: one of a recording, or one of each into a folder."""

from __future__ import annotations

import dataclasses
import os
from collections import Counter
from collections.abc import Mapping, Sequence
from pathlib import Path

from dualstream.pipeline.bundles.inputs import Item
from dualstream.pipeline.bundles.predictions import PredictionReport
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.reporting.annotations import KINDS, recordings, write
from dualstream.pipeline.storage.documents import write_bytes
from dualstream.pipeline.storage.folders import UnwrittenError
from dualstream.pipeline.storage.printable import escaped


def check_places(places: Mapping[str, Path], items: Sequence[Item], *, replace: bool) -> None:
    """Refuse, before anything is encoded, one file for several recordings, and files that exist.

    Parameters
    ----------
    places
        File, or folder of files, of each kind that is asked for.
    items
        What is to be predicted.
    replace
        Whether what exists is written over.

    Raises
    ------
    UsageError
        What to name instead.
    """
    paths = list(dict.fromkeys(item.name if item.path is None else escaped(str(item.path)) for item in items))
    for kind, place in places.items():
        if place.is_dir():
            for target in _targets(kind, place, [Path(path) for path in paths]):
                if os.path.lexists(target) and not replace:
                    raise UsageError(f"--{kind} {target} already exists; name another folder, or use --replace")
        elif len(paths) > 1:
            raise UsageError(
                f"--{kind} {place} is one file, and there are {len(paths)} recordings; name a folder that is "
                "there, which gets a file of each"
            )


def write_annotations(report: PredictionReport, places: Mapping[str, Path]) -> PredictionReport:
    """Write what is asked for; return the report of what was written, and of what could not be."""
    for kind, place in places.items():
        found = recordings(report)
        targets = _targets(kind, place, [one.path for one in found]) if place.is_dir() else [place] * len(found)
        written: list[str] = []
        for one, target in zip(found, targets, strict=True):
            try:
                write_bytes(target, write(kind, one).encode())
                written.append(escaped(str(target)))
            except UnwrittenError as error:
                report = report.without(kind, str(error))
        report = dataclasses.replace(report, annotations={**report.annotations, kind: tuple(written)})
    return report


def _targets(kind: str, folder: Path, paths: Sequence[Path]) -> list[Path]:
    """Return a name for each recording: its own, with its suffix too where another has the same."""
    counts = Counter(path.stem for path in paths)
    names = [path.stem if counts[path.stem] == 1 else path.name.replace("/", "_") for path in paths]
    again = Counter(names)
    numbered = [name if again[name] == 1 else f"{name}-{at:03d}" for at, name in enumerate(names)]
    return [folder / f"{name}{KINDS[kind]}" for name in numbered]
