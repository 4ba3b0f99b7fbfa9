"""The pool of actors over a stand-in for ray: what is asked of it, who gets which job, and what is lost goes back."""

from __future__ import annotations

import builtins
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from dualstream.features.encoder import StreamFeatures
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.errors import DualstreamError, UsageError
from dualstream.pipeline.extraction import ray_actors, ray_pool
from dualstream.pipeline.extraction.build_shards import MadeShard, ShardJob
from dualstream.pipeline.extraction.distributed import _absolute, _choice
from dualstream.pipeline.extraction.options import ExtractionOptions, RunOptions
from dualstream.pipeline.extraction.ray_actors import Actors
from dualstream.pipeline.extraction.ray_pool import RayPool
from dualstream.pipeline.extraction.ray_session import Node, require_ray
from dualstream.pipeline.extraction.remote import NodeRequest, NodeStatement, Outcome
from dualstream.pipeline.extraction.seen import SeenHasher, SeenJob, see, seen_ahead
from dualstream.pipeline.extraction.shards import ClipRows, Shard
from dualstream.pipeline.extraction.staleness import ABSENT, Hasher

from dualstream.version import __version__

DOCUMENT: Any = {"decoder": "7.1", "device": "cpu"}
PLACE = Path("/clips")


class RayError(Exception):
    pass


class Reference:
    def __init__(self, actor: Any, act: Callable[[], Any]) -> None:
        self.actor, self.act = actor, act


class StandIn:
    """Ray as the pool uses it: everything is done when its result is asked for, first come, first served."""

    def __init__(self, nodes: dict[str, dict[str, float]], behave: Callable[[str, SeenJob], Outcome]) -> None:
        self.found = nodes
        self.behave = behave
        self.statements: dict[str, NodeStatement] = {}
        self.asked: list[dict[str, Any]] = []
        self.given: list[tuple[str, int]] = []
        self.most_in_flight: Counter[Any] = Counter()
        self.exceptions = SimpleNamespace(RayError=RayError)
        strategy = SimpleNamespace(NodeAffinitySchedulingStrategy=lambda node_id, soft: (node_id, soft))
        self.util = SimpleNamespace(scheduling_strategies=strategy)

    def nodes(self) -> list[dict[str, Any]]:
        facts = {"Alive": True, "NodeManagerAddress": "10.0.0.1", "NodeManagerHostname": "host"}
        return [{"NodeID": name, "NodeName": name, "Resources": has, **facts} for name, has in self.found.items()]

    def cluster_resources(self) -> dict[str, float]:
        return dict(sum((Counter(has) for has in self.found.values()), Counter()))

    def remote(self, **asked: Any) -> Callable[[type], Any]:
        def options(**more: Any) -> Any:
            self.asked.append({**asked, **more})
            return SimpleNamespace(remote=lambda *told: self._actor(more["scheduling_strategy"][0]))

        return lambda kind: SimpleNamespace(options=options)

    def _actor(self, node: str) -> Any:
        actor = SimpleNamespace(node=node, dead=False)
        stated = self.statements.get(node, NodeStatement(__version__, DOCUMENT, {}, {"threads": 1}))
        actor.state = SimpleNamespace(remote=lambda: Reference(actor, lambda: stated))
        actor.make = SimpleNamespace(remote=lambda seen: self._make(actor, seen))
        asked = SimpleNamespace(remote=lambda: Reference(actor, lambda: (-1, ())))
        actor.progress = SimpleNamespace(options=lambda concurrency_group: asked)
        return actor

    def _make(self, actor: Any, seen: SeenJob) -> Reference:
        self.given.append((actor.node, seen.job.index))
        return Reference(actor, lambda: self.behave(actor.node, seen))

    def wait(
        self, references: list[Reference], *, num_returns: int, timeout: float
    ) -> tuple[list[Reference], list[Any]]:
        by_actor = Counter(id(one.actor) for one in references)
        for key, count in by_actor.items():
            self.most_in_flight[key] = max(self.most_in_flight[key], count)
        first = {id(one.actor): one for one in reversed(references)}
        return list(first.values()), []

    def get(self, reference: Reference) -> Any:
        if reference.actor.dead or reference.actor.node not in self.found:
            raise RayError("The actor died. Worker exit detail: it is gone")
        try:
            return reference.act()
        except RayError:
            reference.actor.dead = True
            raise

    def kill(self, actor: Any) -> None:
        actor.dead = True


def utterance(number: int) -> Utterance:
    return Utterance(f"u{number}", f"clip{number}.mp4", "train")


