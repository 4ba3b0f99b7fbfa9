"""Workers that start while networks are built: the first clips find them ready."""

from __future__ import annotations

import contextlib
import sys
import threading
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from dualstream.features.encode import ClipPlan, decode_settings
from dualstream.features.encoder import EncoderSpec
from dualstream.pipeline.commands.extract import extract
from dualstream.pipeline.extraction.clip_workers import ClipWorkers, WorkerPool
from dualstream.pipeline.extraction.options import RunOptions
from dualstream.pipeline.extraction.recipe import ExtractionOptions, make_recipe
from dualstream.pipeline.extraction.staleness import Hasher
from dualstream.pipeline.extraction.worker_process import Worker

from tests.pipeline.crashing import (
    CrashingReader,
    HalvingPreparation,
    PreparedAudio,
    alive,
    utterances_of,
    wait_for,
)
from tests.pipeline.stubs import StubAudio, StubVideo, make_corpus

pytestmark = [
    pytest.mark.usefixtures("by_workers"),
    pytest.mark.skipif(sys.platform == "win32", reason="clips are decoded on Linux and macOS"),
]


def plan_of(notes: Path) -> ClipPlan:
    encoders = {"audio": PreparedAudio(preparation=HalvingPreparation(notes=notes))}
    return ClipPlan(encoders, decode=decode_settings(encoders), reader=CrashingReader(notes=notes))


def test_they_are_those_that_read_and_no_other_is_started(tmp_path: Path, notes: Path) -> None:
    corpus, plan = make_corpus(tmp_path / "clips", 6), plan_of(notes)
    slow = replace(plan, reader=CrashingReader(notes=notes, delay_s=0.3))
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker())
        return started[-1]

    with contextlib.closing(WorkerPool(start)) as pool:
        pool.begin(2, plan)
        with ThreadPoolExecutor(2) as threads:  # they ask at once, before any is ready
            workers = ClipWorkers(Hasher(corpus.parent), pool=pool)
            read = list(threads.map(lambda one: workers.read(one, slow), utterances_of(corpus)))
        assert [one.failure for one in read] == [""] * 6
        assert len(started) == 2
        warmed = Counter(path.name.split("-")[1] for path in notes.glob("warm-*"))
        assert [*warmed.values()] == [2, 2]  # each for the plan before, and for that of the clips
    assert all(one.has_ended() for one in started)


def test_one_that_is_ended_meanwhile_is_followed_by_another(tmp_path: Path, notes: Path) -> None:
    corpus, plan = make_corpus(tmp_path / "clips", 1), plan_of(notes)
    started: list[Worker] = []

    def start() -> Worker:
        started.append(Worker())
        if len(started) == 1:
            started[0].kill()
        return started[-1]

    with contextlib.closing(WorkerPool(start)) as pool:
        pool.begin(1, plan)
        workers = ClipWorkers(Hasher(corpus.parent), pool=pool)
        assert workers.read(utterances_of(corpus)[0], plan).failure == "" and len(started) == 2


def test_they_end_with_a_run_that_fails_before_its_first_clip(notes: Path) -> None:
    pool = WorkerPool()
    pool.begin(3, plan_of(notes))
    wait_for(lambda: pool._all)
    there = [one._process.pid for one in pool._all]
    pool.close()
    assert not pool._all and not pool._beginning and not any(alive(one) for one in there)
    with pytest.raises(RuntimeError, match="closed"):
        pool._started()


def test_a_run_begins_them_before_its_networks(
    tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Once for the clips of a run; a second run, which has nothing to make, begins none."""
    begun: list[tuple[int, tuple[str, ...], list[Any]]] = []
    built: list[Any] = []
    begin = WorkerPool.begin

    def note(self: WorkerPool, count: int, plan: ClipPlan) -> None:
        begun.append((count, tuple(one.spec.name for one in plan.encoders.values()), [*built]))
        begin(self, count, plan)

    def build(stream: str, text: str, options: Any) -> Any:
        if text == "acoustic":
            return StubAudio()
        built.append(text)
        return StubVideo()

    monkeypatch.setattr(WorkerPool, "begin", note)
    corpus, out = make_corpus(tmp_path / "clips", 5), tmp_path / "c.h5"

    def run(**more: Any) -> int:
        return extract(
            corpus,
            root=corpus.parent,
            out=out,
            options=ExtractionOptions(video=("cnn5",), video_weights=("random:0",), audio=("acoustic",)),
            run=RunOptions(workers=2, shard_size=3, **more),
            build_recipe=partial(make_recipe, build_encoder=build),
        ).made

    assert run(part="1/2") == 3 and begun == [(2, ("stub",), [])]
    assert run(part="2/2") == 2 and begun[1:] == [(2, ("stub",), ["cnn5"])]
    assert run() == 0 and run() == 0 and len(begun) == 2


class HeldAudio(StubAudio):
    """An encoder of another package that holds what can't be pickled."""

    def __init__(self) -> None:
        super().__init__(EncoderSpec("acoustic", "audio", 2, 2))
        self.lock = threading.Lock()


def test_what_does_not_travel_is_heard_in_threads(tmp_path: Path) -> None:
    corpus = make_corpus(tmp_path / "clips", 3)
    report = extract(
        corpus,
        root=corpus.parent,
        out=tmp_path / "c.h5",
        options=ExtractionOptions(video=("cnn5",), video_weights=("random:0",), audio=("acoustic",)),
        run=RunOptions(workers=2),
        build_recipe=partial(
            make_recipe,
            build_encoder=lambda stream, text, options: HeldAudio() if stream == "audio" else StubVideo(),
        ),
    )
    assert report.made == 3


def test_a_thread_that_can_not_start_leaves_nobody_waiting(notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def refuse(self: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    with contextlib.closing(WorkerPool()) as pool:
        with monkeypatch.context() as small:
            small.setattr(threading.Thread, "start", refuse)
            with pytest.raises(RuntimeError, match="new thread"):
                pool.begin(2, plan_of(notes))
        assert pool._waiting() is None  # nobody waits for one that never began
