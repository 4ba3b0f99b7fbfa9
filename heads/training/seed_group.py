"""The optimiser, the dev set and one group of seeds on their way through the epochs."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from threading import Event
from typing import Any

import numpy as np
import torch
from dualstream.heads import balances
from dualstream.heads.balances import NONE
from dualstream.heads.balances.step import Balancing, Step, StreamBalance
from dualstream.heads.data.batch import UNLABELLED, Batch, FeatureSet
from dualstream.heads.fusion.network import Network, Settings
from dualstream.heads.training.losses import TaskLoss, balanced_weights, label_mass, make_loss
from dualstream.heads.training.plan import Order, hide_streams
from dualstream.heads.training.task_balance import cosine, make_balance
from dualstream.heads.training.tensors import Scaler, TensorSet
from dualstream.heads.training.watched import Watched, WatchedPart
from dualstream.heads.training.weights import EVAL, Dropout, Weights
from dualstream.heads.variants.registry import FitOptions, Task
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.adam import adam

PREDICT_ROWS = 1024  # utterances a batch when nothing is trained
MIN_BATCHES = 16  # a small corpus takes smaller batches, so that an epoch has at least this many steps
SMALLEST_BATCH = 16
PERFECT = 1.0  # macro F1 on dev: no later epoch can be better, and of equals the first is kept


class TrainingData:
    """What all seeds share and none changes: scaled tensors, batches, losses, the dev set."""

    def __init__(
        self,
        kind: type[Network],
        settings: Settings,
        train: FeatureSet,
        dev: FeatureSet | None,
        options: FitOptions,
    ) -> None:
        self.kind, self.settings, self.options = kind, settings, options
        self.tensors = TensorSet(train, kind, settings, None)
        size = min(options.batch_size, max(SMALLEST_BATCH, len(train) // MIN_BATCHES))
        draw = balanced_weights(getattr(train, settings.tasks[0])) if options.resample else None
        self.order = Order(self.tensors, size, draw=draw)
        sizes: dict[Task, int] = {"emotion": settings.emotions, "sentiment": settings.sentiments}
        self.losses: dict[Task, TaskLoss] = {
            task: make_loss(
                options.loss,
                getattr(train, task),
                sizes[task],
                focal_gamma=options.focal_gamma,
                adjustment=options.adjustment,
                frequency=self.order.frequency(),
            )
            for task in settings.tasks
        }
        self.dev = None if dev is None else HeldOut(dev, kind, settings, self.tensors.scalers)
        self.prepared: object = None
        """What the balance of the streams made before training."""
        self.watched: Watched | None = None

    def watch(self, held_out: FeatureSet) -> None:
        """Follow the losses of utterances that are not trained on, beside those that are."""
        other = TensorSet(held_out, self.kind, self.settings, self.tensors.scalers)
        of_train = {task: one.mass for task, one in self.losses.items()}
        of_other = {task: label_mass(getattr(held_out, task), mass.shape[1]) for task, mass in of_train.items()}
        self.watched = Watched(
            WatchedPart(self.tensors, of_train, self.losses, other.count),
            WatchedPart(other, of_other, self.losses, other.count),
        )


@dataclass
class SeedRecord:
    """What is remembered of one seed while it trains."""

    seed: int
    columns: dict[str, list[float]] = field(default_factory=dict)
    best: dict[str, NDArray[Any]] = field(default_factory=dict)
    best_score: float = -math.inf
    best_epoch: int | None = None
    stopped: str = "epochs"

    def add(self, name: str, value: float) -> None:
        """Add an epoch's value to a column."""
        self.columns.setdefault(name, []).append(float(value))


