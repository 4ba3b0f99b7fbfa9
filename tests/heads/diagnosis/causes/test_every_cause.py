"""No cause is named where nothing is wrong, and each has words for a page."""

from __future__ import annotations

import pytest
from dualstream.heads.diagnosis import causes
from dualstream.heads.diagnosis.conclusion import conclude, title

from tests.heads.diagnosis.measured import evidence, gain

OURS = [name for name in causes.names() if causes.REGISTRY.module_of(name).startswith("dualstream.")]


@pytest.mark.parametrize("name", [name for name in OURS if name != "no_complement"])
def test_a_healthy_head_has_no_cause(name):
    assert causes.REGISTRY.get(name).rule(evidence()) is None


def test_a_healthy_head_is_said_to_be_healthy():
    (found,) = conclude(evidence())
    assert found.name == "nothing_wrong" and found.effect == pytest.approx(0.1)
    assert "the better single stream (audio) 50.0%: +10.0%" in found.text


def test_where_nothing_can_be_told_it_says_what_would_stay_hidden():
    (found,) = conclude(evidence(fused_over_best=gain(0.01, half=0.2)))
    assert found.name == "cannot_tell" and "an effect below 20.0% stays hidden" in found.advice


def test_a_worse_head_without_a_cause_is_said_to_be_worse():
    (found,) = conclude(evidence(fused_over_best=gain(-0.1)))
    assert found.name == "cannot_tell" and "none of the causes that are known explains" in found.text
    assert found.advice.startswith("--fusion audio is better")


@pytest.mark.parametrize("name", OURS)
def test_titles_are_of_one_line(name):
    assert title(name) and "\n" not in title(name) and title(name)[0].isupper()


def test_a_cause_whose_package_is_gone_has_its_name():
    assert title("loud_fans") == "Loud fans" and title("nothing_wrong") == "Joining works"


@pytest.mark.parametrize("name", OURS)
def test_what_explains_a_cause_is_known_and_never_in_a_circle(name):
    entry = causes.REGISTRY.get(name)
    above = [causes.REGISTRY.get(other) for other in entry.explained_by if other != causes.ALL]
    assert not any(name in other.explained_by for other in above)
