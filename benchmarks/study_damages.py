"""Which mistakes does `diagnose` name? Each of benchmarks/damages.py, more_damages.py, partial_damages.py,
fresh_damages.py, unseen_damages.py and outside_damages.py planted in corpora, and corpora left as they are.

    python benchmarks/study_damages.py --corpus planted --seeds 3 --strengths 0.5,1,1.5
    DUALSTREAM_DATA=FOLDER DUALSTREAM_WEIGHTS=FOLDER python benchmarks/study_damages.py --corpus ravdess
    DUALSTREAM_DATA=FOLDER python benchmarks/study_damages.py --corpus cremad --damages clean --seeds 5
    DUALSTREAM_DATA=FOLDER python benchmarks/study_damages.py --corpus pom --set classic
    python benchmarks/study_damages.py --set first --seeds 20 --strengths 0.5,1,1.5 --lot 200 [--after 0]

prints what each diagnosis says, how many of the utterances that its first cause names are those that the
mistake concerns, and a table: named first, named otherwise, nothing wrong. A diagnosis is whole but for
measures and limits, none of which names a cause (linear heads, no interventions), with one thread, 2 to 5 s of
processor time. `ravdess` is a layer of whisper-tiny.en and action units, whose encoded rows are kept in
`--rows`; `cremad` has the votes of people, whose clean corpora are drawn anew by speakers: which are there, and
which are dev. other_corpora.py has the others. `--lot` takes so many of all (mistake, strength, seed) by
lot, always in one order, of which `--after` leaves the first ones out. A mistake that changes nothing (of
speakers, where nobody is named) isn't counted.
"""

from __future__ import annotations

import argparse
import time
from collections import Counter
from dataclasses import replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

import checkout  # noqa: F401
import numpy as np
from classic_damages import CLASSIC
from damages import DAMAGES
from dualstream.heads.data.batch import UNLABELLED
from exact_rates import exact_interval
from fresh_damages import FRESH
from frozen_rows import action_units, cremad_votes, folder_of, whisper_rows
from more_damages import MORE
from other_corpora import OTHERS
from outside_damages import OUTSIDE
from partial_damages import PARTIAL
from unseen_damages import UNSEEN
from whole_corpora import Whole, planted, table

from dualstream.cores import one_core

if TYPE_CHECKING:
    from damages import Damage
    from dualstream.heads.diagnosis.causes import Cause

CLEAN = "clean"
LOT_SEED = 0
DEV_SHARE = 0.25  # of the speakers
SETS = {
    "first": DAMAGES,
    "more": MORE,
    "partial": PARTIAL,
    "fresh": FRESH,
    "unseen": UNSEEN,
    "outside": OUTSIDE,
    "classic": CLASSIC,
}
CORPORA = ("planted", "ravdess", "cremad", *OTHERS)
RIGHT, OTHERWISE, NOTHING = "named right", "named otherwise", "nothing wrong"


def ravdess(folder: Path) -> Whole:
    """Return RAVDESS's rows, in the order of speakers and their clips."""
    data = folder_of("DUALSTREAM_DATA")
    rows = whisper_rows(folder, folder_of("DUALSTREAM_WEIGHTS") / "whisper-tiny.en", "ravdess", data)
    order = np.argsort(rows.group, kind="stable")
    ids = tuple(rows.id[order].tolist())
    streams = {
        "audio": rows.utterance[order].astype(np.float64),
        "video": action_units(data, ids).astype(np.float64),
    }
    names, label = np.unique(rows.label[order], return_inverse=True)
    speaker = np.unique(rows.group[order], return_inverse=True)[1]
    return table(streams, label, speaker, tuple(names.tolist()), np.unique(speaker)[-4:], ids)


