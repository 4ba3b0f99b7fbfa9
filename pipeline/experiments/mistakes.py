"""Mistakes that the rows of a cache tell without any fit: copies, filled and mixed rows, columns that are the
label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from sys import intern

import numpy as np
from dualstream.heads.data.batch import UNLABELLED
from dualstream.heads.diagnosis.causes import (
    Cause,
    broken_features,
    columns_by_group,
    drift,
    duplicates,
    imputed_rows,
    label_in_column,
    put_values,
    same_stream,
    scale_by_group,
    two_kinds_of_rows,
    wrong_join,
)
from dualstream.heads.diagnosis.conclusion import title
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.label_columns import columns_of_labels
from dualstream.heads.diagnosis.signs.measure import rows_alone
from dualstream.heads.diagnosis.signs.table import Names, Table
from dualstream.heads.variants.options import TASKS, Task
from dualstream.pipeline.cache import Cache
from numpy.typing import NDArray

from dualstream.documents import Document

SHOWN = 3
RULES = (
    same_stream,
    scale_by_group,
    columns_by_group,
    two_kinds_of_rows,
    imputed_rows,
    put_values,
    duplicates,
    drift,
    broken_features,
    wrong_join,
)
"""Causes that need no labels."""


@dataclass(frozen=True)
class Mistake(Document):
    """A mistake in how a cache was put together, named as `diagnose` names it."""

    cause: str
    text: str
    advice: str
    utterances: tuple[str, ...]
    """Ids of those concerned."""
    speakers: tuple[str, ...]
    """Names of those concerned."""

    def warning(self) -> str:
        """Return it in a sentence, with the first utterances concerned."""
        shown = ", ".join(self.utterances[:SHOWN]) + (", …" if len(self.utterances) > SHOWN else "")
        return f"{title(self.cause)}: {self.text}" + (f" ({shown})" if shown else "")


def mistakes(cache: Cache) -> tuple[Mistake, ...]:
    """Return what is found in the utterance rows of all splits; of test no label is read."""
    table = _unlabelled(cache)
    signs = Signs(**rows_alone(table))
    found: list[Cause | None] = []
    for task in TASKS:
        columns = columns_of_labels(_labelled(table, cache, task))
        found.append(label_in_column.found_in(replace(signs, label_columns=columns), task))
    found += [rule.found_in(signs) for rule in RULES]
    named = [Mistake(one.name, one.text, one.advice, one.utterances, one.speakers) for one in found if one]
    return (*named, *_shared_speakers(cache))


def _shared_speakers(cache: Cache) -> list[Mistake]:
    """Return which speakers of dev and test are in train too, with numbers, as `check` does of a manifest."""
    split, speaker = np.array(cache.utterances.split), np.array(cache.utterances.speaker)
    known = set(speaker[split == "train"].tolist()) - {""}
    parts, both = [], np.zeros(len(split), dtype=bool)
    for name in ("dev", "test"):
        inside = (split == name) & np.isin(speaker, sorted(known))
        if inside.any():
            names = set(speaker[split == name].tolist()) - {""}
            shared = names & known
            of = f"{inside.sum()} of {(split == name).sum()} utterances"
            parts.append(f"{len(shared)} of the {len(names)} {name} speakers, with {of}")
            both |= inside
    if not parts or len(known) < 2:  # of a corpus of one person nothing else can be
        return []
    return [
        Mistake(
            "shared_speakers",
            f"train has {' and '.join(parts)}: scores tell how well known speakers are recognised, not new ones",
            "give each speaker to one split, or use --folds speaker; unless heads are meant for these very people",
            tuple(np.array(cache.utterances.id)[both].tolist()),
            tuple(sorted(set(speaker[both].tolist()))),
        )
    ]


def _unlabelled(cache: Cache) -> Table:
    utterances = cache.utterances
    return Table.of_rows(
        {name: (np.asarray(stream.utterance), stream.present) for name, stream in cache.streams.items()},
        label=np.full(len(utterances.id), UNLABELLED, dtype=np.int64),
        classes=(),
        speaker=_codes(utterances.speaker),
        dialogue=np.arange(len(utterances.id)),
        dev=np.array(utterances.split) == "dev",
        names=Names(
            tuple(utterances.id),
            tuple(map(intern, utterances.speaker)),
            columns={name: stream.spec.get("column_names") for name, stream in cache.streams.items()},
        ),
    )


def _labelled(table: Table, cache: Cache, task: Task) -> Table:
    """Return the table with the labels of a task, but for those of test."""
    test = np.array(cache.utterances.split) == "test"
    label = np.where(test, UNLABELLED, getattr(cache.utterances, task)).astype(np.int64)
    return replace(table, label=label, classes=tuple(cache.vocabulary[task]))


def _codes(names: Sequence[str]) -> NDArray[np.int64]:
    """Return the code of each name, -1 where there is none."""
    place = {name: code for code, name in enumerate(sorted(set(names) - {""}))}
    return np.array([place.get(name, -1) for name in names], dtype=np.int64)
