"""Speaker normalisation, rule 2: each speaker's columns, drawn towards what the training speakers showed.

A batch of n utterances of a speaker says where that speaker's mean and spread lie, and it also says which
emotions were in it: of a few utterances, or of one emotion, the two can't be told apart. So mean and spread are
taken as if `weight` more utterances had shown what training speakers have (the prior), or fewer in a column that
differs more between speakers than it does within one (there what is seen is the speaker, whatever the emotions):

    counts  weight * variance within / (within + between training speakers)
    share   (n - 1) / (n - 1 + counts)              0 for a single utterance: the prior alone
    centre  share * own mean + (1 - share) * prior mean
    spread  squared: share * own variance + (1 - share) * variance within training speakers
            + (1 - share)^2 * what is left of the offset, squared: (1 - share) * variance between training speakers
                                                                   + share * (own mean - prior mean)^2

Rows have variance 1, then, whatever the share: of one utterance the two variances add up to that of all training
rows, of many the speaker's own is left. Training rows are normalised by the same rule, or heads would meet other
rows than those they were fitted on; a training speaker's prior is that of the other training speakers, as a new
speaker's is.

What stays TRANSDUCTIVE is the share: to answer for a new speaker, other utterances of that speaker are looked at,
though not their labels. Rule 1 (`heads.data.normalisation`) had no prior outside of the batch.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

import numpy as np
from dualstream.heads.data.batch import FeatureSet
from dualstream.heads.data.speaker_moments import (
    PARTS,
    Codes,
    Floats,
    Moments,
    SpeakerRows,
    SpeakerSums,
    levels,
    speaker_groups,
    spread_of,
    with_rows,
)
from numpy.typing import NDArray

from dualstream.documents import JsonObject

RULE = 2
DEFAULT_WEIGHT = 30.0
"""Utterances that the prior counts for where train can't say; on RAVDESS good over mixed and narrow batches."""
LEVELS = ("utterance", "windows")


@dataclass(frozen=True)
class WeightChoice:
    """How the prior's weight was chosen (`heads.search.speaker_weight`)."""

    chosen_by: str = "not chosen: given"
    """A sentence."""
    scores: dict[str, dict[str, float]] = field(default_factory=dict)
    """Balanced accuracy on held-out training speakers, by weight and kind of batch."""


@dataclass(frozen=True, repr=False)
class SpeakerPrior:
    """What the training rows showed, by stream, and how many utterances of a speaker it counts for."""

    utterance: dict[str, Moments]
    """Of each stream's utterance rows."""
    windows: dict[str, Moments]
    """Of each stream's windows, each utterance weighing the same; streams without windows are not in it."""
    weight: float = DEFAULT_WEIGHT
    """In utterances, of a column that does not differ between speakers."""
    choice: WeightChoice = WeightChoice()
    """How `weight` was chosen."""

    @classmethod
    def fit(
        cls, train: FeatureSet, *, weight: float = DEFAULT_WEIGHT, choice: WeightChoice = WeightChoice()
    ) -> SpeakerPrior:
        """Learn mean and variances of the training rows that are present and finite; labels are not looked at.

        Raises
        ------
        ValueError
            Where `weight` is not above 0.
        """
        if not (weight > 0 and np.isfinite(weight)):
            raise ValueError(f"the weight of the prior is {weight}; expected a finite number above 0")
        groups = speaker_groups(train)
        found: dict[str, dict[str, Moments]] = {level: {} for level in LEVELS}
        for name, stream in train.streams.items():
            for level, rows in levels(train, stream).items():
                found[level][name] = SpeakerSums.of(rows, groups[rows.of]).moments()
        return cls(found["utterance"], found["windows"], float(weight), choice)

    def normalise(self, features: FeatureSet, batch: Codes | None = None) -> FeatureSet:
        """Return `features` with every speaker's columns centred and scaled.

        Rows that are not finite stay as they are, missing ones are zeros; neither says anything of a speaker.
        Utterances of unknown speakers (code -1) take the prior alone.

        Parameters
        ----------
        features
            N utterances.
        batch
            Code of what is looked at together, shape (N,): a speaker's utterances in two batches don't
            see each other. None: all are one batch.

        Raises
        ------
        ValueError
            Where a stream is of another width than in training, or has windows where training had none.
        """
        groups = speaker_groups(features, batch)

        def one(name: str, level: str, rows: SpeakerRows) -> NDArray[np.float32]:
            sums, prior = SpeakerSums.of(rows, groups[rows.of]), self._of(name, level, rows)
            return _scaled(rows, sums.group, *_scales(sums, prior, prior, self.weight))

        return with_rows(features, one)

    def scales(self, features: FeatureSet) -> SpeakerScales:
        """Return what `normalise` takes from and divides by for each speaker of these utterances, one batch."""
        speakers = np.unique(features.speaker[features.speaker >= 0])
        groups = np.where(features.speaker >= 0, np.searchsorted(speakers, features.speaker), -1)
        found: dict[tuple[str, str], tuple[Floats, Floats]] = {}
        for name, stream in features.streams.items():
            for level, rows in levels(features, stream).items():
                sums, prior = SpeakerSums.of(rows, groups[rows.of], len(speakers)), self._of(name, level, rows)
                found[name, level] = _scales(sums, prior, prior, self.weight)
        return SpeakerScales(speakers, found)

    def normalise_training(self, train: FeatureSet) -> FeatureSet:
        """Return the rows that `fit` saw, each speaker drawn towards the other training speakers."""
        groups = speaker_groups(train)

        def one(name: str, level: str, rows: SpeakerRows) -> NDArray[np.float32]:
            prior = getattr(self, level)[name]
            sums = SpeakerSums.of(rows, groups[rows.of])
            scales = _scales(sums, sums.moments_of_others(), prior, self.weight)
            return _scaled(rows, sums.group, *scales)

        return with_rows(train, one)

    def state(self) -> tuple[dict[str, Floats], JsonObject]:
        """Return (arrays, JSON values) from which `restore` makes the same prior again."""
        arrays = {
            f"{level}/{name}/{part}": getattr(one, part)
            for level in LEVELS
            for name, one in getattr(self, level).items()
            for part in PARTS
        }
        return arrays, {"rule": RULE, "weight": self.weight, **asdict(self.choice)}

    @classmethod
    def restore(cls, arrays: Mapping[str, Floats], values: Mapping[str, Any]) -> SpeakerPrior:
        """Make a prior of what `state` gave.

        Raises
        ------
        ValueError
            Where it is of a rule that this program does not know.
        KeyError
            Where an array is missing.
        """
        if values["rule"] != RULE:
            raise ValueError(f"speaker normalisation by rule {values['rule']}; this program knows {RULE}")
        choice = WeightChoice(values["chosen_by"], values["scores"])
        found: dict[str, dict[str, Moments]] = {level: {} for level in LEVELS}
        for key in arrays:
            level, _, rest = key.partition("/")
            name, _, part = rest.rpartition("/")
            if part == PARTS[0]:
                found[level][name] = Moments(*(arrays[f"{level}/{name}/{each}"] for each in PARTS))
        return cls(found["utterance"], found["windows"], float(values["weight"]), choice)

    def share(self, utterances: int) -> float:
        """Return how much of a speaker's mean comes from so many utterances of that speaker, 0 to 1.

        The mean over all columns.
        """
        shares = [_shares(np.array([utterances]), one, self.weight) for one in self.utterance.values()]
        return float(np.concatenate(shares, axis=1).mean()) if shares else 0.0

    def _of(self, name: str, level: str, rows: SpeakerRows) -> Moments:
        prior: Moments | None = getattr(self, level).get(name)
        if prior is None or prior.mean.shape != rows.values.shape[1:]:
            known = "none" if prior is None else f"{len(prior.mean)} columns"
            raise ValueError(
                f"the {name} stream has {level} of {rows.values.shape[1]} columns; the speakers' prior has {known}"
            )
        return prior

    def __repr__(self) -> str:
        return f"SpeakerPrior({', '.join(sorted(self.utterance))}, weight={self.weight:g})"


