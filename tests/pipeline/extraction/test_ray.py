"""--executor ray on two nodes of this machine: same bytes, whatever dies, sees nothing, or decodes in another way."""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from dualstream.features.media import find_ffmpeg
from dualstream.pipeline.cache import read_cache

from tests.pipeline.commands.test_extract_cli import REPOSITORY, draw_clip, manifest_of

pytest.importorskip("ray")
pytestmark = [pytest.mark.slow, pytest.mark.timeout(900)]

CLIPS = 12
LIMIT_S = 420  # a machine that is busy with other things takes long to start processes
HEARD = ("--video", "none", "--shard-size", "2")
HOOK = """\
import os, signal
real, hidden, deadly = os.stat, os.environ.get("HIDDEN", "").split(), os.environ.get("DEADLY", "-")
def stat(path, *args, **more):
    name = os.path.basename(os.fspath(path)) if isinstance(path, (str, os.PathLike)) else ""
    if name == deadly and "ray::" in open("/proc/self/cmdline").read():
        os.kill(os.getpid(), signal.SIGKILL)
    if name in hidden:
        raise FileNotFoundError(2, "hidden from this node", path)
    return real(path, *args, **more)
os.stat = stat
"""


@pytest.fixture(scope="module")
def clips(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("clips")
    names = [f"clip{number}.mp4" for number in range(CLIPS)]
    for number, name in enumerate(names[:-1]):
        draw_clip(root / name, number, 0.7 + 0.1 * number)
    (root / names[-1]).write_bytes(b"no clip")
    manifest_of(root, [*names, "absent.mp4"])
    return root


@pytest.fixture(scope="module")
def reference(clips: Path, tmp_path_factory: pytest.TempPathFactory) -> bytes:
    out = tmp_path_factory.mktemp("reference") / "cache.h5"
    done = subprocess.run(command(clips, out, *HEARD), capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 3, done.stderr
    return out.read_bytes()


@pytest.fixture(scope="module")
def hook(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return a folder for PYTHONPATH that hides clips from a node, or has one of them kill whoever looks at it."""
    folder = tmp_path_factory.mktemp("hook")
    (folder / "sitecustomize.py").write_text(HOOK)
    return folder


@pytest.fixture(scope="module")
def head() -> Iterator[Any]:
    from ray.cluster_utils import Cluster

    cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "node_name": "head"})
    yield cluster
    cluster.shutdown()


@pytest.fixture
def cluster(head: Any) -> Iterator[Any]:
    """Give the cluster, and take its nodes away afterwards."""
    yield head
    for node in list(head.worker_nodes):
        head.remove_node(node)


def command(clips: Path, out: Path, *more: str, cluster: Any = None) -> list[str]:
    ray = () if cluster is None else ("--executor", "ray", "--ray-address", str(cluster.address))
    return [
        *(sys.executable, str(REPOSITORY / "cli.py"), "extract", str(clips / "manifest.csv")),
        *("--root", str(clips), "--out", str(out), *more, *ray),
    ]


def extract(clips: Path, out: Path, cluster: Any, *more: str, status: int = 3) -> dict[str, Any]:
    """Run the command, and return its document: standard output holds nothing else."""
    words = command(clips, out, *HEARD, "--json", *more, cluster=cluster)
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == status, done.stderr
    assert "Traceback" not in done.stderr
    document: dict[str, Any] = json.loads(done.stdout)
    return document


def left_out(document: dict[str, Any]) -> list[str]:
    """Return the notices of nodes that get no work; nodes of the test before may still be leaving the cluster."""
    return [one for one in document["notices"] if "is left out" in one]


def start(clips: Path, out: Path, cluster: Any) -> subprocess.Popen[str]:
    """Start the command, and return when its first shard is there."""
    words = command(clips, out, "--video", "none", "--shard-size", "2", cluster=cluster)
    process = subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    wait_for_shards(out, 1, process)
    return process


def wait_for_shards(out: Path, count: int, process: subprocess.Popen[str]) -> None:
    end_s = time.monotonic() + LIMIT_S
    while len(list(out.parent.rglob("shard-*.h5"))) < count and process.poll() is None:
        assert time.monotonic() < end_s
        time.sleep(0.02)


def test_two_nodes_and_paths_that_are_relative(
    clips: Path, cluster: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Weights, a table, an ffmpeg and the output by relative paths, from a folder that nodes do not stand in."""
    cluster.add_node(num_cpus=1, node_name="first")
    cluster.add_node(num_cpus=1, node_name="second")
    monkeypatch.chdir(tmp_path)
    from dualstream.features.networks.cnn5 import Cnn5
    from safetensors.torch import save_file

    save_file(Cnn5().state_dict(), "weights.safetensors")
    ids = np.array([f"u{number}" for number in range(CLIPS)])
    np.savez("votes.npz", id=ids, features=np.arange(2.0 * CLIPS, dtype="f4").reshape(CLIPS, 2))
    os.symlink(find_ffmpeg(), "ffmpeg-here")
    more = (
        *("--video", "cnn5", "--video-weights", "weights.safetensors", "--video", "table:votes.npz"),
        *("--audio", "none", "--device", "cpu", "--ffmpeg", "./ffmpeg-here", "--shard-size", "4"),
    )
    done = {}
    for name, nodes in (("local", None), ("ray", cluster)):
        words = command(clips, Path(name) / "cache.h5", *more, "--json", cluster=nodes)
        done[name] = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S)
        assert done[name].returncode == 3, done[name].stderr
    assert Path("ray/cache.h5").read_bytes() == Path("local/cache.h5").read_bytes()
    documents = [json.loads(one.stdout) for one in done.values()]
    for one in documents:
        for key in ("seconds", "cache"):
            del one[key]
    assert documents[0] == documents[1]


def test_a_node_that_sees_no_clips_gets_no_work(
    clips: Path, cluster: Any, hook: Path, tmp_path: Path, reference: bytes
) -> None:
    every = " ".join(f"clip{number}.mp4" for number in range(CLIPS))
    cluster.add_node(num_cpus=2, node_name="blind", env_vars={"PYTHONPATH": str(hook), "HIDDEN": every})
    cluster.add_node(num_cpus=1, node_name="sees")
    out = tmp_path / "cache.h5"
    document = extract(clips, out, cluster)
    assert out.read_bytes() == reference
    (notice,) = left_out(document)
    assert (
        notice.startswith("node blind is left out: 7 of 7 files are not under") and "clip0.mp4: missing" in notice
    )


def test_a_node_that_sees_less_is_retired(
    clips: Path, cluster: Any, hook: Path, tmp_path: Path, reference: bytes
) -> None:
    """It sees those that it is asked about first, and lacks one or two of each shard."""
    hidden = "clip2.mp4 clip4.mp4 clip7.mp4 clip9.mp4"
    cluster.add_node(num_cpus=2, node_name="dim", env_vars={"PYTHONPATH": str(hook), "HIDDEN": hidden})
    cluster.add_node(num_cpus=1, node_name="sees")
    out = tmp_path / "cache.h5"
    document = extract(clips, out, cluster)
    assert out.read_bytes() == reference
    assert [one.reason[:7] for one in read_cache(out).utterances.failed] == ["unreada", "missing"]
    (notice,) = left_out(document)
    assert notice.startswith("node dim is left out: 1 of 2 files are not under") and "mounted there" in notice


def test_no_node_sees_the_clips(clips: Path, cluster: Any, hook: Path, tmp_path: Path) -> None:
    every = " ".join(f"clip{number}.mp4" for number in range(CLIPS))
    cluster.add_node(num_cpus=1, node_name="blind", env_vars={"PYTHONPATH": str(hook), "HIDDEN": every})
    words = command(clips, tmp_path / "cache.h5", *HEARD, cluster=cluster)
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    assert "error: no node of the cluster is left to make shards: " in done.stderr
    assert "blind: 7 of 7 files are not under" in done.stderr


def test_a_node_with_another_ffmpeg_is_left_out(
    clips: Path, cluster: Any, tmp_path: Path, reference: bytes
) -> None:
    other = tmp_path / "ffmpeg"
    other.write_text(
        f'#!/bin/sh\n[ "$2" = -version ] && echo "ffmpeg version 99.9-other" || exec {find_ffmpeg()} "$@"\n'
    )
    other.chmod(0o755)
    cluster.add_node(num_cpus=2, node_name="other", env_vars={"DUALSTREAM_FFMPEG": str(other)})
    cluster.add_node(num_cpus=1, node_name="same")
    out = tmp_path / "cache.h5"
    document = extract(clips, out, cluster)
    assert out.read_bytes() == reference
    (notice,) = left_out(document)
    assert notice.startswith("node other is left out: it would extract in another way (decoder: ")
    assert "99.9-other" in notice


def test_a_clip_that_kills_every_process_is_named(clips: Path, cluster: Any, hook: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        cluster.add_node(num_cpus=1, node_name=name, env_vars={"PYTHONPATH": str(hook), "DEADLY": "clip4.mp4"})
    out = tmp_path / "cache.h5"
    words = command(clips, out, *HEARD, cluster=cluster)
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    errors = [one for one in done.stderr.splitlines() if one.startswith("error:")]
    assert len(errors) == 1 and errors[0].startswith("error: shard 2 was lost 4 times"), done.stderr
    assert "Its clips are u4, u5:" in errors[0]
    assert "shard 2 (u4, u5) goes back, 3 of at most 3 times" in done.stderr


def test_a_node_that_is_killed(clips: Path, cluster: Any, tmp_path: Path, reference: bytes) -> None:
    cluster.add_node(num_cpus=1, node_name="stays")
    goes = cluster.add_node(num_cpus=1, node_name="goes")
    out = tmp_path / "cache.h5"
    process = start(clips, out, cluster)
    cluster.remove_node(goes, allow_graceful=False)
    _, notes = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 3, notes
    assert "Traceback" not in notes and out.read_bytes() == reference


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_an_interrupt_ends_with_130(
    clips: Path, cluster: Any, tmp_path: Path, reference: bytes, number: signal.Signals
) -> None:
    cluster.add_node(num_cpus=1, node_name="one")
    out = tmp_path / "cache.h5"
    process = start(clips, out, cluster)
    process.send_signal(number)
    said, notes = process.communicate(timeout=LIMIT_S)
    assert process.returncode == 130 and said == ""
    assert "interrupted; what was committed stands" in notes and "Traceback" not in notes
    assert extract(clips, out, None)["kept"] >= 2 and out.read_bytes() == reference


def test_kills_at_random_moments(clips: Path, cluster: Any, tmp_path: Path, reference: bytes) -> None:
    """Of nodes, of the processes on them, and of the driver, again and again: in the end, the same bytes."""
    chance = random.Random(11)
    out = tmp_path / "cache.h5"
    cluster.add_node(num_cpus=1, node_name="stays")
    for round_ in range(4):
        goes = cluster.add_node(num_cpus=1, node_name=f"goes{round_}")
        process = start(clips, out, cluster)
        time.sleep(chance.uniform(0.0, 1.0))
        cluster.remove_node(goes, allow_graceful=False)
        if round_ % 2:
            time.sleep(chance.uniform(0.0, 0.5))
            process.kill()
        _, notes = process.communicate(timeout=LIMIT_S)
        assert process.returncode in (3, -signal.SIGKILL), notes
        if out.exists():
            assert out.read_bytes() == reference
            out.unlink()
        for path in chance.sample(sorted(out.parent.rglob("shard-*.h5")), 3):
            path.unlink()  # something is left to do for the next round
    extract(clips, out, cluster)
    assert out.read_bytes() == reference


def test_a_cluster_that_does_not_answer(clips: Path, tmp_path: Path) -> None:
    class Nobody:
        address = "127.0.0.1:1"

    words = command(clips, tmp_path / "cache.h5", *HEARD, cluster=Nobody())
    done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S)
    assert done.returncode == 1 and done.stdout == "" and "Traceback" not in done.stderr
    assert "error: no Ray cluster answers at 127.0.0.1:1" in done.stderr


def test_clips_from_a_web_server(clips: Path, cluster: Any, tmp_path: Path, reference: bytes) -> None:
    """Each node fetches for itself; the driver asks only for sizes."""
    pytest.importorskip("fsspec")
    from tests.pipeline.extraction.test_remote_root import Site, serving

    cluster.add_node(num_cpus=1, node_name="first")
    cluster.add_node(num_cpus=1, node_name="second")
    out = tmp_path / "cache.h5"
    files = {path.name: path.read_bytes() for path in clips.glob("*.mp4")}
    with serving(Site(files), user="reader:hunter2") as site:
        words = command(clips, out, *HEARD, "-v", "--json", cluster=cluster)
        words[words.index("--root") + 1] = site.url
        done = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S)
        assert done.returncode == 3, done.stderr
        assert out.read_bytes() == reference and "hunter2" not in done.stdout + done.stderr
        assert sorted(set(site.asked)) == sorted(files) and len(site.asked) == len(files)


def test_pyav_decodes_in_the_worker_processes_of_a_node(clips: Path, cluster: Any, tmp_path: Path) -> None:
    pytest.importorskip("av")
    here, there = tmp_path / "here.h5", tmp_path / "there.h5"
    done = subprocess.run(
        command(clips, here, *HEARD, "--decoder", "pyav"), capture_output=True, text=True, timeout=LIMIT_S
    )
    assert done.returncode == 3, done.stderr
    cluster.add_node(num_cpus=2, node_name="one")
    extract(clips, there, cluster, "--decoder", "pyav")
    assert there.read_bytes() == here.read_bytes()
    assert [one.id for one in read_cache(there).utterances.failed] == [f"u{CLIPS - 1}", f"u{CLIPS}"]