def jobs(count: int) -> list[ShardJob]:
    return [ShardJob(index, (utterance(2 * index), utterance(2 * index + 1))) for index in range(count)]


def made(node: str, seen: SeenJob) -> Outcome:
    nothing = StreamFeatures(np.zeros(1, "f4"), False, np.zeros((0, 1), "f4"), np.zeros(0, bool), np.zeros(0))
    clips = tuple(ClipRows(one.id, "", 1.0, np.zeros(1), {"audio": nothing}) for one in seen.job.utterances)
    shard = MadeShard(seen.job, Shard("", clips), tuple((1, 1) for _ in clips))
    return Outcome(made=shard, frames=((False, 3), (True, 0)))


@pytest.fixture(autouse=True)
def at_once(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ray_actors, "LOOK_S", 0.0)
    monkeypatch.setattr(ray_actors, "TICK_S", 0.01)
    monkeypatch.setattr(ray_pool, "GRACE_S", 0.1)


class Run:
    """A pool over a stand-in, and what came of it."""

    def __init__(self, ray: StandIn, *, gpus: bool = False, workers: int = 0, shards: int = 6) -> None:
        self.notes: list[str] = []
        request = NodeRequest(PLACE, ExtractionOptions(), 2, {}, {})
        self.actors = Actors(
            ray, request, gpus=gpus, most_cores=workers, most_actors=shards, note=self.notes.append
        )
        self.pool = RayPool(self.actors, self.notes.append)
        self.clips: list[tuple[bool, int]] = []
        self.shards = shards

    def go(self, hasher: Hasher | None = None) -> list[int]:
        self.pool.agree(lambda found: found[0])
        seen = (SeenJob(job, {}, tuple((7, 7) for _ in job.utterances)) for job in jobs(self.shards))
        found = self.pool.make(
            seen, hasher or Hasher(PLACE), PLACE, lambda failed, frames: self.clips.append((failed, frames))
        )
        return sorted(one.job.index for one in found)


def test_each_shard_once_and_the_progress_in_clips() -> None:
    ray = StandIn({"a": {"CPU": 2}, "b": {"CPU": 2}}, made)
    run = Run(ray)
    assert run.go() == [0, 1, 2, 3, 4, 5]
    assert sorted(index for _, index in ray.given) == [0, 1, 2, 3, 4, 5] and {"a", "b"} == {
        n for n, _ in ray.given
    }
    assert run.clips == [(False, 3), (True, 0)] * 6 and run.notes == []
    assert max(ray.most_in_flight.values()) == 2


def test_what_is_asked_of_ray() -> None:
    """Cores and GPUs are declared, actors spread over the nodes, and none begins again unasked."""
    ray = StandIn({"small": {"CPU": 1}, "large": {"CPU": 7}}, made)
    Run(ray)
    told = [(one["scheduling_strategy"], one["num_cpus"], one["num_gpus"]) for one in ray.asked]
    assert told == [(("large", False), 4, 0), (("small", False), 1, 0), (("large", False), 3, 0)]
    assert {one["max_restarts"] for one in ray.asked} == {0}
    ray = StandIn({"box": {"CPU": 16, "GPU": 2}, "plain": {"CPU": 8}}, made)
    Run(ray, gpus=True)
    told = [(one["scheduling_strategy"], one["num_cpus"], one["num_gpus"]) for one in ray.asked]
    assert told == [(("box", False), 8, 1)] * 2


@pytest.mark.parametrize(
    ("workers", "shards", "cores"), [(3, 9, [3]), (6, 9, [4, 2]), (0, 1, [4]), (0, 9, [4, 4])]
)
def test_workers_and_shards_bound_the_actors(workers: int, shards: int, cores: list[int]) -> None:
    ray = StandIn({"a": {"CPU": 4}, "b": {"CPU": 4}}, made)
    Run(ray, workers=workers, shards=shards)
    assert [one["num_cpus"] for one in ray.asked] == cores


def test_slots_use_every_core() -> None:
    for cores in range(1, 40):
        slots = Node("x", "x", cores, 0).slots(gpus=False)
        assert sum(count for count, _ in slots) == cores and max(count for count, _ in slots) <= 4


def test_no_node_with_a_gpu() -> None:
    with pytest.raises(DualstreamError, match=r"no node of the cluster has a GPU: its resources are 2 CPU, 0 GPU"):
        Run(StandIn({"a": {"CPU": 2}}, made), gpus=True)


