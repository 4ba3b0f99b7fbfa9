"""Clips by worker processes, which share no interpreter: a crash of one is its clip's record, and another follows.

    thread of the run ──► worker process (a session of its own)
        ask, wait            hash, decode, describe sound, find faces          an ffmpeg for each clip
        ◄── arrays           (`take`)

Each thread of `OrderedThreads` that has a clip takes an idle worker, or starts one. What a worker can't have (the
networks, tables) is added in the thread. A worker that dies is followed by another, in which the same clip is
tried again while no other clip is in work, so that nobody is blamed for memory that others filled.
"""

from __future__ import annotations

import contextlib
import hashlib
import logging
import sys
import threading
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Protocol

from dualstream.features.encode import ClipPlan
from dualstream.features.encoder import Encoder
from dualstream.features.media import stop_all
from dualstream.features.preparation import OnlyPrepares
from dualstream.features.travel import without_networks
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import DualstreamError
from dualstream.pipeline.extraction.clip_reading import ReadClip, TakenClip, completed, read
from dualstream.pipeline.extraction.encoder_choice import is_network
from dualstream.pipeline.extraction.messages import packed
from dualstream.pipeline.extraction.staleness import Hasher
from dualstream.pipeline.extraction.worker import Answer, Request
from dualstream.pipeline.extraction.worker_process import Worker, WorkerLostError

log = logging.getLogger(__name__)

LEAST_CLIPS = 32  # for each worker: fewer are read in threads: a worker takes as long to start as a few clips take
TRIES = 6  # of a clip whose worker is killed from outside: by the system as memory runs out, or by a person
STARTS = 30  # of workers that are killed before they have a clip, one after the other
CRASHES = 5  # of workers that end by themselves before they have a clip, such as by a fault of a package


class ClipReading(Protocol):
    """How clips are read: `read` may be called from many threads."""

    def read(self, utterance: Utterance, plan: ClipPlan) -> ReadClip:
        """Return a clip, read or failed."""
        ...

    def stop(self) -> object:
        """End what `read` waits for, in any thread."""
        ...

    def close(self) -> None:
        """End what is left when all clips are read."""
        ...


class InProcess:
    """Clips read in the calling threads."""

    def __init__(self, hasher: Hasher) -> None:
        self._hasher = hasher

    def read(self, utterance: Utterance, plan: ClipPlan) -> ReadClip:
        """Return a clip, read or failed."""
        return read(utterance, plan, self._hasher)

    def stop(self) -> object:
        """End the ffmpegs that run, and what comes from a store."""
        self._hasher.stop()
        return stop_all()

    def close(self) -> None:
        """There is nothing left."""


def clip_reading(
    plan: ClipPlan, hasher: Hasher, *, clips: int, workers: int, pool: WorkerPool | None = None
) -> ClipReading:
    """Return the way to read so many clips: by workers where that is worth their start, or PyAV decodes.

    Workers of a `pool` stay there for the next reading; else they end with this one.
    """
    return ClipWorkers(hasher, pool=pool) if by_workers(plan, clips=clips, workers=workers) else InProcess(hasher)


def by_workers(plan: ClipPlan, *, clips: int, workers: int) -> bool:
    """Tell whether so many clips are worth the start of worker processes, or must not crash this one.

    The log says why a plan can't be sent there.
    """
    if plan.decode is None or sys.platform == "win32" or not sys.executable:
        return False
    if clips < LEAST_CLIPS * workers and plan.decode.decoder == "ffmpeg":
        return False
    try:
        _pack(plan)
    except Exception as error:  # noqa: BLE001  # whatever an encoder of any package says to being pickled
        log.info("clips are read in threads, not in worker processes: %s", error)
        return False
    return True


