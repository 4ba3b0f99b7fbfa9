"""Heads on some of the streams: every two, all but one; and what follows from all subsets, Shapley values."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace

from dualstream.heads.diagnosis import changes
from dualstream.heads.diagnosis.refit import Refit, Trial
from dualstream.heads.evaluation.shapley import Coalition, shapley, subsets
from dualstream.heads.variants import registry
from dualstream.heads.variants.options import FitOptions
from dualstream.heads.variants.streams import AND, joined, linear_of, network_of

MOST_STREAMS = 5  # whose Shapley values take 31 heads; of each stream more twice as many
FIXED = ("fused", "late_sum")  # what a diagnosis calls scores that are no single stream's


def require_streams(streams: Sequence[str], fusion: str) -> None:
    """Refuse streams that can't be diagnosed together, or that `fusion` does not join.

    Raises
    ------
    ValueError
        Says what to name instead.
    """
    if len(streams) < 2:
        raise ValueError(
            f"a diagnosis needs two streams or more, such as video and audio; {', '.join(streams) or 'none'} "
            "alone is read here: name others that the cache has (`inspect` lists them), as in --streams a,b"
        )
    if len(streams) > MOST_STREAMS:
        some = ",".join(streams[:MOST_STREAMS])
        raise ValueError(
            f"{len(streams)} streams ({', '.join(streams)}) have {2 ** len(streams) - 1} combinations, each of "
            f"which takes a head; a diagnosis is of {MOST_STREAMS} at most: name those that are in question, as "
            f"in --streams {some}"
        )
    for name in streams:
        if name in FIXED or AND in name:
            raise ValueError(
                f"a stream is called {name!r}, which a diagnosis can't tell from {', '.join(FIXED)} or a join of "
                f"several (a{AND}b): give it another name"
            )
    _require_joining(fusion, streams)


def _require_joining(fusion: str, streams: Sequence[str]) -> None:
    read = registry.get(fusion).reads(streams)
    if len(read) < 2:
        raise ValueError(f"{fusion} reads only the {read[0]} stream; name a variant that joins two")
    if set(read) != set(streams):
        raise ValueError(
            f"{fusion} reads {', '.join(read)}; the streams are {', '.join(streams)}: name a variant that joins "
            f"all, or the streams that it reads, as in --streams {','.join(read)}"
        )


def subset_name(known: Coalition, streams: Sequence[str]) -> str:
    """Return what a subset of the streams is called: ``a+b``."""
    return AND.join(name for name in streams if name in known)


def between(streams: Sequence[str]) -> list[Coalition]:
    """Return the subsets of two streams or more that aren't all of them."""
    return [known for known in subsets(streams) if 1 < len(known) < len(streams)]


def subset_trial(base: Trial, known: Coalition, streams: Sequence[str]) -> Trial:
    """Return some of the streams in a head of the kind that joins: another kind's merit is no gain of joining.

    Of one stream, heads over utterance rows have the variants ``video``, ``audio`` and ``single:NAME``, linear
    ones theirs; of several, ``NAME:a+b``. Of heads that read windows or dialogues, choose by themselves or are a
    plain torch module, the other `streams` are hidden.
    """
    kept = [name for name in streams if name in known]
    called, variant = subset_name(known, streams), registry.get(base.fusion)
    hides = variant.needs_windows or variant.needs_dialogues or variant.kind == "search"
    if variant.kind != "solved" and not getattr(variant.network, "has_representation", True):
        hides = True
    if len(kept) > 1 and registry.get(_plain(base.fusion)).argument is None:
        hides = True
    if hides:
        return replace(base, name=called, prepare=changes.masked(*(one for one in streams if one not in known)))
    if len(kept) > 1:
        fusion = joined(_plain(base.fusion), kept)
    else:
        fusion = (linear_of if variant.kind == "solved" else network_of)(kept[0])
    shared = registry.get(fusion).parameters if len(kept) > 1 or variant.kind == "solved" else ()
    return Trial(called, fusion, options_for(base, fusion, shared=shared))


def options_for(base: Trial, fusion: str, *, shared: Collection[str] = ()) -> FitOptions:
    """Return the options of `base` for another variant, which has settings of its own but for those `shared`."""
    if fusion == base.fusion:
        return base.options
    kept = {name: value for name, value in base.options.parameters.items() if name in shared}
    return replace(registry.own_options(fusion, base.options), parameters=kept)


def _plain(fusion: str) -> str:
    """Return a variant's name without the streams that it was told."""
    name, _, argument = fusion.partition(":")
    return name if AND in argument else fusion


def worth(
    chance: float, alone: Mapping[str, Refit], some: Mapping[Coalition, Refit], fused: Refit
) -> tuple[dict[str, float], dict[str, float]]:
    """Return the Shapley value of each stream, and the scores of all subsets that they are made of, by name."""
    streams = list(alone)
    scores = {
        frozenset(): chance,
        **{frozenset({name}): one.score for name, one in alone.items()},
        **{known: one.score for known, one in some.items()},
        frozenset(streams): fused.score,
    }
    values = shapley(scores, streams)
    named = {subset_name(known, streams): scores[known] for known in subsets(streams) if known}
    return {name: float(value) for name, value in values.items()}, named
