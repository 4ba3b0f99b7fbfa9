"""dualstream's command line: words to options. Each command imports its step when it runs."""

from __future__ import annotations

import functools
import json
import os
import signal
import sys
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn, TypeVar

import typer

if TYPE_CHECKING:
    pass

app = typer.Typer(
    name="dualstream",
    help="Clips of people talking into emotion and sentiment: extract features once, fit heads in seconds.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

F = TypeVar("F", bound=Callable[..., Any])


def command(name: str) -> Callable[[F], F]:
    """Register a command whose failures become one line on standard error and an exit status."""

    def add(function: F) -> F:
        @functools.wraps(function)
        def guarded(*args: Any, **kwargs: Any) -> None:
            from pipeline.errors import DualstreamError

            signal.signal(signal.SIGTERM, _raise_interrupt)
            try:
                status = function(*args, **kwargs)
            except DualstreamError as error:
                _fail(error, error.exit_status)
            except KeyboardInterrupt:
                print("interrupted", file=sys.stderr)
                raise typer.Exit(130) from None
            except BrokenPipeError:
                os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
                raise typer.Exit(1) from None
            except (OSError, ValueError) as error:
                if os.environ.get("DUALSTREAM_TRACEBACK"):
                    raise
                _fail(error, 1)
            raise typer.Exit(status or 0)

        app.command(name)(guarded)
        return function

    return add


def emit(document: Any, as_json: bool, render: Callable[[], None]) -> None:
    """Print one JSON document on standard output, or let `render` print for a person."""
    if as_json:
        print(json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False))
    else:
        render()


def _raise_interrupt(signum: int, frame: Any) -> NoReturn:
    raise KeyboardInterrupt


def _fail(error: BaseException, status: int) -> NoReturn:
    lines = [f"error: {error}", *getattr(error, "__notes__", [])]
    print("\n".join(lines), file=sys.stderr)
    raise typer.Exit(status) from error


JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
ManifestArgument = Annotated[Path, typer.Argument(help="The manifest, such as data_manifest.csv.")]
CacheArgument = Annotated[Path, typer.Argument(help="The cache that extract made, such as cache.h5.")]
RootOption = Annotated[Path, typer.Option("--root", help="The folder that the manifest's paths start from.")]


# Stage 1: media to cache.


