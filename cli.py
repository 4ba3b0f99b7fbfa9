"""dualstream in a checkout: ``python cli.py COMMAND``."""

from typing import Any

from dualstream.__main__ import main


def __getattr__(name: str) -> Any:
    """Give `app`, the typer application, which takes a while to import."""
    if name != "app":
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    from dualstream.cli import app

    return app


if __name__ == "__main__":
    main()
