"""``python -m dualstream``, and the command ``dualstream``: Ctrl-C ends it in one word, at whatever moment."""

from __future__ import annotations

from dualstream.signals import ENDING


def main() -> None:
    """Run the command that the process was started with."""
    ENDING.take_signals()  # nothing has begun: imports take most of a short command's time
    from dualstream.cli import app

    try:
        app(prog_name="dualstream")
    finally:  # what was to be done is done, or told: the interpreter ends with that status
        ENDING.over()


if __name__ == "__main__":
    main()
