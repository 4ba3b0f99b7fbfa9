"""One worker process as its run sees it: started, asked, and ended whatever it is at."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from multiprocessing import Pipe
from typing import Any

from dualstream.pipeline.errors import DualstreamError
from dualstream.pipeline.extraction.messages import Channel, anonymous_memory
from dualstream.pipeline.extraction.worker import READY, START, Answer, Request

CLIP_LIMIT_S = 900.0  # three times ffmpeg's own: a worker that is at one clip for so long is ended
START_LIMIT_S = 120.0
FATE_LIMIT_S = 2.0  # in which a worker that hung up has ended
STEP_S = 0.01
OUTSIDE = (signal.SIGKILL, signal.SIGTERM)  # which no fault of a program sends to itself
SAID_BYTES = 2000  # of a worker's last words
THREADS = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "NUMBA_NUM_THREADS")


class WorkerLostError(Exception):
    """A worker ended, or was ended, while it had a clip; the message says how."""

    def __init__(self, message: str, *, from_outside: bool = False) -> None:
        super().__init__(message)
        self.from_outside = from_outside


class Worker:
    """One worker process, and our end of the way to it.

    Parameters
    ----------
    torch_threads
        That torch has there; None: as many as here.
    """

    def __init__(self, torch_threads: int | None = None) -> None:
        self.plans: set[str] = set()
        ours, theirs = Pipe()
        memory = anonymous_memory()
        held, self._lifeline = os.pipe()
        self._words: Any = tempfile.TemporaryFile()  # noqa: SIM115  # closed by `end`
        self._lock = threading.Lock()
        self._ended = False
        fds = (theirs.fileno(), memory, held)
        try:
            self._process = subprocess.Popen(
                [sys.executable, "-X", "faulthandler", "-c", START, json.dumps(_paths()), *map(str, fds)],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=self._words,
                pass_fds=fds,
                start_new_session=True,
                env=_environment(torch_threads),
            )
        except OSError as error:
            raise DualstreamError(f"a worker process can't be started: {error}") from error
        finally:
            theirs.close()
            os.close(held)
        self._channel = Channel(ours, memory)

    def wait_until_ready(self) -> None:
        """Wait until the worker has imported what it needs.

        Raises
        ------
        DualstreamError
            Where it exited instead, such as for want of a package: the next one would, too.
        WorkerLostError
            Where a signal ended it.
        """
        try:
            if self._channel.connection.poll(START_LIMIT_S) and self._channel.receive() == READY:
                return
            raise WorkerLostError(f"a worker process did not start within {START_LIMIT_S:g} s")
        except (EOFError, OSError) as error:
            how, by = self._fate()
            if by:
                raise WorkerLostError(how, from_outside=by in OUTSIDE) from error
            raise DualstreamError(f"a worker process can't be started: {how}: {self._said()}") from error

    def ask(self, request: Request) -> Answer:
        """Send a request and wait for its answer; raise WorkerLostError where none comes."""
        try:
            self._channel.send(request)
            if not self._channel.connection.poll(CLIP_LIMIT_S):
                raise WorkerLostError(f"the worker process was ended after {CLIP_LIMIT_S:g} s at this clip")
            answer: Answer = self._channel.receive()
            return answer
        except (EOFError, OSError) as error:
            how, by = self._fate()
            raise WorkerLostError(how, from_outside=by in OUTSIDE) from error

    def has_ended(self) -> bool:
        """Tell whether it has, without being asked for anything."""
        with contextlib.suppress(ChildProcessError):
            return _wait_unreaped(self._process.pid, 0.0) is not None
        return True

    def kill(self) -> None:
        """End the worker's session at once: itself, and the ffmpeg that it runs. Any thread may do so."""
        with self._lock:
            if not self._ended:
                with contextlib.suppress(ProcessLookupError, PermissionError):
                    os.killpg(self._process.pid, signal.SIGKILL)

    def end(self) -> None:
        """End the worker at once, which has nothing to put away, and close all that it shared."""
        self.kill()
        with self._lock:
            if self._ended:
                return
            self._ended = True
            self._process.wait()
        self._channel.close()
        os.close(self._lifeline)
        self._words.close()

    def _fate(self) -> tuple[str, int]:
        """Say how the worker ended, and by which signal, or 0; it is not reaped: its number stays its own."""
        found = None
        with contextlib.suppress(ChildProcessError):
            found = _wait_unreaped(self._process.pid, FATE_LIMIT_S)
        if found is None:
            return "the worker process went away", 0
        if found.si_code == os.CLD_EXITED:
            return f"the worker process ended with status {found.si_status}", 0
        name = signal.Signals(found.si_status).name
        return f"the worker process was ended by signal {found.si_status} ({name})", found.si_status

    def _said(self) -> str:
        size = self._words.seek(0, os.SEEK_END)
        self._words.seek(max(0, size - SAID_BYTES))
        return str(self._words.read().decode("utf-8", "replace").strip()) or "it said nothing"


def _paths() -> list[str]:
    return [os.path.abspath(path) for path in sys.path]


def _environment(count: int | None) -> dict[str, str]:
    """Return the environment of a worker: torch has so many threads there, else as many as here; all else one."""
    if count is None:
        torch = sys.modules.get("torch")
        count = torch.get_num_threads() if torch is not None and hasattr(torch, "get_num_threads") else 1
    return {**os.environ, **dict.fromkeys(THREADS, "1"), "OMP_NUM_THREADS": str(count)}


def _wait_unreaped(process: int, limit_s: float) -> Any:
    """Wait until a child has ended, and leave it to be reaped; None where it has not within the limit."""
    if not hasattr(os, "waitid"):  # macOS
        return None
    deadline = time.monotonic() + limit_s
    while (found := os.waitid(os.P_PID, process, os.WEXITED | os.WNOWAIT | os.WNOHANG)) is None:
        if time.monotonic() > deadline:
            return None
        time.sleep(STEP_S)
    return found
