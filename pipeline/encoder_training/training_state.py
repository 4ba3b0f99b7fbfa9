"""All that moves in a training, and its way into a checkpoint and back."""

from __future__ import annotations

import math
from dataclasses import dataclass
from pathlib import Path

import torch
from dualstream.heads.training.weights import Weights
from dualstream.pipeline.encoder_training.checkpoint import read_checkpoint, write_checkpoint
from dualstream.pipeline.encoder_training.document import EpochRecord
from dualstream.pipeline.errors import CorruptError, UsageError
from dualstream.pipeline.memory import refuse_shortage
from torch import Tensor, nn

from dualstream.documents import plain, read_fields

BEST = "best/"


@dataclass
class TrainingProgress:
    """Where training stands; all of it is in a checkpoint."""

    epoch: int = 0
    step: int = 0
    """The next one of this epoch."""
    loss_sum: float = 0.0
    best_score: float = -math.inf
    best_loss: float = math.inf
    best_epoch: int = -1
    lowest_loss: float = math.inf
    """Of dev in any epoch; `best_loss` is that of the best epoch."""
    last_gain: int = -1
    """The latest epoch that brought a better score or a lower loss: patience counts from here."""
    stopped: str = ""
    history: tuple[EpochRecord, ...] = ()


class TrainingState:
    """Arrays that are trained, the network's buffers, AdamW's moments, the best weights yet, and the position."""

    def __init__(self, net: nn.Module, weights: Weights, optimiser: torch.optim.Optimizer) -> None:
        self.net, self.weights, self.optimiser = net, weights, optimiser
        self.progress = TrainingProgress()
        self.best: dict[str, Tensor] = {}

    def keep_as_best(self) -> None:
        """Remember the weights as they are."""
        self.best = {name: tensor.detach().clone() for name, tensor in self._arrays().items()}

    def return_to_best(self) -> None:
        """Put the best weights back in place, where any were kept."""
        if self.best:
            self._put(self.best)

    def write(self, path: Path, identity: str) -> None:
        """Put a checkpoint at `path`, of the training that `identity` is the digest of."""
        tensors = self._arrays()
        tensors |= {BEST + name: tensor for name, tensor in self.best.items()}
        for name, array in self.weights.tensors.items():
            for part, value in self.optimiser.state.get(array, {}).items():
                tensors[f"adam/{part}/{name}"] = value.reshape(1) if value.ndim == 0 else value
        # JSON has no infinity: what is not finite is what a Position begins with
        facts = vars(self.progress).items()
        where = {k: plain(v) for k, v in facts if not isinstance(v, float) or math.isfinite(v)}
        note = {"identity": identity, "position": where, "random": "drawn from seed, epoch and step"}
        write_checkpoint(path, tensors, note)

    def resume(self, path: Path, identity: str) -> None:
        """Go back to where a checkpoint was written; do nothing where there is none.

        Raises
        ------
        UsageError
            Where it is of another training.
        CorruptError
            Where it is damaged, or does not fit.
        """
        try:
            tensors, note = read_checkpoint(path)
        except FileNotFoundError:
            return
        if note["identity"] != identity:
            raise UsageError(
                f"{path} is of a training with other options or other data; remove it, use --replace, "
                "or choose another --out"
            )
        own = self._arrays()
        try:
            self._put(tensors)
            self.best = {name: tensors[BEST + name].to(own[name].device) for name in own if BEST + name in tensors}
            for name, array in self.weights.tensors.items():
                parts = {key: tensors.get(f"adam/{key}/{name}") for key in ("step", "exp_avg", "exp_avg_sq")}
                if parts["step"] is not None and parts["exp_avg"] is not None and parts["exp_avg_sq"] is not None:
                    self.optimiser.state[array] = {
                        "step": parts["step"].reshape(()),
                        **{
                            key: torch.empty_like(array, requires_grad=False).copy_(parts[key])  # type: ignore[arg-type]
                            for key in ("exp_avg", "exp_avg_sq")
                        },
                    }
            self.progress = read_fields(TrainingProgress, note["position"])
        except (KeyError, TypeError, ValueError, RuntimeError) as error:
            refuse_shortage(error, f"while {path} is taken up")
            raise CorruptError(f"{path} does not fit this training: {error}; remove it") from error

    def _arrays(self) -> dict[str, Tensor]:
        arrays = {f"weights/{name}": tensor for name, tensor in self.weights.tensors.items()}
        return arrays | {f"buffers/{name}": tensor for name, tensor in self.net.named_buffers()}

    def _put(self, arrays: dict[str, Tensor]) -> None:
        with torch.no_grad():
            for name, tensor in self._arrays().items():
                tensor.copy_(arrays[name])
