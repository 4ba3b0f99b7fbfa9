"""Does `diagnose` name the cause that was planted? A confusion matrix of causes over many corpora.

    python benchmarks/study_diagnosis.py --seeds 20
    python benchmarks/study_diagnosis.py --seeds 5 --loss logit_adjusted

Every cause is planted in so many corpora, with other seeds and strengths, and diagnosed with one thread.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

STRENGTHS = (0.6, 0.8, 1.0, 1.25, 1.5)
PAIRS = (
    ("scale_mismatch", "misaligned"),
    ("starved_sampling", "leakage"),
    ("drift", "misaligned"),
    ("broken_features", "scale_mismatch"),
    ("leakage", "collapse"),
)


def diagnosed(causes: tuple[str, ...], seed: int, loss: str) -> tuple[list[str], float]:
    """Plant, diagnose; return the causes that were named and the seconds it took."""
    from dualstream.heads.diagnosis import diagnose
    from dualstream.heads.diagnosis.evidence import INTERVENTIONS, DiagnosisOptions
    from dualstream.heads.variants.registry import FitOptions
    from planted_causes import PlantOptions, plant

    started = time.perf_counter()
    train, dev = plant(PlantOptions(causes, seed=seed, strength=STRENGTHS[seed % len(STRENGTHS)]))
    options = DiagnosisOptions(
        folds=3,
        fit=FitOptions(seeds=(0,), patience=5, threads=1, loss=loss),
        interventions=tuple(name for name in INTERVENTIONS if not name.startswith("thin")),
    )
    found = diagnose(train, dev, options)
    return [cause.name for cause in found.causes], time.perf_counter() - started


def main() -> None:
    """Print the confusion matrix of causes as a table and as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--causes", default="", help="such as drift,leakage+collapse; all without it")
    parser.add_argument("--loss", default="cross_entropy", help="the default is the loss that lets heads collapse")
    arguments = parser.parse_args()

    from planted_causes import CAUSES

    chosen = [(name,) for name in CAUSES] + list(PAIRS)
    if arguments.causes:
        chosen = [tuple(words.split("+")) for words in arguments.causes.split(",")]
    jobs = [(causes, seed, arguments.loss) for causes in chosen for seed in range(arguments.seeds)]
    named: dict[tuple[str, ...], Counter[str]] = {causes: Counter() for causes in chosen}
    right: Counter[tuple[str, ...]] = Counter()
    seconds = []
    with ProcessPoolExecutor(arguments.workers) as pool:
        for (causes, seed, _), (found, took) in zip(
            jobs, pool.map(diagnosed, *zip(*jobs, strict=True)), strict=True
        ):
            seconds.append(took)
            named[causes].update(["+".join(sorted(found))])
            wanted = {"nothing_wrong"} if causes == ("none",) else set(causes)
            hit = wanted <= set(found) if len(causes) > 1 else found[:1] == list(wanted)
            right[causes] += hit
            print(f"{'+'.join(causes)} seed {seed}: {', '.join(found)}{'' if hit else '   <--'}", flush=True)
    print("\n| planted | named right | named |\n|---|---|---|")
    for causes in chosen:
        words = ", ".join(f"{name} {count}" for name, count in named[causes].most_common())
        print(f"| {' + '.join(causes)} | {right[causes]} of {arguments.seeds} | {words} |")
    median_s = sorted(seconds)[len(seconds) // 2]
    print(f"\nmedian {median_s:.1f} s a diagnosis, one thread, {arguments.workers} processes")
    print(json.dumps({"right": {"+".join(k): v for k, v in right.items()}, "of": arguments.seeds}))


if __name__ == "__main__":
    main()
