"""Run one ffmpeg process: pipes read and fed side by side, a time limit, and no process left behind.

    sources ──► fd ──►┌────────┐──► fd ──► sinks    (frames, sound, packet list)
                      │ ffmpeg │
             (stdin   └────────┘──► stderr ─► log   (facts, time stamps, errors)
              closed)

All pipes are served by one selector in the calling thread, so nothing waits on a full pipe, and many threads
may run processes at once. Whatever ends the call (the end, a limit, an exception, Ctrl-C) also ends the
process group.
"""

from __future__ import annotations

import contextlib
import os
import selectors
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence

from dualstream.features.media.settings import Guards, MediaError

try:
    import resource
except ImportError:  # not on this system: the time limit and the byte caps stay
    resource = None  # type: ignore[assignment]

CHUNK_BYTES = 1 << 18
PIPE_BYTES = 1 << 20  # asked of the system, so that ffmpeg seldom waits for us; less is fine

KILLED = 9  # the number of SIGKILL, which Windows does not have

Sink = Callable[[bytes], None]

_own_groups = [True]  # whether each process leads a group of its own, which is ended with it

_live: set[subprocess.Popen[bytes]] = set()
_ended: set[subprocess.Popen[bytes]] = set()  # of those, by us
_live_lock = threading.Lock()


def run(
    make_command: Callable[[list[int], list[int]], list[str]],
    *,
    log: Sink,
    sinks: Sequence[Sink] = (),
    sources: Sequence[memoryview] = (),
    guards: Guards,
    may_write: bool = False,
) -> int:
    """Run the command that `make_command` gives for the pipes' numbers, and return its exit status.

    Parameters
    ----------
    make_command
        Takes the file descriptors of the sources and of the sinks; gives the argument list.
    log
        Receives what the process writes to its standard error.
    sinks
        Receive the bytes that the process writes into each output pipe. A sink that raises ends the process.
    sources
        What the process reads from each input pipe.
    may_write
        False: the process may not make any file longer than 0 bytes (where the system offers that limit).

    Raises
    ------
    MediaError
        ``timeout`` where the time limit passes, ``missing`` where the binary can't be started, ``killed`` where
        the system ended it, as it does where memory runs out.
    """
    ours: dict[int, Sink | memoryview] = {}
    theirs: list[int] = []
    process: subprocess.Popen[bytes] | None = None
    try:
        source_fds = [_pipe(ours, theirs, data) for data in sources]
        sink_fds = [_pipe(ours, theirs, sink) for sink in sinks]
        command = make_command(source_fds, sink_fds)
        process = _start(command, theirs)
        _limit(process, guards, may_write)
        while theirs:
            os.close(theirs.pop())
        assert process.stderr is not None
        deadline = time.monotonic() + guards.wall_s
        _serve({**ours, process.stderr.fileno(): log}, ours, deadline, guards.wall_s)
        try:
            status = process.wait(timeout=max(0.0, deadline - time.monotonic()))
            if process not in _ended:
                _require_not_killed(status, guards.wall_s - (deadline - time.monotonic()), guards)
            return status
        except subprocess.TimeoutExpired as error:
            raise _too_slow(guards.wall_s) from error
    finally:
        if process is not None:
            _end(process)
        for fd in [*ours, *theirs]:
            with contextlib.suppress(OSError):
                os.close(fd)


def stop_all() -> int:
    """End every process that runs in any thread (their calls then raise or return); return how many."""
    with _live_lock:
        processes = list(_live)
    for process in processes:
        _kill(process)
    return len(processes)


def share_group() -> None:
    """Start processes in the group of this one, from now on: whoever ends the group ends them, too."""
    _own_groups[0] = False


def _pipe(ours: dict[int, Sink | memoryview], theirs: list[int], end: Sink | memoryview) -> int:
    """Make a pipe; keep our end under `ours`, note theirs, and return its number."""
    read_fd, write_fd = os.pipe()
    mine, other = (write_fd, read_fd) if isinstance(end, memoryview) else (read_fd, write_fd)
    ours[mine] = end
    theirs.append(other)
    os.set_blocking(mine, False)
    with contextlib.suppress(ImportError, AttributeError, OSError):
        import fcntl

        fcntl.fcntl(mine, fcntl.F_SETPIPE_SZ, PIPE_BYTES)
    return other


