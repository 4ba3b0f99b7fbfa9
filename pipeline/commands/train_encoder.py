"""train-encoder: train an encoder under dual heads on the train split's frames or windows, to a weights file."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
from dualstream.features.device import choose_device
from dualstream.features.encoders.frozen import usable_device
from dualstream.features.media import DecodeSettings, MediaError, decoder_version, find_ffmpeg
from dualstream.features.options import given_options
from dualstream.features.trainable import TrainableEncoder, build_trainable, require_trainable
from dualstream.features.weights import WeightsChoice
from dualstream.features.windows import Sampling, WindowPlan
from dualstream.heads.variants.options import TASKS, Task
from dualstream.pipeline.corpus.manifest import Manifest, find_manifest, read_manifest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.encoder_training.document import EncoderDocument, EpochNews, TrainingPlan, TrainReport
from dualstream.pipeline.encoder_training.options import SPLITS, SampleOptions, TrainingRunOptions, TrainOptions
from dualstream.pipeline.encoder_training.samples import SampleRecipe, Samples, missing_files, open_samples
from dualstream.pipeline.errors import DualstreamError, UsageError, resumable
from dualstream.pipeline.options.emit import CommandResult, notice, text_result
from dualstream.pipeline.options.features import TrainEncoderCommand
from dualstream.pipeline.places import require_file_place
from dualstream.pipeline.reporting.encoder_training import describe, epoch_line
from dualstream.pipeline.reporting.progress import Progress
from dualstream.pipeline.storage.folders import make_folder, require_writable
from dualstream.pipeline.storage.lock import locked
from dualstream.pipeline.storage.sealed import publish, remove_leftovers

from dualstream.cores import available_cores, torch_threads
from dualstream.counting import counted

if TYPE_CHECKING:
    import torch
    from dualstream.pipeline.encoder_training.objective import SampleLabels


def run(options: TrainEncoderCommand) -> CommandResult:
    """Do what the command line asks."""
    _refuse_early(options)
    found = train_encoder(
        options.manifest,
        root=options.root,
        out=options.out,
        sampling=options.samples,
        training=options.training,
        run=options.run,
        report=lambda news: notice(epoch_line(news)),
    )
    return text_result(found, describe(found), found.exit_status)


def _refuse_early(options: TrainEncoderCommand) -> None:
    """Refuse what can't be trained before torch is imported, which takes seconds."""
    asked = options.samples
    _labelled(options.manifest, options.root, options.out, options.training)
    require_file_place(options.out)
    require_writable(options.out)
    if options.run.ffmpeg is not None:
        _ffmpeg(options.run)
    try:
        require_trainable(asked.encoder)
        if asked.weights is not None:
            WeightsChoice.parse(asked.weights).require_there()
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error


def train_encoder(
    manifest_path: Path,
    *,
    root: Path,
    out: Path,
    sampling: SampleOptions,
    training: TrainOptions,
    run: TrainingRunOptions,
    report: Callable[[EpochNews], None] = lambda news: None,
    notice: Callable[[str], None] = lambda text: None,
) -> TrainReport:
    """Train an encoder and write its weights to `out`; go on from the checkpoint of a run that was cut short.

    Raises
    ------
    DualstreamError
        And its kinds: a manifest or options that do not fit, another run on the same output (11), a file or a
        checkpoint of another training, a full disk.
    """
    with torch_threads(run.threads or max(1, available_cores() - 1)):
        place = find_manifest(manifest_path, notice)
        return _trained(place, root, out, sampling, training, run, report)


@dataclass(frozen=True, repr=False)
class _Job:
    """Which encoder is trained on which utterances, and how."""

    manifest: Manifest
    utterances: list[Utterance]
    root: Path
    out: Path
    encoder: TrainableEncoder
    recipe: SampleRecipe
    training: TrainOptions
    run: TrainingRunOptions
    device: torch.device

    @property
    def checkpoint(self) -> Path:
        return self.out.with_name(self.out.name + ".checkpoint")

    @property
    def samples(self) -> Path:
        """Folder of the decoded samples."""
        return self.run.samples or self.out.with_name(self.out.name + ".samples")


