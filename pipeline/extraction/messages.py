"""Objects between a run and the worker processes that it started, arrays by memory that both have open.

    run       ── request ──► worker          a socket pair: what to do, and where arrays lie
              ◄── answer ───
              [ memory: arrays, one after the other ]         a file without a name: it ends with its last holder

They are pickled; no file that anybody else could have written is ever read so.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from multiprocessing.connection import Connection
from typing import Any

from dualstream.pipeline.memory import MemoryShortageError

KEPT_BYTES = 32 << 20  # of memory between two messages; what a long clip took beyond goes back to the system


def packed(thing: Any) -> bytes:
    """Return an object as bytes for another process; raise TypeError or its like where it does not travel."""
    return pickle.dumps(thing, protocol=5)


def unpacked(data: bytes) -> Any:
    """Return the object that another process of this run packed."""
    return pickle.loads(data)


def anonymous_memory() -> int:
    """Return a file descriptor of memory that has no name anywhere, so that nothing can be left behind."""
    if hasattr(os, "memfd_create"):
        return os.memfd_create("dualstream")
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


class Channel:
    """One end of the way between two processes, which speak in turn.

    Parameters
    ----------
    connection
        Of a socket pair.
    memory
        File descriptor of `anonymous_memory`, which the other end has too.
    """

    def __init__(self, connection: Connection, memory: int) -> None:
        self.connection = connection
        self._memory = memory

    def send(self, message: Any) -> None:
        """Send an object; its arrays go into the memory.

        Raises
        ------
        MemoryShortageError
            Where there is no room for them: nothing was sent then.
        """
        found: list[pickle.PickleBuffer] = []
        head = pickle.dumps(message, protocol=5, buffer_callback=found.append)
        views = [one.raw() for one in found]
        at = 0
        try:
            for view in views:
                at = _write(self._memory, view, at)
        except OSError as error:  # of a limit on files (ulimit -f), too: the memory is one
            needed = sum(view.nbytes for view in views)
            what = "for the arrays of a clip on their way between processes"
            raise MemoryShortageError(what, needed_bytes=needed, said=str(error)) from None
        self.connection.send_bytes(packed((head, [view.nbytes for view in views])))

    def receive(self) -> Any:
        """Return the next object, with arrays of this process's own.

        Raises
        ------
        EOFError, OSError
            Where the other process ended.
        """
        head, sizes = unpacked(self.connection.recv_bytes())
        buffers = [bytearray(size) for size in sizes]
        at = 0
        for buffer in buffers:
            at = _read(self._memory, buffer, at)
        if at > KEPT_BYTES:
            os.ftruncate(self._memory, 0)
        return pickle.loads(head, buffers=buffers)

    def close(self) -> None:
        """Close this end."""
        self.connection.close()
        os.close(self._memory)


def _write(memory: int, view: memoryview, at: int) -> int:
    done = 0
    while done < view.nbytes:
        done += os.pwrite(memory, view[done:], at + done)
    return at + done


def _read(memory: int, buffer: bytearray, at: int) -> int:
    done, view = 0, memoryview(buffer)
    while done < len(buffer):
        count = os.preadv(memory, [view[done:]], at + done)
        if not count:
            raise EOFError("the memory that is shared with a worker ends early")
        done += count
    return at + done
