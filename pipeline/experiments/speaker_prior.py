"""The speakers' prior of a run or a bundle, kept beside its weights.

speaker_prior.safetensors   LEVEL/NAME/mean, within and between (width), float64, of each stream, LEVEL utterance
                            or windows; rule, weight and how it was chosen in the file's own metadata
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from dualstream.heads.data.speaker_batches import SpeakerBatch, speaker_batches
from dualstream.heads.data.speaker_prior import RULE, SpeakerPrior
from dualstream.heads.variants.ensemble import ensemble
from dualstream.heads.variants.registry import TASKS, Prediction, Task
from dualstream.pipeline.errors import CorruptError
from dualstream.pipeline.experiments.training_data import Corpus
from dualstream.pipeline.memory import refuse_shortage
from dualstream.pipeline.storage.documents import unpack_safetensors, write_bytes
from numpy.typing import NDArray

from dualstream.documents import Document

SPEAKER_PRIOR = "speaker_prior.safetensors"


@dataclass(frozen=True)
class SpeakerNorm(Document):
    """How speakers were normalised, as a run and a bundle state it."""

    rule: int
    """2; runs of rule 1 state nothing."""
    weight: float
    """Of the training speakers' prior, in utterances."""
    chosen_by: str
    """How the weight was chosen, a sentence."""
    scores: dict[str, dict[str, float]]
    """Balanced accuracy on held-out training speakers, by weight and kind of batch."""

    @classmethod
    def of(cls, prior: SpeakerPrior) -> SpeakerNorm:
        """Return what must be stated of a prior."""
        return cls(RULE, prior.weight, prior.choice.chosen_by, prior.choice.scores)


def batches_of(
    corpus: Corpus,
    index: NDArray[np.int64],
    models: Sequence[Prediction],
    vocabulary: Mapping[Task, Sequence[str]],
) -> list[SpeakerBatch]:
    """Return what each speaker's answers rest on among these utterances, one batch; none without a prior."""
    if corpus.prior is None:
        return []
    mean = ensemble(models)
    said: dict[str, list[str]] = {}
    for task in TASKS:
        log_p = mean.task(task)
        if log_p is not None:
            said[task] = [vocabulary[task][code] for code in log_p.argmax(1)]
    names = [str(name) for name in corpus.speakers[index]]
    return speaker_batches(names, corpus.usable[index], corpus.prior, said)


def write_speaker_prior(folder: Path, prior: SpeakerPrior) -> None:
    """Write the prior beside a run's or a bundle's weights."""
    from safetensors.numpy import save

    arrays, values = prior.state()
    metadata = {"dualstream": json.dumps(values, allow_nan=False, sort_keys=True)}
    write_bytes(
        folder / SPEAKER_PRIOR, save({key: np.ascontiguousarray(a) for key, a in arrays.items()}, metadata)
    )


def read_speaker_prior(folder: Path) -> SpeakerPrior:
    """Read the prior of a run that normalised speakers by it.

    Raises
    ------
    CorruptError
        Where the file is missing or damaged.
    """
    place = folder / SPEAKER_PRIOR
    try:
        return speaker_prior_of(place.read_bytes(), place)
    except FileNotFoundError as error:
        raise CorruptError(f"{place} is missing, by which speakers were normalised; fit the run again") from error


def speaker_prior_of(data: bytes, place: Path) -> SpeakerPrior:
    """Restore a prior from the bytes of its file; `place` is what errors call it."""
    from safetensors import SafetensorError

    try:
        arrays, metadata = unpack_safetensors(data)
        return SpeakerPrior.restore(arrays, json.loads(metadata["dualstream"]))
    except (SafetensorError, KeyError, TypeError, ValueError) as error:
        refuse_shortage(error, f"while {place} is read")
        raise CorruptError(f"{place} does not hold the prior of speakers: {error}") from error
