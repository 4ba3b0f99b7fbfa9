"""Everything behind docs/results.md: measure, keep the figures as JSON, write the page from them.

    DUALSTREAM_DATA=FOLDER DUALSTREAM_WEIGHTS=FOLDER python benchmarks/results.py    # all of it: `make results`
    DUALSTREAM_DATA=FOLDER python benchmarks/results.py --quick    # minutes; writes results/quick.md
    python benchmarks/results.py --page                            # the page again from the figures that are there
    python benchmarks/results.py --meld MELD.Raw                   # MELD too, where its clips lie there
    python benchmarks/results.py --only ravdess,emodb              # these, and what they need, alone

The parts run side by side, each in a process of its own, and are kept in results/: what was measured with the same
sources and options is not measured again. The corpora take the road of a user: manifest, extract, compare.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import resource
import subprocess
import sys
import time
import warnings
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

from checkout import ROOT
from results_page import moved, render
from results_parts import Document, ResultsJob
from results_streams import PARTS

from dualstream.cores import one_core

FIGURES = ROOT / "docs" / "results.json"
PAGE = ROOT / "docs" / "results.md"


@one_core()
def main() -> None:
    """Measure what is not measured yet and write the page; or one part, as the process of it."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="one seed, few variants, no ComParE, no stress")
    parser.add_argument("--page", action="store_true", help="write the page from the figures alone")
    parser.add_argument("--seeds", type=int, default=3, help="models of each variant that is trained")
    parser.add_argument("--workers", type=int, default=2, help="parts that run side by side")
    parser.add_argument("--scratch", type=Path, default=ROOT / "results", help="what is kept between runs")
    parser.add_argument("--meld", type=Path, help="MELD.Raw: measure MELD too")
    parser.add_argument(
        "--only", default="", help="parts to measure; the figures of the others stay, and are named"
    )
    parser.add_argument("--part", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.only and options.quick:
        parser.error("--only lays figures over those of docs/results.json, which --quick does not touch")
    if options.page:
        PAGE.write_text(render(json.loads(FIGURES.read_text())))
        return
    if not os.environ.get("DUALSTREAM_DATA"):
        sys.exit("DUALSTREAM_DATA is not set; expected the folder that holds emodb/ and ravdess/")
    job = ResultsJob(
        Path(os.environ["DUALSTREAM_DATA"]).resolve(),
        options.scratch.resolve(),
        1 if options.quick else options.seeds,
        options.quick,
        options.meld and options.meld.resolve(),
        Path(weights).resolve() if (weights := os.environ.get("DUALSTREAM_WEIGHTS")) else None,
    )
    if options.part:
        measure_part(job, options.part)
        return
    started = time.perf_counter()
    before = json.loads(FIGURES.read_text()) if FIGURES.exists() else None
    names = [name for name in options.only.split(",") if name] or list(PARTS)
    wanted = needed(names, job)
    if not job.quick and job.weights is None and any(PARTS[name].weights for name in names):
        sys.exit("DUALSTREAM_WEIGHTS is not set; expected the folder that holds whisper-tiny.en/")
    document = collect(job, wanted, options.workers, sys.argv[1:])
    document["made"]["wall_s"] = time.perf_counter() - started
    if job.quick:
        (job.scratch / "quick.json").write_text(json.dumps(document, indent=1) + "\n")
        target = job.scratch / "quick.md"
    else:
        if before is not None:
            document = over(before, document) if options.only else document
            kept = [row for row in before.get("moved", []) if options.only and row["part"] not in wanted]
            document["moved"] = [*kept, *moved(before, document)]
        FIGURES.write_text(json.dumps(document, indent=1) + "\n")
        target = PAGE
    target.write_text(render(document))
    print(f"{target}: written in {document['made']['wall_s']:.0f} s")


# ---- running the parts


def needed(names: list[str], job: ResultsJob) -> list[str]:
    """Return these parts and those that they need, in order, without what this job does not want."""
    unknown = sorted(set(names) - set(PARTS))
    if unknown:
        sys.exit(f"--only: there is no part {unknown}; there are: {', '.join(PARTS)}")
    every, due = set[str](), list(names)
    while due:
        every.add(name := due.pop())
        due += PARTS[name].needs
    return [name for name, part in PARTS.items() if name in every and part.wanted(job)]


def over(before: Document, document: Document) -> Document:
    """Lay the figures of some parts over those that the page had before; ``made.kept`` names what is of then."""
    kept = [name for name in before if name in PARTS and name not in document]
    whole = {name: document.get(name, before.get(name)) for name in PARTS if name in document or name in before}
    made = {**document["made"], "kept": kept}
    made["cpu_s"] = {name: (document if name in document else before)["made"]["cpu_s"][name] for name in whole}
    return {"made": made, **whole}


def collect(job: ResultsJob, names: list[str], workers: int, words: list[str]) -> Document:
    """Run the parts that are due, `workers` at a time, each after those it needs; return all figures."""
    job.parts.mkdir(parents=True, exist_ok=True)
    futures: dict[str, Future[None]] = {}
    wanted = {name: PARTS[name] for name in names}

    def run(name: str) -> None:
        for needed in wanted[name].needs:
            futures[needed].result()
        key = part_key(job, name)
        kept = job.parts / f"{name}.json"
        if kept.exists() and json.loads(kept.read_text())["key"] == key:
            print(f"{name}: kept", flush=True)
            return
        done = subprocess.run([sys.executable, __file__, *words, "--part", name], cwd=ROOT)
        if done.returncode:
            raise RuntimeError(f"part {name} failed with status {done.returncode}")

    with ThreadPoolExecutor(workers) as pool:  # first in, first out: what is needed began before
        futures |= {name: pool.submit(run, name) for name in wanted}
    for future in futures.values():
        future.result()
    documents = {name: job.kept(name) for name in wanted}
    return {
        "made": {
            "quick": job.quick,
            "seeds": job.seeds,
            "workers": workers,
            "cpu_s": {name: one["cpu_s"] for name, one in documents.items()},
        },
        **{name: one["figures"] for name, one in documents.items()},
    }


def measure_part(job: ResultsJob, name: str) -> None:
    """Measure one part and keep its figures with what they depend on."""
    warnings.filterwarnings("ignore", category=UserWarning)
    key = part_key(job, name)
    print(f"{name}: begun", flush=True)
    figures = PARTS[name].measure(job)
    spent = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
    cpu_s = sum(one.ru_utime + one.ru_stime for one in spent)
    document = {"key": key, "cpu_s": cpu_s, "figures": figures}
    new = job.parts / f"{name}.new"
    new.write_text(json.dumps(document, indent=1) + "\n")
    new.replace(job.parts / f"{name}.json")
    print(f"{name}: done in {cpu_s:.0f} s of processor time", flush=True)


def part_key(job: ResultsJob, name: str) -> str:
    """Return a digest of the sources and options that a part's figures depend on."""
    facts = (name, job.seeds, job.quick, str(job.data), *([str(job.weights)] if PARTS[name].weights else []))
    sha = hashlib.sha256(repr(facts).encode())
    for pattern in PARTS[name].sources:
        for path in sorted(ROOT.glob(pattern)):
            sha.update(path.read_bytes())
    for needed in PARTS[name].needs:
        sha.update(part_key(job, needed).encode())
    return sha.hexdigest()


if __name__ == "__main__":
    main()
