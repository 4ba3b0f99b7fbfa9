"""dualstream in a checkout: ``python cli.py COMMAND``."""

from dualstream.cli import app

if __name__ == "__main__":
    app()
