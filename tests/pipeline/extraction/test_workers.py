"""Worker processes: the same bytes as threads, a crash is its clip's record, and nothing is left behind."""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from dataclasses import replace
from multiprocessing import Pipe
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.encode import ClipPlan, decode_settings
from dualstream.pipeline.cache import read_cache
from dualstream.pipeline.errors import DualstreamError
from dualstream.pipeline.extraction import clip_workers, messages, worker_process
from dualstream.pipeline.extraction.build_shards import ShardJob, make_shards
from dualstream.pipeline.extraction.clip_workers import ClipWorkers, InProcess, WorkerPool, clip_reading
from dualstream.pipeline.extraction.messages import Channel, anonymous_memory
from dualstream.pipeline.extraction.remote import NodeRequest, ShardMaker
from dualstream.pipeline.extraction.seen import SeenHasher, SeenJob, see
from dualstream.pipeline.extraction.staleness import ABSENT, Hasher
from dualstream.pipeline.extraction.worker import Request
from dualstream.pipeline.extraction.worker_process import Worker
from dualstream.pipeline.memory import MemoryShortageError

from tests.pipeline.crashing import (
    CrashingReader,
    LongReader,
    PreparedAudio,
    TravellingAudio,
    alive,
    readings,
    utterances_of,
    wait_for,
)
from tests.pipeline.stubs import STUBS, FakeReader, StubAudio, StubVideo, make_corpus, run_extract, stub_recipe

pytestmark = pytest.mark.skipif(sys.platform == "win32", reason="clips are decoded on Linux and macOS")
ROOT = Path(__file__).resolve().parents[3]


