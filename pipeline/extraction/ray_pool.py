"""Shards made on the nodes of a Ray cluster: one recipe agreed on, jobs given out, and again when lost."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from dualstream.pipeline.corpus.remote_root import RemoteRoot
from dualstream.pipeline.errors import DualstreamError
from dualstream.pipeline.extraction.build_shards import MadeShard
from dualstream.pipeline.extraction.ray_actors import Actors, Done, Event, Lost, Slot, Stated, Task
from dualstream.pipeline.extraction.remote import NodeStatement, unseen_words, with_stats
from dualstream.pipeline.extraction.seen import SeenJob, see, see_file
from dualstream.pipeline.extraction.staleness import Hasher
from dualstream.pipeline.provenance import differences, listed

from dualstream.version import __version__

IN_FLIGHT = 2  # jobs of an actor: one is made, one waits
MOST_LOSSES = 3  # a job that was lost more often ends the run
GRACE_S = 60.0  # for all actors to state their recipes; those that come later are compared then
LONGEST_S = 600.0  # more of it, where none that has come is the right one
SHOWN_CLIPS = 5

OnClip = Callable[[bool, int], None]


class RayPool:
    """The actors of a run at work."""

    def __init__(self, actors: Actors, note: Callable[[str], None]) -> None:
        self.actors = actors
        self._note = note
        self._chosen: NodeStatement | None = None
        self._returned: deque[Task] = deque()
        """Jobs that came back, and are given out before new ones."""
        self._differ: set[str] = set()

    # The recipe

    def agree(self, choose: Callable[[list[NodeStatement]], NodeStatement | None]) -> NodeStatement:
        """Let every actor state its recipe, and leave out the nodes that differ from the one that is chosen.

        Parameters
        ----------
        choose
            Returns the statement that counts, given one of each node; None where none of them should.

        Raises
        ------
        DualstreamError
            Where no node can take part.
        """
        end_s, told = time.monotonic() + GRACE_S, False
        while True:
            for event in self.actors.wait():
                self._take_statement(event)
            slots = self.actors.slots
            stated = {one.node.id: one.statement for one in slots if one.statement is not None}
            if not slots:
                raise self.actors.nobody()
            late = time.monotonic() > end_s
            complete = all(one.stating is None for one in slots) or time.monotonic() > end_s + LONGEST_S
            chosen = choose(list(stated.values())) if stated and (complete or late) else None
            if stated and complete:
                chosen = chosen or next(iter(stated.values()))
            if chosen is not None:
                break
            if late and not told:
                told = True
                self._note(
                    f"waiting for the cluster, which has {self.actors.resources()}: not all processes began yet"
                )
        self._chosen = chosen
        for slot in list(self.actors.slots):
            self._admit(slot)
        if not self.actors.slots:
            raise self.actors.nobody()
        return chosen

    def _take_statement(self, event: Event) -> None:
        if isinstance(event, Stated):
            said = event.slot.statement
            assert said is not None
            if said.fault:
                self._returned.extend(self.actors.leave_out(event.slot.node, said.fault))
            elif self._chosen is not None:
                self._admit(event.slot)

    def _admit(self, slot: Slot) -> None:
        """Let an actor work if its rows would be those of the others."""
        said, chosen = slot.statement, self._chosen
        if said is None or chosen is None or slot not in self.actors.slots:
            return
        found = [f"dualstream: {__version__}, there {said.version}"] if said.version != __version__ else []
        found += differences(chosen.document, said.document)
        if found or self.actors.is_left_out(slot.node):
            why = f"it would extract in another way ({listed(found)})"
            self._returned.extend(self.actors.leave_out(slot.node, why))
            return
        slot.agreed = True
        others = differences(chosen.environment, said.environment)
        if others and slot.node.id not in self._differ:
            self._differ.add(slot.node.id)
            self._note(f"node {slot.node.name} differs in what may change last digits: {listed(others)}")

    # The shards

    def make(
        self, jobs: Iterator[SeenJob], hasher: Hasher, root: Path | RemoteRoot, on_clip: OnClip
    ) -> Iterator[MadeShard]:
        """Make the jobs, and yield shards as they are done.

        Parameters
        ----------
        jobs
            With what this machine saw of their clips.
        hasher, root
            Where this machine sees them.
        on_clip
            Called with (failed, number of frames) for each clip, as it is made.

        Raises
        ------
        DualstreamError
            Where a job was lost too often, or no node is left.
        """
        waiting = _Waiting(jobs, self._returned)
        while True:
            for slot in self._idle(waiting):
                self.actors.give(slot, waiting.pop())
            busy = any(one.tasks for one in self.actors.slots)
            if not busy and not waiting:
                return
            if not self.actors.slots:
                raise self.actors.nobody()
            for event in self.actors.wait():
                self._take_statement(event)
                if isinstance(event, Lost):
                    self._give_back(event)
                elif isinstance(event, Done) and (made := self._made(event, hasher, root)) is not None:
                    _report(event.task, event.outcome.frames, on_clip)
                    yield made
            for task, so_far in self.actors.progress():
                _report(task, so_far, on_clip)

    def _idle(self, waiting: _Waiting) -> Iterator[Slot]:
        """Yield an actor that can take the next job, the one with the least to do, while there is one.

        A job that was lost may be what killed its process: it is made alone, so that no other is lost with it.
        """
        while waiting:
            room = 1 if waiting.suspect else IN_FLIGHT
            free = [
                one
                for one in self.actors.slots
                if one.agreed and len(one.tasks) < room and not any(task.losses for task in one.tasks.values())
            ]
            if not free:
                return
            yield min(free, key=lambda one: len(one.tasks))

    def _made(self, event: Done, hasher: Hasher, root: Path | RemoteRoot) -> MadeShard | None:
        """Return the shard of a job; where it came to none, see to it that it is made elsewhere."""
        outcome, task, node = event.outcome, event.task, event.slot.node
        if outcome.made is not None:
            return with_stats(outcome.made, task.seen)
        if outcome.shortage:
            self._lost(task, f"{outcome.shortage} (node {node.name})")
            return None
        unseen = outcome.unseen or {}
        if any(see_file(path, hasher) != task.seen.files[path] for path in unseen):  # it changed here, too
            task.seen = see(task.seen.job, hasher)
            self._lost(task, "its clips changed while it was made")
            return None
        self._returned.appendleft(task)
        why = f"{unseen_words(unseen, len(task.seen.files), root)}. See that this folder is mounted there"
        self._returned.extend(self.actors.leave_out(node, why if unseen else outcome.refusal))
        return None

    def _give_back(self, lost: Lost) -> None:
        first, *others = lost.tasks
        self._returned.extend(others)
        self._lost(first, lost.why)

    def _lost(self, task: Task, why: str) -> None:
        """Give a job back that came to nothing; end the run where that happened too often."""
        task.losses += 1
        ids = [one.id for one in task.seen.job.utterances]
        clips = ", ".join(ids[:SHOWN_CLIPS]) + (f" and {len(ids) - SHOWN_CLIPS} more" if ids[SHOWN_CLIPS:] else "")
        if task.losses > MOST_LOSSES:
            raise DualstreamError(
                f"shard {task.index} was lost {task.losses} times, the last time since {why}. Its clips are "
                f"{clips}: one of them may be what no process survives. What was committed stands; look at these "
                "clips with `check`, or leave them out of the manifest, and run the same command again"
            )
        self._note(f"shard {task.index} ({clips}) goes back, {task.losses} of at most {MOST_LOSSES} times: {why}")
        self._returned.appendleft(task)


class _Waiting:
    """Jobs to give out: those that came back first, then new ones."""

    def __init__(self, jobs: Iterator[SeenJob], returned: deque[Task]) -> None:
        self._jobs = jobs
        self._returned = returned

    def __bool__(self) -> bool:
        if not self._returned and (following := next(self._jobs, None)) is not None:
            self._returned.append(Task(following))
        return bool(self._returned)

    @property
    def suspect(self) -> bool:
        """Whether the next one was lost before."""
        return self._returned[0].losses > 0

    def pop(self) -> Task:
        """Return the next one."""
        return self._returned.popleft()


def _report(task: Task, frames: Sequence[tuple[bool, int]], on_clip: OnClip) -> None:
    """Count the clips of a job that were not counted yet."""
    for failed, count in frames[task.reported :]:
        on_clip(failed, count)
    task.reported = max(task.reported, len(frames))
