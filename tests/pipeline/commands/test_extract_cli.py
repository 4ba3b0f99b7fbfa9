"""The real command over real clips, with a real ffmpeg: exit statuses, processes, kills, odd names.

What is about processes starts one; the rest calls the command line in this one, which has imported everything.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.media import find_ffmpeg, write_clip
from dualstream.pipeline.cache import read_cache
from dualstream.pipeline.corpus.manifest import Manifest, write_manifest
from dualstream.pipeline.corpus.utterance import Utterance
from typer.testing import CliRunner, Result

from dualstream import cli
from tests.pipeline.stubs import listing

REPOSITORY = Path(__file__).parents[3]
FREE = ("--video", "cnn5", "--video-weights", "random:0", "--device", "cpu")
ONE_THREAD = {**os.environ, "OMP_NUM_THREADS": "1"}
TWO_THREADS = {**os.environ, "OMP_NUM_THREADS": "2"}


def draw_clip(path: Path, seed: int, duration_s: float = 1.5) -> None:
    """Write a small clip: noise that moves, and a tone."""
    rng = np.random.default_rng(seed)
    frames = rng.integers(0, 256, (int(duration_s * 10), 32, 32, 3), dtype=np.uint8)
    time_s = np.arange(int(duration_s * 16_000)) / 16_000
    tone = 0.3 * np.sin(2 * np.pi * (200 + 20 * seed) * time_s).astype(np.float32)
    plain = path.with_name("drawing.mp4")  # written under a plain name: names are for extract to cope with
    write_clip(plain, frames, 10, tone, 16_000)
    os.replace(plain, path)


def manifest_of(root: Path, names: Sequence[str]) -> Path:
    rows = [
        Utterance(f"u{i}", name, ("train", "dev", "test")[i % 3], emotion=("joy", "anger")[i % 2])
        for i, name in enumerate(names)
    ]
    path = root / "manifest.csv"
    write_manifest(Manifest(tuple(rows)), path)
    return path


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    names = [f"clip{i}.mp4" for i in range(6)]
    for number, name in enumerate(names):
        draw_clip(root / name, number, 0.7 + 0.4 * number)
    return manifest_of(root, names)


class Starts:
    """A folder that holds an empty file for each start of a process."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        folder.mkdir()

    def read_text(self) -> str:
        return "\n".join(sorted(path.name for path in self.folder.iterdir()))

    def write_text(self, text: str) -> None:
        assert not text
        for path in self.folder.iterdir():
            path.unlink()


@pytest.fixture(scope="module")
def counting_ffmpeg(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Starts]:
    """Return an ffmpeg that notes each start in a file, and that file."""
    folder = tmp_path_factory.mktemp("bin")
    script, log = folder / "ffmpeg", Starts(folder / "starts")
    # an empty file a start: what ffmpeg runs under may not write a single byte to a file
    script.write_text(f'#!/bin/sh\n: > "{log.folder}/$$"\nexec "{find_ffmpeg()}" "$@"\n')
    script.chmod(0o755)
    return script, log


def command(corpus: Path, out: Path, *more: str) -> list[str]:
    return [
        *(sys.executable, str(REPOSITORY / "cli.py"), "extract", str(corpus)),
        *("--root", str(corpus.parent), "--out", str(out), "--shard-size", "2", *FREE, *more),
    ]


def run(
    *words: str, status: int = 0, environment: dict[str, str] = ONE_THREAD
) -> subprocess.CompletedProcess[str]:
    done = subprocess.run(words, capture_output=True, text=True, env=environment, timeout=240)
    assert done.returncode == status, done.stderr
    return done


def typed(*words: str, status: int = 0) -> Result:
    """Run the command line in this process."""
    found = CliRunner().invoke(cli.app, words)
    assert found.exit_code == status, found.output
    return found


def extracted(corpus: Path, out: Path, *more: str, status: int = 0) -> Result:
    return typed(*command(corpus, out, *more)[2:], status=status)


@dataclass(frozen=True)
class Whole:
    """A run that nothing disturbed."""

    out: Path
    document: dict[str, Any]
    starts: int
    """Of ffmpeg."""
    seconds: float


