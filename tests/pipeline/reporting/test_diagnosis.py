"""Titles of causes: each of ours has its own, and a cause from outside is called by its name."""

from __future__ import annotations

from dualstream.heads.diagnosis import causes, conclusion


def test_every_cause_has_a_title_of_its_own() -> None:
    titles = {name: conclusion.title(name) for name in [*causes.names(), *conclusion.OTHERWISE]}
    assert len(set(titles.values())) == len(titles)
    assert titles["leakage"] == "Leakage: dev utterances appear in train"
    assert not any("_" in title for title in titles.values())


def test_a_cause_whose_package_is_gone_is_called_by_its_name() -> None:
    assert conclusion.title("loud_fans") == "Loud fans"
