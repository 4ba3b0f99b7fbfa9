"""``python -m dualstream``."""

from dualstream.cli import app

app(prog_name="dualstream")
