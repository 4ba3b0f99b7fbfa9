"""dualstream's command line: words to options. Each command imports its step when it runs."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from dualstream.pipeline.options.command import App, commands_of, emit, notice
from dualstream.pipeline.options.options import (
    AnsweringWords,
    CacheArgument,
    ChannelsOption,
    DeviceOption,
    FfmpegOption,
    FitOption,
    FitWords,
    FoldsOption,
    HopOption,
    JsonOption,
    KeepGoingOption,
    ManifestArgument,
    RefitWords,
    ReplaceOption,
    ReportOption,
    RootOption,
    RunArgument,
    SamplingOption,
    ScoredOption,
    SpeakerNormOption,
    StreamsOption,
    TorchThreadsOption,
    TrainThreadsOption,
    WindowOption,
    WorkersOption,
)
from dualstream.pipeline.options.train_encoder import TrainWords
from dualstream.pipeline.reporting.heartbeat import Heartbeat

app = App(
    name="dualstream",
    help="Clips of people talking into emotion and sentiment: extract features once, fit heads in seconds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

command = commands_of(app, during=lambda name: Heartbeat(lambda: f"{name}: at work"))


# Stage 1: media to cache.


@command("manifest")
def manifest(
    corpus: Annotated[
        str,
        typer.Argument(
            help="meld, ravdess, emodb, cremad, iemocap, mosei, tess, or folder (one folder per class)."
        ),
    ],
    root: Annotated[Path, typer.Argument(help="The folder that holds the corpus.")],
    out: Annotated[Path, typer.Option("--out", help="The manifest to write.")] = Path("data_manifest.csv"),
    dev_speakers: Annotated[
        str,
        typer.Option(
            "--dev-speakers", help="Speakers of the dev split, such as 13,14; for corpora without splits."
        ),
    ] = "",
    test_speakers: Annotated[
        str, typer.Option("--test-speakers", help="Speakers of the test split, likewise.")
    ] = "",
    drop: Annotated[str, typer.Option("--drop", help="Emotions to leave out, such as calm.")] = "",
    sentiment: Annotated[
        str,
        typer.Option(
            "--sentiment",
            help="Where a corpus labels emotions alone: from-emotion (joy and excitement are positive; neutral, "
            "surprise and calm neutral; anger, disgust, fear, sadness, boredom, frustration and contempt "
            "negative; others none) or none.",
        ),
    ] = "from-emotion",
    replace: Annotated[bool, typer.Option("--replace", help="Write over a manifest that differs.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be written.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Make the manifest of a corpus: one row per utterance; what is left out is counted and listed.

    A folder's video and sound of one name (a.mp4, a.wav) are one utterance, with a column sound.
    """
    from dualstream.pipeline.commands import manifest as step

    options = step.ManifestOptions(
        dev_speakers=step.names(dev_speakers),
        test_speakers=step.names(test_speakers),
        drop=step.names(drop),
        sentiment=step.sentiment_rule(sentiment),
    )
    document = step.main(corpus, root, out, options, replace=replace, dry_run=dry_run)
    emit(document, as_json, lambda: print(step.describe(document)))


@command("check")
def check(
    manifest: ManifestArgument,
    root: Annotated[
        Path | None, typer.Option("--root", help="The folder that the manifest's paths start from.")
    ] = None,
    media: Annotated[
        bool, typer.Option("--media/--no-media", help="Open the clips, or judge the table alone.")
    ] = True,
    sound: Annotated[
        bool, typer.Option("--sound/--no-sound", help="Decode the sound, to find silent and clipped clips.")
    ] = True,
    strict: Annotated[
        bool, typer.Option("--strict", help="End with status 1 where anything is an error.")
    ] = False,
    workers: Annotated[int, typer.Option("--workers", min=1, help="Clips looked at side by side.")] = 2,
    ffmpeg: Annotated[str | None, typer.Option("--ffmpeg", help="The ffmpeg to run.")] = None,
    as_json: JsonOption = False,
) -> int:
    """Examine a corpus, the data doctor: what is wrong with it, and what that means for the results."""
    from dualstream.pipeline.commands import check as step

    options = step.CheckOptions(media=media, sound=sound, strict=strict, workers=workers, ffmpeg=ffmpeg)
    checkup = step.main(manifest, root, options)
    emit(checkup.document, as_json, lambda: step.show(checkup.document, checkup.findings))
    return checkup.exit_status


