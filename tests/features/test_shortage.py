"""What libraries say where memory is short, word for word, and what they say of other things."""

from __future__ import annotations

import errno
import os

import numpy as np
import pytest
import torch
from dualstream.features.memory import is_shortage, raise_shortage
from safetensors import SafetensorError

SHORTAGES = [
    MemoryError(),
    OSError(errno.ENOMEM, os.strerror(errno.ENOMEM)),
    OSError("Can't synchronously read data (memory allocation failed for raw data chunk)"),  # h5py
    RuntimeError("Unspecified error in H5Dread (memory allocation failed)"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:121] DefaultCPUAllocator: can't allocate memory: you tried to …"),
    torch.cuda.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 MiB."),
    SafetensorError("Error while opening: Cannot allocate memory (os error 12)"),
    ImportError("libtorch_cpu.so: failed to map segment from shared object"),
    RuntimeError("can't start new thread"),
]
OTHERS = [
    OSError("Can't synchronously read data (filter returned failure during read)"),
    OSError(errno.ENOSPC, os.strerror(errno.ENOSPC)),
    RuntimeError("Error(s) in loading state_dict for ResNet"),
    SafetensorError("Error while deserializing header: header too large"),
    ValueError("out of memory lane"),  # the user's own words
]


@pytest.mark.parametrize("error", SHORTAGES, ids=lambda one: f"{type(one).__name__}: {one}"[:40])
def test_a_shortage_is_one_whatever_library_says_so(error: BaseException) -> None:
    assert is_shortage(error)
    with pytest.raises(MemoryError) as caught:
        raise_shortage(error)
    assert caught.value.__cause__ is None  # whose frames would hold the arrays
    assert caught.value.__suppress_context__


@pytest.mark.parametrize("error", OTHERS, ids=lambda one: f"{type(one).__name__}: {one}"[:40])
def test_another_error_is_none(error: BaseException) -> None:
    assert not is_shortage(error)
    raise_shortage(error)


def test_what_an_error_was_raised_from_counts() -> None:
    error = ValueError("a weights file can't be read")
    with pytest.raises(MemoryError) as caught:
        np.empty(1 << 62, np.uint8)
    error.__cause__ = caught.value
    assert is_shortage(error)


def test_torch_says_so_in_words_that_are_known() -> None:
    with pytest.raises(RuntimeError) as caught:
        torch.empty(1 << 60, dtype=torch.uint8)
    assert is_shortage(caught.value)