class SeedGroup:
    """Seeds that are trained side by side: their weights, their optimiser, their noise.

    Parameters
    ----------
    material
        What is learned from; shared between groups.
    seeds
        One model each.
    stop
        Set from elsewhere to end the epoch after the current batch.
    """

    def __init__(self, data: TrainingData, seeds: Sequence[int], stop: Event) -> None:
        options = data.options
        self.data, self.options, self.stop = data, options, stop
        self.weights = Weights(seeds, layers=data.settings.layers)
        self.network = data.kind(self.weights, data.settings)
        self.balance = make_balance(options.task_balance, self.weights, options.sentiment_weight)
        self.weights.train()
        self.optimiser = AdamW(self.weights, options)
        self.dropout = Dropout(seeds, options.dropout)
        self.streams = StreamBalance()
        if options.balance != NONE:
            task = Balancing(data, self.weights, seeds, options.balance_strength, data.prepared)
            self.streams = balances.get(options.balance).make(task)
        self.records = [SeedRecord(seed) for seed in seeds]
        self.live = list(self.records)

    def epoch(self, epoch: int) -> None:
        """Train for one epoch, look at dev, and retire the seeds whose patience has run out."""
        if self.live:
            self._train(epoch)
        if self.live and not self.stop.is_set() and self.data.dev is not None:
            self._look(epoch, self.data.dev)

    def close(self, *, interrupted: bool = False) -> None:
        """Settle what each seed's weights are."""
        for row, record in enumerate(self.live):
            if interrupted:
                record.stopped = "interrupted"
            if not record.best:
                record.best = self.weights.arrays(row)

    def _train(self, epoch: int) -> None:
        tensors, rng = self.data.tensors, np.random.default_rng([epoch])
        total = torch.zeros(len(self.live))
        order = self.data.order.shuffled(rng)
        rate = self.options.modality_dropout
        self.streams.epoch(epoch, Step(self.data, self.network, self.weights, self.dropout))
        batches = tensors.epoch(order, lambda index: hide_streams(tensors, index, rate, rng))
        for position, (index, batch) in enumerate(zip(order, batches, strict=True)):
            representation = self.network.represent(batch, self.dropout)
            losses = self._losses(representation, batch, torch.from_numpy(index))
            if position == 0 and len(losses) == 2 and self.network.has_representation:
                self._record_cosine(losses, representation)
            step = Step(self.data, self.network, self.weights, self.dropout, index)
            self.balance(self.streams.losses(step, losses))
            if position == 0:
                self._record_shares()
            self.streams.before_step(step)
            self.optimiser.step()
            self.streams.after_step(step)
            for loss in losses.values():
                total += loss.detach()
            if self.stop.is_set():
                break
        for row, record in enumerate(self.live):
            record.add("train_loss", float(total[row]) / (position + 1))

    def _losses(self, representation: Tensor, batch: Batch, at: Tensor) -> dict[Task, Tensor]:
        parts = self.network.decide_training(representation, batch)
        losses = {}
        for task, one in self.data.losses.items():
            mass = one.mass.index_select(0, at)
            every = [one.loss(getattr(part, task), mass) for part in parts]
            losses[task] = every[0] if len(every) == 1 else torch.stack(every).mean(0)
        return losses

    def _record_cosine(self, losses: dict[Task, Tensor], representation: Tensor) -> None:
        grads = [torch.autograd.grad(loss.sum(), representation, retain_graph=True)[0] for loss in losses.values()]
        for record, value in zip(self.live, cosine(*grads), strict=True):
            record.add("task_cosine", float(value))

    def _record_shares(self) -> None:
        """Record how much of the first layers' gradient belongs to each stream."""
        norms: dict[str, Tensor] = {}
        for name, start, stop, stream in self.weights.stream_rows:
            grad = self.weights[name].grad
            if grad is not None:
                # one seed at a time: how a sum is cut, and so its last digit, follows from the shape
                squared = torch.stack([own.square().sum() for own in grad[:, start:stop]])
                norms[stream] = norms.get(stream, torch.zeros(len(squared))) + squared
        if len(norms) < 2:
            return
        lengths = {stream: squared.sqrt() for stream, squared in norms.items()}
        whole = torch.stack(list(lengths.values())).sum(0).clamp_min(1e-20)
        for stream, length in lengths.items():
            for record, value in zip(self.live, length / whole, strict=True):
                record.add(f"gradient_share_{stream}", float(value))

    def _look(self, epoch: int, dev: HeldOut) -> None:
        keep = []
        loss, score = dev.score(self.network)
        for row, record in enumerate(self.live):
            record.add("dev_loss", loss[row])
            record.add("dev_score", score[row])
            watched = float(score[row] if self.options.watch == "score" else -loss[row])
            if watched > record.best_score:
                record.best_score, record.best_epoch = watched, epoch
                record.best = self.weights.arrays(row)
            if self.options.watch == "score" and record.best_score >= PERFECT:
                record.stopped = "perfect score"
            elif record.best_epoch is not None and epoch - record.best_epoch >= self.options.patience:
                record.stopped = "patience"
            else:
                keep.append(row)
        if len(keep) < len(self.live):
            self.live = [self.live[row] for row in keep]
            if keep:
                self.weights.keep(keep)
                self.dropout.keep(keep)
                self.optimiser.keep(keep)
                self.streams.keep(keep)


