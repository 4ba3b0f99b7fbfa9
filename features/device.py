"""The device that ``auto`` stands for, and the number of a GPU."""

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


def number_of_gpu(device: str) -> int:
    """Return N of ``cuda:N``; 0 for every other device."""
    number = device.partition(":")[2]
    return int(number) if device.startswith("cuda:") and number.isdecimal() else 0
