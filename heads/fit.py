"""The training engine: all seeds of a variant side by side, in memory; no paths, no printing.

What differs between seeds is where they start and what dropout takes away. The order of the batches is
drawn from the epoch alone and shared, so that a batch is gathered once for all seeds.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.optim.adam import adam

from heads.balance import cosine, make_balance
from heads.batch import UNLABELLED, Batch, FeatureSet
from heads.corpus import STREAMS, Corpus, Scaler
from heads.folds import groups_of
from heads.fusion.network import Network, Settings, resolve
from heads.losses import TaskLoss, balanced_weights, make_loss
from heads.plan import Order, hide_streams
from heads.variant import FitOptions, History, Prediction, Progress, Task
from heads.weights import NO_NOISE, Noise, Weights

PREDICT_ROWS = 1024  # utterances a batch when nothing is trained
HELD_OUT = 0.15  # share of train that calibrates a variant which must calibrate, where dev may not be used
MIN_BATCHES = 16  # a small corpus takes smaller batches, so that an epoch has at least this many steps
SMALLEST_BATCH = 16


@dataclass
class TorchModel:
    """A fitted model of one seed (`heads.variant.Trained`)."""

    variant: str
    seed: int
    history: History
    settings: Settings
    scalers: dict[str, Scaler]
    arrays: dict[str, NDArray[Any]] = field(repr=False)

    def __post_init__(self) -> None:
        self.kind = resolve(self.variant)
        self.network = self.kind(Weights([self.seed], self.arrays), self.settings)

    def predict(self, features: FeatureSet) -> Prediction:
        """Return log-probabilities for every utterance, whatever streams it lacks."""
        if len(features) == 0:
            sizes = (self.settings.emotions, self.settings.sentiments)
            return Prediction(*(np.zeros((0, size)) if size else None for size in sizes))
        features.require_finite(self.kind.streams)
        corpus = Corpus(features, self.kind, self.settings, self.scalers)
        found: dict[Task, NDArray[np.float64]] = {}
        with torch.no_grad(), _threads(1):
            for index in Order(corpus, PREDICT_ROWS).in_turn():
                batch = corpus.batch(index)
                logits = self.network.decide(self.network.represent(batch, NO_NOISE), batch)
                for task in self.settings.tasks:
                    rows = torch.log_softmax(getattr(logits, task)[0].double(), dim=-1).numpy()
                    found.setdefault(task, np.empty((len(features), rows.shape[1])))[index] = rows
        return Prediction(emotion=found.get("emotion"), sentiment=found.get("sentiment"))

    def state(self) -> tuple[dict[str, NDArray[Any]], dict[str, Any]]:
        """Return (arrays, JSON values) from which `restore_network` makes the same model again."""
        arrays = {f"weights/{name}": value for name, value in self.arrays.items()}
        for stream, scaler in self.scalers.items():
            arrays |= {f"scale/{stream}/mean": scaler.mean, f"scale/{stream}/spread": scaler.spread}
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


def restore_network(arrays: dict[str, NDArray[Any]], values: dict[str, Any]) -> TorchModel:
    """Make a model from what `TorchModel.state` gave."""
    settings = Settings(**values["settings"])
    kind = resolve(settings.variant)
    scalers = {
        stream: Scaler(kind.scale, arrays[f"scale/{stream}/mean"], arrays[f"scale/{stream}/spread"])
        for stream in STREAMS
        if f"scale/{stream}/mean" in arrays
    }
    own = {name.removeprefix("weights/"): value for name, value in arrays.items() if name.startswith("weights/")}
    history = History(**values.get("history", {}))
    return TorchModel(settings.variant, int(values["seed"]), history, settings, scalers, own)


def fit_network(
    name: str,
    train: FeatureSet,
    dev: FeatureSet | None,
    options: FitOptions,
    progress: Progress | None = None,
) -> list[TorchModel]:
    """Train one model a seed and return them in the order of ``options.seeds``.

    On one thread a seed's weights do not depend on which other seeds are trained with it, and the same
    call gives the same bytes. Where there is no labelled dev set, or ``patience`` is 0, training runs for
    all epochs and dev is not looked at.

    Raises
    ------
    ValueError
        Where no training utterance is labelled, or a stream holds values that are not finite.
    """
    kind = resolve(name)
    tasks = [task for task in options.tasks if (getattr(train, task) != UNLABELLED).any()]
    if not tasks:
        raise ValueError(f"no training utterance has a label for {' or '.join(options.tasks)}")
    settings = Settings(
        variant=name,
        widths={stream: train.streams[stream].width for stream in kind.streams},
        emotions=len(train.emotion_names) if "emotion" in tasks else 0,
        sentiments=len(train.sentiment_names) if "sentiment" in tasks else 0,
        hidden=options.hidden,
        dropout=options.dropout,
        max_windows=options.max_windows,
        parameters=kind.parameters | options.parameters,
    )
    if dev is not None and (
        options.patience <= 0 or not any((getattr(dev, t) != UNLABELLED).any() for t in tasks)
    ):
        dev = None
    with _threads(options.threads or 1):
        held_out = dev
        if kind.wants_held_out and held_out is None:
            train, held_out = split_groups(train, HELD_OUT)
        run = _Run(kind, settings, train, dev, options, progress)
        run.train()
        return run.models(held_out)


@dataclass
class _Seed:
    """What is remembered of one seed while it trains."""

    seed: int
    columns: dict[str, list[float]] = field(default_factory=dict)
    best: dict[str, NDArray[Any]] = field(default_factory=dict)
    best_score: float = -math.inf
    best_epoch: int | None = None
    stopped: str = "epochs"

    def record(self, name: str, value: float) -> None:
        self.columns.setdefault(name, []).append(float(value))


class _Run:
    """One call of `fit_network`: tensors, weights and optimiser of the seeds that still train."""

    def __init__(
        self,
        kind: type[Network],
        settings: Settings,
        train: FeatureSet,
        dev: FeatureSet | None,
        options: FitOptions,
        progress: Progress | None,
    ) -> None:
        self.kind, self.settings, self.options, self.progress = kind, settings, options, progress
        self.corpus = Corpus(train, kind, settings, None)
        size = min(options.batch_size, max(SMALLEST_BATCH, len(train) // MIN_BATCHES))
        draw = balanced_weights(getattr(train, settings.tasks[0])) if options.resample else None
        self.order = Order(self.corpus, size, draw=draw)
        self.losses = self._make_losses(train)
        self.weights = Weights(options.seeds)
        self.network = kind(self.weights, settings)
        self.balance = make_balance(options.task_balance, self.weights, options.sentiment_weight)
        self.weights.train()
        self.optimiser = _AdamW(self.weights, options)
        self.noise = Noise(options.seeds, options.dropout)
        self.live = [_Seed(seed) for seed in options.seeds]
        self.all = list(self.live)
        self.dev = None if dev is None else _Held(dev, kind, settings, self.corpus.scalers)

    def _make_losses(self, features: FeatureSet) -> dict[Task, TaskLoss]:
        o = self.options
        sizes: dict[Task, int] = {"emotion": self.settings.emotions, "sentiment": self.settings.sentiments}
        return {
            task: make_loss(
                o.loss, getattr(features, task), sizes[task], focal_gamma=o.focal_gamma, adjustment=o.adjustment
            )
            for task in self.settings.tasks
        }

    def train(self) -> None:
        """Run epochs until all seeds have stopped; an interrupt keeps the best so far."""
        try:
            for epoch in range(self.options.epochs):
                self._epoch(epoch)
                self._look(epoch)
                if not self.live:
                    break
        except KeyboardInterrupt:
            for seed in self.live:
                seed.stopped = "interrupted"
        for row, seed in enumerate(self.live):
            if not seed.best:
                seed.best = self.weights.arrays(row)

    def _epoch(self, epoch: int) -> None:
        rng = np.random.default_rng([epoch])
        total = torch.zeros(len(self.live))
        batches = self.order.shuffled(rng)
        for position, index in enumerate(batches):
            hidden = hide_streams(self.corpus, index, self.options.modality_dropout, rng)
            batch = self.corpus.batch(index, hidden)
            at = torch.from_numpy(index)
            representation = self.network.represent(batch, self.noise)
            losses = self._task_losses(representation, batch, at)
            if position == 0 and len(losses) == 2:
                self._record_cosine(losses, representation)
            self.balance(losses)
            if position == 0:
                self._record_shares()
            self.optimiser.step()
            total += torch.stack([loss.detach() for loss in losses.values()]).sum(0)
        for row, seed in enumerate(self.live):
            seed.record("train_loss", float(total[row]) / len(batches))

    def _task_losses(self, representation: Tensor, batch: Batch, at: Tensor) -> dict[Task, Tensor]:
        parts = self.network.decide_training(representation, batch)
        losses = {}
        for task, one in self.losses.items():
            mass = one.mass[at]
            losses[task] = torch.stack([one.loss(getattr(part, task), mass) for part in parts]).mean(0)
        return losses

    def _record_cosine(self, losses: dict[Task, Tensor], representation: Tensor) -> None:
        grads = [torch.autograd.grad(loss.sum(), representation, retain_graph=True)[0] for loss in losses.values()]
        for seed, value in zip(self.live, cosine(*grads), strict=True):
            seed.record("task_cosine", float(value))

    def _record_shares(self) -> None:
        """Record how much of the first layers' gradient belongs to each stream."""
        norms: dict[str, Tensor] = {}
        for name, start, stop, stream in self.weights.stream_rows:
            grad = self.weights[name].grad
            if grad is not None:
                squared = grad[:, start:stop].square().sum((1, 2))
                norms[stream] = norms.get(stream, torch.zeros(len(squared))) + squared
        if len(norms) < 2:
            return
        lengths = {stream: squared.sqrt() for stream, squared in norms.items()}
        whole = torch.stack(list(lengths.values())).sum(0).clamp_min(1e-20)
        for stream, length in lengths.items():
            for seed, value in zip(self.live, length / whole, strict=True):
                seed.record(f"gradient_share_{stream}", float(value))

    def _look(self, epoch: int) -> None:
        """Score dev, remember the best weights, retire seeds whose patience has run out."""
        if self.dev is not None:
            keep = []
            dev_loss, dev_score = self.dev.score(self.network)
            for row, seed in enumerate(self.live):
                seed.record("dev_loss", dev_loss[row])
                seed.record("dev_score", dev_score[row])
                watched = dev_score[row] if self.options.watch == "score" else -dev_loss[row]
                if watched > seed.best_score:
                    seed.best_score, seed.best_epoch = watched, epoch
                    seed.best = self.weights.arrays(row)
                if seed.best_epoch is not None and epoch - seed.best_epoch >= self.options.patience:
                    seed.stopped = "patience"
                else:
                    keep.append(row)
            self._report(epoch)
            if len(keep) < len(self.live):
                self.live = [self.live[row] for row in keep]
                if keep:
                    self.weights.keep(keep)
                    self.noise.keep(keep)
                    self.optimiser.keep(keep)
        else:
            self._report(epoch)

    def _report(self, epoch: int) -> None:
        if self.progress is None:
            return

        def mean(column: str) -> float | None:
            values = [seed.columns[column][-1] for seed in self.live if column in seed.columns]
            return float(np.mean(values)) if values else None

        self.progress(
            {
                "variant": self.settings.variant,
                "epoch": epoch + 1,
                "epochs": self.options.epochs,
                "train_loss": mean("train_loss"),
                "dev_score": mean("dev_score"),
            }
        )

    def models(self, held_out: FeatureSet | None) -> list[TorchModel]:
        """Return a model for each seed, with what is solved after training."""
        made = []
        for seed in self.all:
            history = History(seed.columns, seed.best_epoch, seed.stopped)
            arrays = {name: value for name, value in seed.best.items() if not name.startswith("balance.")}
            model = TorchModel(
                self.settings.variant, seed.seed, history, self.settings, self.corpus.scalers, arrays
            )
            if self.kind.wants_held_out and held_out is not None:
                held = _Held(held_out, self.kind, self.settings, self.corpus.scalers)
                with torch.no_grad():
                    model.network.finish(held.batches)
                model.arrays = model.network.weights.arrays(0)
            made.append(model)
        return made


