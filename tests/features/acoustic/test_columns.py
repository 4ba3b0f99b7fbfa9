"""The lists of columns: each names a track that is measured and a statistic that there is."""

from __future__ import annotations

import numpy as np
import pytest
from dualstream.features.acoustic.columns import COLUMNS, DEFAULT_COLUMNS, FAMILIES, GROUPS, LISTS
from dualstream.features.acoustic.frames import SAMPLE_RATE_HZ, measure
from dualstream.features.acoustic.functionals import MODULATIONS, PERCENTILES, RHYTHM

STATISTICS = {"mean", "std", "skew", *PERCENTILES, "range", *MODULATIONS}
MOVES = {"rise", "fall", "move"}


@pytest.fixture(scope="module")
def tracks():
    return set(measure(np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE_HZ).astype(np.float32)).names)


def test_every_track_of_a_family_is_measured_and_stands_in_one_family(tracks):
    named = [track for family in FAMILIES.values() for track in family.split()]
    assert len(named) == len(set(named)) and set(named) <= tracks


@pytest.mark.parametrize("corpus", LISTS)
def test_every_column_is_a_statistic_of_a_track(corpus, tracks):
    for column in LISTS[corpus]:
        track, _, statistic = column.partition(".")
        if track == "rhythm":
            assert statistic in RHYTHM
        else:
            assert track in tracks
            assert statistic in MOVES or statistic.removeprefix("voiced_") in STATISTICS


def test_the_standing_list_is_parted_into_groups():
    assert LISTS[DEFAULT_COLUMNS] == COLUMNS
    assert tuple(column for group in GROUPS.values() for column in group) == COLUMNS
    assert set(GROUPS) - {"rhythm"} <= set(FAMILIES)
