"""A diagnosis for people: its words on the terminal, its page and its figures."""

from __future__ import annotations

import math
from collections.abc import Mapping

from dualstream.heads.diagnosis import conclusion
from dualstream.heads.diagnosis.causes import Cause
from dualstream.heads.diagnosis.coverage import Coverage
from dualstream.heads.diagnosis.evidence import Evidence
from dualstream.heads.diagnosis.remedies import significant
from dualstream.heads.diagnosis.spaces import Space
from dualstream.heads.diagnosis.strength import Complement, Strength
from dualstream.heads.evaluation.statistics import Estimate, PairedDifference
from dualstream.pipeline.experiments.diagnosis import DiagnosisDocument
from dualstream.pipeline.reporting import diagnosis_figures as figures
from dualstream.pipeline.reporting import measures, tables
from dualstream.pipeline.reporting.page import Section, page
from dualstream.pipeline.reporting.report import ReportPage, cache_facts, made_on

from dualstream.counting import counted

SHOWN_ON_PAGE = 60
SHOWN_ON_TERMINAL = 5


def print_diagnosis(document: DiagnosisDocument, page_path: str) -> None:
    """Print causes, scores and what each remedy gained."""
    from rich.table import Table
    from rich.text import Text

    out = tables.console()
    evidence = document.found.evidence
    mark = tables.answer_mark(speaker_norm=evidence.speaker_norm)
    for number, cause in enumerate(document.found.causes, start=1):
        out.print(f"{number}. {conclusion.title(cause.name)}", style="bold", markup=False)
        out.print(f"   {_sentence(cause.text)}", markup=False)
        for remedy in cause.remedies:
            out.print(f"   {remedy.name}{mark}: {gain_words(remedy.gain)}", markup=False)
        for what, words in _concerned(cause, SHOWN_ON_TERMINAL).items():
            out.print(f"   {what}: {words}", markup=False)
        out.print(f"   → {cause.advice}", markup=False)
        out.print()
    table = Table(box=None, pad_edge=False, header_style="dim")
    heads = (f"balanced accuracy, out of fold{mark}", "score (95 % interval)", "gain", "its 95 % interval")
    for column in heads:
        table.add_column(column, justify="left" if column.startswith("balanced") else "right")
    table.add_row("chance", f"{evidence.strength.chance:.1%}", "", "")
    for title, words in _majority(evidence).items():
        table.add_row(Text(title), words, "", "")
    for name in evidence.streams:
        table.add_row(f"{name} alone{mark}", _score(evidence.scores[name]), "", "")
    table.add_row(f"{evidence.fusion}, as it is{mark}", _score(evidence.scores["fused"]), "", "")
    for item in evidence.interventions.values():
        low_high = item.gain.interval
        interval = "" if low_high is None else f"{low_high[0]:+.1%} to {low_high[1]:+.1%}"
        table.add_row(f"  {item.name}{mark}", _score(item.score), f"{item.gain.difference:+.1%}", interval)
    out.print(table)
    out.print("intervals of gains are each by itself; what is called sure is corrected for the number of changes")
    out.print(f"\nworth (Shapley, points above chance): {_worth(evidence.strength)}", markup=False)
    out.print(f"complement: {_complement(evidence.complement)}", markup=False)
    for title, words in _of_pairs(evidence).items():
        out.print(f"{title}: {words}", markup=False)
    out.print(f"coverage: {_coverage(evidence.coverage)}", markup=False)
    for title, words in _alignment(evidence).items():
        out.print(f"{title}: {words}", markup=False)
    if evidence.measures is not None:
        for title, words in measures.facts(evidence.measures, evidence.fusion, mark, short=True).items():
            out.print(f"{title}: {words}", markup=False)
    for note in evidence.notes:
        out.print(f"note: {note}", markup=False)
    out.print(
        f"{counted(evidence.utterances, 'utterance')} of {counted(evidence.groups, evidence.grouped_by)} of train "
        f"and dev, {evidence.task}; looked at: {document.looked_at}",
        markup=False,
    )
    out.print(f"page: {page_path}", markup=False, soft_wrap=True)
    if evidence.measures is not None and evidence.measures.utterances is not None:
        out.print("beside it: errors.html, the utterances by how much a stream misled the head", markup=False)