class _AdamW:
    """AdamW (Loshchilov & Hutter 2019, https://arxiv.org/abs/1711.05101), fused; biases do not decay."""

    def __init__(self, weights: Weights, options: FitOptions) -> None:
        assert weights.flat is not None
        self.weights, self.rate = weights, options.learning_rate
        self.grad, self.first, self.second = (torch.zeros_like(weights.flat) for _ in range(3))
        self.steps = torch.zeros(())
        self.shrink = torch.ones(weights.flat.shape[1])
        for name, (start, stop) in weights.places.items():
            if name.endswith(".weight"):
                self.shrink[start:stop] = 1.0 - options.learning_rate * options.weight_decay

    def step(self) -> None:
        """Move the weights against their gradients, and forget those."""
        flat = self.weights.flat
        assert flat is not None
        self.weights.gather_gradients(self.grad)
        flat.mul_(self.shrink)
        adam(
            [flat],
            [self.grad],
            [self.first],
            [self.second],
            [],
            [self.steps],
            fused=True,
            amsgrad=False,
            beta1=0.9,
            beta2=0.999,
            lr=self.rate,
            weight_decay=0.0,
            eps=1e-8,
            maximize=False,
        )

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these seeds alone."""
        index = torch.tensor(list(rows))
        self.grad, self.first, self.second = self.grad[index], self.first[index], self.second[index]


class _Held:
    """Utterances that are looked at again and again but never trained on: gathered once."""

    def __init__(
        self, features: FeatureSet, kind: type[Network], settings: Settings, scalers: dict[str, Scaler]
    ) -> None:
        corpus = Corpus(features, kind, settings, scalers)
        self.tasks = settings.tasks
        self.batches: list[tuple[Batch, dict[Task, NDArray[np.int64]]]] = [
            (corpus.batch(index), {task: getattr(features, task)[index] for task in self.tasks})
            for index in Order(corpus, PREDICT_ROWS).in_turn()
        ]

    def score(self, network: Network) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Return (loss in nats, macro F1), each the mean over the tasks, one value a seed."""
        losses, scores = [], []
        logs: dict[Task, list[Tensor]] = {task: [] for task in self.tasks}
        with torch.no_grad():
            for batch, _ in self.batches:
                logits = network.decide(network.represent(batch, NO_NOISE), batch)
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


def split_groups(features: FeatureSet, share: float) -> tuple[FeatureSet, FeatureSet]:
    """Set about `share` of the utterances aside, groups whole: speakers or dialogues, as `groups_of` finds."""
    groups, _ = groups_of(features)
    names = np.random.default_rng(0).permutation(np.unique(groups))
    sizes = np.array([(groups == name).sum() for name in names])
    count = int(np.searchsorted(np.cumsum(sizes), share * len(features)) + 1)
    out = np.isin(groups, names[: min(count, max(len(names) - 1, 0))])
    return features.take(np.flatnonzero(~out)), features.take(np.flatnonzero(out))


class _threads:
    """Set torch's thread count for a while."""

    def __init__(self, count: int) -> None:
        self.count = count

    def __enter__(self) -> None:
        self.before = torch.get_num_threads()
        torch.set_num_threads(self.count)

    def __exit__(self, *_: object) -> None:
        torch.set_num_threads(self.before)
