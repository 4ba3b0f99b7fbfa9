"""Folds of a corpus: who is fitted on, who says when to stop, who is scored; groups are never cut."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from dualstream.heads.evaluation.folds import holds_apart
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments.training_data import BY_SPEAKER, SPEAKER_ONLY, Corpus, name_codes
from numpy.typing import NDArray

MAX_DEFAULT_FOLDS = 10  # `--folds speaker` deals more speakers than this into so many folds


@dataclass(frozen=True)
class Fold:
    """One part of a cross-validation; indices into the corpus."""

    name: str
    fit: NDArray[np.int64]
    stop: NDArray[np.int64]
    """Watched for early stopping: the groups of the next fold, never those that are scored. Fitted on too
    where a variant watches nothing."""
    held_out: NDArray[np.int64]
    """Scored."""


def named_folds(corpus: Corpus, by: str) -> str:
    """Return what `--folds` said with its group named.

    ``4`` is ``speaker:4`` where every utterance has a speaker and speakers can be held out with their dialogues,
    else ``dialogue:4``.

    Raises
    ------
    UsageError
        Where `by` can't be read.
    """
    group_by, count = _parse_folds(by, corpus, np.flatnonzero(corpus.splits != "test"))
    return group_by if count is None else f"{group_by}:{count}"


def folds(corpus: Corpus, by: str) -> list[Fold]:
    """Deal every utterance outside the test split into folds that share no group.

    Parameters
    ----------
    corpus
        Its test split, if it has one, takes no part.
    by
        ``speaker`` or ``dialogue``: a fold for each, at most 10; ``speaker:4``, ``dialogue:4``: so many;
        ``4``: so many, by speaker where every utterance has one, else by dialogue. Speakers are held out with
        all who share a dialogue with them, so that no dialogue is cut; ``speaker-only:4`` cuts them. An
        utterance without a dialogue or a speaker is one of its own.

    Returns
    -------
    Folds whose `held_out` parts cover the utterances once each. With three folds or more, the groups of
    the next fold are kept out of the fit to decide when training stops; with two, nothing is.

    Raises
    ------
    UsageError
        Where `by` can't be read, there are fewer groups than two folds need, or dialogues connect nearly all
        speakers.
    """
    pool = np.flatnonzero(corpus.splits != "test")
    group_by, count = _parse_folds(by, corpus, pool)
    if group_by in BY_SPEAKER and not np.any(corpus.speakers[pool] != ""):
        raise UsageError(f"--folds {by}: no utterance outside the test split has a speaker; try dialogue:5")
    what, groups = corpus.fold_groups(pool, group_by)
    if what == "speaker group" and not held_apart(corpus, pool):
        raise UsageError(_all_connected(corpus, pool, by, count, int(np.bincount(groups).max())))
    kinds, code, size = np.unique(groups, return_inverse=True, return_counts=True)
    wanted = count if count is not None else min(len(kinds), MAX_DEFAULT_FOLDS)
    if wanted < 2 or len(kinds) < wanted:
        of = f"{what}, speakers who share dialogues are one group" if what == "speaker group" else what
        raise UsageError(f"--folds {by}: {wanted} folds of {len(kinds)} groups ({of}); expected 2 to {len(kinds)}")
    names = (corpus.dialogues if group_by == "dialogue" else corpus.speakers)[pool]
    part = _deal(size, wanted)[code]
    made = []
    for k in range(wanted):
        held_out = pool[part == k]
        stop = pool[part == (k + 1) % wanted] if wanted > 2 else pool[:0]
        kept_out = (part == k) | ((part == (k + 1) % wanted) & (wanted > 2))
        own = np.unique(names[part == k])
        alone = len(np.unique(code[part == k])) == 1 and len(own) == 1
        name = (str(own[0]) or str(np.flatnonzero(part == k)[0])) if alone else f"fold {k + 1}"
        made.append(Fold(name, pool[~kept_out], stop, held_out))
    return made


def shared_between(corpus: Corpus, parts: Sequence[Fold], what: str) -> tuple[int, int]:
    """Return how many of the held-out utterances are of a dialogue (or speaker) that appears in another fold too.

    The second number counts those dialogues (or speakers).
    """
    codes = corpus.features.dialogue if what == "dialogue" else corpus.features.speaker
    held_out = [part.held_out[codes[part.held_out] >= 0] for part in parts]
    homes = np.zeros(int(codes.max(initial=0)) + 1, dtype=np.int64)
    for part in held_out:
        homes[np.unique(codes[part])] += 1
    return sum(int((homes[codes[part]] > 1).sum()) for part in held_out), int((homes > 1).sum())


def held_apart(corpus: Corpus, pool: NDArray[np.int64]) -> bool:
    """Say whether folds over `pool` can hold speakers out with all who share their dialogues."""
    return holds_apart(corpus.fold_groups(pool, "speaker")[1], name_codes(corpus.speakers)[pool])


def _all_connected(corpus: Corpus, pool: NDArray[np.int64], by: str, count: int | None, largest: int) -> str:
    number = f":{count}" if count else ""
    speakers = len(np.unique(corpus.speakers[pool]))
    return (
        f"--folds {by}: the {speakers} speakers are connected by dialogues that they share: {largest} of "
        f"{len(pool)} utterances are one group, so that no fold of whole speakers leaves their dialogues whole. "
        f"Use --folds dialogue{number or ':5'}, which holds out dialogues of speakers that the models know; "
        f"{SPEAKER_ONLY}{number or ':5'} holds out speakers all the same, with their partners' half of each "
        "dialogue in training"
    )


def _parse_folds(by: str, corpus: Corpus, pool: NDArray[np.int64]) -> tuple[str, int | None]:
    name, _, number = by.partition(":")
    if name.isdigit():
        known = bool(np.all(corpus.speakers[pool] != ""))
        name, number = ("speaker" if known and held_apart(corpus, pool) else "dialogue"), name
    if name not in ("dialogue", *BY_SPEAKER) or (number and not number.isdigit()) or by.endswith(":"):
        raise UsageError(
            f"--folds {by!r}; expected speaker, dialogue, speaker:4, dialogue:4, a number, or {SPEAKER_ONLY}:4"
        )
    return name, int(number) if number else None


def _deal(size: NDArray[np.int64], count: int) -> NDArray[np.int64]:
    """Deal groups into `count` folds of nearly equal size: the largest first, to the smallest fold."""
    part = np.zeros(len(size), dtype=np.int64)
    load = np.zeros(count, dtype=np.int64)
    for group in np.argsort(-size, kind="stable"):
        part[group] = int(np.argmin(load))
        load[part[group]] += size[group]
    return part
