"""Memory that runs short is an error of its own: nothing is taken for damaged, nothing is thrown away."""

from __future__ import annotations

import subprocess
import sys
import weakref
from pathlib import Path
from typing import Any

import h5py
import numpy as np
import pytest
from dualstream.features.media import MediaError, runner
from dualstream.features.media.settings import Guards
from dualstream.pipeline import memory
from dualstream.pipeline.cache import Cache, read_cache, write_cache
from dualstream.pipeline.commands.inspect import inspect
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.experiments.training_data import read_corpus
from dualstream.pipeline.extraction import scheduling
from dualstream.pipeline.memory import MemoryShortageError, free_bytes, refuse_shortage
from dualstream.pipeline.storage import container, sealed

from tests.pipeline.caches import random_cache
from tests.pipeline.stubs import make_corpus, run_extract

REPOSITORY = Path(__file__).parents[2]


class ShortNumpy:
    """NumPy whose arrays can't be had from the n-th of `size` bytes or more on."""

    def __init__(self, after: int, size: int = 64) -> None:
        self.after, self.size, self.count = after, size, 0

    def __getattr__(self, name: str) -> Any:
        return getattr(np, name)

    def empty(self, shape: Any, dtype: Any = None, **more: Any) -> Any:
        found = np.empty(shape, dtype=dtype, **more)
        if found.nbytes >= self.size:
            self.count += 1
            if self.count > self.after:
                raise MemoryError(f"Unable to allocate {found.nbytes} bytes")
        return found


@pytest.fixture
def cache(tmp_path: Path) -> Path:
    write_cache(tmp_path / "cache.h5", random_cache())
    return tmp_path / "cache.h5"


@pytest.mark.parametrize(
    ("module", "read"),
    [
        (container, read_cache),
        (container, read_corpus),
        (container, inspect),
        (sealed, read_cache),
        (sealed, read_corpus),
    ],
)
def test_a_sound_cache_is_not_called_corrupt(
    cache: Path, monkeypatch: pytest.MonkeyPatch, read: Any, module: Any
) -> None:
    monkeypatch.setattr(module, "np", ShortNumpy(0))
    with pytest.raises(MemoryShortageError, match=r"needed in all, .* left .*Unable to allocate") as caught:
        read(cache)
    assert caught.value.exit_status == 1
    monkeypatch.undo()
    read_cache(cache)


