"""docs/cluster.md: its Slurm scripts, run as they are printed; sbatch and srun are stood in for by their variables."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from tests.pages import blocks
from tests.pipeline.commands.test_extract_cli import FREE, command, draw_clip, manifest_of, run

REPOSITORY = Path(__file__).parents[3]

SBATCH = """\
import os, re, subprocess, sys
options, script = [one for one in sys.argv[1:] if one.startswith("--")], sys.argv[-1]
asked = dict(re.findall(r"^#SBATCH --([a-z-]+)=(\\S+)", open(script).read(), flags=re.M))
first, _, last = asked.get("array", "1-1").partition("-")
with open(os.environ["NOTES"], "a") as notes:
    print("sbatch", *options, script, file=notes)
shared = {"SLURM_NTASKS": asked.get("ntasks", "1"), "SLURM_CPUS_PER_TASK": asked["cpus-per-task"]}
for number in range(int(first), int(last) + 1):
    array = {"SLURM_ARRAY_TASK_ID": str(number), "SLURM_ARRAY_TASK_COUNT": last} if "array" in asked else {}
    done = subprocess.run(["bash", script], env={**os.environ, **shared, **array}, stdout=sys.stderr)
    if done.returncode not in (0, 3):
        sys.exit(done.returncode)
print(4711)
"""
SRUN = """\
import os, subprocess, sys
at = next(n for n, one in enumerate(sys.argv) if n and not one.startswith("--"))
running = [
    subprocess.Popen(sys.argv[at:], env={**os.environ, "SLURM_PROCID": str(n), "SLURM_LOCALID": str(n)})
    for n in range(int(os.environ["SLURM_NTASKS"]))
]
sys.exit(max(one.wait() for one in running))
"""
DUALSTREAM = """\
import os, sys
from dualstream.cli import app
with open(os.environ["NOTES"], "a") as notes:
    print("dualstream", *sys.argv[1:], file=notes)
words = ["cpu" if one.startswith("cuda") else one for one in sys.argv[1:]]  # no GPU is needed here
app(words, prog_name="dualstream")
"""


def shims(folder: Path) -> None:
    folder.mkdir()
    for name, program in (("sbatch", SBATCH), ("srun", SRUN), ("dualstream", DUALSTREAM)):
        path = folder / name
        path.write_text(f"#!{sys.executable}\n{program}")
        path.chmod(path.stat().st_mode | stat.S_IXUSR)


@pytest.mark.slow
def test_the_scripts_of_the_page(tmp_path: Path) -> None:
    clips, out = tmp_path / "clips", tmp_path / "out" / "cache.h5"
    clips.mkdir()
    names = [f"clip{number}.mp4" for number in range(8)]
    for number, name in enumerate(names[:-1]):  # one is missing: parts end with 3, and the cache is sealed
        draw_clip(clips / name, number)
    manifest = manifest_of(clips, names)
    extract, seal, submit = blocks("cluster", "bash")[1:]
    for name, script in (("extract.sbatch", extract), ("seal.sbatch", seal)):
        script = script.replace("--array=1-4", "--array=1-2").replace("--ntasks=4", "--ntasks=2")
        (tmp_path / name).write_text(script.replace("--cpus-per-task=12", "--cpus-per-task=1"))
    shims(tmp_path / "bin")
    environment = {
        **os.environ,
        "PATH": f"{tmp_path / 'bin'}:{os.environ['PATH']}",
        "PYTHONPATH": str(REPOSITORY),
        "OMP_NUM_THREADS": "1",
        "SHARED": str(tmp_path),
        "NOTES": str(tmp_path / "notes"),
        "MANIFEST": str(manifest),
        "ROOT": str(clips),
        "OUT": str(out),
        "OPTIONS": " ".join([*FREE[:-2], "--shard-size 2"]),
    }
    done = subprocess.run(["bash", "-euc", submit], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    notes = (tmp_path / "notes").read_text().splitlines()
    assert [one for one in notes if one.startswith("sbatch")] == [
        "sbatch --parsable extract.sbatch",
        "sbatch --dependency=afterany:4711 seal.sbatch",
    ]
    runs = [one.split() for one in notes if one.startswith("dualstream")]
    parts = [(one[one.index("--part") + 1], one[one.index("--device") + 1]) for one in runs if "--part" in one]
    assert sorted(parts) == [("1/4", "cuda:0"), ("2/4", "cuda:1"), ("3/4", "cuda:0"), ("4/4", "cuda:1")]
    assert len(runs) == 5 and "0 made and 8 kept" in done.stderr
    whole = tmp_path / "whole.h5"
    made = json.loads(run(*command(manifest, whole, "--json"), status=3).stdout)  # two clips a shard, too
    assert made["made"] == 8 and whole.read_bytes() == out.read_bytes()
