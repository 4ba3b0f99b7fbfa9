"""Mean probabilities, by hand."""

import numpy as np
import pytest
from dualstream.heads.variants.ensemble import ensemble
from dualstream.heads.variants.registry import Prediction


def test_probabilities_are_averaged():
    one, two = np.array([[0.9, 0.1], [0.5, 0.5]]), np.array([[0.3, 0.7], [1.0, 0.0]])
    with np.errstate(divide="ignore"):
        found = ensemble([Prediction(np.log(one), None), Prediction(np.log(two), None)])
    np.testing.assert_allclose(np.exp(found.emotion), [[0.6, 0.4], [0.75, 0.25]])
    assert found.sentiment is None


def test_far_below_zero_does_not_underflow():
    rows = np.array([[-2000.0, 0.0]])
    np.testing.assert_allclose(ensemble([Prediction(rows, rows)] * 3).sentiment, rows, atol=1e-12)
    dead = np.array([[-np.inf, 0.0]])
    assert ensemble([Prediction(dead, None)] * 2).emotion[0, 0] == -np.inf


def test_ensemble_fails():
    rows = np.zeros((2, 3))
    with pytest.raises(ValueError, match="at least one"):
        ensemble([])
    with pytest.raises(ValueError, match="sentiment predictions have shapes"):
        ensemble([Prediction(rows, rows), Prediction(rows, None)])
