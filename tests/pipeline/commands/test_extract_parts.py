"""extract --part I/N: shards made by any mixture of parts, at any time and in any order, give one cache, the same bytes."""

from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from dualstream.features.media import Clip
from dualstream.pipeline.cache import read_cache
from dualstream.pipeline.errors import FingerprintMismatchError, UsageError
from dualstream.pipeline.extraction.options import Part
from dualstream.pipeline.extraction.shards import read_shard
from dualstream.pipeline.reporting.extraction import describe
from dualstream.pipeline.storage.lock import locked
from dualstream.pipeline.storage.sealed import publish, remove_leftovers
from dualstream.pipeline.storage.temporary import LEFT_AFTER_S, temporary_path

from tests.pipeline.killed import die, in_child, wrapped
from tests.pipeline.stubs import FakeReader, listing, make_corpus, run_extract

CLIPS, SHARDS = 26, 9  # three clips a shard, the last one smaller


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    return make_corpus(tmp_path / "clips", CLIPS, contents={4: b"bad clip", 17: b"silent"})


@pytest.fixture
def reference(corpus: Path, tmp_path: Path) -> bytes:
    out = tmp_path / "reference" / "cache.h5"
    run_extract(corpus, out)
    return out.read_bytes()


def shards(out: Path) -> list[int]:
    return sorted(int(one.stem[-5:]) for one in out.with_name(out.name + ".shards").rglob("shard-*.h5"))


@pytest.mark.parametrize("count", [1, 3, 7])
def test_parts_then_a_whole_run(corpus: Path, tmp_path: Path, reference: bytes, count: int) -> None:
    out = tmp_path / "out" / "cache.h5"
    order = list(range(1, count + 1))
    random.Random(count).shuffle(order)
    for number in [*order, order[0]]:  # the first one twice
        run_extract(corpus, out, part=f"{number}/{count}")
        assert not out.exists()
    assert shards(out) == list(range(SHARDS))
    reader = FakeReader()
    report = run_extract(corpus, out, reader=reader)
    assert (report.made, report.kept, reader.calls) == (0, CLIPS, [])
    assert out.read_bytes() == reference


def test_a_part_makes_its_shards_and_says_what_is_missing(corpus: Path, tmp_path: Path, reference: bytes) -> None:
    out = tmp_path / "out" / "cache.h5"
    reader = FakeReader()
    report = run_extract(corpus, out, part="2/4", reader=reader)
    assert shards(out) == [1, 5]
    assert sorted(reader.calls) == sorted(f"clip{n}.mp4" for n in (3, 4, 5, 15, 16, 17))
    assert (report.utterances, report.made, report.kept) == (6, 6, 0)
    assert [name for name, _ in report.failed] == ["u4"] and report.exit_status == 3
    part = report.to_json()["part"]
    assert part == {
        "part": "2/4", "shards": 2, "shards_made": 2, "shards_of_all": 9, "missing": [0, 2, 3, 4, 6, 7, 8],
    }  # fmt: skip
    assert "missing: 0, 2, 3, 4, 6, 7, 8" in describe(report)
    again = run_extract(corpus, out, part="2/4")
    assert again.part is not None
    assert (again.made, again.kept, again.part.shards_made) == (0, 6, 0)
    for number in (1, 3, 4):
        last = run_extract(corpus, out, part=f"{number}/4")
    assert last.part is not None and last.part.missing == [] and "without --part to seal" in describe(last)
    assert "part" not in run_extract(corpus, out).to_json()
    assert out.read_bytes() == reference


def test_parts_of_several_divisions_beside_a_whole_run_that_is_cut_off(
    corpus: Path, tmp_path: Path, reference: bytes
) -> None:
    out = tmp_path / "out" / "cache.h5"
    run_extract(corpus, out, part="2/3")
    run_extract(corpus, out, part="1/2")  # shards of both

    def cut_off() -> None:
        wrapped(11, die)
        run_extract(corpus, out)

    assert in_child(cut_off) == -signal.SIGKILL
    run_extract(corpus, out, part="2/2")
    report = run_extract(corpus, out)
    assert report.made == 0 and out.read_bytes() == reference


