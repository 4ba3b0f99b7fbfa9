"""Does `diagnose` name the cause that was planted? A confusion matrix of causes over many corpora.

    python benchmarks/study_diagnosis.py --seeds 20
    python benchmarks/study_diagnosis.py --seeds 5 --loss logit_adjusted
    python benchmarks/study_diagnosis.py --seeds 20 --false-alarms  # three causes, where they aren't planted

Every cause is planted in so many corpora, with other seeds and strengths, and diagnosed with one thread.
`--false-alarms` measures of each corpus only what `memorised_labels`, `outlying_rows` and `whitened_projection`
look at first, and diagnoses in full only where the last has its sign.
"""

from __future__ import annotations

import argparse
import json
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor

import checkout  # noqa: F401

STRENGTHS = (0.6, 0.8, 1.0, 1.25, 1.5)
LATER = {"memorised_labels", "outlying_rows", "whitened_projection"}  # what `--false-alarms` looks for
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
        measures=False,
    )
    found = diagnose(train, dev, options)
    return [cause.name for cause in found.causes], time.perf_counter() - started


def false_alarms(causes: tuple[str, ...], seed: int, loss: str) -> tuple[list[str], bool]:
    """Return which of the three causes would be named, and whether a stream looks like principal components."""
    from dualstream.heads.data.batch import PAIR as STREAMS
    from dualstream.heads.diagnosis.causes.outlying_rows import is_severe
    from dualstream.heads.diagnosis.outlying import outlying
    from dualstream.heads.diagnosis.spaces import space
    from dualstream.heads.evaluation.memorised import certainty
    from planted_causes import PlantOptions, plant

    train, dev = plant(PlantOptions(causes, seed=seed, strength=STRENGTHS[seed % len(STRENGTHS)]))
    known = [certainty(train, {"dev": dev}, name, "emotion") for name in STREAMS]
    named = ["memorised_labels"] if any(one.memorised for each in known for one in each.values()) else []
    named += ["outlying_rows"] if any(is_severe(outlying(train, dev, name)) for name in STREAMS) else []
    sign = any(space(train, dev, name).components for name in STREAMS)
    if sign and "whitened_projection" in diagnosed(causes, seed, loss)[0]:
        named.append("whitened_projection")
    return named, sign


def count_false_alarms(chosen: list[tuple[str, ...]], seeds: int, loss: str, workers: int) -> None:
    """Print how many corpora without these causes are told one."""
    jobs = [(causes, seed, loss) for causes in chosen for seed in range(seeds) if LATER.isdisjoint(causes)]
    alarms: Counter[str] = Counter()
    signs = 0
    with ProcessPoolExecutor(workers) as pool:
        for (causes, seed, _), (named, sign) in zip(
            jobs, pool.map(false_alarms, *zip(*jobs, strict=True)), strict=True
        ):
            alarms.update(named)
            signs += sign
            if named or sign:
                words = ", ".join(named) or "the sign of principal components, and no cause"
                print(f"{'+'.join(causes)} seed {seed}: {words}", flush=True)
    print(f"\n| cause | named in {len(jobs)} corpora without it |\n|---|---|")
    for name in sorted(LATER):
        print(f"| `{name}` | {alarms[name]} |")
    print(f"\n{signs} had the sign of principal components")


def main() -> None:
    """Print the confusion matrix of causes as a table and as JSON."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--seeds", type=int, default=20)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--causes", default="", help="such as drift,leakage+collapse; all without it")
    parser.add_argument("--loss", default="cross_entropy", help="the default is the loss that lets heads collapse")
    parser.add_argument(
        "--false-alarms", action="store_true", help="count those of three causes; seconds a corpus"
    )
    arguments = parser.parse_args()

    from planted_causes import CAUSES

    chosen = [(name,) for name in CAUSES] + list(PAIRS)
    if arguments.causes:
        chosen = [tuple(words.split("+")) for words in arguments.causes.split(",")]
    if arguments.false_alarms:
        count_false_alarms(chosen, arguments.seeds, arguments.loss, arguments.workers)
        return
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