class AdamW:
    """AdamW (Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101), fused over all arrays at once."""

    def __init__(self, weights: Weights, options: FitOptions) -> None:
        self.weights, self.rate, self.decay = weights, options.learning_rate, options.weight_decay
        self.first, self.second = ([torch.zeros_like(r) for r in weights.rooms.values()] for _ in range(2))
        self.steps = [torch.zeros(()) for _ in weights.rooms]

    def step(self) -> None:
        """Move the weights against their gradients, and forget those."""
        adam(
            list(self.weights.rooms.values()),
            self.weights.take_gradients(),
            self.first,
            self.second,
            [],
            self.steps,
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.rate,
            weight_decay=self.decay,
            eps=1e-8,
            maximize=False,
            decoupled_weight_decay=True,
        )

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these seeds alone."""
        index = torch.tensor(list(rows))
        self.first, self.second = [r[index] for r in self.first], [r[index] for r in self.second]


class HeldOut:
    """Utterances that are looked at again and again but never trained on: gathered once."""

    def __init__(
        self, features: FeatureSet, kind: type[Network], settings: Settings, scalers: dict[str, Scaler]
    ) -> None:
        tensors = TensorSet(features, kind, settings, scalers)
        self.tasks = settings.tasks
        self.batches: list[tuple[Batch, dict[Task, NDArray[np.int64]]]] = [
            (tensors.batch(index), {task: getattr(features, task)[index] for task in self.tasks})
            for index in Order(tensors, PREDICT_ROWS).in_turn()
        ]

    def score(self, network: Network) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (loss in nats, macro F1), each the mean over the tasks, one value a seed."""
        losses, scores = [], []
        logs: dict[Task, list[Tensor]] = {task: [] for task in self.tasks}
        with torch.no_grad():
            for batch, _ in self.batches:
                logits = network.decide(network.represent(batch, EVAL), batch)
                for task in self.tasks:
                    logs[task].append(torch.log_softmax(getattr(logits, task), dim=-1))
        for task in self.tasks:
            truth = np.concatenate([labels[task] for _, labels in self.batches])
            rows = np.flatnonzero(truth != UNLABELLED)
            if len(rows) == 0:
                continue
            found = torch.cat(logs[task], dim=1).numpy()[:, rows]
            truth = truth[rows]
            losses.append(-found[:, np.arange(len(rows)), truth].astype(np.float64).mean(axis=1))
            scores.append([macro_f1(truth, row.argmax(axis=1), found.shape[2]) for row in found])
        return np.mean(losses, axis=0), np.mean(scores, axis=0)


def macro_f1(truth: NDArray[np.int64], predicted: NDArray[np.int64], classes: int) -> float:
    """Return F1 averaged over the classes that occur in truth or prediction, [0, 1]."""
    hit = np.bincount(truth[truth == predicted], minlength=classes)
    both = np.bincount(truth, minlength=classes) + np.bincount(predicted, minlength=classes)
    return float((2.0 * hit[both > 0] / both[both > 0]).mean())
