"""A run: which utterances a variant is fitted and scored on, what it said of them, how well, and the folder kept.

The folder is the room's face (`runs.read_run`); corpus, protocol, predictions and scoring lead up to it.
"""

from __future__ import annotations

import importlib
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from dualstream.pipeline.experiments.run_folder import (
        COMPARISON,
        COMPARISON_FORMAT,
        CONFIG,
        FIGURES,
        HISTORY,
        METRICS,
        REPORT,
        RUN_FORMAT,
        TEST_LOG,
        WEIGHTS,
        Run,
        check_target,
        folder_name,
        format_of,
        log_test,
        models_of,
        new_folder,
        read_models,
        read_run,
        read_test_log,
        write_models,
        write_run,
    )

__all__ = [
    "COMPARISON",
    "COMPARISON_FORMAT",
    "CONFIG",
    "FIGURES",
    "HISTORY",
    "METRICS",
    "REPORT",
    "RUN_FORMAT",
    "TEST_LOG",
    "WEIGHTS",
    "Run",
    "check_target",
    "folder_name",
    "format_of",
    "log_test",
    "models_of",
    "new_folder",
    "read_models",
    "read_run",
    "read_test_log",
    "write_models",
    "write_run",
]


def __getattr__(name: str) -> Any:
    # the options of this package are read without NumPy, which the folder needs
    if name in __all__:
        return getattr(importlib.import_module("dualstream.pipeline.experiments.run_folder"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
