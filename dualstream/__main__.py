"""``python -m dualstream``, and the command ``dualstream``: Ctrl-C ends it in one word, at whatever moment."""

from __future__ import annotations

from dualstream.signals import Ending, end


def main() -> None:
    """Run the command that the process was started with."""
    ending = Ending()
    ending.take_signals()  # nothing has begun: imports take most of a short command's time
    from dualstream.cli import app

    ending.phase = "at work"
    try:
        app(prog_name="dualstream")
    except KeyboardInterrupt:  # before a command began, which says itself what became of it
        end()
    finally:  # what was to be done is done, or told: the interpreter ends with that status
        ending.phase = "over"


if __name__ == "__main__":
    main()
