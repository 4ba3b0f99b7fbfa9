"""Embedders that tell people apart, one file each; they register themselves (embedding.py)."""
