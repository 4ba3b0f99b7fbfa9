"""Weights: the arrays of S models side by side, the layers that use them, and the noise of training.

Every array has a leading seed axis. Products run seed by seed, everything else on all seeds at once,
and no operation mixes seeds: what a seed becomes does not depend on the company it is trained in.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from dualstream.heads.training.layer_weights import LayerSpan, logits_name, mixed, shares
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

ALIGNED = 16  # floats, 64 bytes: a cache line, and torch's own alignment
NARROW = 16  # columns: a narrower product is taken with its sides swapped, which MKL does four times faster
BYTE = 256  # dropout is drawn by the byte: its rate is a multiple of 1/256


class Weights:
    """Named arrays (S, ...) of S seeds; layers are made by name and look their arrays up at each call.

    Parameters
    ----------
    seeds
        One model a seed; each draws its start from a generator of its own.
    arrays
        Arrays of ONE model by name, in place of random ones; `seeds` then has one entry.
    layers
        Numbers of the layers of each stream whose layers are weighed by learned weights.
    """

    def __init__(
        self,
        seeds: Sequence[int],
        arrays: dict[str, NDArray[Any]] | None = None,
        layers: Mapping[str, Sequence[int]] | None = None,
    ) -> None:
        self.seeds = list(seeds)
        self.layers = {stream: len(numbers) for stream, numbers in (layers or {}).items()}
        self.tensors: dict[str, Tensor] = {}
        self.buffers: dict[str, Tensor] = {}
        """Arrays (S, ...) that are kept with the weights, but not trained: running means, say."""
        self.stream_rows: list[tuple[str, int, int, str]] = []
        """(array, first row, end row, stream): which rows of the first layers belong to which stream."""
        self._arrays = arrays
        self.rooms: dict[str, Tensor] = {}
        """Shape (S, P) by name: where an array lives from `train` on, each seed's part on an aligned address."""
        self._generators = [torch.Generator().manual_seed(int(seed)) for seed in seeds]

    def linear(
        self,
        name: str,
        width: int,
        out: int,
        *,
        streams: dict[str, tuple[int, int]] | None = None,
        counted: bool = True,
    ) -> Linear:
        """Return an affine layer; ``streams`` says which input columns belong to a stream.

        The layers of a stream are mixed first, and their rows have the width of one. `counted`: whether the
        gradients of a stream's rows count as that stream's share.
        """
        spans, compact, removed = [], {}, 0
        for stream, (start, stop) in (streams or {}).items():
            count = self.layers.get(stream, 1)
            if count > 1:
                spans.append(LayerSpan(stream, start, stop, count))
                self.layer_logits(stream)
            shrunk = (stop - start) // count
            compact[stream] = (start - removed, start - removed + shrunk)
            removed += stop - start - shrunk
        for stream, (start, stop) in compact.items() if counted else ():
            self.stream_rows.append((f"{name}.weight", start, stop, stream))
        bound = 1.0 / math.sqrt(max(width - removed, 1))
        self.add(f"{name}.weight", (width - removed, out), bound)
        self.add(f"{name}.bias", (1, out), bound)
        return Linear(self, name, tuple(spans))

    def layer_logits(self, stream: str) -> None:
        """Make the logits of a stream's layers, equal at first, where they are not there yet."""
        if logits_name(stream) not in self.tensors:
            self.add(logits_name(stream), (self.layers[stream],), fill=0.0)

    def layer_shares(self, layers: Mapping[str, Sequence[int]]) -> dict[str, dict[int, float]]:
        """Return the learned weights of the first seed by stream and number of the layer."""
        return {
            stream: dict(zip(map(int, numbers), shares(self, stream)[0].detach().tolist(), strict=True))
            for stream, numbers in layers.items()
        }

    def norm(self, name: str, width: int) -> Norm:
        """Return a layer norm with a learned gain and offset."""
        self.add(f"{name}.gain", (width,), fill=1.0)
        self.add(f"{name}.offset", (width,), fill=0.0)
        return Norm(self, name)

    def add(
        self, name: str, shape: tuple[int, ...], bound: float = 0.0, fill: float = 0.0, *, since: str = ""
    ) -> str:
        """Make one array a seed: uniform in ±bound, or ``fill`` where bound is 0.

        `since` names the version that brought an array; models of earlier ones have ``fill`` in its place.
        """
        if name in self.tensors:
            raise ValueError(f"two layers are called {name!r}")
        if self._arrays is not None and (name in self._arrays or not since):
            value = self._given(self._arrays, name, shape, np.dtype(np.float32))
        else:
            value = torch.full((len(self.seeds), *shape), fill)
            if bound:
                for row, generator in zip(value, self._generators, strict=True):
                    row.uniform_(-bound, bound, generator=generator)
        self.tensors[name] = value
        return name

    def put(self, name: str, start: Tensor, *, trained: bool = True) -> str:
        """Take an array (S, ...) as it is, or what replaces it, of the same shape, in the model's arrays."""
        if name in self.tensors or name in self.buffers:
            raise ValueError(f"two layers are called {name!r}")
        if self._arrays is not None:
            start = self._given(self._arrays, name, tuple(start.shape[1:]), start.detach().numpy().dtype)
        (self.tensors if trained else self.buffers)[name] = start.detach().clone()
        return name

    @staticmethod
    def _given(arrays: dict[str, NDArray[Any]], name: str, shape: tuple[int, ...], dtype: np.dtype[Any]) -> Tensor:
        if name not in arrays or arrays[name].shape != shape:
            found = None if name not in arrays else arrays[name].shape
            raise ValueError(f"weights {name!r} have shape {found}; expected {shape}")
        return torch.from_numpy(np.array(arrays[name], dtype=dtype, order="C"))[None]

    def __getitem__(self, name: str) -> Tensor:
        return self.tensors[name]

    def parameters(self) -> list[Tensor]:
        """Return the arrays in the order in which they were made."""
        return list(self.tensors.values())

    def arrays(self, row: int) -> dict[str, NDArray[Any]]:
        """Return copies of the arrays of one seed, by name."""
        return {name: value[row].detach().numpy().copy() for name, value in (self.tensors | self.buffers).items()}

    def train(self) -> None:
        """Give each array its room and let gradients flow into it; no array can be added after."""
        for name, value in self.tensors.items():
            room = torch.zeros(len(self.seeds), _padded(value[0].numel()))
            room[:, : value[0].numel()] = value.reshape(len(value), -1)
            self._move(name, room)

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these seeds alone."""
        self.seeds = [self.seeds[row] for row in rows]
        index = torch.tensor(list(rows))
        for name, room in self.rooms.items():
            self._move(name, room[index])
        self.buffers = {name: value[index] for name, value in self.buffers.items()}

    def take_gradients(self) -> list[Tensor]:
        """Return the arrays' gradients in the shapes and the order of `rooms`, and forget them."""
        taken = []
        for name, room in self.rooms.items():
            grad, self.tensors[name].grad = self.tensors[name].grad, None
            if grad is not None and grad.is_contiguous() and grad.numel() == room.numel():
                taken.append(grad.view(room.shape))
            else:
                padded = torch.zeros_like(room)
                if grad is not None:
                    padded[:, : grad[0].numel()] = grad.reshape(len(grad), -1)
                taken.append(padded)
        return taken

    def _move(self, name: str, room: Tensor) -> None:
        shape = self.tensors[name].shape[1:]
        self.rooms[name] = room
        self.tensors[name] = room[:, : shape.numel()].view(len(room), *shape).requires_grad_(True)

    def load(self, arrays: Sequence[dict[str, NDArray[Any]]]) -> None:
        """Put one model's arrays into each row."""
        with torch.no_grad():
            for row, one in enumerate(arrays):
                for name, value in one.items():
                    self.tensors[name][row].copy_(torch.from_numpy(value))


