"""Figures as JSON → docs/results.md: the tables are drawn here, the prose stands in results_template.md.

The template names what is put in: `{{table NAME}}` a table of `tables`, `{{NAME}}` a figure or a word of `values`.
Nothing else fills the page, so that no number in it was typed.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

Document = dict[str, Any]

TEMPLATE = Path(__file__).with_name("results_template.md")
MODELS = {"SVM": "linear SVM", "LR": "logistic regression"}
NOT_MEASURED = "(not measured: openSMILE is not installed)"
EVEN = 0.005  # falls that differ by less are called alike
_MELD, _EMOBOX = "https://arxiv.org/abs/1810.02508", "https://arxiv.org/abs/2406.07162"
PUBLISHED = (
    ("always neutral", "none", "0.313", "48.1 %, 0.093", "computed from the annotations"),
    ("bcLSTM, context of the dialogue", "audio", "0.391", "", f"[Poria et al. 2019]({_MELD}), not opened"),
    ("DialogueRNN, context of the dialogue", "audio", "0.418", "", f"[the same]({_MELD}), not opened"),
    (
        "HuBERT large, frozen",
        "audio",
        "",
        "46.4 %, 0.250",
        f"[EmoBox, Ma et al. 2024]({_EMOBOX}), its leaderboard",
    ),
    ("WavLM large, frozen", "audio", "", "49.3 %, 0.291", f"[the same]({_EMOBOX})"),
    ("Whisper large v3, frozen", "audio", "", "51.9 %, 0.330", f"[the same]({_EMOBOX})"),
    (
        "FacialMMT, the speaker's own face",
        "video",
        "0.365",
        "",
        "[its README](https://github.com/NUSTM/FacialMMT)",
    ),
    ("a 5-layer CNN", "video", "", "35.8 %", "the project that dualstream grew from"),
    ("VGG-16", "video", "0.355", "48.3 %", "the same"),
    ("VGG-16 and sound, one frame each 3 s", "both", "0.217", "", "the same"),
)
"""Published for MELD's test split, emotion, no text: method, streams, weighted F1, accuracy and macro F1."""


def render(document: Document, template: str | None = None) -> str:
    """Return the page.

    Raises
    ------
    KeyError
        Where the template asks for what the figures don't hold.
    """
    drawn, said = tables(document), values(document)
    if template is None:
        template = TEMPLATE.read_text()
        if document["made"]["quick"]:  # not all the figures are there that the prose speaks of
            template = "\n\n".join(f"## {name}\n\n{{{{table {name}}}}}" for name in drawn) + "\n"

    def fill(match: re.Match[str]) -> str:
        words = match[1].strip()
        if words.startswith(("sets.", "stress.")) and words not in said:
            return NOT_MEASURED
        return drawn[words.removeprefix("table ")]() if words.startswith("table ") else said[words]

    return re.sub(r"\{\{(.+?)\}\}", fill, template)


# ---- tables

LOSSES = {"log_loss": "log loss", "calibrated_log_loss": "calibrated log loss"}


def tables(document: Document) -> dict[str, Callable[[], str]]:
    """Return what draws each table."""
    import results_streams_page  # it draws with what stands below

    made = {
        f"{name}": (lambda name=name: compared(document[name]))
        for name in document
        if _is_comparison(document, name)
    }
    made["sets EMO-DB"] = lambda: sets(document, "EMO-DB")
    made["sets RAVDESS"] = lambda: sets(document, "RAVDESS")
    if "stress" in document:
        made["stress"] = lambda: stress(document["stress"])
    made["time"] = lambda: time(document)
    made["meld"] = lambda: meld(document.get("meld"))
    made["commands"] = lambda: commands(document)
    made["moved"] = lambda: moves(document.get("moved"))
    return made | results_streams_page.tables(document)


def choices(chose: list[str] | str | None) -> str:
    """Say what `auto` chose in the folds; older figures have the choice of the last fold, from four variants."""
    if isinstance(chose, str):
        return f" (of four linear variants alone; last fold: `{chose}`)"
    counts = {name: chose.count(name) for name in dict.fromkeys(chose or [])}
    return f" ({', '.join(f'`{name}` in {count} folds' for name, count in counts.items())})" if counts else ""


