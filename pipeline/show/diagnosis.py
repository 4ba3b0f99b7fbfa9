"""A diagnosis for people: its words on the terminal, its page and its figures."""

from __future__ import annotations

from typing import Any

import numpy as np

from pipeline.show import tables
from pipeline.show.figures import GRID, INK, MUTED, Picture, render
from pipeline.show.page import Section, page
from pipeline.show.report import Report, cache_facts

STREAM_COLOUR = {"video": "#2563a8", "audio": "#c2621b"}
GOOD, BAD, UNSURE = "#2f7d4f", "#9a3b3b", "#98a3af"
TITLES = {
    "broken_features": "Broken features",
    "leakage": "Leakage: dev utterances stand in train",
    "drift": "Drift: dev looks unlike train",
    "starved_sampling": "Starved sampling",
    "misaligned": "Misaligned streams",
    "scale_mismatch": "Scale mismatch",
    "one_stream_dominates": "One stream dominates",
    "too_little_data": "Too little data for this variant",
    "collapse": "Collapse to the majority class",
    "no_complement": "The streams do not complement each other",
    "nothing_wrong": "Nothing is wrong",
    "cannot_tell": "Can't tell with this much data",
}


def print_diagnosis(document: dict[str, Any], page_path: str) -> None:
    """Print causes, scores and what each remedy gained."""
    from rich.table import Table

    out = tables.console()
    evidence = document["evidence"]
    for number, cause in enumerate(document["causes"], start=1):
        out.print(f"{number}. {TITLES[cause['name']]}", style="bold", markup=False)
        out.print(f"   {_sentence(cause['text'])}", markup=False)
        for remedy in cause["remedies"]:
            out.print(f"   {remedy['name']}: {gain_words(remedy['gain'])}", markup=False)
        out.print(f"   → {cause['advice']}", markup=False)
        out.print()
    table = Table(box=None, pad_edge=False, header_style="dim")
    for column in ("balanced accuracy, out of fold", "", "gain", "95 % interval"):
        table.add_column(column, justify="left" if column.startswith("balanced") else "right")
    table.add_row("chance", f"{evidence['strength']['chance']:.1%}", "", "")
    for name in STREAM_COLOUR:
        table.add_row(f"{name} alone", _score(evidence["scores"][name]), "", "")
    table.add_row(f"{evidence['fusion']}, as it is", _score(evidence["scores"]["fused"]), "", "")
    for item in evidence["interventions"].values():
        low_high = item["gain"]["interval"]
        interval = "" if low_high is None else f"{low_high[0]:+.1%} to {low_high[1]:+.1%}"
        table.add_row(f"  {item['name']}", _score(item["score"]), f"{item['gain']['difference']:+.1%}", interval)
    out.print(table)
    strength = evidence["strength"]
    shares = ", ".join(f"{k} {v:.0%}" for k, v in strength["lean_share"].items() if v is not None)
    out.print(
        f"\nworth (Shapley, points above chance): video {strength['shapley_video']:+.1%}, audio "
        f"{strength['shapley_audio']:+.1%}; use by the head: {shares or 'none of either'}",
        markup=False,
    )
    for note in evidence["notes"]:
        out.print(f"note: {note}", markup=False)
    out.print(
        f"{evidence['utterances']} utterances of {evidence['groups']} {evidence['grouped_by']}s of train and dev, "
        f"{evidence['task']}; the test split was not looked at",
        markup=False,
    )
    out.print(f"page: {page_path}", markup=False, soft_wrap=True)


def diagnosis_report(document: dict[str, Any]) -> Report:
    """Draw the page of a diagnosis and its figures."""
    evidence = document["evidence"]
    drawn = [
        _gains(evidence),
        _offset_curve(evidence["offset_curve"]) if evidence["offset_curve"] else None,
        _coverage(evidence["coverage"]),
        _worth(evidence),
    ]
    pictures = [picture for picture in drawn if picture is not None]
    sections = [
        Section(
            title=TITLES[cause["name"]],
            lead=_sentence(cause["text"]),
            facts_title="What mends it",
            facts={
                "what to do": cause["advice"],
                **{f"measured: {r['name']}": gain_words(r["gain"]) for r in cause["remedies"]},
            },
        )
        for cause in document["causes"]
    ]
    sections.append(
        Section(
            title="How it was measured",
            facts={
                **cache_facts(document["cache"], document["streams"], document["specs"]),
                "looked at": document["looked_at"],
                "scores": f"balanced accuracy, out of fold over whole {evidence['grouped_by']}s; "
                f"intervals by a bootstrap over {evidence['grouped_by']}s",
            },
            documents={"all evidence": evidence},
        )
    )
    names = ", ".join(TITLES[cause["name"]].lower() for cause in document["causes"])
    size = f"{evidence['utterances']} utterances of {evidence['groups']} {evidence['grouped_by']}s"
    html = page(
        f"Why {evidence['fusion']} does what it does",
        f"{names[0].upper()}{names[1:]}. {size}.",
        rows=[],
        sections=[*sections[:-1], Section(title="Evidence", pictures=pictures), sections[-1]],
    )
    return Report(html, tuple(pictures))


def gain_words(gain: dict[str, Any]) -> str:
    """Return a measured gain in words."""
    words = f"{gain['difference']:+.1%} balanced accuracy"
    if gain["interval"]:
        words += f" (95 % interval {gain['interval'][0]:+.1%} to {gain['interval'][1]:+.1%})"
    return words


