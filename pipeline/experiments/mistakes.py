"""Mistakes that the rows of a cache tell without any fit: copies, filled and mixed rows, columns that are the
label."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.heads.data.batch import UNLABELLED
from dualstream.heads.diagnosis.causes import (
    Cause,
    columns_by_group,
    duplicates,
    imputed_rows,
    label_in_column,
    scale_by_group,
    two_kinds_of_rows,
)
from dualstream.heads.diagnosis.conclusion import title
from dualstream.heads.diagnosis.signs.found import Signs
from dualstream.heads.diagnosis.signs.measure import rows_alone
from dualstream.heads.diagnosis.signs.table import Names, Table
from dualstream.heads.variants.options import TASKS, Task
from dualstream.pipeline.cache import Cache
from numpy.typing import NDArray

from dualstream.documents import Document

SHOWN = 3


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
    found: list[Cause] = []
    for task in TASKS:
        signs = Signs(**rows_alone(_table(cache, task)))
        one = label_in_column.found_in(signs, task)
        found += [] if one is None else [one]
    for rule in (scale_by_group, columns_by_group, two_kinds_of_rows, imputed_rows, duplicates):
        one = rule.found_in(signs)
        found += [] if one is None else [one]
    return tuple(Mistake(one.name, one.text, one.advice, one.utterances, one.speakers) for one in found)


def _table(cache: Cache, task: Task) -> Table:
    utterances = cache.utterances
    split = np.array(utterances.split)
    speaker = _codes(utterances.speaker)
    return Table.of_rows(
        {name: (stream.utterance, stream.present) for name, stream in cache.streams.items()},
        label=np.where(split == "test", UNLABELLED, getattr(utterances, task)).astype(np.int64),
        classes=tuple(cache.vocabulary[task]),
        speaker=speaker,
        dev=split == "dev",
        names=Names(
            tuple(utterances.id),
            tuple(utterances.speaker),
            columns={name: stream.spec.get("column_names") for name, stream in cache.streams.items()},
        ),
        task=task,
    )


def _codes(names: Sequence[str]) -> NDArray[np.int64]:
    """Return the code of each name, -1 where there is none."""
    place = {name: code for code, name in enumerate(sorted(set(names) - {""}))}
    return np.array([place.get(name, -1) for name in names], dtype=np.int64)
