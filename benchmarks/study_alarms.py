"""How often does `diagnose` name a cause that is not there? Corpora without any, of many kinds.

    python benchmarks/study_alarms.py --seeds 20
    DUALSTREAM_DATA=FOLDER DUALSTREAM_WEIGHTS=FOLDER python benchmarks/study_alarms.py --corpora real --seeds 10

prints the causes that were named, and a table: corpora, how many were told a cause, and the upper end of the
exact 95 % interval of that rate (Clopper and Pearson 1934). What is said of the head and not of the corpus
(`OF_HEADS`) is counted apart, as are the faults that a corpus is known to have (`FAULTS`). `shared_speakers` is no
alarm where dev has speakers of train, as splits by dialogue do. A diagnosis is whole but for measures, limits and
interventions, with linear heads and one thread. Each answer is kept in `--kept`, and what stands there isn't made
again.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from pathlib import Path

import checkout  # noqa: F401
import numpy as np
from clean_corpora import REAL, Clean
from clean_planted import PLANS, clean
from exact_rates import exact_interval
from whole_corpora import planted

from dualstream.cores import one_core

NO_ALARM = {"nothing_wrong", "cannot_tell"}
OF_HEADS = {"no_complement", "too_little_data", "one_stream_dominates"}
SHARED = "shared_speakers"
FAULTS = {
    # -255 stands in 16 of 6,359 words of the eighth column of the sound, of which all others lie above -0.6
    "ICT-MMMO, face and sound": {"put_values"},
}
"""Faults that these corpora have, and that are named rightly: counted apart."""


def corpora(which: str) -> list[str]:
    """Return the names of the corpora that are asked for."""
    names = ["as damaged", *PLANS] if which in ("all", "planted") else []
    names += list(REAL) if which in ("all", "real") else []
    return names or [name for name in ("as damaged", *PLANS, *REAL) if which in name]


def draw(name: str, seed: int, folder: Path) -> Clean:
    """Return a corpus; ``as damaged`` is what damages.py damages."""
    if name in REAL:
        return REAL[name](folder, seed)
    return Clean.of(planted(seed) if name == "as damaged" else clean(name, seed))


def shares_speakers(corpus: Clean) -> bool:
    """Say whether dev has speakers of train."""
    return corpus.dev is not None and bool(np.isin(corpus.dev.speaker, corpus.train.speaker).any())


def told(corpus: Clean) -> dict[str, str]:
    """Return the causes that a diagnosis names and that may not be there, and what it says of each."""
    from dualstream.heads.diagnosis import diagnose
    from dualstream.heads.diagnosis.evidence import DiagnosisOptions
    from dualstream.heads.variants.registry import FitOptions

    options = DiagnosisOptions(
        fusion="linear",
        task=corpus.task,
        folds=3,
        fit=FitOptions(seeds=(0,), threads=1),
        interventions=(),
        measures=False,
        limits=False,
        sample=2_000,
    )
    found = diagnose(corpus.train, corpus.dev, options, names=corpus.names, extracted=corpus.extracted)
    there = NO_ALARM | ({SHARED} if shares_speakers(corpus) else set())
    return {one.name: one.text for one in found.causes if one.name not in there}


def _words(found: Counter[str]) -> str:
    return ", ".join(f"`{cause}` {count}" for cause, count in found.most_common())


@one_core()
def main() -> None:
    """Draw, diagnose, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpora", default="planted", help="all, planted, real, or words of a corpus")
    parser.add_argument("--rows", type=Path, default=Path("build/rows"), help="where encoded rows are kept")
    parser.add_argument("--kept", type=Path, default=Path("build/alarms.jsonl"), help="where answers are kept")
    parser.add_argument("--seeds", type=int, default=5)
    parser.add_argument("--first", type=int, default=0)
    words = parser.parse_args()
    words.kept.parent.mkdir(parents=True, exist_ok=True)
    lines = words.kept.read_text().splitlines() if words.kept.exists() else []
    known = {(one["corpus"], one["seed"]): one["told"] for one in map(json.loads, lines)}
    alarms: dict[str, Counter[str]] = {}
    heads: dict[str, Counter[str]] = {}
    rightly: dict[str, Counter[str]] = {}
    counts: Counter[str] = Counter()
    started = time.process_time()
    for name in corpora(words.corpora):
        alarms[name], heads[name], rightly[name] = Counter(), Counter(), Counter()
        for seed in range(words.first, words.first + words.seeds):
            if (name, seed) not in known:
                known[name, seed] = told(draw(name, seed, words.rows))
                with words.kept.open("a") as file:
                    file.write(json.dumps({"corpus": name, "seed": seed, "told": known[name, seed]}) + "\n")
            right = FAULTS.get(name, set())
            wrong = [cause for cause in known[name, seed] if cause not in OF_HEADS | right]
            rightly[name].update(set(known[name, seed]) & right)
            counts[name] += 1
            alarms[name].update(["corpora"] if wrong else [])
            heads[name].update(set(known[name, seed]) & OF_HEADS)
            alarms[name].update(wrong)
            for cause in wrong:
                print(f"{name}, seed {seed}: {cause}: {known[name, seed][cause]}", flush=True)
    print("\n| corpus | draws | told a cause | rate at most | which | said of heads | its own faults |")
    print("|---|---|---|---|---|---|---|")
    told_one = Counter({name: found.pop("corpora", 0) for name, found in alarms.items()})
    for name, found in alarms.items():
        cells = (
            counts[name],
            told_one[name],
            f"{exact_interval(told_one[name], counts[name])[1]:.0%}",
            _words(found),
        )
        print(f"| {name} | {' | '.join(map(str, cells))} | {_words(heads[name])} | {_words(rightly[name])} |")
    total, of = told_one.total(), counts.total()
    most, causes = exact_interval(total, of)[1], sum(alarms.values(), Counter())
    print(f"| all | {of} | {total} | {most:.1%} | {_words(causes)} | | |")
    print(f"\n{time.process_time() - started:.0f} s of processor time")


if __name__ == "__main__":
    main()
