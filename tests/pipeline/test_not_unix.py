"""From a cache on, nothing is needed that only Unix has: names that Python lacks elsewhere are taken away."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest
from dualstream.pipeline.cache import write_cache

from tests.pipeline.planted_corpus import planted_cache

ROOT = Path(__file__).resolve().parents[2]
# Before the libraries load they may need them themselves: theirs for other systems do not.
BARE = """
import json, os, sys
import h5py, matplotlib, numpy, rich, safetensors.numpy, scipy.stats, sklearn.linear_model, torch, typer
NAMES = ("readv preadv pread pwrite O_CLOEXEC O_DIRECTORY O_NOFOLLOW O_NONBLOCK killpg setsid fork statvfs "
         "sched_getaffinity getuid geteuid").split()
for name in NAMES:
    delattr(os, name)
for name in ("fcntl", "resource"):
    sys.modules[name] = None
from dualstream import cli
for words in json.loads(sys.argv[1]):
    try:
        cli.app(words)
    except SystemExit as end:
        assert end.code in (0, None, 3), (words, end.code)
"""
COMMANDS = (
    ("inspect", "CACHE"),
    ("fit-head", "CACHE", "--fusion", "linear_audio", "--out", "OUT/run"),
    (
        "extract",
        "OUT/m.csv",
        "--root",
        "OUT",
        "--video",
        "none",
        "--audio",
        "table:OUT/t.csv",
        "--out",
        "OUT/t.h5",
    ),
    ("check", "OUT/m.csv", "--no-media"),
)


@pytest.mark.skipif(not hasattr(os, "fork"), reason="there is nothing to take away")
def test_without_what_only_unix_has(tmp_path: Path) -> None:
    write_cache(tmp_path / "cache.h5", planted_cache())
    rows = [f"u{i},u{i}.wav,{('train', 'dev')[i % 2]},{('joy', 'anger')[i // 2 % 2]}\n" for i in range(8)]
    (tmp_path / "m.csv").write_text("id,path,split,emotion\n" + "".join(rows))
    (tmp_path / "t.csv").write_text("id,f0\n" + "".join(f"u{i},{i}\n" for i in range(8)))
    typed = [
        [word.replace("OUT", str(tmp_path)).replace("CACHE", str(tmp_path / "cache.h5")) for word in words]
        for words in COMMANDS
    ]
    done = subprocess.run(
        [sys.executable, "-c", BARE, json.dumps(typed)],
        cwd=ROOT,
        capture_output=True,
        text=True,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
    )
    assert done.returncode == 0, done.stderr
    assert "Traceback" not in done.stderr
    assert (tmp_path / "run" / "config.json").is_file() and (tmp_path / "t.h5").is_file()
