"""The training loop of an encoder under dual heads: epochs, early stopping by utterance, checkpoints.

    samples ─▶ augment ─▶ encoder (B, width) ─▶ mean by utterance ─▶ dual heads ─▶ losses ─▶ balance ─▶ AdamW
                            │                                        └▶ dev: macro F1
                            └▶ heads of single samples ─▶ losses ──────────────┘

All that is drawn comes from generators that are seeded with (seed, epoch, step) alone, so the state of randomness
IS the position, and a run that goes on from a checkpoint draws what it would have drawn.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from dualstream.features.trainable import TrainableEncoder
from dualstream.heads.evaluation import confusion
from dualstream.heads.training.task_balance import make_balance
from dualstream.heads.training.weights import Weights
from dualstream.heads.variants.registry import Task
from dualstream.pipeline.encoder_training.document import DevLook, EpochNews, EpochRecord
from dualstream.pipeline.encoder_training.objective import HEAD, Objective, SampleLabels, TrainingStep
from dualstream.pipeline.encoder_training.options import TrainOptions
from dualstream.pipeline.encoder_training.samples import Samples
from dualstream.pipeline.encoder_training.schedule import (
    ENCODER,
    block_depth,
    depths,
    make_optimiser,
    rate_share,
    seed_of,
)
from dualstream.pipeline.encoder_training.training_state import TrainingProgress, TrainingState
from dualstream.pipeline.errors import UsageError
from numpy.typing import NDArray
from scipy.special import logsumexp
from torch import Tensor
from torch.func import functional_call
from torch.nn import functional

LONGEST_GRADIENT = 5.0  # a longer one is cut to this norm
EVAL_BATCH = 64


class EncoderTraining:
    """One training of one encoder.

    Parameters
    ----------
    identity
        Digest of all that shapes the weights: a checkpoint of another one is refused.
    checkpoint
        Where it lies.
    checkpoint_s
        Seconds after which the next step writes one; each epoch ends with one too.
    report
        Called with each epoch's record; ``seconds`` in it is all of the epoch, ``train_seconds`` the steps alone.
    """

    def __init__(
        self,
        encoder: TrainableEncoder,
        samples: Samples,
        labels: SampleLabels,
        options: TrainOptions,
        *,
        device: torch.device,
        identity: str,
        checkpoint: Path,
        checkpoint_s: float = 120.0,
        report: Callable[[EpochNews], None] = lambda news: None,
    ) -> None:
        self.encoder, self.samples, self.labels, self.options = encoder, samples, labels, options
        self.device, self.identity, self.checkpoint = device, identity, checkpoint
        self.checkpoint_s, self.report = checkpoint_s, report
        if options.task_balance == "surgery" and device.type != "cpu":
            raise UsageError("--task-balance surgery runs only on the CPU; use --device cpu, or uncertainty")
        self.weights = Weights([options.seed])
        self.objective = Objective(self.weights, encoder.width, samples, labels, options)
        self.head, self.tasks = self.objective.head, self.objective.tasks
        if encoder.fit_scale is not None:
            encoder.fit_scale(samples, self.objective.rows)
        self.net = encoder.net.to(device=device, memory_format=torch.channels_last)  # type: ignore[call-overload]
        self.balance = make_balance(options.task_balance, self.weights, options.sentiment_weight)
        self.depth = depths(encoder, options)
        for name, array in self.net.named_parameters():
            array.requires_grad_(False)
            if name in self.depth:
                self.weights.tensors[ENCODER + name] = array.detach()[None].clone()
        self.optimiser = make_optimiser(self.weights, self.depth, options)
        self.training_state = TrainingState(self.net, self.weights, self.optimiser)

    @property
    def progress(self) -> TrainingProgress:
        """Where training stands."""
        return self.training_state.progress

    @property
    def best_epoch(self) -> int:
        """The epoch whose weights are left in place, from 1 on."""
        return self.progress.best_epoch + 1 if self.training_state.best else self.progress.epoch

    def run(self) -> tuple[EpochRecord, ...]:
        """Train to the end, from the checkpoint if one is there; leave the best weights in place; return history.

        Raises
        ------
        UsageError
            Where the checkpoint is of another training.
        CorruptError
            Where it is damaged.
        """
        self.training_state.resume(self.checkpoint, self.identity)
        while self.progress.epoch < self.options.epochs and not self.progress.stopped:
            self._epoch()
        self.training_state.return_to_best()
        return self.progress.history

    def state(self) -> dict[str, Tensor]:
        """Return the encoder's tensors under the names of its weights file, and the heads'."""
        from dualstream.features.weights import HEAD_PREFIX

        whole = {**dict(self.net.named_parameters()), **dict(self.net.named_buffers())}
        for name, tensor in self.weights.tensors.items():
            if name.startswith(ENCODER):
                whole[name.removeprefix(ENCODER)] = tensor[0]
        tensors = {self.encoder.file_name(name): tensor for name, tensor in whole.items()}
        tensors |= {f"{HEAD_PREFIX}{name}": self.weights[f"{HEAD}.{name}"][0] for name in ("weight", "bias")}
        return {name: tensor.detach().cpu().contiguous().clone() for name, tensor in tensors.items()}

    def predict(self, wanted: NDArray[np.bool_]) -> tuple[NDArray[np.int64], dict[Task, NDArray[np.float64]]]:
        """Return the utterances (indices) that `wanted` marks and that have samples, and their log-probabilities.

        An utterance's are the mean of its samples', less what makes their probabilities sum to 1: their
        geometric mean. Shape (U, C) by task.
        """
        owner = self.samples.utterance
        rows = np.flatnonzero(wanted[owner])
        found: dict[Task, list[NDArray[np.float64]]] = {task: [] for task in self.tasks}
        self.net.eval()
        batches = [rows[first : first + EVAL_BATCH] for first in range(0, len(rows), EVAL_BATCH)]
        with torch.inference_mode():
            for _, x, lengths in self.samples.batches(batches):
                logits = self.head(self._embedding(x, lengths, None)[None])
                for task in self.tasks:
                    found[task].append(_log_softmax(getattr(logits, task)))
        at, index = np.unique(owner[rows], return_inverse=True)
        counts = np.bincount(index, minlength=len(at))[:, None]
        answer: dict[Task, NDArray[np.float64]] = {}
        for task in self.tasks:
            sums = np.zeros((len(at), self.labels.classes[task]))
            if len(rows):
                np.add.at(sums, index, np.concatenate(found[task]))
            mean = sums / np.maximum(counts, 1)
            answer[task] = mean - logsumexp(mean, axis=1, keepdims=True)
        return at, answer

    def _epoch(self) -> None:
        progress, options = self.progress, self.options
        steps = self.objective.steps(progress.epoch)
        waiting = steps[progress.step :]
        unfrozen = self._thaw(progress.epoch)
        written_s, started_s = time.monotonic(), time.monotonic()
        batches = self.samples.batches([step.rows for step in waiting])
        for step, (_, x, lengths) in zip(waiting, batches, strict=True):
            rate = rate_share(options, len(steps), progress.epoch, progress.step)
            progress.loss_sum += self._step(step, x, lengths, rate)
            progress.step += 1
            if progress.step < len(steps) and time.monotonic() - written_s >= self.checkpoint_s:
                self.training_state.write(self.checkpoint, self.identity)
                written_s = time.monotonic()
        trained_s = time.monotonic() - started_s
        if not math.isfinite(progress.loss_sum):
            raise UsageError(
                f"the loss is no longer a number in epoch {progress.epoch + 1}; lower --learning-rate "
                f"({options.learning_rate:g}), or train in fp32"
            )
        last = rate_share(options, len(steps), progress.epoch, len(steps) - 1)
        seen = self._look()
        record = EpochRecord(
            epoch=progress.epoch + 1,
            train_loss=progress.loss_sum / len(steps),
            learning_rate=last * options.learning_rate,
            thawed=tuple(unfrozen),
            dev_score=seen.dev_score,
            dev_loss=seen.dev_loss,
        )
        progress.history += (record,)
        progress.epoch, progress.step, progress.loss_sum = progress.epoch + 1, 0, 0.0
        self.training_state.write(self.checkpoint, self.identity)
        self.report(EpochNews(record, options.epochs, time.monotonic() - started_s, trained_s))

    def _step(self, step: TrainingStep, x: NDArray[Any], lengths: NDArray[np.int64], rate: float) -> float:
        """Train on one step's samples at this share of the learning rate; return the loss."""
        progress = self.progress
        for group in self.optimiser.param_groups:
            group["lr"] = self.options.learning_rate * rate * group["share"]
        seed = seed_of(self.options.seed, "step", progress.epoch, progress.step)
        generator = torch.Generator().manual_seed(seed)
        devices = [self.device] if self.device.type == "cuda" else []
        self.net.train()
        with torch.random.fork_rng(devices=devices):
            torch.manual_seed(seed)  # of dropout
            embedding = self._embedding(x, lengths, generator)
        losses = self.objective.losses(embedding, step)
        self.optimiser.zero_grad(set_to_none=True)
        self.balance(losses)
        arrays = [array for array in self.weights.parameters() if array.grad is not None]
        torch.nn.utils.clip_grad_norm_(arrays, LONGEST_GRADIENT)
        self.optimiser.step()
        return float(sum(float(loss.detach().sum()) for loss in losses.values()))

    def _embedding(self, x: NDArray[Any], lengths: NDArray[np.int64], generator: torch.Generator | None) -> Tensor:
        """Return embeddings (B, width), float32 on the CPU: the heads live there, wherever the encoder is."""
        inputs = self.encoder.prepare(torch.from_numpy(x).to(self.device), torch.from_numpy(lengths), generator)
        arrays = {
            name.removeprefix(ENCODER): tensor[0]
            for name, tensor in self.weights.tensors.items()
            if name.startswith(ENCODER)
        }
        bf16 = self.options.precision == "bf16"
        with torch.autocast(self.device.type, dtype=torch.bfloat16, enabled=bf16):
            embedding = functional_call(self.net, arrays, inputs)  # (B, width)
        return embedding.float().cpu()

    def _look(self) -> DevLook:
        """Score dev, keep the weights if they are the best yet, and stop where patience is at its end."""
        progress, options = self.progress, self.options
        at, found = self.predict(self.labels.dev)
        scores, losses = [], []
        for task in self.tasks:
            truth = self.labels.of(task)[at]
            known = np.flatnonzero(truth >= 0)
            if len(known):
                log_p = found[task][known]
                counts = confusion.group_confusions(
                    truth[known], log_p.argmax(1)[None], log_p.shape[1], np.zeros(len(known), np.int64)
                )
                scores.append(float(confusion.headlines(counts[0, 0])[confusion.HEADLINES.index("macro_f1")]))
                losses.append(float(-log_p[np.arange(len(known)), truth[known]].mean()))
        score = float(np.mean(scores)) if scores else None
        loss = float(np.mean(losses)) if losses else None
        watched = options.patience > 0 and score is not None and loss is not None
        if watched:
            assert score is not None and loss is not None
            if (score, -loss) > (progress.best_score, -progress.best_loss):
                progress.best_score, progress.best_loss, progress.best_epoch = score, loss, progress.epoch
                progress.last_gain = progress.epoch
                self.training_state.keep_as_best()
            # at the start answers are those of chance, and one of them may score well: then the loss alone
            # tells that something is being learned
            if loss < progress.lowest_loss:
                progress.lowest_loss, progress.last_gain = loss, progress.epoch
            if progress.epoch - progress.last_gain >= options.patience and self._all_thawed():
                progress.stopped = "patience"
        return DevLook(score, loss)

    def _thaw(self, epoch: int) -> list[str]:
        """Let gradients into what is unfrozen in this epoch; return the blocks' names."""
        depth = epoch // self.options.unfreeze_every
        for name, array in self.weights.tensors.items():
            array.requires_grad_(block_depth(name, self.depth) <= depth)
        chosen = (self.encoder.blocks[0].name, *self.options.unfreeze)
        return list(chosen[: depth + 1])

    def _all_thawed(self) -> bool:
        return self.progress.epoch // self.options.unfreeze_every >= len(self.options.unfreeze)


def _log_softmax(logits: Tensor) -> NDArray[np.float64]:
    """Return log-probabilities of logits, shape (1, B, C), as (B, C)."""
    found: NDArray[np.float64] = functional.log_softmax(logits[0].double(), dim=-1).numpy()
    return found
