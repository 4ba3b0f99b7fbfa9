"""A plain ``torch.nn.Module`` as a variant: trained, scored, saved and exported as all others are.

    @register_variant("mean", streams=("video", "audio"))
    class Mean(nn.Module):
        def __init__(self, settings: Settings) -> None: ...
        def forward(self, batch: Batch) -> Logits: ...

See docs/extend_variant.md.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any, TypeVar

from dualstream.heads.data.batch import Batch as Batch
from dualstream.heads.data.batch import Logits as Logits
from dualstream.heads.data.batch import stream_order
from dualstream.heads.fusion.network import Reads, Scale
from dualstream.heads.fusion.network import Settings as Settings
from dualstream.heads.fusion.registration import variant_of
from dualstream.heads.variants.contract import STREAMS
from dualstream.heads.variants.registry import register

if TYPE_CHECKING:
    from torch import nn

M = TypeVar("M", bound="nn.Module")


def register_variant(
    name: str,
    *,
    streams: tuple[str, ...] | None = STREAMS,
    reads: Reads = "utterance",
    scale: Scale = "standard",
    whole_dialogues: bool = False,
    parameters: Mapping[str, Any] | None = None,
    summary: str = "",
    paper: str = "",
) -> Callable[[type[M]], type[M]]:
    """Register a class of modules as the variant `name`.

    Its constructor takes `Settings`: widths of the streams, classes of the tasks (0: without a head), `hidden`,
    `dropout` and the variant's parameters. Its forward takes a `Batch` and gives `Logits`, (B, classes) each.

    Parameters
    ----------
    streams
        Those it reads, of any names; None: all that a corpus has, two or more, which ``settings.streams`` names
        and ``batch.streams`` holds.
    reads
        ``utterance``: one row per utterance, ``batch.video_utterance`` (B, D); ``windows``: ``batch.video``
        (B, T, D) with ``batch.video_mask`` (B, T).
    scale
        ``standard``: columns centred and scaled by the train rows; ``normed``: and each row layer-normed; ``raw``.
    whole_dialogues
        Whether a batch must hold dialogues whole, in turn order; ``batch.dialogue`` tells them apart.
    parameters
        Settings of its own with their defaults, for ``--set`` and ``FitOptions.parameters``.
    summary
        One line for tables; None given, the first line of the class's docstring.

    Raises
    ------
    TypeError
        Where the class is no ``torch.nn.Module``.
    ValueError
        Where the name is taken.
    """

    def wrap(made: type[M]) -> type[M]:
        from dualstream.heads.training.module_network import ModuleNetwork
        from torch import nn

        if not (isinstance(made, type) and issubclass(made, nn.Module)):
            raise TypeError(f"the variant {name!r} is {made!r}; expected a subclass of torch.nn.Module")
        own = {
            "module": made,
            "streams": STREAMS if streams is None else stream_order(streams),
            "joins": streams is None,
            "reads": reads,
            "scale": scale,
            "whole_dialogues": whole_dialogues,
            "parameters": dict(parameters or {}),
            "__doc__": made.__doc__,
            "__module__": made.__module__,
        }
        network = type(f"{made.__name__}Network", (ModuleNetwork,), own)
        line = summary or (made.__doc__ or "").strip().partition("\n")[0].rstrip(".")
        register(variant_of(name, network, line, paper), made.__module__)
        return made

    return wrap