def _start(command: list[str], fds: list[int]) -> subprocess.Popen[bytes]:
    if sys.platform == "win32":
        raise MediaError(
            "missing",
            "clips are decoded on Linux and macOS: ffmpeg gets its pipes by number, and Windows hands none on. "
            "Extract there, or in WSL; heads are fitted on the cache anywhere",
        )
    # FFREPORT in the environment makes ffmpeg write log files, so only what it needs to start is passed on.
    keep = ("PATH", "LD_LIBRARY_PATH", "DYLD_LIBRARY_PATH", "TMPDIR", "HOME", "SYSTEMROOT")
    environment = {name: os.environ[name] for name in keep if name in os.environ}
    environment |= {"LC_ALL": "C", "AV_LOG_FORCE_NOCOLOR": "1"}
    try:
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            pass_fds=fds,
            env=environment,
            start_new_session=_own_groups[0],
            bufsize=0,
        )
    except OSError as error:
        raise MediaError("missing", f"ffmpeg can't be started: {error}") from error
    with _live_lock:
        _live.add(process)
    return process


def _limit(process: subprocess.Popen[bytes], guards: Guards, may_write: bool) -> None:
    """Set the limits of a process that has just started. Best effort: the system may not offer them."""
    if resource is None or not hasattr(resource, "prlimit"):
        return
    cpu_s = int(guards.wall_s * guards.threads) + 1
    limits = [
        (resource.RLIMIT_AS, guards.address_space_bytes),
        (resource.RLIMIT_CPU, cpu_s),
        (resource.RLIMIT_CORE, 0),
    ]
    if not may_write:
        limits.append((resource.RLIMIT_FSIZE, 0))
    for which, value in limits:
        with contextlib.suppress(OSError, ValueError, ProcessLookupError):
            resource.prlimit(process.pid, which, (value, value))


def _require_not_killed(status: int, elapsed_s: float, guards: Guards) -> None:
    """Raise where the system killed the process before its own limit on CPU time could have: memory ran short."""
    if status == -KILLED and elapsed_s < guards.wall_s / 2:
        raise MediaError(
            "killed",
            f"ffmpeg was killed after {elapsed_s:.1f} s, and not by us: the system does so as memory runs out",
        )


def _serve(
    ends: dict[int, Sink | memoryview], ours: dict[int, Sink | memoryview], deadline: float, wall_s: float
) -> None:
    """Move bytes until every pipe has ended; close each of `ours` as it ends."""
    with selectors.DefaultSelector() as selector:
        for fd, end in ends.items():
            os.set_blocking(fd, False)
            event = selectors.EVENT_WRITE if isinstance(end, memoryview) else selectors.EVENT_READ
            selector.register(fd, event, end)
        while selector.get_map():
            left_s = deadline - time.monotonic()
            if left_s <= 0:
                raise _too_slow(wall_s)
            for key, _ in selector.select(left_s):
                fd = key.fd
                rest = _feed(fd, key.data) if isinstance(key.data, memoryview) else _drain(fd, key.data)
                if rest is None:
                    selector.unregister(fd)
                    if ours.pop(fd, None) is not None:
                        os.close(fd)
                elif rest is not key.data:
                    selector.modify(fd, selectors.EVENT_WRITE, rest)


def _drain(fd: int, sink: Sink) -> Sink | None:
    """Hand what can be read to the sink; None at the end."""
    try:
        data = os.read(fd, CHUNK_BYTES)
    except BlockingIOError:
        return sink
    if not data:
        return None
    sink(data)
    return sink


def _feed(fd: int, data: memoryview) -> memoryview | None:
    """Write what can be written; the rest, or None when all is written or nobody reads on."""
    try:
        written = os.write(fd, data[:CHUNK_BYTES])
    except BlockingIOError:
        return data
    except BrokenPipeError:
        return None
    rest = data[written:]
    return rest if len(rest) else None


def _end(process: subprocess.Popen[bytes]) -> None:
    _kill(process)
    process.wait()
    with _live_lock:
        _live.discard(process)
        _ended.discard(process)
    if process.stderr is not None:
        process.stderr.close()


def _kill(process: subprocess.Popen[bytes]) -> None:
    """End the whole group while its leader is not yet reaped; after that its number may be another's."""
    if process.poll() is None:
        with _live_lock:
            _ended.add(process)
        with contextlib.suppress(ProcessLookupError, PermissionError):
            if hasattr(os, "killpg") and _own_groups[0]:
                os.killpg(process.pid, signal.SIGKILL)
            else:
                process.kill()


def _too_slow(wall_s: float) -> MediaError:
    return MediaError("timeout", f"ffmpeg was still running after {wall_s:g} s and was ended")
