"""A bundle's heads as one ONNX graph, and the proof that it says what they say."""

from __future__ import annotations

import importlib
import logging
import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.variants.registry import TASKS
from dualstream.pipeline.bundles.folder import Bundle
from dualstream.pipeline.bundles.inference import answer
from dualstream.pipeline.bundles.manifest import OnnxDocument
from dualstream.pipeline.errors import DualstreamError, UsageError
from numpy.typing import NDArray

from dualstream.installation import install_hint

if TYPE_CHECKING:
    from dualstream.heads.export import HeadGraph
    from torch import Tensor

PACKAGES = ("onnx", "onnxscript", "onnxruntime")
OPSET = 18
TOLERANCE = 1e-5  # largest difference of a probability between ONNX Runtime and the bundle
PARITY_BATCHES = 50
LARGEST_BATCH = 16


@dataclass(frozen=True)
class Parity:
    """How far ONNX Runtime is from the bundle's own answers."""

    batches: int
    worst: float
    """Largest absolute difference of a calibrated probability."""


def write_onnx(
    bundle: Bundle, path: Path, *, batches: int = PARITY_BATCHES, seed: int = 0
) -> tuple[OnnxDocument, Parity]:
    """Write the heads of a bundle as ONNX, and check them on random batches.

    Batches have 1 to 16 utterances, in dialogues of several turns, some without a stream, of up to 12 windows.

    Returns
    -------
    What config.json says of the graph: inputs, outputs, opset; and the check.

    Raises
    ------
    UsageError
        Where the packages are not installed.
    DualstreamError
        Where the variant does not export, or the graph says something else than the heads.
    """
    _require_packages()

    try:
        graph = _graph(bundle).eval()
    except ValueError as error:
        raise DualstreamError(f"{bundle.variant} can't be written as ONNX: {error}") from error
    example = graph.feed(random_features(bundle, np.random.default_rng(seed), count=5, windows=4))
    _save(graph, example, path, bundle.variant)
    found = parity(bundle, path, batches=batches, seed=seed)
    if not found.worst <= TOLERANCE:
        raise DualstreamError(
            f"the ONNX graph of {bundle.variant} differs from its heads by {found.worst:.1e} in a probability; "
            f"{TOLERANCE:g} is the most that is allowed, so it is not written"
        )
    return _facts(graph, example, bundle, found), found


def _require_packages() -> None:
    for package in PACKAGES:
        try:
            importlib.import_module(package)
        except ImportError as error:
            raise UsageError(f"--onnx needs the package {package}: {install_hint('onnx')}") from error


def _has_time(graph: HeadGraph, name: str) -> bool:
    """Tell whether an input of the graph has an axis of windows, after that of utterances."""
    return graph.windowed and not name.endswith(("_present", "dialogue"))


def _save(graph: HeadGraph, example: tuple[Tensor, ...], path: Path, variant: str) -> None:
    """Export the graph with any number of utterances and windows, without the exporter's own messages."""
    import torch

    batch, time = torch.export.Dim("batch", min=1, max=65536), torch.export.Dim("time", min=1, max=65536)
    shapes = tuple({0: batch, 1: time} if _has_time(graph, name) else {0: batch} for name in graph.input_names)
    quiet = logging.getLogger("torch.onnx").level
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    try:
        with torch.no_grad(), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            program = torch.onnx.export(
                graph,
                example,
                dynamo=True,
                dynamic_shapes=(shapes,),
                input_names=graph.input_names,
                output_names=list(graph.output_names),
                opset_version=OPSET,
                verbose=False,
            )
            assert program is not None
            program.save(str(path))
    except (RuntimeError, ValueError, TypeError) as error:
        raise DualstreamError(
            f"{variant} can't be written as ONNX by torch {torch.__version__}: "
            f"{(str(error).splitlines() or [type(error).__name__])[0]}"
        ) from error
    finally:
        logging.getLogger("torch.onnx").setLevel(quiet)