class Linear:
    """y = x W + b, seed by seed; the layers of a stream are mixed before."""

    def __init__(self, weights: Weights, name: str, spans: tuple[LayerSpan, ...] = ()) -> None:
        self.weights, self.name, self.spans = weights, name, spans

    def __call__(self, x: Tensor) -> Tensor:
        """Map (S, ..., in) to (S, ..., out)."""
        weight, bias = self.weights[f"{self.name}.weight"], self.weights[f"{self.name}.bias"]
        if self.spans:
            x = mixed(self.weights, x, self.spans, shared=False)
        flat = x.reshape(x.shape[0], -1, x.shape[-1])
        return _affine(flat, weight, bias).view(*x.shape[:-1], weight.shape[-1])

    def shared(self, x: Tensor) -> Tensor:
        """Map what all seeds look at, (..., in), to (S, ..., out)."""
        weight, bias = self.weights[f"{self.name}.weight"], self.weights[f"{self.name}.bias"]
        if self.spans:
            x = mixed(self.weights, x, self.spans, shared=True)
            flat = x.reshape(x.shape[0], -1, x.shape[-1])
            return _affine(flat, weight, bias).view(*x.shape[:-1], weight.shape[-1])
        flat = x.reshape(1, -1, x.shape[-1])
        return _affine(flat, weight, bias).view(len(weight), *x.shape[:-1], weight.shape[-1])


