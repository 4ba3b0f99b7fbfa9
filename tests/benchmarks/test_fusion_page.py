"""docs/fusion.md's figures are those of its document, and that is what a diagnosis says."""

from __future__ import annotations

import copy
import json
import re
from typing import Any

import fusion_page
import pytest
from dualstream.pipeline.commands import demo

STORED = json.loads(fusion_page.FIGURES.read_text())
PAGE = fusion_page.PAGE.read_text()


def diagnosis(joined: float = 0.4, gain: float = 0.25) -> dict[str, Any]:
    """Return what diagnosis.json holds, of these figures."""

    def score(mean: float) -> dict[str, Any]:
        return {"mean": mean, "spread": None, "seeds": [mean], "interval": [mean - 0.05, mean + 0.05]}

    def change(by: float) -> dict[str, Any]:
        facts = {"difference": by, "interval": [by - 0.06, by + 0.06], "p_value": 0.01, "groups": 25}
        return {"name": "x", "remedy": "y", "score": score(joined + by), "gain": facts, "over_best": facts}

    changes = {name: change(0.01) for name in (*fusion_page.CHANGES, "standardise")}
    changes["other features"] = change(gain)
    causes = [
        {"name": "starved_sampling", "text": "video has a row for 28% of an utterance's windows",
         "effect": gain, "interval": [gain - 0.06, gain + 0.06], "remedies": [], "advice": "extract again"},
    ]  # fmt: skip
    return {
        "causes": causes,
        "evidence": {
            "utterances": 175,
            "groups": 25,
            "strength": {"chance": 1 / 7},
            "scores": {"fused": score(joined), "video": score(0.12), "audio": score(0.45), "late_sum": score(0.3)},
            "interventions": changes,
        },
    }


def test_the_pages_block_is_what_the_command_writes() -> None:
    assert fusion_page.filled(PAGE, STORED) == PAGE
    assert len(STORED["seeds"]) >= 3 and STORED["machine"]["processor"]


def test_no_figure_of_the_demo_stands_outside_the_block() -> None:
    first, rest = PAGE.split(fusion_page.BEGIN)
    prose = first.split("## The failure")[1] + rest.split(fusion_page.END)[1].split("\n## ")[0]
    assert not re.findall(r"\d[\d.]* ?(?:%|points)", prose)


def test_a_diagnosis_becomes_a_table_by_hand() -> None:
    seeds = [fusion_page.reduced(diagnosis()), fusion_page.reduced(diagnosis(joined=0.5, gain=0.02))]
    written = fusion_page.block({"machine": STORED["machine"], "seeds": seeds})
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in written.splitlines() if line[:1] == "|"]
    by = {row[0]: row[1:] for row in rows}
    assert by["chance"][0] == "14.3"
    assert by[fusion_page.JOINED] == ["40.0 (35.0–45.0)", "", "40.0 to 50.0", ""]
    assert by[fusion_page.DENSE] == ["65.0 (60.0–70.0)", "+25.0 (+19.0 to +31.0)", "52.0 to 65.0", "+2.0 to +25.0"]
    assert "    1. starved_sampling\n       video has a row for 28% of" in written
    # the second corpus: 0.5 is not below audio's 0.45, and 0.52 ± 0.05 overlaps 0.5 ± 0.05
    assert (
        "Of 2 corpora the joined head is below audio alone in 1; `starved_sampling` is named first in 2; "
        in written
    )
    assert "and in 1 the intervals" in written
    seeds[1]["causes"][0]["name"] = "drift"
    written = fusion_page.block({"machine": STORED["machine"], "seeds": seeds})
    assert "is named first in 1 (instead: `drift` of seed 1); " in written


def test_other_figures_are_another_page() -> None:
    changed = copy.deepcopy(STORED)
    changed["seeds"][0]["scores"]["joined"]["mean"] = 0.123
    assert "12.3 (" in fusion_page.filled(PAGE, changed)


def test_a_page_without_marks_is_refused() -> None:
    with pytest.raises(ValueError, match="lacks the marks"):
        fusion_page.filled("no marks", STORED)


def test_the_commands_are_those_of_the_demo(tmp_path, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of the demo's that lead to its diagnosis, in its order; a diagnosis that stands is read."""
    ran = []

    def fake(words: list[str], say: object) -> None:
        ran.append(words)
        if words[0] == "diagnose":
            (tmp_path / "d" / "diagnosis").mkdir(parents=True)
            (tmp_path / "d" / "diagnosis" / "diagnosis.json").write_text(json.dumps({"made": True}))

    monkeypatch.setattr(fusion_page, "run_command", fake)
    monkeypatch.setattr(fusion_page, "draw_corpus", lambda *how: None)
    assert [fusion_page.diagnosed(tmp_path / "d", 1) for _ in range(2)] == [{"made": True}] * 2
    assert ran == [
        words for words in demo.commands(tmp_path / "d") if words[0] in ("manifest", "extract", "diagnose")
    ]
    assert len(ran) == 4
