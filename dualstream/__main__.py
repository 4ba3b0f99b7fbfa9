"""``python -m dualstream``, and the command ``dualstream``: Ctrl-C ends it in one word, at whatever moment."""

from __future__ import annotations

import os
import signal
from typing import Any, NoReturn

INTERRUPTED = 130


def main() -> None:
    """Run the command that the process was started with."""
    ignored = signal.getsignal(signal.SIGINT) == signal.SIG_IGN  # as a shell without job control has it
    if not ignored:
        signal.signal(signal.SIGINT, _end)  # nothing has begun: imports take most of a short command's time
    from dualstream.cli import app

    if not ignored:
        signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        app(prog_name="dualstream")
    except KeyboardInterrupt:  # before a command began, which says itself what became of it
        _end()
    finally:  # what was to be done is done, or told: the interpreter ends with that status
        signal.signal(signal.SIGINT, signal.SIG_IGN)


def _end(*signalled: Any) -> NoReturn:
    os.write(2, b"interrupted\n")
    os._exit(INTERRUPTED)


if __name__ == "__main__":
    main()
