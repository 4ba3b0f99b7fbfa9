"""Is the smallest mistake that a diagnosis names found? Planted anew, at that strength and at half of it.

    python benchmarks/study_limits.py --draws 10

takes corpora without a fault, lets the diagnosis say from which strength on each mistake would be found, and
plants it: in how many draws is it found, at the strength that was named and at half of it? Mistakes are planted by
the code here and found by the verdicts that causes rest on; none of it is what named the strength.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Callable
from dataclasses import replace

import checkout  # noqa: F401
import numpy as np
from clean_corpora import Clean
from clean_planted import clean
from dualstream.heads.diagnosis.signs import verdicts
from dualstream.heads.diagnosis.signs.copies import copies
from dualstream.heads.diagnosis.signs.fills import fills
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.joins import joins
from dualstream.heads.diagnosis.signs.kinds import two_kinds
from dualstream.heads.diagnosis.signs.label_maps import label_maps
from dualstream.heads.diagnosis.signs.sensitivity import limits
from dualstream.heads.diagnosis.signs.table import Table
from dualstream.heads.diagnosis.signs.wrong_codes import wrong_codes
from whole_corpora import Floats, Whole, planted

from dualstream.cores import one_core

Plant = Callable[[Table, str, float, np.random.Generator], bool]


def _with(table: Table, name: str, rows: Floats) -> Table:
    return replace(table, raw={**table.raw, name: rows})


def _signs(table: Table, **found: object) -> Signs:
    dev = tuple(table.dev.tolist())
    speaker = tuple(table.speaker.tolist())
    return Signs(table.ids, table.speaker_names, speaker, dev, tuple(table.raw), 1.0, **found)  # type: ignore[arg-type]


def label_noise(table: Table, name: str, share: float, rng: np.random.Generator) -> bool:
    """Tell whether a share of labels drawn anew is found."""
    label = np.where(rng.random(len(table)) < share, rng.permutation(table.label), table.label)
    damaged = replace(table, label=label)
    return verdicts.noise(_signs(damaged, wrong=wrong_codes(damaged))) is not None


def moved_rows(table: Table, name: str, share: float, rng: np.random.Generator) -> bool:
    """Tell whether a share of one stream's rows at other utterances is found."""
    source = np.arange(len(table))
    some = np.flatnonzero(rng.random(len(table)) < share)
    source[some] = np.roll(rng.permutation(some), 1)
    damaged = _with(table, name, table.raw[name][source])
    return any(one.stream == name for one in verdicts.foreign(_signs(damaged, wrong=wrong_codes(damaged))))


def wrong_speakers(table: Table, name: str, share: float, rng: np.random.Generator) -> bool:
    """Tell whether a share of speakers drawn anew is found."""
    speaker = np.where(rng.random(len(table)) < share, rng.permutation(table.speaker), table.speaker)
    damaged = replace(table, speaker=speaker)
    return verdicts.misnamed(_signs(damaged, wrong=wrong_codes(damaged))) is not None


def labels_of_speakers(table: Table, name: str, speakers: float, rng: np.random.Generator) -> bool:
    """Tell whether labels that are renamed for some speakers are found."""
    mine = np.isin(table.speaker, rng.permutation(np.unique(table.speaker))[: int(speakers)])
    label = np.where(mine, (table.label + 1) % len(table.classes), table.label)
    return bool(label_maps(replace(table, label=label)))


def scale(table: Table, name: str, factor: float, rng: np.random.Generator) -> bool:
    """Tell whether half of the rows at another scale are found."""
    some = rng.random(len(table)) < 0.5
    damaged = _with(table, name, table.raw[name] * np.where(some, factor, 1.0)[:, None])
    found = two_kinds(damaged, name)
    return found is not None and found.kind == "scale"


def copied(table: Table, name: str, share: float, rng: np.random.Generator) -> bool:
    """Tell whether a share of rows copied from others is found."""
    rows = table.raw[name].copy()
    order = rng.permutation(len(rows))
    count = int(np.ceil(share * len(rows))) + (share >= verdicts.COPIED)  # more than the bound
    rows[order[:count]] = rows[order[count : 2 * count]]
    damaged = _with(table, name, rows)
    return bool(verdicts.doubles(_signs(damaged, copies=tuple(copies(damaged, one) for one in table.raw))))


def filled(table: Table, name: str, share: float, rng: np.random.Generator) -> bool:
    """Tell whether a share of rows filled with the mean is found."""
    rows = table.raw[name].copy()
    count = int(np.ceil(share * len(rows))) + (share >= verdicts.FILLED)
    rows[rng.permutation(len(rows))[:count]] = rows.mean(axis=0)
    return bool(verdicts.imputed(_signs(table, fills=fills(_with(table, name, rows), name, {}))))


PLANTS: dict[str, Plant] = {
    "label noise": label_noise,
    "moved rows of": moved_rows,
    "wrong speakers": wrong_speakers,
    "labels of speakers": labels_of_speakers,
    "scale of": scale,
    "copies in": copied,
    "filled rows of": filled,
}


def tables() -> dict[str, Table]:
    """Return the corpora, by words."""
    wholes: dict[str, Whole] = {
        "1,248 rows of 24 speakers": planted(0),
        "520 rows of 10 speakers": planted(1, speakers=10),
        "MELD's shares, 1,500 rows": clean("MELD's shares, dialogues", 0),
    }
    made = {}
    for words, whole in wholes.items():
        corpus = Clean.of(whole)
        made[words] = Table.of(corpus.train, corpus.dev, "emotion", corpus.names)
    return made


@one_core()
def main() -> None:
    """Name, plant, count."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--draws", type=int, default=10)
    draws = parser.parse_args().draws
    started = time.process_time()
    print("| corpus | mistake | named | found there | at half of it |\n|---|---|---|---|---|")
    for corpus, table in tables().items():
        for limit in limits(table, joins(table), wrong_codes(table)):
            kind = next((one for one in PLANTS if limit.mistake.startswith(one)), None)
            if kind is None or not limit.smallest:
                continue
            name = limit.mistake.removeprefix(kind).strip()
            counts = [
                sum(PLANTS[kind](table, name, at, np.random.default_rng([draw, 23])) for draw in range(draws))
                for at in (limit.smallest, limit.smallest / 2)
            ]
            print(
                f"| {corpus} | {limit.mistake} | {limit.at} | {counts[0]} of {draws} | {counts[1]} |", flush=True
            )
    print(f"\n{time.process_time() - started:.0f} s of processor time")


if __name__ == "__main__":
    main()
