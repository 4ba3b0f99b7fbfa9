"""Titles of causes: each of ours has its own, and a cause from outside is called by its name."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from dualstream.heads.diagnosis import causes, conclusion
from dualstream.heads.diagnosis.causes import Cause
from dualstream.heads.diagnosis.intervention import Intervention
from dualstream.heads.diagnosis.strength import Reliance
from dualstream.heads.evaluation.statistics import Estimate, PairedDifference
from dualstream.pipeline.reporting import diagnosis, diagnosis_figures


def test_every_cause_has_a_title_of_its_own() -> None:
    titles = {name: conclusion.title(name) for name in [*causes.names(), *conclusion.OTHERWISE]}
    assert len(set(titles.values())) == len(titles)
    assert titles["leakage"] == "Leakage: dev utterances appear in train"
    assert not any("_" in title for title in titles.values())


def test_a_cause_whose_package_is_gone_is_called_by_its_name() -> None:
    assert conclusion.title("loud_fans") == "Loud fans"


@pytest.mark.parametrize("helps", [False, True])
def test_what_was_tried_stands_where_nothing_helped(helps: bool) -> None:
    """All changes of the planted evidence, with gain and interval; where a remedy helps, the remedies."""
    gains = {"standardise": (0.004, -0.02, 0.03, 0.7), "align windows": (-0.01, -0.03, 0.01, 0.4)}
    if helps:
        gains["standardise"] = (0.08, 0.05, 0.11, 0.0005)
    evidence: Any = SimpleNamespace(
        interventions={name: change(name, *numbers) for name, numbers in gains.items()}
    )
    cause = Cause("drift", "text", 0.0, None, (evidence.interventions["standardise"],), "look again")
    assert diagnosis._helps(cause, evidence) is helps
    facts = diagnosis._tried(cause, evidence, "")
    if helps:
        assert facts == {"measured: standardise": "+8.0% balanced accuracy (95 % interval +5.0% to +11.0%)"}
    else:
        assert facts == {
            "tried: standardise": "+0.4% balanced accuracy (95 % interval -2.0% to +3.0%)",
            "tried: align windows": "-1.0% balanced accuracy (95 % interval -3.0% to +1.0%)",
        }
    nothing: Any = SimpleNamespace(interventions={})
    bare = Cause("cannot_tell", "text", 0.0, None, (), "look again")
    assert diagnosis._tried(bare, nothing, "") == {"tried": "nothing: no change was asked for"}


def change(name: str, difference: float, low: float, high: float, p_value: float) -> Intervention:
    gain = PairedDifference(difference, low, high, p_value, 40)
    return Intervention(name, "type this", Estimate(0.5, (0.5,)), gain, gain)


def test_the_legend_of_what_a_head_loses_stands_clear_of_its_bars() -> None:
    leans = [
        Reliance(name, shuffled, masked)
        for name, shuffled, masked in (("video", 0.05, 0.0), ("audio", 0.05, 0.05))
    ]
    drawing = diagnosis_figures.worth_of({"video": 0.1, "audio": 0.1}, leans, speaker_norm=True).drawing
    figure = drawing._figure
    drawing.file("png")
    (legend,) = figure.legends
    assert [text.get_text() for text in legend.get_texts()] == ["shuffled", "hidden"]
    assert not any(legend.get_window_extent().overlaps(axes.get_window_extent()) for axes in figure.axes)
    titles = [axes.get_title(loc="left") for axes in figure.axes]
    assert titles == ["Worth (Shapley) (transductive)", "Use: loss without it (transductive)"]
    assert all(axes._left_title.get_window_extent().x1 < figure.bbox.x1 for axes in figure.axes)
