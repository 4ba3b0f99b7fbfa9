"""Fitting the trained variants: all seeds of one side by side, in memory; no paths, no printing.

What differs between seeds is where they start and what dropout takes away. The order of the batches is
drawn from the epoch alone and shared, so that a batch is gathered once for all seeds of a group.

Threads take groups of seeds, and each group's operations run on one core (dualstream/cores.py says why).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import numpy as np
import torch
from dualstream.heads import balances
from dualstream.heads.balances import NONE
from dualstream.heads.data.batch import PAIR, UNLABELLED, Batch, FeatureSet
from dualstream.heads.evaluation.folds import groups_of
from dualstream.heads.evaluation.majority import class_counts, log_shares, log_shares_near
from dualstream.heads.evaluation.partial import partial_cases
from dualstream.heads.fusion.network import Priors, Settings, resolve
from dualstream.heads.training.graph import NetworkModule
from dualstream.heads.training.losses import answered_prior
from dualstream.heads.training.plan import Order
from dualstream.heads.training.seed_group import PREDICT_ROWS, HeldOut, SeedGroup, SeedRecord, TrainingData
from dualstream.heads.training.tensors import Scaler, TensorSet
from dualstream.heads.training.weights import EVAL, Weights
from dualstream.heads.variants import registry
from dualstream.heads.variants.contract import (
    Arrays,
    FitOptions,
    History,
    Prediction,
    Progress,
    ProgressEvent,
    SeedModule,
    Task,
)
from numpy.typing import NDArray

from dualstream.cores import available_cores, one_core, threads
from dualstream.documents import JsonObject

HELD_OUT = 0.15  # share of train that calibrates a variant which must calibrate, where dev may not be used


def fit_network(
    name: str,
    train: FeatureSet,
    dev: FeatureSet | None,
    options: FitOptions,
    progress: Progress | None = None,
) -> list[TorchModel]:
    """Train one model a seed and return them in the order of ``options.seeds``.

    The same call gives the same bytes, and a seed's weights do not depend on the number of threads or on
    which other seeds are trained with it. Where there is no labelled dev set, or ``patience`` is 0, training
    runs for all epochs and dev is not looked at.

    Raises
    ------
    ValueError
        Where no training utterance is labelled, or a stream holds values that are not finite.
    """
    kind, streams = resolve(name), registry.get(name).reads(train.streams)
    tasks = [task for task in options.tasks if (getattr(train, task) != UNLABELLED).any()]
    if not tasks:
        raise ValueError(f"no training utterance has a label for {' or '.join(options.tasks)}")
    settings = Settings(
        variant=name,
        widths={stream: train.streams[stream].width for stream in streams},
        streams=streams,
        emotions=len(train.emotion_names) if "emotion" in tasks else 0,
        sentiments=len(train.sentiment_names) if "sentiment" in tasks else 0,
        hidden=options.hidden,
        dropout=options.dropout,
        max_windows=options.max_windows,
        parameters=kind.parameters | options.parameters,
        layers={stream: train.streams[stream].layers for stream in streams if train.streams[stream].layers},
    )
    if dev is not None and (
        options.patience <= 0 or not any((getattr(dev, t) != UNLABELLED).any() for t in tasks)
    ):
        dev = None
    prepared, watched = None, None
    if options.balance != NONE:
        entry = balances.get(options.balance)
        if entry.holds_out:
            train, watched = split_groups(train, HELD_OUT)
        prepared = None if entry.prepare is None else entry.prepare(name, train, dev, options)
    held_out = dev
    if kind.wants_held_out and held_out is None:
        train, held_out = split_groups(train, HELD_OUT)
    with one_core():
        data = TrainingData(kind, settings, train, dev, options)
        data.prepared = prepared
        if watched is not None:
            data.watch(watched)
        groups = _train(data, options, progress)
        scalers = data.tensors.scalers
        held_out_data = (
            HeldOut(held_out, kind, settings, scalers) if kind.wants_held_out and held_out is not None else None
        )
        priors = {task: _priors(data, train, task) for task in settings.tasks} if held_out_data is not None else {}
        prior = {
            task: log_shares(class_counts(getattr(train, task), len(getattr(train, f"{task}_names"))))
            for task in settings.tasks
        }
        return [
            _finished(name, record, settings, scalers, held_out_data, prior, priors)
            for record in sorted(
                (record for group in groups for record in group.records),
                key=lambda record: options.seeds.index(record.seed),
            )
        ]


def _train(data: TrainingData, options: FitOptions, progress: Progress | None) -> list[SeedGroup]:
    workers = max(1, min(options.threads or available_cores(), len(options.seeds)))
    stop = Event()
    parts = [options.seeds[start::workers] for start in range(workers)]
    groups = [SeedGroup(data, seeds, stop) for seeds in parts]
    interrupted = False
    with threads(workers) as pool:
        try:
            for epoch in range(options.epochs):
                live = [group for group in groups if group.live]
                if not live:
                    break
                if len(live) == 1:
                    live[0].epoch(epoch)
                else:
                    for done in [pool.submit(group.epoch, epoch) for group in live]:
                        done.result()
                if progress is not None:
                    progress(_news(data.settings.variant, epoch, options.epochs, groups))
        except KeyboardInterrupt:
            interrupted = True
            stop.set()
    for group in groups:
        group.close(interrupted=interrupted)
    return groups


def _news(name: str, epoch: int, epochs: int, groups: Sequence[SeedGroup]) -> ProgressEvent:
    """Return what `Progress` is told: means over the seeds that trained in this epoch."""

    def mean(column: str) -> float | None:
        values = [
            record.columns[column][epoch]
            for group in groups
            for record in group.records
            if len(record.columns.get(column, ())) > epoch
        ]
        return float(np.mean(values)) if values else None

    return {
        "variant": name,
        "epoch": epoch + 1,
        "epochs": epochs,
        "train_loss": mean("train_loss"),
        "dev_score": mean("dev_score"),
    }


def _priors(data: TrainingData, train: FeatureSet, task: Task) -> Priors:
    """Return a task's priors among the utterances that have all streams, those that have each, and some."""
    codes, classes = getattr(train, task), len(getattr(train, f"{task}_names"))
    there = np.stack([train.streams[stream].present for stream in data.settings.streams])
    overall = log_shares(class_counts(codes, classes))
    draws = data.order.frequency()
    shares, answered = [], []
    for has in (there.all(0), *there, *(there[list(case)].all(0) for case in partial_cases(len(there)))):
        rows = np.flatnonzero(has & (codes != UNLABELLED))
        shares.append(log_shares_near(np.bincount(codes[rows], minlength=classes), overall))
        come = np.bincount(codes[rows], weights=draws[rows], minlength=classes).astype(np.float64)
        answered.append(answered_prior(data.losses[task].loss, come))
    return Priors(np.stack(shares), np.stack(answered))


