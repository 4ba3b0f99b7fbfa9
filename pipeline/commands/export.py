"""export: a run as a bundle, which answers for any clip and needs nothing else."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
from dualstream.features.encoder import SpecDocument, find, is_table
from dualstream.features.projection import Projection
from dualstream.features.single_read import read_hashed
from dualstream.features.weights import WeightsDocument, load_file
from dualstream.heads.data.speaker_prior import SpeakerPrior
from dualstream.heads.evaluation.calibration import fit_weights
from dualstream.heads.variants import registry
from dualstream.heads.variants.registry import TASKS, Task
from dualstream.pipeline import experiments
from dualstream.pipeline.bundles.document import ExportReport, NeededWeights
from dualstream.pipeline.bundles.folder import (
    BUNDLE_FORMAT,
    ONNX,
    WEIGHTS,
    Bundle,
    sections,
    write_bundle,
)
from dualstream.pipeline.bundles.inference import LOG_ZERO, sharpened
from dualstream.pipeline.bundles.manifest import (
    BundleManifest,
    BundleProjection,
    BundleStream,
    Calibration,
    CarriedWeights,
    OnnxDocument,
)
from dualstream.pipeline.cache import Cache, read_cache_and_digest
from dualstream.pipeline.errors import DualstreamError, FingerprintMismatchError, NoCacheError, UsageError
from dualstream.pipeline.experiments import Run, integrity
from dualstream.pipeline.experiments.label_support import TrainingLabels
from dualstream.pipeline.experiments.predictions import Predictions, read_predictions
from dualstream.pipeline.experiments.protocol import DecodingOptions, plan
from dualstream.pipeline.experiments.ranges import usual_ranges
from dualstream.pipeline.experiments.scores import SplitScores
from dualstream.pipeline.experiments.scoring import EvaluationSet
from dualstream.pipeline.experiments.speaker_prior import read_speaker_prior
from dualstream.pipeline.experiments.training_data import corpus_of
from dualstream.pipeline.options.bundles import ExportCommand, ExportOptions
from dualstream.pipeline.options.emit import CommandResult, notice, text_result
from dualstream.pipeline.reporting.card import model_card
from dualstream.pipeline.storage.documents import write_bytes

from dualstream.counting import counted

SURE = 1e-12  # a probability below this counts as this in a log loss


def run(options: ExportCommand) -> CommandResult:
    """Do what the command line asks."""
    found = export(options.run, options.out, options.export, notice=notice)
    return text_result(found, describe(found))


def export(
    path: Path,
    out: Path,
    options: ExportOptions | None = None,
    *,
    notice: Callable[[str], None] = lambda text: None,
) -> ExportReport:
    """Write a bundle of a run.

    Raises
    ------
    NoCacheError
        Where the run or its cache is not there.
    FingerprintMismatchError
        Where the cache is not the one that the run was fitted on, or a file of weights is of no encoder.
    UsageError
        Where the run can't answer for anything new: it reads a table beside clips, or speakers were normalised by
        rule 1.
    """
    options = options or ExportOptions()
    experiments.check_target(out, replace=options.replace, kind=BUNDLE_FORMAT)
    run = _read_run(path)
    cache = _read_cache(run, options.cache)
    streams = _streams(run, cache)
    corpus = corpus_of(cache, digest=run.config.cache.digest, streams=run.config.streams)
    held_out = _held_out(run)
    planned = plan(corpus, run.config.stored_folds, scored=run.config.scored)
    seen = TrainingLabels.of_run(run.config.fitted_on)
    scored = EvaluationSet.of(planned)
    target = replace(scored, vocabulary=run.config.vocabulary, speaker_norm=run.config.speaker_norm)
    joint = run.config.answering.joint_decoding
    mean = DecodingOptions(ensemble=True, joint_decoding=joint).apply(held_out, target.support.pairs)
    calibration = {task: _calibrate(mean, task) for task in mean.true}
    manifest = BundleManifest(
        variant=run.config.variant,
        streams=streams,
        recipe=cache.provenance["recipe"],
        recipe_sections=sections(cache.provenance["recipe"]),
        fingerprint=run.config.cache.fingerprint,
        vocabulary={task: run.config.vocabulary[task] for task in TASKS},
        calibration=calibration,
        joint_pairs=tuple(tuple(row) for row in (seen.pairs > 0).tolist()) if joint else None,
        fitted_on=run.config.fitted_on,
        created_with=run.config.versions,
        speaker_norm=run.config.speaker_prior,
        warnings=(*integrity.planned(planned, streams), *integrity.memorised(corpus, streams).warnings),
    )
    models = tuple(experiments.read_models(path / experiments.WEIGHTS))
    ranges = usual_ranges(corpus.features, planned.fitted_on(), streams)
    with experiments.new_folder(out, replace=options.replace, kind=BUNDLE_FORMAT) as folder:
        manifest = _with_weights(manifest, folder, options.with_weights)
        prior = _speaker_prior(run, streams)
        bundle = Bundle(manifest, models, _projections(cache, streams), ranges=ranges, speaker_prior=prior)
        if options.onnx:
            bundle = replace(bundle, manifest=replace(manifest, onnx=_onnx(bundle, folder, notice)))
        tests = [one for one in run.test_log if one.split == "test"]
        card = model_card(
            manifest=bundle.manifest,
            config=run.config,
            held_out=_score(mean, calibration, target),
            seeds=run.metrics,
            test=run.other_scores("test"),
            test_looks=len(tests),
        )
        write_bundle(folder, bundle, card=card)
        files = sorted(str(place.relative_to(folder)) for place in folder.rglob("*") if place.is_file())
    return _report(out, bundle, files)


def _report(out: Path, bundle: Bundle, files: Sequence[str]) -> ExportReport:
    manifest = bundle.manifest
    return ExportReport(
        bundle=str(out),
        variant=manifest.variant,
        models=len(bundle.models),
        streams={name: one.spec["name"] for name, one in manifest.streams.items()},
        calibration={task: one.sharpness for task, one in manifest.calibration.items()},
        needs_weights=tuple(
            NeededWeights(name, one.spec["name"], weights["sha256"])
            for name, one in manifest.streams.items()
            if (weights := one.spec["weights"]) and not one.carried and not _drawn(weights)
        ),
        onnx=manifest.onnx,
        files=tuple(files),
    )


def describe(report: ExportReport) -> str:
    """Return what was written, for a person."""
    encoders = ", ".join(f"{name} by {encoder}" for name, encoder in report.streams.items())
    lines = [f"{report.bundle}: {report.variant}, {counted(report.models, 'model')}, {encoders}"]
    for task, sharpness in report.calibration.items():
        lines.append(f"calibration of {task}: log-probabilities times {sharpness:.3f}")
    if report.onnx:
        one = report.onnx["parity"]
        lines.append(
            f"{ONNX}: at most {one['largest_difference']:.1e} from the heads on {one['batches']} random batches"
        )
    for needed in report.needs_weights:
        lines.append(
            f"not inside: the weights of {needed.stream} {needed.encoder}, sha256 {needed.sha256[:16]}…; "
            "`predict` will want that file (--weights), or export again with --with-weights FILE"
        )
    return "\n".join([*lines, f"files: {', '.join(report.files)}"])


def _read_run(path: Path) -> Run:
    """Read a run; refuse one of an older version that answers only for speakers which it saw."""
    run = experiments.read_run(path)
    if run.config.speaker_norm and run.config.speaker_prior is None:
        raise UsageError(
            f"{path} normalised each speaker by its own utterances only, as earlier versions did, and a new clip "
            f"does not bring them; fit it again: fit-head --like {path} keeps what the training speakers showed"
        )
    return run


def _read_cache(run: Run, named: Path | None) -> Cache:
    stored = run.config.cache.path
    assert run.path is not None
    if named is None and stored is None:
        raise UsageError(f"{run.path} was fitted on a cache that was never a file; it has no road from a clip")
    place = named or (run.path / str(stored)).resolve()
    if not place.is_file():
        raise NoCacheError(f"the cache of {run.path} is not at {place}; say where it is: --cache FILE")
    cache, digest = read_cache_and_digest(place)
    if digest != run.config.cache.digest:
        raise FingerprintMismatchError(
            f"{place} is not the cache that {run.path} was fitted on: its digest is {digest[:16]}…, the run's is "
            f"{run.config.cache.digest[:16]}…; its projections may be others, so fit again"
        )
    return cache


def _streams(run: Run, cache: Cache) -> dict[str, BundleStream]:
    """Return the streams that the variant reads, each with the spec of its encoder."""
    reads = registry.get(run.config.variant).reads(run.config.streams)
    recipe = cache.provenance.get("recipe")
    if not isinstance(recipe, dict) or not set(run.config.streams.values()) <= set(recipe.get("streams") or {}):
        raise UsageError(
            f"{run.path}: its cache does not say how its rows were made, so that none of new clips or tables can "
            "be made so; fit on a cache that `extract` made"
        )
    found = {}
    for head, name in run.config.streams.items():
        if head not in reads:
            continue
        stream = cache.streams[name]
        spec: SpecDocument = {**recipe["streams"][name], "width": int(stream.utterance.shape[1])}
        projection = stream.projection
        found[head] = BundleStream(
            name=name,
            spec=spec,
            projection=None if projection is None else BundleProjection(projection.kind, projection.fitted_on),
            carried=None,
        )
    tables = {head: one.spec["name"] for head, one in found.items() if is_table(one.spec)}
    if tables and len(tables) < len(found):
        head, name = next(iter(tables.items()))
        raise UsageError(
            f"{run.path} reads {head} from {name}: a new clip has no row in that table; fit on streams that an "
            "encoder makes, or on tables only, whose bundle answers for new tables"
        )
    return found


def _projections(cache: Cache, streams: Mapping[str, BundleStream]) -> dict[str, Projection]:
    found = {}
    for head, one in streams.items():
        stored = cache.streams[one.name].projection
        if stored is not None:
            found[head] = Projection(stored.kind, stored.mean, stored.components, stored.fitted_on)
    return found


def _speaker_prior(run: Run, streams: Collection[str]) -> SpeakerPrior | None:
    """Return the run's prior, of those of its streams that the variant reads."""
    if run.config.speaker_prior is None:
        return None
    assert run.path is not None
    prior = read_speaker_prior(run.path)
    levels = (
        {name: one for name, one in level.items() if name in streams} for level in (prior.utterance, prior.windows)
    )
    utterance, windows = levels
    return replace(prior, utterance=utterance, windows=windows)


