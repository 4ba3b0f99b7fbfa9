"""The device that ``auto`` stands for, and the number of a GPU."""

from __future__ import annotations

import ctypes
import os
import re
import sys

NVIDIA_DRIVER = "libcuda.so.1"
GPU_DEVICES = ("/dev/kfd", "/dev/dxg", "/dev/nvidiactl")  # of AMD, of any in WSL, and of NVIDIA
KNOWN = re.compile(r"auto|cpu|cuda(:\d{1,3})?", re.ASCII)


def require_device_name(text: str) -> None:
    """Raise ValueError where `text` is the name of no device; whether this machine has it takes torch to tell."""
    if not KNOWN.fullmatch(text):
        raise ValueError(f"device is {text!r}; expected auto, cpu, cuda or cuda:N")


def require_device(text: str) -> None:
    """Raise ValueError where `text` is the name of no device, or of one that this machine lacks."""
    require_device_name(text)
    if text.startswith("cuda"):
        from dualstream.features.encoders.frozen import usable_device

        usable_device(text)


def choose_device(text: str) -> str:
    """Return `text`; for ``auto`` ``cuda`` where torch finds a GPU, else ``cpu``, also where there is no torch."""
    if text != "auto":
        return text
    if not may_have_gpu():  # torch would say the same, but importing it takes seconds
        return "cpu"
    try:
        import torch
    except ImportError:
        return "cpu"
    return "cuda" if torch.cuda.is_available() else "cpu"


def may_have_gpu() -> bool:
    """Tell whether torch could find a GPU; False where what it reaches them by is not on this system."""
    if sys.platform == "darwin":
        return False
    if not sys.platform.startswith("linux") or any(map(os.path.exists, GPU_DEVICES)):
        return True
    try:
        ctypes.CDLL(NVIDIA_DRIVER)
    except OSError:
        return False
    return True


def number_of_gpu(device: str) -> int:
    """Return N of ``cuda:N``; 0 for every other device."""
    number = device.partition(":")[2]
    return int(number) if device.startswith("cuda:") and number.isdecimal() else 0
