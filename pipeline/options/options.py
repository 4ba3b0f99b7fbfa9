"""Options that several commands take, each declared once; those that come as a set are made into settings."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from dualstream.heads.variants.options import REFIT_SEEDS, FitOptions
from dualstream.pipeline.options.command import Words

if TYPE_CHECKING:
    from dualstream.pipeline.experiments.protocol import Answering

FIT = FitOptions()

JsonOption = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
ReplaceOption = Annotated[bool, typer.Option("--replace", help="Write over what is there.")]
ManifestArgument = Annotated[Path, typer.Argument(help="The manifest, such as data_manifest.csv.")]
CacheArgument = Annotated[Path, typer.Argument(help="The cache that extract made, such as cache.h5.")]
RunArgument = Annotated[Path, typer.Argument(help="A run folder that fit-head made.")]

# Stage 1: how clips are read, and by what.

RootOption = Annotated[Path, typer.Option("--root", help="The folder that the manifest's paths start from.")]
WindowOption = Annotated[float, typer.Option("--window", help="Length of a window, seconds.")]
HopOption = Annotated[float, typer.Option("--hop", help="Distance between windows, seconds.")]
SamplingOption = Annotated[
    str, typer.Option("--sampling", help="Which frames: aligned (one a window), every:SECONDS, uniform:COUNT.")
]
FitOption = Annotated[str, typer.Option("--fit", help="Pictures into squares: stretch, crop or pad.")]
ChannelsOption = Annotated[
    str, typer.Option("--channels", help="Sound of many channels: auto (the centre, if it is heard), mix, center.")
]
DeviceOption = Annotated[str, typer.Option("--device", help="auto, cpu, cuda or cuda:N.")]
TorchThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads",
        min=1,
        help="Threads of torch inside an operation; default: one, and a batch at a time on each core.",
    ),
]
TrainThreadsOption = Annotated[
    int | None,
    typer.Option(
        "--threads", min=1, help="Threads of torch inside an operation; default: one less than there are cores."
    ),
]
WorkersOption = Annotated[
    int, typer.Option("--workers", min=0, help="Clips decoded side by side; 0: one for each core.")
]
KeepGoingOption = Annotated[
    bool,
    typer.Option(
        "--keep-going",
        help="Record clips as missing that go away while they are read, even more than a fifth of a shard.",
    ),
]
FfmpegOption = Annotated[Path | None, typer.Option("--ffmpeg", help="The ffmpeg binary to use.")]

# Stage 2: which rows are read, how heads are fitted, and how they answer.

StreamsOption = Annotated[
    str, typer.Option("--streams", help="Streams to join: video=NAME,audio=NAME; default: those of that name.")
]
FoldsOption = Annotated[
    str | None,
    typer.Option(
        "--folds",
        help="Cross-validate in place of dev: speaker (with all who share their dialogues), dialogue, speaker:4, "
        "or a number; speaker-only:4 cuts dialogues.",
    ),
]
SpeakerNormOption = Annotated[
    bool,
    typer.Option("--speaker-norm", help="Normalise each speaker by its own unlabelled utterances (transductive)."),
]
ScoredOption = Annotated[
    str,
    typer.Option(
        "--scored",
        help="all: utterances without features are scored too, answered by the prior; present: they are left out.",
    ),
]
EpochsOption = Annotated[int, typer.Option("--epochs", min=1, help="Epochs at most.")]
LossOption = Annotated[
    str, typer.Option("--loss", help="cross_entropy, weighted, focal, logit_adjusted or balanced_softmax.")
]
TaskBalanceOption = Annotated[str, typer.Option("--task-balance", help="fixed, uncertainty or surgery.")]
SentimentWeightOption = Annotated[
    float, typer.Option("--sentiment-weight", min=0.0, help="Weight of the sentiment loss where fixed.")
]
FitThreadsOption = Annotated[
    int | None,
    typer.Option("--threads", min=1, help="Cores that a fit may use; default: all. Answers do not depend on it."),
]
ReportOption = Annotated[bool, typer.Option("--report/--no-report", help="Draw report.html and figures.")]


def _answering(
    ensemble: Annotated[
        bool, typer.Option("--ensemble", help="Average the seeds' probabilities into one model.")
    ] = False,
    joint_decoding: Annotated[
        bool,
        typer.Option("--joint-decoding", help="Answer with the likeliest pair of labels that training showed."),
    ] = False,
) -> Any:
    from dualstream.pipeline.experiments.protocol import Answering

    return Answering(ensemble, joint_decoding)


def _fit_words(seeds: int, without: tuple[str, ...] = ()) -> Words:
    """Return the options of a fit, shown with the defaults of `FitOptions` but for the number of seeds."""

    def fit(
        seeds: Annotated[int, typer.Option("--seeds", min=1, help="Models a variant, one a seed.")] = seeds,
        tasks: Annotated[str, typer.Option("--tasks", help="Both tasks, or one of them.")] = ",".join(FIT.tasks),
        loss: LossOption = FIT.loss,
        adjustment: Annotated[
            float,
            typer.Option(
                "--adjustment", min=0.0, help="Strength of logit_adjusted: 0 cross-entropy, 1 even classes."
            ),
        ] = FIT.adjustment,
        focal_gamma: Annotated[
            float,
            typer.Option("--focal-gamma", min=0.0, help="Discount of what is classified well, where focal."),
        ] = FIT.focal_gamma,
        resample: Annotated[
            bool, typer.Option("--resample/--no-resample", help="Draw classes equally often in training.")
        ] = FIT.resample,
        task_balance: TaskBalanceOption = FIT.task_balance,
        sentiment_weight: SentimentWeightOption = FIT.sentiment_weight,
        modality_dropout: Annotated[
            float,
            typer.Option(
                "--modality-dropout", min=0.0, max=1.0, help="Chance that a stream is hidden in training."
            ),
        ] = FIT.modality_dropout,
        epochs: EpochsOption = FIT.epochs,
        patience: Annotated[
            int,
            typer.Option("--patience", min=0, help="Epochs without a better dev score; 0: dev is not looked at."),
        ] = FIT.patience,
        watch: Annotated[
            str, typer.Option("--watch", help="What patience watches on dev: score (macro F1) or loss.")
        ] = FIT.watch,
        learning_rate: Annotated[
            float, typer.Option("--learning-rate", min=0.0, help="Of AdamW.")
        ] = FIT.learning_rate,
        weight_decay: Annotated[
            float, typer.Option("--weight-decay", min=0.0, help="Of AdamW, decoupled.")
        ] = FIT.weight_decay,
        batch_size: Annotated[
            int, typer.Option("--batch-size", min=1, help="Utterances a step; fewer where train is small.")
        ] = FIT.batch_size,
        hidden: Annotated[
            int, typer.Option("--hidden", min=1, help="Width of the shared representation.")
        ] = FIT.hidden,
        dropout: Annotated[
            float, typer.Option("--dropout", min=0.0, max=1.0, help="Chance that a hidden value is dropped.")
        ] = FIT.dropout,
        penalty: Annotated[
            float | None,
            typer.Option("--penalty", min=0.0, help="L2 penalty of linear variants; default: chosen in train."),
        ] = FIT.penalty,
        max_windows: Annotated[
            int, typer.Option("--max-windows", min=1, help="Windows of an utterance that sequence variants see.")
        ] = FIT.max_windows,
        threads: FitThreadsOption = FIT.threads,
        settings: Annotated[
            list[str] | None, typer.Option("--set", help="A setting of the variant: key=value, repeatable.")
        ] = None,
    ) -> Any:
        from dualstream.pipeline.options import parse

        return parse.fit_options(
            seeds=seeds, tasks=tasks, settings=settings or (), loss=loss, adjustment=adjustment,
            focal_gamma=focal_gamma, resample=resample, task_balance=task_balance,
            sentiment_weight=sentiment_weight, modality_dropout=modality_dropout, epochs=epochs,
            patience=patience, watch=watch, learning_rate=learning_rate, weight_decay=weight_decay,
            batch_size=batch_size, hidden=hidden, dropout=dropout, penalty=penalty, max_windows=max_windows,
            threads=threads,
        )  # fmt: skip

    return Words(fit, without)


AnsweringWords = Annotated["Answering", Words(_answering)]
FitWords = Annotated[FitOptions, _fit_words(len(FIT.seeds))]
# of one task, again and again
RefitWords = Annotated[
    FitOptions, _fit_words(len(REFIT_SEEDS), without=("tasks", "task_balance", "sentiment_weight"))
]
