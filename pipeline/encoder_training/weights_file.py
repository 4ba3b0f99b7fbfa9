"""The weights file of a training: the encoder, its heads, their answers for dev, and the story of all that.

metadata   format, encoder, licence
           identity   digest of recipe and data: the same training has the same
           document   JSON: recipe, data, vocabulary, history, scores on dev, environment
           answers    JSON, see `pipeline.encoder_training.end_to_end`
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import torch
from dualstream.features.trainable import TrainableEncoder
from dualstream.features.weights import UNKNOWN_LICENCE
from dualstream.heads.evaluation import metrics
from dualstream.heads.evaluation.majority import log_shares
from dualstream.heads.variants.registry import TASKS, Task
from dualstream.pipeline.corpus.manifest import Manifest
from dualstream.pipeline.corpus.utterance import Utterance
from dualstream.pipeline.encoder_training.checkpoint import packed
from dualstream.pipeline.encoder_training.document import DevScores, EncoderDocument
from dualstream.pipeline.encoder_training.end_to_end import METADATA, PREFIX, AnswersNote
from dualstream.pipeline.encoder_training.objective import SampleLabels
from dualstream.pipeline.encoder_training.options import SPLITS, TrainOptions
from dualstream.pipeline.encoder_training.samples import SampleRecipe, Samples
from dualstream.pipeline.errors import UsageError
from dualstream.pipeline.experiments.label_support import unseen_classes
from dualstream.pipeline.experiments.scores import TaskScores
from dualstream.pipeline.memory import refuse_shortage
from dualstream.pipeline.provenance import canonical_json, differences, digest_of, listed
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open
from torch import Tensor

FORMAT = "dualstream encoder 1"
OWN_LICENCE = "not stated by who trained it (--licence); the terms of the training data apply"


def training_identity(document: EncoderDocument) -> str:
    """Return the digest of all that shapes the weights."""
    return digest_of({"recipe": document.recipe, "data": document.data})


def training_document(
    one: TrainableEncoder,
    training: TrainOptions,
    recipe: SampleRecipe,
    utterances: Sequence[Utterance],
    samples: Samples,
    manifest: Manifest,
) -> EncoderDocument:
    """Return what shapes the weights: recipe, data, vocabulary."""
    rows = [
        [u.id, u.split, u.start_s, u.end_s, u.emotion, u.sentiment, sha256]
        for u, sha256 in zip(utterances, samples.sha256, strict=True)
    ]
    document = {
        "encoder": one.name,
        "recipe": {
            "encoder": one.name,
            "width": one.width,
            "start": one.start.to_json(),
            "augmentation": one.augmentation,
            "samples": recipe.to_json(),
            "training": asdict(training),
        },
        "data": {
            "sha256": digest_of(rows),
            "manifest": manifest.sha256,
            "utterances": {split: sum(u.split == split for u in utterances) for split in SPLITS},
            "samples": len(samples),
            "without_sample": len(samples.failed),
        },
        "vocabulary": {"emotion": list(manifest.emotions), "sentiment": list(manifest.sentiments)},
    }
    return EncoderDocument.from_json(json.loads(canonical_json(document)))


def dev_scores(
    at: NDArray[np.int64],
    found: dict[Task, NDArray[np.float64]],
    labels: SampleLabels,
    utterances: Sequence[Utterance],
    manifest: Manifest,
    learned_from: NDArray[np.int64],
) -> dict[Task, DevScores]:
    """Score dev by utterance: majority line, intervals over dialogues, or else speakers.

    Utterances without a sample are answered by the classes' shares in train, as everywhere. `learned_from` names
    those of train that have samples: what they did not show is said.
    """
    dev = np.flatnonzero(labels.dev)
    groups = _groups([utterances[index] for index in dev.tolist()])
    names = {"emotion": manifest.emotions, "sentiment": manifest.sentiments}
    scores: dict[Task, DevScores] = {}
    for task in TASKS:
        truth = labels.of(task)
        if task in found and len(at) and (truth[dev] >= 0).any():
            trains = truth[labels.train]
            counts = np.bincount(trains[trains >= 0], minlength=len(names[task]))
            rows = np.tile(log_shares(counts), (len(dev), 1))
            rows[np.searchsorted(dev, at)] = found[task]
            one = metrics.score(rows, truth[dev], names[task], groups=groups, train_counts=counts)
            learned = truth[learned_from]
            shown = np.bincount(learned[learned >= 0], minlength=len(names[task]))[None]
            unseen = unseen_classes(shown, np.zeros(len(dev), np.int64), truth[dev], names[task])
            answered = np.isin(dev, at)
            scores[task] = DevScores(
                replace(TaskScores.of(one, None), warnings=(*one.warnings, *unseen)),
                without_sample=int((~answered & (truth[dev] >= 0)).sum()),
            )
    return scores


def licence_words(one: TrainableEncoder, own: str) -> str:
    """Return the licence of the weights: the trainer's own words, and that of what training began with."""
    text = own or OWN_LICENCE
    if one.start.source.startswith("random"):
        return text
    start = one.start.licence if one.start.licence != UNKNOWN_LICENCE else "unknown"
    return f"{text}. Trained from weights with the licence: {start}"


def pack_weights(
    state: dict[str, Tensor],
    document: EncoderDocument,
    identity: str,
    answers: dict[Task, NDArray[np.float64]],
    note: AnswersNote,
) -> bytes:
    """Return the bytes of a weights file; where nothing of dev was answered, it holds no answers."""
    metadata = {
        "format": FORMAT,
        "encoder": document.encoder,
        "licence": document.licence,
        "identity": identity,
        "document": canonical_json(document.to_json()),
    }
    if answers:
        metadata[METADATA] = canonical_json(note)
    whole = state | {f"{PREFIX}{task}": torch.from_numpy(rows) for task, rows in answers.items()}
    return packed(whole, metadata)


def require_same_training(out: Path, document: EncoderDocument, identity: str) -> EncoderDocument:
    """Return what a weights file that stands at `out` says of itself, if it came of the same training.

    Raises
    ------
    UsageError
        Where it did not, or is no such file.
    """
    try:
        with safe_open(out, framework="pt") as file:
            facts = file.metadata() or {}
        there = EncoderDocument.from_json(json.loads(facts["document"]))
    except (SafetensorError, KeyError, ValueError) as error:
        refuse_shortage(error, f"while {out} is read")
        raise UsageError(
            f"{out} is there and no train-encoder wrote it; choose another --out, or use --replace"
        ) from error
    if facts["identity"] != identity:
        found = differences(document.recipe, there.recipe, "recipe")
        found += differences(document.data, there.data, "data")
        raise UsageError(
            f"{out} came of another training: {listed(found)}. Choose another --out, or use --replace"
        )
    return there


def _groups(utterances: Sequence[Utterance]) -> NDArray[np.int64]:
    """Return codes of what the bootstrap draws: dialogues where they are known, else speakers, else utterances."""
    for name in ("dialogue", "speaker"):
        values = [str(getattr(one, name)) for one in utterances]
        if any(values):
            alone = [value or f"\x1f{number}" for number, value in enumerate(values)]
            return np.unique(alone, return_inverse=True)[1].astype(np.int64)
    return np.arange(len(utterances), dtype=np.int64)
