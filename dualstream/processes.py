"""Several pieces of work at once, each in a process of its own, where Python's lock would hold threads up."""

from __future__ import annotations

import functools
import os
import signal
import threading
import time
import warnings
from collections.abc import Callable, Generator, Iterator, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from typing import TypeVar

from dualstream.cores import one_core

Answer = TypeVar("Answer")
SHARED_BYTES = 1 << 20  # arrays that are larger are given to processes in a file, and can't be written to
IDLE_S = 20  # a process that has had nothing to do for so long goes
WATCH_S = 0.5


@contextmanager
def in_processes(jobs: Sequence[Callable[[], Answer]], processes: int) -> Iterator[Iterator[Answer]]:
    """Give what each job returns, in the order of the jobs, each computed on one core of its own.

    They begin as soon as the block is entered, and what is not done when it is left is dropped. With one process,
    or one job, each is computed here when its answer is asked for. Where the system ends a process (memory is
    short), its work and all that is left is done here.

    Parameters
    ----------
    jobs
        They, and what they return, are pickled, closures too.
    processes
        1 or more. One that is new takes as long as importing its modules does: seconds, where torch is among
        them.
    """
    if min(processes, len(jobs)) < 2:
        yield (_on_one_core(job) for job in jobs)
        return
    from joblib import Parallel, delayed, parallel_config

    with parallel_config("loky", inner_max_num_threads=1, idle_worker_timeout=IDLE_S):
        run = Parallel(processes, return_as="generator", batch_size=1, max_nbytes=SHARED_BYTES)
        answers = run(delayed(_in_a_process)(job, os.getpid()) for job in jobs)
    try:
        yield _or_here(answers, jobs)
    finally:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # that work which nobody waits for is dropped
            answers.close()


def _or_here(answers: Generator[Answer], jobs: Sequence[Callable[[], Answer]]) -> Iterator[Answer]:
    """Yield the answers, and compute here what dead processes leave."""
    had = 0
    try:
        for answer in answers:
            yield answer
            had += 1
    except BrokenProcessPool:
        for job in jobs[had:]:
            yield _on_one_core(job)


@one_core()
def _on_one_core(job: Callable[[], Answer]) -> Answer:
    return job()


def _in_a_process(job: Callable[[], Answer], parent: int) -> Answer:
    """Do a job; Ctrl-C, which a terminal sends to every process, is for the one that asked for it."""
    if os.getpid() != parent:  # joblib does it there where it may start none
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        end_with(parent)
    return _on_one_core(job)


@functools.cache
def end_with(parent: int) -> None:
    """End this process once `parent`, which started it, is gone, were it killed: nobody waits for its answers."""

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(WATCH_S)
        os._exit(1)

    if os.name == "posix":  # elsewhere the number of the parent stays
        threading.Thread(target=watch, daemon=True).start()
