"""Variants that read windows: what was seen and heard at the same time, and in which order."""

from __future__ import annotations

import math
import operator
from collections.abc import Sequence
from functools import reduce
from typing import TYPE_CHECKING, ClassVar

from dualstream.heads.fusion.network import Network, Settings
from dualstream.heads.fusion.pooled import absence, concat, spans
from dualstream.heads.fusion.registration import network
from dualstream.heads.variants.options import Parameters

if TYPE_CHECKING:
    import torch
    from dualstream.heads.data.batch import Batch
    from dualstream.heads.training.weights import Dropout, Weights

PERIODS = (4.0, 8.0, 16.0, 64.0)  # windows; sine and cosine of each tell windows apart
PLACE_COLUMNS = 2 * len(PERIODS) + 3
TOGETHER = 1024  # windows, padding counted, that are read at once: what lies between two layers stays in the cache


class OverWindows(Network):
    """A network over windows, which are read in groups of utterances of like length.

    A batch is padded to its longest utterance; one of 64 windows would make 256 of 8 windows cost eight times
    what they hold. What a group makes of its utterances is what the whole batch would have made of them.
    """

    joins = True
    reads = "windows"

    def represent(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        """Return the representation (S, B, width), read in groups of utterances of like length."""
        import torch
        from dualstream.heads.training.weights import is_exporting

        if is_exporting():  # an exported graph decides nothing by lengths
            return self.read(batch, dropout)
        groups = alike(batch)
        if len(groups) == 1:
            return self.read(groups[0][1], dropout)
        made = torch.cat([self.read(part, dropout) for _, part in groups], dim=1)
        order = torch.cat([rows for rows, _ in groups])
        return made.index_select(1, order.argsort())

    def read(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        """Return the representation (S, B, width) of utterances of like length."""
        raise NotImplementedError


@network("aligned", summary="windows joined in time, then convolution and attention pooling over time")
class Aligned(OverWindows):
    """What is seen and heard in the same window is joined first; then time is looked at.

    Per window, one layer over all streams; then residual convolutions over neighbouring windows (as in
    temporal convolutional networks, Bai et al. 2018, https://arxiv.org/abs/1803.01271); then pooling by
    learned attention, which may favour a window for what it holds or for where it stands.
    """

    parameters: ClassVar[Parameters] = {"width": 64, "convolutions": 1}

    def build(self, weights: Weights, settings: Settings) -> int:
        """Make the layer over all streams' windows, the convolutions and the pooling."""
        width = int(settings.parameters["width"])
        total = sum(settings.widths.values()) + len(settings.streams) + PLACE_COLUMNS
        self.entry = weights.linear("entry", total, width, streams=spans(settings.widths))
        self.convolutions = [
            weights.linear(f"convolution{k}", 3 * width, width)
            for k in range(int(settings.parameters["convolutions"]))
        ]
        self.pool = AttentionPool(weights, "pool", width)
        self.after = weights.linear("after", width, settings.hidden)
        return settings.hidden

    def read(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        """Join the streams window by window, then pool over time; shape (S, B, hidden)."""
        inside = inside_mask(batch)
        streams = batch.streams.values()
        windows, missing = [one.windows for one in streams], [absence(one.mask) for one in streams]
        joined = concat(*windows, *missing, places(inside))  # (B, T, sum of D + streams + places)
        x = self.entry.shared(joined).relu()  # (S, B, T, width)
        there = inside.unsqueeze(-1).float()  # (B, T, 1)
        for layer in self.convolutions:
            x = x * there  # a tenth of the time of masked_fill
            x = x + layer(concat(shifted(x, 1), x, shifted(x, -1))).relu()
        return dropout.dropout(self.after(self.pool(x, inside)).relu())


@network(
    "crossmodal",
    summary="each stream's windows attend to each other's (MulT)",
    paper="Tsai et al. 2019, Multimodal Transformer, https://arxiv.org/abs/1906.00295",
)
class CrossModal(OverWindows):
    """Cross-modal attention over windows, after MulT (Tsai et al. 2019, https://arxiv.org/abs/1906.00295).

    Each stream's windows ask those of each other stream, in one layer or several: video asks audio and audio
    video; of three streams there are six such pairs. Unlike MulT: one head unless asked for more, and what the
    streams found, side by side, is pooled over time by learned attention in place of more self-attention and the
    last window, which is half the work. Of three streams or more, what a stream tells is the same for all that ask
    it, and what it hears of the others is added up: MulT has a network of its own for each pair, which takes three
    streams three times the work of two.
    """

    parameters: ClassVar[Parameters] = {"width": 32, "heads": 1, "layers": 1}

    def build(self, weights: Weights, settings: Settings) -> int:
        """Make each stream's layer, its attention to the others, and the pooling."""
        width, heads = int(settings.parameters["width"]), int(settings.parameters["heads"])
        layers = range(int(settings.parameters["layers"]))
        self.entries = {s: WindowLayer(weights, s, settings.widths[s], width) for s in settings.streams}
        self.cross = {
            s: [AttentionBlock(weights, f"{s}_cross{k}", width, heads) for k in layers] for s in settings.streams
        }
        self.pool = AttentionPool(weights, "pool", len(self.cross) * width)
        self.after = weights.linear("after", len(self.cross) * width, settings.hidden)
        return settings.hidden

    def read(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        """Let each stream attend to the others, then pool over time; shape (S, B, hidden)."""
        inside = inside_mask(batch)
        place = places(inside)
        start = {s: entry(batch, place) for s, entry in self.entries.items()}  # (S, B, T, width)
        found = self._of_two(start, inside) if len(start) == 2 else self._of_many(start, inside)
        return dropout.dropout(self.after(self.pool(concat(*found), inside)).relu())

    def _of_two(self, start: dict[str, torch.Tensor], inside: torch.Tensor) -> list[torch.Tensor]:
        found = []
        for (own, blocks), other in zip(self.cross.items(), reversed(start.values()), strict=True):
            x = start[own]
            for block in blocks:
                x = block(x, other, inside)
            found.append(x)
        return found

    def _of_many(self, start: dict[str, torch.Tensor], inside: torch.Tensor) -> list[torch.Tensor]:
        calm = {s: normed(x) for s, x in start.items()}
        found = dict(start)
        for layer in zip(*self.cross.values(), strict=True):
            blocks = dict(zip(self.cross, layer, strict=True))
            told = {s: block.tell(calm[s]) for s, block in blocks.items()}
            for s, block in blocks.items():
                x = found[s]
                own = calm[s] if x is start[s] else normed(x)
                found[s] = block.ask(x, own, [told[other] for other in told if other != s], inside)
        return list(found.values())


@network(
    "bottleneck",
    summary="streams that talk through a few shared tokens (MBT)",
    paper="Nagrani et al. 2021, Attention Bottlenecks for Multimodal Fusion, https://arxiv.org/abs/2107.00135",
)
class Bottleneck(OverWindows):
    """Attention bottlenecks (Nagrani et al. 2021, https://arxiv.org/abs/2107.00135).

    Each stream's windows attend to themselves and to a few shared tokens, and the tokens to them; what the
    streams make of the tokens is averaged. From the second layer on a stream hears of the others, and
    through the tokens alone. The heads read the tokens, so that in the last layer only these ask.
    """

    parameters: ClassVar[Parameters] = {"width": 32, "heads": 1, "layers": 2, "tokens": 4}

    def build(self, weights: Weights, settings: Settings) -> int:
        """Make each stream's layer and attention, and the tokens that they share."""
        width, heads = int(settings.parameters["width"]), int(settings.parameters["heads"])
        self.tokens = int(settings.parameters["tokens"])
        self.layers = int(settings.parameters["layers"])
        self.entries = {s: WindowLayer(weights, s, settings.widths[s], width) for s in settings.streams}
        weights.add("tokens", (self.tokens, width), bound=0.5)
        self.blocks = {
            s: [AttentionBlock(weights, f"{s}_block{k}", width, heads) for k in range(self.layers)]
            for s in settings.streams
        }
        self.after = weights.linear("after", self.tokens * width, settings.hidden)
        return settings.hidden

    def read(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        """Let the streams exchange what the shared tokens hold, layer by layer; shape (S, B, width)."""
        inside = inside_mask(batch)
        place = places(inside)
        count, length = inside.shape
        streams = {s: entry(batch, place) for s, entry in self.entries.items()}  # (S, B, T, width)
        tokens = self.weights["tokens"].unsqueeze(1)  # (S, 1, tokens, width)
        tokens = tokens.expand(-1, count, -1, -1)
        seen = concat(inside, inside.new_ones(count, self.tokens))  # (B, T + tokens)
        for layer in range(self.layers):
            made = []
            for stream in self.entries:
                x = join_time(streams[stream], tokens)
                asks = tokens if layer == self.layers - 1 else x
                x = self.blocks[stream][layer](asks, x, seen)
                streams[stream] = x[:, :, :length]
                made.append(x[:, :, -self.tokens :])
            tokens = reduce(operator.add, made) * (1 / len(made))
        return dropout.dropout(self.after(tokens.flatten(-2)).relu())


class WindowLayer:
    """One stream's windows (B, T, D) to (S, B, T, out), with their places; missing ones take a learned row."""

    def __init__(self, weights: Weights, stream: str, width: int, out: int) -> None:
        self.stream = stream
        self.layer = weights.linear(stream, width + 1 + PLACE_COLUMNS, out, streams={stream: (0, width)})

    def __call__(self, batch: Batch, place: torch.Tensor) -> torch.Tensor:
        one = batch.streams[self.stream]
        return self.layer.shared(concat(one.windows, absence(one.mask), place))


class AttentionBlock:
    """Attention and a small network, each added to what came in, layer norm before each.

    Vaswani et al. 2017, https://arxiv.org/abs/1706.03762; norm first: Xiong et al. 2020,
    https://arxiv.org/abs/2002.04745. The norms have no gain and offset: the product that follows each has
    its own; so has one head's answer in its values, and only several heads are mixed by a product of their own.
    Dropout is left to the representation, where it costs a tenth and served as well.
    """

    def __init__(self, weights: Weights, name: str, width: int, heads: int) -> None:
        if width % heads:
            raise ValueError(f"{heads} heads do not divide a width of {width}")
        self.heads, self.width = heads, width
        self.query = weights.linear(f"{name}.query", width, width)
        self.pair = weights.linear(f"{name}.pair", width, 2 * width)
        if heads > 1:
            self.out = weights.linear(f"{name}.out", width, width)
        self.wide = weights.linear(f"{name}.wide", width, 2 * width)
        self.back = weights.linear(f"{name}.back", 2 * width, width)

    def __call__(self, x: torch.Tensor, other: torch.Tensor, seen: torch.Tensor) -> torch.Tensor:
        """Let x (S, B, T, width) attend to other (S, B, U, width) where seen (B, U)."""
        calm = normed(other)
        return self.ask(x, calm if x is other else normed(x), [self.tell(calm)], seen)

    def tell(self, calm: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
        """Return what normed windows (S, B, U, width) give who asks them: keys and values."""
        key, value = self.pair(calm).chunk(2, dim=-1)
        return key, value

    def ask(
        self,
        x: torch.Tensor,
        calm: torch.Tensor,
        told: Sequence[tuple[torch.Tensor, torch.Tensor]],
        seen: torch.Tensor,
    ) -> torch.Tensor:
        """Let x, normed as `calm`, attend to what each of others told, one after the other, where seen (B, U)."""
        query = self.query(calm)
        bias = low_outside(seen)[:, None, None, :]  # (B, 1, 1, U)
        for key, value in told:
            if self.heads == 1:
                x = x + attend(query, key, value, bias[:, 0])
            else:
                q, k, v = (t.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for t in (query, key, value))
                x = x + self.out(attend(q, k, v, bias).transpose(-2, -3).flatten(-2))
        return x + self.back(self.wide(normed(x)).relu())


class AttentionPool:
    """Mean over time with learned weights (Yang et al. 2016, https://aclanthology.org/N16-1174)."""

    def __init__(self, weights: Weights, name: str, width: int) -> None:
        self.score = weights.linear(name, width, 1)

    def __call__(self, x: torch.Tensor, inside: torch.Tensor) -> torch.Tensor:
        """Pool (S, B, T, width) to (S, B, width) over the windows inside (B, T)."""
        weight = (self.score(x).squeeze(-1) + low_outside(inside)).softmax(-1)  # (S, B, T)
        return (weight.unsqueeze(-1) * x).sum(-2)


def attend(query: torch.Tensor, key: torch.Tensor, value: torch.Tensor, bias: torch.Tensor) -> torch.Tensor:
    """Scaled dot-product attention over the last two axes; bias is added to the scores."""
    scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2) + bias
    return scores.softmax(-1) @ value


def normed(x: torch.Tensor) -> torch.Tensor:
    """Layer-normalise the last axis."""
    from torch.nn import functional

    return functional.layer_norm(x, x.shape[-1:])


def low_outside(mask: torch.Tensor) -> torch.Tensor:
    """Return 0 where a mask is True and a number so low that softmax gives 0 elsewhere."""
    return (~mask).float() * -1e9


def alike(batch: Batch) -> list[tuple[torch.Tensor, Batch]]:
    """Split a batch into groups of like length, longest first: which utterances, and a batch of them alone.

    The batch is cut to its longest utterance. A group holds `TOGETHER` windows at most, padding counted, or one
    utterance.
    """
    import torch

    everyone = torch.arange(len(batch.dialogue))
    if next(iter(batch.streams.values())).mask.numel() <= TOGETHER:
        return [(everyone, batch)]
    lengths, order = inside_mask(batch).sum(1).sort(descending=True, stable=True)
    groups, start = [], 0
    while start < len(order):
        longest = int(lengths[start])
        rows = order[start : start + max(1, TOGETHER // longest)]
        groups.append((rows, batch.take(rows, longest)))
        start += len(rows)
    return groups


def inside_mask(batch: Batch) -> torch.Tensor:
    """Return (B, T): True up to an utterance's last window that holds anything; the first always."""
    anything = reduce(operator.or_, (one.mask for one in batch.streams.values()))
    any_later = anything.flip(1).float().cumsum(1)  # no cummax: ONNX has none
    inside = (any_later > 0).flip(1)
    inside[:, 0] = True
    return inside


def places(inside: torch.Tensor) -> torch.Tensor:
    """Return where each window stands, (B, T, PLACE_COLUMNS): from the start, from the end, and as a share."""
    count = inside.sum(1, keepdim=True).float()  # (B, 1)
    step = inside.float().cumsum(1) - 1.0  # (B, T): 0, 1, 2 ...
    left = (count - 1.0 - step).clamp(min=0.0)
    columns = [(step / 8.0).clamp(max=4.0), (left / 8.0).clamp(max=4.0), 2.0 * step / count - 1.0]
    for period in PERIODS:
        angle = step * (2.0 * math.pi / period)
        columns += [angle.sin(), angle.cos()]
    return concat(*(column.unsqueeze(-1) for column in columns))


def shifted(x: torch.Tensor, by: int) -> torch.Tensor:
    """Return (S, B, T, D) moved by one window along time, zeros coming in."""
    gap = x.new_zeros(*x.shape[:2], 1, x.shape[-1])
    return join_time(gap, x[:, :, :-1]) if by > 0 else join_time(x[:, :, 1:], gap)


def join_time(first: torch.Tensor, then: torch.Tensor) -> torch.Tensor:
    """Join along time."""
    import torch

    return torch.cat([first, then], dim=2)
