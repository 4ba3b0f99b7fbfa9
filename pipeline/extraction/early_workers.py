"""Worker processes that start while this process imports torch and builds networks; either takes seconds."""

from __future__ import annotations

from functools import partial

from dualstream.features.encode import ClipPlan
from dualstream.pipeline.extraction.clip_workers import WorkerPool, by_workers
from dualstream.pipeline.extraction.worker_process import Worker


class EarlyWorkers:
    """The workers of a run, begun when its networks are.

    Parameters
    ----------
    workers
        Clips that are read at a time; 0: none is begun.
    torch_threads
        That torch has in a run with networks, and in its workers.
    clips
        Those that there will be to read, as far as is known.
    """

    def __init__(self, workers: int = 0, torch_threads: int = 1, clips: int = 0) -> None:
        self.clips = clips
        self._workers, self._torch_threads = workers, torch_threads
        self._pool: WorkerPool | None = None

    def begin(self, plan: ClipPlan) -> None:
        """Start the workers where they are worth it and `plan` travels, and have them import what it takes."""
        count = min(self._workers, self.clips)
        if count and by_workers(plan, clips=self.clips, workers=self._workers):
            self._pool = WorkerPool(partial(Worker, self._torch_threads))
            self._pool.begin(count, plan)

    @property
    def pool(self) -> WorkerPool | None:
        """The workers that were begun; None where there are none, or they have ended."""
        return None if self._pool is None or self._pool.is_closed else self._pool

    def close(self) -> None:
        """End them."""
        if self._pool is not None:
            self._pool.close()