@command("manifest")
def manifest(
    corpus: Annotated[
        str,
        typer.Argument(help="meld, ravdess, emodb, cremad, iemocap, tess, or folder (one folder per class)."),
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
    """Make the manifest of a corpus: one row per utterance."""
    from pipeline.steps import manifest as step

    options = step.ManifestOptions(
        dev_speakers=step.names(dev_speakers),
        test_speakers=step.names(test_speakers),
        drop=step.names(drop),
        sentiment=step.sentiment_rule(sentiment),
    )
    document = step.main(corpus, root, out, options, replace=replace, dry_run=dry_run)
    emit(document, as_json, lambda: print(step.describe(document)))


# Stage 2: cache to decisions.

StreamsOption = Annotated[
    str, typer.Option("--streams", help="Streams to join: video=NAME,audio=NAME; default: those of that name.")
]
FoldsOption = Annotated[
    str | None,
    typer.Option("--folds", help="Cross-validate in place of dev: speaker, dialogue, speaker:4, or a number."),
]
SpeakerNormOption = Annotated[
    bool,
    typer.Option("--speaker-norm", help="Normalise each speaker by its own unlabelled utterances (transductive)."),
]
SeedsOption = Annotated[int, typer.Option("--seeds", min=1, help="Models a variant, one a seed.")]
TasksOption = Annotated[
    str | None, typer.Option("--tasks", help="emotion,sentiment (the default) or one of them.")
]
LossOption = Annotated[
    str | None,
    typer.Option("--loss", help="cross_entropy, weighted, focal, logit_adjusted or balanced_softmax."),
]
ResampleOption = Annotated[
    bool | None, typer.Option("--resample/--no-resample", help="Draw classes equally often in training.")
]
TaskBalanceOption = Annotated[str | None, typer.Option("--task-balance", help="fixed, uncertainty or surgery.")]
SentimentWeightOption = Annotated[
    float | None, typer.Option("--sentiment-weight", min=0.0, help="Weight of the sentiment loss where fixed.")
]
ModalityDropoutOption = Annotated[
    float | None,
    typer.Option("--modality-dropout", min=0.0, max=1.0, help="Chance that a stream is hidden in training."),
]
EpochsOption = Annotated[int | None, typer.Option("--epochs", min=1, help="Epochs at most.")]
PatienceOption = Annotated[
    int | None,
    typer.Option("--patience", min=0, help="Epochs without a better dev score; 0: dev is not looked at."),
]
LearningRateOption = Annotated[float | None, typer.Option("--learning-rate", min=0.0)]
WeightDecayOption = Annotated[float | None, typer.Option("--weight-decay", min=0.0)]
BatchSizeOption = Annotated[int | None, typer.Option("--batch-size", min=1)]
HiddenOption = Annotated[int | None, typer.Option("--hidden", min=1, help="Width of the shared representation.")]
DropoutOption = Annotated[float | None, typer.Option("--dropout", min=0.0, max=1.0)]
PenaltyOption = Annotated[
    float | None,
    typer.Option("--penalty", min=0.0, help="L2 penalty of linear variants; default: chosen in train."),
]
MaxWindowsOption = Annotated[
    int | None, typer.Option("--max-windows", min=1, help="Windows of an utterance that sequence variants see.")
]
ThreadsOption = Annotated[int | None, typer.Option("--threads", min=1, help="Threads of a fit.")]
SetOption = Annotated[
    list[str] | None, typer.Option("--set", help="A setting of the variant: key=value, repeatable.")
]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Write over what is there.")]
DryRunOption = Annotated[bool, typer.Option("--dry-run", help="Say what would be done.")]


@command("fit-head")
def fit_head(
    cache: CacheArgument,
    fusion: Annotated[str, typer.Option("--fusion", help="The variant to fit.")],
    seeds: SeedsOption = 5,
    out: Annotated[Path | None, typer.Option("--out", help="The run folder; default runs/FUSION.")] = None,
    folds: FoldsOption = None,
    streams: StreamsOption = "",
    speaker_norm: SpeakerNormOption = False,
    tasks: TasksOption = None,
    loss: LossOption = None,
    resample: ResampleOption = None,
    task_balance: TaskBalanceOption = None,
    sentiment_weight: SentimentWeightOption = None,
    modality_dropout: ModalityDropoutOption = None,
    epochs: EpochsOption = None,
    patience: PatienceOption = None,
    learning_rate: LearningRateOption = None,
    weight_decay: WeightDecayOption = None,
    batch_size: BatchSizeOption = None,
    hidden: HiddenOption = None,
    dropout: DropoutOption = None,
    penalty: PenaltyOption = None,
    max_windows: MaxWindowsOption = None,
    threads: ThreadsOption = None,
    settings: SetOption = None,
    tensorboard: Annotated[Path | None, typer.Option("--tensorboard", help="Folder for event files.")] = None,
    report: Annotated[bool, typer.Option("--report/--no-report", help="Draw report.html and figures.")] = True,
    replace: ReplaceOption = False,
    dry_run: DryRunOption = False,
    as_json: JsonOption = False,
) -> int:
    """Fit an emotion and a sentiment head on train, over several seeds, and score them on dev."""
    from pipeline import runs, terminal, words
    from pipeline.steps import fit_head as step

    fit = words.fit_options(
        seeds=seeds, tasks=tasks, loss=loss, resample=resample, task_balance=task_balance,
        sentiment_weight=sentiment_weight, modality_dropout=modality_dropout, epochs=epochs, patience=patience,
        learning_rate=learning_rate, weight_decay=weight_decay, batch_size=batch_size, hidden=hidden,
        dropout=dropout, penalty=penalty, max_windows=max_windows, threads=threads, settings=settings,
    )  # fmt: skip
    options = step.FitHeadOptions(
        folds=folds, streams=words.streams(streams), speaker_norm=speaker_norm, replace=replace, report=report,
        tensorboard=tensorboard,
    )  # fmt: skip
    place = out or Path("runs") / runs.folder_name(fusion)
    if dry_run:
        planned = step.describe(cache, fusion, place, fit=fit, options=options)
        emit(planned, as_json, lambda: terminal.print_plan(planned))
        return 0
    with terminal.ProgressLine(hidden=as_json) as line:

        def scored(run: Any) -> None:
            line.stop()
            if not as_json:
                terminal.print_run(run)

        run = step.fit_head(cache, fusion, place, fit=fit, options=options, progress=line, scored=scored)
    emit(step.document(run), as_json, lambda: terminal.print_written(run))
    return 130 if run.config["interrupted"] else 0


@command("compare")
def compare(
    cache: CacheArgument,
    fusions: Annotated[
        str,
        typer.Option("--fusions", help="Variants by name, comma-separated, or all; single streams come along."),
    ] = "all",
    seeds: SeedsOption = 5,
    out: Annotated[Path, typer.Option("--out", help="Folder for compare.json, page and figures.")] = Path(
        "runs/compare"
    ),
    folds: FoldsOption = None,
    streams: StreamsOption = "",
    speaker_norm: SpeakerNormOption = False,
    tasks: TasksOption = None,
    loss: LossOption = None,
    resample: ResampleOption = None,
    task_balance: TaskBalanceOption = None,
    sentiment_weight: SentimentWeightOption = None,
    modality_dropout: ModalityDropoutOption = None,
    epochs: EpochsOption = None,
    patience: PatienceOption = None,
    learning_rate: LearningRateOption = None,
    weight_decay: WeightDecayOption = None,
    batch_size: BatchSizeOption = None,
    hidden: HiddenOption = None,
    dropout: DropoutOption = None,
    penalty: PenaltyOption = None,
    max_windows: MaxWindowsOption = None,
    threads: ThreadsOption = None,
    settings: SetOption = None,
    replace: ReplaceOption = False,
    as_json: JsonOption = False,
) -> int:
    """Fit every variant on the same utterances: one table, paired tests against the best single stream, time."""
    from pipeline import terminal, words
    from pipeline.steps import compare as step

    fit = words.fit_options(
        seeds=seeds, tasks=tasks, loss=loss, resample=resample, task_balance=task_balance,
        sentiment_weight=sentiment_weight, modality_dropout=modality_dropout, epochs=epochs, patience=patience,
        learning_rate=learning_rate, weight_decay=weight_decay, batch_size=batch_size, hidden=hidden,
        dropout=dropout, penalty=penalty, max_windows=max_windows, threads=threads, settings=settings,
    )  # fmt: skip
    options = step.CompareOptions(
        fusions=words.names(fusions), folds=folds, streams=words.streams(streams), speaker_norm=speaker_norm,
        replace=replace,
    )  # fmt: skip
    with terminal.ProgressLine(hidden=as_json) as line:
        found = step.compare(cache, out, fit=fit, options=options, progress=line)
    emit(found, as_json, lambda: terminal.print_comparison(found, out))
    if found["interrupted"]:
        return 130
    return 3 if step.failed_rows(found) else 0


@command("evaluate")
def evaluate(
    run: Annotated[Path, typer.Argument(help="A run folder that fit-head made.")],
    split: Annotated[str, typer.Option("--split", help="The split to score; test is logged.")] = "test",
    cache: Annotated[
        Path | None, typer.Option("--cache", help="Another cache than the one that the run was fitted on.")
    ] = None,
    streams: StreamsOption = "",
    as_json: JsonOption = False,
) -> int:
    """Score a run on the test split, and write down that it was looked at."""
    from pipeline import terminal, words
    from pipeline.steps import evaluate as step

    found = step.evaluate(run, split=split, cache=cache, streams=words.streams(streams) or None)
    if as_json and found["times_before"]:
        print(terminal.test_times_words(found), file=sys.stderr)
    emit(found, as_json, lambda: terminal.print_evaluation(found))
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
    from pipeline.steps import report as step

    written = [str(path) for path in step.report(run, out=out)]
    emit({"report": written[0], "figures": written[1:]}, as_json, lambda: print("\n".join(written)))
    return 0


if __name__ == "__main__":
    app()