def _held_out(run: Run) -> Predictions:
    assert run.path is not None
    split = run.metrics.split
    return read_predictions(run.path / f"predictions_{split}.csv", run.config.vocabulary)


def _calibrate(mean: Predictions, task: Task) -> Calibration:
    """Fit one task's temperature on the ensemble's held-out answers (Guo et al. 2017)."""
    truth = mean.true[task]
    labelled = truth >= 0
    log_p = mean.models[0].task(task)
    assert log_p is not None
    if not labelled.any():
        return Calibration(1.0, mean.split, 0)
    log_p = np.maximum(log_p, LOG_ZERO)
    sharpness = float(fit_weights(log_p[None], truth)[0])
    rows = np.flatnonzero(labelled)
    losses = [
        float(-np.log(np.maximum(sharpened(log_p, each)[rows, truth[rows]], SURE)).mean())
        for each in (1.0, sharpness)
    ]
    return Calibration(sharpness, mean.split, int(labelled.sum()), (losses[0], losses[1]))


def _score(mean: Predictions, calibration: dict[Task, Calibration], target: EvaluationSet) -> SplitScores:
    """Score the bundle's answers on what was held out, for the card."""
    rows = {}
    for task, how in calibration.items():
        log_p = mean.models[0].task(task)
        assert log_p is not None
        rows[task] = np.log(np.maximum(sharpened(np.maximum(log_p, LOG_ZERO), how.sharpness), SURE))
    pairs, leads = mean.models[0].pairs, mean.models[0].sentiment_leads
    models = (registry.Prediction(rows.get("emotion"), rows.get("sentiment"), pairs, leads),)
    return target.score_answers(replace(mean, models=models))