def _facts(graph: HeadGraph, example: tuple[Tensor, ...], bundle: Bundle, found: Parity) -> OnnxDocument:
    """Return what config.json says of the graph; `example` is one of each input."""
    from dualstream.heads.variants.joint_graph import PAIRS

    shapes: dict[str, list[int | str]] = {
        name: list(value.shape[1:]) for name, value in zip(graph.input_names, example, strict=True)
    }
    facts: OnnxDocument = {
        "opset": OPSET,
        "inputs": {
            name: ["time", *shape[1:]] if shape and _has_time(graph, name) else shape
            for name, shape in shapes.items()
        },
        "outputs": {task: len(bundle.vocabulary[task]) for task in graph.tasks},
        "parity": {"batches": found.batches, "largest_difference": found.worst},
    }
    if graph.lead is not None:
        facts["outputs"][PAIRS] = [len(bundle.vocabulary[task]) for task in TASKS]
        facts["lead"] = graph.lead
    return facts


def parity(bundle: Bundle, path: Path, *, batches: int, seed: int = 0) -> Parity:
    """Compare ONNX Runtime with the bundle's answers on random batches."""
    import onnxruntime

    settings = onnxruntime.SessionOptions()
    settings.intra_op_num_threads = settings.inter_op_num_threads = 1
    settings.log_severity_level = 3
    session = onnxruntime.InferenceSession(str(path), settings, providers=["CPUExecutionProvider"])
    graph = _graph(bundle)
    known = {one.name for one in session.get_inputs()}
    rng = np.random.default_rng(seed + 1)
    worst = 0.0
    for _ in range(batches):
        features = random_features(
            bundle, rng, count=int(rng.integers(1, LARGEST_BATCH + 1)), windows=int(rng.integers(1, 13))
        )
        feed = {name: value.numpy() for name, value in zip(graph.input_names, graph.feed(features), strict=True)}
        said = session.run(
            list(graph.output_names), {name: value for name, value in feed.items() if name in known}
        )
        answers = answer(bundle, features)
        own: list[NDArray[np.float64]] = [answers.calibrated[task] for task in graph.tasks]
        own += [] if answers.plain.pairs is None else [np.exp(answers.plain.pairs)]
        for rows, expected in zip(said, own, strict=True):
            worst = max(worst, float(np.abs(rows - expected).max()))
    return Parity(batches, worst)


def _graph(bundle: Bundle) -> HeadGraph:
    """Return the heads as a module; of speaker-normalised ones each utterance is normalised by the prior alone."""
    from dualstream.heads.export import HeadGraph

    sharpness = {task: one.sharpness for task, one in bundle.calibration.items()}
    return HeadGraph(bundle.models, sharpness, bundle.speaker_prior)


def random_features(bundle: Bundle, rng: np.random.Generator, *, count: int, windows: int) -> FeatureSet:
    """Draw utterances as a head takes them: each misses a stream now and then, dialogues have a few turns."""
    from dualstream.heads.data.batch import StreamArrays

    lengths = rng.integers(1, windows + 1, count)
    offsets = np.concatenate(([0], np.cumsum(lengths))).astype(np.int64)
    total = int(offsets[-1])
    streams = {}
    for name, one in bundle.streams.items():
        width = one["spec"]["width"]
        present = rng.random(count) > 0.15
        there = (rng.random(total) > 0.1) & np.repeat(present, lengths)
        spread = rng.uniform(0.5, 3.0)
        rows = _as_usual(bundle, name, "utterance", spread * rng.normal(size=(count, width)))
        flat = _as_usual(bundle, name, "windows", spread * rng.normal(size=(total, width)))
        streams[name] = StreamArrays(
            np.where(present[:, None], rows, np.float32(0)), present, np.where(there[:, None], flat, 0), there
        )
    blank = np.full(count, -1, dtype=np.int64)
    dialogue = np.cumsum(rng.random(count) < 0.3).astype(np.int64)
    return FeatureSet(
        streams=streams,
        offsets=offsets,
        start_s=np.zeros(total),
        emotion=blank,
        sentiment=blank,
        emotion_names=tuple(bundle.vocabulary["emotion"]),
        sentiment_names=tuple(bundle.vocabulary["sentiment"]),
        dialogue=dialogue,
        turn=np.arange(count),
        speaker=blank,
    )


def _as_usual(bundle: Bundle, name: str, level: str, rows: NDArray[np.float64]) -> NDArray[np.float32]:
    """Bring standard rows to where training rows lay, where the bundle knows that."""
    moments = None if bundle.speaker_prior is None else getattr(bundle.speaker_prior, level).get(name)
    return (rows if moments is None else moments.mean + moments.spread() * rows).astype(np.float32)
