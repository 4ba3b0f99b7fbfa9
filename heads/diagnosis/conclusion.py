"""From what the rules found to what is said: which cause explains which, and what to say where none is found.

Where one fault explains another's symptom, the explained one is not named: a scale mismatch also makes one
stream dominate, a starved stream has nothing to add.
"""

from __future__ import annotations

from dataclasses import replace

from dualstream.heads.diagnosis import causes
from dualstream.heads.diagnosis.causes import Cause
from dualstream.heads.diagnosis.causes.no_complement import HIDDEN_GAIN
from dualstream.heads.diagnosis.evidence import BETTER_BY_WINDOWS, DROP, SHIFT, SUBSAMPLE, TURNED_ALONE, Evidence
from dualstream.heads.diagnosis.remedies import MIN_GAIN, interval, measured, significant
from dualstream.heads.variants.streams import network_of

OTHERWISE = {"nothing_wrong": "Joining works", "cannot_tell": "Can't tell with this much data"}
NO_REMEDIES = (
    DROP,
    BETTER_BY_WINDOWS,
    SUBSAMPLE,
    SHIFT,
)  # to compare with, or held against another change


def conclude(evidence: Evidence) -> tuple[Cause, ...]:
    """Return the causes that the evidence names, the weightiest first.

    ``nothing_wrong`` and ``cannot_tell`` are answers too, and then the only one.
    """
    entries = causes.entries()
    found = [(entry, cause) for entry in entries if (cause := entry.rule(evidence)) is not None]
    names = {cause.name for _, cause in found}
    found = [(entry, cause) for entry, cause in found if not entry.is_explained(names)]
    if found:
        return tuple(cause for _, cause in sorted(found, key=lambda one: (entries.index(one[0]), -one[1].effect)))
    answer = _otherwise(evidence)
    return (replace(answer, text=answer.text + looked_for(evidence)),)


def title(name: str) -> str:
    """Return what a page calls the cause `name`; without its package, the name with spaces."""
    entry = causes.REGISTRY.find(name)
    return OTHERWISE.get(name) or (entry.title if entry is not None else causes.plain_title(name))


def looked_for(evidence: Evidence) -> str:
    """Return what else was looked for, what would have been found of it at this size, and what can't be seen."""
    signs = evidence.signs
    if signs is None:
        return ""
    words = "; no mistake was found among wrong joins, labels, speakers, copies, filled, mixed and far rows"
    seen = [one.told for one in signs.limits if one.seen]
    unseen = [one.words for one in signs.limits if not one.seen]
    words += f". Would have been found: {', '.join(seen)}" if seen else ""
    return words + (f". Can't be seen in this corpus: {', '.join(unseen)}" if unseen else "")


def idle(evidence: Evidence) -> tuple[str, ...]:
    """Return those of three streams or more that add nothing to the others, within a narrow interval."""
    added = evidence.adds.items()
    return tuple(name for name, gain in added if (gain.low or 0.0) <= 0 and (gain.high or 1.0) <= HIDDEN_GAIN)


def idle_words(evidence: Evidence) -> str:
    """Say which streams add nothing that could be measured, and what does as well."""
    words: list[str] = []
    for name in idle(evidence):
        gain, rest = evidence.adds[name], ",".join(evidence.others_than(name))
        found = f"{gain.difference:+.1%}"
        if gain.interval is not None:
            found += f", {gain.interval[0]:+.1%} to {gain.interval[1]:+.1%}"
        if words:
            words.append(f"; nor does {name}, where the others stay ({found}): --streams {rest}")
            continue
        what = f"; {name} adds nothing that could be measured to the others ({found})"
        words.append(f"{what}: --streams {rest} does as well")
    return "".join(words)


def _is_remedy(name: str) -> bool:
    return name not in NO_REMEDIES and not name.endswith(TURNED_ALONE)


def _otherwise(evidence: Evidence) -> Cause:
    """Answer where no rule fired: nothing is wrong, or nothing can be told."""
    over = evidence.fused_over_best
    low = over.low if over.low is not None else -1.0
    high = over.high if over.high is not None else 1.0
    text = (
        f"the joined head reaches {evidence.strength.fused:.1%}, the "
        f"{'better' if len(evidence.streams) == 2 else 'best'} single stream "
        f"({evidence.best_single}) {evidence.scores[evidence.best_single].mean:.1%}: {over.difference:+.1%} "
        f"(95 % interval {low:+.1%} to {high:+.1%})"
    )
    remedies = significant(evidence, *(name for name in evidence.interventions if _is_remedy(name)))
    if low > 0:
        return Cause(
            "nothing_wrong",
            f"The streams complement each other: {text}{idle_words(evidence)}",
            over.difference,
            interval(over),
            remedies,
            f"it does its work; {remedies[0].name} significantly does better still: {remedies[0].remedy}"
            if remedies
            else "leave it as it is: nothing that was tried significantly does better",
        )
    text += idle_words(evidence)
    if remedies:
        return Cause(
            "cannot_tell",
            f"{text}; {remedies[0].name} fixes it, but none of the causes that are known explains why",
            remedies[0].gain.difference,
            interval(remedies[0].gain),
            remedies,
            remedies[0].remedy,
        )
    if not evidence.above_chance:
        return Cause(
            "cannot_tell",
            f"{text}; nothing that was tried significantly beats chance ({evidence.strength.chance:.1%})",
            over.difference,
            interval(over),
            (),
            f"look at the features before the fusion: these may say nothing of {evidence.task}; or more "
            f"{evidence.grouped_by}s",
        )
    text += f"; no change significantly gains {MIN_GAIN:.0%} or more"
    if high < 0:
        return Cause(
            "cannot_tell",
            f"{text}, and none of the causes that are known explains why the joined head is the worse one",
            over.difference,
            interval(over),
            measured(evidence, DROP),
            f"--fusion {network_of(evidence.best_single)} is better as long as joining isn't fixed",
        )
    return Cause(
        "cannot_tell",
        text,
        over.difference,
        interval(over),
        (),
        f"more {evidence.grouped_by}s: with these {evidence.groups} an effect below {(high - low) / 2:.1%} stays "
        "hidden",
    )
