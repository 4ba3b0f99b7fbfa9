"""A reader that ends its process for some clips, for tests of worker processes. Workers import it by its name."""

from __future__ import annotations

import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.encoder import EncoderSpec
from dualstream.features.media import Clip

from tests.pipeline.stubs import FakeReader, StubAudio


@dataclass
class CrashingReader(FakeReader):
    """Reads as `FakeReader`; a file's first word says what becomes of the worker that reads it.

    ``segv``, ``kill``: a signal; ``exit``: status 3; ``once``: a signal the first time; ``bug``: a TypeError.
    """

    notes: Path = Path("notes")
    """A folder in which each reading is noted: when it began and ended, and in which process."""
    parent: int = field(default_factory=os.getpid)

    def __call__(self, path: Path, **how: Any) -> Clip:
        assert os.getpid() != self.parent, "a clip was read in the test's own process"
        word = path.read_bytes().split()[0].decode()
        mark = self.notes / f"{path.name}-{time.monotonic_ns()}-{os.getpid()}"
        mark.touch()
        if word == "once" and len(list(self.notes.glob(f"{path.name}-*"))) == 1:
            os.kill(os.getpid(), signal.SIGKILL)
        time.sleep(self.delay_s)
        if word == "segv":
            os.kill(os.getpid(), signal.SIGSEGV)
        if word == "kill":
            os.kill(os.getpid(), signal.SIGKILL)
        if word == "exit":
            os._exit(3)
        if word == "bug":
            raise TypeError("a bug of the reader")
        clip = super().__call__(path, **how)
        mark.rename(mark.with_name(f"{mark.name}-{time.monotonic_ns()}"))
        return clip


@dataclass
class TravellingAudio(StubAudio):
    """An encoder of sound that goes into the workers: it has the name of one that is no network."""

    spec: EncoderSpec = field(default_factory=lambda: EncoderSpec("acoustic", "audio", 2, 2))
    parent: int = field(default_factory=os.getpid)

    def encode_audio(self, audio: Any, *rest: Any) -> Any:
        assert os.getpid() != self.parent
        said = super().encode_audio(audio, *rest)
        said.windows[0] = np.nan  # which is noted
        return said