def diagnosis_report(document: DiagnosisDocument) -> ReportPage:
    """Draw the page of a diagnosis and its figures."""
    evidence = document.found.evidence
    mark = tables.answer_mark(speaker_norm=evidence.speaker_norm)
    drawn = [
        figures.gains(evidence),
        *(figures.offset_curve(one, several=len(evidence.streams) > 2) for one in evidence.offsets),
        figures.coverage(evidence.coverage),
        figures.worth(evidence),
    ]
    working = _working_together(evidence, mark)
    pictures = [picture for picture in drawn if picture is not None]
    sections = [
        Section(
            title=conclusion.title(cause.name),
            lead=_sentence(cause.text),
            facts_title="What fixes it" if _helps(cause, evidence) else "What was tried",
            facts={"what to do": cause.advice, **_tried(cause, evidence, mark), **_concerned(cause)},
        )
        for cause in document.found.causes
    ]
    sections.append(
        Section(
            title="How it was measured",
            facts={
                **cache_facts(document.cache, document.streams, document.specs),
                "looked at": document.looked_at,
                "scores": f"balanced accuracy, out of fold over whole {evidence.grouped_by}s; "
                f"in brackets 95 % intervals by a bootstrap over {evidence.grouped_by}s",
            },
            documents={"all evidence": evidence},
        )
    )
    names = ", ".join(conclusion.title(cause.name).lower() for cause in document.found.causes)
    size = f"{counted(evidence.utterances, 'utterance')} of {counted(evidence.groups, evidence.grouped_by)}"
    html = page(
        f"{document.cache.name}: why {evidence.fusion}{mark} does what it does",
        f"{names[0].upper()}{names[1:]}. {size}.{made_on(document.created)}",
        rows=[],
        sections=[
            *sections[:-1],
            Section(title="Evidence", facts_title="What was found", facts=_facts(evidence), pictures=pictures),
            *working,
            *_would_have_been_found(evidence),
            Section(title="Every change that was tried", facts_title="By its gain", facts=_changes(evidence)),
            sections[-1],
        ],
    )
    return ReportPage(html, tuple(pictures))


def _working_together(evidence: Evidence, mark: str) -> list[Section]:
    """Return the part of the page that says how the streams work together; none where it was not measured."""
    found = evidence.measures
    if found is None:
        return []
    return [
        Section(
            title="How the streams work together",
            lead=f"What a joined head is beyond its streams: {evidence.fusion}{mark} as it is, out of fold.",
            beside={}
            if found.utterances is None
            else {"errors.html": "the utterances, by how much a stream misled the head"},
            facts_title="What was found",
            facts=measures.facts(found, evidence.fusion, mark),
            pictures=measures.pictures(found),
        )
    ]


def _would_have_been_found(evidence: Evidence) -> list[Section]:
    """Return the smallest mistake of each kind that would have been found; none where a cause was."""
    limits = () if evidence.signs is None else evidence.signs.limits
    if not limits:
        return []
    return [
        Section(
            title="What would have been found",
            lead="Mistakes were planted in these very rows, each stronger until the measure that names it saw it "
            "every time. A weaker one may be there and pass unseen.",
            facts_title="The smallest that is found",
            facts={
                one.words: (one.at or "found") if one.seen else "can't be seen in this corpus" for one in limits
            },
        )
    ]


def _helps(cause: Cause, evidence: Evidence) -> bool:
    """Tell whether a remedy of the cause significantly gains."""
    return bool(significant(evidence, *(one.name for one in cause.remedies)))


def _tried(cause: Cause, evidence: Evidence, mark: str) -> dict[str, str]:
    """Return what the remedies of a cause gained; where none helps, of all changes that were tried, best first."""
    if _helps(cause, evidence):
        return {f"measured: {one.name}{mark}": gain_words(one.gain) for one in cause.remedies}
    tried = sorted(evidence.interventions.values(), key=lambda one: -one.gain.difference)
    others = [one for one in tried if one.name not in {remedy.name for remedy in cause.remedies}]
    found = {f"tried: {one.name}{mark}": gain_words(one.gain) for one in (*cause.remedies, *others)}
    return found or {"tried": "nothing: no change was asked for"}


def gain_words(gain: PairedDifference) -> str:
    """Return a measured gain in words."""
    words = f"{gain.difference:+.1%} balanced accuracy"
    if gain.interval:
        words += f" (95 % interval {gain.interval[0]:+.1%} to {gain.interval[1]:+.1%})"
    return words


def _concerned(cause: Cause, shown: int = SHOWN_ON_PAGE) -> dict[str, str]:
    """Return which speakers and utterances a cause concerns, the first of them by name."""
    found = {}
    for what, names in (("speakers", cause.speakers), ("utterances", cause.utterances)):
        if names:
            more = f", … ({len(names)} in all; diagnosis.json lists them)" if len(names) > shown else ""
            found[f"{what} concerned"] = ", ".join(names[:shown]) + more
    return found