def compared(document: Document) -> str:
    """Draw what `compare` found: single streams, fusions, and what could not be fitted with its reason."""
    tests = {test["variant"]: test for test in document["tests"]}
    lines = []
    for row in document["rows"]:
        if row["status"] != "done":
            continue
        score = row["emotion"]["balanced_accuracy"]
        test = tests.get(row["variant"])
        lines.append(
            (
                f"`{row['variant']}`" + choices(row["chose"]),
                interval(score["mean"], *score["interval"]),
                "" if score["spread"] is None else f"{score['spread']:.3f}",
                f"{row['emotion']['weighted_f1']['mean']:.3f}",
                *(_loss(row["emotion"], name) for name in LOSSES),
                f"{row['sentiment']['balanced_accuracy']['mean']:.3f}" if "sentiment" in row else "",
                "" if test is None else signed(test["difference"], *test["interval"]),
                "" if test is None else p_value(test["p_holm"]),
                f"{row['fit_s']:.0f}",
            )
        )
    line = document["majority"]["emotion"]
    other = document["majority"]["sentiment"]
    lines.append(
        (
            f"always {line['name']}",
            f"{line['balanced_accuracy']:.3f}",
            "",
            f"{line['weighted_f1']:.3f}",
            *("" for _ in LOSSES),
            f"{other['balanced_accuracy']:.3f}",
            "",
            "",
            "",
        )
    )
    head = (
        "variant (transductive)" if document["speaker_norm"] else "variant",
        "UAR [95 %]",
        "seeds' spread",
        "weighted F1",
        *LOSSES.values(),
        "sentiment UAR",
        f"over `{document['best_single']}` [95 %]",
        "corrected p",
        "fit, s",
    )
    return table(head, lines)


def _loss(scores: Document, name: str) -> str:
    """Return a log loss; nothing in figures of a version that did not measure it."""
    found = scores.get(name)
    return "" if found is None else f"{found['mean']:.2f}"


def sets(document: Document, corpus: str) -> str:
    """Draw the feature sets on one corpus, and what choosing columns anew in each fold is worth."""
    lines = [("majority class", "0", f"{1 / 7:.3f}", f"{1 / 7:.3f}")]
    for row in document["sets"]:
        if row["corpus"] == corpus:
            note = " (optimistic: chosen on this corpus)" if row["optimistic"] else ""
            lines.append((row["set"] + note, str(row["columns"]), *cells(row)))
    for row in document.get("columns", {"rows": []})["rows"]:
        if row["corpus"] == corpus and row["chosen_on"] not in ("EMO-DB", "RAVDESS"):
            lines.append((f"columns chosen on {row['chosen_on']}", "192", *cells(row)))
    return table(("set", "columns", "linear SVM", "logistic regression"), lines)


def stress(rows: Sequence[Document]) -> str:
    """Draw the falls of UAR."""
    hows = damages(rows)
    lines = []
    for row in rows:
        falls = (f"{row[how]:.3f} ({row[how] - row['clean']:+.3f})" for how in hows)
        lines.append((row["set"], MODELS[row["model"]], f"{row['clean']:.3f}", *falls))
    return table(("set", "model", "clean", *hows), lines)


def damages(rows: Sequence[Document]) -> list[str]:
    """Return what was done to the sound, in order."""
    return [key for key in rows[0] if key not in ("set", "corpus", "model", "clean")]


def time(document: Document) -> str:
    """Draw the processor time of each part."""
    spent = document["made"]["cpu_s"]
    return table(
        ("part", "processor time, s"), [(f"`{name}`", f"{seconds:.0f}") for name, seconds in spent.items()]
    )


def meld(document: Document | None) -> str:
    """Draw the published figures beside ours, which stay empty until MELD's clips were measured."""
    lines = [(what, streams, f1, rest, source) for what, streams, f1, rest, source in PUBLISHED]
    for name, streams in (("video", "video"), ("audio", "audio"), ("auto", "both, as chosen without test")):
        f1 = rest = ""
        if document is not None:
            row = document["test"][name]
            score = row["weighted_f1"]
            f1 = interval(score["mean"], *score["interval"])
            rest = f"{100 * row['accuracy']['mean']:.1f} %, {row['macro_f1']['mean']:.3f}"
        lines.append((f"**here**, `{name}`", streams, f1, rest, "" if document else "not measured yet"))
    return table(("method", "streams", "weighted F1", "accuracy, macro F1", "source"), lines)


