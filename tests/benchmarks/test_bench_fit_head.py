"""The phases that bench_fit_head measures are those of the program, not of an older one."""

import json
import subprocess
import sys

from bench_fit_head import PHASES
from dualstream.pipeline.cache import write_cache

from tests.pipeline.planted_corpus import planted_cache


def test_the_phases_run_and_leave_a_run(tmp_path):
    write_cache(tmp_path / "cache.h5", planted_cache(sizes={"train": 60, "dev": 30}))
    words = [str(tmp_path / "cache.h5"), "linear_audio", "1", "1", str(tmp_path / "run")]
    done = subprocess.run([sys.executable, "-c", PHASES, *words], capture_output=True, text=True, check=True)
    marks = json.loads(done.stdout)
    assert {"read the cache", "fit and predict", "score and bootstrap", "draw the report"} <= marks.keys()
    assert marks["epochs"] == [0]
    assert (tmp_path / "run" / "report.html").is_file() and (tmp_path / "run" / "metrics.json").is_file()
