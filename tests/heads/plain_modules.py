"""Plain torch modules, as a user would write them, that tests register as variants for a while."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from dualstream.heads.variants import registry
from dualstream.heads.variants.module import Batch, Logits, Settings, register_variant
from torch import nn

from tests.registries import scratch

NAMES = ("plain-rows", "plain-windows", "plain-audio")


class Rows(nn.Module):
    """Rows of both streams, with all that a module may hold: buffers, dropout, a scalar, what is not trained."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.entry = nn.ModuleDict({name: nn.Linear(w, settings.hidden) for name, w in settings.widths.items()})
        self.norm = nn.BatchNorm1d(settings.hidden)
        self.gain = nn.Parameter(torch.tensor(1.0))
        self.fixed = nn.Parameter(torch.tensor(float(settings.parameters["fixed"])), requires_grad=False)
        self.dropout = nn.Dropout(settings.dropout)
        self.sizes = settings.emotions, settings.sentiments
        self.out = nn.Linear(settings.hidden, sum(self.sizes))

    def forward(self, batch: Batch) -> Logits:
        joined = self.entry["video"](batch.video_utterance) + self.entry["audio"](batch.audio_utterance)
        hidden = self.dropout(self.norm(self.gain * joined.relu())) + self.fixed
        return Logits(*self.out(hidden).split(self.sizes, dim=-1))


class Windows(nn.Module):
    """The mean of each stream's windows that are there; a layer of its own for each task."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        width = sum(settings.widths.values())
        self.emotion = nn.Linear(width, settings.emotions) if settings.emotions else None
        self.sentiment = nn.Linear(width, settings.sentiments) if settings.sentiments else None

    def forward(self, batch: Batch) -> Logits:
        rows = torch.cat([mean(batch.video, batch.video_mask), mean(batch.audio, batch.audio_mask)], dim=-1)
        nothing = rows[:, :0]
        heads = (self.emotion, self.sentiment)
        return Logits(*(nothing if head is None else head(rows) for head in heads))


class Audio(nn.Module):
    """One stream, nothing but a layer."""

    def __init__(self, settings: Settings) -> None:
        super().__init__()
        self.sizes = settings.emotions, settings.sentiments
        self.out = nn.Linear(settings.widths["audio"], sum(self.sizes))

    def forward(self, batch: Batch) -> Logits:
        return Logits(*self.out(batch.audio_utterance).split(self.sizes, dim=-1))


def mean(windows: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    return windows.sum(1) / mask.sum(1, keepdim=True).clamp(min=1)


@contextmanager
def plain_modules() -> Iterator[None]:
    """Register all of NAMES, for a while."""
    with scratch(registry.VARIANTS):
        register_variant("plain-rows", parameters={"fixed": 0.5})(Rows)
        register_variant("plain-windows", reads="windows", scale="normed")(Windows)
        register_variant("plain-audio", streams=("audio",), scale="raw")(Audio)
        yield