def test_a_node_that_differs_is_left_out_by_name_and_key() -> None:
    ray = StandIn({"a": {"CPU": 1}, "odd": {"CPU": 1}, "new": {"CPU": 1}}, made)
    ray.statements["odd"] = NodeStatement(__version__, {**DOCUMENT, "decoder": "5.1"}, {}, {"threads": 1})
    ray.statements["new"] = NodeStatement(__version__, DOCUMENT, {}, {"threads": 2})
    run = Run(ray)
    assert run.go() == [0, 1, 2, 3, 4, 5]
    assert {node for node, _ in ray.given} == {"a", "new"}
    assert sorted(run.notes) == [
        "node new differs in what may change last digits: threads: 1, there 2",
        'node odd is left out: it would extract in another way (decoder: "7.1", there "5.1")',
    ]


def test_a_node_with_other_code() -> None:
    ray = StandIn({"a": {"CPU": 1}, "old": {"CPU": 1}}, made)
    ray.statements["old"] = NodeStatement("0.0.1", DOCUMENT, {}, {"threads": 1})
    run = Run(ray)
    assert run.go() == [0, 1, 2, 3, 4, 5] and len(run.notes) == 1
    assert f"in another way (dualstream: {__version__}, there 0.0.1)" in run.notes[0]


def test_a_node_that_can_t_take_part() -> None:
    ray = StandIn({"a": {"CPU": 1}, "bare": {"CPU": 1}}, made)
    ray.statements["bare"] = NodeStatement(__version__, fault="weights /w.pth can't be read there")
    run = Run(ray)
    assert run.go() == [0, 1, 2, 3, 4, 5]
    assert run.notes == ["node bare is left out: weights /w.pth can't be read there"]
    ray.statements["a"] = ray.statements["bare"]
    with pytest.raises(DualstreamError, match=r"no node .* is left to make shards: a: weights .*; bare: weights"):
        Run(ray).go()


def test_a_job_that_kills_goes_back_three_times_and_takes_no_other_along() -> None:
    def behave(node: str, seen: SeenJob) -> Outcome:
        if seen.job.index == 2:
            raise RayError("The actor died. Worker exit detail: signal 9")
        return made(node, seen)

    ray = StandIn({"a": {"CPU": 1}, "b": {"CPU": 1}}, behave)
    run = Run(ray)
    with pytest.raises(DualstreamError, match=r"shard 2 was lost 4 times, .*signal 9.* Its clips are u4, u5:"):
        run.go()
    tries = Counter(index for _, index in ray.given)
    assert tries[2] == 4 and all(count <= 2 for index, count in tries.items() if index != 2)
    assert len(run.notes) == 3 and run.notes[0].startswith("shard 2 (u4, u5) goes back, 1 of at most 3 times:")


def test_a_node_that_goes_and_one_that_comes() -> None:
    ray = StandIn({"goes": {"CPU": 1}, "stays": {"CPU": 1}}, made)

    def behave(node: str, seen: SeenJob) -> Outcome:
        if node == "goes":
            ray.found.pop("goes")
            ray.found["comes"] = {"CPU": 1}
            raise RayError("node died")
        return made(node, seen)

    ray.behave = behave
    run = Run(ray, shards=20)
    assert run.go() == list(range(20))
    assert "node goes left the cluster" in run.notes
    assert {node for node, _ in ray.given} == {"goes", "stays", "comes"}
    assert run.clips == [(False, 3), (True, 0)] * 20


class BrokenSlot(StandIn):
    """A node of 7 cores, whose slot of 3 ends each process as it begins; that of 4 works on."""

    def remote(self, **asked: Any) -> Callable[[type], Any]:
        make = super().remote(**asked)

        def options(**more: Any) -> Any:
            def start(*told: Any) -> Any:
                actor = make(object).options(**more).remote(*told)
                actor.dead = more["num_cpus"] == 3
                return actor

            return SimpleNamespace(remote=start)

        return lambda kind: SimpleNamespace(options=options)


def test_a_slot_that_is_given_up_takes_no_other_of_its_node_along() -> None:
    """Nor those that are begun again after it: one dies later, and its follower is taken as it was."""
    died: list[int] = []

    def behave(node: str, seen: SeenJob) -> Outcome:
        if seen.job.index == 4 and not died:
            died.append(4)
            raise RayError("The actor died. Worker exit detail: signal 9")
        return made(node, seen)

    ray = BrokenSlot({"box": {"CPU": 7}}, behave)
    run = Run(ray)
    assert run.go() == [0, 1, 2, 3, 4, 5] and died == [4]
    assert [one for one in run.notes if "given up" in one] == [
        "a process ended 5 times and is given up on node box, where 1 other works on: the process that made it ended "
        "(RayError: it is gone) (node box)"
    ]
    assert not any("left out" in one for one in run.notes)


