"""Mistakes as they are planted in a user's own rows, and whether the measure that names each sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from dualstream.heads.diagnosis.signs.fills import fills
from dualstream.heads.diagnosis.signs.kinds import scales_apart, two_kinds
from dualstream.heads.diagnosis.signs.label_maps import label_maps
from dualstream.heads.diagnosis.signs.same_speakers import same_persons
from dualstream.heads.diagnosis.signs.speakers import voices
from dualstream.heads.diagnosis.signs.table import WIDEST, Codes, Floats, Mask, Table
from dualstream.heads.diagnosis.signs.verdicts import FEW, HALF
from dualstream.heads.diagnosis.signs.wrong_codes import ALL, WrongCodes, ask_labels, ask_speakers


def _rng(draw: int) -> np.random.Generator:
    return np.random.default_rng([draw, 17])


def _all(table: Table) -> tuple[Floats, Mask]:
    rows = np.concatenate([table.components(name, rank=WIDEST) for name in table.raw], axis=1)
    return rows, np.all(list(table.there.values()), axis=0)


def _some(among: Codes, share: float, rng: np.random.Generator) -> Codes:
    return rng.permutation(among)[: round(share * len(among))]


def _found(one: WrongCodes | None) -> bool:
    return one is not None and one.found


def noise(table: Table, share: float, draw: int) -> bool:
    """Say whether a share of labels that are drawn anew would be found."""
    rng, label = _rng(draw), table.label.copy()
    some = _some(np.flatnonzero(table.labelled()), share, rng)
    label[some] = rng.choice(table.label[table.labelled()], len(some))
    return _found(ask_labels(table, ALL, *_all(table), label))


def other_labels(table: Table, speakers: int, draw: int) -> bool:
    """Say whether speakers whose labels are shifted by one class would be found."""
    rng = _rng(draw)
    some = rng.permutation(np.unique(table.speaker[table.speaker >= 0]))[:speakers]
    mine = np.isin(table.speaker, some) & table.labelled()
    label = np.where(mine, (table.label + 1) % len(table.classes), table.label)
    return bool(label_maps(replace(table, label=label)))


def moved(table: Table, name: str, others: Sequence[WrongCodes], share: float, draw: int) -> bool:
    """Say whether a share of a stream's rows that are other utterances' would be found, by speaker or label.

    `others` holds what the other streams say of both.
    """
    rng, there = _rng(draw), table.there[name]
    rows = table.components(name, rank=WIDEST).copy()
    some = _some(np.flatnonzero(there), share, rng)
    rows[some] = rows[np.roll(some, 1)]
    for ask, what in ((ask_speakers, "speaker"), (ask_labels, "label")):
        mine = [one for one in others if one.what == what]
        found = ask(table, name, rows, there) if mine else None
        if found is not None and found.found and any(one.interval[1] < HALF * found.drawn for one in mine):
            return True
    return False


def other_names(table: Table, share: float, draw: int) -> bool:
    """Say whether a share of utterances that are named after other speakers would be found."""
    rng, speaker = _rng(draw), table.speaker.copy()
    some = _some(np.flatnonzero(speaker >= 0), share, rng)
    speaker[some] = rng.permutation(speaker[some])
    return _found(ask_speakers(table, ALL, *_all(table), speaker))


def two_names(table: Table, draw: int) -> bool:
    """Say whether a speaker of whom every second utterance has another name would be found."""
    codes, counts = np.unique(table.speaker[table.speaker >= 0], return_counts=True)
    largest = codes[np.argsort(-counts, kind="stable")]
    mine = np.flatnonzero(table.speaker == largest[draw % len(largest)])
    speaker = table.speaker.copy()
    speaker[mine[::2]] = codes.max() + 1
    names = (*table.speaker_names, "another")
    return bool(same_persons(replace(table, speaker=speaker, speaker_names=names)))


def random_names(table: Table) -> bool:
    """Say whether speakers' names that are drawn anew would be found, by groups that two streams see."""
    return any(one.unnamed for one in voices(replace(table, speaker=_rng(0).permutation(table.speaker))))


def scaled(table: Table, name: str, factor: float, draw: int) -> bool:
    """Say whether a factor on half of a stream's rows would be found."""
    rows = table.raw[name][table.there[name]]
    some = _rng(draw).random(len(rows)) < 0.5
    return scales_apart(rows * np.where(some, factor, 1.0)[:, None]) is not None


def filled(table: Table, name: str, share: float, draw: int) -> bool:
    """Say whether a share of a stream's rows that hold the columns' mean would be found."""
    there = np.flatnonzero(table.there[name])
    if len(there) < FEW:
        return False
    rows, some = table.raw[name].copy(), _some(there, share, _rng(draw))
    rows[some] = rows[there].mean(axis=0)
    found = fills(replace(table, raw={**table.raw, name: rows}), name, {})
    return any(
        one.kind == "mean" and len(np.intersect1d(one.utterances, some)) >= HALF * len(some) for one in found
    )


def other_encoder(table: Table, name: str, share: float, draw: int) -> bool:
    """Say whether rows of another encoder, of some speakers, would be found: columns mixed anew, other means."""
    rng, rows = _rng(draw), table.raw[name]
    codes = np.unique(table.speaker[table.speaker >= 0])
    some = np.isin(table.speaker, rng.permutation(codes)[: max(1, round(share * len(codes)))]) & table.there[name]
    known = rows[table.there[name]]
    middle, spread = known.mean(axis=0), known.std(axis=0)
    turn = np.linalg.qr(rng.normal(size=(rows.shape[1], rows.shape[1])))[0]
    other = rows.copy()
    mixed = (rows[some] - middle) / np.where(spread > 0, spread, 1) @ turn
    other[some] = (mixed + rng.normal(size=rows.shape[1])) * spread + middle
    return two_kinds(replace(table, raw={**table.raw, name: other}), name) is not None
