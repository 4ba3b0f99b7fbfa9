"""Commands that are cut short: by Ctrl-C at several moments, and by a disk that is full.

    python benchmarks/mistaken_moments.py [--only WORD]

A file of more bytes than the limit can't be written, as on a full disk. It passes where there is no traceback, the
exit status is 130 (Ctrl-C) or 1 (disk), or the command was done before; no half file is left under any name, every
file that was there is as it was, and the same command then does its work.
"""

from __future__ import annotations

import argparse
import resource
import shlex
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

from mistakes import ENVIRONMENT, Files, files_in, materials

INTERRUPTED, FAILED = 130, 1
SHARES = (0.2, 0.4, 0.6, 0.8)
"""Of the time that the whole command takes."""
LIMITS_BYTES = (0, 1_000, 20_000, 60_000)
COMMANDS = (
    ("manifest folder clips --out x.csv", ""),
    ("extract m.csv --root . --video none --out x.h5", ""),
    ("project t.h5 --width 1 --out x.h5", ""),
    ("fit-head c.h5 --fusion linear --out x", " --replace"),
    ("compare c.h5 --fusions linear,linear_late --out x", " --replace"),
    ("diagnose c.h5 --seeds 1 --epochs 3 --fusion linear --out x", ""),
    ("evaluate r --split dev", ""),
    ("report r --out x", ""),
    ("export tr --out x", " --replace"),
    ("predict ab clips --csv x.csv --page x.html", " --replace"),
    ("convert c.h5 --to npy --out x", " --replace"),
)
"""Each with what is typed beside it the second time, where it may have been done."""
REWRITTEN = ("predictions_dev.csv", "metrics_dev.json")
"""What `evaluate` writes over in its run."""


def cut(
    folder: Path, words: str, *, after_s: float | None = None, limit_bytes: int | None = None
) -> tuple[int, str]:
    """Run a command; return its exit status and what it said."""

    def prepare() -> None:
        signal.signal(signal.SIGINT, signal.default_int_handler)  # a shell's background job ignores it
        if limit_bytes is not None:
            signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
            resource.setrlimit(resource.RLIMIT_FSIZE, (limit_bytes, limit_bytes))

    process = subprocess.Popen(
        [sys.executable, "-m", "dualstream", *shlex.split(words)], cwd=folder, env=ENVIRONMENT, text=True,
        stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL, preexec_fn=prepare,
    )  # fmt: skip
    try:
        said, _ = process.communicate(timeout=after_s)
    except subprocess.TimeoutExpired:
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate()
    return process.returncode, said


def faults(folder: Path, words: str, again: str, expected: int, **how: float | int) -> Iterator[str]:
    """Cut a command short; yield what is wrong with how it ended and with what it left, then have it done."""
    before = files_in(folder)
    status, said = cut(folder, words, **how)  # type: ignore[arg-type]
    begun = (
        status == expected or "dualstream" in said
    )  # else Python itself was starting, where nothing can be said
    if "Traceback" in said and begun:
        yield "a traceback"
    if status not in (0, expected) and begun:
        yield f"status {status}, not {expected}"
    now = files_in(folder)
    if half := [str(one) for one in now if one.suffix in (".tmp", ".old")]:
        yield f"left half: {', '.join(half)}"
    lost = [str(one) for one, facts in before.items() if now.get(one) != facts and one.name not in REWRITTEN]
    if lost:
        yield f"lost or changed: {', '.join(lost)}"
    second, said = cut(folder, words + again)
    if second != 0:
        yield f"then status {second}: {said.strip()[-200:]}"
    remove_new(folder, before)


def remove_new(folder: Path, before: Files) -> None:
    """Remove what was not there before, locks and shards too."""
    new = [folder / one for one in files_in(folder).keys() - before.keys()]
    for path in sorted([*new, *folder.glob("x.h5*")], reverse=True):
        if path.is_dir():
            shutil.rmtree(path)
        else:
            path.unlink(missing_ok=True)


def main() -> None:
    """Cut all of them short, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="commands with this word")
    arguments = parser.parse_args()
    count = wrong = 0
    with tempfile.TemporaryDirectory() as place:
        folder = Path(place)
        materials(folder)
        for words, again in COMMANDS:
            if arguments.only not in words:
                continue
            before, started_s = files_in(folder), time.monotonic()
            cut(folder, words)
            whole_s = time.monotonic() - started_s
            remove_new(folder, before)
            ways = [(f"Ctrl-C after {part:.0%}", INTERRUPTED, {"after_s": part * whole_s}) for part in SHARES]
            ways += [(f"files to {limit:,} bytes", FAILED, {"limit_bytes": limit}) for limit in LIMITS_BYTES]
            for what, expected, how in ways:
                found = list(faults(folder, words, again, expected, **how))
                count, wrong = count + 1, wrong + bool(found)
                print(f"{words}: {what}{'  <<< ' + '; '.join(found) if found else ''}", flush=True)
    print(f"{count} commands cut short, {wrong} of them wrongly")
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