def _finished(
    name: str,
    record: SeedRecord,
    settings: Settings,
    scalers: dict[str, Scaler],
    held_out_data: HeldOut | None,
    prior: dict[Task, NDArray[np.float64]],
    priors: dict[Task, Priors],
) -> TorchModel:
    history = History(record.columns, record.best_epoch, record.stopped)
    arrays = {key: value for key, value in record.best.items() if not key.startswith("balance.")}
    model = TorchModel(name, record.seed, history, settings, scalers, arrays, prior)
    if held_out_data is not None:
        with torch.no_grad():
            model.network.finish(held_out_data.batches, priors)
        model.arrays = model.network.weights.arrays(0)
    return model


@dataclass
class TorchModel:
    """A fitted model of one seed (`heads.variants.registry.Trained`)."""

    variant: str
    seed: int
    history: History
    settings: Settings
    scalers: dict[str, Scaler]
    arrays: Arrays = field(repr=False)
    prior: dict[Task, NDArray[np.float64]] = field(default_factory=dict, repr=False)
    """Log shares of the classes in training, shape (C,): the answer where there is nothing to read. Empty in
    models of versions that kept none."""

    def __post_init__(self) -> None:
        self.kind = resolve(self.variant)
        self.network = self.kind(Weights([self.seed], self.arrays, self.settings.layers), self.settings)

    def __reduce__(self) -> tuple[Any, ...]:
        return restore_network, self.state()  # a network's class may be made while the program runs

    def predict(self, features: FeatureSet) -> Prediction:
        """Return log-probabilities for every utterance, whatever streams it lacks."""
        if len(features) == 0:
            sizes = (self.settings.emotions, self.settings.sentiments)
            emotion, sentiment = (np.zeros((0, size)) if size else None for size in sizes)
            return Prediction(emotion, sentiment)
        features.require_finite(self.settings.streams)
        tensors = TensorSet(features, self.kind, self.settings, self.scalers)
        found: dict[Task, NDArray[np.float64]] = {}
        with torch.no_grad(), one_core():
            for index in Order(tensors, PREDICT_ROWS).in_turn():
                for task, rows in self.log_probabilities(tensors.batch(index), torch.float64).items():
                    found.setdefault(task, np.empty((len(features), rows.shape[1])))[index] = rows.numpy()
        return Prediction(emotion=found.get("emotion"), sentiment=found.get("sentiment"))

    def log_probabilities(self, batch: Batch, dtype: torch.dtype = torch.float32) -> dict[Task, torch.Tensor]:
        """Return log-probabilities (B, C) of each task.

        What a network makes of zeros alone is an accident of its weights: an utterance of which there is nothing
        to read is answered by the prior. A network that reads whole dialogues has the turns around it to go by.
        """
        logits = self.network.decide(self.network.represent(batch, EVAL), batch)
        windows = self.kind.reads == "windows"
        there = [one.mask.any(1) if windows else one.present for one in batch.streams.values()]
        nothing = ~torch.stack(there).any(0).unsqueeze(-1)
        answer = {}
        for task in self.settings.tasks:
            rows = torch.log_softmax(getattr(logits, task)[0].to(dtype), dim=-1)
            if task in self.prior and not self.kind.whole_dialogues:
                rows = torch.where(nothing, torch.from_numpy(self.prior[task]).to(dtype), rows)
            answer[task] = rows
        return answer

    def to_module(self) -> SeedModule:
        """Return the model as a torch module that takes unscaled features."""
        return NetworkModule(self.kind, self.settings, self.scalers, self.log_probabilities)

    def state(self) -> tuple[Arrays, JsonObject]:
        """Return (arrays, JSON values) from which `restore_network` makes the same model again."""
        arrays = {f"weights/{name}": value for name, value in self.arrays.items()}
        for stream, scaler in self.scalers.items():
            arrays |= {f"scale/{stream}/mean": scaler.mean, f"scale/{stream}/spread": scaler.spread}
        if set(self.scalers) < set(PAIR):  # files name both of the pair; the one that is not read has no columns
            none = np.zeros(0, np.float32)
            arrays |= {
                f"scale/{other}/{part}": none for other in {*PAIR} - {*self.scalers} for part in ("mean", "spread")
            }
        arrays |= {f"prior/{task}": shares for task, shares in self.prior.items()}
        values = {
            "variant": self.variant,
            "seed": self.seed,
            "settings": self.settings.to_json(),
            "history": {
                "columns": self.history.columns,
                "best_epoch": self.history.best_epoch,
                "stopped": self.history.stopped,
            },
        }
        return arrays, values