class ClipWorkers:
    """Clips read by the processes of a pool, of which there are as many as threads that read."""

    def __init__(self, hasher: Hasher, *, pool: WorkerPool | None = None) -> None:
        self._hasher = hasher
        self._pool = WorkerPool() if pool is None else pool
        self._is_lent = pool is not None

    def read(self, utterance: Utterance, plan: ClipPlan) -> ReadClip:
        """Return a clip, read or failed; one whose worker dies again, alone, failed.

        Raises
        ------
        DualstreamError
            Where no worker can be started, or a worker says that the run must end.
        """
        key, data = self._pool.packed(plan)
        lost: list[WorkerLostError] = []
        while not lost or len(lost) < (TRIES if lost[-1].from_outside else 2):
            with self._pool.turns.turn(alone=bool(lost)):
                try:
                    return completed(utterance, self._taken(utterance, key, data), plan)
                except WorkerLostError as error:
                    lost.append(error)
                    log.warning("%s: %s", utterance.id, error)
        files = utterance.files
        reason = f"crashed: {lost[-1]}, {len(lost)} times, at last with no other clip in work"
        taken = TakenClip(self._hasher.stat(*files), self._hasher.digest(*files), None, reason)
        return completed(utterance, taken, plan)

    def stop(self) -> None:
        """End all workers at once, whatever they are at, and what comes from a store."""
        self._hasher.stop()
        self._pool.stop()

    def close(self) -> None:
        """Let all workers end, and wait for them; those of a pool that is lent stay."""
        if not self._is_lent:
            self._pool.close()

    def _taken(self, utterance: Utterance, key: str, data: bytes) -> TakenClip:
        with self._hasher.held(*utterance.files):
            hasher = self._hasher.for_worker(*utterance.files)
            answer = self._pool.ask(Request(hasher, utterance, key, data))
        self._hasher.learn(answer.known)
        if answer.error is not None:
            raise answer.error
        assert answer.taken is not None
        return answer.taken