def _trained(
    manifest_path: Path,
    root: Path,
    out: Path,
    sampling: SampleOptions,
    training: TrainOptions,
    run: TrainingRunOptions,
    report: Callable[[EpochNews], None],
) -> TrainReport:
    from dualstream.pipeline.encoder_training import weights_file

    started_s = time.monotonic()
    job = _job(manifest_path, root, out, sampling, training, run)
    if run.dry_run:
        return _dry_run(job)
    make_folder(out.parent)
    with locked(out.with_name(out.name + ".lock")), resumable():
        for path in (out, job.checkpoint):
            remove_leftovers(out.parent, of=path.name)
        samples = _decoded(job)
        failed = list(samples.failed)
        document = weights_file.training_document(
            job.encoder, training, job.recipe, job.utterances, samples, job.manifest
        )
        if run.replace:
            job.checkpoint.unlink(missing_ok=True)
        elif out.exists():
            identity = weights_file.training_identity(document)
            stands = weights_file.require_same_training(out, document, identity)
            return TrainReport(str(out), False, stands, None, failed, time.monotonic() - started_s)
        document = _fitted(job, samples, document, report)
    return TrainReport(str(out), True, document, None, failed, time.monotonic() - started_s)


def _job(
    manifest_path: Path,
    root: Path,
    out: Path,
    sampling: SampleOptions,
    training: TrainOptions,
    run: TrainingRunOptions,
) -> _Job:
    """Read the manifest and build the encoder; refuse what can't be trained before a clip is read."""
    from dualstream.pipeline.encoder_training.schedule import depths

    manifest, utterances = _labelled(manifest_path, root, out, training)
    try:
        device = usable_device(choose_device(run.device))
        encoder = build_trainable(sampling.encoder, sampling.weights, augment=sampling.augment)
        _refuse_idle(encoder, sampling, training, _tasks_of_train(utterances))
        depths(encoder, training)  # refuses blocks that the encoder lacks
        recipe = _sample_recipe(encoder, sampling, run)
    except (ValueError, OSError) as error:
        raise UsageError(str(error)) from error
    return _Job(manifest, utterances, root, out, encoder, recipe, training, run, device)


def _decoded(job: _Job) -> Samples:
    """Return the samples of all clips, those that are there already from the folder of samples.

    Raises
    ------
    UsageError
        Where no clip gave one.
    """
    workers = job.run.workers or available_cores()
    with Progress(missing_files(job.samples, job.utterances, job.recipe, job.root)) as progress:
        samples = open_samples(
            job.samples,
            job.utterances,
            job.recipe,
            job.root,
            workers=workers,
            keep_going=job.run.keep_going,
            on_clip=lambda failed, count: progress.advance(failed=failed, frames=count),
        )
    if not len(samples):
        name, reason = samples.failed[0]
        raise UsageError(
            f"none of the {counted(len(job.utterances), 'clip')} under {job.root} gave {job.encoder.name} a "
            f"sample; the first, {name}: {reason}"
        )
    return samples


def _fitted(
    job: _Job, samples: Samples, document: EncoderDocument, report: Callable[[EpochNews], None]
) -> EncoderDocument:
    """Train, publish the weights, and return the document with what training gave."""
    import torch
    from dualstream.pipeline.encoder_training import weights_file
    from dualstream.pipeline.encoder_training.end_to_end import answers_note
    from dualstream.pipeline.encoder_training.engine import EncoderTraining

    identity = weights_file.training_identity(document)
    labels = _labels(job.utterances, job.manifest)
    engine = EncoderTraining(
        job.encoder,
        samples,
        labels,
        job.training,
        device=job.device,
        identity=identity,
        checkpoint=job.checkpoint,
        checkpoint_s=job.run.checkpoint_s,
        report=report,
    )
    history = engine.run()
    at, answers = engine.predict(labels.dev)
    owners = engine.objective.owners
    document = replace(
        document,
        history=tuple(history),
        best_epoch=engine.best_epoch,
        stopped=engine.progress.stopped or "epochs",
        scores=weights_file.dev_scores(at, answers, labels, job.utterances, job.manifest, owners),
        licence=weights_file.licence_words(job.encoder, job.run.licence),
        environment={"torch": torch.__version__, "threads": torch.get_num_threads(), "device": job.device.type},
    )
    note = answers_note(job.utterances, samples.sha256, at)
    packed = weights_file.pack_weights(engine.state(), document, identity, answers if len(at) else {}, note)
    publish(job.out, packed)
    job.checkpoint.unlink(missing_ok=True)
    return document


def _labelled(
    manifest_path: Path, root: Path, out: Path, training: TrainOptions
) -> tuple[Manifest, list[Utterance]]:
    """Return the manifest, and its utterances that are trained and stopped on."""
    if out.suffix != ".safetensors":
        raise UsageError(f"--out is {out}; expected a name that ends in .safetensors, which extract reads")
    manifest = read_manifest(manifest_path)
    if not root.is_dir():
        raise UsageError(f"--root {root} is not a directory; give the folder that the manifest's paths start from")
    utterances = [one for one in manifest if one.split in SPLITS and (one.emotion or one.sentiment)]
    _require_splits(utterances, training)
    return manifest, utterances