def test_nobody_is_left_when_every_slot_is_given_up() -> None:
    class Dead(BrokenSlot):
        def _actor(self, node: str) -> Any:
            actor = super()._actor(node)
            actor.dead = True
            return actor

    run = Run(Dead({"box": {"CPU": 3}}, made))
    with pytest.raises(DualstreamError, match=r"no node of the cluster is left .*: box: .*it is gone"):
        run.go()
    assert run.notes[0].startswith(
        "a process ended 5 times and is given up on node box, where no others work on: "
    )


def test_a_shortage_of_memory_goes_back() -> None:
    tried: Counter[int] = Counter()

    def behave(node: str, seen: SeenJob) -> Outcome:
        tried[seen.job.index] += 1
        short = seen.job.index == 1 and tried[1] < 3
        return Outcome(shortage="memory ran out") if short else made(node, seen)

    run = Run(StandIn({"a": {"CPU": 1}}, behave))
    assert run.go() == [0, 1, 2, 3, 4, 5]
    assert [note.split(": ")[-1] for note in run.notes] == ["memory ran out (node a)"] * 2


# What the driver saw


@pytest.fixture
def clips(tmp_path: Path) -> Path:
    for number in range(12):
        (tmp_path / f"clip{number}.mp4").write_bytes(f"clip {number}".encode())
    return tmp_path


def run_over(clips: Path, ray: StandIn) -> tuple[list[int], list[str]]:
    run = Run(ray)
    run.pool.agree(lambda found: found[0])
    hasher = Hasher(clips)
    seen = seen_ahead(jobs(6), hasher, reads_media=True)
    done = sorted(one.job.index for one in run.pool.make(seen, hasher, clips, lambda failed, frames: None))
    return done, run.notes


def test_a_node_that_sees_less_is_retired_with_one_notice(clips: Path) -> None:
    def behave(node: str, seen: SeenJob) -> Outcome:
        if node == "dim":
            return Outcome(unseen={seen.job.utterances[0].path: "missing: there is no such file"})
        return made(node, seen)

    ray = StandIn({"dim": {"CPU": 8}, "sees": {"CPU": 1}}, behave)
    done, notes = run_over(clips, ray)
    assert done == [0, 1, 2, 3, 4, 5]
    assert len(notes) == 1 and notes[0].startswith("node dim is left out: 1 of 2 files are not under")


def test_a_clip_that_changes_here_too_is_no_node_s_fault(clips: Path) -> None:
    def behave(node: str, seen: SeenJob) -> Outcome:
        if seen.job.index == 1 and seen.files["clip2.mp4"].size_bytes == 6:
            (clips / "clip2.mp4").write_bytes(b"another one")
            return Outcome(unseen={"clip2.mp4": "11 bytes"})
        return made(node, seen)

    done, notes = run_over(clips, StandIn({"a": {"CPU": 1}}, behave))
    assert done == [0, 1, 2, 3, 4, 5]
    assert notes == ["shard 1 (u2, u3) goes back, 1 of at most 3 times: its clips changed while it was made"]


def test_only_who_asks_calls_a_clip_missing(clips: Path, tmp_path: Path) -> None:
    (clips / "clip1.mp4").unlink()
    seen = see(jobs(1)[0], Hasher(clips))
    assert seen.stats[1] == ABSENT and seen.stats[0][0] == 6
    copy = tmp_path / "copy"
    copy.mkdir()
    (copy / "clip0.mp4").write_bytes(b"clip 0")
    (copy / "clip1.mp4").write_bytes(b"is here")
    there = SeenHasher(Hasher(copy), seen.files)
    assert there.unseen(seen.job.utterances) == {}
    assert there.stat("clip1.mp4") == ABSENT and there.digest("clip1.mp4") == ""
    with pytest.raises(Exception, match=r"^missing: there is no such file"):
        there.require("clip1.mp4")
    (copy / "clip0.mp4").write_bytes(b"clip O")  # of the same size
    assert "other bytes than the machine that asks sees" in there.unseen(seen.job.utterances)["clip0.mp4"]
    (copy / "clip0.mp4").write_bytes(b"clip")
    assert there.unseen(seen.job.utterances) == {"clip0.mp4": "4 bytes where the machine that asks sees 6"}
    (copy / "clip0.mp4").unlink()
    assert there.unseen(seen.job.utterances)["clip0.mp4"].startswith("missing: ")


