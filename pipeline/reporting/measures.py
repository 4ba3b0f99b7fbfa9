"""How the streams of a head work together, for people: in words and in two figures."""

from __future__ import annotations

from typing import TYPE_CHECKING

from dualstream.heads.diagnosis.measures import Measures
from dualstream.heads.diagnosis.measures.emap import AdditiveProjection
from dualstream.heads.diagnosis.measures.information import FEWEST_GROUPS, Information, Parts
from dualstream.heads.diagnosis.measures.interaction import Interaction
from dualstream.heads.diagnosis.measures.probes import Probes
from dualstream.heads.diagnosis.measures.robustness import RobustnessCurve
from dualstream.heads.evaluation.statistics import Estimate, PairedDifference
from dualstream.pipeline.reporting.drawing import (
    BLUE,
    GREEN,
    GREY,
    GRID,
    INK,
    ORANGE,
    PURPLE,
    RED,
    DrawnFigure,
    render,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from matplotlib.figure import Figure

COLOURS = (BLUE, ORANGE, GREEN, PURPLE, RED)
TOGETHER = GREY
LAZY = 0.02  # of balanced accuracy: a stream that lost less is not called lazy, however sure


def facts(found: Measures, fusion: str, mark: str = "", *, short: bool = False) -> dict[str, str]:
    """Return what was measured, in words, by titles; `short`: without the curves, which the page draws."""
    said: dict[str, str] = {}
    if found.additive is not None:
        said[f"more than a sum (EMAP){mark}"] = additive_words(found.additive, fusion)
    if found.interaction is not None:
        said["interaction"] = interaction_words(found.interaction)
    if found.information is not None:
        said["bits of the label"] = information_words(found.information)
        for name, parts in found.information.against_rest.items():
            said[f"bits, {name} against the rest"] = parts_words(parts)
        for parts in found.information.pairs.values():
            said[f"bits, {' and '.join(parts.unique)} by themselves"] = parts_words(parts)
    if found.probes is not None:
        for name in found.streams:
            said[f"{name} inside the head"] = probe_words(found.probes, name)
    for curve in () if short else found.robustness:
        said[f"{curve.stream} failing"] = robustness_words(curve)
    for words in found.left_out:
        what, _, why = words.partition(": ")
        said[f"not measured: {what}"] = why
    return said


def additive_words(found: AdditiveProjection, fusion: str) -> str:
    """Say whether a head does more than a sum of single-stream ones."""
    low, high = found.gain.interval or (0.0, 0.0)
    if low > 0:
        what = "interactions of the streams bring"
    elif high < 0:
        what = "interactions of the streams cost; a sum of single streams would do better:"
    else:
        what = "no sure use of interactions: a sum of single streams does as well within"
    how = "all pairs" if found.exact else f"{found.draws} drawn for each"
    return (
        f"{fusion} {found.score:.1%}, its additive projection {found.additive_score:.1%}; {what} "
        f"{_gain(found.gain)}; {found.changed:.0%} of the answers differ ({found.utterances} utterances, {how})"
    )


def interaction_words(found: Interaction) -> str:
    """Say how much of what the head does is interplay."""
    if found.says_nothing:
        return "none: the head says the same of every utterance, so nothing moves its logits"
    pairs = ", ".join(f"{name} {value:+.1%}" for name, value in found.cooperation.items())
    own = ", ".join(f"{name} {value:+.1%}" for name, value in found.contribution.items())
    ahead = ", ".join(f"{name} {value:.2f}" for name, value in found.discrepancy.items())
    return (
        f"{_share(found.share)} of what moves the logits is interplay of the streams (0 %: a sum, 100 %: an "
        f"exclusive-or); in the score of this head: contribution {own}; cooperation {pairs}; who is ahead "
        f"(OGM-GE's ratio, 1: nobody) {ahead}"
    )


def information_words(found: Information) -> str:
    """Say who tells what of the label."""
    few = f"; {found.groups} groups are too few for bits: intervals are too narrow"
    return (
        f"{_told(found)}; joined answers tell {found.joined.mean:.2f} of {found.label:.2f}"
        f"{few if found.groups < FEWEST_GROUPS else ''}"
    )


def parts_words(found: Parts) -> str:
    """Say what two sources tell of the label, each by itself and together."""
    return f"{_told(found)}; together {found.joined.mean:.2f}"


def _told(found: Parts) -> str:
    unique = ", ".join(f"{name} only {_bits(one)}" for name, one in found.unique.items())
    several = "either" if len(found.unique) == 2 else "several"
    together = "both" if len(found.unique) == 2 else "all"
    return (
        f"told by {several} {_bits(found.redundant)}, {unique}, only by {together} together {_bits(found.synergy)}"
    )


def probe_words(found: Probes, name: str) -> str:
    """Say what the joined head has learned of a stream."""
    lazy = found.laziness[name]
    if found.alone[name] <= found.chance:
        return (
            f"nothing to learn: a probe of the head on {name} alone reads {found.alone[name]:.1%}, chance is "
            f"{found.chance:.1%}; conditional utilisation {found.utilisation[name]:.0%}"
        )
    low, high = lazy.interval or (lazy.difference, lazy.difference)
    verdict = (
        "lazy" if low > 0 and lazy.difference >= LAZY else "better than alone" if high < 0 else "not surely lazy"
    )
    return (
        f"{verdict}: a probe of it reads {found.branch[name]:.1%}, of the head on {name} alone "
        f"{found.alone[name]:.1%} ({_gain(lazy)}); conditional utilisation {found.utilisation[name]:.0%}"
    )


def robustness_words(curve: RobustnessCurve) -> str:
    """Say what becomes of the head where a stream fails."""
    missing = ", ".join(f"{s:.1%} at {m:.0%}" for m, s in zip(curve.missing, curve.score_missing, strict=True))
    noise = ", ".join(f"{s:.1%} at {level:g}" for level, s in zip(curve.noise, curve.score_noise, strict=True))
    end = ""
    if curve.falls_below:
        end = f"; without it the head falls below a head on the other streams ({curve.others:.1%})"
    return f"missing {missing}; noise of so many deviations {noise}{end}"


def pictures(found: Measures) -> list[DrawnFigure]:
    """Draw the information and the curves."""
    drawn = [] if found.information is None else [_information(found.information)]
    if found.information is not None and found.information.against_rest:
        drawn.append(_by_two(found.information))
    return [*drawn, _robustness(found.robustness)] if found.robustness else drawn


def _information(found: Information) -> DrawnFigure:
    parts = [
        (f"told by {'either' if len(found.unique) == 2 else 'several'}", found.redundant, TOGETHER),
        *(
            (f"{name} only", one, COLOURS[row % len(COLOURS)])
            for row, (name, one) in enumerate(found.unique.items())
        ),
        ("only together", found.synergy, INK),
    ]

    def plot(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, (_, one, colour) in enumerate(parts):
            axes.barh(row, one.mean, color=colour, height=0.55)
            if one.interval is not None:
                axes.plot(one.interval, [row, row], color=INK if colour != INK else TOGETHER, linewidth=2)
        axes.set_yticks(range(len(parts)), [title for title, _, _ in parts])
        axes.invert_yaxis()
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_xlabel(f"bits of the label, which has {found.label:.2f}")
        axes.set_title("What the streams tell of the label")
        axes.grid(axis="x", color=GRID)

    caption = (
        "Of answers, out of fold; lines: 95 % intervals by a bootstrap over whole groups. Two that err apart "
        "of one fact count as telling it both, and as telling more together."
    )
    return DrawnFigure("information", "Information", caption, render(plot, 6.4, 0.9 + 0.4 * len(parts)))


def _by_two(found: Information) -> DrawnFigure:
    """Draw each stream against the rest, and every two: four bars each."""
    entries = [
        (" | ".join(parts.unique), parts) for parts in (*found.against_rest.values(), *found.pairs.values())
    ]
    titles = ("either", "first only", "second only", "both together")
    colours = (TOGETHER, BLUE, ORANGE, INK)

    def plot(figure: Figure) -> None:
        axes = figure.add_subplot()
        for row, (_, parts) in enumerate(entries):
            bars = (parts.redundant, *parts.unique.values(), parts.synergy)
            for at, (one, colour) in enumerate(zip(bars, colours, strict=True)):
                where = row + 0.2 * (at - 1.5)
                axes.barh(where, one.mean, color=colour, height=0.17, label=None if row else titles[at])
                if one.interval is not None:
                    axes.plot(
                        one.interval, [where, where], color=INK if colour != INK else TOGETHER, linewidth=1.2
                    )
        axes.set_yticks(range(len(entries)), [title for title, _ in entries])
        axes.invert_yaxis()
        axes.axvline(0, color=INK, linewidth=0.8)
        axes.set_xlabel(f"bits of the label, which has {found.label:.2f}")
        axes.set_title("What two sources tell of the label")
        axes.grid(axis="x", color=GRID)
        axes.legend(loc="upper left", bbox_to_anchor=(1.0, 1.0))

    caption = (
        "Each stream against all others joined, then every two streams by themselves, first | second. Of answers, "
        "out of fold; lines: 95 % intervals by a bootstrap over whole groups."
    )
    return DrawnFigure(
        "information_by_two", "Information by two", caption, render(plot, 7.2, 1.0 + 0.75 * len(entries))
    )


def _robustness(curves: Sequence[RobustnessCurve]) -> DrawnFigure:
    def plot(figure: Figure) -> None:
        left, right = figure.subplots(1, 2, sharey=True)
        for row, curve in enumerate(curves):
            colour = COLOURS[row % len(COLOURS)]
            left.plot(
                [100 * share for share in curve.missing],
                [100 * score for score in curve.score_missing],
                marker="o",
                color=colour,
                label=curve.stream,
            )
            right.plot(curve.noise, [100 * score for score in curve.score_noise], marker="o", color=colour)
        left.set_xlabel("per cent of utterances without the stream")
        right.set_xlabel("noise on the stream, deviations")
        left.set_ylabel("balanced accuracy, per cent")
        left.set_title("A stream is missing")
        right.set_title("A stream is noisy")
        left.legend()
        for axes in (left, right):
            axes.grid(axis="y", color=GRID)

    caption = "The fitted head on the same utterances, while one stream after the other gets worse."
    return DrawnFigure("robustness", "Robustness", caption, render(plot, 7.2, 3.0))


def _gain(gain: PairedDifference) -> str:
    words = f"{gain.difference:+.1%}"
    return words if gain.interval is None else f"{words}, {gain.interval[0]:+.1%} to {gain.interval[1]:+.1%}"


def _share(found: Estimate) -> str:
    words = f"{found.mean:.0%}"
    return words if found.interval is None else f"{words} ({found.interval[0]:.0%}–{found.interval[1]:.0%})"


def _bits(found: Estimate) -> str:
    words = f"{found.mean:.2f}"
    return words if found.interval is None else f"{words} ({found.interval[0]:.2f} to {found.interval[1]:.2f})"
