"""Networks in .onnx files, run by onnxruntime on one core of the CPU."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from dualstream.features.packages import require
from dualstream.features.single_read import read_hashed
from dualstream.features.weights import UNKNOWN_LICENCE, WeightsRecord


def open_onnx(weights: Path, what: str) -> tuple[Any, WeightsRecord, bytes]:
    """Return a session, which serves all threads, what is recorded of the file, and its bytes.

    Parameters
    ----------
    what
        Of whom the package is needed, for the message where it isn't there.

    Raises
    ------
    ValueError
        Where onnxruntime can't read the file.
    """
    runtime = require("onnxruntime", what, "faces")
    image, sha256 = read_hashed(weights)
    options = runtime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.log_severity_level = 3
    try:
        session = runtime.InferenceSession(image, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # onnxruntime's own kinds, which derive from nothing narrower
        raise ValueError(f"{weights.name} can't be read as an ONNX file: {error}") from error
    return session, WeightsRecord("file", sha256, UNKNOWN_LICENCE), image