@command("extract")
def extract(
    manifest_path: ManifestArgument,
    root: RootOption = Path("."),
    out: Annotated[Path, typer.Option("--out", help="The cache to make.")] = Path("cache.h5"),
    video: Annotated[
        list[str],
        typer.Option(
            "--video", help="vgg16, cnn5, torchvision:NAME, table:FILE or none; repeat for more streams."
        ),
    ] = ["vgg16"],  # noqa: B006
    audio: Annotated[
        list[str],
        typer.Option(
            "--audio", help="acoustic, acoustic:emodb, bilstm, table:FILE or none; repeat for more streams."
        ),
    ] = ["acoustic"],  # noqa: B006
    video_weights: Annotated[
        list[str] | None,
        typer.Option(
            "--video-weights", help="imagenet, random:SEED or a file; once for each encoder that has weights."
        ),
    ] = None,
    audio_weights: Annotated[list[str] | None, typer.Option("--audio-weights", help="Likewise.")] = None,
    window: WindowOption = 1.0,
    hop: HopOption = 0.5,
    sampling: SamplingOption = "aligned",
    fit: FitOption = "stretch",
    channels: ChannelsOption = "auto",
    decode: Annotated[
        str,
        typer.Option(
            "--decode", help="exact; or fast: no loop filter, reference frames alone, a third less time."
        ),
    ] = "exact",
    max_clip_s: Annotated[
        float, typer.Option("--max-clip-s", help="Only this much of a clip is read, seconds.")
    ] = 120.0,
    projection: Annotated[
        str | None,
        typer.Option(
            "--projection",
            help="auto: PCA fitted on train and turned, or a random Gaussian one where train has too few rows; "
            "pca-turned; pca: components as they are, which heads whiten; gaussian; none. Default: auto, or as in "
            "the cache that is there.",
        ),
    ] = None,
    device: DeviceOption = "auto",
    precision: Annotated[str, typer.Option("--precision", help="fp32 or bf16.")] = "fp32",
    threads: TorchThreadsOption = None,
    workers: WorkersOption = 0,
    executor: Annotated[str, typer.Option("--executor", help="local, or ray: a shard for each task.")] = "local",
    shard_size: Annotated[
        int,
        typer.Option("--shard-size", min=1, max=256, help="Clips in a shard: what a killed run loses at most."),
    ] = 32,
    limit: Annotated[int | None, typer.Option("--limit", min=1, help="The first so many clips alone.")] = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Put the new cache in the place of one made in another way.")
    ] = False,
    verify_clips: Annotated[
        bool,
        typer.Option("--verify-clips", help="Read all clips and shards again to see whether their bytes changed."),
    ] = False,
    retry_failed: Annotated[bool, typer.Option("--retry-failed", help="Try failed clips again.")] = False,
    keep_going: KeepGoingOption = False,
    ffmpeg: FfmpegOption = None,
    dry_run: Annotated[
        bool, typer.Option("--dry-run", help="Say what would be made and how long it takes; write nothing.")
    ] = False,
    as_json: JsonOption = False,
) -> int:
    """Make a cache: decode clips, encode windows of video and audio, project, seal. Goes on where it stopped."""
    from dualstream.pipeline.commands import extract as step
    from dualstream.pipeline.extraction import request
    from dualstream.pipeline.reporting.extraction import describe

    options = request.checked_options(
        video=tuple(video),
        audio=tuple(audio),
        video_weights=tuple(video_weights or ()),
        audio_weights=tuple(audio_weights or ()),
        window_s=window,
        hop_s=hop,
        sampling=sampling,
        fit=fit,
        channels=channels,
        decode=decode,
        max_clip_s=max_clip_s,
        device=device,
        precision=precision,
        ffmpeg=ffmpeg,
        threads=threads,
    )
    run = request.checked_run(
        workers=workers,
        executor=executor,
        shard_size=shard_size,
        projection=projection,
        replace=replace,
        verify_clips=verify_clips,
        retry_failed=retry_failed,
        keep_going=keep_going,
        limit=limit,
        dry_run=dry_run,
    )
    report = step.extract(manifest_path, root=root, out=out, options=options, run=run, notice=notice)
    emit(report.to_json(), as_json, lambda: print(describe(report)))
    return report.exit_status


