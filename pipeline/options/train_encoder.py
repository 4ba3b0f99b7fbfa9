"""The options of `train-encoder` that say how it trains, each shown with its default in `TrainOptions`."""

from __future__ import annotations

from typing import Annotated

import typer
from dualstream.pipeline.encoder_training.options import TrainOptions
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.options import parse
from dualstream.pipeline.options.command import Words
from dualstream.pipeline.options.options import EpochsOption, LossOption, SentimentWeightOption, TaskBalanceOption

TRAIN = TrainOptions()


def _training(
    epochs: EpochsOption = TRAIN.epochs,
    patience: Annotated[
        int,
        typer.Option(
            "--patience",
            min=0,
            help="Epochs that may bring neither a better score of dev nor a lower loss; 0: all are run.",
        ),
    ] = TRAIN.patience,
    batch_size: Annotated[
        int, typer.Option("--batch-size", min=1, help="Frames or windows in a step.")
    ] = TRAIN.batch_size,
    learning_rate: Annotated[
        float, typer.Option("--learning-rate", help="At the heads, at its highest.")
    ] = TRAIN.learning_rate,
    weight_decay: Annotated[float, typer.Option("--weight-decay", min=0.0)] = TRAIN.weight_decay,
    loss: LossOption = TRAIN.loss,
    resample: Annotated[bool, typer.Option("--resample", help="Draw classes equally often.")] = TRAIN.resample,
    task_balance: TaskBalanceOption = TRAIN.task_balance,
    sentiment_weight: SentimentWeightOption = TRAIN.sentiment_weight,
    sample_weight: Annotated[
        float,
        typer.Option("--sample-weight", help="Share of the loss that samples bear one by one, not by utterance."),
    ] = TRAIN.sample_weight,
    unfreeze: Annotated[
        str,
        typer.Option(
            "--unfreeze",
            help="Blocks of vgg16 that thaw, in order, such as fc7,fc6,block5; its 100-D layer always trains.",
        ),
    ] = ",".join(TRAIN.unfreeze),
    unfreeze_every: Annotated[
        int, typer.Option("--unfreeze-every", min=1, help="Epochs from one thaw to the next.")
    ] = TRAIN.unfreeze_every,
    depth_rate: Annotated[
        float, typer.Option("--depth-rate", help="Factor on the learning rate for each block further down.")
    ] = TRAIN.depth_rate,
    precision: Annotated[
        str, typer.Option("--precision", help="fp32, or bf16: mixed precision.")
    ] = TRAIN.precision,
    seed: Annotated[int, typer.Option("--seed", min=0, help="Of all that is drawn in training.")] = TRAIN.seed,
) -> TrainOptions:
    try:
        return TrainOptions(
            epochs=epochs, patience=patience, batch_size=batch_size, learning_rate=learning_rate,
            weight_decay=weight_decay, loss=loss, resample=resample, task_balance=task_balance,
            sentiment_weight=sentiment_weight, sample_weight=sample_weight, unfreeze=parse.names(unfreeze),
            unfreeze_every=unfreeze_every, depth_rate=depth_rate, precision=precision, seed=seed,  # type: ignore[arg-type]
        )  # fmt: skip
    except ValueError as error:
        raise UsageError(str(error)) from error


TrainWords = Annotated[TrainOptions, Words(_training)]
