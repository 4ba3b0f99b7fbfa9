"""The actors of a run on a Ray cluster: started on each node, waited for, replaced where they die.

An actor belongs to one node, so that a node can be left out by name. One that dies is replaced there while the
node lives; a node that joins gets its own, one that goes is forgotten.
"""

from __future__ import annotations

import contextlib
import itertools
import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from dualstream.pipeline.errors import DualstreamError
from dualstream.pipeline.extraction.ray_session import Node, nodes
from dualstream.pipeline.extraction.remote import NodeRequest, NodeStatement, Outcome, ShardMaker
from dualstream.pipeline.extraction.seen import SeenJob
from dualstream.pipeline.provenance import listed

log = logging.getLogger(__name__)

MOST_DEATHS = 4  # of the actors in one place, without a shard in between: then it is given up
TICK_S = 1.0  # the longest wait: then progress is asked for
LOOK_S = 5.0  # how often to see which nodes there are


@dataclass(repr=False)
class Task:
    """A job on its way."""

    seen: SeenJob
    losses: int = 0
    reported: int = 0
    """Clips that the progress has counted; a second try counts none of them again."""

    @property
    def index(self) -> int:
        """Of the shard."""
        return self.seen.job.index


@dataclass(repr=False, eq=False)
class Slot:
    """A place on a node, and the actor that has it."""

    node: Node
    cores: int
    gpus: int
    actor: Any = None
    stating: Any = None
    """Reference of the statement that is waited for."""
    statement: NodeStatement | None = None
    agreed: bool = False
    """Whether it is given work."""
    tasks: dict[Any, Task] = field(default_factory=dict)
    """By the reference of what is waited for; the first one is being made."""
    asked: Any = None
    """Reference of the progress that is waited for."""
    deaths: int = 0
    """Since the last shard."""


@dataclass(frozen=True, repr=False)
class Stated:
    """An actor has stated its recipe."""

    slot: Slot


@dataclass(frozen=True, repr=False)
class Done:
    """A job has come to something."""

    slot: Slot
    task: Task
    outcome: Outcome


@dataclass(frozen=True, repr=False)
class Lost:
    """Jobs came to nothing: the first one was being made, the others waited behind it."""

    tasks: Sequence[Task]
    why: str


Event = Stated | Done | Lost


