"""A bidirectional LSTM over log-mel frames, 96 units each way."""

from __future__ import annotations

import torch
from dualstream.features.encoder import AUDIO_WIDTH
from dualstream.features.log_mel import BANDS
from torch import Tensor, nn
from torch.nn.utils.rnn import pack_padded_sequence, pad_packed_sequence

UNITS = AUDIO_WIDTH // 2  # each way


class BiLstm(nn.Module):
    """A bidirectional LSTM whose states are averaged over time (Graves and Schmidhuber 2005,
    https://doi.org/10.1016/j.neunet.2005.06.042).

    Notes
    -----
    `mean` and `spread` of the bands, shape (BANDS,), are part of the weights: training takes them from the
    train split, and random weights from a rough guess.
    """

    mean: Tensor
    spread: Tensor

    def __init__(self) -> None:
        super().__init__()
        self.register_buffer("mean", torch.full((BANDS,), -6.0))
        self.register_buffer("spread", torch.full((BANDS,), 4.0))
        self.lstm = nn.LSTM(BANDS, UNITS, batch_first=True, bidirectional=True)

    def forward(self, frames: Tensor, lengths: Tensor) -> Tensor:
        """Turn log-mel frames, shape (B, T, BANDS), of which the first `lengths`, (B,), count, into (B, 192)."""
        x = (frames - self.mean) / self.spread
        # torch's LSTM keeps a list of its arrays: under functional_call it must see those that are put in
        self.lstm._flat_weights = [getattr(self.lstm, name) for name in self.lstm._flat_weights_names]
        packed = pack_padded_sequence(x, lengths.cpu(), batch_first=True, enforce_sorted=False)
        states, _ = pad_packed_sequence(self.lstm(packed)[0], batch_first=True)  # (B, T', 192), zeros behind
        return states.sum(1) / lengths.to(states)[:, None]

    def reset(self, seed: int) -> BiLstm:
        """Draw all weights anew from `seed` as torch's LSTM does; forget gates begin open; return self."""
        generator = torch.Generator().manual_seed(seed)
        bound = UNITS**-0.5
        with torch.no_grad():
            for name, array in self.lstm.named_parameters():
                array.uniform_(-bound, bound, generator=generator)
                if name.startswith("bias_ih"):  # order of the gates: input, forget, cell, output
                    array[UNITS : 2 * UNITS] = 1.0
        return self
