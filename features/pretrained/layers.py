"""Layers of a network that is a row of equal blocks: which ones are wanted, and what each of them gives.

Layer 0 is what enters the first block, layer k what block k gives; the last is what the network itself gives,
after its closing norm where it has one. These are the numbers of transformers' ``hidden_states``; but its versions
do not agree on whether the last of them is behind the norm.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal

from dualstream.documents import JsonObject

if TYPE_CHECKING:
    from torch import Tensor, nn

ALL = "all"
DEPTH = 2 / 3  # where the default lies: 3 of 4 layers, 8 of 12, 16 of 24
BLOCKS = re.compile(r"(^|\.)(layers|layer|blocks|block|stages|h)$")


class UnequalLayersError(ValueError):
    """A mean over layers of unlike widths is asked for."""


@dataclass(frozen=True)
class Layers:
    """The layers whose frames make a row."""

    wanted: tuple[int, ...]
    """Rising."""
    joined: Literal["mean", "each"]
    """``mean``: of all of them; ``each``: their columns side by side."""

    @classmethod
    def parse(cls, text: str, depth: int) -> Layers:
        """Read ``6``, ``5-7`` or ``all`` for a network of `depth` blocks; empty: the default.

        Raises
        ------
        ValueError
            Where the network has no such layer.
        """
        if not text:
            return cls((max(1, round(DEPTH * depth)),), "mean")
        if text == ALL:
            return cls(tuple(range(depth + 1)), "each")
        first, _, last = text.partition("-")
        wanted = tuple(range(int(first), int(last or first) + 1))
        if not wanted or wanted[-1] > depth:
            raise ValueError(
                f"layers are {text!r}; expected one of 0 to {depth} (0 is what enters the first), such as @"
                f"{max(1, round(DEPTH * depth))}, a span of them such as @{max(0, depth - 2)}-{depth}, or @{ALL}"
            )
        return cls(wanted, "mean")

    def join(self, rows: Sequence[Tensor]) -> Tensor:
        """Join what the wanted layers gave, shape (..., D) each, into (..., D) or (..., L * D)."""
        import torch

        if self.joined == "mean":
            widths = sorted({one.shape[-1] for one in rows})
            if len(widths) > 1:
                raise UnequalLayersError(
                    f"layers {self.wanted[0]} to {self.wanted[-1]} have {', '.join(map(str, widths))} columns, "
                    f"and no mean; choose one of them, or @{ALL}"
                )
            return torch.stack(list(rows)).mean(0) if len(rows) > 1 else rows[0]
        return torch.cat(list(rows), dim=-1)

    def to_json(self) -> JsonObject:
        """Return them as JSON values, for the spec."""
        return {"layers": list(self.wanted), "layers_joined": self.joined}


class Tap:
    """Takes what the wanted layers give while a network runs; several threads may run it at once.

    Parameters
    ----------
    blocks
        The network's blocks, run in order.
    layers
        What is wanted; the last of all is taken from the network's own answer.
    cut
        Cut off blocks above the last wanted one, which would be computed for nothing; False where what comes
        behind them takes their width and no other.
    """

    def __init__(self, blocks: nn.ModuleList, layers: Layers, *, cut: bool = True) -> None:
        self.layers = layers
        self._depth = len(blocks)
        self._local = threading.local()
        top = layers.wanted[-1]
        if 0 in layers.wanted:
            blocks[0].register_forward_pre_hook(self._before, with_kwargs=True)
        for number, block in enumerate(blocks, start=1):
            if number in layers.wanted:
                block.register_forward_hook(self._after(number))
        if cut and top < self._depth:
            del blocks[max(top, 1) :]

    def run(self, net: Any, *arguments: Any, **named: Any) -> list[Tensor]:
        """Run `net`, or a copy that shares its blocks, and return the wanted layers, shape (B, T, D) each."""
        self._local.found = {}
        answer = net(*arguments, **named)
        found: dict[int, Tensor] = self._local.found
        self._local.found = {}
        if self._depth in self.layers.wanted:
            last = answer.last_hidden_state
            if last.shape[:2] == found[self._depth].shape[:2]:  # else it has another rate behind the blocks
                found[self._depth] = last
        return [found[number] for number in self.layers.wanted]

    def _before(self, block: nn.Module, arguments: tuple[Any, ...], named: dict[str, Any]) -> None:
        self._local.found[0] = arguments[0] if arguments else named["hidden_states"]

    def _after(self, number: int) -> Any:
        def take(block: nn.Module, arguments: Any, answer: Any) -> None:
            self._local.found[number] = answer[0] if isinstance(answer, tuple) else answer

        return take


def find_blocks(net: nn.Module, depth: int | None) -> nn.ModuleList | None:
    """Return the list of `depth` equal blocks, nearest to the top where there are several; None: there is none.

    A network's own encoder goes before whatever stands beside it (decoders, towers of text).
    """
    from torch import nn

    found = [
        (name.count("."), name, module)
        for name, module in net.named_modules()
        if isinstance(module, nn.ModuleList)
        and BLOCKS.search(name)
        and len(module)
        and (depth is None or len(module) == depth)
        and len({type(one) for one in module}) == 1
    ]
    best = sorted(found, key=lambda one: ("encoder" not in one[1], one[0], one[1]))
    return best[0][2] if best else None
