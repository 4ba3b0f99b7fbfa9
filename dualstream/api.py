"""The commands as Python functions: paths or texts in, keyword options, documents out; nothing is printed.

What the command line prints as notes is logged (``logging.getLogger("dualstream")``) and stands in the results.
"""

from __future__ import annotations

import contextlib
import logging
import os
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

from dualstream.documents import Document
from dualstream.heads.variants.registry import TASKS, FitOptions, Progress, Task
from dualstream.keywords import assemble, require_known, takes
from dualstream.pipeline import cache as cache_file
from dualstream.pipeline import experiments
from dualstream.pipeline.cache import Cache
from dualstream.pipeline.commands import check as check_command
from dualstream.pipeline.commands import compare as compare_command
from dualstream.pipeline.commands import diagnose as diagnose_command
from dualstream.pipeline.commands import evaluate as evaluate_command
from dualstream.pipeline.commands import export as export_command
from dualstream.pipeline.commands import extract as extract_command
from dualstream.pipeline.commands import fit_head as fit_command
from dualstream.pipeline.commands import manifest as manifest_command
from dualstream.pipeline.corpus.remote_root import clip_root
from dualstream.pipeline.extraction.recipe import ExtractionOptions
from dualstream.pipeline.extraction.request import RunOptions
from dualstream.pipeline.options.bundles import ExportOptions
from dualstream.pipeline.options.corpus import ManifestOptions
from dualstream.pipeline.options.heads import CompareOptions, DiagnoseOptions, FitHeadOptions
from dualstream.pipeline.reporting.heartbeat import silenced
from dualstream.results import (
    CheckResult,
    ComparisonResult,
    DiagnosisResult,
    EvaluationResult,
    ExportResult,
    ExtractionResult,
    ManifestResult,
    RunResult,
)

PathLike = str | os.PathLike[str]
OF_ONE_TASK = ("tasks", "task_balance", "sentiment_weight", "hop_s")
"""Options that a diagnosis sets itself."""

log = logging.getLogger("dualstream")
log.addHandler(logging.NullHandler())


@takes(ManifestOptions)
def manifest(
    corpus: str, root: PathLike, out: PathLike = "data_manifest.csv", *, replace: bool = False, **options: Any
) -> ManifestResult:
    """Write the manifest of a corpus: one row per utterance.

    Parameters
    ----------
    corpus
        ``meld``, ``folder`` (one folder per class) or another importer; ``dualstream manifest --help`` lists them.
    root
        The folder that holds the corpus.
    out
        The CSV file to write.
    replace
        Write over a manifest that differs.
    options
        Fields of ManifestOptions (``dev_speakers=["13"]``, ``drop=["calm"]``, …).

    Raises
    ------
    DualstreamError
        As the command does.
    """
    require_known("manifest", options, (ManifestOptions,))
    chosen = assemble(ManifestOptions, options)
    found = manifest_command.main(corpus, clip_root(root), Path(out), chosen, replace=replace)
    return ManifestResult(_document(found), Path(out))


@takes(check_command.CheckOptions, without=("strict",))
def check(manifest: PathLike, root: PathLike | None = None, **options: Any) -> CheckResult:
    """Examine a manifest and its clips: what is wrong, and what that means for the results.

    Parameters
    ----------
    manifest
        A CSV file as docs/manifest.md has it.
    root
        The folder that the manifest's paths start from; None: only the table is examined.
    options
        Fields of CheckOptions (``sound=False``, ``workers=4``, …).

    Raises
    ------
    DualstreamError
        As the command does.
    """
    require_known("check", options, (check_command.CheckOptions,), without=("strict",))
    chosen = assemble(check_command.CheckOptions, {"media": root is not None, **options})
    with silent():
        found = check_command.main(
            Path(manifest), None if root is None else clip_root(root), chosen, notice=log.info
        )
    return CheckResult(_document(found.document), Path(manifest))


def read_cache(path: PathLike) -> Cache:
    """Read and validate a cache: names, types, digest.

    Raises
    ------
    NoCacheError
        Where there is none.
    CorruptError
        Where it does not hold what it says.
    """
    return cache_file.read_cache(Path(path))


@takes(ExtractionOptions, RunOptions)
def extract(
    manifest: PathLike, out: PathLike = "cache.h5", *, root: PathLike = ".", progress: bool = False, **options: Any
) -> ExtractionResult:
    """Extract features of every clip of a manifest into a cache; continue where an earlier run stopped.

    Parameters
    ----------
    manifest
        A CSV file as docs/manifest.md has it.
    out
        The cache to write.
    root
        The folder that the manifest's paths start from.
    progress
        Report on standard error: a bar on a terminal, else one line every 30 s.
    options
        Fields of ExtractionOptions (``video="cnn5"``, ``video_weights="random:0"``, ``sampling="aligned"``, …) and
        of RunOptions (``workers=4``, ``replace=True``, …).

    Raises
    ------
    DualstreamError
        As the command does; clips that fail are in the result, with reasons.
    """
    require_known("extract", options, (ExtractionOptions, RunOptions))
    with silent(not progress):
        report = extract_command.extract(
            Path(manifest),
            root=clip_root(root),
            out=Path(out),
            options=assemble(ExtractionOptions, options),
            run=assemble(RunOptions, options),
            notice=log.info,
        )
    return ExtractionResult(_document(report), Path(out))


