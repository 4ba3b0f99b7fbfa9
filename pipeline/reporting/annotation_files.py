"""Where `predict` writes files for annotation tools: one of a recording, or one of each into a folder."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Protocol

from dualstream.pipeline.bundles.inputs import Item
from dualstream.pipeline.bundles.predictions import PredictionReport
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.reporting.annotations import KINDS, recordings, write
from dualstream.pipeline.storage.documents import write_bytes
from dualstream.pipeline.storage.folders import UnwrittenError
from dualstream.pipeline.storage.printable import escaped


class AnnotationOptions(Protocol):
    """What of the options of `predict` is read here."""

    @property
    def vtt(self) -> Path | None: ...
    @property
    def srt(self) -> Path | None: ...
    @property
    def elan(self) -> Path | None: ...
    @property
    def textgrid(self) -> Path | None: ...
    @property
    def audacity(self) -> Path | None: ...
    @property
    def rttm(self) -> Path | None: ...
    @property
    def replace(self) -> bool: ...


def wanted(options: AnnotationOptions) -> list[tuple[str, Path]]:
    """Return option and place of each file, or folder of files, that is asked for."""
    places = ((kind, getattr(options, kind)) for kind in KINDS)
    return [(f"--{kind}", place) for kind, place in places if place is not None]


def check_places(options: AnnotationOptions, items: Sequence[Item]) -> None:
    """Refuse, before anything is encoded, one file for several recordings, and files that exist.

    Raises
    ------
    UsageError
        What to name instead.
    """
    paths = list(dict.fromkeys(str(item.path or item.name) for item in items))
    for word, place in wanted(options):
        if place.is_dir():
            for target in _targets(word[2:], place, [Path(path) for path in paths]):
                if os.path.lexists(target) and not options.replace:
                    raise UsageError(f"{word} {target} already exists; name another folder, or use --replace")
        elif len(paths) > 1:
            raise UsageError(
                f"{word} {place} is one file, and there are {len(paths)} recordings; name a folder that is there, "
                "which gets a file of each"
            )


def write_annotations(report: PredictionReport, options: AnnotationOptions) -> PredictionReport:
    """Write what is asked for; return the report of what was written, and of what could not be."""
    for word, place in wanted(options):
        kind = word[2:]
        found = recordings(report)
        targets = _targets(kind, place, [one.path for one in found]) if place.is_dir() else [place] * len(found)
        written: list[str] = []
        for one, target in zip(found, targets, strict=True):
            try:
                write_bytes(target, write(kind, one).encode())
                written.append(escaped(str(target)))
            except UnwrittenError as error:
                report = report.without(kind, str(error))
        report = replace(report, annotations={**report.annotations, kind: tuple(written)})
    return report


def _targets(kind: str, folder: Path, paths: Sequence[Path]) -> list[Path]:
    """Return a name for each recording: its own, with its suffix too where another has the same."""
    counts = Counter(path.stem for path in paths)
    names = [path.stem if counts[path.stem] == 1 else path.name.replace("/", "_") for path in paths]
    again = Counter(names)
    numbered = [name if again[name] == 1 else f"{name}-{at:03d}" for at, name in enumerate(names)]
    return [folder / f"{name}{KINDS[kind]}" for name in numbered]