@pytest.fixture(scope="module")
def whole(corpus: Path, counting_ffmpeg: tuple[Path, Starts], tmp_path_factory: pytest.TempPathFactory) -> Whole:
    script, log = counting_ffmpeg
    out = tmp_path_factory.mktemp("whole") / "cache.h5"
    log.write_text("")
    began_s = time.monotonic()
    document = json.loads(run(*command(corpus, out, "--ffmpeg", str(script), "--json")).stdout)
    return Whole(out, document, len(log.read_text().split()), time.monotonic() - began_s)


def test_extract_inspect_project_and_statuses(
    corpus: Path, tmp_path: Path, counting_ffmpeg: tuple[Path, Starts], whole: Whole
) -> None:
    script, log = counting_ffmpeg
    out = shutil.copytree(whole.out.parent, tmp_path / "run") / "cache.h5"
    assert (whole.document["made"], whole.document["kept"], whole.document["failed"]) == (6, 0, [])
    assert whole.starts == 7  # its version, and one for each clip
    before = out.read_bytes()

    log.write_text("")
    second = json.loads(extracted(corpus, out, "--ffmpeg", str(script), "--json").stdout)
    assert (second["made"], second["kept"]) == (0, 6)
    assert log.read_text() == ""  # a second run starts ffmpeg no time
    assert out.read_bytes() == before

    many = tmp_path / "many.h5"
    extracted(corpus, many, "--ffmpeg", str(script), "--workers", "4")
    assert many.read_bytes() == before

    refused = extracted(corpus, out, "--ffmpeg", str(script), "--sampling", "every:3", status=12)
    assert 'sampling: "every:3", there "aligned"' in refused.stderr
    assert extracted(corpus, out, "--fit", "squash", status=2).stderr.startswith("error: --fit")
    assert "expected one of: auto, pca" in extracted(corpus, out, "--projection", "ica", status=2).stderr

    shown = json.loads(typed("inspect", str(out), "--verify", "--json").stdout)
    assert shown["utterances"] == 6
    assert shown["streams"]["audio"]["coverage"]["train"] == {
        "utterances": 2,
        "present": 2,
        "windows": shown["streams"]["video"]["coverage"]["train"]["windows"],
        "windows_present": shown["streams"]["audio"]["coverage"]["train"]["windows_present"],
    }
    assert "cache.h5" in typed("inspect", str(out)).stdout

    narrow = tmp_path / "narrow.h5"
    projected = json.loads(
        typed("project", str(out), "--out", str(narrow), "--kind", "gaussian", "--width", "8", "--json").stdout
    )
    assert projected["after"]["video"]["width"] == 8
    assert read_cache(narrow).streams["video"].utterance.shape == (6, 8)

    damaged = bytearray(before)
    damaged[len(damaged) // 2] ^= 1
    out.write_bytes(damaged)
    assert "damaged" in typed("inspect", str(out), "--verify", status=13).stderr
    assert "there is no cache" in typed("inspect", str(tmp_path / "none.h5"), status=10).stderr


def test_failed_clips_are_listed_and_the_status_is_3(corpus: Path, tmp_path: Path) -> None:
    root = tmp_path / "clips"
    root.mkdir()
    for name in ("clip0.mp4", "clip1.mp4"):
        shutil.copy(corpus.parent / name, root / name)
    (root / "cut.mp4").write_bytes((corpus.parent / "clip2.mp4").read_bytes()[:600])
    (root / "empty.mp4").touch()
    os.mkfifo(root / "pipe.mp4")
    (root / "list.mp4").write_text("#EXTM3U\n#EXTINF:1,\nclip0.mp4\n")
    (root / "out.mp4").symlink_to(corpus.parent / "clip0.mp4")
    (root / "nowhere.mp4").symlink_to("gone.mp4")
    (root / "folder.mp4").mkdir()
    bad = ["cut.mp4", "empty.mp4", "pipe.mp4", "list.mp4", "absent.mp4", "out.mp4", "nowhere.mp4", "folder.mp4"]
    names = ["clip0.mp4", *bad, "clip1.mp4"]
    manifest = manifest_of(root, names)
    out = tmp_path / "cache.h5"
    done = extracted(manifest, out, "--json", status=3)
    failed = {one["id"]: one["reason"] for one in json.loads(done.stdout)["failed"]}
    assert set(failed) == {f"u{i}" for i in range(1, 9)}
    assert failed["u2"].startswith("empty") and failed["u5"].startswith("missing: there is no such file")
    assert failed["u3"].startswith("not_a_file: a named pipe") and failed["u8"].startswith("not_a_file: a folder")
    assert failed["u6"].startswith("outside: ") and failed["u7"].startswith("broken_link: ")
    assert all("expected a clip" in failed[f"u{i}"] for i in (3, 5, 6, 7, 8))
    cache = read_cache(out)
    assert not any(str(tmp_path) in reason for reason in cache.utterances.reason)  # no path of this machine
    assert cache.streams["video"].present.tolist() == [True, *[False] * 8, True]


def test_odd_names_are_plain_files(corpus: Path, tmp_path: Path) -> None:
    names = [
        *("-report", "a:b.mp4", "100%d.mp4", "line\nbreak.mp4", "🎬 café.mp4", "http:--x.mp4", "concat:a|b.mp4"),
        *("pipe:0", "x" * 251 + ".mp4", "sub dir/quo'te\".mp4"),
    ]
    root = tmp_path / "clips"
    (root / "sub dir").mkdir(parents=True)
    for name in names:
        shutil.copy(corpus.parent / "clip0.mp4", root / name)
    # A manifest names printable paths only; a line break comes in by a link with a plain name.
    (root / "linked.mp4").symlink_to("line\nbreak.mp4")
    listed = [name for name in names if "\n" not in name] + ["linked.mp4"]
    before = listing(root)
    manifest = manifest_of(root, listed)
    out = tmp_path / "cache.h5"
    extracted(manifest, out)
    cache = read_cache(out)
    assert cache.utterances.status == ["ok"] * len(listed)
    video = cache.streams["video"]
    assert video.present.all()
    assert len(np.unique(video.utterance, axis=0)) == 1  # the same clip under every name
    assert sorted([*before, "manifest.csv"]) == list(listing(root))  # and nothing was written there


def test_a_lock_is_refused_with_11(corpus: Path, tmp_path: Path) -> None:
    from dualstream.pipeline.storage.lock import locked

    out = tmp_path / "cache.h5"
    with locked(tmp_path / "cache.h5.lock"):
        assert "held by another run" in run(*command(corpus, out), status=11).stderr
    assert listing(tmp_path) == ["cache.h5.lock"]


def test_an_old_ffmpeg_is_passed_over_or_refused_by_name(corpus: Path, tmp_path: Path) -> None:
    """4.4 without its words for streams reads as "has no sound"; that must never be sealed."""
    pytest.importorskip("imageio_ffmpeg")
    old = tmp_path / "bin" / "ffmpeg"
    old.parent.mkdir()
    old.write_text(
        '#!/bin/sh\ncase "$*" in *-version*) echo "ffmpeg version 4.4.2-0ubuntu0.22.04.1 Copyright";; esac\n'
    )
    old.chmod(0o755)
    with_old = {**ONE_THREAD, "PATH": f"{old.parent}{os.pathsep}{os.environ['PATH']}"}
    with_old.pop("DUALSTREAM_FFMPEG", None)
    extract = [
        *(sys.executable, str(REPOSITORY / "cli.py"), "extract", str(corpus), "--root", str(corpus.parent)),
        *("--video", "none", "--audio", "acoustic", "--out", str(tmp_path / "cache.h5"), "--json"),
    ]
    check = [*extract[:2], "check", str(corpus), "--root", str(corpus.parent), "--json"]
    done = subprocess.run(extract, capture_output=True, text=True, env=with_old, timeout=240)
    assert (done.returncode, json.loads(done.stdout)["failed"]) == (0, [])
    done = subprocess.run(check, capture_output=True, text=True, env=with_old, timeout=240)
    assert "unreadable" not in [one["code"] for one in json.loads(done.stdout)["findings"]]
    for words in (extract, check):
        refused = typed(*words[2:], "--ffmpeg", str(old), status=2)
        assert f"--ffmpeg names {old}, which is ffmpeg 4.4.2-0ubuntu0.22.04.1; 5.1 or newer" in refused.stderr


@pytest.mark.parametrize(
    "number",
    [
        pytest.param(signal.SIGINT, id="interrupt"),
        pytest.param(signal.SIGTERM, id="terminate", marks=pytest.mark.slow),
        pytest.param(signal.SIGHUP, id="the terminal is closed"),
    ],
)
def test_interrupt_ends_with_130(corpus: Path, tmp_path: Path, number: int) -> None:
    """Even where ffmpeg hangs for five minutes, and leaves no process behind."""
    stuck = tmp_path / "ffmpeg"
    started = tmp_path / "started"
    stuck.write_text(
        f'#!/bin/sh\ncase "$*" in *-version*) exec "{find_ffmpeg()}" "$@";; esac\n'
        f'echo "$$" >> "{started}"\nexec sleep 300\n'
    )
    stuck.chmod(0o755)
    out = tmp_path / "out" / "cache.h5"
    process = subprocess.Popen(
        command(corpus, out, "--ffmpeg", str(stuck)),
        stderr=subprocess.PIPE,
        env=ONE_THREAD,
        text=True,
        preexec_fn=lambda: signal.signal(number, signal.SIG_DFL),  # a shell's background job ignores SIGINT
    )
    while not started.exists() or not started.read_text():
        assert process.poll() is None
        time.sleep(0.05)
    time.sleep(0.2)
    process.send_signal(number)
    _, said = process.communicate(timeout=60)
    goes_on = "what was committed stands: say the same command again, and it goes on from there"
    assert (process.returncode, said.strip()) == (130, f"interrupted; {goes_on}")
    for text in started.read_text().split():
        assert not _alive(int(text)), f"process {text} was left behind"
    assert not [name for name in listing(out.parent) if name.endswith(".tmp")]


def test_a_run_that_is_to_outlive_its_terminal_does(corpus: Path, tmp_path: Path) -> None:
    """``nohup`` has the signal ignored, and it stays so."""
    words = command(corpus, tmp_path / "cache.h5")
    process = subprocess.Popen(
        words, env=ONE_THREAD, stderr=subprocess.PIPE, text=True,
        preexec_fn=lambda: signal.signal(signal.SIGHUP, signal.SIG_IGN),
    )  # fmt: skip
    while process.poll() is None:
        process.send_signal(signal.SIGHUP)
        time.sleep(0.05)
    assert process.returncode == 0, process.communicate()[1]


def _alive(process: int) -> bool:
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    except FileNotFoundError:
        return False


def killed_runs(corpus: Path, tmp_path: Path, whole: Whole, times: int) -> None:
    chance = random.Random(times)
    killed = 0
    for number in range(times):
        out = tmp_path / f"run{number}" / "cache.h5"
        process = subprocess.Popen(
            command(corpus, out), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, env=ONE_THREAD
        )
        time.sleep(chance.uniform(0.4, 1.0) * whole.seconds)  # before that it imports
        process.kill()
        killed += process.wait() == -signal.SIGKILL
        done: dict[str, Any] = json.loads(extracted(corpus, out, "--json").stdout)
        assert done["made"] + done["kept"] == 6
        assert out.read_bytes() == whole.out.read_bytes()
        assert not [name for name in listing(out.parent) if name.endswith(".tmp")]
    assert killed or times == 1  # one kill may come too late


def test_killed_and_resumed(corpus: Path, tmp_path: Path, whole: Whole) -> None:
    killed_runs(corpus, tmp_path, whole, 1)


@pytest.mark.slow
def test_killed_twenty_times_and_resumed(corpus: Path, tmp_path: Path, whole: Whole) -> None:
    killed_runs(corpus, tmp_path, whole, 20)


def test_dry_run_says_what_would_be_made(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "out" / "cache.h5"
    said = extracted(corpus, out, "--dry-run").stdout
    assert "6 of 6 clips" in said and "about" in said
    assert not out.parent.exists()


@pytest.mark.slow
def test_bytes_do_not_depend_on_a_variable(corpus: Path, tmp_path: Path) -> None:
    caches = [tmp_path / "one.h5", tmp_path / "two.h5"]
    more = ("--video", "torchvision:mobilenet_v2", "--video-weights", "random:1", "--audio", "acoustic")
    for out, environment in zip(caches, (ONE_THREAD, TWO_THREADS), strict=True):
        run(*command(corpus, out, *more), environment=environment)
    assert caches[0].read_bytes() == caches[1].read_bytes()


@pytest.mark.slow
def test_ray_gives_the_same_bytes(corpus: Path, tmp_path: Path) -> None:
    pytest.importorskip("ray")
    local, remote = tmp_path / "local.h5", tmp_path / "remote.h5"
    run(*command(corpus, local), environment=TWO_THREADS)  # ray gives its tasks one, or none
    run(*command(corpus, remote, "--executor", "ray", "--workers", "2"), environment=TWO_THREADS)
    assert remote.read_bytes() == local.read_bytes()