class WorkerPool:
    """Worker processes of one recipe, started as they are needed or ahead, for readings one after the other."""

    def __init__(self, start: Callable[[], Worker] | None = None) -> None:
        self.turns = _Turns()
        self._start = start or Worker
        self._packed: dict[tuple[str, ...], tuple[str, bytes]] = {}
        self._lock = threading.Condition()
        self._idle: list[Worker] = []
        self._all: set[Worker] = set()
        self._beginning: set[threading.Thread] = set()
        self._closed = False

    @property
    def is_closed(self) -> bool:
        """Whether it was stopped or closed: then it starts no worker any more."""
        return self._closed

    def stop(self) -> None:
        """End all workers at once, whatever they are at."""
        with self._lock:
            self._closed = True
            workers = list(self._all)
            self._lock.notify_all()
        self.turns.close()
        for worker in workers:
            worker.kill()

    def close(self) -> None:
        """End all workers, which have no clip any more, and wait for them."""
        self.stop()
        with self._lock:
            beginning = list(self._beginning)
        for thread in beginning:
            thread.join()
        with self._lock:
            workers, self._idle, self._all = list(self._all), [], set()
        for worker in workers:
            worker.end()

    def begin(self, count: int, plan: ClipPlan) -> None:
        """Start workers ahead of the first clip, and have them import what `plan` takes; who asks waits for them.

        One that can't be started is for the first clip to tell of.
        """
        data = _pack(plan)
        request = Request(None, None, hashlib.sha256(data).hexdigest(), data)
        for _ in range(count):
            thread = threading.Thread(target=self._begin_one, args=(request,), daemon=True)
            with self._lock:  # both or neither: who asks waits for it, and so does `close`
                thread.start()
                self._beginning.add(thread)

    def _begin_one(self, request: Request) -> None:
        try:
            worker = self._ready(self._started(), request)
            with self._lock:
                self._idle.append(worker)
        except Exception as error:  # noqa: BLE001  # a thread has nobody to raise it to
            log.info("a worker was not started ahead: %s", error)
        finally:
            with self._lock:
                self._beginning.discard(threading.current_thread())
                self._lock.notify_all()

    def ask(self, request: Request) -> Answer:
        """Ask a worker that has the plan; raise WorkerLostError where it ends while it has the clip."""
        worker = self._a_worker(request)
        try:
            answer = worker.ask(replace(request, plan=None))
        except WorkerLostError:
            self._forget(worker)
            raise
        with self._lock:
            self._idle.append(worker)
            self._lock.notify()
        return answer

    def packed(self, plan: ClipPlan) -> tuple[str, bytes]:
        """Return a plan as it travels, and a name for it; plans of one run differ by their encoders alone."""
        names = tuple(plan.encoders)
        with self._lock:
            if names not in self._packed:
                data = _pack(plan)
                self._packed[names] = hashlib.sha256(data).hexdigest(), data
            return self._packed[names]

    def _a_worker(self, request: Request) -> Worker:
        """Return a worker that waited, or a new one; no clip is to blame for one that ends before it has it."""
        lost: list[WorkerLostError] = []
        while len(lost) < STARTS and sum(not one.from_outside for one in lost) < CRASHES:
            try:
                return self._ready(self._waiting() or self._started(), request)
            except WorkerLostError as error:
                log.warning("a worker without a clip: %s", error)
                lost.append(error)
        memory = " Was it ended for want of memory? Then give fewer --workers." if lost[-1].from_outside else ""
        raise DualstreamError(
            f"no worker process could be started, {len(lost)} times: {lost[-1]}.{memory} What was committed stands"
        ) from lost[-1]

    def _ready(self, worker: Worker, request: Request) -> Worker:
        """Have a worker take the plan, and import what the first clip would wait for."""
        try:
            if request.key in worker.plans:
                if worker.has_ended():
                    raise WorkerLostError("the worker process was ended while it waited", from_outside=True)
                return worker
            answer = worker.ask(replace(request, hasher=None, utterance=None))
        except WorkerLostError:
            self._forget(worker)
            raise
        if answer.error is not None:
            self._forget(worker)
            raise answer.error
        worker.plans.add(request.key)
        return worker

    def _waiting(self) -> Worker | None:
        with self._lock:
            self._lock.wait_for(lambda: self._idle or self._closed or not self._beginning)
            return self._idle.pop() if self._idle else None

    def _started(self) -> Worker:
        with self._lock:
            self._refuse_closed()
        worker = self._start()
        with self._lock:
            self._all.add(worker)
            closed = self._closed
        try:
            if closed:
                self._refuse_closed()
            worker.wait_until_ready()
        except BaseException:
            self._forget(worker)
            raise
        return worker

    def _forget(self, worker: Worker) -> None:
        worker.end()
        with self._lock:
            self._all.discard(worker)
            self._refuse_closed()

    def _refuse_closed(self) -> None:
        if self._closed:
            raise RuntimeError("the run was closed")


class _Turns:
    """Clips side by side, or one alone."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._running = 0
        self._alone = False
        self._closed = False

    @contextlib.contextmanager
    def turn(self, *, alone: bool) -> Iterator[None]:
        """Wait until a clip may be read, and hold its turn."""
        with self._changed:
            self._changed.wait_for(lambda: self._closed or not self._alone)
            if alone:
                self._alone = True
                self._changed.wait_for(lambda: self._closed or not self._running)
            if self._closed:
                raise RuntimeError("the run was closed")
            self._running += 1
        try:
            yield
        finally:
            with self._changed:
                self._running -= 1
                self._alone = self._alone and not alone
                self._changed.notify_all()

    def close(self) -> None:
        """Let nobody wait any longer."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()


def _pack(plan: ClipPlan) -> bytes:
    """Return a plan without what stays here, packed.

    Raises
    ------
    TypeError, and other errors of what is packed
        Where something of it does not travel: it was made in the user's script or notebook, or is a session.
    """
    travelling = without_networks(plan, _stays)
    encoders = travelling.encoders.values()
    preparing = [one.preparation for one in encoders if isinstance(one, OnlyPrepares)]
    for one in (*encoders, *preparing, travelling.reader):
        if type(one).__module__ == "__main__" or getattr(one, "__module__", "") == "__main__":
            raise TypeError(f"{type(one).__name__} was made in a script, which workers do not run")
    return packed(travelling)


def _stays(encoder: Encoder) -> bool:
    return is_network(encoder.spec.stream, encoder.spec.name)