def test_what_hdf5_says_of_memory_is_known(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def short(self: Any, *how: Any, **more: Any) -> None:
        raise OSError("Can't synchronously read data (memory allocation failed for raw data chunk)")

    monkeypatch.setattr(container, "_read", short)
    with pytest.raises(MemoryShortageError):
        read_cache(cache)


def test_what_hdf5_says_of_damage_is_damage_fails(cache: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def damaged(self: Any, *how: Any, **more: Any) -> None:
        raise OSError("Can't synchronously read data (filter returned failure during read)")

    monkeypatch.setattr(container, "_read", damaged)
    with pytest.raises(CorruptError):
        read_cache(cache)


@pytest.mark.parametrize(
    "after", [*range(0, 40, 6), *(pytest.param(after, marks=pytest.mark.slow) for after in range(3, 40, 6))]
)
def test_good_shards_stay_whenever_memory_runs_short(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, after: int
) -> None:
    """An allocation that fails while the cache is sealed once cost all shards."""
    corpus, out = make_corpus(tmp_path / "clips", 9), tmp_path / "out" / "cache.h5"
    run_extract(corpus, out)
    reference = out.read_bytes()
    shards = {path: path.read_bytes() for path in out.parent.rglob("shard-*.h5")}
    assert len(shards) == 3
    out.unlink()
    short = ShortNumpy(after)
    monkeypatch.setattr(container, "np", short)
    try:
        run_extract(corpus, out)
    except MemoryShortageError:
        assert short.count > after
    else:
        assert short.count <= after
    monkeypatch.undo()
    assert {path: path.read_bytes() for path in out.parent.rglob("shard-*.h5*")} == shards
    assert run_extract(corpus, out).made == 0
    assert out.read_bytes() == reference


def test_damage_is_believed_when_it_is_read_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    corpus, out = make_corpus(tmp_path / "clips", 3), tmp_path / "out" / "cache.h5"
    run_extract(corpus, out)
    out.unlink()
    real, found = sealed._read_and_hash, []

    def once(*how: Any) -> str:
        found.append(real(*how))
        return "0" * 64 if len(found) == 1 else found[-1]

    monkeypatch.setattr(sealed, "_read_and_hash", once)
    notices: list[str] = []
    assert run_extract(corpus, out, notices=notices).made == 0
    assert not [one for one in notices if "damaged" in one]
    assert not list(out.parent.rglob("*.damaged"))


@pytest.mark.parametrize("where", ["header", "body", "body, with its note"])
@pytest.mark.parametrize("verify", [False, True])
def test_a_damaged_shard_is_set_aside(tmp_path: Path, where: str, verify: bool) -> None:
    corpus, out = make_corpus(tmp_path / "clips", 6), tmp_path / "out" / "cache.h5"
    run_extract(corpus, out)
    reference = out.read_bytes()
    out.unlink()
    path = next(iter(sorted(out.parent.rglob("shard-*.h5"))))
    raw = bytearray(path.read_bytes())
    raw[20 if where == "header" else -20] ^= 1
    path.write_bytes(raw)
    if where == "body, with its note":
        next(iter(sorted(out.parent.rglob("shard-*.clips.json")))).unlink()
    notices: list[str] = []
    assert run_extract(corpus, out, verify_clips=verify, notices=notices).made == 3
    assert out.read_bytes() == reference
    assert [one.read_bytes() for one in out.parent.rglob("*.damaged")] == [bytes(raw)]
    assert any("is called shard-00000.h5.damaged now" in one for one in notices)


def test_a_dry_run_sets_nothing_aside(tmp_path: Path) -> None:
    corpus, out = make_corpus(tmp_path / "clips", 6), tmp_path / "out" / "cache.h5"
    run_extract(corpus, out)
    path = next(iter(sorted(out.parent.rglob("shard-*.h5"))))
    path.write_bytes(path.read_bytes()[:600])
    assert run_extract(corpus, out, dry_run=True).made == 3
    assert not list(out.parent.rglob("*.damaged"))


def test_a_second_damaged_shard_gets_a_name_of_its_own(tmp_path: Path) -> None:
    for text in ("first", "second"):
        (tmp_path / "a.h5").write_text(text)
        sealed.set_aside(tmp_path / "a.h5")
    assert (tmp_path / "a.h5.damaged").read_text() == "first"
    assert (tmp_path / "a.h5.damaged-2").read_text() == "second"


def test_rows_are_let_go_before_shards_are_read_again(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The handler of the first error must not keep what filled the memory."""
    corpus, out = make_corpus(tmp_path / "clips", 6), tmp_path / "out" / "cache.h5"
    run_extract(corpus, out, projection="gaussian")
    out.unlink()
    path = sorted(out.parent.rglob("shard-*.h5"))[-1]
    raw = bytearray(path.read_bytes())
    raw[-20] ^= 1
    path.write_bytes(raw)
    import pipeline.commands.extract as step
    import pipeline.extraction.build_cache as making

    held: list[weakref.ref[Any]] = []
    real = making._projected

    def noted(clips: Any, fitted: Any) -> Any:
        held.extend(weakref.ref(one) for clip in clips for one in clip.streams.values())
        return real(clips, fitted)

    def looked(folder: Any, note: Any) -> int:
        assert held
        assert not [one for one in held if one() is not None]
        return scheduling.set_damaged_aside(folder, note)

    monkeypatch.setattr(making, "_projected", noted)
    monkeypatch.setattr(step, "set_damaged_aside", looked)
    assert run_extract(corpus, out, projection="gaussian").made == 3


def test_a_shortage_keeps_no_frames(monkeypatch: pytest.MonkeyPatch) -> None:
    try:
        raise MemoryError("Unable to allocate 1.20 GiB for an array with shape (3, 4) and data type float32")
    except MemoryError as error:
        with pytest.raises(MemoryShortageError, match=r"while x is read: about 1.29 GB needed in all") as caught:
            refuse_shortage(error, "while x is read")
    assert caught.value.__cause__ is None


@pytest.mark.parametrize(
    ("said", "count"),
    [
        ("Unable to allocate 4096 bytes", 4096),
        ("Unable to allocate 917. MiB for an array with shape (9,) and data type uint8", 917 << 20),
        ("DefaultCPUAllocator: can't allocate memory: you tried to allocate 40000000000 bytes.", 40_000_000_000),
        ("CUDA out of memory. Tried to allocate 2.50 GiB. GPU 0 has a total capacity of 79.1 GiB", 5 << 29),
        ("memory allocation failed for raw data chunk", None),
        ("", None),
    ],
)
def test_what_was_asked_for_is_read_from_the_words(said: str, count: int | None) -> None:
    assert memory._asked_for(said) == count


def test_what_is_left_is_the_least_of_what_the_system_says(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    proc, group = tmp_path / "proc", tmp_path / "cgroup"
    (proc / "self").mkdir(parents=True)
    group.mkdir()
    monkeypatch.setattr(memory, "PROC", proc)
    monkeypatch.setattr(memory, "CGROUP", group)
    assert free_bytes() is None
    (proc / "meminfo").write_text("MemTotal: 9000 kB\nMemAvailable:    5000 kB\n")
    assert free_bytes() == 5000 << 10
    (group / "memory.max").write_text("3000000\n")
    (group / "memory.current").write_text("1000000\n")
    assert free_bytes() == 2_000_000
    (group / "memory.max").write_text("max\n")
    assert free_bytes() == 5000 << 10
    limit = {"RLIMIT_AS": 0, "RLIM_INFINITY": -1, "getrlimit": lambda which: (10_000_000, -1)}
    monkeypatch.setattr(
        memory, "resource", type("resource", (), {**limit, "getpagesize": staticmethod(lambda: 4096)})
    )
    monkeypatch.setattr(memory.resource, "getrlimit", staticmethod(limit["getrlimit"]))
    (proc / "self" / "statm").write_text("2000 1 1 1 0 1 0\n")
    assert free_bytes() == 10_000_000 - 2000 * 4096


@pytest.mark.skipif(sys.platform != "linux", reason="limits on the address space are Linux's")
def test_a_limit_on_the_address_space_is_no_damage(tmp_path: Path) -> None:
    """A real limit, a real cache: read by the command in a process of its own."""
    path = tmp_path / "cache.h5"
    small = random_cache(40)
    video = small.streams["video"]
    rows = np.zeros((40, 500_000), np.float32)  # 80 MB
    wide = type(video)("video", rows, np.ones(40, bool), None, None, None, {**video.spec, "has_windows": False})
    write_cache(path, Cache(small.utterances, small.offsets, small.start_s, {"video": wide}, small.vocabulary, {}))
    code = (
        "import sys, resource, pathlib, cli, dualstream.cli, numpy, h5py, pipeline.commands.inspect\n"
        "now = int(open('/proc/self/statm').read().split()[0]) * resource.getpagesize()\n"
        "resource.setrlimit(resource.RLIMIT_AS, (now + 120_000_000,) * 2)\n"
        "from dualstream.pipeline import cache, errors\n"
        "if sys.argv[1] == 'inspect':\n"
        "    cli.app()\n"
        "try:\n"
        "    cache.read_cache(pathlib.Path(sys.argv[2]))\n"
        "except errors.DualstreamError as error:\n"
        "    sys.exit(f'error: {error}')"
    )
    for words, needed in ((["inspect"], "needed"), (["read"], "0.16 GB needed in all")):
        done = subprocess.run(
            [sys.executable, "-c", code, *words, str(path)], cwd=REPOSITORY, capture_output=True, text=True
        )
        assert done.returncode == 1, done.stderr
        assert "memory is short" in done.stderr and needed in done.stderr
        assert "No file is damaged by that" in done.stderr
    assert h5py.is_hdf5(path)


def test_a_decoder_that_the_system_ended_says_nothing_of_the_clip(tmp_path: Path) -> None:
    """Where memory runs out the system ends ffmpeg: clip after clip would be recorded as damaged, and sealed."""

    def killed(*how: Any, **more: Any) -> Any:
        raise MediaError("killed", "ffmpeg was killed from outside after 0.1 s")

    corpus, out = make_corpus(tmp_path / "clips", 3), tmp_path / "out" / "cache.h5"
    with pytest.raises(MemoryShortageError, match=r"while clip0.mp4 is decoded: .*killed from outside"):
        run_extract(corpus, out, reader=killed)
    assert not list(out.parent.rglob("shard-*"))


@pytest.mark.skipif(sys.platform == "win32", reason="there are no such signals")
@pytest.mark.parametrize(("signal", "kind"), [("KILL", "killed"), ("SEGV", None)])
def test_a_process_that_is_killed_is_told_from_one_that_fails(signal: str, kind: str | None) -> None:
    def run() -> int:
        return runner.run(
            lambda sources, sinks: ["sh", "-c", f"kill -{signal} $$"],
            log=lambda data: None,
            guards=Guards(wall_s=20),
        )

    if kind is None:
        assert run() == -11
        return
    with pytest.raises(MediaError, match=r"killed after .* and not by us") as caught:
        run()
    assert caught.value.kind == kind
