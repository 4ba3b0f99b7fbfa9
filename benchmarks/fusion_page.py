"""The figures of docs/fusion.md: the demo's diagnosis under several seeds, as JSON and between two marks.

    python benchmarks/fusion_page.py                # the demo's corpora of seeds 0 to 2, diagnosed: minutes
    python benchmarks/fusion_page.py --page         # the page again from docs/fusion.json

The commands are those of `make demo` that its diagnosis needs, run as it runs them; seed 0 is `make demo` itself.
A diagnosis that stands in `--scratch` is not made again.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
from collections.abc import Sequence
from importlib.metadata import version
from pathlib import Path
from typing import Any

from checkout import ROOT
from dualstream.pipeline.commands.demo import DemoOptions, commands, draw_corpus, plan_corpus, run_command

PAGE, FIGURES = ROOT / "docs" / "fusion.md", ROOT / "docs" / "fusion.json"
BEGIN, END = "<!-- written by benchmarks/fusion_page.py -->", "<!-- end of what it wrote -->"
NEEDED = ("manifest", "extract", "diagnose")
JOINED, DENSE = "**joined, one frame each 3 s**", "**joined, one frame a window**"
CHANGES = {
    "join late": "the same frames, streams joined late",
    "modality dropout": "the same frames, modality dropout",
    "regularise": "the same frames, a linear head",
    "align windows": "the same frames, windows aligned",
    "other features": DENSE,
}
"""Rows of the table: what `diagnose` calls a change, and what the page does."""

Document = dict[str, Any]


def main() -> None:
    """Measure what is not measured yet, keep the figures and write the block."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--page", action="store_true", help="write the page from the figures that are kept")
    parser.add_argument("--seeds", type=int, default=3, help="corpora that are drawn")
    parser.add_argument("--scratch", type=Path, default=ROOT / "results" / "fusion", help="where they are drawn")
    options = parser.parse_args()
    if not options.page:
        diagnoses = [diagnosed(options.scratch / f"demo{seed}", seed) for seed in range(options.seeds)]
        document = {"machine": machine(), "seeds": [reduced(one) for one in diagnoses]}
        FIGURES.write_text(json.dumps(document, indent=1) + "\n")
    PAGE.write_text(filled(PAGE.read_text(), json.loads(FIGURES.read_text())))


def diagnosed(out: Path, seed: int) -> Document:
    """Return the demo's diagnosis of a corpus drawn with this seed."""
    found = out / "diagnosis" / "diagnosis.json"
    if not found.exists():
        options = DemoOptions(seed=seed)
        draw_corpus(out / "corpus", list(plan_corpus(options)), options)
        for words in commands(out):
            if words[0] in NEEDED:
                run_command(words, print)
    document: Document = json.loads(found.read_text())
    return document


def reduced(diagnosis: Document) -> Document:
    """Return of a diagnosis.json what the page shows."""
    evidence = diagnosis["evidence"]
    scores = {"video": evidence["scores"]["video"], "audio": evidence["scores"]["audio"]}
    scores["joined"] = evidence["scores"]["fused"]
    changes = evidence["interventions"]
    return {
        "utterances": evidence["utterances"],
        "groups": evidence["groups"],
        "chance": evidence["strength"]["chance"],
        "scores": {name: _score(one) for name, one in scores.items()},
        "changes": {
            name: {"score": _score(changes[name]["score"]), "gain": _gain(changes[name]["gain"])}
            for name in CHANGES
        },
        "causes": [
            {key: one[key] for key in ("name", "text", "effect", "interval", "advice")}
            for one in diagnosis["causes"]
        ],
    }


def machine() -> Document:
    """Return on what the figures were measured: last digits, and with them early stopping, depend on it."""
    names = [
        line.partition(":")[2].strip() for line in _lines(Path("/proc/cpuinfo")) if line.startswith("model name")
    ]
    return {
        "processor": names[0] if names else platform.processor() or platform.machine(),
        "cores": os.cpu_count(),
        "system": platform.system(),
        "torch": version("torch"),
        "numpy": version("numpy"),
    }


