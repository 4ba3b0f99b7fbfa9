"""Jobs in processes of their own: the same answers in the same order, whatever becomes of a process."""

import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pytest
from threadpoolctl import threadpool_info

from dualstream import processes
from dualstream.processes import in_processes
from tests.pipeline.crashing import alive, wait_for

ROOT = Path(__file__).resolve().parents[1]


def answers(jobs, processes):
    with in_processes(jobs, processes) as found:
        return list(found)


def where(number, rows, main, *, dies=False):
    """Return the number, whether this is another process, the rows' sum, and whether they can be written to."""
    if dies and os.getpid() != main:
        os.kill(os.getpid(), signal.SIGKILL)
    return number, os.getpid() != main, float(rows.sum()), rows.flags.writeable


@pytest.mark.parametrize("processes", [1, 2, 3])
def test_answers_come_in_the_order_of_the_jobs(processes):
    def late(number):
        time.sleep(0.05 if number == 0 else 0)
        return number, os.getpid()

    found = answers([partial(late, number) for number in range(7)], processes)
    assert [number for number, _ in found] == list(range(7))
    assert (os.getpid() in {pid for _, pid in found}) == (processes == 1)


def test_with_one_process_a_job_waits_until_it_is_asked_for():
    done = []
    with in_processes([partial(done.append, number) for number in range(3)], 1) as found:
        assert done == []
        next(found)
    assert done == [0]


def test_what_is_not_done_when_the_block_is_left_is_dropped(recwarn, tmp_path):
    def note(number):
        time.sleep(0.2)
        (tmp_path / str(number)).touch()

    with in_processes([partial(note, number) for number in range(40)], 2) as found:
        next(found)
    done = len(list(tmp_path.iterdir()))
    time.sleep(0.6)
    assert len(list(tmp_path.iterdir())) == done < 40 and not recwarn.list


def test_large_rows_are_shared_and_each_job_has_one_core():
    rows = np.random.default_rng(0).normal(size=(500, 500))
    main = os.getpid()
    found = answers([partial(where, number, rows, main) for number in range(4)], 2)
    assert found == [(number, True, float(rows.sum()), False) for number in range(4)]

    def blas():
        rows @ rows
        return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]

    for threads in answers([blas] * 3, 2):
        assert threads and set(threads) == {1}


def test_what_a_dead_process_leaves_is_done_here():
    rows, main = np.ones((500, 500)), os.getpid()
    jobs = [partial(where, number, rows, main, dies=number == 2) for number in range(6)]
    found = answers(jobs, 2)
    assert [one[0] for one in found] == list(range(6)) and not found[2][1]
    again = answers([partial(where, number, rows, main) for number in range(4)], 2)
    assert all(one[1] for one in again)  # and the next work has processes again


def test_an_error_of_a_job_is_raised_as_it_is():
    def fails():
        raise ValueError("no such row")

    with pytest.raises(ValueError, match="no such row"):
        answers([partial(int, "3"), fails, partial(int, "4")], 2)
    assert answers([partial(int, "5")] * 2, 2) == [5, 5]


KILLED = """
import os, signal, time
from functools import partial
from dualstream.processes import in_processes
def tell(path):
    open(path, "w").write(str(os.getpid()))
    time.sleep(60)
with in_processes([partial(tell, path) for path in PATHS], 2):
    while not all(map(os.path.exists, PATHS)):
        time.sleep(0.05)
    os.kill(os.getpid(), signal.SIGKILL)
"""


@pytest.mark.skipif(os.name != "posix", reason="signals of Unix")
def test_processes_end_with_the_one_that_is_killed(tmp_path):
    paths = [tmp_path / name for name in "ab"]
    program = KILLED.replace("PATHS", repr([str(path) for path in paths]))
    subprocess.run([sys.executable, "-c", program], cwd=ROOT, stderr=subprocess.DEVNULL, timeout=120)
    wait_for(lambda: not any(alive(int(path.read_text())) for path in paths))


def test_a_job_that_is_done_here_ends_nobody():
    handler = signal.getsignal(signal.SIGINT)
    assert processes._in_a_process(os.getpid, os.getpid()) == os.getpid()
    assert signal.getsignal(signal.SIGINT) is handler