def _offset_curve(curve: dict[str, Any]) -> Picture:
    shift, agreement, low, high = (
        np.array([np.nan if v is None else v for v in curve[key]], dtype=float)
        for key in ("shift_s", "agreement", "low", "high")
    )

    def plot(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=MUTED, linewidth=0.8, linestyle=":")
        axes.fill_between(shift, low, high, color=STREAM_COLOUR["video"], alpha=0.15, linewidth=0)
        axes.plot(shift, agreement, color=STREAM_COLOUR["video"], marker="o", markersize=4)
        if curve["peak_s"] is not None:
            peak = int(np.nanargmax(agreement))
            axes.plot(
                shift[peak],
                agreement[peak],
                "o",
                color=BAD if curve["verdict"] == "shifted" else GOOD,
                markersize=8,
            )
        axes.set_xlabel("audio against video, seconds (positive: audio later)")
        axes.set_ylabel("held-out canonical correlation")
        axes.set_title("Agreement of the streams by shift")
        axes.grid(axis="y", color=GRID)

    verdict = {
        "aligned": "The peak stands at zero: the streams run on one clock.",
        "shifted": f"The peak stands at {curve['peak_s']} s, not at zero: one stream runs late.",
        "none": "No shift stands out: the streams share no course in time that these features show.",
        "unknown": "Too few windows to tell.",
    }[curve["verdict"]]
    return Picture(
        "offset_curve", "Offset curve", verdict + " Band: 95 % interval over dialogues.", render(plot, 6.4, 3.2)
    )


def _coverage(coverage: dict[str, Any]) -> Picture | None:
    seen = {
        name: values["windows_seen"] for name, values in coverage.items() if values["windows_seen"] is not None
    }
    if not seen:
        return None

    def plot(figure: Any) -> None:
        axes = figure.add_subplot()
        names = list(seen)
        axes.barh(names, [seen[name] for name in names], color=[STREAM_COLOUR[name] for name in names], height=0.5)
        axes.set_xlim(0, 1)
        axes.invert_yaxis()
        axes.set_xlabel("share of an utterance's windows that the stream has seen (mean)")
        axes.set_title("Coverage")
        axes.grid(axis="x", color=GRID)

    words = "; ".join(
        f"{name}: median {values['rows_per_utterance']:g} rows an utterance"
        for name, values in coverage.items()
        if values["rows_per_utterance"] is not None
    )
    return Picture("coverage", "Coverage", words, render(plot, 6.4, 1.8))


def _worth(evidence: dict[str, Any]) -> Picture:
    strength = evidence["strength"]
    names = list(STREAM_COLOUR)

    def plot(figure: Any) -> None:
        left, right = figure.subplots(1, 2)
        colours = [STREAM_COLOUR[name] for name in names]
        left.bar(names, [100 * strength[f"shapley_{name}"] for name in names], color=colours, width=0.5)
        left.set_title("Worth (Shapley)")
        left.set_ylabel("points above chance")
        lean = [next(x for x in strength["lean"] if x["stream"] == name) for name in names]
        place = np.arange(len(names))
        right.bar(place - 0.18, [100 * x["shuffled"] for x in lean], color=colours, width=0.34, label="shuffled")
        right.bar(
            place + 0.18, [100 * x["masked"] for x in lean], color=colours, width=0.34, alpha=0.45, label="hidden"
        )
        right.set_xticks(place, names)
        right.set_title("Use: loss without the stream")
        right.set_ylabel("points lost")
        right.legend()
        for axes in (left, right):
            axes.axhline(0, color=INK, linewidth=0.8)
            axes.grid(axis="y", color=GRID)

    caption = "What each stream is worth to the joined score, and what the fitted head loses without it."
    return Picture("worth", "Worth and use of the streams", caption, render(plot, 7.2, 3.0))


def _gains(evidence: dict[str, Any]) -> Picture:
    items = sorted(evidence["interventions"].values(), key=lambda item: item["gain"]["difference"])

    def plot(figure: Any) -> None:
        axes = figure.add_subplot()
        axes.axvline(0, color=INK, linewidth=0.8)
        for row, item in enumerate(items):
            low, high = item["gain"]["interval"] or (item["gain"]["difference"],) * 2
            colour = GOOD if low > 0 else BAD if high < 0 else UNSURE
            axes.plot(
                [100 * low, 100 * high], [row, row], color=colour, linewidth=3, alpha=0.5, solid_capstyle="butt"
            )
            axes.plot(100 * item["gain"]["difference"], row, "o", color=colour, markersize=6)
        axes.set_yticks(range(len(items)), [item["name"] for item in items])
        axes.set_xlabel(f"gain over {evidence['fusion']} as it is, points of balanced accuracy")
        axes.set_title("What each change brings")
        axes.grid(axis="x", color=GRID)

    caption = (
        "Each change refitted on the same folds; bars: 95 % interval of the paired difference over dialogues. "
        "'Shift by the best offset' is held against 'align windows'."
    )
    return Picture("gains", "Interventions", caption, render(plot, 7.2, 0.6 + 0.34 * len(items) + 0.6))


def _score(estimate: dict[str, Any]) -> str:
    words = f"{estimate['mean']:.1%}"
    return (
        words
        if not estimate["interval"]
        else f"{words} ({estimate['interval'][0]:.1%}–{estimate['interval'][1]:.1%})"
    )


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}."