@command("project")
def project(
    cache: CacheArgument,
    out: Annotated[Path | None, typer.Option("--out", help="Another cache to write; default: in place.")] = None,
    kind: Annotated[
        str | None,
        typer.Option(
            "--kind",
            help="auto, pca-turned, pca, gaussian or none (`extract --help` says what they are); default: as the "
            "cache was made, its principal components turned unless it was made with pca by name.",
        ),
    ] = None,
    width: Annotated[int | None, typer.Option("--width", min=1, help="Columns after projection.")] = None,
    stream: Annotated[
        list[str] | None, typer.Option("--stream", help="Streams that get --width; default: all that have more.")
    ] = None,
    seed: Annotated[
        int, typer.Option("--seed", min=0, help="Of the rotation, and of the Gaussian projection.")
    ] = 0,
    shards: Annotated[
        Path | None, typer.Option("--shards", help="Folder of the shards, if not beside the cache.")
    ] = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done; write nothing.")] = False,
    as_json: JsonOption = False,
) -> None:
    """Fit the projection again, from the shards: another width or kind without touching a clip."""
    from dualstream.pipeline.commands import project as step

    options = step.checked_options(
        kind=kind, width=width, streams=tuple(stream or ()), seed=seed, shards=shards, dry_run=dry_run
    )
    document = step.project(cache, out=out, options=options, notice=notice)
    emit(document, as_json, lambda: print(step.describe(document)))


@command("inspect")
def inspect(
    cache: CacheArgument,
    verify: Annotated[
        bool, typer.Option("--verify", help="Check the recipe, the rows and the shards too; 13 where damaged.")
    ] = False,
    as_json: JsonOption = False,
) -> None:
    """Say what a cache holds, how it was made, what is masked, what looks unhealthy, and how labels fall."""
    from dualstream.pipeline.commands import inspect as step

    document = step.inspect(cache, verify=verify)
    emit(document, as_json, lambda: print(step.describe(document)))


