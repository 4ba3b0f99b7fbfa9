"""Mistaken commands, typed as a user would: what is said, exit status, processor seconds until refused.

    python benchmarks/mistakes.py [--only WORD] [--part commands|values]

Each runs in a process of its own. It passes where there is no traceback, the exit status is that of its kind, the
message holds the words that say what was found and what to do, nothing is left behind, and every file that was
there is as it was. Goal: below 1 s of processor time each, start of Python included.
"""

from __future__ import annotations

import argparse
import ctypes
import os
import shlex
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import mistake_materials
from checkout import ROOT
from mistake import RefusedCommand
from mistaken_commands import COMMANDS
from mistaken_values import VALUES

LIMIT_S = 1.0
PR_CAPBSET_DROP, CAP_DAC_OVERRIDE = 24, 1
PARTS = {"commands": COMMANDS, "values": VALUES}
MISTAKES = tuple(one for part in PARTS.values() for one in part)
ENVIRONMENT = {**os.environ, "PYTHONPATH": str(ROOT), "COLUMNS": "200", "NO_COLOR": "1"}
Files = dict[Path, tuple[int, int]]
"""Of each file its size and when it was changed, in nanoseconds."""


def materials(folder: Path) -> None:
    """Write what the commands are typed over."""

    def type_it(words: str) -> tuple[int, str]:
        done = typed(folder, words)
        return done.status, done.said

    mistake_materials.materials(folder, type_it)


@dataclass(frozen=True)
class Typed:
    """What became of a command."""

    status: int
    said: str
    cpu_s: float
    left: tuple[str, ...]
    """What stands in the folder that stood not there before."""
    lost: tuple[str, ...] = ()
    """Files that are gone or changed."""

    def faults(self, expected: RefusedCommand) -> Iterator[str]:
        """Say what is wrong with how it was refused."""
        if "Traceback" in self.said:
            yield "a traceback"
        if self.status != expected.status:
            yield f"status {self.status}, not {expected.status}"
        for words in expected.says:
            if words not in self.said:
                yield f"does not say {words!r}"
        if self.left:
            yield f"left behind: {', '.join(self.left)}"
        if self.lost:
            yield f"lost or changed: {', '.join(self.lost)}"


def typed(folder: Path, words: str) -> Typed:
    """Type a command in a folder; return what it said, and the processor time of its process."""
    before = files_in(folder)
    process = subprocess.Popen(
        [sys.executable, "-m", "dualstream", *shlex.split(words)],
        cwd=folder, env=ENVIRONMENT, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, stdin=subprocess.DEVNULL,
        preexec_fn=_as_anybody,
    )  # fmt: skip
    assert process.stdout is not None
    said = process.stdout.read().decode(errors="replace")
    _, status, used = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    now = files_in(folder)
    left = sorted(str(one) for one in now.keys() - before.keys())
    lost = sorted(str(one) for one, facts in before.items() if now.get(one) != facts)
    return Typed(process.returncode, said, used.ru_utime + used.ru_stime, tuple(left), tuple(lost))


def files_in(folder: Path) -> Files:
    """Return what is there; of an extraction its locks stay, and the folder that it goes on from."""
    found = {}
    for path in folder.rglob("*"):
        one, facts = path.relative_to(folder), path.lstat()
        if one.suffix != ".lock" and ".shards" not in one.parts[0]:
            found[one] = (0, 0) if path.is_dir() else (facts.st_size, facts.st_mtime_ns)
    return found


def _as_anybody() -> None:
    """Have root, too, write only where the folder's mode lets it."""
    if os.getuid() == 0:
        ctypes.CDLL(None).prctl(PR_CAPBSET_DROP, CAP_DAC_OVERRIDE, 0, 0, 0)


def main() -> None:
    """Type all, and print a line each."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--only", default="", help="commands with this word")
    parser.add_argument("--part", choices=PARTS, help="one of the tables; default: all")
    parser.add_argument("--texts", action="store_true", help="print what each said")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as place:
        folder, wrong, seconds = Path(place), 0, []
        materials(folder)
        started_s = time.monotonic()
        for one in (one for one in PARTS.get(arguments.part, MISTAKES) if arguments.only in one.words):
            done = typed(folder, one.words)
            faults = list(done.faults(one))
            wrong, seconds = wrong + bool(faults), [*seconds, done.cpu_s]
            told = f"  <<< {'; '.join(faults)}" if faults else ""
            print(f"{done.cpu_s:5.2f} s  {done.status:3}  {one.words}{told}", flush=True)
            if arguments.texts or faults:
                print("\n".join(f"              | {line}" for line in done.said.strip().splitlines()[:12]))
        slow = sum(second >= LIMIT_S for second in seconds)
        print(
            f"{len(seconds)} mistakes, {wrong} answered wrongly, {slow} at {LIMIT_S:g} s or more; processor time "
            f"{sorted(seconds)[len(seconds) // 2]:.2f} s in the median, {max(seconds):.2f} s at most; "
            f"{time.monotonic() - started_s:.0f} s in all"
        )
    sys.exit(1 if wrong else 0)


if __name__ == "__main__":
    main()