def moved(before: Document, after: Document) -> list[Document]:
    """Return the emotion UAR of each row of both documents that differs between them, as the page rounds it."""
    found = []
    for part in after:
        if not (_is_comparison(after, part) and part in before and _is_comparison(before, part)):
            continue
        old, new = (
            {row["variant"]: row for row in one[part]["rows"] if row["status"] == "done"}
            for one in (before, after)
        )
        for name in [name for name in new if name in old]:
            was, now = (rows[name]["emotion"]["balanced_accuracy"] for rows in (old, new))
            if f"{was['mean']:.3f}" != f"{now['mean']:.3f}":
                found.append({"part": part, "variant": name, "before": was["mean"], "after": now["mean"],
                              "interval": now["interval"]})  # fmt: skip
    return found


def moves(rows: Sequence[Document] | None) -> str:
    """Draw what moved since the figures that the page had before."""
    if rows is None:
        return "(not noted for these figures)"
    if not rows:
        return "Nothing moved, as far as three digits show."
    lines = [
        (f"`{row['part']}`", f"`{row['variant']}`", f"{row['before']:.3f}",
         interval(row["after"], *row["interval"]), f"{row['after'] - row['before']:+.3f}")
        for row in rows
    ]  # fmt: skip
    return table(("part", "variant", "UAR before", "UAR now [95 %]", "moved by"), lines)


def commands(document: Document) -> str:
    """List the commands that were run, as a user would type them."""
    listed: list[str] = []
    for figures in (document[name] for name in document if name not in ("made", "moved")):
        if isinstance(figures, dict):
            for one in (figures, *(part for part in figures.values() if isinstance(part, dict))):
                listed += [one["command"]] if "command" in one else []
            listed += figures.get("commands", [])
            listed += [figures["extract"]] if "extract" in figures else []
    return "\n".join(f"    {line}" for line in sorted(listed, key=_order))


def table(head: Sequence[str], lines: Sequence[Sequence[str]]) -> str:
    """Write a Markdown table."""
    rows = [head, ["---"] * len(head), *lines]
    return "\n".join(f"| {' | '.join(cell_ for cell_ in row)} |" for row in rows)


# ---- figures and words in the prose


def values(document: Document) -> dict[str, str]:
    """Return every figure that the prose may name."""
    made = document["made"]
    found = {
        "chance": f"{1 / 7:.3f}",
        "made.seeds": str(made["seeds"]),
        "made.workers": str(made["workers"]),
        "made.kept": _kept(made.get("kept", [])),
        "made.minutes": f"{made['wall_s'] / 60:.0f}",
        "made.cpu_minutes": f"{sum(made['cpu_s'].values()) / 60:.0f}",
    }
    comparisons = {name: document[name] for name in document if _is_comparison(document, name)}
    for name, one in comparisons.items():
        found |= _of_comparison(name, one)
    for row in document["sets"]:
        found |= {f"sets.{row['corpus']}.{row['set']}.{kind}": interval(**row[kind]) for kind in MODELS}
    for row in document.get("columns", {"rows": []})["rows"]:
        nested = row["chosen_on"] not in ("EMO-DB", "RAVDESS")
        name = f"columns.{row['corpus']}.{'nested' if nested else row['chosen_on']}"
        found |= {f"{name}.{kind}": interval(**row[kind]) for kind in MODELS}
    if "stress" in document:
        found |= _of_stress(document["stress"])
    import results_streams_page

    return found | results_streams_page.values(document)


