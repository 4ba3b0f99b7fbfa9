"""Training curves as TensorBoard's event files: a folder a model, a scalar a column and epoch."""

from __future__ import annotations

import time
from collections.abc import Sequence
from pathlib import Path

from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments import folder_name
from dualstream.pipeline.experiments.history import ModelHistory

from dualstream.installation import install_hint


def check_installed() -> None:
    """Say before a fit that TensorBoard is missing.

    Raises
    ------
    UsageError
        Where the package is not installed.
    """
    try:
        import tensorboard  # noqa: F401
    except ImportError as error:
        raise UsageError(f"--tensorboard needs the package: {install_hint('tensorboard')}") from error


def write_events(folder: Path, name: str, history: Sequence[ModelHistory]) -> list[Path]:
    """Write each model's curves under ``folder/name/…``; return the folders.

    They are written when the fit has ended, from the same history that the run keeps.
    """
    check_installed()
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary
    from tensorboard.summary.writer.event_file_writer import EventFileWriter

    written = []
    for one in history:
        place = folder / name / (folder_name(one.fold) if one.fold else ".") / f"seed{one.seed}"
        writer = EventFileWriter(str(place))
        for column, values in one.columns.items():
            for epoch, value in enumerate(values, start=1):
                if value is None:
                    continue
                summary = Summary(value=[Summary.Value(tag=column, simple_value=value)])
                writer.add_event(Event(wall_time=time.time(), step=epoch, summary=summary))
        writer.close()
        written.append(place)
    return written
