"""A trained network as a torch module that takes unscaled features, for other runtimes."""

from __future__ import annotations

from collections.abc import Callable, Mapping

import torch
from dualstream.heads.data.batch import Batch, StreamBatch
from dualstream.heads.fusion.network import Network, Settings
from dualstream.heads.training.tensors import CLIP, Scaler
from dualstream.heads.variants.contract import Task
from torch import Tensor, nn
from torch.nn import functional


class NetworkModule(nn.Module):
    """One trained network, with the scaling that `heads.training.tensors.TensorSet` does before it.

    Parameters
    ----------
    network
        Whether streams are read whole or by windows, and how they are scaled.
    settings, scalers
        As the network was trained.
    log_probabilities
        Of a batch that is scaled.
    """

    def __init__(
        self,
        network: type[Network],
        settings: Settings,
        scalers: dict[str, Scaler],
        log_probabilities: Callable[[Batch], dict[Task, Tensor]],
    ) -> None:
        super().__init__()
        self.scale, self.log_probabilities = network.scale, log_probabilities
        self.widths = settings.widths
        self.windowed, self.over_dialogues = network.reads == "windows", network.whole_dialogues
        self.max_windows = settings.max_windows
        self.tasks = settings.tasks
        self.scales = {
            stream: (torch.from_numpy(scaler.mean), torch.from_numpy(scaler.spread), scaler.layers)
            for stream, scaler in scalers.items()
        }

    def forward(self, inputs: Mapping[str, Tensor]) -> dict[Task, Tensor]:
        """Return log-probabilities (B, C); `heads.export.HeadGraph` says what `inputs` holds."""
        first = inputs[f"{next(iter(self.widths))}_present"]
        dialogue = inputs.get("dialogue", torch.zeros_like(first, dtype=torch.int64))
        return self.log_probabilities(Batch({s: self._stream(s, inputs) for s in self.widths}, dialogue))

    def _stream(self, stream: str, inputs: Mapping[str, Tensor]) -> StreamBatch:
        rows, present = inputs[stream], inputs[f"{stream}_present"]
        count, columns = rows.shape[0], rows.shape[-1]
        mask = inputs[f"{stream}_mask"] & present.unsqueeze(-1) if self.windowed else present
        scaled = self._scaled(stream, rows).masked_fill(~mask.unsqueeze(-1), 0.0)
        if self.windowed:
            return StreamBatch(scaled, mask, rows.new_zeros(count, columns), present)
        no_windows = rows.new_zeros(count, 0, columns)
        return StreamBatch(no_windows, torch.zeros(count, 0, dtype=torch.bool), scaled, present)

    def _scaled(self, stream: str, rows: Tensor) -> Tensor:
        if self.scale == "raw":
            return rows
        mean, spread, layers = self.scales[stream]
        scaled = ((rows - mean) / spread).clamp(-CLIP, CLIP)
        if self.scale != "normed":
            return scaled
        if layers == 1:
            return functional.layer_norm(scaled, (len(mean),))
        return functional.layer_norm(scaled.unflatten(-1, (layers, -1)), (len(mean) // layers,)).flatten(-2)