def cremad() -> Whole:
    """Return the votes of people who heard, and who saw, CREMA-D's clips of train and dev."""
    rows, votes = cremad_votes(folder_of("DUALSTREAM_DATA"))
    ids = tuple(row["id"] for row in rows)
    names, label = np.unique([row["emotion"] for row in rows], return_inverse=True)
    speaker = np.unique([row["speaker"] for row in rows], return_inverse=True)[1]
    streams = {name: one.astype(np.float64) for name, one in votes.items()}
    whole = table(streams, label, speaker, tuple(names.tolist()), np.zeros(0), ids)
    return replace(whole, dev=np.array([row["split"] == "dev" for row in rows]))


def drawn(whole: Whole, seed: int) -> Whole:
    """Return a corpus of four in five speakers, of which a quarter are dev, drawn anew."""
    rng = np.random.default_rng([seed, 7])
    codes = rng.permutation(np.unique(whole.features.speaker))
    kept = codes[: round(0.8 * len(codes))]
    part = whole.take(np.flatnonzero(np.isin(whole.features.speaker, kept)))
    return replace(part, dev=np.isin(part.features.speaker, kept[: round(DEV_SHARE * len(kept))]))


def corpus_of(name: str, folder: Path, seed: int) -> Whole:
    """Return a draw of a corpus by its name on the command line."""
    if name in OTHERS:
        return OTHERS[name](folder, seed)
    return planted(seed) if name == "planted" else drawn(_whole(name, folder), seed)


@cache
def _whole(name: str, folder: Path) -> Whole:
    return ravdess(folder) if name == "ravdess" else cremad()


def unchanged(before: Whole, after: Whole) -> bool:
    """Say whether a damage left a corpus as it was."""
    same = before.ids == after.ids and bool((before.dev == after.dev).all())
    shapes = [{name: rows.shape for name, rows in whole.rows.items()} for whole in (before, after)]
    return same and shapes[0] == shapes[1] and not concerned(before, after)


def diagnosed(whole: Whole) -> tuple[str, ...]:
    """Return the names of the causes that a diagnosis of the corpus finds."""
    return tuple(one.name for one in causes_of(whole))


def causes_of(whole: Whole) -> tuple[Cause, ...]:
    """Return the causes that a diagnosis of the corpus finds."""
    from dualstream.heads.diagnosis import diagnose
    from dualstream.heads.diagnosis.evidence import DiagnosisOptions
    from dualstream.heads.diagnosis.signs.table import Names
    from dualstream.heads.variants.registry import FitOptions

    place = np.concatenate((np.flatnonzero(~whole.dev), np.flatnonzero(whole.dev)))
    names = Names(tuple(whole.ids[i] for i in place), place=tuple(place.tolist()))
    options = DiagnosisOptions(
        task="emotion" if whole.features.emotion.max(initial=UNLABELLED) >= 0 else "sentiment",
        fusion="linear",
        folds=3,
        fit=FitOptions(seeds=(0,), threads=1),
        interventions=(),
        measures=False,
        limits=False,
        sample=2_000,
    )
    train, dev = whole.split()
    return diagnose(train, dev if len(dev) else None, options, names=names).causes


def concerned(before: Whole, after: Whole) -> set[str]:
    """Return the ids of the utterances whose row, label or speaker a damage changed; none where it added some."""
    if before.ids != after.ids or before.features.streams.keys() != after.features.streams.keys():
        return set()
    one, other = before.features, after.features
    changed = (one.emotion != other.emotion) | (one.speaker != other.speaker)
    for name, rows in before.rows.items():
        if rows.shape != after.rows[name].shape:
            return set()
        changed |= (rows != after.rows[name]).any(axis=1)
    return {after.ids[place] for place in np.flatnonzero(changed)}


def told(cause: Cause, truth: set[str]) -> str:
    """Return in words how many utterances that a cause names are concerned, and how many of these it names."""
    named = set(cause.utterances)
    if not truth or not named:
        return ""
    right = len(named & truth)
    return (
        f"; {right / len(named):.0%} of {len(named)} named are concerned, {right / len(truth):.0%} of these named"
    )


