"""A run: which utterances a variant is fitted and scored on, what it said of them, how well, and the folder kept.

The folder is the room's face (`runs.read_run`); corpus, protocol, predictions and scoring lead up to it.
"""

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