def filled(page: str, document: Document) -> str:
    """Return the page with the block of these figures between its marks.

    Raises
    ------
    ValueError
        Where the page lacks the marks.
    """
    before, begin, rest = page.partition(BEGIN)
    _, end, after = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"{PAGE.name} lacks the marks {BEGIN} and {END}")
    return f"{before}{BEGIN}\n{block(document)}\n{END}{after}"


def block(document: Document) -> str:
    """Return the table and the causes, as Markdown."""
    seeds = document["seeds"]
    first, on = seeds[0], document["machine"]
    head = (
        f"balanced accuracy, out of fold, {first['utterances']} utterances of {first['groups']} dialogues",
        "seed 0",
        "gain over the failing head",
        f"seeds 0 to {len(seeds) - 1}",
        "their gains",
    )
    lines = [("chance", _percent(first["chance"]), "", "", "")]
    for name, title in (
        ("video", "video alone, one frame each 3 s"),
        ("audio", "audio alone"),
        ("joined", JOINED),
    ):
        every = [one["scores"][name]["mean"] for one in seeds]
        lines.append((title, _interval(first["scores"][name]), "", _range(every), ""))
    for name, title in CHANGES.items():
        every = [one["changes"][name]["score"]["mean"] for one in seeds]
        gains = [one["changes"][name]["gain"]["mean"] for one in seeds]
        gain = _interval(first["changes"][name]["gain"], sign="+")
        lines.append((title, _interval(first["changes"][name]["score"]), gain, _range(every), _range(gains, "+")))
    table = [head, ("---",) * len(head), *lines]
    return "\n".join(
        [
            *(f"| {' | '.join(cells)} |" for cells in table),
            "",
            f"(in per cent; in brackets 95 % intervals; measured on {on['processor']}, {on['cores']} cores, "
            f"{on['system']}, torch {on['torch']}, numpy {on['numpy']}. Another machine rounds otherwise, and its "
            "figures differ by a few utterances; another seed draws other clips, and the last two columns show by "
            "how much that moves them.)",
            "",
            "What `diagnose` says of seed 0:",
            "",
            *(line for number, one in enumerate(first["causes"], 1) for line in _cause(number, one)),
            "",
            _agreement(seeds),
        ]
    )


def _cause(number: int, cause: Document) -> list[str]:
    effect = _interval({"mean": cause["effect"], "interval": cause["interval"]}, sign="+")
    lines = [f"    {number}. {cause['name']}", f"       {cause['text']}"]
    return [*lines, f"       remedy: {effect} points of balanced accuracy", f"       → {cause['advice']}"]


def _agreement(seeds: Sequence[Document]) -> str:
    """Return what the other corpora were told."""
    named = [[cause["name"] for cause in one["causes"]] for one in seeds]
    first = sum(names[0] == "starved_sampling" for names in named)
    below = sum(one["scores"]["joined"]["mean"] < one["scores"]["audio"]["mean"] for one in seeds)
    apart = sum(
        one["changes"]["other features"]["score"]["interval"][0] > one["scores"]["joined"]["interval"][1]
        for one in seeds
    )
    count = len(seeds)
    led = {seed: names[0] for seed, names in enumerate(named) if names[0] != "starved_sampling"}
    others = [f"`{name}` of seed {seed}" for seed, name in led.items()]
    instead = f" (instead: {', '.join(others)})" if others else ""
    return (
        f"Of {count} corpora the joined head is below audio alone in {below}; `starved_sampling` is named first "
        f"in {first}{instead}; and in {apart} the intervals of the failing head and of the same head over dense "
        "frames don't overlap."
    )


def _score(one: Document) -> Document:
    return {"mean": one["mean"], "interval": one["interval"]}


def _gain(one: Document) -> Document:
    return {"mean": one["difference"], "interval": one["interval"]}


def _percent(share: float, sign: str = "") -> str:
    return f"{100 * share:{sign}.1f}"


def _interval(one: Document, sign: str = "") -> str:
    between = " to " if sign else "–"
    return f"{_percent(one['mean'], sign)} ({between.join(_percent(end, sign) for end in one['interval'])})"


def _range(values: Sequence[float], sign: str = "") -> str:
    return " to ".join(_percent(end, sign) for end in (min(values), max(values)))


def _lines(path: Path) -> list[str]:
    return path.read_text().splitlines() if path.exists() else []


if __name__ == "__main__":
    main()