def _with_weights(manifest: BundleManifest, folder: Path, files: Sequence[Path]) -> BundleManifest:
    """Copy weights in, and say so; as safetensors: a .pth is a pickle, so its tensors are written anew."""
    from safetensors.torch import save

    streams = dict(manifest.streams)
    stated = {name: weights for name, one in streams.items() if (weights := one.spec["weights"])}
    for place in files:
        try:
            state, sha256, licence = load_file(place)
        except (OSError, ValueError) as error:
            raise UsageError(f"--with-weights {place}: {error}") from error
        owners = [name for name, weights in stated.items() if weights["sha256"] == sha256]
        if not owners:
            wanted = "; ".join(
                f"{name} {streams[name].spec['name']} {weights['sha256']}" for name, weights in stated.items()
            )
            raise FingerprintMismatchError(
                f"--with-weights {place}: its sha256 is {sha256}, which is of no encoder of this run; "
                f"they have {wanted or 'no weights'}"
            )
        for name in owners:
            spec = streams[name].spec
            entry = find(spec["stream"], spec["name"])
            if entry is not None and entry.folder:
                raise UsageError(
                    f"--with-weights {place}: the {name} encoder {spec['name']} needs its whole folder, which no "
                    "bundle carries; export without, and name the folder to predict: --weights FOLDER"
                )
        (folder / WEIGHTS).mkdir(exist_ok=True)
        for name in owners:
            target = folder / WEIGHTS / f"{name}.safetensors"
            terms = licence or stated[name]["licence"]
            data = save({key: value.contiguous() for key, value in state.items()}, {"licence": terms})
            if place.suffix.lower() == ".safetensors":
                data, found = read_hashed(place)
                if found != sha256:
                    raise UsageError(f"--with-weights {place} changed while it was copied; export again")
            write_bytes(target, data)
            streams[name] = replace(streams[name], carried=CarriedWeights(hashlib.sha256(data).hexdigest()))
    return replace(manifest, streams=streams)


def _onnx(bundle: Bundle, folder: Path, notice: Callable[[str], None]) -> OnnxDocument | None:
    """Write the graph; a variant that does not export is said, and the bundle is written without it."""
    from dualstream.pipeline.bundles.onnx_graph import write_onnx

    try:
        facts, _ = write_onnx(bundle, folder / ONNX)
    except UsageError:
        raise
    except DualstreamError as error:
        (folder / ONNX).unlink(missing_ok=True)
        notice(f"no {ONNX}: {error}")
        return None
    return facts


def _drawn(weights: WeightsDocument) -> bool:
    return str(weights["source"]).startswith("random:")
