"""What `auto` is told: its candidates, and how they are judged."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from dualstream.heads.data.batch import PAIR
from dualstream.heads.evaluation import confusion
from dualstream.heads.evaluation.folds import GROUP_BY
from dualstream.heads.variants import registry
from dualstream.heads.variants.options import Parameters
from dualstream.heads.variants.streams import linear_of, network_of


def candidates_for(streams: Sequence[str]) -> tuple[str, ...]:
    """Return the candidates where nobody names any, of a corpus with these streams.

    Between them they read streams apart, added, multiplied, and moment by moment. Of candidates that neither score
    nor log loss can tell apart the first is taken: the mixture of two solvers, then linear_late.
    """
    linear, networks = (tuple(of(stream) for stream in streams) for of in (linear_of, network_of))
    return (
        *(*linear, "linear_lda_late", "linear_late", "linear", "lda_late"),
        *(*networks, "concat_norm", "aligned"),
    )


CANDIDATES = candidates_for(PAIR)
NETWORKS = ("auto", "needed", "always")


@dataclass(frozen=True)
class SelectionOptions:
    """How `auto` picks."""

    candidates: tuple[str, ...] = CANDIDATES
    repeats: int = 1
    """Times that utterances are split into folds, each time differently, for candidates that are solved; networks
    are tried on the first split."""
    folds: str = "auto"
    """What is kept whole: speaker, dialogue, or auto (heads/evaluation/folds.py)."""
    metric: str = "balanced_accuracy"
    """A name of confusion.HEADLINES, averaged over the tasks."""
    alpha: float = 0.05
    """Chance of taking a fusion that is no better than the best single stream, by either test; candidates whose
    difference has a larger p can't be told apart."""
    sample: int = 6_000
    """Of larger corpora whole groups are drawn until there are this many utterances: enough to detect a
    difference of two points, and what is chosen is then fitted on all of them."""
    networks: str = "auto"
    """needed: networks are tried only where no solved fusion is significantly better than a single stream, and
    dropped after one fold where they are not ahead on it. always: all of them, on all folds. auto: needed for the
    candidates that are the default, always for those that somebody named."""

    def __post_init__(self) -> None:
        if self.repeats < 1 or not 0 < self.alpha < 1:
            raise ValueError(f"repeats is {self.repeats} and alpha {self.alpha}; expected 1 or more, and 0 to 1")
        if self.sample < 1:
            raise ValueError(f"sample is {self.sample}; expected 1 utterance or more")
        if self.networks not in NETWORKS:
            raise ValueError(f"networks is {self.networks!r}; expected one of {', '.join(NETWORKS)}")
        if self.folds not in GROUP_BY or self.metric not in confusion.HEADLINES:
            raise ValueError(
                f"folds {self.folds!r} by {self.metric!r}; expected one of {', '.join(GROUP_BY)} "
                f"and one of {', '.join(confusion.HEADLINES)}"
            )
        searches = [name for name in self.candidates if registry.is_search(name)]
        if searches:
            raise ValueError(f"{searches[0]} can't be a candidate of its own")
        if not any(is_single(name) for name in self.candidates):
            raise ValueError(f"none of {', '.join(self.candidates)} reads a single stream; auto falls back on one")

    @property
    def every_network(self) -> bool:
        """Whether networks are tried whatever the solved candidates show."""
        return self.networks == "always" or (self.networks == "auto" and self.candidates != CANDIDATES)

    def over(self, streams: Sequence[str]) -> SelectionOptions:
        """Return the options for a corpus with these streams, in whose names the default candidates then are."""
        if self.candidates != CANDIDATES or set(streams) <= set(PAIR):
            return self
        networks = "needed" if self.networks == "auto" else self.networks
        return replace(self, candidates=candidates_for(streams), networks=networks)

    @classmethod
    def of(cls, parameters: Parameters) -> SelectionOptions:
        """Read a variant's parameters; candidates may be words between commas."""
        settings = dict(parameters)
        asked = settings.get("candidates")
        if asked is not None:
            words = asked.split(",") if isinstance(asked, str) else asked
            settings["candidates"] = tuple(str(word).strip() for word in words)
        else:
            settings.pop("candidates", None)
        return cls(**settings)


def is_single(name: str) -> bool:
    """Say whether a variant reads one stream."""
    return len(registry.get(name).streams) == 1
