"""The kind of processor in torch's words, as shards record it; found without torch where nothing else needs it."""

from __future__ import annotations

import importlib
import os
import platform
import sys
from typing import Any

X86 = ("x86_64", "amd64")
CAPABILITIES = {"avx512": "AVX512", "avx2": "AVX2", "default": "DEFAULT"}  # by what the variable may hold
NEEDED = (("AVX512", ("AVX512_SKX", "FMA3")), ("AVX2", ("AVX2", "FMA3")))  # features, in NumPy's words


def cpu_capability() -> str:
    """Return what ``torch.backends.cpu.get_cpu_capability`` does, without the seconds that its import takes.

    By the rule of ATen/native/DispatchStub.cpp: the variable ATEN_CPU_CAPABILITY, else what the processor has.
    Torch itself is asked where it is loaded already, and on other processors than x86.
    """
    features = _features() if "torch" not in sys.modules else {}
    if not features or platform.machine().lower() not in X86:
        import torch

        return str(torch.backends.cpu.get_cpu_capability())
    if (asked := os.environ.get("ATEN_CPU_CAPABILITY")) in CAPABILITIES:
        return CAPABILITIES[asked]
    return next((name for name, needed in NEEDED if all(features.get(one) for one in needed)), "DEFAULT")


def _features() -> dict[str, Any]:
    """Return which features NumPy found the processor to have; nothing where it does not say."""
    for module in ("numpy._core._multiarray_umath", "numpy.core._multiarray_umath"):  # NumPy 2, and 1
        try:
            return dict(importlib.import_module(module).__cpu_features__)
        except (ImportError, AttributeError):
            continue
    return {}
