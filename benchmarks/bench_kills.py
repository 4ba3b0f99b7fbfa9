"""Whatever is ended by SIGKILL, at random moments: nothing that was committed is lost, and the bytes are the same.

    python benchmarks/bench_kills.py [--worker 50] [--parent 50] [--node 50] [--clips 48] [--decoder pyav]

Short clips are drawn by ffmpeg and extracted by the command line, two workers. Then runs are made in which
a worker process, the run itself, or a node of a Ray cluster on this machine (its raylet, all that it started) is
ended at moments drawn from the time that a run takes. A run that ends is made again, after some of the shards are
taken away, so that there is always something to lose. After each kill every shard that was there before is there
and whole, each cache that is sealed has the bytes of the one that was made in peace, and nothing is left of a dead
run: no process, no temporary file once the next run is through.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from checkout import ROOT
from dualstream.features.media import find_ffmpeg
from dualstream.pipeline.cache import read_cache
from dualstream.pipeline.extraction.shards import read_shard

LIMIT_S = 900.0
SHARD = 4
A_RUN = 5  # moments at which a worker of one run is ended


def make_clips(root: Path, count: int) -> Path:
    """Draw eight clips of different lengths, copy them, and damage one; return the manifest."""
    drawn = []
    for number in range(8):
        seconds = 0.6 + 0.2 * number
        drawn.append(root / f"drawn{number}.mp4")
        subprocess.run(
            [
                *(find_ffmpeg(), "-nostdin", "-loglevel", "error", "-y"),
                *("-f", "lavfi", "-i", f"testsrc2=size=160x120:rate=12:duration={seconds}"),
                *("-f", "lavfi", "-i", f"sine=frequency={300 + 50 * number}:sample_rate=16000:duration={seconds}"),
                *("-pix_fmt", "yuv420p", "-c:a", "aac", str(drawn[-1])),
            ],
            check=True,
        )
    lines = ["id,path,split"]
    for number in range(count):
        data = drawn[number % 8].read_bytes()
        (root / f"clip{number}.mp4").write_bytes(data if number != 5 else data[: len(data) // 2])
        lines.append(f"u{number},clip{number}.mp4,train")
    (root / "manifest.csv").write_text("\n".join(lines) + "\n")
    return root / "manifest.csv"


class Kills:
    """Runs that are ended, and what is asked of each."""

    def __init__(self, manifest: Path, decoder: str, seed: int) -> None:
        self.manifest = manifest
        self.decoder = decoder
        self.chance = random.Random(seed)
        peace = manifest.parent / "peace.h5"
        began_s = time.monotonic()
        assert self.start(peace).wait(LIMIT_S) in (0, 3)
        self.whole_s = time.monotonic() - began_s
        self.expected = peace.read_bytes()
        self.report: dict[str, Any] = {"a run takes, s": round(self.whole_s, 1)}

    def start(self, out: Path, *more: str) -> subprocess.Popen[bytes]:
        """Start a run."""
        words = [
            *(sys.executable, str(ROOT / "cli.py"), "extract", str(self.manifest), "--root"),
            *(str(self.manifest.parent), "--out", str(out), "--video", "none", "--decoder", self.decoder),
            *("--shard-size", str(SHARD), "--quiet", *(more or ("--workers", "2"))),
        ]
        with open(out.with_suffix(".txt"), "wb") as said:
            return subprocess.Popen(words, stdout=said, stderr=subprocess.STDOUT, start_new_session=True)

    def check(self, out: Path, before: dict[str, int]) -> dict[str, int]:
        """Return the shards that are there, having read them; those of `before` must be there untouched."""
        found = {}
        for path in sorted(out.with_name(out.name + ".shards").rglob("shard-*.h5")):
            read_shard(path)
            found[path.name] = path.stat().st_mtime_ns
        lost = {name for name, time_ns in before.items() if found.get(name) != time_ns}
        assert not lost, f"lost or made again: {sorted(lost)}"
        if out.exists() and out.read_bytes() != self.expected:
            failed = [f"{one.id}: {one.reason}" for one in read_cache(out).utterances.failed]
            raise AssertionError(f"other bytes; clips that failed: {failed}")
        return found

    def begin_again(self, out: Path) -> None:
        """Take the cache away, and two thirds of the shards."""
        assert out.read_bytes() == self.expected
        assert not list(out.parent.rglob(f"{out.name}*.tmp")) and not list(
            out.with_name(out.name + ".shards").rglob("*.tmp")
        )
        out.unlink()
        for path in out.with_name(out.name + ".shards").rglob("shard-*.h5"):
            if self.chance.random() < 2 / 3:
                path.unlink()

    def of_runs(self, times: int) -> None:
        """End whole runs."""
        out = self.manifest.parent / "parent.h5"
        killed, before, workers = 0, dict[str, int](), list[int]()
        while killed < times:
            run = self.start(out)
            with contextlib.suppress(subprocess.TimeoutExpired):
                run.wait(self.chance.uniform(0.2, self.whole_s))
            if run.poll() is None:
                workers += children(run.pid)
                run.kill()
                run.wait()
                killed += 1
                before = self.check(out, before)
            else:
                assert run.returncode in (0, 3), out.with_suffix(".txt").read_text()
                self.begin_again(out)
                before = self.check(out, {})
        self._finish(out, before)
        end_s = time.monotonic() + 5
        while any(is_alive(one) for one in workers) and time.monotonic() < end_s:
            time.sleep(0.05)
        assert not any(map(is_alive, workers)), "workers outlive their run"
        self.report["runs killed"] = killed

    def of_workers(self, times: int) -> None:
        """End worker processes, while their run goes on."""
        out = self.manifest.parent / "worker.h5"
        killed = runs = 0
        while killed < times:
            run, before = self.start(out), self.check(out, {})
            runs += 1
            began_s = time.monotonic()
            for moment_s in sorted(self.chance.uniform(0.0, self.whole_s) for _ in range(A_RUN)):
                with contextlib.suppress(subprocess.TimeoutExpired):
                    run.wait(max(0.0, began_s + moment_s - time.monotonic()))
                if killed < times and (there := children(run.pid)):
                    with contextlib.suppress(ProcessLookupError):
                        os.kill(self.chance.choice(there), signal.SIGKILL)
                        killed += 1
            run.wait(LIMIT_S)
            assert run.returncode in (0, 3), out.with_suffix(".txt").read_text()
            self.check(out, before)
            self.begin_again(out)
            self.report |= {"workers killed": killed, "runs in which they were": runs}
            print(json.dumps(self.report), file=sys.stderr, flush=True)

    def of_nodes(self, times: int) -> None:
        """End nodes of a cluster of two, each followed by a new one."""
        from ray.cluster_utils import Cluster

        cluster = Cluster(initialize_head=True, head_node_args={"num_cpus": 0, "node_name": "head"})
        nodes = [cluster.add_node(num_cpus=1, node_name=f"node{number}") for number in range(2)]
        out = self.manifest.parent / "node.h5"
        ray = ("--executor", "ray", "--ray-address", str(cluster.address))
        killed = runs = ended = 0
        try:
            while killed < times:
                run, before = self.start(out, *ray), self.check(out, {})
                runs += 1
                while run.poll() is None:
                    with contextlib.suppress(subprocess.TimeoutExpired):
                        run.wait(self.chance.uniform(0.1, self.whole_s))
                    if killed < times and run.poll() is None:
                        gone = nodes.pop(self.chance.randrange(len(nodes)))
                        cluster.remove_node(gone, allow_graceful=False)
                        killed += 1
                        before = self.check(out, before)
                        nodes.append(cluster.add_node(num_cpus=1, node_name=f"node{killed + 1}"))
                before = self.check(out, before)
                said = out.with_suffix(".txt").read_text()
                assert "Traceback" not in said, said
                if run.returncode in (0, 3):
                    self.begin_again(out)
                else:  # a shard that was lost too often, or no node left: the next run goes on
                    assert run.returncode == 1 and ("was lost 4 times" in said or "no node" in said), said
                    ended += 1
                self.report |= {"nodes killed": killed, "runs over nodes": runs, "of which ended": ended}
                print(json.dumps(self.report), file=sys.stderr, flush=True)
            run = self.start(out, *ray)
            assert run.wait(LIMIT_S) in (0, 3), out.with_suffix(".txt").read_text()
            assert out.read_bytes() == self.expected
        finally:
            cluster.shutdown()

    def _finish(self, out: Path, before: dict[str, int]) -> None:
        assert self.start(out).wait(LIMIT_S) in (0, 3), out.with_suffix(".txt").read_text()
        self.check(out, before)
        assert out.read_bytes() == self.expected


def children(process: int) -> list[int]:
    """Return the worker processes of a run."""
    found = []
    for path in Path("/proc").glob("[0-9]*"):
        with contextlib.suppress(OSError):
            parent = int((path / "stat").read_text().rpartition(")")[2].split()[1])
            if parent == process and b"extraction.worker" in (path / "cmdline").read_bytes():
                found.append(int(path.name))
    return found


def is_alive(process: int) -> bool:
    """Tell whether a process works still."""
    with contextlib.suppress(OSError):
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
    return False


def main(words: Sequence[str] | None = None) -> None:
    """Kill, check and count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    for name in ("worker", "parent", "node"):
        parser.add_argument(f"--{name}", type=int, default=50)
    parser.add_argument("--clips", type=int, default=48)
    parser.add_argument("--decoder", default="pyav")
    parser.add_argument("--seed", type=int, default=0)
    told = parser.parse_args(words)
    with tempfile.TemporaryDirectory(prefix="kills_") as folder:
        kills = Kills(make_clips(Path(folder), told.clips), told.decoder, told.seed)
        acts = ((told.worker, kills.of_workers), (told.parent, kills.of_runs), (told.node, kills.of_nodes))
        for times, kill in acts:
            if times:
                kill(times)
                print(json.dumps(kills.report), file=sys.stderr, flush=True)
        print(json.dumps(kills.report, indent=1))


if __name__ == "__main__":
    main()
