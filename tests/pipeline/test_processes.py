"""The living and the dead among processes."""

from __future__ import annotations

import os
import subprocess
import sys
import time

import pytest
from dualstream.pipeline.processes import is_alive, start_mark


@pytest.fixture
def child():
    process = subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE)
    yield process
    process.kill()
    process.wait()


def test_this_process_lives():
    assert is_alive(os.getpid())


def test_a_child_lives_until_it_ended(child):
    assert is_alive(child.pid)
    child.communicate(b"\n")
    assert not is_alive(child.pid)


def test_a_number_that_no_process_can_have_is_taken_for_alive():
    assert is_alive(2**40)  # the system can't say


def test_another_user_s_process_lives(monkeypatch):
    def refused(process, signal):
        raise PermissionError

    monkeypatch.setattr(os, "kill", refused)
    assert is_alive(1)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="no /proc")
def test_a_mark_is_of_one_start(child):
    mine = start_mark(os.getpid())
    assert mine.isdigit() and start_mark(os.getpid()) == mine
    assert int(start_mark(child.pid)) >= int(mine)
    seconds = int(mine) / os.sysconf("SC_CLK_TCK")
    assert seconds <= time.clock_gettime(time.CLOCK_BOOTTIME) + 1


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="no /proc")
def test_a_name_with_spaces_and_brackets_shifts_nothing(tmp_path):
    """The second field of /proc/PID/stat is the program's name, whatever is in it."""
    odd = tmp_path / "a ) (b"
    odd.symlink_to("/bin/sleep")
    process = subprocess.Popen([str(odd), "30"])
    try:
        plain = subprocess.Popen(["/bin/sleep", "30"])
        try:
            marks = start_mark(process.pid), start_mark(plain.pid)
            assert all(mark.isdigit() for mark in marks) and abs(int(marks[1]) - int(marks[0])) < 1000
        finally:
            plain.kill()
            plain.wait()
    finally:
        process.kill()
        process.wait()


def test_nobody_has_no_mark():
    assert start_mark(2**40) == ""