@dataclass(frozen=True, repr=False)
class SpeakerScales:
    """What is taken from each speaker's columns and what they are divided by, as one batch has it."""

    speakers: Codes
    """Codes of the S speakers, ascending."""
    by_stream: dict[tuple[str, str], tuple[Floats, Floats]]
    """By stream and level: centres and spreads, shape (S + 1, D); the last row is the prior's."""

    def normalise(self, features: FeatureSet) -> FeatureSet:
        """Normalise other rows of these speakers as the batch's; who was not in the batch takes the prior."""
        at = np.searchsorted(self.speakers, features.speaker)
        there = np.isin(features.speaker, self.speakers)
        groups = np.where(there, at, -1)
        return with_rows(
            features, lambda name, level, rows: _scaled(rows, groups[rows.of], *self.by_stream[name, level])
        )


def _scales(sums: SpeakerSums, prior: Moments, everyone: Moments, weight: float) -> tuple[Floats, Floats]:
    """Return each speaker's centre and spread, drawn towards `prior`, (S + 1, D); the last row is `everyone`'s."""
    freedom = np.maximum(sums.size - 1, 0)[:, None]
    share = _shares(sums.size, prior, weight)
    own = sums.size[:, None] / np.maximum(freedom, 1) * sums.variance
    offset = sums.mean - prior.mean
    centre = share * sums.mean + (1 - share) * prior.mean
    left = (1 - share) ** 2 * ((1 - share) * prior.between + share * offset**2)
    variance = share * own + (1 - share) * prior.within + left
    return np.vstack((centre, everyone.mean)), np.vstack((spread_of(centre, variance), everyone.spread()))


def _shares(size: Floats, prior: Moments, weight: float) -> Floats:
    """Return how much of each speaker's mean comes from its own utterances, by column, shape (S, D)."""
    freedom = np.maximum(size - 1, 0)[:, None]
    counts = weight * prior.inner_share()
    return np.divide(freedom, freedom + counts, out=np.zeros(np.broadcast_shapes(freedom.shape, counts.shape)),
                     where=freedom > 0)  # fmt: skip


def _scaled(rows: SpeakerRows, group: Codes, centre: Floats, spread: Floats) -> NDArray[np.float32]:
    """Return the rows less their group's centre over its spread; group -1 takes the last row of both."""
    spread = spread[group]
    values = (rows.values - centre[group]) / np.where(spread > 0, spread, 1)
    answer = np.where(rows.usable[:, None] & (spread > 0), values, 0).astype(np.float32)
    broken = rows.present & ~rows.usable
    # what is not finite stays so, to be refused or masked by name
    answer[broken] = rows.values[broken]
    return answer