def test_a_part_needs_no_lock(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "cache.h5"
    out.parent.mkdir()
    with locked(out.with_name("cache.h5.lock")):
        assert run_extract(corpus, out, part="1/1").made == CLIPS


def test_parts_at_the_same_time_the_same_and_others(corpus: Path, tmp_path: Path, reference: bytes) -> None:
    """Also beside a whole run, which clears away what killed runs left, and nothing of theirs."""
    out = tmp_path / "out" / "cache.h5"
    failures: list[BaseException] = []

    def part(text: str | None) -> Callable[[], None]:
        def act() -> None:
            try:
                run_extract(corpus, out, reader=FakeReader(delay_s=0.003), part=text)
            except BaseException as error:  # noqa: BLE001  (shown by the test)
                failures.append(error)

        return act

    texts = ["1/2", "2/2", "1/2", "2/3", None]
    threads = [threading.Thread(target=part(text)) for text in texts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert failures == []
    assert out.read_bytes() == reference
    assert not [name for name in listing(out.parent) if name.endswith(".tmp")]


@dataclass
class Meeting(FakeReader):
    """Reads its first clip only when so many runs are at theirs: all of them overlap in time."""

    folder: Path = Path("meeting")
    runs: int = 0

    def __call__(self, path: Path, **how: Any) -> Clip:
        if not self.calls:
            (self.folder / str(os.getpid())).touch()
            end_s = time.monotonic() + 120
            while len(list(self.folder.iterdir())) < self.runs:
                assert time.monotonic() < end_s, "not all runs began"
                time.sleep(0.005)
        return super().__call__(path, **how)


def test_one_three_and_seven_parts_each_twice_all_at_the_same_time(
    corpus: Path, tmp_path: Path, reference: bytes
) -> None:
    """In processes of their own, none of which ends before the last has begun."""
    out, meeting = tmp_path / "out" / "cache.h5", tmp_path / "meeting"
    meeting.mkdir()
    texts = [f"{number}/{count}" for count in (1, 3, 7) for number in range(1, count + 1)] * 2

    def begun(text: str) -> int:
        child = os.fork()
        if child == 0:
            status = 1
            try:
                run_extract(corpus, out, reader=Meeting(folder=meeting, runs=len(texts)), part=text, workers=1)
                status = 0
            finally:
                os._exit(status)
        return child

    children = [begun(text) for text in texts]
    assert [os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children] == [0] * len(texts)
    assert len(list(meeting.iterdir())) == len(texts) and shards(out) == list(range(SHARDS))
    assert run_extract(corpus, out).made == 0 and out.read_bytes() == reference
    assert not [name for name in listing(out.parent) if name.endswith(".tmp")]


def test_a_shard_that_is_there_already_is_not_written_again(corpus: Path, tmp_path: Path) -> None:
    """Two parts make one shard: who read the first one's file may go on reading it."""
    out = tmp_path / "out" / "cache.h5"
    run_extract(corpus, out, part="1/9")
    (shard,) = out.parent.rglob("shard-00000.h5")
    image = shard.read_bytes()

    class Overtaken(FakeReader):
        def __call__(self, *args, **more):  # type: ignore[no-untyped-def]
            if not shard.exists():  # another part commits it while this one decodes
                shard.write_bytes(image)
                self.number = shard.stat().st_ino
            return super().__call__(*args, **more)

    shard.unlink()
    reader = Overtaken()
    run_extract(corpus, out, part="1/9", reader=reader, workers=1)
    assert shard.stat().st_ino == reader.number and shard.read_bytes() == image


def test_a_damaged_shard_of_a_part_is_made_again(corpus: Path, tmp_path: Path, reference: bytes) -> None:
    out = tmp_path / "out" / "cache.h5"
    run_extract(corpus, out, part="1/3")
    (shard,) = out.parent.rglob("shard-00003.h5")
    raw = bytearray(shard.read_bytes())
    raw[-100] ^= 1
    shard.write_bytes(raw)
    report = run_extract(corpus, out, part="1/3")
    assert report.made == 3 and report.part is not None and report.part.shards_made == 1
    read_shard(shard)
    assert run_extract(corpus, out).made == CLIPS - 9 and out.read_bytes() == reference


def test_a_part_of_another_recipe_than_the_cache_is_refused(corpus: Path, tmp_path: Path) -> None:
    from dataclasses import replace

    from tests.pipeline.stubs import STUBS

    out = tmp_path / "out" / "cache.h5"
    run_extract(corpus, out)
    other = replace(STUBS, window_s=2.0)
    with pytest.raises(FingerprintMismatchError, match="length_s"):
        run_extract(corpus, out, options=other, part="1/2")
    before = out.read_bytes()
    run_extract(corpus, out, options=other, part="1/2", replace=True)
    assert out.read_bytes() == before  # only the whole run puts another in its place


def test_a_dry_run_of_a_part(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "cache.h5"
    report = run_extract(corpus, out, part="3/3", dry_run=True)
    assert (report.utterances, report.made) == (8, 8) and not out.parent.exists()


@pytest.mark.parametrize("text", ["0/3", "4/3", "1", "a/b", "1/0", "-1/2", "1/2/3", ""])
def test_what_is_no_part_is_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"expected I/N with I from 1 to N"):
        Part.parse(text)


def test_parts_cover_every_shard_once() -> None:
    for count in (1, 3, 7, 40):
        owners = [[n for n in range(1, count + 1) if Part(n, count).holds(shard)] for shard in range(25)]
        assert all(len(one) == 1 for one in owners)


def test_a_part_chooses_no_projection(corpus: Path, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="--projection pca to the run without --part"):
        run_extract(corpus, tmp_path / "out" / "cache.h5", part="1/2", projection="pca")


# Files that are being written


def test_files_of_live_runs_stay_and_those_of_dead_ones_go(tmp_path: Path) -> None:
    path = tmp_path / "shard-00000.h5"
    mine = temporary_path(path)
    assert mine != temporary_path(path)
    mine.write_bytes(b"half")
    child = subprocess.run(
        [sys.executable, "-c", f"from dualstream.pipeline.storage.temporary import temporary_path as t\n"
         f"from pathlib import Path\np = t(Path({str(path)!r}))\np.write_bytes(b'half')\nprint(p.name)"],
        capture_output=True, text=True, check=True, cwd=Path(__file__).parents[3],
    )  # fmt: skip
    dead = tmp_path / child.stdout.strip()
    machine, _, rest = mine.name.removeprefix("shard-00000.h5.").partition("-")
    elsewhere = tmp_path / f"shard-00000.h5.{'0' * len(machine)}-{rest}"
    old = tmp_path / f"shard-00000.h5.{'1' * len(machine)}-{rest}"
    for one in (elsewhere, old):
        one.write_bytes(b"half")
    hours_ago = time.time() - LEFT_AFTER_S - 60
    os.utime(old, (hours_ago, hours_ago))
    assert dead.exists()
    assert remove_leftovers(tmp_path, of="shard-00001.h5") == []
    assert remove_leftovers(tmp_path, of="shard-00000.h5") == sorted([dead, old])
    assert sorted(tmp_path.iterdir()) == sorted([mine, elsewhere])


def test_a_long_name_is_written_too(tmp_path: Path) -> None:
    path = tmp_path / ("n" * 240)
    publish(path, b"bytes")
    assert [one.name for one in tmp_path.iterdir()] == [path.name]


# Killed at random moments


@pytest.mark.slow
def test_parts_killed_at_fifty_random_moments(corpus: Path, tmp_path: Path, reference: bytes) -> None:
    chance = random.Random(7)
    out = tmp_path / "out" / "cache.h5"
    died = 0
    for _ in range(50):
        count = chance.choice([1, 3, 7])
        number, calls = chance.randint(1, count), chance.randint(0, 12)

        def task(number: int = number, count: int = count, calls: int = calls) -> None:
            wrapped(calls, die)
            run_extract(corpus, out, part=f"{number}/{count}")

        died += in_child(task) == -signal.SIGKILL
        for path in out.parent.rglob("shard-*.h5"):
            read_shard(path)  # whatever stands under a shard's name is whole
        if chance.random() < 0.2:
            for path in list(out.parent.rglob("shard-*"))[:4]:
                path.unlink()
    assert died > 10
    run_extract(corpus, out)
    assert out.read_bytes() == reference
    assert len(read_cache(out).utterances.id) == CLIPS
    assert not [name for name in listing(out.parent) if name.endswith(".tmp")]