def _require_splits(utterances: Sequence[Utterance], training: TrainOptions) -> None:
    sizes = {split: sum(one.split == split for one in utterances) for split in SPLITS}
    if not sizes["train"]:
        raise UsageError(
            "the manifest has no labelled utterance in the train split; there is nothing to learn from"
        )
    if not sizes["dev"] and training.patience > 0:
        raise UsageError(
            "the manifest has no labelled utterance in the dev split, which says when to stop; make one "
            "(manifest --dev-speakers), or use --patience 0 to train all epochs unwatched"
        )


def _ffmpeg(run: TrainingRunOptions) -> str:
    """Return the ffmpeg to use; where the one that is named is none, the words of the command are at fault."""
    try:
        return find_ffmpeg(str(run.ffmpeg) if run.ffmpeg else None)
    except MediaError as error:
        raise (DualstreamError if run.ffmpeg is None else UsageError)(str(error)) from error


def _refuse_idle(
    one: TrainableEncoder, sampling: SampleOptions, training: TrainOptions, tasks: Sequence[Task]
) -> None:
    """Refuse options that shape nothing here.

    Those of pictures for an encoder of sound, of sound for one of pictures, of blocks where none is unfrozen, and
    of the balance of tasks where another is chosen or train has labels of one task.
    """
    names, lacks = (("fit", "sampling"), "pictures") if one.stream == "audio" else (("channels",), "sound")
    depths_of = () if training.unfreeze else ("unfreeze_every", "depth_rate")
    alone = ("task_balance", "sentiment_weight") if len(tasks) < 2 else ()
    weight = () if training.task_balance == TrainOptions.task_balance else ("sentiment_weight",)
    for options, idle, why in (
        (sampling, names, f"{one.name} reads no {lacks}"),
        (training, depths_of, "no block is unfrozen"),
        (training, alone, f"train has labels of {' and '.join(tasks)} only"),
        (training, weight, f"the balance of the tasks is {training.task_balance}"),
    ):
        if given := given_options(options, idle):
            raise ValueError(f"{given[0]} shapes nothing here, since {why}: leave it out")


def _tasks_of_train(utterances: Sequence[Utterance]) -> list[Task]:
    train = [one for one in utterances if one.split == "train"]
    return [task for task in TASKS if any(getattr(one, task) for one in train)]


def _sample_recipe(one: TrainableEncoder, sampling: SampleOptions, run: TrainingRunOptions) -> SampleRecipe:
    try:
        ffmpeg = _ffmpeg(run)
        version = decoder_version(ffmpeg)
    except MediaError as error:
        raise DualstreamError(str(error)) from error
    return SampleRecipe(
        decode=DecodeSettings(
            frame_size_px=one.decode["frame_size_px"],
            sample_rate_hz=one.decode["sample_rate_hz"],
            fit=sampling.fit,
            channels=sampling.channels,
            max_clip_s=sampling.max_clip_s,
        ),
        windows=WindowPlan(sampling.window_s, sampling.hop_s),
        sampling=Sampling.parse(sampling.sampling),
        cut=one.cut,
        cut_parameters=one.cut_parameters,
        decoder=version,
        ffmpeg=ffmpeg,
    )


def _labels(utterances: Sequence[Utterance], manifest: Manifest) -> SampleLabels:
    from dualstream.pipeline.encoder_training.objective import SampleLabels

    emotions = {name: code for code, name in enumerate(manifest.emotions)}
    sentiments = {name: code for code, name in enumerate(manifest.sentiments)}
    return SampleLabels(
        emotion=np.array([emotions.get(one.emotion, -1) for one in utterances], np.int64),
        sentiment=np.array([sentiments.get(one.sentiment, -1) for one in utterances], np.int64),
        classes={"emotion": len(emotions), "sentiment": len(sentiments)},
        train=np.array([one.split == "train" for one in utterances]),
        dev=np.array([one.split == "dev" for one in utterances]),
    )


def _dry_run(job: _Job) -> TrainReport:
    from dualstream.pipeline.encoder_training.schedule import depths

    trained = depths(job.encoder, job.training)
    sizes = {name: array.numel() for name, array in job.encoder.net.named_parameters()}
    plan = TrainingPlan(
        encoder=job.encoder.name,
        utterances=len(job.utterances),
        to_decode=missing_files(job.samples, job.utterances, job.recipe, job.root),
        parameters=sum(sizes.values()),
        trained_parameters=sum(sizes[name] for name in trained),
    )
    return TrainReport(str(job.out), trained=False, plan=plan)