def restore_network(arrays: Arrays, values: JsonObject) -> TorchModel:
    """Make a model from what `TorchModel.state` gave."""
    settings = Settings(**values["settings"])
    kind = resolve(settings.variant)
    scalers = {
        stream: Scaler(
            kind.scale,
            arrays[f"scale/{stream}/mean"],
            arrays[f"scale/{stream}/spread"],
            len(settings.layers.get(stream, ())) or 1,
        )
        for stream in settings.streams
    }
    own = {name.removeprefix("weights/"): value for name, value in arrays.items() if name.startswith("weights/")}
    history = History(**values.get("history", {}))
    prior = {task: arrays[f"prior/{task}"] for task in settings.tasks if f"prior/{task}" in arrays}
    return TorchModel(settings.variant, int(values["seed"]), history, settings, scalers, own, prior)


def split_groups(features: FeatureSet, share: float) -> tuple[FeatureSet, FeatureSet]:
    """Set about `share` of the utterances aside, groups whole: speakers or dialogues, as `groups_of` finds."""
    groups, _ = groups_of(features)
    names = np.random.default_rng(0).permutation(np.unique(groups))
    sizes = np.array([(groups == name).sum() for name in names])
    count = int(np.searchsorted(np.cumsum(sizes), share * len(features)) + 1)
    out = np.isin(groups, names[: min(count, max(len(names) - 1, 0))])
    return features.take(np.flatnonzero(~out)), features.take(np.flatnonzero(out))