@command("train-encoder")
def train_encoder(
    manifest_path: ManifestArgument,
    *,
    encoder: Annotated[str, typer.Option("--encoder", help="cnn5, vgg16 or bilstm.")],
    root: RootOption = Path("."),
    out: Annotated[Path, typer.Option("--out", help="The weights file to write, .safetensors.")] = Path(
        "weights.safetensors"
    ),
    weights: Annotated[
        str | None,
        typer.Option(
            "--weights",
            help="What to begin with: random:SEED, imagenet (vgg16) or a file. Default: random:0, or imagenet.",
        ),
    ] = None,
    training: TrainWords,
    augment: Annotated[
        bool, typer.Option("--augment/--no-augment", help="Flip, crop and recolour faces; mask sound.")
    ] = True,
    window: WindowOption = 1.0,
    hop: HopOption = 0.5,
    sampling: SamplingOption = "aligned",
    fit: FitOption = "stretch",
    channels: ChannelsOption = "auto",
    samples: Annotated[
        Path | None, typer.Option("--samples", help="Folder of the decoded samples; default: OUT.samples.")
    ] = None,
    licence: Annotated[str, typer.Option("--licence", help="Of the weights; stands in the file.")] = "",
    device: DeviceOption = "auto",
    threads: TrainThreadsOption = None,
    workers: WorkersOption = 0,
    keep_going: KeepGoingOption = False,
    ffmpeg: FfmpegOption = None,
    replace: Annotated[
        bool, typer.Option("--replace", help="Train anew, in the place of what is there and of its checkpoint.")
    ] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be trained; write nothing.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Train an encoder on a corpus, for extract to use frozen. Goes on from its checkpoint where it was killed."""
    from dualstream.pipeline.commands import train_encoder as step

    options = step.SampleOptions(
        encoder=encoder, weights=weights, augment=augment, window_s=window, hop_s=hop, sampling=sampling,
        fit=fit, channels=channels,  # type: ignore[arg-type]
    )  # fmt: skip
    run = step.RunOptions(
        device=device, threads=threads, workers=workers, samples=samples, licence=licence, ffmpeg=ffmpeg,
        replace=replace, dry_run=dry_run, keep_going=keep_going,
    )  # fmt: skip
    found = step.train_encoder(
        manifest_path, root=root, out=out, sampling=options, training=training, run=run,
        report=lambda record: notice(step.epoch_line(record)),
    )  # fmt: skip
    emit(found.to_json(), as_json, lambda: print(step.describe(found)))
    return found.exit_status


# Stage 2: cache to decisions.


@command("fit-head")
def fit_head(
    cache: CacheArgument,
    *,
    fusion: Annotated[
        str,
        typer.Option(
            "--fusion", help="The variant to fit, such as concat_norm or auto: docs/heads.md tells them apart."
        ),
    ],
    out: Annotated[Path | None, typer.Option("--out", help="The run folder; default runs/FUSION.")] = None,
    folds: FoldsOption = None,
    streams: StreamsOption = "",
    speaker_norm: SpeakerNormOption = False,
    scored: ScoredOption = "all",
    answering: AnsweringWords,
    fit: FitWords,
    tensorboard: Annotated[Path | None, typer.Option("--tensorboard", help="Folder for event files.")] = None,
    report: ReportOption = True,
    replace: ReplaceOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Fit an emotion and a sentiment head on train, over several seeds, and score them on dev."""
    from dualstream.pipeline import experiments
    from dualstream.pipeline.commands import fit_head as step
    from dualstream.pipeline.options import parse
    from dualstream.pipeline.reporting import terminal

    options = step.FitHeadOptions(
        folds=folds, streams=parse.streams(streams), speaker_norm=speaker_norm, replace=replace, report=report,
        tensorboard=tensorboard, answering=answering, scored=scored,
    )  # fmt: skip
    place = out or Path("runs") / experiments.folder_name(fusion)
    if dry_run:
        planned = step.describe(cache, fusion, place, fit=fit, options=options)
        emit(planned, as_json, lambda: terminal.print_plan(planned))
        return 0
    with terminal.ProgressLine() as line:

        def show(run: Any) -> None:
            line.stop()
            if not as_json:
                terminal.print_run(run)

        run = step.fit_head(cache, fusion, place, fit=fit, options=options, progress=line, scored=show)
    emit(step.document(run), as_json, lambda: terminal.print_written(run))
    return 130 if run.config.interrupted else 0


@command("compare")
def compare(
    cache: CacheArgument,
    *,
    fusions: Annotated[
        str,
        typer.Option("--fusions", help="Variants by name, comma-separated, or all; single streams come along."),
    ] = "all",
    out: Annotated[Path, typer.Option("--out", help="Folder for compare.json, page and figures.")] = Path(
        "runs/compare"
    ),
    folds: FoldsOption = None,
    streams: StreamsOption = "",
    speaker_norm: SpeakerNormOption = False,
    scored: ScoredOption = "all",
    answering: AnsweringWords,
    end_to_end: Annotated[
        list[Path] | None,
        typer.Option(
            "--end-to-end",
            help="A weights file of train-encoder: its own heads' answers for dev are a row; repeat for more.",
        ),
    ] = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers",
            min=1,
            help="Variants fitted at a time, in processes of their own; default: one a core where train is large.",
        ),
    ] = None,
    fit: FitWords,
    report: ReportOption = True,
    replace: ReplaceOption = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be fitted; write nothing.")] = False,
    as_json: JsonOption = False,
) -> int:
    """Fit every variant on the same utterances: one table, paired tests against the best single stream, time."""
    from dualstream.pipeline.commands import compare as step
    from dualstream.pipeline.options import parse
    from dualstream.pipeline.reporting import terminal

    options = step.CompareOptions(
        fusions=None if fusions.strip() == "all" else parse.names(fusions), folds=folds,
        streams=parse.streams(streams), speaker_norm=speaker_norm, replace=replace, report=report,
        answering=answering, workers=workers, end_to_end=tuple(end_to_end or ()), scored=scored,
    )  # fmt: skip
    if dry_run:
        planned = step.describe(cache, out, fit=fit, options=options)
        emit(planned, as_json, lambda: terminal.print_comparison_plan(planned))
        return 0
    with terminal.ProgressLine() as line:
        found = step.compare(cache, out, fit=fit, options=options, progress=line)
    emit(found, as_json, lambda: terminal.print_comparison(found, out))
    if found.interrupted:
        return 130
    return 3 if step.failed_rows(found) else 0


