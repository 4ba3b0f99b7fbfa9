"""Threads are over when they are said to be."""

import subprocess
import sys
from threading import get_native_id

import pytest
import torch

from heads.cores import TASKS, available_cores, threads


def _backward() -> int:
    torch.ones(2, requires_grad=True).sum().backward()
    return get_native_id()


@pytest.mark.skipif(not TASKS.is_dir(), reason="the threads of a process are listed on Linux alone")
def test_no_thread_is_left() -> None:
    for _ in range(50):
        with threads(2) as pool:
            used = {one.result() for one in [pool.submit(_backward) for _ in range(4)]}
        assert used
        assert not [one for one in used if (TASKS / str(one)).exists()]


def test_a_program_that_ends_at_once_ends_well() -> None:
    program = (
        "import torch\nfrom heads.cores import threads\n"
        "with threads(2) as pool:\n"
        "    work = lambda: torch.ones(2, requires_grad=True).sum().backward()\n"
        "    [one.result() for one in [pool.submit(work) for _ in range(2)]]\n"
    )
    for _ in range(3):
        done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr


def test_cores() -> None:
    assert available_cores() >= 1