class Actors:
    """All actors of a run.

    Parameters
    ----------
    ray
        The module, connected.
    request
        What every actor is told.
    gpus
        Whether an actor needs a GPU.
    most_cores
        Of all actors together; 0: as many as there are.
    most_actors
        There may be fewer shards than cores.
    note
        Called with what a person should know.

    Raises
    ------
    DualstreamError
        Where no node has what an actor needs.
    """

    def __init__(
        self,
        ray: Any,
        request: NodeRequest,
        *,
        gpus: bool,
        most_cores: int,
        most_actors: int,
        note: Callable[[str], None],
    ) -> None:
        self.slots: list[Slot] = []
        self._ray = ray
        self._request = request
        self._gpus = gpus
        self._most_cores = most_cores
        self._most_actors = most_actors
        self._note = note
        self._names: dict[str, str] = {}
        self._left_out: dict[str, str] = {}
        """Reasons by the ids of nodes that get no work."""
        self._given_up: dict[str, str] = {}
        """Reasons by the ids of nodes on which a slot was given up; their other slots work on."""
        self._next_look_s = 0.0
        self._look()
        if not self.slots:
            needed = "a GPU" if gpus else "a core"
            raise DualstreamError(
                f"no node of the cluster has {needed}: its resources are {self.resources()}; start nodes that "
                "have one, or choose another --device"
            )

    def resources(self) -> str:
        """Return what the cluster has, in words."""
        found = self._ray.cluster_resources()
        return ", ".join(f"{found.get(name, 0):g} {name}" for name in ("CPU", "GPU"))

    def wait(self) -> list[Event]:
        """Wait a moment; return what has come, statements and outcomes before losses."""
        lost = self._look()
        waited = {ref: slot for slot in self.slots for ref in (slot.stating, *slot.tasks) if ref is not None}
        if not waited:
            time.sleep(TICK_S / 10)
            return lost
        self._ray.wait(list(waited), num_returns=1, timeout=TICK_S)
        ready, _ = self._ray.wait(list(waited), num_returns=len(waited), timeout=0)
        events: list[Event] = []
        failed: dict[Slot, BaseException] = {}
        for ref in ready:
            slot = waited[ref]
            try:
                said = self._ray.get(ref)
            except self._ray.exceptions.RayError as error:
                failed.setdefault(slot, error)
                continue
            if ref == slot.stating:
                slot.stating, slot.statement = None, said
                events.append(Stated(slot))
            else:
                slot.deaths = 0
                events.append(Done(slot, slot.tasks.pop(ref), said))
        for slot, reason in failed.items():
            lost += self._died(slot, reason)
        return [*events, *lost]

    def give(self, slot: Slot, task: Task) -> None:
        """Give an actor a job; where it is dead by now, `wait` says so."""
        slot.tasks[slot.actor.make.remote(task.seen)] = task

    def progress(self) -> Iterator[tuple[Task, Sequence[tuple[bool, int]]]]:
        """Yield the clips so far of the jobs that are being made, as actors tell; and ask again."""
        for slot in self.slots:
            if slot.asked is None and slot.tasks and slot.agreed:
                slot.asked = slot.actor.progress.options(concurrency_group="progress").remote()
        asked = {slot.asked: slot for slot in self.slots if slot.asked is not None}
        for ref in self._ray.wait(list(asked), num_returns=len(asked), timeout=0)[0] if asked else []:
            slot = asked[ref]
            slot.asked = None
            try:
                index, frames = self._ray.get(ref)
            except self._ray.exceptions.RayError:  # `wait` finds out why
                continue
            for task in slot.tasks.values():
                if task.index == index:
                    yield task, frames

    def leave_out(self, node: Node, why: str) -> list[Task]:
        """Give a node no more work; return the jobs that its actors had."""
        if node.id not in self._left_out:
            self._left_out[node.id] = why
            self._note(f"node {node.name} is left out: {why}")
        return self._drop_all(node.id)

    def is_left_out(self, node: Node) -> bool:
        """Tell whether a node gets no more work."""
        return node.id in self._left_out

    def nobody(self) -> DualstreamError:
        """Return the error for a run without any actor."""
        reasons = sorted({f"{self._names[one]}: {why}" for one, why in (self._given_up | self._left_out).items()})
        return DualstreamError(f"no node of the cluster is left to make shards: {listed(reasons)}")

    def ask(self, utterances: Any, batches: int) -> Any:
        """Let one actor measure a few clips, as `ShardMaker.estimate` does."""
        slot = next(one for one in self.slots if one.agreed)
        cores = sum(one.cores for one in self.slots if one.agreed)
        count = sum(one.agreed for one in self.slots)
        try:
            return self._ray.get(slot.actor.estimate.remote(utterances, cores, batches * count))
        except self._ray.exceptions.RayError as error:
            raise DualstreamError(
                f"the clips could not be measured on node {slot.node.name}: {words(error)}"
            ) from None

    def close(self) -> None:
        """End all actors."""
        for slot in list(self.slots):
            self._drop(slot)

    def _look(self) -> list[Event]:
        """See which nodes there are: give new ones their actors, forget those that went."""
        if time.monotonic() < self._next_look_s:
            return []
        self._next_look_s = time.monotonic() + LOOK_S
        alive = {one.id: one for one in nodes(self._ray)}
        lost: list[Event] = []
        for node in {slot.node.id: slot.node for slot in self.slots}.values():
            if node.id not in alive:
                lost += self._node_gone(node)
        fresh = [one for one in alive.values() if one.id not in self._names]
        self._names |= {one.id: one.name for one in fresh}
        for node, cores, gpus in _in_turn([[(one, *place) for place in one.slots(self._gpus)] for one in fresh]):
            if self._most_cores:
                cores = min(cores, self._most_cores - sum(one.cores for one in self.slots))
            if cores > 0 and len(self.slots) < self._most_actors:
                self._start(Slot(node, cores, gpus))
        return lost

    def _start(self, slot: Slot) -> None:
        """Start an actor in a slot, and ask for its recipe."""
        on_node = self._ray.util.scheduling_strategies.NodeAffinitySchedulingStrategy
        maker = self._ray.remote(concurrency_groups={"progress": 1})(ShardMaker)
        slot.actor = maker.options(
            num_cpus=slot.cores,
            num_gpus=slot.gpus,
            max_restarts=0,  # a new process states its recipe before it is given work, so we start it ourselves
            scheduling_strategy=on_node(slot.node.id, soft=False),
        ).remote(self._request, slot.cores)
        slot.stating, slot.statement = slot.actor.state.remote(), None
        slot.agreed, slot.asked, slot.tasks = False, None, {}
        if slot not in self.slots:
            self.slots.append(slot)

    def _died(self, slot: Slot, error: BaseException) -> list[Event]:
        """Put another actor in the place of one that died, while its node lives; return what it had."""
        log.info("an actor on node %s: %s", slot.node.name, error)
        if slot.node.id not in {one.id for one in nodes(self._ray)}:
            return self._node_gone(slot.node)
        why = f"{words(error)} (node {slot.node.name})"
        tasks = list(slot.tasks.values())
        slot.deaths += 1
        self._end(slot)
        if slot.deaths > MOST_DEATHS:
            self._give_up(slot, why)
        else:
            self._start(slot)
        return [Lost(tasks, why)] if tasks else []

    def _give_up(self, slot: Slot, why: str) -> None:
        """Start no more actors in a slot; the others of its node are no worse for that."""
        self._drop(slot)
        others = sum(one.node.id == slot.node.id for one in self.slots)
        work = "1 other works" if others == 1 else f"{others or 'no'} others work"
        where = f"node {slot.node.name}, where {work} on"
        self._note(f"a process ended {slot.deaths} times and is given up on {where}: {why}")
        self._given_up[slot.node.id] = why

    def _node_gone(self, node: Node) -> list[Event]:
        had = [list(one.tasks.values()) for one in self.slots if one.node.id == node.id]
        if not had:
            return []
        self._drop_all(node.id)
        self._left_out.setdefault(node.id, "it left the cluster")
        self._note(f"node {node.name} left the cluster")
        return [Lost(tasks, f"node {node.name} left the cluster") for tasks in had if tasks]

    def _drop_all(self, node_id: str) -> list[Task]:
        mine = [one for one in self.slots if one.node.id == node_id]
        tasks = [task for one in mine for task in one.tasks.values()]
        for one in mine:
            self._drop(one)
        return tasks

    def _drop(self, slot: Slot) -> None:
        self._end(slot)
        slot.tasks, slot.stating, slot.agreed = {}, None, False
        self.slots.remove(slot)

    def _end(self, slot: Slot) -> None:
        with contextlib.suppress(self._ray.exceptions.RayError, ValueError):
            self._ray.kill(slot.actor)


def _in_turn(places: Sequence[Sequence[Any]]) -> Iterator[Any]:
    """Yield the first place of each node, then the second of each …"""
    for row in itertools.zip_longest(*places):
        yield from (one for one in row if one is not None)


def words(error: BaseException) -> str:
    """Return in one line why an actor did not answer."""
    cause = getattr(error, "cause", None)
    if isinstance(cause, BaseException):
        return f"{type(cause).__name__}: {' '.join(str(cause).split())[:300]}"
    text = " ".join(str(error).split())
    detail = text.partition("Worker exit detail:")[2].strip() or text
    return f"the process that made it ended ({type(error).__name__}: {detail[:200]})"
