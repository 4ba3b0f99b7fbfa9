"""The report: one HTML page that loads nothing from outside and escapes all that it shows."""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from html import escape

from dualstream.heads.variants.options import Task
from dualstream.pipeline.experiments.comparison import PairedTest
from dualstream.pipeline.experiments.scores import SplitScores
from dualstream.pipeline.reporting.drawing import DrawnFigure
from dualstream.pipeline.reporting.style import html_page
from dualstream.pipeline.reporting.tables import (
    METRICS,
    PER_CENT,
    Row,
    answer_notes,
    difference_interval,
    estimate_cell,
    majority_cell,
    majority_rows,
    presence_words,
    what_is_scored,
)

from dualstream.documents import plain


@dataclass(frozen=True)
class Section:
    """Part of a page about one run."""

    title: str
    lead: str = ""
    rows: Sequence[Row] = ()
    """Lines of score tables of its own, a table a task."""
    facts: dict[str, str] = field(default_factory=dict)
    facts_title: str = "Where the numbers come from"
    warnings: Sequence[str] = ()
    pictures: Sequence[DrawnFigure] = ()
    documents: dict[str, object] = field(default_factory=dict)
    """Documents behind a fold, by their headings."""
    beside: dict[str, str] = field(default_factory=dict)
    """What files beside the page hold, by their names."""


def page(
    title: str,
    lead: str,
    *,
    rows: Sequence[Row],
    pictures: Sequence[DrawnFigure] = (),
    comparisons: Sequence[PairedTest] = (),
    sections: Sequence[Section] = (),
    warnings: Sequence[str] = (),
) -> str:
    """Return the page: headline numbers, the table of each task, figures, and a section a run."""
    tasks = list(dict.fromkeys(task for row in rows if row.scores for task in row.scores.tasks))
    body = [f"<h1>{escape(title)}</h1>", f'<p class="lead">{escape(lead)}</p>', _cards(rows, tasks)]
    body += [_warning(text) for text in warnings]
    body += [_figure(picture) for picture in pictures]
    for task in tasks:
        body += [f"<h2>{escape(task.capitalize())}</h2>", _score_table(task, rows)]
    if comparisons:
        body += ["<h2>Paired tests</h2>", _comparison_table(comparisons)]
    for section in sections:
        body += _section(section)
    return html_page(title, "\n".join(part for part in body if part))


def _cards(rows: Sequence[Row], tasks: Sequence[Task]) -> str:
    """Show the best row's headline score of each task beside the majority class, where rows can be ranked."""
    cards = []
    for task in tasks:
        best = _best(rows, task)
        if best is None or best.scores is None:
            continue
        one = best.scores.tasks[task]
        value = one.balanced_accuracy
        majority = one.majority.balanced_accuracy if one.majority else None
        against = "" if majority is None else f"majority class {100 * majority:.1f}"
        rivals = len(_kinds(rows, task)[0])
        if rivals > 1:
            against += f"{', ' if against else ''}the best of {rivals} rows by these very scores"
        interval = ""
        if value.interval:
            interval = f"95 % interval {100 * value.interval[0]:.1f}–{100 * value.interval[1]:.1f}"
        cards.append(
            f'<div class="card"><small>{escape(task)}, UAR, {escape(best.title)}</small>'
            f"<b>{100 * value.mean:.1f} %</b><small>{escape(interval)}</small>"
            f"<small>{escape(against)}</small></div>"
        )
    every = [row.scores for row in rows if row.scores]
    if every:
        scored = every[0]
        counts = sorted({len(one.models) for one in every})
        what = f"{' or '.join(map(str, counts))} model{'s' if counts[-1] > 1 else ''} a row"
        splits = ", ".join(dict.fromkeys(one.split for one in every))
        sizes = " or ".join(str(size) for size in dict.fromkeys(one.utterances for one in every))
        cards.append(
            f'<div class="card"><small>scored on</small><b>{escape(splits)}</b>'
            f"<small>{sizes} utterances, {escape(what)}</small></div>"
        )
        rate = scored.contradiction
        if rate and len(rows) == 1:
            cards.append(
                '<div class="card"><small>contradicting pairs</small>'
                f"<b>{100 * rate.mean:.1f} %</b><small>{100 * rate.labels:.1f} % in the labels</small></div>"
            )
    return f'<div class="cards">{"".join(cards)}</div>' if cards else ""