@pytest.mark.usefixtures("by_workers")
class TestBytes:
    def test_they_are_those_of_threads(self, tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        corpus = make_corpus(tmp_path / "clips", 7, contents={1: b"bad", 3: b"silent one"})
        run_extract(corpus, tmp_path / "w.h5", reader=CrashingReader(notes=notes), workers=2)
        assert len({one[1] for number in range(7) for one in readings(notes, f"clip{number}.mp4")}) == 2
        monkeypatch.setattr(clip_workers, "LEAST_CLIPS", 1000)
        run_extract(corpus, tmp_path / "t.h5", workers=1)
        assert (tmp_path / "w.h5").read_bytes() == (tmp_path / "t.h5").read_bytes()
        assert [one.reason[:7] for one in read_cache(tmp_path / "t.h5").utterances.failed] == ["damaged"]

    def test_a_script_that_brings_its_own_reader_is_read_in_threads(self, tmp_path: Path) -> None:
        corpus, reader = make_corpus(tmp_path / "clips", 4), FakeReader()
        run_extract(corpus, tmp_path / "c.h5", reader=lambda *where, **how: reader(*where, **how))
        assert len(reader.calls) == 4

    def test_sound_is_described_there_and_heard_by_networks_here(self, tmp_path: Path) -> None:
        corpus = make_corpus(tmp_path / "clips", 2)
        encoders = {"video": StubVideo(), "audio.a": StubAudio(), "audio.b": TravellingAudio()}
        plan = ClipPlan(encoders, decode=decode_settings(encoders), reader=FakeReader())
        hasher = Hasher(corpus.parent)
        utterance = utterances_of(corpus)[0]
        with contextlib.closing(ClipWorkers(hasher)) as workers:
            there = workers.read(utterance, plan)
        encoders["audio.b"] = TravellingAudio(parent=-1)
        here = InProcess(hasher).read(utterance, replace(plan, encoders=encoders))
        assert there.begun.stream_notes["audio.b"] == ["audio.b: 1 window rows were not finite"]
        assert there.begun.sound is None and there.sha256 == here.sha256 and there.stat == here.stat
        for name in ("audio.a", "audio.b"):
            np.testing.assert_array_equal(there.begun.streams[name].windows, here.begun.streams[name].windows)
        np.testing.assert_array_equal(there.begun.frames, here.begun.frames)
        assert there.begun.frames.flags.writeable

    def test_what_networks_take_of_the_sound_is_prepared_there(self, tmp_path: Path) -> None:
        """And the sound itself stays there; what the preparation refuses is its clip's record."""
        corpus = make_corpus(tmp_path / "clips", 2)
        encoders = {"audio.a": PreparedAudio(), "audio.b": TravellingAudio()}
        plan = ClipPlan(encoders, decode=decode_settings(encoders), reader=FakeReader())
        with contextlib.closing(ClipWorkers(Hasher(corpus.parent))) as workers:
            there = workers.read(utterances_of(corpus)[0], plan)
            key, data = workers._pool.packed(plan)
            taken = workers._pool.ask(Request(Hasher(corpus.parent), utterances_of(corpus)[0], key, data)).taken
        with contextlib.closing(ClipWorkers(Hasher(corpus.parent))) as workers:
            long = workers.read(utterances_of(corpus)[0], replace(plan, reader=LongReader()))
        here = InProcess(Hasher(corpus.parent)).read(
            utterances_of(corpus)[0], replace(plan, encoders={"audio.a": StubAudio()})
        )
        assert taken is not None and taken.begun is not None
        assert taken.begun.sound is None and list(taken.begun.prepared) == ["audio.a"]
        assert list(taken.begun.streams) == ["audio.b"] and not there.begun.prepared
        np.testing.assert_array_equal(
            there.begun.streams["audio.a"].windows, here.begun.streams["audio.a"].windows
        )
        assert there.begun.streams["audio.a"].windows.any()
        assert long.failure == "encoder: too long to halve"

    def test_on_a_node_they_stay_from_shard_to_shard(self, tmp_path: Path, notes: Path) -> None:
        """And after a job that came to a bad end there are new ones."""
        corpus = make_corpus(tmp_path / "clips", 6)
        maker = ShardMaker(NodeRequest(corpus.parent, STUBS, 2, {}, {}), cores=1)
        maker._recipe = stub_recipe(STUBS, reader=CrashingReader(notes=notes))
        utterances, hasher = utterances_of(corpus), Hasher(corpus.parent)
        jobs = [see(ShardJob(at, utterances[2 * at : 2 * at + 2]), hasher) for at in range(3)]

        def made_by(job: SeenJob) -> set[int]:
            assert maker.make(job).made is not None
            return {readings(notes, Path(one.path).name)[0][1] for one in job.job.utterances}

        first, second = made_by(jobs[0]), made_by(jobs[1])
        assert first == second and len(first) == 1 and alive(*first)
        maker._pool.stop()
        assert made_by(jobs[2]).isdisjoint(first) and not alive(*first)
        maker._pool.close()

    def test_on_a_node_they_see_what_the_machine_that_asks_saw(self, tmp_path: Path, notes: Path) -> None:
        corpus = make_corpus(tmp_path / "clips", 4)
        (corpus.parent / "clip2.mp4").unlink()
        seen = see(ShardJob(0, utterances_of(corpus)), Hasher(corpus.parent))
        (corpus.parent / "clip2.mp4").write_bytes(b"is here")
        (corpus.parent / "clip3.mp4").write_bytes(b"bad one")
        hasher = SeenHasher(Hasher(corpus.parent), seen.files)
        recipe = stub_recipe(STUBS, reader=CrashingReader(notes=notes))
        (made,) = make_shards([seen.job], recipe, hasher, workers=2)
        words = [clip.reason.partition(":")[0] for clip in made.shard.clips]
        assert words == ["", "", "missing", "damaged"] and made.stats[2] == ABSENT
        assert [clip.sha256 for clip in made.shard.clips[:2]] == [
            seen.files[f"clip{n}.mp4"].sha256 for n in (0, 1)
        ]
        place = corpus.parent / "clip0.mp4"
        assert hasher.known("clip0.mp4", "clip2.mp4") == {
            (place, place.stat().st_size, place.stat().st_mtime_ns): seen.files["clip0.mp4"].sha256
        }


@pytest.mark.usefixtures("by_workers")
class TestCrashes:
    def test_a_crash_is_its_clips_record(
        self, tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clip_workers, "TRIES", 3)
        contents = {1: b"segv now", 4: b"exit now", 5: b"kill now"}
        corpus = make_corpus(tmp_path / "clips", 8, contents=contents)
        run_extract(corpus, tmp_path / "c.h5", reader=CrashingReader(notes=notes), workers=2)
        cache = read_cache(tmp_path / "c.h5")
        reasons = {one.id: one.reason for one in cache.utterances.failed}
        assert reasons.keys() == {"u1", "u4", "u5"}
        assert all(reason.startswith("crashed: ") and "times" in reason for reason in reasons.values())
        assert "SIGSEGV" in reasons["u1"] and "status 3" in reasons["u4"] and "SIGKILL" in reasons["u5"]
        assert [len(readings(notes, f"clip{n}.mp4")) for n in range(8)] == [
            1,
            2,
            1,
            1,
            2,
            clip_workers.TRIES,
            1,
            1,
        ]
        assert cache.utterances.sha256[1]

    def test_a_worker_that_somebody_ended_is_no_fault_of_its_clip(self, tmp_path: Path, notes: Path) -> None:
        corpus = make_corpus(tmp_path / "clips", 9, contents={2: b"once only"})
        report = run_extract(
            corpus, tmp_path / "c.h5", reader=CrashingReader(notes=notes, delay_s=0.05), workers=3
        )
        assert not report.failed
        first, second = readings(notes, "clip2.mp4")
        assert len(first) == 2 and len(second) == 3 and first[1] != second[1]
        begun, _, ended = second
        for number in {*range(9)} - {2}:  # nobody else was at work meanwhile
            (other,) = readings(notes, f"clip{number}.mp4")
            assert other[2] < begun or other[0] > ended

    def test_one_that_is_ended_while_it_has_no_clip_is_nobodys_fault(
        self, tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """As it starts, however often within reason, and while it waits."""
        monkeypatch.setattr(clip_workers, "STARTS", 5)
        corpus = make_corpus(tmp_path / "clips", 2)
        started: list[Worker] = []

        def start() -> Worker:
            started.append(Worker())
            if len(started) < clip_workers.STARTS:
                started[-1].kill()
            return started[-1]

        plan = stub_recipe(STUBS, reader=CrashingReader(notes=notes)).plan
        with contextlib.closing(WorkerPool(start)) as pool:
            workers = ClipWorkers(Hasher(corpus.parent), pool=pool)
            first, second = utterances_of(corpus)
            assert workers.read(first, plan).failure == "" and len(started) == clip_workers.STARTS
            started[-1].kill()
            wait_for(started[-1].has_ended)
            assert workers.read(second, plan).failure == ""
            assert len(readings(notes, "clip1.mp4")) == 1 and len(started) == clip_workers.STARTS + 1

    def test_where_each_is_ended_as_it_starts_the_run_ends(
        self, tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(clip_workers, "STARTS", 3)

        def start() -> Worker:
            worker = Worker()
            worker.kill()
            return worker

        corpus = make_corpus(tmp_path / "clips", 1)
        plan = stub_recipe(STUBS, reader=CrashingReader(notes=notes)).plan
        with contextlib.closing(WorkerPool(start)) as pool:
            workers = ClipWorkers(Hasher(corpus.parent), pool=pool)
            with pytest.raises(DualstreamError, match=r"started, 3 times: .*SIGKILL.*fewer --workers"):
                workers.read(utterances_of(corpus)[0], plan)

    def test_one_that_crashes_as_it_starts_is_followed_by_others_but_not_for_ever(
        self, tmp_path: Path, notes: Path
    ) -> None:
        corpus = make_corpus(tmp_path / "clips", 1)
        plan = stub_recipe(STUBS, reader=CrashingReader(notes=notes)).plan
        started: list[Worker] = []
        crashes = 2

        def start() -> Worker:
            started.append(Worker())
            if len(started) <= crashes:
                os.kill(started[-1]._process.pid, signal.SIGSEGV)
            return started[-1]

        (clip,) = utterances_of(corpus)
        with contextlib.closing(WorkerPool(start)) as pool:
            assert ClipWorkers(Hasher(corpus.parent), pool=pool).read(clip, plan).failure == ""
        assert len(started) == 3
        crashes = 100
        with contextlib.closing(WorkerPool(start)) as pool:
            workers = ClipWorkers(Hasher(corpus.parent), pool=pool)
            with pytest.raises(DualstreamError, match=r"started, 5 times: .*SIGSEGV.*What was committed stands"):
                workers.read(clip, plan)
        assert len(started) == 8

    def test_an_error_that_is_no_clips_ends_the_run(self, tmp_path: Path, notes: Path) -> None:
        corpus = make_corpus(tmp_path / "clips", 3, contents={1: b"bug here"})
        with pytest.raises(TypeError, match="a bug of the reader") as caught:
            run_extract(corpus, tmp_path / "c.h5", reader=CrashingReader(notes=notes))
        assert any("in a worker process" in note and "crashing.py" in note for note in caught.value.__notes__)

    @pytest.mark.slow
    def test_a_worker_that_hangs_is_ended(
        self, tmp_path: Path, notes: Path, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(worker_process, "CLIP_LIMIT_S", 0.3)
        corpus = make_corpus(tmp_path / "clips", 1)
        started_s = time.monotonic()
        report = run_extract(corpus, tmp_path / "c.h5", reader=CrashingReader(notes=notes, delay_s=60), workers=1)
        assert "after 0.3 s" in report.failed[0].reason and time.monotonic() - started_s < 30

    def test_one_that_cant_be_started_says_why(self, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(worker_process, "START", "raise SystemExit('no such module')")
        with pytest.raises(DualstreamError, match=r"status 1.*no such module"):
            run_extract(make_corpus(tmp_path / "clips", 2), tmp_path / "c.h5", workers=1)


def test_few_clips_are_read_in_threads(tmp_path: Path) -> None:
    encoders = {"audio": StubAudio()}
    plan = ClipPlan(encoders, decode=decode_settings(encoders), reader=FakeReader())
    hasher = Hasher(tmp_path)
    assert isinstance(clip_reading(plan, hasher, clips=100, workers=4), InProcess)
    assert isinstance(clip_reading(plan, hasher, clips=200, workers=4), ClipWorkers)
    pyav = replace(plan, decode=decode_settings(encoders, decoder="pyav"))  # a crash must not be ours
    assert isinstance(clip_reading(pyav, hasher, clips=1, workers=4), ClipWorkers)
    assert isinstance(clip_reading(replace(plan, decode=None), hasher, clips=999, workers=1), InProcess)


class TestMessages:
    def test_arrays_arrive_as_they_were_and_memory_goes_back(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr(messages, "KEPT_BYTES", 1000)
        one, two = Pipe()
        memory = anonymous_memory()
        here, there = Channel(one, memory), Channel(two, os.dup(memory))
        for size in (0, 3, 100_000):
            sent = {"rows": np.arange(size, dtype=np.float32), "odd": np.arange(12).reshape(3, 4)[:, ::2]}
            here.send(("word", sent))
            word, found = there.receive()
            assert word == "word" and found["rows"].flags.writeable
            np.testing.assert_array_equal(found["rows"], sent["rows"])
            np.testing.assert_array_equal(found["odd"], sent["odd"])
        assert os.fstat(memory).st_size == 0
        here.close()
        with pytest.raises(EOFError):
            there.receive()
        there.close()

    def test_a_shortage_of_memory_travels_with_its_words(self) -> None:
        error = MemoryShortageError("while a clip is decoded", said="killed")
        copy = messages.unpacked(messages.packed(error))
        assert isinstance(copy, MemoryShortageError) and str(copy) == str(error)

    def test_memory_that_is_full_ends_the_run_and_is_no_crash(self, tmp_path: Path, notes: Path) -> None:
        """The memory between processes is a file to the system, and a limit on files holds for it."""
        resource = pytest.importorskip("resource")
        if not hasattr(resource, "prlimit"):
            pytest.skip("limits of another process are set on Linux")
        corpus = make_corpus(tmp_path / "clips", 2)
        plan = stub_recipe(STUBS, reader=CrashingReader(notes=notes)).plan
        with contextlib.closing(WorkerPool()) as pool:
            workers = ClipWorkers(Hasher(corpus.parent), pool=pool)
            first, second = utterances_of(corpus)
            assert workers.read(first, plan).failure == ""
            (worker,) = pool._all
            resource.prlimit(worker._process.pid, resource.RLIMIT_FSIZE, (10, 10))
            with pytest.raises(MemoryShortageError, match="for the arrays of a clip on their way"):
                workers.read(second, plan)
            assert not worker.has_ended()

    def test_what_is_known_of_a_file_is_not_worked_out_twice(self, tmp_path: Path) -> None:
        (tmp_path / "long.mp4").write_bytes(b"bytes")
        here, there = Hasher(tmp_path), Hasher(tmp_path)
        here.learn(dict.fromkeys(_known(here, "long.mp4"), "told"))
        there.learn(here.known("long.mp4", "gone.mp4"))
        assert there.digest("long.mp4") == "told"


def _known(hasher: Hasher, path: str) -> Any:
    hasher.digest(path)
    return hasher.known(path)


SCRIPT = """
import sys
from pathlib import Path
print("begun", flush=True)
from dualstream.pipeline.extraction import clip_workers
clip_workers.LEAST_CLIPS = 0
from tests.pipeline.crashing import CrashingReader
from tests.pipeline.stubs import run_extract
folder = Path(sys.argv[1])
run_extract(folder / "clips" / "manifest.csv", folder / "c.h5", workers=2,
            reader=CrashingReader(notes=folder / "notes", delay_s=float(sys.argv[2])))
print("done", flush=True)
"""


def start(folder: Path, delay_s: float) -> subprocess.Popen[str]:
    """Run SCRIPT, which has no ``if __name__``, as a program in a session of its own."""
    environment = {**os.environ, "PYTHONPATH": str(ROOT)}
    words = [sys.executable, str(folder / "script.py"), str(folder), str(delay_s)]
    (folder / "script.py").write_text(SCRIPT)
    return subprocess.Popen(words, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                            start_new_session=True, preexec_fn=heeds_interrupts)  # fmt: skip


def heeds_interrupts() -> None:
    """Undo what a shell does to its background jobs."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
@pytest.mark.parametrize("how", [signal.SIGINT, pytest.param(signal.SIGKILL, marks=pytest.mark.slow)])
def test_nothing_is_left_of_a_run_that_ends(tmp_path: Path, notes: Path, how: int) -> None:
    make_corpus(tmp_path / "clips", 6)
    run = start(tmp_path, 60.0)
    wait_for(lambda: len(list(notes.iterdir())) == 2)
    workers = [int(path.name.split("-")[2]) for path in notes.iterdir()]
    assert all(map(alive, workers))
    os.kill(run.pid, how)
    started_s = time.monotonic()
    said, _ = run.communicate(timeout=30)
    assert time.monotonic() - started_s < 10 and said == "begun\n"
    wait_for(lambda: not any(map(alive, workers)), 10)
    assert not list(Path("/dev/shm").glob("dualstream*"))


@pytest.mark.slow
@pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks /proc")
def test_kills_at_random_moments_lose_nothing(tmp_path: Path, notes: Path) -> None:
    """Workers and whole runs are ended by SIGKILL, 15 of each; the run that ends gives the bytes of one in peace."""
    corpus = make_corpus(tmp_path / "clips", 60)
    run_extract(corpus, tmp_path / "peace.h5")
    rng, killed = random.Random(4), {"worker": 0, "run": 0}
    while True:
        run = start(tmp_path, 0.05)
        end = time.monotonic() + (1.5 + 2 * rng.random() if killed["run"] < 15 else 1000)
        while run.poll() is None and time.monotonic() < end:
            time.sleep(0.1 + 0.3 * rng.random())
            there = [int(path.name.split("-")[2]) for path in notes.glob("*") if path.name.count("-") == 2]
            if (living := [one for one in there if alive(one)]) and killed["worker"] < 15:
                os.kill(rng.choice(living), signal.SIGKILL)
                killed["worker"] += 1
        if run.poll() is not None:
            break
        os.kill(run.pid, signal.SIGKILL)
        run.wait()
        killed["run"] += 1
    said, words = run.communicate()
    assert said.endswith("done\n"), words
    assert killed["worker"] >= 10
    assert (tmp_path / "c.h5").read_bytes() == (tmp_path / "peace.h5").read_bytes()
