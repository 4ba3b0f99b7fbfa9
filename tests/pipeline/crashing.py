"""A reader that ends its process for some clips, for tests of worker processes. Workers import it by its name."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
from dualstream.features.encoder import EncoderSpec
from dualstream.features.media import Clip
from dualstream.features.preparation import Prepared, covered_span

from tests.pipeline.stubs import RATE_HZ, FakeReader, StubAudio


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


@dataclass
class LongReader(FakeReader):
    """Gives each clip a hundred seconds of sound."""

    def __call__(self, path: Path, **how: Any) -> Clip:
        return replace(super().__call__(path, **how), audio=np.zeros(100 * RATE_HZ, np.float32))


@dataclass
class HalvingPreparation:
    """Halves every sample, in other processes than the one it was made in; refuses sound of a hundred seconds."""

    parent: int = field(default_factory=os.getpid)
    warm: bool = False
    notes: Path | None = None
    """A folder in which it is noted where it was warmed up."""

    def prepare(self, audio: Any, starts_s: Any, length_s: float, covered_s: tuple[float, float]) -> Prepared:
        assert os.getpid() != self.parent and self.warm
        if len(audio) >= 100 * RATE_HZ:
            raise ValueError("too long to halve")
        return Prepared((audio / 2,), covered_span(covered_s, RATE_HZ, len(audio)))

    def warm_up(self) -> None:
        self.warm = True
        if self.notes is not None:
            (self.notes / f"warm-{os.getpid()}-{time.monotonic_ns()}").touch()


@dataclass
class PreparedAudio(StubAudio):
    """A network of sound (its name is that of none that is known) whose input is prepared in the workers."""

    preparation: HalvingPreparation = field(default_factory=HalvingPreparation)
    parent: int = field(default_factory=os.getpid)

    def encode_prepared(self, prepared: Prepared, starts_s: Any, length_s: float) -> Any:
        assert os.getpid() == self.parent
        (halves,) = prepared.inputs
        covered_s = prepared.span[0] / RATE_HZ, prepared.span[1] / RATE_HZ
        return self.encode_audio(2 * halves, starts_s, length_s, covered_s)


def readings(notes: Path, name: str) -> list[list[int]]:
    """Return when each reading of a clip began, in which process, and when it ended (where it did), in order."""
    found = [path.name.split("-")[1:] for path in notes.glob(f"{name}-*")]
    return sorted([int(number) for number in one] for one in found)


def alive(process: int) -> bool:
    with contextlib.suppress(OSError):
        return "Z" not in Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[:1]
    return False


def wait_for(what: Callable[[], Any], limit_s: float = 20.0) -> Any:
    deadline = time.monotonic() + limit_s
    while not (found := what()):
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    return found


def utterances_of(corpus: Path) -> Any:
    from dualstream.pipeline.corpus.manifest import read_manifest

    return read_manifest(corpus).utterances