def _facts(evidence: Evidence) -> dict[str, str]:
    """Return what was measured before anything was changed, in words."""
    strength, scores, mark = (
        evidence.strength,
        evidence.scores,
        tables.answer_mark(speaker_norm=evidence.speaker_norm),
    )
    facts = {
        "chance": f"{strength.chance:.1%}",
        **_majority(evidence),
        **{f"{name} alone{mark}": _score(scores[name]) for name in evidence.streams},
        f"{evidence.fusion}, as it is{mark}": _score(scores["fused"]),
        f"the same on fitted rows{mark}": f"{evidence.train_score:.1%}",
        f"over the {'best' if evidence.pairs else 'better'} stream{mark}": gain_words(evidence.fused_over_best),
        "complement": _complement(evidence.complement),
        **({"worth (Shapley, points above chance)": _worth(strength)} if evidence.pairs else {}),
        **_of_pairs(evidence),
        "coverage": _coverage(evidence.coverage),
        **_alignment(evidence),
        **{f"{name} rows": _space(space) for name, space in evidence.spaces.items()},
    }
    if not math.isnan(evidence.redundancy):
        facts["redundancy"] = f"{evidence.redundancy:.2f} (linear CKA of the streams: 0 none, 1 the same)"
    if evidence.dev_utterances:
        facts["dev rows that are in train"] = f"{evidence.copies} of {evidence.dev_utterances}"
    known = [(name, shares) for name, shares in strength.gradient_share.items() if shares]
    for name, shares in known if len(known) > 2 else known[:1]:  # of two, the other's is the rest
        facts[f"{name}'s share of the gradient"] = (
            f"{shares[0]:.0%} in the first epoch, {shares[-1]:.0%} in the last"
        )
    return facts | {"note" if number == 0 else f"note {number + 1}": n for number, n in enumerate(evidence.notes)}


def _majority(evidence: Evidence) -> dict[str, str]:
    return {
        title: f"{line.balanced_accuracy:.1%} (accuracy {line.accuracy:.1%})"
        for title, line in tables.majority_rows(evidence.majority, evidence.train_majority, "majority class")
    }


def _changes(evidence: Evidence) -> dict[str, str]:
    """Return each change with its score, its gain and how to have it, the best first."""
    items = sorted(evidence.interventions.values(), key=lambda item: -item.gain.difference)
    mark = tables.answer_mark(speaker_norm=evidence.speaker_norm)
    return {i.name + mark: f"{_score(i.score)}, {gain_words(i.gain)}: {i.remedy}" for i in items}


def _complement(found: Complement) -> str:
    only = ", ".join(f"by {name} alone {share:.0%}" for name, share in found.only.items())
    every, none = ("both", "neither") if len(found.only) == 2 else ("all", "none")
    return (
        f"right {only}, by {every} {found.all:.0%}, by {none} {found.none:.0%} of the utterances; who always "
        f"picked the right stream would have {found.oracle:.1%} balanced accuracy"
    )


def _worth(found: Strength) -> str:
    worth = ", ".join(f"{name} {value:+.1%}" for name, value in found.shapley.items())
    shares = ", ".join(f"{k} {v:.0%}" for k, v in found.lean_share.items() if not math.isnan(v))
    none = "none of either" if len(found.alone) == 2 else "none of any"
    return f"{worth}; use by the head: {shares or none}"


def _of_pairs(evidence: Evidence) -> dict[str, str]:
    """Return what each of three streams or more adds to the others, and what each two give; none of two."""
    adds = {f"{name} added to the others": _gain_short(gain) for name, gain in evidence.adds.items()}
    return adds | {
        f"{' and '.join(pair.streams)} alone": f"{_score(pair.score)}, over the better one "
        f"{_gain_short(pair.over_better)}"
        + ("" if math.isnan(pair.redundancy) else f"; redundancy (linear CKA) {pair.redundancy:.2f}")
        for pair in evidence.pairs
    }


def _gain_short(gain: PairedDifference) -> str:
    words = f"{gain.difference:+.1%}"
    return words if gain.interval is None else f"{words} ({gain.interval[0]:+.1%} to {gain.interval[1]:+.1%})"


def _alignment(evidence: Evidence) -> dict[str, str]:
    """Return what the offset curve of each two streams says."""
    several = len(evidence.streams) > 2
    return {
        f"alignment of {' and '.join(one.streams)}" if several else "alignment": figures.offset_words(one.curve)
        for one in evidence.offsets
    }


def _coverage(found: Mapping[str, Coverage]) -> str:
    words = []
    for name, values in found.items():
        word = f"{name} in {values.utterances_present:.0%} of the utterances"
        if not math.isnan(values.windows_seen):
            word += f", there in {values.windows_seen:.0%} of the windows"
            word += f" ({values.rows_per_utterance:g} at median)"
        words.append(word)
    return "; ".join(words)


def _space(space: Space) -> str:
    words = f"{counted(space.width, 'column')}, deviation {space.scale:.3g}"
    if not math.isnan(space.effective_rank):
        words += f", effective rank {space.effective_rank:.1f}"
    if not math.isnan(space.drift_auc):
        words += f", dev told from train at {space.drift_auc:.2f} (0.5: not at all)"
    for count, what in (
        (space.dead_columns, "columns never change"),
        (space.not_finite, "rows not finite"),
        (space.zero_rows, "zero rows"),
    ):
        if count:
            words += f", {count} {what}"
    return words


def _score(estimate: Estimate) -> str:
    words = f"{estimate.mean:.1%}"
    if estimate.interval is None:
        return words
    return f"{words} ({estimate.interval[0]:.1%}–{estimate.interval[1]:.1%})"


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