def _score_table(task: Task, rows: Sequence[Row]) -> str:
    scored = [row for row in rows if row.scores and task in row.scores.tasks]
    if not scored or scored[0].scores is None:
        return ""
    kinds = _kinds(rows, task)
    extra = list(dict.fromkeys(head for row in rows for head in row.extra.get(task, {})))
    heads = ["", *(head for _, head in METRICS), "contradicting", *extra]
    lines = [_head_row(f"Scores of {task}", heads)]
    for number, same in enumerate(kinds, start=1):
        assert same[0].scores is not None
        of = f" ({what_is_scored(same[0].scores, task)})" if len(kinds) > 1 else ""
        first = same[0].scores.tasks[task]
        constant = majority_rows(first.majority, first.train_majority, "majority class")
        for place, (name, majority) in enumerate(constant, start=1):
            shown = "".join(f"<td>{majority_cell(majority, key)}</td>" for key, _ in METRICS)
            last = " last" if number == len(kinds) and place == len(constant) else ""
            blank = "<td></td>" * (1 + len(extra))
            lines.append(f'<tr class="majority{last}">{_row_head(name + of)}{shown}{blank}</tr>')
    best = _best(rows, task)
    for i, row in enumerate(rows):
        last = " last" if row.single and i + 1 < len(rows) and not rows[i + 1].single else ""
        if row.scores is None or task not in row.scores.tasks:
            lines.append(
                f'<tr class="failed{last}">{_row_head(row.name)}'
                f'<td class="wide" colspan="{len(heads) - 1}">{escape(row.note or "not scored")}</td></tr>'
            )
            continue
        score = row.scores.tasks[task]
        cells = [_two_lines(estimate_cell(score.metric(key), per_cent=key in PER_CENT)) for key, _ in METRICS]
        rate = row.scores.contradiction
        cells.append(f"{100 * rate.mean:.1f}" if rate else "–")
        cells += [_two_lines(row.extra.get(task, {}).get(head, "")) for head in extra]
        kind = ("best" if row is best and len(scored) > 1 else "") + last
        lines.append(
            f'<tr class="{kind}">{_row_head(row.title)}' + "".join(f"<td>{c}</td>" for c in cells) + "</tr>"
        )
    of_whom = dict.fromkeys(_of_whom(row.scores, task) for row in scored if row.scores)
    by_row = {
        words: ", ".join(row.name for row in scored if row.scores and _of_whom(row.scores, task) == words)
        for words in of_whom
    }
    of_each = "; ".join(f"{names}: {words}" if len(by_row) > 1 else words for words, names in by_row.items())
    note = (
        f"{of_each}. Per cent, log loss in nats; mean ± standard deviation over models (seeds). Contradicting: "
        "answered emotion–sentiment pairs that training never showed."
    )
    note += "".join(
        f" {text[0].upper()}{text[1:]}." for text in answer_notes([row.scores for row in scored if row.scores])
    )
    return _table(lines, note)


def _of_whom(scores: SplitScores, task: Task) -> str:
    """Return whom a row's scores are of, and what its intervals resample."""
    one = scores.tasks[task]
    words = f"{one.count} labelled utterances"
    if one.accuracy.interval:
        words += f", second line: 95 % interval by a bootstrap over {one.groups} {scores.unit}s"
    known = presence_words(one.count, one.without_features)
    return f"{words}; {known}" if known else words


