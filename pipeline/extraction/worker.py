"""What a worker process does: take one clip after the other, until its run has no more, or is gone.

    python -c START SYS_PATH CHANNEL MEMORY LIFELINE

It is started as a program of its own, not by `multiprocessing`: the user's script is not run once more in it, so
that a script needs no ``if __name__ == "__main__"``. The run holds the other end of LIFELINE; once that end is
closed, by whatever way the run ended, the worker ends itself and any ffmpeg that it runs.
"""

from __future__ import annotations

import contextlib
import os
import signal
import sys
import threading
import traceback
from dataclasses import dataclass
from multiprocessing.connection import Connection

from dualstream.features.encode import ClipPlan
from dualstream.features.media import pyav, runner
from dualstream.features.travel import warm_up
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.extraction.clip_reading import TakenClip, take
from dualstream.pipeline.extraction.messages import Channel, packed, unpacked
from dualstream.pipeline.extraction.staleness import DigestKey, Hasher
from dualstream.pipeline.memory import MemoryShortageError

from dualstream.cores import one_blas_thread

try:
    import resource
except ImportError:  # not on this system
    resource = None  # type: ignore[assignment]

START = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from dualstream.pipeline.extraction.worker import main; main(*map(int, sys.argv[2:]))"
)
READY = "ready"


@dataclass(frozen=True, repr=False)
class Request:
    """One clip as a worker is asked for it."""

    hasher: Hasher | None
    """Who answers for its files there."""
    utterance: Utterance | None
    """None, with `hasher`, where only the plan is to be taken."""
    key: str
    """Of the plan."""
    plan: bytes | None
    """The plan, packed; None where the worker has it."""


@dataclass(frozen=True, repr=False)
class Answer:
    """What became of a request: a clip, or an error that ends the run."""

    taken: TakenClip | None
    known: dict[DigestKey, str]
    """Digests of its files, which many clips may share."""
    error: Exception | None = None


def main(channel: int, memory: int, lifeline: int) -> None:
    """Serve the run at the other end of `channel` until it ends."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is the run's business, which ends us
    if resource is not None:
        resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    runner.share_group()
    pyav.bound_memory()
    threading.Thread(target=_watch, args=(lifeline,), daemon=True).start()
    run = Channel(Connection(channel), memory)
    with contextlib.suppress(EOFError, OSError), one_blas_thread():
        run.send(READY)
        _serve(run)


def _serve(run: Channel) -> None:
    plans: dict[str, ClipPlan] = {}
    while True:
        request: Request = run.receive()
        try:
            if request.plan is not None:
                plans[request.key] = unpacked(request.plan)
                warm_up(plans[request.key])
                _limit_torch()
            if request.utterance is None or request.hasher is None:
                run.send(Answer(None, {}))
                continue
            taken = take(request.utterance, plans[request.key], request.hasher)
            answer = Answer(taken, request.hasher.known(*request.utterance.files))
        except Exception as error:  # noqa: BLE001  # whatever it is, the run is to hear of it
            answer = Answer(None, {}, _travelling(error))
        try:
            run.send(answer)
        except MemoryShortageError as error:
            run.send(Answer(None, {}, error))


def _limit_torch() -> None:
    """Let torch, where preparing sound imported it, have as many threads as in the run (`_environment` there)."""
    torch = sys.modules.get("torch")
    if torch is not None:
        torch.set_num_threads(int(os.environ["OMP_NUM_THREADS"]))


def _travelling(error: Exception) -> Exception:
    """Return an error that the run can raise, with the trace of here in its notes."""
    trace = "".join(traceback.format_exception(error))
    try:
        copy: Exception = unpacked(packed(error))
    except Exception:  # noqa: BLE001  # errors of any library, some of which can't be built again
        copy = RuntimeError(f"{type(error).__name__}: {error}")
    copy.add_note(f"in a worker process:\n{trace}")
    return copy


def _watch(lifeline: int) -> None:
    """Wait until the run is gone, then end this process and its ffmpeg at once, whatever they are at."""
    with contextlib.suppress(OSError):
        while os.read(lifeline, 1):
            pass
    if os.getpgrp() == os.getpid():
        os.killpg(os.getpid(), signal.SIGKILL)
    os._exit(1)
