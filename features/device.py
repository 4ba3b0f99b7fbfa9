"""The device that ``auto`` stands for."""

from __future__ import annotations


def choose_device(text: str) -> str:
    """Return `text`; for ``auto`` ``cuda`` where torch finds a GPU, else ``cpu``, also where there is no torch."""
    if text != "auto":
        return text
    try:
        import torch
    except ImportError:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"
