"""The smallest mistake that a diagnosis says it would have found is found, and half of it is not."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
import study_limits
from dualstream.heads.diagnosis import conclusion
from dualstream.heads.diagnosis.pairs import Offsets, of_clock
from dualstream.heads.diagnosis.signs import sensitivity
from dualstream.heads.diagnosis.signs.joins import joins
from dualstream.heads.diagnosis.signs.limit import Limit
from dualstream.heads.diagnosis.signs.sensitivity import DRAWS, MORE_DRAWS, limits, smallest
from dualstream.heads.diagnosis.signs.wrong_codes import wrong_codes

from tests.heads.diagnosis.measured import curve, evidence
from tests.heads.diagnosis.signs.test_signs import WHOLE, of, signs_of


def found_in(kind, name, at, draws):
    table = of(WHOLE)
    return sum(
        study_limits.PLANTS[kind](table, name, at, np.random.default_rng([draw, 41])) for draw in range(draws)
    )


def test_the_least_strength_is_taken_that_nearly_every_draw_finds():
    asked = []

    def is_found(strength, draw):
        asked.append((strength, draw))
        return {1: False, 2: draw == 0, 3: draw < DRAWS + 3, 4: draw != DRAWS}[strength]

    assert smallest((1, 2, 3, 4), is_found) == 4  # at 3 the further draws miss two, at 4 one
    every = range(DRAWS + MORE_DRAWS)
    assert asked == [(1, 0), (2, 0), (2, 1), *((3, draw) for draw in every), *((4, draw) for draw in every)]
    assert smallest((1, 2, 3), is_found) is None and smallest((), is_found) is None


@pytest.mark.parametrize(
    ("kind", "name"), [("scale of", "audio"), ("copies in", "audio"), ("filled rows of", "video")]
)
def test_cheap_kinds_are_found_where_it_is_said_and_not_at_half(kind, name):
    table = of(WHOLE)
    asked = {
        plant.args[0].mistake: plant for plant in (*sensitivity._of_kinds(table), *sensitivity._counted(table))
    }
    one = asked[f"{kind} {name}"]()
    assert one.seen and found_in(kind, name, one.smallest, 5) >= 4
    assert found_in(kind, name, one.smallest / 2, 5) < 4


@pytest.mark.slow
def test_every_kind_is_found_where_it_is_said_and_not_at_half():
    table = of(WHOLE)
    told = limits(table, joins(table), wrong_codes(table))
    assert limits(table, joins(table), wrong_codes(table), processes=2) == told
    seen = 0
    for one in told:
        kind = next((kind for kind in study_limits.PLANTS if one.mistake.startswith(kind)), None)
        if kind is None or not one.smallest:
            continue
        name = one.mistake.removeprefix(kind).strip()
        assert found_in(kind, name, one.smallest, 5) >= 4, one
        assert found_in(kind, name, one.smallest / 2, 5) < 4, one
        seen += 1
    assert seen >= 9
    assert {"shuffled audio", "shift of audio and video", "random speakers", "one person, two names"} <= {
        one.mistake for one in told if one.seen
    }


def test_streams_that_share_nothing_and_tell_nothing_are_said_to_hide_mistakes():
    rng = np.random.default_rng(0)
    table = of(WHOLE)
    noise = replace(table, raw={name: rng.normal(size=rows.shape) for name, rows in table.raw.items()})
    asked = sensitivity._of_joins(noise, joins(noise), wrong_codes(noise))
    told = {one.mistake: one for one in (plant() for plant in asked)}
    assert told and not any(one.seen for one in told.values())


def test_strengths_are_told_in_their_units_and_what_is_unseen_too():
    told = (
        Limit("label noise", 0.07, "labels drawn at random"),
        Limit("scale of audio", 2.5, "a factor", "factor"),
        Limit("labels of speakers", 3, "speakers", "speakers"),
        Limit("clock", 0.5, "windows", "seconds"),
        Limit("shuffled audio", 0.0, "all rows of audio shuffled", "any"),
        Limit("moved rows", None, "rows of video of others"),
    )
    assert [one.at for one in told] == ["from 7% on", "from 2.5 times on", "from 3 on", "from 0.5 s on", "", ""]
    words = conclusion.looked_for(evidence(signs=signs_of(of(WHOLE), limits=told)))
    assert "labels drawn at random (from 7% on)" in words
    assert "Can't be seen in this corpus: rows of video of others" in words


def test_a_shift_of_the_clock_is_found_from_the_hop_beyond_its_interval_on():
    aligned = Offsets(("video", "audio"), curve("aligned", 0.0, (-0.5, 0.0)), None)
    assert [one.smallest for one in of_clock(aligned)] == [1.0]
    unknown = Offsets(("video", "audio"), curve("unknown", 0.0, (-2.0, 2.0)), None)
    assert [one.seen for one in of_clock(unknown)] == [False]
    assert list(of_clock(Offsets(("video", "audio"), None, None))) == []
