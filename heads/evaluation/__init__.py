"""Scores, their statistics, calibration and folds."""