# What is told to the nodes


def test_paths_become_absolute_and_files_have_digests(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    import hashlib

    monkeypatch.chdir(tmp_path)
    for name in ("w.safetensors", "votes.csv", "ffmpeg-here", "yunet.onnx", "talks.pt", "who.onnx"):
        Path(name).write_text(name)
    options = ExtractionOptions(
        video=("cnn5", "table:votes.csv"),
        video_weights=("w.safetensors",),
        ffmpeg=Path("./ffmpeg-here"),
        region=("speaker",),
        face_weights=Path("yunet.onnx"),
        speaker_weights=Path("talks.pt"),
        identity=True,
        identity_weights=Path("who.onnx"),
    )
    there, files = _absolute(options)
    assert there.video == ("cnn5", f"table:{tmp_path}/votes.csv") and there.audio == ("acoustic",)
    assert there.video_weights == (f"{tmp_path}/w.safetensors",) and there.ffmpeg == tmp_path / "ffmpeg-here"
    assert there.face_weights == tmp_path / "yunet.onnx" and there.speaker_weights == tmp_path / "talks.pt"
    assert there.identity_weights == tmp_path / "who.onnx"
    assert files == {
        str(tmp_path / name): hashlib.sha256(name.encode()).hexdigest()
        for name in ("w.safetensors", "votes.csv", "yunet.onnx", "talks.pt", "who.onnx")
    }
    plain, _ = _absolute(ExtractionOptions(video=("cnn5",), video_weights=("random:0",), ffmpeg=Path("ffmpeg")))
    assert plain.video_weights == ("random:0",) and plain.ffmpeg == Path("ffmpeg")


@pytest.fixture
def statements() -> dict[str, NodeStatement]:
    return {
        text: NodeStatement(__version__, {**DOCUMENT, "decoder": text}, {}, {}) for text in ("5.1", "6.0", "7.1")
    }


def test_which_recipe_counts(statements: dict[str, NodeStatement], monkeypatch: pytest.MonkeyPatch) -> None:
    from dualstream.features.media import command
    from dualstream.pipeline.extraction import distributed

    monkeypatch.setattr(command, "decoder_version", lambda named: "6.0")
    five, six, seven = statements.values()
    options = ExtractionOptions()
    assert _choice([seven, seven, six], options, lambda one: False) is six  # that of the machine that asks
    made_before = distributed._key(five)
    assert _choice([seven, six, five], options, lambda one: one == made_before) is five  # a run that goes on
    assert _choice([seven, five], options, lambda one: False) is None  # who has 6.0 may still come

    def nothing(named: Any) -> str:
        raise distributed.MediaError("missing", "no ffmpeg")

    monkeypatch.setattr(command, "decoder_version", nothing)
    assert _choice([five, seven, seven], options, lambda one: False) is seven  # that of most nodes


def test_which_recipe_counts_where_pyav_decodes(monkeypatch: pytest.MonkeyPatch) -> None:
    from dualstream.features.media import command, pyav

    monkeypatch.setattr(command, "decoder_version", lambda named: "6.0")
    monkeypatch.setattr(pyav, "version", lambda: "pyav 14.1 (ffmpeg 7.1)")
    decoders = ("pyav 14.0 (ffmpeg 7.0), else ffmpeg 6.0", "pyav 14.1 (ffmpeg 7.1), else ffmpeg 6.0")
    old, new = (NodeStatement(__version__, {**DOCUMENT, "decoder": one}, {}, {}) for one in decoders)
    options = ExtractionOptions(decoder="pyav")
    assert _choice([old, old, new], options, lambda one: False) is new  # that of the machine that asks
    assert _choice([old, old], options, lambda one: False) is None


def test_an_address_is_for_ray() -> None:
    with pytest.raises(UsageError, match="--ray-address auto is for --executor ray; found --executor local"):
        RunOptions(ray_address="auto")


def test_ray_missing_says_how_to_install_it(monkeypatch: pytest.MonkeyPatch) -> None:
    real = builtins.__import__

    def without_ray(name: str, *rest: Any, **more: Any) -> Any:
        if name == "ray":
            raise ImportError(name)
        return real(name, *rest, **more)

    monkeypatch.setattr(builtins, "__import__", without_ray)
    with pytest.raises(DualstreamError, match=r"pip install -e '.+\[ray\]'"):
        require_ray()
