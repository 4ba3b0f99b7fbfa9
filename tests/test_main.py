"""The program around the command line: Ctrl-C while it is loaded, and after the work."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[1]
WHILE_LOADED = """
class Pressed:
    def find_spec(self, name, *more):
        if name == "dualstream.cli":
            os.kill(os.getpid(), signal.SIGINT)
sys.meta_path.insert(0, Pressed())
"""
AFTER_THE_WORK = """
atexit.register(os.kill, os.getpid(), signal.SIGINT)
"""


def program(before: str, handler: int = signal.SIG_DFL) -> tuple[int, str, str]:
    """Run `dualstream --version` after some lines of Python; return its exit status and what it said."""
    start = "import atexit, os, signal, sys\nsys.argv = ['dualstream', '--version']\n"
    start += f"signal.signal(signal.SIGINT, signal.{'SIG_IGN' if handler else 'default_int_handler'})\n"
    done = subprocess.run(
        [sys.executable, "-c", f"{start}{before}\nfrom dualstream.__main__ import main\nmain()"],
        cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    return done.returncode, done.stdout, done.stderr


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_an_interrupt_while_the_program_is_loaded_is_one_word() -> None:
    assert program(WHILE_LOADED) == (130, "", "interrupted\n")


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_an_interrupt_while_the_program_is_loaded_needs_no_terminal() -> None:
    assert program(f"os.close(2)\n{WHILE_LOADED}") == (130, "", "")


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_an_interrupt_after_the_work_changes_nothing() -> None:
    status, said, wrong = program(AFTER_THE_WORK)
    assert (status, wrong) == (0, "") and said.startswith("dualstream ")


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_signals_that_go_on_while_a_command_ends_are_one_word(number: int) -> None:
    """Two at once, and others when all is done."""
    command = f"""
import dualstream.cli
def press():
    os.kill(os.getpid(), {int(number)})
def act():
    try:
        press()
    finally:
        press()
        print("put away", flush=True)
from dualstream.pipeline.options import command
def app(**more):
    raise SystemExit(command._status(act))
dualstream.cli.app = app
"""
    status, said, wrong = program(command + "for _ in range(3): atexit.register(press)\n")
    assert (said, status) == ("put away\n", 130) and set(wrong.split()) == {"interrupted"}


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_an_interrupted_command_that_does_not_come_to_its_end_is_ended_by_the_next_signal() -> None:
    """As a thread that reads from a disk which does not answer would have it."""
    command = """
import threading, time
import dualstream.cli
from dualstream.pipeline.options import command
def act():
    threading.Thread(target=time.sleep, args=(60,)).start()
    os.kill(os.getpid(), signal.SIGTERM)
def app(**more):
    pressed = f"sleep 1; kill -TERM {os.getpid()}"
    os.spawnlp(os.P_NOWAIT, "sh", "sh", "-c", pressed)
    raise SystemExit(command._status(act))
dualstream.cli.app = app
"""
    began_s = time.monotonic()
    assert program(command) == (130, "", "interrupted\n") and time.monotonic() - began_s < 30


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_in_the_interpreters_last_steps_changes_no_status(number: int) -> None:
    """They come after all that is registered with atexit, when modules are taken apart."""
    late = f"""
class Late:
    def __del__(self, kill=os.kill, process=os.getpid()):
        kill(process, {int(number)})
sys.late = Late()
"""
    status, said, wrong = program(late)
    assert (status, wrong) == (0, "") and said.startswith("dualstream ")


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_interrupts_that_are_ignored_stay_ignored() -> None:
    status, said, wrong = program(WHILE_LOADED, signal.SIG_IGN)
    assert (status, wrong) == (0, "") and said.startswith("dualstream ")


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_an_interrupt_before_the_command_begins_is_one_word() -> None:
    """As the command line is read, where typer would answer it with a blank line."""
    pressed = "import typer\ndef press(*more): os.kill(os.getpid(), signal.SIGINT)\ntyper.echo = press"
    assert program(pressed) == (130, "", "interrupted\n")
