"""A peak of the offset curve away from zero."""

from __future__ import annotations

import pytest
from dualstream.heads.diagnosis.causes.misaligned import misaligned

from tests.heads.diagnosis.measured import change, curve, evidence


@pytest.mark.parametrize("verdict", ["aligned", "none", "unknown"])
def test_only_a_shift_is_a_cause(verdict):
    assert misaligned(evidence(curve=curve(verdict, 1.0, (0.5, 1.5)))) is None
    assert misaligned(evidence(curve=None)) is None


@pytest.mark.parametrize(("peak_s", "moved"), [(1.0, "-1.0"), (-0.5, "+0.5")])
def test_audio_is_moved_the_other_way(peak_s, moved):
    found = misaligned(evidence(curve=curve("shifted", peak_s, (peak_s - 0.5, peak_s + 0.5))))
    assert f"audio {peak_s:+.1f} s against video" in found.text and f"shift audio by {moved} s" in found.advice
    assert "as far as was looked" not in found.text and found.effect == 0.0


def test_a_peak_at_the_end_of_the_curve_may_lie_further_out():
    assert (
        "as far as was looked (--max-shift)"
        in misaligned(evidence(curve=curve("shifted", -2.0, (-2.0, -1.5)))).text
    )


def test_the_effect_is_that_of_the_shift():
    shifted = change("shift by the best offset", 0.07)
    assert misaligned(evidence(shifted, curve=curve("shifted", 1.0, (0.5, 1.5)))).effect == pytest.approx(0.07)