def verdict(named: tuple[str, ...], right: tuple[str, ...]) -> str:
    """Say what an answer is worth where the causes `right` are; none are where the corpus is clean."""
    if named[0] == "nothing_wrong":
        return RIGHT if not right else NOTHING
    if not right:  # a head that gains nothing by joining is no mistake of the corpus
        return RIGHT if set(named) <= {"cannot_tell", "no_complement"} else OTHERWISE
    return RIGHT if named[0] in right else OTHERWISE


@one_core()
def main() -> None:
    """Plant, diagnose, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--corpus", choices=CORPORA, default="planted")
    parser.add_argument("--rows", type=Path, default=Path("build/rows"), help="where encoded rows are kept")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--first", type=int, default=0, help="the first seed")
    parser.add_argument("--strengths", default="1", help="such as 0.5,1,1.5")
    parser.add_argument("--damages", default="", help="those whose words hold this; clean: none")
    parser.add_argument("--set", choices=("all", *SETS), default="all", help="the files of damages")
    parser.add_argument("--lot", type=int, help="how many of all are drawn (all)")
    parser.add_argument("--after", type=int, default=0, help="how many of the lot were had before")
    arguments = parser.parse_args()
    sets = SETS.values() if arguments.set == "all" else (SETS[arguments.set],)
    chosen = {CLEAN: (None, ())} | {name: one for each in sets for name, one in each.items()}
    chosen = {name: one for name, one in chosen.items() if arguments.damages in name}
    seeds = range(arguments.first, arguments.first + arguments.seeds)
    strengths = [float(one) for one in arguments.strengths.split(",")]
    asked = [
        (name, strength, seed)
        for name, (damage, _) in chosen.items()
        for strength in (strengths if damage else (1.0,))
        for seed in seeds
    ]
    if arguments.lot is not None:
        order = np.random.default_rng(LOT_SEED).permutation(len(asked))
        asked = [asked[i] for i in order[arguments.after : arguments.after + arguments.lot]]
    counts: dict[str, Counter[str]] = {name: Counter() for name, _, _ in asked}
    by_strength: dict[float, Counter[str]] = {strength: Counter() for strength in strengths}
    started = time.process_time()
    for name, strength, seed in asked:
        said = ask(name, *chosen[name], strength, arguments.corpus, arguments.rows, seed)
        if said:
            counts[name][said] += 1
            if name != CLEAN:
                by_strength[strength][said] += 1
    print(f"\n| mistake | {RIGHT} | {OTHERWISE} | {NOTHING} |\n|---|---|---|---|")
    for name, found in counts.items():
        print(f"| {name} | {found[RIGHT]} | {found[OTHERWISE]} | {found[NOTHING]} |")
    print()
    for strength, found in by_strength.items():
        print(f"strength {strength:g}: {share(found[RIGHT], found.total())} named right")
    total = sum(by_strength.values(), Counter())
    print(
        f"{share(total[RIGHT], total.total())} named right; "
        f"{time.process_time() - started:.0f} s of processor time"
    )


def ask(
    name: str, damage: Damage | None, right: tuple[str, ...], strength: float, corpus: str, rows: Path, seed: int
) -> str:
    """Plant a mistake, diagnose, print what was said, and return its verdict; nothing where it changes nothing."""
    clean = whole = corpus_of(corpus, rows, seed)
    if damage is not None:
        whole = damage(whole, np.random.default_rng([seed, 1]), strength)
        if unchanged(clean, whole):
            print(f"{name}, {strength:g}, seed {seed}: changes nothing here", flush=True)
            return ""
    found = causes_of(whole)
    said = verdict(tuple(one.name for one in found), right)
    words = ", ".join(one.name for one in found)
    of_them = told(found[0], concerned(clean, whole)) if said == RIGHT else ""
    print(f"{name}, {strength:g}, seed {seed}: {words} ({said}{of_them})", flush=True)
    return said


def share(right: int, of_all: int) -> str:
    """Return a share in words, with its exact 95 % interval."""
    if not of_all:
        return "0 of 0"
    low, high = exact_interval(right, of_all)
    return f"{right} of {of_all} ({right / of_all:.1%}; {low:.1%} to {high:.1%})"


if __name__ == "__main__":
    main()