class Norm:
    """Layer norm over the last axis (Ba et al. 2016, https://arxiv.org/abs/1607.06450)."""

    def __init__(self, weights: Weights, name: str) -> None:
        self.weights, self.name = weights, name

    def __call__(self, x: Tensor) -> Tensor:
        """Normalise (S, ..., D)."""
        gain, offset = self.weights[f"{self.name}.gain"], self.weights[f"{self.name}.offset"]
        shape = (len(gain), *[1] * (x.ndim - 2), gain.shape[-1])
        return functional.layer_norm(x, (x.shape[-1],)) * gain.view(shape) + offset.view(shape)


class Dropout:
    """Dropout with a generator a seed: masks do not depend on which seeds train together.

    Parameters
    ----------
    seeds
        One generator each; empty: no noise (prediction).
    rate
        Chance that a value is dropped, [0, 1).
    """

    def __init__(self, seeds: Sequence[int] = (), rate: float = 0.0) -> None:
        if not 0.0 <= rate < 1.0:
            raise ValueError(f"dropout is {rate}; expected a value in [0, 1)")
        self._threshold = min(round(rate * BYTE), BYTE - 1)
        self._generators = [np.random.Generator(np.random.SFC64([int(seed), 1])) for seed in seeds]

    def dropout(self, x: Tensor) -> Tensor:
        """Return x (S, ...) with values dropped and the others scaled up, so that the mean stays."""
        if not self._generators or not self._threshold:
            return x
        count = x[0].numel()
        drawn = np.empty((len(self._generators), count), dtype=np.uint8)
        for row, generator in zip(drawn, self._generators, strict=True):
            words = generator.integers(0, 2**64 - 1, -(-count // 8), dtype=np.uint64, endpoint=True)
            row[:] = words.view(np.uint8)[:count]
        mask = (drawn >= self._threshold).astype(np.float32)  # torch takes twenty times as long over bytes
        mask *= BYTE / (BYTE - self._threshold)
        return x * torch.from_numpy(mask).view(x.shape)

    def draws(self) -> list[int]:
        """Return a number for each seed, from which others draw their noise in this step; none in prediction."""
        return [int(generator.integers(2**63)) for generator in self._generators]

    def keep(self, rows: Sequence[int]) -> None:
        """Go on with these seeds alone."""
        self._generators = [self._generators[row] for row in rows]


EVAL = Dropout()


class _Affine(torch.autograd.Function):
    """x W + b as one product a seed, straight into its place.

    Measured on two cores of an EPYC (Zen 4), 5 seeds, batch 256, 292 to 128: as fast as `baddbmm` where
    inputs differ between seeds, faster where they are shared; and a product by seed is computed the same
    way whatever the number of seeds, which batched kernels do not promise.
    """

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
        ctx.save_for_backward(x, weight)
        return _products(x, weight, bias)

    @staticmethod
    def backward(ctx: Any, *grads: Tensor) -> tuple[Tensor | None, Tensor | None, Tensor | None]:
        (grad,) = grads
        x, weight = ctx.saved_tensors
        seeds, shared = len(weight), len(x) == 1 and len(weight) > 1
        x, weight, grad = _aligned(x), _aligned(weight), _aligned(grad)
        grad_x = grad_weight = grad_bias = None
        if ctx.needs_input_grad[0]:
            grad_x = empty_by_seed(seeds, *x.shape[1:])
            _each(grad, weight.transpose(1, 2), grad_x)
            if shared:
                grad_x = grad_x.sum(0, keepdim=True)
        if ctx.needs_input_grad[1]:
            own = x.expand(seeds, -1, -1)
            if weight.shape[2] < NARROW:
                turned = empty_by_seed(seeds, weight.shape[2], weight.shape[1])
                _each(grad.transpose(1, 2), own, turned)
                grad_weight = turned.transpose(1, 2)
            else:
                grad_weight = empty_by_seed(*weight.shape)
                _each(own.transpose(1, 2), grad, grad_weight)
        if ctx.needs_input_grad[2]:
            grad_bias = grad.sum(1, keepdim=True)
        return grad_x, grad_weight, grad_bias


def _each(first: Tensor, second: Tensor, out: Tensor) -> None:
    """Multiply matrices (S, M, K) and (S, K, N) seed by seed."""
    for a, b, into in zip(first.unbind(), second.unbind(), out.unbind(), strict=True):
        torch.mm(a, b, out=into)


def _products(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    seeds, rows, columns = len(weight), x.shape[1], weight.shape[2]
    x, weight = _aligned(x).expand(seeds, -1, -1), _aligned(weight)
    if columns < NARROW:
        x, weight, bias = weight.transpose(1, 2), x.transpose(1, 2), bias.transpose(1, 2)
        out = empty_by_seed(seeds, columns, rows)
    else:
        out = empty_by_seed(seeds, rows, columns)
    for a, b, c, into in zip(x.unbind(), weight.unbind(), bias.unbind(), out.unbind(), strict=True):
        torch.addmm(c, a, b, out=into)
    return out.transpose(1, 2) if columns < NARROW else out


def is_exporting() -> bool:
    """Return whether torch records operations, for an export or a compilation, and computes nothing."""
    tracing: bool = torch.jit.is_tracing()  # type: ignore[attr-defined,no-untyped-call]
    return tracing or torch.compiler.is_compiling()


def _affine(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    if torch.is_grad_enabled() and (weight.requires_grad or x.requires_grad):
        result: Tensor = _Affine.apply(x, weight, bias)  # type: ignore[no-untyped-call]
        return result
    if is_exporting():  # plain operations, as in an export
        return torch.baddbmm(bias, x, weight)
    return _products(x, weight, bias)


def empty_by_seed(seeds: int, rows: int, columns: int) -> Tensor:
    """Return room for a matrix a seed, each starting where the first does: on an aligned address.

    MKL picks its kernels by the addresses of its operands; a seed whose matrices start elsewhere would get
    other roundings than the same seed alone.
    """
    size = rows * columns
    return torch.empty(seeds, _padded(size))[:, :size].unflatten(1, (rows, columns))


def _padded(size: int) -> int:
    return -(-size // ALIGNED) * ALIGNED


def _aligned(x: Tensor) -> Tensor:
    if len(x) == 1 or (x[0].is_contiguous() and x.stride(0) % ALIGNED == 0):
        return x.contiguous() if len(x) == 1 else x
    out = empty_by_seed(*x.shape)
    out.copy_(x)
    return out
