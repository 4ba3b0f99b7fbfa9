"""Scorers of who talks, one file each; they register themselves (scoring.py)."""