def _of_comparison(name: str, document: Document) -> dict[str, str]:
    done = [row for row in document["rows"] if row["status"] == "done"]
    tests = {test["variant"]: test for test in document["tests"]}
    uar = {row["variant"]: row["emotion"]["balanced_accuracy"]["mean"] for row in done}
    found = {f"{name}.{variant}": f"{score:.3f}" for variant, score in uar.items()}
    for row in (row for row in done if "sentiment" in row):
        found[f"{name}.{row['variant']}.sentiment"] = f"{row['sentiment']['balanced_accuracy']['mean']:.3f}"
    found |= {f"{name}.{v}.uar": interval(score, *_score(done, v)["interval"]) for v, score in uar.items()}
    found |= {f"{name}.{v}.gain": signed(test["difference"], *test["interval"]) for v, test in tests.items()}
    found |= {f"{name}.best_single": f"`{document['best_single']}`", f"{name}.groups": str(document["groups"])}
    fusions = [row["variant"] for row in done if not row["single"]]
    if fusions:
        best = max(fusions, key=lambda variant: uar[variant])
        sure = [v for v in fusions if tests[v]["interval"][0] > 0 and tests[v]["p_holm"] < 0.05]
        worst = min(fusions, key=lambda variant: uar[variant])
        found |= {
            f"{name}.best": f"`{best}`",
            f"{name}.best.uar": interval(uar[best], *_score(done, best)["interval"]),
            f"{name}.best.gain": signed(tests[best]["difference"], *tests[best]["interval"]),
            f"{name}.best.p": p_value(tests[best]["p_holm"]),
            f"{name}.worst": f"`{worst}`",
            f"{name}.worst.uar": f"{uar[worst]:.3f}",
            f"{name}.worst.gain": signed(tests[worst]["difference"], *tests[worst]["interval"]),
            f"{name}.fusions": str(len(fusions)),
            f"{name}.sure": str(len(sure)),
            f"{name}.single.uar": f"{uar[document['best_single']]:.3f}",
        }
    return found


def _score(rows: Sequence[Document], variant: str) -> Document:
    return next(row["emotion"]["balanced_accuracy"] for row in rows if row["variant"] == variant)


def _of_stress(rows: Sequence[Document]) -> dict[str, str]:
    """Return falls, and in words how ours compare with eGeMAPSv02's, for each model."""
    hows, found = damages(rows), {"stress.even": str(EVEN)}
    for row in rows:
        name = f"stress.{row['model']}.{row['set']}"
        found |= {f"{name}.{how}": f"{row[how] - row['clean']:+.3f}" for how in hows}
    for model in {row["model"] for row in rows}:
        by_set = {row["set"]: row for row in rows if row["model"] == model}
        if "eGeMAPSv02" in by_set:
            ours, theirs = by_set["acoustic"], by_set["eGeMAPSv02"]
            gap = {how: (ours[how] - ours["clean"]) - (theirs[how] - theirs["clean"]) for how in hows}
            found |= {
                f"stress.{model}.less": _listed([how for how in hows if gap[how] > EVEN]),
                f"stress.{model}.alike": _listed([how for how in hows if abs(gap[how]) <= EVEN]),
                f"stress.{model}.more": _listed([how for how in hows if gap[how] < -EVEN]),
                f"stress.{model}.ahead": _listed([how for how in hows if ours[how] > theirs[how]]),
            }
    return found


def _kept(parts: Sequence[str]) -> str:
    if not parts:
        return "All parts were measured in one run."
    names = ", ".join(f"`{name}`" for name in parts)
    return f"Of an earlier run are the figures of {names}; all other parts were measured anew."


def _listed(words: Sequence[str]) -> str:
    return ", ".join(words) if words else "none"


# ---- writing numbers


def interval(uar: float, low: float, high: float) -> str:
    """Write a score with its interval."""
    return f"{uar:.3f} [{low:.3f}, {high:.3f}]"


def signed(difference: float, low: float, high: float) -> str:
    """Write a difference with its interval."""
    return f"{difference:+.3f} [{low:+.3f}, {high:+.3f}]"


def p_value(p: float) -> str:
    """Write a corrected p."""
    return "<0.001" if p < 0.001 else f"{p:.3f}"


def cells(row: Document) -> tuple[str, ...]:
    """Write what the classifiers scored."""
    return tuple(interval(**row[kind]) for kind in MODELS)


def _is_comparison(document: Document, name: str) -> bool:
    return isinstance(document[name], dict) and "best_single" in document[name]


def _order(line: str) -> tuple[int, str]:
    steps = ("manifest", "extract", "project", "compare", "fit-head", "evaluate")
    return steps.index(line.split()[1]), line