def _kinds(rows: Sequence[Row], task: Task) -> list[list[Row]]:
    """Return the rows of one task by the utterances that they are scored on; rows of two kinds can't be ranked."""
    kinds: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        if row.scores and task in row.scores.tasks:
            one = row.scores.tasks[task]
            counts = tuple((c.name, c.support) for c in one.classes)
            same = (row.scores.split, counts, one.majority, one.train_majority)
            kinds.setdefault(same, []).append(row)
    return list(kinds.values())


def _comparison_table(comparisons: Sequence[PairedTest]) -> str:
    heads = ("variant", "task", "against", "difference of UAR", "95 % interval", "p", "p (Holm)")
    lines = [_head_row("Paired tests", heads)]
    for row in comparisons:
        interval = difference_interval(row.interval) if row.interval else "–"
        cells = (
            row.variant,
            row.task,
            row.against,
            f"{100 * row.difference:+.1f}",
            interval,
            f"{row.p_value:.4f}",
            f"{row.p_holm:.4f}",
        )
        rest = "".join(f"<td>{escape(str(cell))}</td>" for cell in cells[1:])
        lines.append(f"<tr>{_row_head(cells[0])}{rest}</tr>")
    note = (
        "Each variant against the best single stream of the same table, the best on these very utterances: that "
        "flatters the stream, not what is held against it. The test swaps the two models' answers for whole "
        "groups; p is two-sided, and corrected in each task by Holm's method over all rows here. Intervals "
        "are of each difference by itself, not corrected."
    )
    return _table(lines, note)


def _section(section: Section) -> list[str]:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    if section.lead:
        parts.append(f'<p class="lead">{escape(section.lead)}</p>')
    parts += [
        f'<p><a href="{escape(file)}">{escape(file)}</a>: {escape(what)}</p>'
        for file, what in section.beside.items()
    ]
    parts += [_warning(text) for text in section.warnings]
    for task in dict.fromkeys(task for row in section.rows if row.scores for task in row.scores.tasks):
        parts += [f"<h3>{escape(task.capitalize())}</h3>", _score_table(task, section.rows)]
    parts += [_figure(picture) for picture in section.pictures]
    if section.facts:
        rows = "".join(f"<dt>{escape(key)}</dt><dd>{escape(value)}</dd>" for key, value in section.facts.items())
        parts.append(f"<h3>{escape(section.facts_title)}</h3><dl>{rows}</dl>")
    for heading, document in section.documents.items():
        text = json.dumps(plain(document), indent=1, ensure_ascii=False, sort_keys=False, default=str)
        parts.append(f"<details><summary>{escape(heading)}</summary><pre>{escape(text)}</pre></details>")
    return parts


def _table(lines: Sequence[str], note: str) -> str:
    table = f"<table>{''.join(lines)}</table>"
    return f'<div class="scroll" tabindex="0">{table}</div><p class="note">{escape(note)}</p>'


def _head_row(caption: str, heads: Sequence[str]) -> str:
    cells = "".join(f'<th scope="col">{escape(head)}</th>' for head in heads)
    return f"<caption>{escape(caption)}</caption><thead><tr>{cells}</tr></thead>"


def _row_head(title: str) -> str:
    return f'<th scope="row">{escape(title)}</th>'


def _figure(picture: DrawnFigure) -> str:
    words = escape(f"{picture.title}. {picture.seen or picture.caption}")
    return (
        f'<figure><div class="drawing" role="img" aria-label="{words}" tabindex="0">{picture.drawing.inline}</div>'
        f"<figcaption>{escape(picture.caption)}</figcaption></figure>"
    )


def _warning(text: str) -> str:
    return f'<div class="warn">{escape(text)}</div>'


def _two_lines(text: str) -> str:
    first, _, second = text.partition("\n")
    return escape(first) + (f"<small>{escape(second)}</small>" if second else "")


def _best(rows: Sequence[Row], task: Task) -> Row | None:
    kinds = _kinds(rows, task)
    if len(kinds) != 1:
        return None
    (scored,) = kinds
    return max(scored, key=lambda row: row.scores.mean(task, "balanced_accuracy") if row.scores else 0)