@command("evaluate")
def evaluate(
    run: RunArgument,
    split: Annotated[str, typer.Option("--split", help="The split to score; test is logged.")] = "test",
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Another cache than the one that the run was fitted on.")
    ] = None,
    streams: StreamsOption = "",
    scored: Annotated[
        str | None,
        typer.Option("--scored", help="all or present, as fit-head has it; default: as in the run."),
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Score a run on the test split, and write down that it was looked at."""
    from dualstream.pipeline.commands import evaluate as step
    from dualstream.pipeline.options import parse
    from dualstream.pipeline.reporting import terminal

    def done(found: Any) -> None:
        if as_json and found.times_before:
            print(terminal.test_times_words(found), file=sys.stderr)
        emit(found, as_json, lambda: terminal.print_evaluation(found))

    step.evaluate(run, split=split, cache=cache, streams=parse.streams(streams) or None, scored=scored, done=done)
    return 0


@command("report")
def report(
    run: Annotated[list[Path], typer.Argument(help="Run folders, or a folder that compare made.")],
    out: Annotated[
        Path | None, typer.Option("--out", help="Folder to write into; default: the run's own.")
    ] = None,
    as_json: JsonOption = False,
) -> int:
    """Draw one self-contained page, and the figures as PNG."""
    from dualstream.pipeline.commands import report as step

    written = [str(path) for path in step.report(run, out=out)]
    emit({"report": written[0], "figures": written[1:]}, as_json, lambda: print("\n".join(written)))
    return 0


@command("diagnose")
def diagnose(
    cache: CacheArgument,
    *,
    fusion: Annotated[str, typer.Option("--fusion", help="The variant that fails.")] = "concat",
    against: Annotated[
        Path | None,
        typer.Option("--against", help="Another cache of the same clips: its gain is measured too."),
    ] = None,
    task: Annotated[
        str | None, typer.Option("--task", help="emotion or sentiment; default: the first that has labels.")
    ] = None,
    folds: Annotated[int, typer.Option("--folds", min=3, help="Folds over dialogues of train and dev.")] = 4,
    max_shift: Annotated[
        float, typer.Option("--max-shift", min=0.0, help="Largest shift between the streams, seconds.")
    ] = 2.0,
    streams: StreamsOption = "",
    speaker_norm: SpeakerNormOption = False,
    scored: ScoredOption = "all",
    fit: RefitWords,
    out: Annotated[Path, typer.Option("--out", help="Folder for diagnosis.json, page and figures.")] = Path(
        "runs/diagnosis"
    ),
    as_json: JsonOption = False,
) -> int:
    """Say why joining the streams fails, with evidence, and what mends it."""
    from dualstream.heads.diagnosis.evidence import DiagnosisOptions
    from dualstream.heads.variants.registry import TASKS
    from dualstream.pipeline.commands import diagnose as step
    from dualstream.pipeline.errors import one_of
    from dualstream.pipeline.options import parse
    from dualstream.pipeline.reporting import diagnosis, terminal

    wanted = task or TASKS[0]
    one_of("task", wanted, TASKS)
    options = step.DiagnoseOptions(
        diagnosis=DiagnosisOptions(fusion=fusion, task=wanted, folds=folds, fit=fit, max_shift_s=max_shift),  # type: ignore[arg-type]
        any_task=task is None,
        streams=parse.streams(streams),
        speaker_norm=speaker_norm,
        scored=scored,
        against=against,
    )
    with terminal.ProgressLine() as line:
        found = step.diagnose(cache, out, options, lambda what: line({"variant": what}))
    emit(found, as_json, lambda: diagnosis.print_diagnosis(found, str(out / "report.html")))
    return 0


@command("export")
def export(
    run: RunArgument,
    out: Annotated[Path, typer.Option("--out", help="The bundle to make, a folder.")],
    onnx: Annotated[
        bool, typer.Option("--onnx", help="The heads as ONNX too, checked against them to 1e-5.")
    ] = False,
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Where the run's cache is now, if it was moved.")
    ] = None,
    with_weights: Annotated[
        list[Path] | None,
        typer.Option("--with-weights", help="A file of encoder weights to copy in; repeat for more."),
    ] = None,
    replace: ReplaceOption = False,
    as_json: JsonOption = False,
) -> int:
    """Make a bundle of a run: heads, calibration, projections and recipe, all that `predict` needs."""
    from dualstream.pipeline.commands import export as step

    options = step.ExportOptions(cache=cache, with_weights=tuple(with_weights or ()), onnx=onnx, replace=replace)
    found = step.export(run, out, options, notice=notice)
    emit(found, as_json, lambda: print(step.describe(found)))
    return 0


@command("predict")
def predict(
    bundle: Annotated[Path, typer.Argument(help="A bundle that export made.")],
    files: Annotated[
        list[Path],
        typer.Argument(
            help="Clips, folders (a.mp4 and a.wav there are one clip), manifests (.csv), recordings; -- before "
            "leading dashes."
        ),
    ],
    root: Annotated[
        Path | None,
        typer.Option("--root", help="The folder that a manifest's paths start from; default: its own."),
    ] = None,
    segments: Annotated[
        str | None, typer.Option("--segments", help="Cut recordings: silence, or a length in seconds.")
    ] = None,
    timeline: Annotated[
        float | None,
        typer.Option("--timeline", help="Answer along each clip too, for stretches of so many seconds."),
    ] = None,
    csv: Annotated[Path | None, typer.Option("--csv", help="Write a table, a row an utterance.")] = None,
    page: Annotated[
        Path | None, typer.Option("--page", help="Write one HTML page: thumbnails and timelines.")
    ] = None,
    weights: Annotated[
        list[Path] | None,
        typer.Option("--weights", help="A file of encoder weights that the bundle does not carry; repeatable."),
    ] = None,
    device: DeviceOption = "auto",
    workers: Annotated[int, typer.Option("--workers", min=1, help="Clips decoded side by side.")] = 2,
    ffmpeg: FfmpegOption = None,
    replace: ReplaceOption = False,
    as_json: JsonOption = False,
) -> int:
    """Say emotion and sentiment of clips, with calibrated probabilities; every file has an answer or a reason."""
    from dualstream.pipeline.commands import predict as step
    from dualstream.pipeline.reporting.prediction_report import show

    options = step.PredictOptions(
        root=root, segments=segments, timeline_s=timeline, csv=csv, page=page, replace=replace,
        weights=tuple(weights or ()), device=device, ffmpeg=ffmpeg, workers=workers,
    )  # fmt: skip
    found = step.predict(bundle, files, options, notice=notice)
    emit(found, as_json, lambda: show(found))
    return step.exit_status(found)


@command("demo")
def demo(
    out: Annotated[Path, typer.Option("--out", help="The folder to make the corpus and its results in.")] = Path(
        "demo"
    ),
    dialogues: Annotated[int, typer.Option("--dialogues", help="Dialogues of seven clips each, 9 or more.")] = 30,
    seed: Annotated[int, typer.Option("--seed", help="Of all that is drawn.")] = 0,
    workers: Annotated[int, typer.Option("--workers", help="Clips drawn side by side.")] = 2,
) -> None:
    """Do the whole job on a small synthetic corpus that is made on the spot."""
    from dualstream.pipeline.commands import demo as step

    def say(line: str) -> None:
        print(line, flush=True)

    report = step.main(out, step.DemoOptions(dialogues=dialogues, seed=seed, workers=workers), say)
    print(f"\nDone. Open {report}")
