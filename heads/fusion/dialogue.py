"""Context over the utterances of a dialogue, over the representation of any other variant."""

from __future__ import annotations

from typing import TYPE_CHECKING, ClassVar

from dualstream.heads.fusion.network import Network, Settings, resolve
from dualstream.heads.fusion.pooled import ConcatNorm, concat
from dualstream.heads.fusion.registration import network
from dualstream.heads.variants import registry
from dualstream.heads.variants.options import Parameters

if TYPE_CHECKING:
    import torch
    from dualstream.heads.data.batch import Batch
    from dualstream.heads.training.weights import Dropout, Weights

BASE = "concat_norm"
REACH = 4  # turns; distances beyond share a bias


@network(
    "dialogue",
    summary=f"context over the utterances of a dialogue, over another variant: dialogue:NAME, else {BASE}",
    paper="Poria et al. 2017, Context-Dependent Sentiment Analysis, https://aclanthology.org/P17-1081",
)
class Dialogue(Network):
    """An utterance's representation, and what the dialogue's other utterances add to it.

    The turns just before and after, and self-attention over all turns of the dialogue with a learned bias
    for each distance (Shaw et al. 2018, https://arxiv.org/abs/1803.02155, in the form of one bias a
    distance), are added to the utterance's own representation. (Attention alone needed twice the data to
    learn that a turn answers the one before it.) That context helps on MELD has been known since bcLSTM
    (Poria et al. 2017, https://aclanthology.org/P17-1081).

    By default an utterance sees the whole dialogue, as in bcLSTM and the tables that MELD's results are
    compared in: a corpus is scored whole. ``causal`` shows it earlier turns alone, as when a conversation
    is followed live. An utterance alone is a dialogue of one turn, and still gets an answer.
    """

    joins = True
    whole_dialogues = True
    own: ClassVar[Parameters] = {"causal": False, "context": 64}
    base: ClassVar[type[Network]] = ConcatNorm
    scale = ConcatNorm.scale
    parameters: ClassVar[Parameters] = ConcatNorm.parameters | own

    @classmethod
    def over(cls, argument: str) -> type[Network]:
        """Return the class of dialogues over another network's representation, such as ``concat_norm``."""
        base, _, streams = argument.partition(":")
        networks = [registry.get(name) for name in registry.names()]
        bases = [one.name for one in networks if _has_representation(one.network)]
        joining = [one.name for one in networks if one.joins]
        if base not in (*bases, "single") or (streams and base not in (*joining, "single")):
            raise ValueError(f"no variant is called {argument!r} under dialogue; there are: {', '.join(bases)}")
        below = resolve(argument)
        return type(
            f"Dialogue_{argument}",
            (Dialogue,),
            {
                "base": below,
                "reads": below.reads,
                "scale": below.scale,
                "streams": below.streams,
                "joins": below.joins,
                "refuse": below.refuse,
                "parameters": below.parameters | Dialogue.own,
                "__doc__": cls.__doc__,
            },
        )

    def build(self, weights: Weights, settings: Settings) -> int:
        """Make the layers of the network below, and the attention over turns."""
        self.below = self.base.__new__(self.base)
        self.below.weights, self.below.settings = weights, settings
        width = self.below.build(weights, settings)
        context = int(settings.parameters["context"])
        self.norm = weights.norm("dialogue.norm", width)
        self.triple = weights.linear("dialogue.triple", width, 3 * context)
        self.distance = weights.add("dialogue.distance", (2 * REACH + 1,))
        self.back = weights.linear("dialogue.back", 3 * context, width)
        return width

    def represent(self, batch: Batch, dropout: Dropout) -> torch.Tensor:
        """Add to each utterance's representation what attention over its dialogue gives, shape (S, B, width)."""
        own = self.below.represent(batch, dropout)  # (S, B, width)
        query, key, value = self.triple(self.norm(own)).chunk(3, dim=-1)
        seen, steps = self._relations(batch)
        table = self.weights[self.distance]  # (S, 2 REACH + 1)
        bias = (steps @ table.t()).permute(2, 0, 1) + (~seen).float() * -1e9  # (S, B, B)
        scores = (query * query.shape[-1] ** -0.5) @ key.transpose(-1, -2) + bias
        answer = scores.softmax(-1) @ value  # (S, B, context)
        beside = [self._shifted(value, seen, step) for step in (1, -1)]
        return own + dropout.dropout(self.back(concat(answer, *beside)).relu())

    @staticmethod
    def _shifted(value: torch.Tensor, seen: torch.Tensor, step: int) -> torch.Tensor:
        """Return what the turn `step` before holds (S, B, context); nothing where there is none to be seen."""
        place = seen.new_ones(seen.shape[0]).cumsum(0) - 1
        before = (place - step).clamp(0, seen.shape[0] - 1)
        known = seen[place, before] & (before == place - step)
        return value.index_select(1, before) * known.unsqueeze(-1)

    def _relations(self, batch: Batch) -> tuple[torch.Tensor, torch.Tensor]:
        """Return who sees whom (B, B), and the distance in turns as one column each (B, B, 2 REACH + 1)."""
        place = batch.dialogue.new_ones(batch.dialogue.shape[0]).cumsum(0)
        distance = place[None, :] - place[:, None]
        seen = batch.dialogue[None, :] == batch.dialogue[:, None]
        if self.settings.parameters["causal"]:
            seen = seen & (distance <= 0)
        columns = place.new_ones(2 * REACH + 1).cumsum(0) - 1 - REACH
        return seen, (distance.clamp(-REACH, REACH).unsqueeze(-1) == columns).float()


def _has_representation(made: type[Network] | None) -> bool:
    """Whether context can be added to what a variant represents."""
    return made is not None and made.has_representation and not issubclass(made, Dialogue)