@takes(FitOptions, FitHeadOptions)
def fit_head(
    cache: PathLike,
    fusion: str,
    out: PathLike | None = None,
    *,
    progress: Progress | None = None,
    **options: Any,
) -> RunResult:
    """Fit one variant on a cache, score it on dev or by folds, and write a run folder with its page.

    Parameters
    ----------
    cache
        The file that `extract` wrote.
    fusion
        The variant, such as ``concat_norm``, ``linear`` or ``auto``; docs/heads.md compares them.
    out
        The run folder; None: ``runs/FUSION``.
    progress
        Called during the fit with ``{"variant", "epoch", "epochs", "train_loss", "dev_score"}``.
    options
        Fields of FitOptions (``seeds=range(5)``, ``epochs=40``, ``loss="focal"``, …) and of FitHeadOptions
        (``folds="speaker:4"``, ``speaker_norm=True``, ``ensemble=True``, ``replace=True``, …).

    Raises
    ------
    DualstreamError, ValueError
        As the command does.
    """
    require_known("fit_head", options, (FitOptions, FitHeadOptions))
    place = Path(out) if out is not None else Path("runs") / experiments.folder_name(fusion)
    with silent():
        run = fit_command.fit_head(
            Path(cache),
            fusion,
            place,
            fit=assemble(FitOptions, options),
            options=assemble(FitHeadOptions, options),
            progress=progress,
        )
    return RunResult(_document(run, fit_command.document), place)


@takes(FitOptions, CompareOptions)
def compare(
    cache: PathLike, out: PathLike = "runs/compare", *, progress: Progress | None = None, **options: Any
) -> ComparisonResult:
    """Fit several variants on the same utterances: one table, paired tests against the best single stream, a page.

    Parameters
    ----------
    cache
        The file that `extract` wrote.
    out
        Folder for compare.json, page and figures.
    progress
        As in `fit_head`.
    options
        Fields of FitOptions and of CompareOptions (``fusions=["linear", "concat_norm"]``, ``folds="4"``, …).

    Raises
    ------
    DualstreamError, ValueError
        As the command does; a variant that can't be fitted is a row with its reason.
    """
    require_known("compare", options, (FitOptions, CompareOptions))
    with silent():
        found = compare_command.compare(
            Path(cache),
            Path(out),
            fit=assemble(FitOptions, options),
            options=assemble(CompareOptions, options),
            progress=progress,
        )
    return ComparisonResult(_document(found), Path(out))


@takes(DiagnoseOptions, without=(*OF_ONE_TASK, "any_task"))
def diagnose(
    cache: PathLike,
    out: PathLike = "runs/diagnosis",
    *,
    task: Task | None = None,
    progress: Callable[[str], None] | None = None,
    **options: Any,
) -> DiagnosisResult:
    """Explain why joining the streams of a cache fails: causes with evidence and measured remedies.

    Parameters
    ----------
    cache
        The file that `extract` wrote.
    out
        Folder for diagnosis.json, page and figures.
    task
        ``emotion`` or ``sentiment``; None: the first that has labels.
    progress
        Called with what is being measured.
    options
        Fields of DiagnosisOptions (``fusion="concat"``, ``folds=4``, …), of FitOptions for the heads that are
        refitted (``seeds=(0,)``), and of DiagnoseOptions (``against="other.h5"``, …).

    Raises
    ------
    DualstreamError, ValueError
        As the command does.
    """
    require_known("diagnose", options, (DiagnoseOptions,), without=(*OF_ONE_TASK, "any_task"))
    chosen = {"task": task or TASKS[0], "any_task": task is None, **options}
    with silent():
        found = diagnose_command.diagnose(
            Path(cache),
            Path(out),
            assemble(DiagnoseOptions, chosen),
            progress or (lambda line: None),
        )
    return DiagnosisResult(_document(found), Path(out))


def evaluate(
    run: PathLike,
    split: str = "test",
    *,
    cache: PathLike | None = None,
    streams: Mapping[str, str] | None = None,
    scored: str | None = None,
    errors: bool = False,
) -> EvaluationResult:
    """Score a run on a split; each look at test is logged in the run.

    Parameters
    ----------
    run
        A run folder, or what `fit_head` returned as its ``path``.
    split
        ``test``, or another split of the cache.
    cache
        Another cache than the one that the run was fitted on.
    streams
        Which streams of that cache stand for those that the run reads; None: as in the run.
    scored
        ``all`` or ``present`` (without utterances that have no features); None: as in the run.
    errors
        Leave an error browser in the run folder, errors_SPLIT_TASK.html, and a CSV beside it.

    Raises
    ------
    DualstreamError
        As the command does.
    """
    with silent():
        found = evaluate_command.evaluate(
            Path(run),
            split=split,
            cache=None if cache is None else Path(cache),
            streams=streams,
            scored=scored,
            errors=errors,
        )
    return EvaluationResult(_document(found), Path(run))


@takes(ExportOptions)
def export(run: PathLike, out: PathLike, **options: Any) -> ExportResult:
    """Write a bundle of a run: heads, calibration, projections and recipe, all that `Predictor` needs.

    Parameters
    ----------
    run
        A run folder.
    out
        The bundle, a folder.
    options
        Fields of ExportOptions (``with_weights="vgg16-397923af.pth"``, ``onnx=True``, ``replace=True``, …).

    Raises
    ------
    DualstreamError
        As the command does.
    """
    require_known("export", options, (ExportOptions,))
    with silent():
        found = export_command.export(Path(run), Path(out), assemble(ExportOptions, options), notice=log.info)
    return ExportResult(_document(found), Path(out))


def _document(found: Any, convert: Callable[[Any], Any] | None = None) -> Mapping[str, Any]:
    if convert is not None:
        found = convert(found)
    if isinstance(found, Document):
        return found.stamped()
    document: Mapping[str, Any] = found if isinstance(found, Mapping) else found.to_json()
    return document


@contextlib.contextmanager
def silent(quiet: bool = True) -> Iterator[None]:
    """Keep progress off standard error inside the block, where `quiet`."""
    with silenced() if quiet else contextlib.nullcontext():
        yield
