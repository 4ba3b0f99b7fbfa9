"""The kind of processor is torch's own word for it, found without torch."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

PROGRAM = """
import sys
from dualstream.pipeline.extraction.processor import cpu_capability
found = cpu_capability()
light = "torch" not in sys.modules
import torch
print(found, torch.backends.cpu.get_cpu_capability(), light)
"""


@pytest.mark.parametrize(
    "asked",
    [None, "default", "something", *(pytest.param(one, marks=pytest.mark.slow) for one in ("avx2", "avx512"))],
)
def test_it_is_torch_s_word(asked: str | None) -> None:
    """Asked for what the processor lacks, torch says so too: the variable rules."""
    environment = {key: value for key, value in os.environ.items() if key != "ATEN_CPU_CAPABILITY"}
    if asked is not None:
        environment["ATEN_CPU_CAPABILITY"] = asked
    done = subprocess.run([sys.executable, "-c", PROGRAM], capture_output=True, text=True, env=environment)
    found, expected, light = done.stdout.split()
    assert found == expected and light == "True", done.stderr
